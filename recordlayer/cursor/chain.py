"""One cursor after the other: all of them, or the first that has anything.

Layout  Concat {1 which cursor, from 0; 2 its continuation}, OrElse {1 which: 0 undecided, 1 the first, 2 the other;
        2 its continuation}
Source  Record Layer, ConcatCursor, ChainedCursor, OrElseCursor; the continuations are ours
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields, number_field
from recordlayer.cursor.step import Batch, Cursor, Stop
from recordlayer.cursor.transform import CursorFactory
from recordlayer.errors import BadContinuation

T = TypeVar("T")


class Concat(Cursor[T]):
    """All of the first cursor, then all of the second, and so on. A cursor is made when its turn comes."""

    __slots__ = ("_cursor", "_place", "_sources")

    def __init__(self, sources: Sequence[CursorFactory[T]], continuation: bytes | None = None) -> None:
        fields = {} if continuation is None else decode_fields(continuation, known=2)
        self._sources = sources
        self._place = number_field(fields, 1, below=len(sources))
        self._cursor = sources[self._place](bytes_field(fields, 2))

    def start(self) -> None:
        self._cursor.start()

    async def batch(self) -> Batch[T]:
        batch = await self._cursor.batch()
        place = self._place
        stop, end, inner = batch.stop, batch.end, batch.resume
        if stop is Stop.EXHAUSTED and place + 1 < len(self._sources):
            self._place = place + 1
            self._cursor = self._sources[place + 1](None)
            stop = None
        elif stop is not None and stop is not Stop.EXHAUSTED:
            end = encode_fields({1: place, 2: end})
        return Batch(batch.values, lambda index: encode_fields({1: place, 2: inner(index)}), stop, end)


class OrElse(Cursor[T]):
    """All of one cursor; if it has nothing, all of another."""

    __slots__ = ("_cursor", "_other", "_which")

    def __init__(self, first: CursorFactory[T], other: CursorFactory[T], continuation: bytes | None = None) -> None:
        fields = {} if continuation is None else decode_fields(continuation, known=2)
        self._which = number_field(fields, 1, below=3)
        inner = bytes_field(fields, 2)
        if self._which == 1 and inner is None:
            raise BadContinuation(reason="it says that there were values, and not where")
        self._other = other
        self._cursor = other(inner) if self._which == 2 else first(inner)

    def start(self) -> None:
        self._cursor.start()

    async def batch(self) -> Batch[T]:
        batch = await self._cursor.batch()
        if batch.values and not self._which:
            self._which = 1
        which = self._which
        stop, end, inner = batch.stop, batch.end, batch.resume
        if stop is Stop.EXHAUSTED and not which:
            self._which = 2
            self._cursor = self._other(None)
            stop = None
        elif stop is not None and stop is not Stop.EXHAUSTED and (which or end is not None):
            end = encode_fields({1: which, 2: end})
        return Batch(batch.values, lambda index: encode_fields({1: which, 2: inner(index)}), stop, end)
