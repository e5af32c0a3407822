"""What opening a store does when its format or its metadata version is older than the caller's: in the opening
transaction, in Java's order, so that everyone afterwards may rely on it.

Cost    nothing for a new store; else see each step. An index that is new to a store with more than 200 records is left
        disabled, to be built online.
Source  Record Layer, FDBRecordStore.checkPossiblyRebuild, checkRebuild
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from recordlayer.cursor.scan import ScanOptions
from recordlayer.errors import CorruptRecord, StoreError, UsageError
from recordlayer.index.bounds import Bounds
from recordlayer.index.state import IndexState
from recordlayer.keys.serial import from_proto, to_proto
from recordlayer.metadata import Index
from recordlayer.pb.record_metadata_pb2 import DataStoreInfo
from recordlayer.store.build import index_records, note_build
from recordlayer.store.counts import RecordCounts
from recordlayer.store.header import FormatVersion
from recordlayer.store.layout import Keyspace
from recordlayer.store.marking import clear_and_mark, disable_replaced, mark_readable_unchecked
from recordlayer.store.record import StoredRecord
from recordlayer.store.split import VERSION
from recordlayer.store.states import clear_former_index
from recordlayer.store.store import RecordStore
from recordlayer.tuples import Versionstamp, pack

MOST_RECORDS_FOR_INLINE_BUILD = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What the header said before it was changed."""

    is_new: bool
    format_version: int
    metadata_version: int
    cacheable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewIndex:
    """An index that the metadata has and the store has not seen yet, or not as it is now.

    records  how many records there are to index: 0 if all its record types are new, None for more than 200 if nobody
             has counted them
    """

    index: Index
    records: int | None


NewIndexState = Callable[[NewIndex], IndexState]
"""READABLE: build it now, in the transaction that opens the store. WRITE_ONLY: maintain it, and build it online.
DISABLED: build it later."""


async def upgrade(
    store: RecordStore, before: Before, *, count_records: bool = True, decide: NewIndexState | None = None
) -> None:
    """Bring everything but the header itself to the store's new format and metadata.

    `count_records`, `decide`: see `open.OpenOptions`.

    Raises  UsageError for a state that a new index cannot have.
    """
    if not before.is_new:
        await _move_old_versions(store, before)
    metadata_changed = before.metadata_version != store.metadata.version
    if metadata_changed:
        if not before.is_new and not store.metadata.store_record_versions and store.records.has_old_versions:
            _clear_old_versions(store)
        store.header.message.metaDataversion = store.metadata.version
    await _bring_counts_up_to_date(store, before)
    if metadata_changed:
        _clear_former_indexes(store, before)
        _release_uniqueness(store)
        await _bring_indexes_up_to_date(store, before, count_records=count_records, decide=decide)
    disable_replaced(store)


# -- versions ------------------------------------------------------------------------------------------------


async def _move_old_versions(store: RecordStore, before: Before) -> None:
    inline = FormatVersion.SAVE_VERSION_WITH_RECORD
    if not store.metadata.store_record_versions or store.records.has_old_versions or before.format_version >= inline:
        return
    prefix = store.layout.old_versions
    for key, value in await store.context.read_all(prefix + b"\x00", prefix + b"\xff"):
        base = store.layout.records + key[len(prefix) :]
        store.context.set(base + VERSION, pack((Versionstamp.from_bytes(value),)))
    _clear_old_versions(store)


def _clear_old_versions(store: RecordStore) -> None:
    prefix = store.layout.old_versions
    store.context.clear_range(prefix + b"\x00", prefix + b"\xff")


# -- record counts -------------------------------------------------------------------------------------------


async def _bring_counts_up_to_date(store: RecordStore, before: Before) -> None:
    key = store.metadata.record_count_key
    header = store.header.message
    keyed = store.header.format_version >= FormatVersion.RECORD_COUNT_KEY_ADDED
    stored = from_proto(header.record_count_key) if header.HasField("record_count_key") else None
    same = (stored is None) == (key is None) and (
        stored is None or key is None or stored.ignoring_nulls() == key.ignoring_nulls()
    )
    introduced = not before.is_new and before.format_version < FormatVersion.RECORD_COUNT_ADDED
    if not introduced and (not keyed or same):
        return
    counts = None if key is None else RecordCounts(store.context, store.layout, key)
    if not before.is_new:
        prefix = store.layout.record_counts
        store.context.clear_range(prefix + b"\x00", prefix + b"\xff")
    if keyed:
        header.ClearField("record_count_key")
        if key is not None:
            header.record_count_key.CopyFrom(to_proto(key))
    if not before.is_new and counts is not None and header.record_count_state != DataStoreInfo.DISABLED:
        counts.set_all(await _records(store, limit=0))


async def _records(store: RecordStore, *, limit: int) -> list[StoredRecord]:
    records: list[StoredRecord] = []
    cursor = store.scan(Bounds.ALL, ScanOptions(limit=limit))
    while True:
        batch = await cursor.batch()
        records += batch.values
        if batch.stop is not None:
            return records


# -- indexes -------------------------------------------------------------------------------------------------


def _clear_former_indexes(store: RecordStore, before: Before) -> None:
    for former in store.metadata.former_indexes:
        if former.removed_version > before.metadata_version >= former.added_version:
            clear_former_index(store.context, store.layout, former.subspace_key)
            if former.former_name is not None:
                store.states.forget(former.former_name)


def _release_uniqueness(store: RecordStore) -> None:
    for index in store.metadata.indexes.values():
        state = store.states.peek(index)
        if index.unique or state not in (IndexState.WRITE_ONLY, IndexState.READABLE_UNIQUE_PENDING):
            continue
        violations = store.layout.of(Keyspace.UNIQUENESS_VIOLATIONS) + pack((index.subspace_key,))
        store.context.clear_range(violations + b"\x00", violations + b"\xff")
        if state is IndexState.READABLE_UNIQUE_PENDING:
            mark_readable_unchecked(store, index)


async def _bring_indexes_up_to_date(
    store: RecordStore, before: Before, *, count_records: bool, decide: NewIndexState | None
) -> None:
    changed = [
        index for index in store.metadata.indexes.values() if index.last_modified_version > before.metadata_version
    ]
    waiting: list[Index] = []
    for index in changed:
        if index.replaced_by:
            _disable(store, index)
        elif before.is_new or _covers_new_types_only(store, index, before):
            _begin_empty(store, index, _decided(decide, NewIndex(index=index, records=0), IndexState.READABLE))
        else:
            waiting.append(index)
    if not waiting:
        return
    counted = await _counted(store, before)
    limit = MOST_RECORDS_FOR_INLINE_BUILD if count_records else 0
    few = counted <= MOST_RECORDS_FOR_INLINE_BUILD if counted is not None else None
    # One more than the limit says that there are too many; the ones read are the ones to index.
    records = [] if few is False else await _records(store, limit=0 if few else limit + 1)
    if few is None:
        few = len(records) <= limit
        counted = len(records) if few else None
    rule = IndexState.READABLE if few else IndexState.DISABLED
    complete = few
    waiting.sort(key=lambda index: bool(store.metadata.synthetic_of(index)))  # they may need the others
    for index in waiting:
        state = _decided(decide, NewIndex(index=index, records=counted), rule)
        if state is IndexState.READABLE:
            if not complete:
                records, complete = await _records(store, limit=0), True
            await _build(store, index, records)
        else:
            clear_and_mark(store, index, state)


def _begin_empty(store: RecordStore, index: Index, state: IndexState) -> None:
    """Give a state to an index that has nothing to index yet."""
    if state is not IndexState.READABLE:
        clear_and_mark(store, index, state)
    elif store.states.peek(index) is not IndexState.READABLE:
        mark_readable_unchecked(store, index)


def _decided(decide: NewIndexState | None, new: NewIndex, rule: IndexState) -> IndexState:
    """The state of a new index: what the caller decides, or what the rule says.  Raises  UsageError."""
    state = rule if decide is None else decide(new)
    if state not in (IndexState.READABLE, IndexState.WRITE_ONLY, IndexState.DISABLED):
        raise UsageError(
            index=new.index.name, new_index_state=state, hint="return IndexState.READABLE, WRITE_ONLY or DISABLED"
        )
    return state


async def _counted(store: RecordStore, before: Before) -> int | None:
    """How many records there are, as far as an index or a counter knows; None if none does."""
    states = DataStoreInfo.RecordCountState
    if store.counts is not None and store.header.message.record_count_state == states.READABLE:
        return await store.counts.total()
    for index in store.metadata.indexes.values():
        known_before = index.last_modified_version <= before.metadata_version
        if index.type == "count" and index.is_universal and index.predicate is None and known_before:
            expression = index.root_expression
            if not expression.creates_duplicates and store.states.peek(index).is_readable:
                return int(await store.aggregate(index.name, snapshot=True))
    return None


def _covers_new_types_only(store: RecordStore, index: Index, before: Before) -> bool:
    types = store.metadata.stored_types_of(index)
    return bool(types) and all(
        known.since_version is not None and known.since_version > before.metadata_version for known in types
    )


async def _build(store: RecordStore, index: Index, records: list[StoredRecord]) -> None:
    """Index these records, which are all there are. An index that refuses one of them is left disabled; one over
    records that cannot be made here is left to be built by who can, and writes of what it depends on are refused."""
    clear_and_mark(store, index, IndexState.WRITE_ONLY)
    if not store.metadata.stored_types_of(index):
        return
    mark_readable_unchecked(store, index)
    try:
        await index_records(store, index, records, complete=True)
        note_build(store, index, len(records))
    except CorruptRecord:
        raise
    except StoreError:
        _disable(store, index)


def _disable(store: RecordStore, index: Index) -> None:
    clear_and_mark(store, index, IndexState.DISABLED)
