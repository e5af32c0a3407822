"""How many records there are: in all, of one type, with one key; from counters, never by reading records.

A store knows by its metadata's record count key, while its counters are readable, or by COUNT indexes, while those are.

Cost    1 read for a whole key, else 1 range read a chunk; as a snapshot, so that counting conflicts with nobody
Source  Record Layer, FDBRecordStore: getSnapshotRecordCount, getSnapshotRecordCountForRecordType. There a count by a
        part of the record count key gives the sum of all counters; here that of the counters asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from recordlayer.errors import UsageError
from recordlayer.index.maintainer import Aggregating, Items
from recordlayer.keys import EMPTY, RECORD_TYPE, Grouping, KeyExpression, Then
from recordlayer.keys.prefixes import is_prefix
from recordlayer.metadata import Index, RecordType
from recordlayer.store.counts import RecordCounts, RecordCountState
from recordlayer.store.store import RecordStore


async def record_count(
    store: RecordStore, record_type: str | None = None, *, by: KeyExpression = EMPTY, value: Items = ()
) -> int:
    """How many records there are, of a type if one is named, for which `by` gives `value`.

    Raises  UsageError if nothing in the store counts them so; UnknownRecordType.
    """
    if by.column_size != len(value):
        raise UsageError(by=by, value=value, hint=f"give {by.column_size} values")
    metadata = store.metadata
    types = tuple(metadata.record_types.values())
    if record_type is not None:
        types = (metadata.record_type(record_type),)
    whole = record_type is None or len(metadata.record_types) == 1
    source = _source_of_all(store, by, value) if whole else None
    sources = [source] if source is not None else [_source_of_type(store, known, by, value) for known in types]
    total = 0
    for one in sources:
        if one is None:
            raise UsageError(
                record_type=record_type,
                by=by,
                hint="nothing counts these records: add an index rl.count(group_by=...), or count a query",
            )
        total += await one.read()
    return total


@dataclass(frozen=True, slots=True)
class _Source:
    """Counters, and which of them to add up."""

    counters: RecordCounts | Aggregating
    group: Items

    async def read(self) -> int:
        if isinstance(self.counters, RecordCounts):
            return await self.counters.of(self.group)
        return int(await self.counters.aggregate(self.group, snapshot=True))


def _source_of_all(store: RecordStore, by: KeyExpression, value: Items) -> _Source | None:
    if (counts := _readable_counts(store, by)) is not None:
        return _Source(counts, value)
    for index, group in _count_indexes(store):
        if len(store.metadata.record_types_of(index)) == len(store.metadata.record_types) and is_prefix(by, group):
            return _of_index(store, index, value)
    return None


def _source_of_type(store: RecordStore, record_type: RecordType, by: KeyExpression, value: Items) -> _Source | None:
    with_type = RECORD_TYPE if by == EMPTY else Then((RECORD_TYPE, by))
    typed = (record_type.record_type_key, *value)
    if (counts := _readable_counts(store, with_type)) is not None:
        return _Source(counts, typed)
    for index, group in _count_indexes(store):
        covered = store.metadata.record_types_of(index)
        if covered == (record_type,) and is_prefix(by, group):
            return _of_index(store, index, value)
        if record_type in covered and is_prefix(with_type, group):
            return _of_index(store, index, typed)
    return None


def _readable_counts(store: RecordStore, by: KeyExpression) -> RecordCounts | None:
    """The record counts, if they count by these columns at least and may be read."""
    key = store.metadata.record_count_key
    if store.counts is None or key is None:
        return None
    state = RecordCountState(store.header.message.record_count_state)
    if state is not RecordCountState.READABLE or not is_prefix(by, key):
        return None
    return store.counts


def _count_indexes(store: RecordStore) -> Iterator[tuple[Index, KeyExpression]]:
    """The indexes that count each record of their types exactly once, and what they group by."""
    for index in store.metadata.indexes.values():
        root = index.root_expression
        counts = index.type == "count" and isinstance(root, Grouping) and root.grouped_count == 0
        if counts and index.predicate is None and not root.creates_duplicates and store.states.peek(index).is_readable:
            assert isinstance(root, Grouping), "as just asked"
            yield index, root.grouping_key


def _of_index(store: RecordStore, index: Index, group: Items) -> _Source:
    maintainer = store.index_maintainer(index.name)
    assert isinstance(maintainer, Aggregating), "count indexes are aggregates"
    return _Source(maintainer, group)
