"""Cursors that wait for many things at once: one read for each value, and a cursor for each value.

Cost    the reads of the inner parts; they are under way together, so a batch costs about one round trip.
Source  Record Layer, MapPipelinedCursor, FlatMapPipelinedCursor; prefetching is every cursor's there
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields
from recordlayer.cursor.limits import Budget
from recordlayer.cursor.step import Batch, Cursor, Stop, never
from recordlayer.errors import BadContinuation
from recordlayer.waiting.waitable import Turn, Waitable

T = TypeVar("T")
U = TypeVar("U")
R = TypeVar("R")

WIDTH = 256
"""Most reads of one cursor under way together."""
TURN = 64
"""Inner cursors after which others go first: inner reads that are ready at once would hold up an event loop."""
INNER = 8
"""Inner cursors of `FlatMap` that are under way together."""


class ReadEach(Cursor[U], Generic[T, R, U]):
    """For each value a read, begun with `start` and turned into the result by `finish`; order kept.

    `finish(value, result)` may give None: the value is left out. (Used where what was read may be gone.)
    """

    __slots__ = ("_finish", "_source", "_start", "_width")

    def __init__(
        self,
        source: Cursor[T],
        start: Callable[[T], Waitable[R]],
        finish: Callable[[T, R], U | None],
        *,
        width: int = WIDTH,
    ) -> None:
        self._source = source
        self._start = start
        self._finish = finish
        self._width = width

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[U]:
        batch = await self._source.batch()
        values, begin, finish = batch.values, self._start, self._finish
        results: list[U] = []
        places: list[int] = []
        count = len(values)
        ahead = min(self._width, count)
        under_way = deque([begin(value) for value in values[:ahead]])
        try:
            for place in range(count):
                found = await under_way.popleft()
                if ahead < count:
                    under_way.append(begin(values[ahead]))
                    ahead += 1
                result = finish(values[place], found)
                if result is not None:
                    results.append(result)
                    places.append(place)
        finally:
            for waitable in under_way:
                waitable.cancel()
        resume = batch.resume
        if len(places) == count:
            return Batch(results, resume, batch.stop, batch.end)
        return Batch(results, lambda index: resume(places[index]), batch.stop, batch.end)


class Prefetch(Cursor[T]):
    """The values of another cursor, whose next read is begun while these are used.

    Worth its one read too many where reads take time and most of the values are wanted.
    """

    __slots__ = ("_source",)

    def __init__(self, source: Cursor[T]) -> None:
        self._source = source

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[T]:
        batch = await self._source.batch()
        if batch.stop is None:
            self._source.start()
        return batch


class FlatMap(Cursor[U], Generic[T, U]):
    """All values of a cursor for each value of another, in the outer's order.

    `inner(value, continuation)` makes the inner cursor. `check(value)` gives bytes that a continuation keeps: if the
    outer value has changed when the continuation is used, the inner cursor begins anew. `budget` is looked at between
    two inner cursors.

    Layout  {1 the outer continuation before the value, 2 the inner continuation, 3 check}
    """

    __slots__ = (
        "_budget",
        "_check",
        "_ended",
        "_inner",
        "_inner_resume",
        "_open",
        "_outer",
        "_outer_end",
        "_outer_stop",
        "_prior",
        "_resume_check",
        "_width",
    )

    def __init__(
        self,
        outer: Callable[[bytes | None], Cursor[T]],
        inner: Callable[[T, bytes | None], Cursor[U]],
        continuation: bytes | None = None,
        *,
        check: Callable[[T], bytes] | None = None,
        width: int = INNER,
        budget: Budget | None = None,
    ) -> None:
        fields = {} if continuation is None else decode_fields(continuation, known=3)
        self._prior = bytes_field(fields, 1)
        self._inner_resume = bytes_field(fields, 2)
        self._resume_check = bytes_field(fields, 3)
        if continuation is not None and not fields:
            raise BadContinuation(reason="it is empty")
        self._outer = outer(self._prior)
        self._inner = inner
        self._check = check
        self._width = width
        self._budget = budget
        self._ended = 0
        self._outer_stop: Stop | None = None
        self._outer_end: bytes | None = None
        # Per open inner cursor: it, the outer continuations before and behind its value, and the check value.
        self._open: deque[tuple[Cursor[U], bytes | None, bytes, bytes | None]] = deque()

    def start(self) -> None:
        self._outer.start()

    async def _fill(self) -> None:
        """Open inner cursors, as many as may be under way together, each with its first read begun."""
        while not self._open and self._outer_stop is None:
            batch = await self._outer.batch()
            for place, value in enumerate(batch.values):
                behind = batch.resume(place)
                check = None if self._check is None else self._check(value)
                resume, self._inner_resume = self._inner_resume, None
                if resume is not None and self._resume_check is not None and self._resume_check != check:
                    resume = None
                self._open.append((self._inner(value, resume), self._prior, behind, check))
                self._prior = behind
            self._outer_stop, self._outer_end = batch.stop, batch.end
        for place in range(min(self._width, len(self._open))):
            self._open[place][0].start()

    async def batch(self) -> Batch[U]:
        await self._fill()
        if not self._open:
            stop = self._outer_stop
            assert stop is not None, "an outer cursor without values has stopped"
            end = None if stop is Stop.EXHAUSTED else encode_fields({1: self._outer_end}) or None
            return Batch([], never, stop, end)
        cursor, prior, behind, check = self._open[0]
        found = await cursor.batch()
        inner_resume = found.resume
        stop, end = None, None
        if found.stop is Stop.EXHAUSTED:
            self._open.popleft()
            self._ended += 1
            if not self._ended % TURN:
                await Turn()
            if not self._open and self._outer_stop is Stop.EXHAUSTED:
                stop = Stop.EXHAUSTED
            elif self._budget is not None and (stop := self._budget.spent()) is not None:
                end = encode_fields({1: behind})  # inner cursors that find nothing cost time, and no pairs
        elif found.stop is not None:
            stop, end = found.stop, encode_fields({1: prior, 2: found.end, 3: check}) or None
        last = len(found.values) - 1 if found.stop is Stop.EXHAUSTED else -1

        def resume(index: int) -> bytes:
            if index == last:
                return encode_fields({1: behind})
            return encode_fields({1: prior, 2: inner_resume(index), 3: check})

        return Batch(found.values, resume, stop, end)
