"""What one transaction of a build did, noted for whoever goes on: in the range set, and in the count of records.

Cost    1 write an index for the range set, 1 mutation for the count; 2 range reads for each index behind the first
Source  Record Layer: IndexingBase.iterateRangeOnly
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recordlayer.errors import Conflict
from recordlayer.index.range_set import Gap, RangeSet
from recordlayer.kv.engine import MutationType
from recordlayer.metadata import Index
from recordlayer.online.options import BuildLimits, WorkLimits
from recordlayer.online.stamp import scanned_key
from recordlayer.store.layout import Keyspace
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack


@dataclass(frozen=True, slots=True)
class Share:
    """How many records one transaction looked at, and from which point on others are to come."""

    records: int
    reached: bytes


def range_set_of(store: RecordStore, index: Index) -> RangeSet:
    """What a build of the index has been at: records by packed primary key, or by their keys in the source."""
    return RangeSet(store.context, store.layout.of(Keyspace.INDEX_RANGES) + pack((index.subspace_key,)))


async def note(store: RecordStore, targets: Sequence[Index], gap: Gap, share: Share, limits: WorkLimits) -> None:
    """Fill a gap of the range sets as far as a share goes; it was found in that of the first target.

    Raises  Conflict if somebody else has been there.
    """
    for index in targets:
        ranges = range_set_of(store, index)
        if index is targets[0]:
            ranges.fill(gap, share.reached)
        elif not await ranges.insert(gap.begin, share.reached, require_empty=True):
            raise Conflict(hint="another build was here: the transaction is tried again")
        if share.records and (not isinstance(limits, BuildLimits) or limits.track_progress):
            count = share.records.to_bytes(8, "little")
            store.context.atomic(MutationType.ADD, scanned_key(store, index), count)
