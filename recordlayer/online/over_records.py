"""One transaction's share of a build over records: reads some, writes their entries, and notes how far it came.

Cost    1 range read a chunk of records; for each index the writes of its entries; see `online.share`
Source  Record Layer: IndexingByRecords, IndexingMultiTargetByRecords
"""

from __future__ import annotations

from collections.abc import Sequence

from recordlayer.cursor.scan import KeyRange, ScanOptions
from recordlayer.index.range_set import FIRST, Gap
from recordlayer.index.registry import maintainer_for
from recordlayer.metadata import Index
from recordlayer.online.options import WorkLimits
from recordlayer.online.share import Share, note
from recordlayer.online.taking import take
from recordlayer.store.build import build_records
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore


async def build_share(
    store: RecordStore, targets: Sequence[Index], gap: Gap, *, records: int, limits: WorkLimits
) -> Share:
    """Index the first records of a gap in the range sets of `targets`, at most `records`, and fill it that far.

    Raises  Conflict if somebody else has been there meanwhile; what an index refuses.
    """
    context, base = store.context, store.layout.records
    # Whoever changes a record that was indexed must conflict with us. Indexes to which the same change may be applied
    # twice need no more than that; the others depend on what was not there as well.
    snapshot = all(maintainer_for(store.states.space(index, building=True)).idempotent for index in targets)
    concerned = {known.name for index in targets for known in store.metadata.stored_types_of(index)}
    all_types = len(concerned) == len(store.metadata.record_types)

    async def build(some: list[StoredRecord]) -> None:
        if snapshot and all_types:  # one range for all costs less than one each, here and in a cluster's resolvers
            last = base + some[-1].primary_key_bytes
            context.add_read_conflict_range(base + some[0].primary_key_bytes, last + b"\xff")
        elif snapshot:
            for record in some:
                if record.record_type.name in concerned:
                    key = base + record.primary_key_bytes
                    context.add_read_conflict_range(key, key + b"\xff")
        for index in targets:
            await build_records(store, index, some)

    keys = KeyRange(base + gap.begin if gap.begin != FIRST else base + b"\x00", base + gap.end, len(base))
    cursor = store.records.scan(keys, ScanOptions(snapshot=snapshot, limit=records + 1))
    taken = await take(context, cursor, build, most=records, limits=limits)
    share = Share(taken.number, gap.end if taken.left is None else taken.left.primary_key_bytes)
    await note(store, targets, gap, share, limits)
    return share
