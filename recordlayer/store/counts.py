"""The record counts of old metadata: one counter for each value of the metadata's record count key.

New designs use a COUNT index; this is kept because the metadata of a Java writer may have such a key.

Layout  keyspace 4: (*count key) -> 8 bytes little-endian; exactly the prefix for a key without columns
Cost    1 atomic mutation when a record is inserted or deleted, nothing when it is replaced

Source  Record Layer, FDBRecordStore.addRecordCount, checkPossiblyRebuildRecordCounts
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from recordlayer.errors import CorruptHeader
from recordlayer.index.maintainer import IndexedRecord
from recordlayer.keys import KeyExpression
from recordlayer.kv.context import Context
from recordlayer.kv.engine import MutationType
from recordlayer.pb.record_metadata_pb2 import DataStoreInfo
from recordlayer.store.header import FormatVersion, StoreHeader
from recordlayer.store.layout import StoreLayout
from recordlayer.tuples import pack

_PLUS = (1).to_bytes(8, "little")
_MINUS = (-1).to_bytes(8, "little", signed=True)


class RecordCountState(enum.IntEnum):
    """Whether a store counts its records, and whether the counters may be read. The values are those in the header."""

    READABLE = DataStoreInfo.READABLE
    WRITE_ONLY = DataStoreInfo.WRITE_ONLY
    DISABLED = DataStoreInfo.DISABLED


class RecordCounts:
    """The counters of one store in one transaction."""

    __slots__ = ("_context", "_key", "_prefix")

    def __init__(self, context: Context, layout: StoreLayout, key: KeyExpression) -> None:
        self._context = context
        self._prefix = layout.record_counts
        self._key = key

    def _counter(self, record: IndexedRecord) -> bytes:
        return pack(self._key.evaluate_single(record.message, record.key_context), self._prefix)

    def added(self, record: IndexedRecord) -> None:
        self._context.atomic(MutationType.ADD, self._counter(record), _PLUS)

    def removed(self, record: IndexedRecord) -> None:
        self._context.atomic(MutationType.ADD, self._counter(record), _MINUS)

    @staticmethod
    def clear(context: Context, layout: StoreLayout) -> None:
        """Clear all counters of a store."""
        context.clear_range(layout.record_counts, layout.record_counts + b"\xff")

    def clear_prefix(self, items: tuple[Any, ...]) -> None:
        """Clear the counters of the keys that begin with `items`.  Cost  1 clear range, 1 clear for a whole key."""
        begin = pack(items, self._prefix)
        if len(items) == self._key.column_size:
            self._context.clear(begin)
        else:
            self._context.clear_range(begin, begin + b"\xff")

    async def of(self, items: tuple[Any, ...] = ()) -> int:
        """How many records have a key that begins with `items`, as a snapshot: counting conflicts with nobody.

        Cost    1 read for a whole key, else 1 range read a chunk.
        Raises  CorruptHeader for what is no counter.
        """
        begin = pack(items, self._prefix)
        if len(items) == self._key.column_size:
            value = await self._context.get(begin, snapshot=True)
            return 0 if value is None else _counted(begin, value)
        rows = await self._context.read_all(begin, begin + b"\xff", snapshot=True)
        return sum(_counted(key, value) for key, value in rows)

    async def total(self) -> int:
        """How many records there are, as a snapshot.  Cost  1 range read a chunk."""
        return await self.of()

    async def differences(self, records: Sequence[IndexedRecord]) -> list[tuple[bytes, int, int]]:
        """Counters that are not what these records, which are all there are, give: key, counted, expected."""
        expected = self._counted_anew(records)
        there = dict(await self._context.read_all(self._prefix, self._prefix + b"\xff"))
        nothing = bytes(8)
        return [
            (key, int.from_bytes(there.get(key, b""), "little", signed=True), expected.get(key, 0))
            for key in sorted(there.keys() | expected.keys())
            if there.get(key, nothing) != expected.get(key, 0).to_bytes(8, "little")
        ]

    def set_all(self, records: Sequence[IndexedRecord]) -> None:
        """Set the counters to what these records give."""
        for key, number in self._counted_anew(records).items():
            self._context.set(key, number.to_bytes(8, "little"))

    def _counted_anew(self, records: Sequence[IndexedRecord]) -> dict[bytes, int]:
        counted: dict[bytes, int] = {}
        for record in records:
            key = self._counter(record)
            counted[key] = counted.get(key, 0) + 1
        return counted


def _counted(key: bytes, value: bytes) -> int:
    if len(value) != 8:
        raise CorruptHeader(what="record count", key=key, value=value, found="a counter has 8 bytes")
    return int.from_bytes(value, "little", signed=True)


def are_kept(header: StoreHeader, key: KeyExpression | None) -> bool:
    """Whether a store keeps counters."""
    return (
        key is not None
        and header.format_version >= FormatVersion.RECORD_COUNT_ADDED
        and header.message.record_count_state != DataStoreInfo.DISABLED
    )
