"""One transaction's share of a build that goes by another index: only the records with an entry there are read.

Worth it where the index covers one record type among many, or has a condition that leaves most records out. The points
of the range set are then keys of the source index.

A record that is saved may move in the source, from before the build to behind it, while its entry in the target stays
the same. Writers here write that entry all the same (VALUE), or ask where the build is (aggregates); Java's write only
what has changed. So let no Java process write while a VALUE index is built so.

Cost    1 range read a chunk of entries, 1 range read a record, in one round trip a batch; the rest as over records
Source  Record Layer: IndexingByIndex
"""

from __future__ import annotations

from collections.abc import Sequence

from recordlayer.cursor.scan import KeyRange, KeyValueScan, ScanOptions
from recordlayer.cursor.step import Stop
from recordlayer.errors import Conflict, CorruptIndexEntry, SourceUnsuitable
from recordlayer.index.entry import EntryLayout, IndexEntry
from recordlayer.index.range_set import FIRST, LAST, Missing
from recordlayer.index.registry import maintainer_for
from recordlayer.kv.engine import MutationType
from recordlayer.metadata import Index
from recordlayer.online.options import BuildLimits
from recordlayer.online.over_records import Share, range_set_of
from recordlayer.online.stamp import scanned_key
from recordlayer.store.build import build_records
from recordlayer.store.header import FormatVersion
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack, strinc

_AT_ONCE = 20
_CHECKED = FormatVersion.CHECK_INDEX_BUILD_TYPE_DURING_UPDATE


def check_source(store: RecordStore, target: Index, source: Index) -> None:
    """Raises  SourceUnsuitable if `target` cannot be built by `source`; IndexNotReadable."""
    metadata = store.metadata
    covered, wanted = metadata.record_types_of(source), metadata.record_types_of(target)
    reason = ""
    if source.name == target.name:
        reason = "an index cannot be built by itself"
    elif source.type != "value":
        reason = "the source must be a VALUE index"
    elif len(covered) != 1 or len(wanted) != 1 or covered[0].name != wanted[0].name:
        reason = "both must be on one and the same record type"
    elif source.root_expression.creates_duplicates:
        reason = "the source has several entries for a record"
    elif source.predicate is not None and source.predicate != target.predicate:
        reason = "the source leaves records out that the index has"
    elif _is_idempotent(store, target):
        if target.type != "value":
            reason = "writers write what has changed only: a record that moves in the source could be passed by"
    elif store.header.format_version < _CHECKED:
        reason = f"writers look at the kind of a build from format version {int(_CHECKED)} on"
    if reason:
        raise SourceUnsuitable(index=target.name, source=source.name, reason=reason, hint="build it over the records")
    store.check_readable(source)


def _is_idempotent(store: RecordStore, target: Index) -> bool:
    return maintainer_for(store.states.space(target, building=True)).idempotent


async def build_share_by_index(
    store: RecordStore, target: Index, source: Index, gap: Missing, *, records: int, limits: BuildLimits
) -> Share:
    """Index the records of the first entries of a gap, at most `records`, and fill it that far.

    Raises  Conflict if somebody else has been there meanwhile; what the index refuses.
    """
    share = await _index(store, target, source, gap, records, limits)
    if not await range_set_of(store, target).insert(gap.begin, share.reached, require_empty=True):
        raise Conflict(hint="another build was here: the transaction is tried again")
    if limits.track_progress and share.records:
        count = share.records.to_bytes(8, "little")
        store.context.atomic(MutationType.ADD, scanned_key(store, target), count)
    return share


async def _index(
    store: RecordStore, target: Index, source: Index, gap: Missing, records: int, limits: BuildLimits
) -> Share:
    context, space = store.context, store.states.space(source)
    begun, written = context.world.clock.monotonic(), context.counters.bytes_written
    snapshot = _is_idempotent(store, target)
    layout = EntryLayout(source.name, source.column_size, source.primary_key_positions, space.functions.unpack)
    begin = space.entries if gap.begin == FIRST else space.entries + gap.begin
    end = strinc(space.entries) if gap.end == LAST else space.entries + gap.end
    keys = KeyRange(begin, end, len(space.entries))
    scan = KeyValueScan(context, keys, ScanOptions(snapshot=snapshot, limit=records + 1))
    taken = 0
    while True:
        batch = await scan.batch()
        found = [IndexEntry(layout, key[len(space.entries) :], value) for key, value in batch.values]
        at = 0
        while at < len(found):
            enough = context.counters.bytes_written - written >= limits.bytes or (
                context.world.clock.monotonic() - begun >= limits.time.total_seconds()
            )
            if taken and (enough or taken >= records):
                return Share(taken, found[at].suffix)
            some = found[at : at + min(_AT_ONCE, records - taken)]
            await _load_and_build(store, target, some, snapshot=snapshot)
            at += len(some)
            taken += len(some)
        if batch.stop is Stop.EXHAUSTED:
            return Share(taken, gap.end)


async def _load_and_build(store: RecordStore, target: Index, entries: Sequence[IndexEntry], *, snapshot: bool) -> None:
    keys = [entry.primary_key for entry in entries]
    found = await store.load_many(keys, snapshot=snapshot)
    for entry, key, record in zip(entries, keys, found, strict=True):
        if record is None:
            raise CorruptIndexEntry(index=entry.index_name, key=entry.items, found="its record is missing")
        if snapshot:
            begin = store.layout.records + pack(key)
            store.context.add_read_conflict_range(begin, begin + b"\xff")
    await build_records(store, target, [record for record in found if record is not None])
