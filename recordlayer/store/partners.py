"""Finding the records that others are joined with: in the store, with changes that are not written yet, or among given
ones.

Cost    by primary key: 1 range read each; by an index: 1 range read a chunk of entries, 1 for each record; where an
        index that would serve may not be read, and for metadata without one: all records are read, as Java does
Source  Record Layer, JoinedRecordPlan
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.errors import CorruptIndexEntry
from recordlayer.index.bounds import Bounds
from recordlayer.index.entry import IndexEntry
from recordlayer.keys import KeyExpression
from recordlayer.metadata import Index, RecordType
from recordlayer.metadata.partners import Access, access_to
from recordlayer.store.fetch import fetched
from recordlayer.store.record import StoredRecord
from recordlayer.tuples import pack, unpack

if TYPE_CHECKING:
    from recordlayer.store.store import RecordStore

Wanted = tuple[KeyExpression, frozenset[bytes]]
"""An expression, and values, packed: a record fits if it has one of them."""


def values_of(expression: KeyExpression, record: StoredRecord) -> frozenset[bytes]:
    """The values that an expression has for a record."""
    return frozenset(map(pack, expression.evaluate(record.message, record.key_context)))


def fits(record: StoredRecord, kind: RecordType, wanted: Sequence[Wanted]) -> bool:
    """Whether a record is of a type and has one of the values of each expression."""
    return record.record_type.name == kind.name and all(
        not values.isdisjoint(values_of(expression, record)) for expression, values in wanted
    )


class Finder(Protocol):
    """Where partners are looked for."""

    async def find(self, kind: RecordType, wanted: Sequence[Wanted]) -> list[StoredRecord]:
        """The records that fit, each once."""

    async def any(self, kind: RecordType, wanted: Sequence[Wanted]) -> bool:
        """Whether there is one."""


class AmongRecords:
    """Partners among given records, which are all there are. Reads nothing."""

    def __init__(self, records: Iterable[StoredRecord]) -> None:
        self._by_type: dict[str, list[StoredRecord]] = defaultdict(list)
        for record in records:
            self._by_type[record.record_type.name].append(record)
        self._by_value: dict[tuple[str, KeyExpression], dict[bytes, list[StoredRecord]]] = {}

    async def find(self, kind: RecordType, wanted: Sequence[Wanted]) -> list[StoredRecord]:
        expression, values = wanted[0]
        known = self._by_value.get((kind.name, expression))
        if known is None:
            known = self._by_value[kind.name, expression] = defaultdict(list)
            for record in self._by_type[kind.name]:
                for value in values_of(expression, record):
                    known[value].append(record)
        found = {record.primary_key_bytes: record for value in sorted(values) for record in known.get(value, ())}
        return [record for record in found.values() if fits(record, kind, wanted[1:])]

    async def any(self, kind: RecordType, wanted: Sequence[Wanted]) -> bool:
        return bool(await self.find(kind, wanted))


class InStore:
    """Partners in a store, as it will be when `changed` is written: records by packed primary key, None for gone ones.

    What was read once is not read again: neither by this finder nor by those that are made `with_changes` from it.
    """

    def __init__(
        self, store: RecordStore, changed: Mapping[bytes, StoredRecord | None] | None = None, *, snapshot: bool = False
    ) -> None:
        self._store = store
        self._changed = changed or {}
        self._snapshot = snapshot
        self._read: dict[tuple[str, tuple[Wanted, ...]], list[StoredRecord]] = {}
        self._all: dict[str, list[StoredRecord]] = {}

    def with_changes(self, changed: Mapping[bytes, StoredRecord | None]) -> InStore:
        """The same store when these changes are written."""
        other = InStore(self._store, changed, snapshot=self._snapshot)
        other._read, other._all = self._read, self._all
        return other

    async def find(self, kind: RecordType, wanted: Sequence[Wanted]) -> list[StoredRecord]:
        if not all(values for _, values in wanted):
            return []
        key = kind.name, tuple(wanted)
        found = self._read.get(key)
        if found is None:
            found = self._read[key] = await self._look(kind, wanted)
        changed = self._changed
        there = [record for record in found if record.primary_key_bytes not in changed] if changed else list(found)
        return there + self._fitting_changes(kind, wanted)

    async def any(self, kind: RecordType, wanted: Sequence[Wanted]) -> bool:
        if not all(values for _, values in wanted):
            return False
        if self._fitting_changes(kind, wanted):
            return True
        if (kind.name, tuple(wanted)) in self._read:
            return bool(await self.find(kind, wanted))
        access = self._access(kind, wanted)
        sure = access.index is not None and access.bound == len(wanted) and len(access.index.record_types) == 1
        for prefix in _prefixes(access, kind, wanted):
            if access.whole:
                records = await self._records(access, [prefix])
                if any(one.primary_key_bytes not in self._changed and fits(one, kind, wanted) for one in records):
                    return True
                continue
            source = self._source(access, prefix, ScanOptions(expect=len(self._changed) + 1, snapshot=self._snapshot))
            while True:
                batch = await source.batch()
                left = [one for one in batch.values if one.primary_key_bytes not in self._changed]
                if left and (sure or any(fits(one, kind, wanted) for one in await self._taken(left))):
                    return True
                if batch.stop is not None:
                    break
        return False

    def _fitting_changes(self, kind: RecordType, wanted: Sequence[Wanted]) -> list[StoredRecord]:
        return [record for record in self._changed.values() if record is not None and fits(record, kind, wanted)]

    async def _look(self, kind: RecordType, wanted: Sequence[Wanted]) -> list[StoredRecord]:
        access = self._access(kind, wanted)
        if not access.bound:  # all are read, and so once
            records = self._all.get(kind.name)
            if records is None:
                records = self._all[kind.name] = await self._records(access, _prefixes(access, kind, wanted))
        else:
            records = await self._records(access, _prefixes(access, kind, wanted))
        found = {record.primary_key_bytes: record for record in records if fits(record, kind, wanted)}
        return list(found.values())

    def _access(self, kind: RecordType, wanted: Sequence[Wanted]) -> Access:
        return access_to(self._store.metadata, kind, [expression for expression, _ in wanted], self._is_complete)

    def _is_complete(self, index: Index) -> bool:
        """Whether all records are in an index that may be read."""
        states = self._store.states
        return states.of(index).is_readable and states.space(index).chooses is None

    async def _records(self, access: Access, prefixes: Sequence[bytes]) -> list[StoredRecord]:
        """The records that the prefixes lead to."""
        if access.whole:
            there = await fetched(self._store.records, prefixes, snapshot=self._snapshot)
            return [record for record in there if record is not None]
        found: dict[bytes, IndexEntry | StoredRecord] = {}
        for prefix in prefixes:
            source = self._source(access, prefix, ScanOptions(snapshot=self._snapshot))
            while True:
                batch = await source.batch()
                found.update((one.primary_key_bytes, one) for one in batch.values)
                if batch.stop is not None:
                    break
        return await self._taken(list(found.values()))

    def _source(self, access: Access, prefix: bytes, options: ScanOptions) -> Cursor[Any]:
        if access.index is not None:
            maintainer = self._store.index_maintainer(access.index.name)
            return maintainer.scan(Bounds.equal(unpack(prefix)), options)
        return self._store.scan(Bounds.equal(unpack(prefix)), options)

    async def _taken(self, found: Sequence[IndexEntry | StoredRecord]) -> list[StoredRecord]:
        entries = [one for one in found if isinstance(one, IndexEntry)]
        taken = [one for one in found if isinstance(one, StoredRecord)]
        keys = [entry.primary_key_bytes for entry in entries]
        for entry, record in zip(
            entries, await fetched(self._store.records, keys, snapshot=self._snapshot), strict=True
        ):
            if record is None:
                raise CorruptIndexEntry(
                    index=entry.index_name,
                    key=entry.key,
                    primary_key=entry.primary_key,
                    found="the entry has no record",
                )
            taken.append(record)
        return taken


def _prefixes(access: Access, kind: RecordType, wanted: Sequence[Wanted]) -> list[bytes]:
    """What keys begin with: for each combination of values one."""
    type_key = pack((kind.record_type_key,))
    columns = [[type_key] if column is None else sorted(wanted[column][1]) for column in access.columns]
    return [b"".join(parts) for parts in product(*columns)]
