"""Values in the order of their keys, sorted in memory of a bounded size.

The source is read to its end, and the least values are held, so many of them and so many bytes at most; they are given,
and if there may be more, the source is read again for those that follow. So memory never grows, every value comes, and
the price of a bound too small is another pass. A limit stops a pass where it is: what is held goes into the
continuation, as the bytes by which each value is loaded again.

Layout  {1 key of the last one given, 2 the source's continuation within a pass, 3 what is held, (key, name)... packed,
        4 the key behind which the pass has let values go}
Source  Record Layer, MemorySortCursor; the continuations, and further passes, are ours
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields
from recordlayer.cursor.page import Page
from recordlayer.cursor.step import Batch, Cursor, Stop, never
from recordlayer.cursor.transform import CursorFactory
from recordlayer.errors import BadContinuation, MalformedTuple
from recordlayer.tuples import pack, unpack

T = TypeVar("T")

_OVERHEAD = 400
"""Bytes that a held value takes beside its key and what it weighs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorting(Generic[T]):
    """How values are sorted and kept.

    keys     of the values of a batch; no two values have the same one
    name     the bytes by which a value is loaded again
    load     values by their names, None for those that are gone
    size     how many values are kept at most; while a pass goes on, up to twice as many
    reverse  descending
    memory   bytes that kept values take at most, None for any number. One value is kept all the same
    weight   bytes that a value takes; asked only where memory is bounded
    """

    keys: Callable[[Sequence[T]], list[bytes]]
    name: Callable[[T], bytes]
    load: Callable[[Sequence[bytes]], Awaitable[Sequence[T | None]]]
    size: int
    reverse: bool = False
    memory: int | None = None
    weight: Callable[[T], int] = lambda value: 0


class Sort(Cursor[T]):
    """The values of the source in the order of their keys."""

    __slots__ = ("_after", "_ceiling", "_held", "_make", "_names", "_place", "_sorting", "_source", "_weight")

    def __init__(self, source: CursorFactory[T], sorting: Sorting[T], continuation: bytes | None = None) -> None:
        fields = {} if continuation is None else decode_fields(continuation, known=4)
        if continuation is not None and not fields:
            raise BadContinuation(reason="it is empty")
        self._sorting = sorting
        self._make = source
        self._after = bytes_field(fields, 1)
        self._place = bytes_field(fields, 2)
        self._names = _names(bytes_field(fields, 3))
        self._held: list[tuple[bytes, T]] = []
        self._weight = 0
        """Of what is held, if memory is bounded."""
        self._ceiling = bytes_field(fields, 4)
        self._source = source(self._place)

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[T]:
        sorting = self._sorting
        if self._names:
            loaded = await sorting.load([name for _, name in self._names])
            pairs = zip(self._names, loaded, strict=True)
            self._held = [(key, value) for (key, _), value in pairs if value is not None]
            self._weigh()
            self._names = []
        while True:
            found = await self._source.batch()
            self._hold(found.values)
            if found.values:
                self._place = found.resume(len(found.values) - 1)
            if found.stop is not None:
                break
        if found.stop is not Stop.EXHAUSTED:
            self._shrink()
            place = found.end if found.end is not None else self._place
            held = pack(tuple([(key, sorting.name(value)) for key, value in self._held])) if self._held else None
            return Batch(
                [], never, found.stop, encode_fields({1: self._after, 2: place, 3: held, 4: self._ceiling}) or None
            )
        self._shrink()
        given, self._held, self._weight = self._held, [], 0
        stop = Stop.EXHAUSTED if self._ceiling is None else None
        if self._ceiling is not None:
            self._after, self._place, self._ceiling = self._ceiling, None, None
            self._source = self._make(None)
        return Batch([value for _, value in given], lambda index: encode_fields({1: given[index][0]}), stop)

    def _hold(self, values: Sequence[T]) -> None:
        sorting = self._sorting
        after, ceiling, reverse, memory = self._after, self._ceiling, sorting.reverse, sorting.memory
        keys = sorting.keys(values)
        places: Sequence[int] = range(len(keys))
        if after is not None:
            places = [place for place in places if (keys[place] < after if reverse else keys[place] > after)]
        if ceiling is not None:
            places = [place for place in places if (keys[place] > ceiling if reverse else keys[place] < ceiling)]
        if len(places) > sorting.size:
            # Of one batch no more than are kept at all; those that are let go tell where the next pass begins.
            places = sorted(places, key=keys.__getitem__, reverse=reverse)[: sorting.size]
            self._ceiling = keys[places[-1]]
        picked = values.pick(places) if isinstance(values, Page) else [values[place] for place in places]
        for place, value in zip(places, picked, strict=True):
            key = keys[place]
            if memory is not None:
                ceiling = self._ceiling
                if ceiling is not None and (key < ceiling if reverse else key > ceiling):
                    continue  # too little memory: values before it have been let go
                self._weight += self._weight_of(key, value)
            self._held.append((key, value))
            if memory is not None and self._weight > memory:
                self._shrink()
        if len(self._held) >= 2 * sorting.size:
            self._shrink()

    def _shrink(self) -> None:
        """Let go of the last values that are too many."""
        sorting, held = self._sorting, self._held
        held.sort(key=lambda pair: pair[0], reverse=sorting.reverse)
        kept = min(len(held), sorting.size)
        if sorting.memory is not None and self._weight > sorting.memory:
            # Half of the memory is left free, so that not every value that comes makes others go.
            kept = min(kept, self._fitting(sorting.memory // 2))
        if kept < len(held):
            del held[kept:]
            self._ceiling = held[-1][0]
            self._weigh()

    def _fitting(self, memory: int) -> int:
        """How many of the first values this much memory holds, one at least."""
        for place, (key, value) in enumerate(self._held):
            memory -= self._weight_of(key, value)
            if memory < 0:
                return max(1, place)
        return len(self._held)

    def _weigh(self) -> None:
        if self._sorting.memory is not None:
            self._weight = sum([self._weight_of(key, value) for key, value in self._held])

    def _weight_of(self, key: bytes, value: T) -> int:
        return _OVERHEAD + len(key) + self._sorting.weight(value)


def _names(held: bytes | None) -> list[tuple[bytes, bytes]]:
    """Keys and names of what was held.  Raises  BadContinuation."""
    if held is None:
        return []
    try:
        pairs = unpack(held)
    except MalformedTuple as error:
        raise BadContinuation(reason="what was held cannot be read", found=str(error)) from error
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(one, bytes) for one in pair)):
            raise BadContinuation(reason="what was held cannot be read", found=pair)
    return list(pairs)
