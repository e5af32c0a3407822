"""Scans that show what a transaction keeps until its commit: entries and values with the version of that commit.

No engine can read them back, and so Java's scans leave them out. Here they stand where they will stand: an incomplete
version sorts behind every complete one, as the commit's will.

A continuation behind such an entry holds an incomplete version. It leads on within its transaction; behind the commit
the entry has another key, so there it is refused rather than taken for a place that it is not.

Cost  as the scan underneath
"""

from __future__ import annotations

from recordlayer.cursor.continuation import unwrap_key, wrap_key
from recordlayer.cursor.scan import KeyRange, KeyValueScan, ScanOptions
from recordlayer.cursor.step import Batch, Cursor, Stop, never
from recordlayer.errors import BadContinuation, MalformedTuple
from recordlayer.kv.context import Context
from recordlayer.kv.engine import KeyValue
from recordlayer.tuples import has_incomplete_versionstamp, unpack


def pending_scan(context: Context, keys: KeyRange, options: ScanOptions, *, start: int) -> Cursor[KeyValue]:
    """The pairs of a key range, with those that wait for the commit. Keys are tuples from `start` on.

    Raises  BadContinuation also for one behind an entry that waits no more, or waits in another transaction.
    """
    pending = context.stamped_rows(keys.begin, keys.end)
    continuation = options.continuation
    if isinstance(continuation, bytes):
        key = keys.begin[: keys.prefix_length] + unwrap_key(continuation)
        if all(key != kept for kept, _ in pending) and _is_incomplete(key, start):
            raise BadContinuation(
                reason="it stands behind an entry that was not committed yet",
                hint="resume it in its own transaction; or end the page before that transaction's own changes",
            )
        pending = [pair for pair in pending if (pair[0] < key if options.reverse else pair[0] > key)]
    scan = KeyValueScan(context, keys, options)
    if not pending:
        return scan
    return _Merged(scan, pending[::-1] if options.reverse else pending, keys.prefix_length, options)


def _is_incomplete(key: bytes, start: int) -> bool:
    try:
        return has_incomplete_versionstamp(unpack(key, start))
    except MalformedTuple:
        return False  # whatever it is, the scan says so


class _Merged(Cursor[KeyValue]):
    """A scan and pairs in its order that belong between its own, or in place of them."""

    __slots__ = ("_left", "_pending", "_prefix_length", "_reverse", "_scan")

    def __init__(self, scan: KeyValueScan, pending: list[KeyValue], prefix_length: int, options: ScanOptions) -> None:
        self._scan = scan
        self._pending = pending
        self._prefix_length = prefix_length
        self._reverse = options.reverse
        self._left = options.limit

    def start(self) -> None:
        self._scan.start()

    async def batch(self) -> Batch[KeyValue]:
        batch = await self._scan.batch()
        found = dict(batch.values)
        if batch.stop is Stop.EXHAUSTED:
            due, self._pending = self._pending, []
        elif found:
            last, reverse = batch.values[-1][0], self._reverse
            due = [pair for pair in self._pending if (pair[0] >= last if reverse else pair[0] <= last)]
            self._pending = self._pending[len(due) :]
        else:
            due = []
        found.update(due)
        rows = sorted(found.items(), reverse=self._reverse)
        prefix_length = self._prefix_length

        def resume(index: int) -> bytes:
            return wrap_key(rows[index][0][prefix_length:])

        stop, end = batch.stop, batch.end
        if self._left:
            if len(rows) >= self._left:
                del rows[self._left :]
                stop, end = Stop.LIMIT_REACHED, resume(self._left - 1)
            self._left -= len(rows)
        return Batch(rows, resume if rows else never, stop, end)


async def pending_read(context: Context, key: bytes, *, snapshot: bool) -> bytes | None:
    """The value of a key, with one that waits for the commit."""
    value = await context.get(key, snapshot=snapshot)
    kept = context.stamped_value(key)
    return value if kept is None else kept[:-4]
