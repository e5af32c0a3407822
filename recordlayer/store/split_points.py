"""Where the records of a store, or some of them, can be parted into pieces of about the same size.

Cost    2 reads, of statistics: no record is read
Source  Record Layer, FDBRecordStore.getPrimaryKeyBoundaries, IndexingMutuallyByRecords; Firestore, PartitionQuery
"""

from __future__ import annotations

from typing import Any

from recordlayer.errors import MalformedTuple, UsageError
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack, unpack

SMALLEST = 10_000
"""Bytes: less is not worth a piece of its own."""


async def split_points(store: RecordStore, prefix: tuple[Any, ...], pieces: int) -> list[tuple[Any, ...]]:
    """Primary keys, ascending, before which to part the records whose primary key begins with `prefix` into about so
    many pieces; fewer where there is little.

    Raises  UsageError.
    """
    if not isinstance(pieces, int) or isinstance(pieces, bool) or pieces < 1:
        raise UsageError(pieces=pieces, hint="give a whole number of at least 1")
    context, base = store.context, pack(prefix, store.layout.records)
    begin, end = base + b"\x00", base + b"\xff"
    size = await context.transaction.estimated_range_size(begin, end)
    keys = await context.transaction.range_split_points(begin, end, max(SMALLEST, size // pieces))
    points = {point for key in keys[1:-1] if (point := primary_key_in(store, key)) is not None}
    return [unpack(point) for point in sorted(points)]


def primary_key_in(store: RecordStore, key: bytes) -> bytes | None:
    """The primary key, packed, that a key of a record begins with: no piece begins within a record."""
    try:
        items = unpack(key, len(store.layout.records))
    except MalformedTuple:
        return None
    if store.records.splitting.has_suffixes:
        items = items[:-1]
    return pack(items) if items else None
