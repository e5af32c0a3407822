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
from recordlayer.errors import CorruptIndexEntry, SourceUnsuitable
from recordlayer.index.entry import EntryLayout, IndexEntry
from recordlayer.index.range_set import FIRST, LAST, Gap
from recordlayer.index.registry import maintainer_for
from recordlayer.kv.engine import KeyValue
from recordlayer.metadata import Index
from recordlayer.online.options import WorkLimits
from recordlayer.online.share import Share, note
from recordlayer.online.taking import take
from recordlayer.store.build import build_records
from recordlayer.store.header import FormatVersion
from recordlayer.store.store import RecordStore
from recordlayer.tuples import strinc

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
    store: RecordStore, target: Index, source: Index, gap: Gap, *, records: int, limits: WorkLimits
) -> Share:
    """Index the records of the first entries of a gap, at most `records`, and fill it that far.

    Raises  Conflict if somebody else has been there meanwhile; what the index refuses.
    """
    space = store.states.space(source)
    start, snapshot = len(space.entries), _is_idempotent(store, target)
    layout = EntryLayout(source.name, source.column_size, source.primary_key_positions, space.functions.unpack)

    async def build(pairs: list[KeyValue]) -> None:
        entries = [IndexEntry(layout, key[start:], value) for key, value in pairs]
        await _load_and_build(store, target, entries, snapshot=snapshot)

    begin = space.entries if gap.begin == FIRST else space.entries + gap.begin
    end = strinc(space.entries) if gap.end == LAST else space.entries + gap.end
    scan = KeyValueScan(store.context, KeyRange(begin, end, start), ScanOptions(snapshot=snapshot, limit=records + 1))
    taken = await take(store.context, scan, build, most=records, limits=limits)
    share = Share(taken.number, gap.end if taken.left is None else taken.left[0][start:])
    await note(store, [target], gap, share, limits)
    return share


async def _load_and_build(store: RecordStore, target: Index, entries: Sequence[IndexEntry], *, snapshot: bool) -> None:
    keys = [entry.primary_key_bytes for entry in entries]
    found = await store.load_all_packed(keys, snapshot=snapshot)
    for entry, key, record in zip(entries, keys, found, strict=True):
        if record is None:
            raise CorruptIndexEntry(index=entry.index_name, key=entry.items, found="its record is missing")
        if snapshot:
            begin = store.layout.records + key
            store.context.add_read_conflict_range(begin, begin + b"\xff")
    await build_records(store, target, [record for record in found if record is not None])
