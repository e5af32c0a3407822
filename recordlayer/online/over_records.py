"""One transaction's share of a build over records: reads some, writes their entries, and notes how far it came.

Cost    1 range read a chunk of records; for each index the writes of its entries, 2 range reads and 1 write for the
        range set, 1 mutation for the count
Source  Record Layer: IndexingByRecords, IndexingMultiTargetByRecords, IndexingBase.iterateRangeOnly
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recordlayer.cursor.scan import KeyRange, ScanOptions
from recordlayer.cursor.step import Stop
from recordlayer.errors import Conflict
from recordlayer.index.range_set import FIRST, Missing, RangeSet
from recordlayer.index.registry import maintainer_for
from recordlayer.kv.engine import MutationType
from recordlayer.metadata import Index
from recordlayer.online.options import BuildLimits
from recordlayer.online.stamp import scanned_key
from recordlayer.store.build import build_records
from recordlayer.store.layout import Keyspace
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack

_AT_ONCE = 20
"""Records between two looks at the clock and at what has been written."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one transaction did: how many records it looked at, and from which primary key on others are to come."""

    records: int
    reached: bytes


def range_set_of(store: RecordStore, index: Index) -> RangeSet:
    """Which records a build of the index has been at, by packed primary key."""
    return RangeSet(store.context, store.layout.of(Keyspace.INDEX_RANGES) + pack((index.subspace_key,)))


async def build_share(
    store: RecordStore, targets: Sequence[Index], gap: Missing, *, records: int, limits: BuildLimits
) -> Share:
    """Index the first records of a gap in the range sets of `targets`, at most `records`, and fill it that far.

    Raises  Conflict if somebody else has been there meanwhile; what an index refuses.
    """
    share = await _index(store, targets, gap, records, limits)
    for index in targets:
        if not await range_set_of(store, index).insert(gap.begin, share.reached, require_empty=True):
            raise Conflict(hint="another build was here: the transaction is tried again")
        if limits.track_progress and share.records:
            count = share.records.to_bytes(8, "little")
            store.context.atomic(MutationType.ADD, scanned_key(store, index), count)
    return share


async def _index(
    store: RecordStore, targets: Sequence[Index], gap: Missing, records: int, limits: BuildLimits
) -> Share:
    context, base = store.context, store.layout.records
    begun, written = context.world.clock.monotonic(), context.counters.bytes_written
    # Whoever changes a record that was indexed must conflict with us. Indexes to which the same change may be applied
    # twice need no more than that; the others depend on what was not there as well.
    snapshot = all(maintainer_for(store.states.space(index, building=True)).idempotent for index in targets)
    concerned = {known.name for index in targets for known in store.metadata.stored_types_of(index)}
    keys = KeyRange(base + gap.begin if gap.begin != FIRST else base + b"\x00", base + gap.end, len(base))
    cursor = store.records.scan(keys, ScanOptions(snapshot=snapshot, limit=records + 1))
    taken = 0
    while True:
        batch = await cursor.batch()
        found: list[StoredRecord] = list(batch.values)
        at = 0
        while at < len(found):
            clock = context.world.clock.monotonic()
            enough = context.counters.bytes_written - written >= limits.bytes or (
                clock - begun >= limits.time.total_seconds()
            )
            if taken and (enough or taken >= records):
                return Share(taken, found[at].primary_key_bytes)
            some = found[at : at + min(_AT_ONCE, records - taken)]
            if snapshot:
                for record in some:
                    if record.record_type.name in concerned:
                        key = base + record.primary_key_bytes
                        context.add_read_conflict_range(key, key + b"\xff")
            for index in targets:
                await build_records(store, index, some)
            at += len(some)
            taken += len(some)
        if batch.stop is Stop.EXHAUSTED:
            return Share(taken, gap.end)
