"""The record counts of old metadata: one counter for each value of the metadata's record count key.

New designs use a COUNT index; this is kept because the metadata of a Java writer may have such a key.

Layout  keyspace 4: (*count key) -> 8 bytes little-endian; exactly the prefix for a key without columns
Cost    1 atomic mutation when a record is inserted or deleted, nothing when it is replaced

Source  Record Layer, FDBRecordStore.addRecordCount, checkPossiblyRebuildRecordCounts
"""

from __future__ import annotations

from collections.abc import Sequence

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

    def clear(self) -> None:
        """Clear the counters. (Java clears the range, so that an ungrouped counter survives; here it does not.)"""
        self._context.clear(self._prefix)
        self._context.clear_range(self._prefix + b"\x00", self._prefix + b"\xff")

    async def total(self) -> int:
        """The sum of the counters, as a snapshot.  Cost  1 range read a chunk."""
        rows = await self._context.read_all(self._prefix, self._prefix + b"\xff", snapshot=True)
        return sum(int.from_bytes(value, "little", signed=True) for _, value in rows)

    def set_all(self, records: Sequence[IndexedRecord]) -> None:
        """Set the counters to what these records give."""
        counted: dict[bytes, int] = {}
        for record in records:
            key = self._counter(record)
            counted[key] = counted.get(key, 0) + 1
        for key, number in counted.items():
            self._context.set(key, number.to_bytes(8, "little"))


def are_kept(header: StoreHeader, key: KeyExpression | None) -> bool:
    """Whether a store keeps counters."""
    return (
        key is not None
        and header.format_version >= FormatVersion.RECORD_COUNT_ADDED
        and header.message.record_count_state != DataStoreInfo.DISABLED
    )
