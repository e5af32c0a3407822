"""Cursors made from one other cursor, without reading anything themselves; and one after the other.

Their continuations are the source's, except `Concat`'s, which says in which of the two it is.

Source  Record Layer, MapCursor, FilterCursor, SkipCursor, RowLimitedCursor, ConcatCursor, ListCursor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields
from recordlayer.cursor.step import Batch, Cursor, Stop, never
from recordlayer.errors import BadContinuation

T = TypeVar("T")
U = TypeVar("U")

CursorFactory = Callable[[bytes | None], Cursor[T]]
"""Makes a cursor that goes on at a continuation; None is the beginning."""


class ListCursor(Cursor[T]):
    """The values of a list; the continuation is the next position, 4 bytes big-endian as Java's."""

    __slots__ = ("_from", "_values")

    def __init__(self, values: Sequence[T], continuation: bytes | None = None) -> None:
        self._values = values
        self._from = 0
        if continuation is not None:
            if not isinstance(continuation, bytes) or len(continuation) != 4:
                raise BadContinuation(reason="a position has 4 bytes", got=continuation)
            self._from = int.from_bytes(continuation, "big")

    async def batch(self) -> Batch[T]:
        first = self._from
        return Batch(self._values[first:], lambda index: (first + index + 1).to_bytes(4, "big"), Stop.EXHAUSTED)


class Map(Cursor[U]):
    """`convert` of each value."""

    __slots__ = ("_convert", "_source")

    def __init__(self, source: Cursor[T], convert: Callable[[T], U]) -> None:
        self._source: Cursor[T] = source
        self._convert: Callable[[T], U] = convert

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[U]:
        batch = await self._source.batch()
        convert = self._convert
        return Batch([convert(value) for value in batch.values], batch.resume, batch.stop, batch.end)


class Filter(Cursor[T]):
    """The values that `keep` accepts."""

    __slots__ = ("_keep", "_source")

    def __init__(self, source: Cursor[T], keep: Callable[[T], bool]) -> None:
        self._source = source
        self._keep = keep

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[T]:
        batch = await self._source.batch()
        keep = self._keep
        places = [place for place, value in enumerate(batch.values) if keep(value)]
        values = batch.values
        if len(places) == len(values):
            return batch
        resume = batch.resume
        return Batch([values[place] for place in places], lambda index: resume(places[index]), batch.stop, batch.end)


class Limit(Cursor[T]):
    """The first `limit` values; stops with LIMIT_REACHED when it has given them."""

    __slots__ = ("_left", "_source")

    def __init__(self, source: Cursor[T], limit: int) -> None:
        self._source = source
        self._left = limit

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[T]:
        batch = await self._source.batch()
        count = len(batch.values)
        if count < self._left:
            self._left -= count
            return batch
        left, self._left = self._left, 0
        return Batch(batch.values[:left], batch.resume, Stop.LIMIT_REACHED, batch.resume(left - 1))


class Skip(Cursor[T]):
    """The values behind the first `count`. A continuation counts from where it was taken: resume without the skip."""

    __slots__ = ("_left", "_source")

    def __init__(self, source: Cursor[T], count: int) -> None:
        self._source = source
        self._left = count

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[T]:
        batch = await self._source.batch()
        if not self._left:
            return batch
        dropped = min(self._left, len(batch.values))
        self._left -= dropped
        resume = batch.resume
        return Batch(batch.values[dropped:], lambda index: resume(index + dropped), batch.stop, batch.end)


class Concat(Cursor[T]):
    """All of one cursor, then all of another."""

    __slots__ = ("_cursor", "_in_second", "_second")

    def __init__(self, first: CursorFactory[T], second: CursorFactory[T], continuation: bytes | None = None) -> None:
        fields = {} if continuation is None else decode_fields(continuation)
        inner = bytes_field(fields, 3)
        self._in_second = bool(fields.get(1, 0))
        self._second = second
        self._cursor = second(inner) if self._in_second else first(inner)

    def start(self) -> None:
        self._cursor.start()

    async def batch(self) -> Batch[T]:
        batch = await self._cursor.batch()
        place = int(self._in_second)
        stop, end, resume = batch.stop, batch.end, batch.resume
        if stop is Stop.EXHAUSTED and not self._in_second:
            self._in_second = True
            self._cursor = self._second(None)
            stop = None
        elif stop is not None and stop is not Stop.EXHAUSTED:
            end = encode_fields({1: place, 3: end})
        return Batch(batch.values, lambda index: encode_fields({1: place, 3: resume(index)}), stop, end)


class Empty(Cursor[T]):
    """No values."""

    __slots__ = ()

    async def batch(self) -> Batch[T]:
        return Batch([], never, Stop.EXHAUSTED)
