"""Sharing one build among several indexers: fragments of the records, each taken whole by one of them.

An indexer goes through the fragments from a place of its own; first those nobody has begun, then what is missing
anywhere. Two may take the same piece all the same: the range set lets one of them commit.

Source  Record Layer: IndexingMutuallyByRecords
"""

from __future__ import annotations

from itertools import pairwise

from recordlayer.index.range_set import FIRST, LAST, Missing
from recordlayer.store.split_points import SMALLEST, primary_key_in
from recordlayer.store.store import RecordStore

_FRAGMENTS = 32


async def fragments_of(store: RecordStore) -> list[Missing]:
    """The records in parts of about the same size, beginning anywhere, and then all of them once more.

    Cost  2 reads.
    """
    context, base = store.context, store.layout.records
    begin, end = base + b"\x00", base + b"\xff"
    size = await context.transaction.estimated_range_size(begin, end)
    keys = await context.transaction.range_split_points(begin, end, max(SMALLEST, size // _FRAGMENTS))
    points = {FIRST, LAST}
    for key in keys[1:-1]:
        point = primary_key_in(store, key)
        if point is not None and FIRST < point < LAST:
            points.add(point)
    ordered = sorted(points)
    parts = [Missing(low, high) for low, high in pairwise(ordered)]
    first = context.world.random.randrange(len(parts))
    return [*parts[first:], *parts[:first], Missing(FIRST, LAST)]
