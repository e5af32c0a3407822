"""Cursors made from one other cursor, without reading anything themselves.

Their continuations are the source's, except where a class says what it adds.

Source  Record Layer, MapCursor, FilterCursor, SkipCursor, DedupCursor, RowLimitedCursor, ListCursor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields, number_field
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
            if self._from > len(values):
                raise BadContinuation(reason="it lies behind the end of the list", got=self._from)

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
        return Batch([convert(value) for value in batch.values], batch.resume, batch.stop, batch.end_when_asked)


class MapAll(Cursor[U]):
    """The values as `convert` gives them, batch by batch: as many as there were."""

    __slots__ = ("_convert", "_source")

    def __init__(self, source: Cursor[T], convert: Callable[[Sequence[T]], Sequence[U]]) -> None:
        self._source: Cursor[T] = source
        self._convert: Callable[[Sequence[T]], Sequence[U]] = convert

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[U]:
        batch = await self._source.batch()
        return Batch(self._convert(batch.values), batch.resume, batch.stop, batch.end_when_asked)


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
        return Batch(
            [values[place] for place in places], lambda index: resume(places[index]), batch.stop, batch.end_when_asked
        )


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
        return Batch(batch.values[:left], batch.resume, Stop.LIMIT_REACHED, lambda: batch.resume(left - 1))


class Skip(Cursor[T]):
    """The values behind the first `count`. A continuation knows how many are still to be skipped, so it makes no
    difference where a limit stopped: resume with the same count.

    Layout  {1 how many are left to skip, 2 the source's continuation}
    """

    __slots__ = ("_left", "_source")

    def __init__(self, source: CursorFactory[T], count: int, continuation: bytes | None = None) -> None:
        self._left = count
        inner = None
        if continuation is not None:
            fields = decode_fields(continuation, known=2)
            self._left, inner = number_field(fields, 1, below=count + 1), bytes_field(fields, 2)
            if inner is None:
                raise BadContinuation(reason="it does not say where to go on")
        self._source = source(inner)

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[T]:
        batch = await self._source.batch()
        dropped = min(self._left, len(batch.values))
        self._left -= dropped
        inner = batch.resume
        end = None if batch.end is None else encode_fields({1: self._left or None, 2: batch.end})
        values = batch.values[dropped:] if dropped else batch.values
        return Batch(values, lambda index: encode_fields({2: inner(index + dropped)}), batch.stop, end)


class Distinct(Cursor[T]):
    """One of the values with the same key, where those follow each other. The continuation has the last key, so that
    it is not given again behind a page.

    Layout  {1 the last key, 2 the source's continuation}
    """

    __slots__ = ("_key", "_last", "_source")

    def __init__(self, source: CursorFactory[T], key: Callable[[T], bytes], continuation: bytes | None = None) -> None:
        self._key = key
        self._last: bytes | None = None
        inner = None
        if continuation is not None:
            fields = decode_fields(continuation, known=2)
            self._last, inner = bytes_field(fields, 1), bytes_field(fields, 2)
            if inner is None:
                raise BadContinuation(reason="it does not say where to go on")
        self._source = source(inner)

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[T]:
        batch = await self._source.batch()
        keys = [self._key(value) for value in batch.values]
        places = [place for place, key in enumerate(keys) if key != (keys[place - 1] if place else self._last)]
        if keys:
            self._last = keys[-1]
        inner = batch.resume
        end = None if batch.end is None else encode_fields({1: self._last, 2: batch.end})
        values = [batch.values[place] for place in places]
        return Batch(
            values, lambda index: encode_fields({1: keys[places[index]], 2: inner(places[index])}), batch.stop, end
        )


class Empty(Cursor[T]):
    """No values."""

    __slots__ = ()

    async def batch(self) -> Batch[T]:
        return Batch([], never, Stop.EXHAUSTED)
