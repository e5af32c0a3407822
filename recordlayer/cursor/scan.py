"""Scans: the pairs of one key range, in either direction, chunk by chunk.

Cost    1 range read a chunk; a limit below a chunk's size makes it one.
Source  Record Layer, KeyValueCursorBase: prefix, continuation and limits.
"""

from __future__ import annotations

from dataclasses import dataclass

from recordlayer.cursor.continuation import unwrap_key, wrap_key
from recordlayer.cursor.limits import Budget
from recordlayer.cursor.merging import bytes_of
from recordlayer.cursor.step import Batch, Cursor, Stop, never
from recordlayer.errors import BadContinuation, MalformedTuple
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Chunk, KeyValue, StreamingMode
from recordlayer.tuples import unpack
from recordlayer.waiting.waitable import Turn, Waitable

CHUNK = 1024
"""Most pairs that are asked for at once, however many are wanted: they are all held until the last one is used."""
TURN = 1024
"""Rows of a transaction after which a scan lets others go first: reads that are ready at once would hold up a loop."""


@dataclass(frozen=True, slots=True)
class KeyRange:
    """begin <= key < end; continuations hold what follows the first `prefix_length` bytes of a key.

    tuples_at  where the tuples begin that the keys are, None if they are none
    """

    begin: bytes
    end: bytes
    prefix_length: int
    tuples_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """How to scan.

    limit         pairs, 0 for all; reaching it stops the scan with LIMIT_REACHED
    expect        about how many pairs will be wanted, 0 if unknown: the size of the first chunk, never a limit
    continuation  where to go on; None for the beginning
    begun         the first read, where it is under way already: just as the scan would have begun it
    """

    reverse: bool = False
    snapshot: bool = False
    limit: int = 0
    expect: int = 0
    continuation: bytes | None = None
    budget: Budget | None = None
    begun: Waitable[Chunk] | None = None


FORWARD = ScanOptions()


class KeyValueScan(Cursor[KeyValue]):
    """The pairs of a key range."""

    __slots__ = (
        "_begin",
        "_context",
        "_end",
        "_iteration",
        "_last",
        "_left",
        "_options",
        "_pending",
        "_prefix_length",
        "_turned",
        "_wanted",
    )

    def __init__(self, context: Context, keys: KeyRange, options: ScanOptions = FORWARD) -> None:
        self._context = context
        self._begin, self._end, self._prefix_length = keys.begin, keys.end, keys.prefix_length
        self._options = options
        self._left = options.limit
        self._iteration = 0
        self._last: bytes | None = None
        self._wanted = 0
        self._turned = context.counters.rows_read
        self._pending: Waitable[Chunk] | None = None
        if options.continuation is not None:
            self._resume_behind(options.continuation, keys.tuples_at)

    def _resume_behind(self, continuation: bytes, tuples_at: int | None) -> None:
        if not isinstance(continuation, bytes):
            raise BadContinuation(reason="it is not bytes", got=type(continuation).__name__)
        inner = unwrap_key(continuation)
        key = self._begin[: self._prefix_length] + inner
        if inner is continuation and tuples_at is not None:
            # The bytes of a key and nothing more, as old releases of Java gave them: they must at least be a key.
            try:
                unpack(key, tuples_at)
            except MalformedTuple as error:
                raise BadContinuation(
                    reason="it is not one of a scan", hint="keep continuations as the bytes they are"
                ) from error
        if not self._begin <= key <= self._end:
            raise BadContinuation(
                reason="it lies outside the range that is scanned",
                hint="resume with the same bounds, index and query that gave it",
            )
        self._last = key
        self._behind(key)

    @property
    def last(self) -> bytes | None:
        """The key that was read last, or that it was resumed behind."""
        return self._last

    def _behind(self, key: bytes) -> None:
        if self._options.reverse:
            self._end = max(key, self._begin)
        else:
            self._begin = min(key + b"\x00", self._end)

    def start(self) -> None:
        if self._pending is not None:
            return
        options = self._options
        wanted = self._left
        if not wanted and not self._iteration:
            wanted = options.expect
        if options.budget is not None and options.budget.keys is not None:
            allowed = max(1, options.budget.keys)
            wanted = min(wanted, allowed) if wanted else allowed
        limit = min(wanted or CHUNK, CHUNK)
        self._wanted = limit
        self._iteration += 1
        if options.begun is not None and self._iteration == 1:
            self._pending = options.begun
            return
        self._pending = self._context.get_range(
            self._begin,
            self._end,
            limit=limit,
            reverse=options.reverse,
            snapshot=options.snapshot,
            mode=StreamingMode.WANT_ALL if wanted else StreamingMode.ITERATOR,
            iteration=self._iteration,
        )

    async def batch(self) -> Batch[KeyValue]:
        budget = self._options.budget
        if budget is not None and self._pending is None and self._iteration and self._last is not None:
            stop = budget.spent()  # by another scan of the same execution
            if stop is not None:
                return Batch([], never, stop, self.continuation_of(self._last))
        self.start()
        assert self._pending is not None, "start() has begun a read"
        chunk = await self._pending
        self._pending = None
        rows = chunk.rows
        more = chunk.more or (self._wanted > 0 and len(rows) >= self._wanted)
        stop = None if more else Stop.EXHAUSTED
        kept = rows
        if budget is not None and rows:
            kept = budget.take(rows)
            if len(kept) < len(rows):
                stop = None
        counters = self._context.counters
        counters.rows_read += len(rows)
        counters.bytes_read += bytes_of(rows)
        if counters.rows_read - self._turned >= TURN:
            self._turned = counters.rows_read
            await Turn()
        rows = kept
        if rows:
            self._last = rows[-1][0]
            self._behind(self._last)
            if self._left:
                self._left -= len(rows)
                if not self._left:
                    stop = Stop.LIMIT_REACHED
            if stop is None and budget is not None:
                stop = budget.spent()
        end = None
        if stop is not None and stop is not Stop.EXHAUSTED and self._last is not None:
            end = self.continuation_of(self._last)
        prefix_length = self._prefix_length
        return Batch(rows, lambda index: wrap_key(rows[index][0][prefix_length:]), stop, end)

    def continuation_of(self, key: bytes) -> bytes:
        """The continuation behind a key of the range."""
        return wrap_key(key[self._prefix_length :])
