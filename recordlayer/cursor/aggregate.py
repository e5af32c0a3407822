"""Values folded group by group, as they stream by: a group's values follow each other in the source.

What has been folded of an unfinished group is part of the continuation, so a group may be larger than any limit.

Layout  {1 continuation of the source, 2 key of the unfinished group, 3 its state, 4 whether all groups are out}
Source  Record Layer, AggregateCursor; the continuations are ours
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields, flag_field
from recordlayer.cursor.step import Batch, Cursor, Stop, never
from recordlayer.cursor.transform import CursorFactory, Empty
from recordlayer.errors import BadContinuation, MalformedTuple
from recordlayer.tuples import pack, unpack

T = TypeVar("T")
Items = tuple[Any, ...]
Run = tuple[Items, int, Callable[[Items], Items]]
"""Values of one group that follow each other: its key, the place behind the last of them, and what folds them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folding(Generic[T]):
    """How values become groups. Keys and states are tuples of what a tuple may hold.

    key      of a value: the group it belongs to
    initial  the state of a group without values
    fold     a state and a value give the next state
    runs     the same for all values of a batch, where that can be told for less than one by one; None where it cannot
    always   whether no values at all are one group, with an empty key: what a total without GROUP BY is
    """

    key: Callable[[T], Items]
    initial: Items
    fold: Callable[[Items, T], Items]
    runs: Callable[[Sequence[T]], list[Run] | None] = lambda values: None
    always: bool = False


class Aggregate(Cursor[tuple[Items, Items]], Generic[T]):
    """The key and the state of each group, in the order of the source."""

    __slots__ = ("_behind", "_done", "_folding", "_key", "_source", "_state")

    def __init__(self, source: CursorFactory[T], folding: Folding[T], continuation: bytes | None = None) -> None:
        fields = {} if continuation is None else decode_fields(continuation, known=4)
        if continuation is not None and not fields:
            raise BadContinuation(reason="it is empty")
        self._folding = folding
        self._key, self._state = _items(bytes_field(fields, 2)), _items(bytes_field(fields, 3))
        if (self._key is None) is not (self._state is None):
            raise BadContinuation(reason="a group is there without its state, or the other way round")
        self._done = flag_field(fields, 4)
        self._behind = bytes_field(fields, 1)
        """The continuation of the source behind the last value folded."""
        self._source: Cursor[T] = Empty() if self._done else source(self._behind)

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[tuple[Items, Items]]:
        if self._done:
            return Batch([], never, Stop.EXHAUSTED)
        found = await self._source.batch()
        key_of, fold, initial = self._folding.key, self._folding.fold, self._folding.initial
        key, state = self._key, self._state
        groups: list[tuple[Items, Items]] = []
        places: list[int] = []  # of the last value of each group
        runs = self._folding.runs(found.values)
        if runs is None:
            for place, value in enumerate(found.values):
                own = key_of(value)
                if own != key or state is None:
                    if key is not None and state is not None:
                        groups.append((key, state))
                        places.append(place - 1)
                    key, state = own, initial
                state = fold(state, value)
        else:
            first = 0
            for own, behind_run, fold_run in runs:
                if own != key or state is None:
                    if key is not None and state is not None:
                        groups.append((key, state))
                        places.append(first - 1)
                    key, state = own, initial
                state = fold_run(state)
                first = behind_run
        before, inner = self._behind, found.resume
        if found.values:
            self._behind = inner(len(found.values) - 1)
        end = None
        if found.stop is Stop.EXHAUSTED:
            if key is None and self._folding.always:  # then no group has ended before, and nothing was there
                key, state = (), initial
            if key is not None and state is not None:
                groups.append((key, state))
                places.append(len(found.values))
            self._done = True
        elif found.stop is not None:
            behind = found.end if found.end is not None else self._behind
            end = encode_fields({1: behind, 2: _packed(key), 3: _packed(state)}) or None
        self._key, self._state = key, state
        count = len(found.values)

        def resume(index: int) -> bytes:
            place = places[index]
            if place == count:
                return encode_fields({4: 1})
            return encode_fields({1: before if place < 0 else inner(place)})

        return Batch(groups, resume, found.stop, end)


def _items(data: bytes | None) -> Items | None:
    if data is None:
        return None
    try:
        return unpack(data)
    except MalformedTuple as error:
        raise BadContinuation(reason="what was folded cannot be read", found=str(error)) from error


def _packed(items: Items | None) -> bytes | None:
    return None if items is None else pack(items)
