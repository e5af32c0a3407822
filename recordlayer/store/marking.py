"""Changes of index states, each with all that must go with it.

Cost    to not readable: 1 range read, 1-2 writes; to readable: 1-2 range reads, 3 writes
Source  Record Layer, FDBRecordStore: markIndexNotReadable, markIndexReadable, clearAndMarkIndexWriteOnly
"""

from __future__ import annotations

from recordlayer.errors import IndexNotBuilt, UniquenessViolation, UsageError
from recordlayer.index import build_notes
from recordlayer.index.range_set import FIRST, LAST, RangeSet
from recordlayer.index.state import IndexState
from recordlayer.metadata import Index
from recordlayer.store.header import FormatVersion
from recordlayer.store.layout import Keyspace
from recordlayer.store.states import clear_index_data
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack, unpack


def _prefix(store: RecordStore, keyspace: Keyspace, index: Index) -> bytes:
    return store.layout.of(keyspace) + pack((index.subspace_key,))


async def mark_write_only(store: RecordStore, index: Index) -> None:
    """Changes go on being written, nobody reads. What is there stays."""
    await _mark_not_readable(store, index, IndexState.WRITE_ONLY)


async def mark_disabled(store: RecordStore, index: Index) -> None:
    """Neither written nor read; what is there is cleared."""
    if await _mark_not_readable(store, index, IndexState.DISABLED):
        clear_index_data(store.context, store.layout, index.subspace_key)


def clear_and_mark(store: RecordStore, index: Index, state: IndexState) -> None:
    """Clear what is there. WRITE_ONLY: the index is to be built from the beginning; DISABLED: later, or never."""
    clear_index_data(store.context, store.layout, index.subspace_key)
    _set(store, index, state)


async def _mark_not_readable(store: RecordStore, index: Index, state: IndexState) -> bool:
    current = store.states.of(index)
    if current is state:
        return False
    if current.is_readable:
        built = _prefix(store, Keyspace.INDEX_RANGES, index)
        there = await store.context.get_range(built + b"\x00", built + b"\xff", limit=1)
        if not there.rows:  # remember that the data were complete
            store.context.set(pack((FIRST,), built), LAST)
    _set(store, index, state)
    return True


async def mark_readable(store: RecordStore, index: Index, *, unique_pending: bool = False) -> bool:
    """Queries may use the index from now on. Whether its state changed.

    With `unique_pending` a unique index that is not unique yet becomes READABLE_UNIQUE_PENDING.

    Raises  IndexNotBuilt while something is missing; UniquenessViolation.
    """
    current = store.states.of(index)
    if current is IndexState.READABLE:
        return False
    missing = await _first_missing(store, index)
    if missing is not None:
        raise IndexNotBuilt(index=index.name, missing_from=missing, hint="build the index to its end first")
    state = IndexState.READABLE
    if index.unique:
        violations = _prefix(store, Keyspace.UNIQUENESS_VIOLATIONS, index)
        found = (await store.context.get_range(violations + b"\x00", violations + b"\xff", limit=1)).rows
        if found and not unique_pending:
            items = unpack(found[0][0], len(violations))
            size = index.column_size
            raise UniquenessViolation(
                index=index.name,
                value=items[:size],
                saving=items[size:],
                held_by=unpack(found[0][1]) or None,
                hint="records with equal values are there: change or delete them first",
            )
        if found:
            if store.header.format_version < FormatVersion.READABLE_UNIQUE_PENDING:
                raise UsageError(
                    index=index.name,
                    format_version=store.header.format_version,
                    hint=f"the state needs format version {FormatVersion.READABLE_UNIQUE_PENDING} or newer",
                )
            state = IndexState.READABLE_UNIQUE_PENDING
    if current is state:
        return False
    mark_readable_unchecked(store, index, state)
    return True


def mark_readable_unchecked(store: RecordStore, index: Index, state: IndexState = IndexState.READABLE) -> None:
    """Queries may use the index from now on, whatever it holds."""
    _set(store, index, state)
    if state is not IndexState.READABLE:
        return
    if any(known.replaced_by for known in store.metadata.indexes.values()):
        store.context.before_commit(lambda: _disable_replaced_at_last(store))
    for keyspace, sub_key in ((Keyspace.INDEX_RANGES, b""), (Keyspace.INDEX_BUILDS, build_notes.HEARTBEATS)):
        prefix = _prefix(store, keyspace, index) + sub_key
        store.context.clear_range(prefix + b"\x00", prefix + b"\xff")


async def _first_missing(store: RecordStore, index: Index) -> bytes | None:
    """Where the first part begins that was not built; None if all was. Conflicts with who changes what is built."""
    built = _prefix(store, Keyspace.INDEX_RANGES, index)
    store.context.add_read_conflict_range(built + b"\x00", built + b"\xff")
    missing = await RangeSet(store.context, built).missing(limit=1)
    return missing[0].begin if missing else None


def _set(store: RecordStore, index: Index, state: IndexState) -> None:
    store.states.set(index, state)
    if store.header.cacheable:
        store.context.change_metadata_version()


def disable_replaced(store: RecordStore) -> None:
    """Disable the indexes whose replacements are all readable: they have done their work.

    Source  Record Layer, FDBRecordStore.removeReplacedIndexes
    """
    for index in store.metadata.indexes.values():
        if not index.replaced_by or store.states.peek(index) is IndexState.DISABLED:
            continue
        replacements = [store.metadata.indexes.get(name) for name in index.replaced_by]
        if all(one is not None and store.states.peek(one) is IndexState.READABLE for one in replacements):
            clear_and_mark(store, index, IndexState.DISABLED)


async def _disable_replaced_at_last(store: RecordStore) -> None:
    """Before the commit: until then a state may change back."""
    disable_replaced(store)
