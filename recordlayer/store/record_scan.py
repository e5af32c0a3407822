"""Scans of records: pairs of the records keyspace put together, in either direction, from chunk to chunk.

Limits count pairs, and are looked at between records.

Cost    1 range read a chunk
Source  Record Layer, SplitHelper.KeyValueUnsplitter
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from recordlayer.cursor.scan import KeyRange, KeyValueScan, ScanOptions
from recordlayer.cursor.step import Batch, Cursor, Stop
from recordlayer.errors import CorruptRecord
from recordlayer.kv.context import Context
from recordlayer.kv.engine import KeyValue
from recordlayer.store.record import Codec, StoredRecord
from recordlayer.store.split import (
    FIRST_PART,
    UNSPLIT,
    VERSION,
    Splitting,
    broken,
    in_words,
    pending_version,
    suffix_length,
)
from recordlayer.tuples import pack


class RecordScan(Cursor[StoredRecord]):
    """Records put together from the pairs of a range.

    A continuation is that of the last pair of a record in the direction of the scan, as in Java. What else the record
    has behind it, because it was saved again in other parts since, belongs to the page before.
    """

    __slots__ = (
        "_behind",
        "_budget",
        "_codec",
        "_context",
        "_held",
        "_left",
        "_reverse",
        "_source",
        "_splitting",
        "_start",
        "_wrap",
    )

    def __init__(
        self,
        context: Context,
        records: bytes,
        codec: Codec,
        splitting: Splitting,
        keys: KeyRange,
        options: ScanOptions,
    ) -> None:
        self._context = context
        self._start = len(records)
        self._codec = codec
        self._splitting = splitting
        self._budget = options.budget
        self._left = options.limit
        self._reverse = options.reverse
        expect = options.limit or options.expect
        if expect and (splitting.splits or codec.metadata.store_record_versions):
            expect = 2 * expect + 1
        if options.budget is not None and options.budget.keys is not None:
            allowed = max(1, options.budget.keys)
            expect = min(expect or allowed, allowed)
        self._source = KeyValueScan(context, keys, replace(options, limit=0, budget=None, expect=expect))
        self._behind = self._source.last if splitting.has_suffixes else None
        self._held: list[KeyValue] = []

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[StoredRecord]:
        found = await self._source.batch()
        rows = self._held + list(found.values) if self._held else list(found.values)
        if self._behind is not None:
            rows = self._without_rest(self._behind, rows)
        exhausted = found.stop is Stop.EXHAUSTED
        if not self._splitting.has_suffixes:
            grouped = [_Group(key, [(key, value)]) for key, value in rows]
            self._held = []
        else:
            group = _grouped_backward if self._reverse else grouped_forward
            try:
                grouped, self._held = group(rows, self._start, exhausted=exhausted)
            except CorruptRecord as error:
                raise in_words(error, self._context) from error.__cause__
        stop = Stop.EXHAUSTED if exhausted else None
        if self._left and len(grouped) >= self._left:
            grouped, stop = grouped[: self._left], Stop.LIMIT_REACHED
        if self._budget is not None and grouped:
            fitting = self._budget.fitting([group.pairs for group in grouped], found.values)
            if fitting < len(grouped):
                grouped, stop = grouped[:fitting], None
            if stop is None:
                stop = self._budget.spent()
        if self._left:
            self._left -= len(grouped)
        records = [self._record(base, pairs) for base, pairs in grouped]
        key_of = self._source.continuation_of

        def resume(index: int) -> bytes:
            return key_of(grouped[index].pairs[-1][0])

        end = resume(len(grouped) - 1) if stop not in (None, Stop.EXHAUSTED) and grouped else None
        return Batch(records, resume, stop, end)

    def _without_rest(self, behind: bytes, rows: list[KeyValue]) -> list[KeyValue]:
        """The rows without what belongs to the record that a continuation lies in."""
        for place, (key, _) in enumerate(rows):
            try:
                base = key[: -suffix_length(key, self._start)]
            except CorruptRecord:
                base = key  # it is told where records are put together
            if not behind.startswith(base):
                self._behind = None
                return rows[place:] if place else rows
        return []

    def _record(self, base: bytes, pairs: list[KeyValue]) -> StoredRecord:
        primary_key = base[self._start :]
        if len(pairs) == 1 and pairs[0][0][-1] == 0x14:
            record = StoredRecord(self._codec, primary_key, pairs[0][1])
        elif not self._splitting.has_suffixes:
            return StoredRecord(self._codec, primary_key, pairs[0][1])
        else:
            try:
                raw = self._splitting.assemble(base, sorted(pairs))
            except CorruptRecord as error:
                raise in_words(error, self._context) from error.__cause__
            assert raw is not None, "a group has a pair at least"
            record = StoredRecord(self._codec, primary_key, raw.data, raw.version, raw.shape)
        pending = pending_version(self._context, base)
        if pending is not None:
            record.version = pending
        return record


class _Group(NamedTuple):
    """The pairs of one record, in the order of the scan, and their key without suffix."""

    base: bytes
    pairs: list[KeyValue]


def grouped_forward(rows: list[KeyValue], start: int, *, exhausted: bool) -> tuple[list[_Group], list[KeyValue]]:
    """Ascending pairs as records, and those at the end that may belong to a record which goes on.

    Within a record the next suffix is known; a record begins with the version, the whole record or its first part. So
    no key has to be unpacked.
    """
    groups: list[_Group] = []
    base: bytes | None = None
    pairs: list[KeyValue] = []
    parts = 0
    for pair in rows:
        key = pair[0]
        if base is not None:
            if not parts and key == base + UNSPLIT:
                groups.append(_Group(base, [*pairs, pair]))
                base = None
                continue
            if key == base + pack((parts + 1,)):
                pairs.append(pair)
                parts += 1
                continue
            groups.append(_Group(base, pairs))
        if key[-1] == 0x14:
            groups.append(_Group(key[:-1], [pair]))
            base = None
            continue
        if not key.endswith((VERSION, FIRST_PART)):
            raise broken(key, "a part of a record without those before it")
        base, pairs, parts = key[:-2], [pair], int(key.endswith(FIRST_PART))
        if groups and groups[-1].base == base:
            raise broken(key, "something follows the record")
    if base is None:
        return groups, []
    if exhausted:
        groups.append(_Group(base, pairs))
        return groups, []
    return groups, pairs


def _grouped_backward(rows: list[KeyValue], start: int, *, exhausted: bool) -> tuple[list[_Group], list[KeyValue]]:
    """Descending pairs as records, and those at the end that may belong to a record which goes on."""
    groups: list[_Group] = []
    base: bytes | None = None
    pairs: list[KeyValue] = []
    for pair in rows:
        key = pair[0]
        if base is not None:
            if key.startswith(base) and len(key) - len(base) <= 4 and suffix_length(key, start) == len(key) - len(base):
                pairs.append(pair)
                continue
            groups.append(_Group(base, pairs))
        base, pairs = key[: -suffix_length(key, start)], [pair]
    if base is None:
        return groups, []
    if exhausted:
        groups.append(_Group(base, pairs))
        return groups, []
    return groups, pairs
