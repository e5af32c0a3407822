"""Values folded into groups in memory of a bounded size, whatever their order; groups come in the order of their keys.

The source is read to its end, and the groups with the least keys are held, so many of them at most. They are given, and
if there may be more, the source is read again for those that follow: as `sort` does it. A limit stops a pass where it
is: what was folded goes into the continuation.

Layout  {1 key of the last group given, 2 the source's continuation within a pass, 3 what is held, (key, state)...
        packed, 4 the key behind which the pass has let groups go}
Source  ours
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields
from recordlayer.cursor.step import Batch, Cursor, Stop, never
from recordlayer.cursor.transform import CursorFactory
from recordlayer.errors import BadContinuation, MalformedTuple
from recordlayer.tuples import pack, unpack

T = TypeVar("T")
Items = tuple[Any, ...]

_OVERHEAD = 150
"""Bytes that a held group takes beside its key and its texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering(Generic[T]):
    """How values become groups.

    key      of a value: that of its group
    initial  the state of a group without values; a tuple of what a tuple may hold
    fold     a state and a value give the next state
    groups   the same for all values of a batch, where that can be told for less than one by one: the groups that these
             are of, each once, and what folds all of its values
    size     how many groups are kept at most; while a pass goes on, up to twice as many
    memory   bytes that kept groups take at most, None for any number. One group is kept all the same
    """

    key: Callable[[T], bytes]
    initial: Items
    fold: Callable[[Items, T], Items]
    size: int
    groups: Callable[[Sequence[T]], list[tuple[bytes, Callable[[Items], Items]]]] | None = None
    memory: int | None = None


class Gather(Cursor[tuple[bytes, Items]], Generic[T]):
    """The key and the state of each group, in the order of the keys."""

    __slots__ = ("_after", "_ceiling", "_gathering", "_held", "_make", "_place", "_source", "_weight")

    def __init__(self, source: CursorFactory[T], gathering: Gathering[T], continuation: bytes | None = None) -> None:
        fields = {} if continuation is None else decode_fields(continuation, known=4)
        if continuation is not None and not fields:
            raise BadContinuation(reason="it is empty")
        self._gathering = gathering
        self._make = source
        self._after = bytes_field(fields, 1)
        self._place = bytes_field(fields, 2)
        self._held = _groups(bytes_field(fields, 3), len(gathering.initial))
        self._weight = sum([_weight(key, state) for key, state in self._held.items()])
        self._ceiling = bytes_field(fields, 4)
        self._source = source(self._place)

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[tuple[bytes, Items]]:
        while True:
            found = await self._source.batch()
            self._hold_all(found.values)
            if found.values:
                self._place = found.resume(len(found.values) - 1)
            if found.stop is not None:
                break
        self._shrink()
        if found.stop is not Stop.EXHAUSTED:
            place = found.end if found.end is not None else self._place
            held = pack(tuple(self._held.items())) if self._held else None
            end = encode_fields({1: self._after, 2: place, 3: held, 4: self._ceiling}) or None
            return Batch([], never, found.stop, end)
        given = sorted(self._held.items())
        self._held, self._weight = {}, 0
        stop = Stop.EXHAUSTED if self._ceiling is None else None
        if self._ceiling is not None:
            self._after, self._place, self._ceiling = self._ceiling, None, None
            self._source = self._make(None)
        return Batch(given, lambda index: encode_fields({1: given[index][0]}), stop)

    def _hold_all(self, values: Sequence[T]) -> None:
        gathering = self._gathering
        if gathering.groups is not None:
            for key, fold_all in gathering.groups(values) if values else ():
                self._hold(key, fold_all)
            return
        fold = gathering.fold
        for value in values:
            self._hold(gathering.key(value), partial(_folded, fold, value))

    def _hold(self, key: bytes, fold: Callable[[Items], Items]) -> None:
        gathering = self._gathering
        held = self._held
        state = held.get(key)
        if state is None:
            if (self._after is not None and key <= self._after) or (self._ceiling is not None and key > self._ceiling):
                return
            state = gathering.initial
            self._weight += _weight(key, ())
            held[key] = fold(state)
            self._weight += _texts(held[key])
        else:
            after = held[key] = fold(state)
            if len(after) and gathering.memory is not None:
                self._weight += _texts(after) - _texts(state)
        if len(held) >= 2 * gathering.size or (gathering.memory is not None and self._weight > gathering.memory):
            self._shrink()

    def _shrink(self) -> None:
        """Let the groups with the greatest keys go that are too many."""
        gathering, held = self._gathering, self._held
        light = gathering.memory is None or self._weight <= gathering.memory
        if len(held) <= gathering.size and light:
            return
        keys = sorted(held)
        kept = weight = 0
        for key in keys[: gathering.size]:
            weight += _weight(key, held[key])
            # Half of the memory is left free, so that not every group that comes makes others go.
            if kept and gathering.memory is not None and not light and weight > gathering.memory // 2:
                break
            kept += 1
        if kept == len(keys):
            return
        for key in keys[kept:]:
            del held[key]
        self._weight = sum([_weight(key, state) for key, state in held.items()])
        self._ceiling = keys[kept - 1]


def _folded(fold: Callable[[Items, T], Items], value: T, state: Items) -> Items:
    return fold(state, value)


def _weight(key: bytes, state: Items) -> int:
    """Bytes that a group takes, roughly."""
    return _OVERHEAD + len(key) + _texts(state)


def _texts(state: Items) -> int:
    return sum([len(item) for item in state if isinstance(item, (str, bytes))])


def _groups(held: bytes | None, size: int) -> dict[bytes, Items]:
    """Keys and states of what was held.  Raises  BadContinuation."""
    if held is None:
        return {}
    try:
        pairs = unpack(held)
    except MalformedTuple as error:
        raise BadContinuation(reason="what was held cannot be read", found=str(error)) from error
    for pair in pairs:
        if not (
            isinstance(pair, tuple)
            and len(pair) == 2
            and isinstance(pair[0], bytes)
            and isinstance(pair[1], tuple)
            and len(pair[1]) == size
        ):
            raise BadContinuation(reason="what was held cannot be read", found=pair)
    return dict(pairs)
