"""Records of synthetic types: what becomes of them when stored records change, what a build makes, and loading one.

Changes are worked out for all records of a save, a deletion or a batch together, before anything is written. Where
joined types are concerned, those who change records in one transaction side by side take turns from there until all is
written: partners that one of them looks for must not change meanwhile.

Cost    unnested types: none; joined ones: looking for the partners of each record, see `store.partners`
Source  Record Layer, FDBRecordStore.updateSyntheticIndexes, SyntheticRecordPlanner
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import or_
from typing import TYPE_CHECKING, Any

from recordlayer.cursor.limits import Budget
from recordlayer.cursor.step import Batch, Cursor
from recordlayer.errors import CorruptIndexEntry, UsageError
from recordlayer.index.entry import IndexEntry
from recordlayer.index.maintainer import IndexedRecord, Maintainer, Verdict, as_checked
from recordlayer.metadata import Index, RecordMetaData
from recordlayer.metadata.joined import JoinedType
from recordlayer.metadata.metadata import Synthetic
from recordlayer.metadata.synthetic import Items, SyntheticRecord
from recordlayer.metadata.unnested import UnnestedType
from recordlayer.store.fetch import fetched
from recordlayer.store.joining import Changed, Joining, Parts, changes_of
from recordlayer.store.layout import Keyspace
from recordlayer.store.partners import AmongRecords, Finder, InStore
from recordlayer.store.record import StoredRecord
from recordlayer.store.relevance import matters
from recordlayer.store.upkeep import Change
from recordlayer.tuples import unpack
from recordlayer.waiting.overlap import gather

if TYPE_CHECKING:
    from recordlayer.store.store import RecordStore

Pair = tuple[StoredRecord | None, StoredRecord | None]
"""A stored record before and after a change."""


_AT_ONCE = 64
"""Records that are loaded side by side."""


class Synthesis:
    """What becomes of synthetic records, worked out and not written.

    changes   for each index and each of its records what it was and what it will be
    verdicts  unique values to be claimed before that is written
    """

    __slots__ = ("_end", "changes", "verdicts")

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.verdicts: list[Verdict] = []
        self._end: tuple[RecordStore, bytes] | None = None

    @classmethod
    async def begun(cls, store: RecordStore, pairs: Iterable[Pair]) -> Synthesis:
        """What these changes of stored records do; of a record that comes twice the first and the last state. `end` it
        when all is written.

        Raises  UniquenessViolation, IndexNotSupported.
        """
        if not store.metadata.synthetic:
            return NO_SYNTHESIS
        before: dict[bytes, StoredRecord | None] = {}
        after: dict[bytes, StoredRecord | None] = {}
        for old, new in pairs:
            record = new if new is not None else old
            assert record is not None, "one of them is there"
            before.setdefault(record.primary_key_bytes, old)
            after[record.primary_key_bytes] = new
        kinds = _concerned(store, [*before.values(), *after.values()])
        if not kinds:
            return NO_SYNTHESIS
        made = cls()
        joined = {
            kind: _that_matter(kind, maintainers, before, after)
            for kind, maintainers in kinds.items()
            if isinstance(kind, JoinedType)
        }
        if any(joined.values()):
            turns, place = store.context.turns, store.layout.of(Keyspace.INDEXES)
            if not turns.take(place):
                await turns.wait(place)
            made._end = store, place
        try:
            there = InStore(store)
            for kind, maintainers in kinds.items():
                if isinstance(kind, JoinedType):
                    keys = joined[kind]
                    ours = {key: before[key] for key in keys}, {key: after[key] for key in keys}
                    changes = await changes_of(kind, there, *ours) if keys else []
                else:
                    changes = _changes_of_elements(kind, before, after)
                for maintainer in maintainers:
                    await made._add(maintainer, changes)
        except BaseException:
            made.end()
            raise
        return made

    async def _add(self, maintainer: Maintainer, changes: Sequence[tuple[IndexedRecord | None, Any]]) -> None:
        self.changes += [(maintainer, old, new) for old, new in changes]
        checked = as_checked(maintainer)
        if checked is None:
            return
        gone = [old for old, _ in changes if old is not None]
        begun = [(old, checked.check(new)) for old, new in changes if new is not None]
        for old, verdict in begun:
            if verdict is not None:
                await verdict.settle(old, gone)
                self.verdicts.append(verdict)

    def end(self) -> None:
        """Let the next one go on."""
        if self._end is not None:
            store, place = self._end
            self._end = None
            store.context.turns.leave(place)


NO_SYNTHESIS = Synthesis()


def _concerned(store: RecordStore, records: Iterable[StoredRecord | None]) -> dict[Synthetic, list[Maintainer]]:
    """The synthetic types that records take part in, with the index types at work on each."""
    kinds: dict[Synthetic, list[Maintainer]] = {}
    for record_type in {one.record_type.name: one.record_type for one in records if one is not None}.values():
        store.upkeep.maintainers(record_type)  # refuses types that are only read here
        for index, kind in store.metadata.synthetic_indexes_of(record_type):
            maintainer = store.upkeep.maintainer(index)
            if maintainer is not None and maintainer not in kinds.setdefault(kind, []):
                kinds[kind].append(maintainer)
    return {kind: maintainers for kind, maintainers in kinds.items() if maintainers}


def _that_matter(kind: JoinedType, maintainers: Sequence[Maintainer], before: Changed, after: Changed) -> list[bytes]:
    """The changes that can make a difference to the indexes over a joined type, by primary key."""
    keys: list[bytes] = []
    for key, old in before.items():
        new = after[key]
        same_type = old is not None and new is not None and old.record_type.name == new.record_type.name
        if not same_type or old is None or new is None or matters(kind, maintainers, old, new):
            keys.append(key)
    return keys


def _changes_of_elements(
    kind: UnnestedType, before: Changed, after: Changed
) -> list[tuple[SyntheticRecord | None, SyntheticRecord | None]]:
    changes: list[tuple[SyntheticRecord | None, SyntheticRecord | None]] = []
    for key, old in before.items():
        was, now = _elements(kind, old), _elements(kind, after[key])
        changes += [(was.pop(element, None), made) for element, made in now.items()]
        changes += [(gone, None) for gone in was.values()]
    return changes


def _elements(kind: UnnestedType, record: StoredRecord | None) -> dict[bytes, SyntheticRecord]:
    if record is None or record.record_type.name != kind.stored.name:
        return {}
    return {one.primary_key_bytes: one for one in kind.records(record.message, record.primary_key)}


# -- builds and checks ---------------------------------------------------------------------------------------


async def indexed_records(
    store: RecordStore, index: Index, records: Sequence[StoredRecord], *, complete: bool = False
) -> list[IndexedRecord]:
    """The records that an index is about, of these stored ones: they themselves, or what a build makes of them.

    complete  these are all records of the store: nothing needs to be read then
    """
    kinds = store.metadata.synthetic_of(index)
    if not kinds:
        types = store.metadata.record_types_of(index)
        if len(types) == len(store.metadata.record_types):
            return list(records)
        names = {known.name for known in types}
        return [record for record in records if record.record_type.name in names]
    about: list[IndexedRecord] = []
    finder: Finder = AmongRecords(records) if complete else InStore(store)
    for kind in kinds:
        joining = Joining(kind, finder) if isinstance(kind, JoinedType) else None
        for record in records:
            if joining is not None:
                about += await joining.records_built_from(record)
            elif isinstance(kind, UnnestedType) and record.record_type.name == kind.stored.name:
                about += kind.records(record.message, record.primary_key)
    return about


class SyntheticRecords(Cursor[SyntheticRecord]):
    """The record of each entry of an index over synthetic types, in the order of the entries.

    Raises  CorruptIndexEntry for an entry without a record.
    """

    __slots__ = ("_budget", "_entries", "_keep", "_snapshot", "_store")

    def __init__(
        self,
        store: RecordStore,
        entries: Cursor[IndexEntry],
        *,
        snapshot: bool,
        keep: Callable[[IndexEntry, SyntheticRecord], bool] | None = None,
        budget: Budget | None = None,
    ) -> None:
        """`keep`: whether to give the record at this entry; None for always. `budget`: what is read is spent."""
        self._keep = keep
        self._budget = budget
        self._store = store
        self._entries = entries
        self._snapshot = snapshot

    def start(self) -> None:
        self._entries.start()

    async def batch(self) -> Batch[SyntheticRecord]:
        batch = await self._entries.batch()
        found: list[SyntheticRecord] = []
        counters = self._store.context.counters
        rows, size = counters.rows_read, counters.bytes_read
        for at in range(0, len(batch.values), _AT_ONCE):
            found += await gather(*map(self._load, batch.values[at : at + _AT_ONCE]))
        if self._budget is not None:
            self._budget.charge(counters.rows_read - rows, counters.bytes_read - size)
        keep, resume = self._keep, batch.resume
        if keep is None:
            return Batch(found, resume, batch.stop, batch.end_when_asked)
        places = [place for place, one in enumerate(found) if keep(batch.values[place], one)]
        kept = [found[place] for place in places]
        return Batch(kept, lambda index: resume(places[index]), batch.stop, batch.end_when_asked)

    async def _load(self, entry: IndexEntry) -> SyntheticRecord:
        record = await _made(self._store, entry.primary_key, snapshot=self._snapshot)
        if record is None:
            raise CorruptIndexEntry(
                index=entry.index_name,
                key=entry.key,
                primary_key=entry.primary_key,
                found="the entry has no record",
            )
        return record


# -- loading -------------------------------------------------------------------------------------------------


async def load_synthetic(store: RecordStore, primary_key: Any, *, snapshot: bool = False) -> SyntheticRecord | None:
    """The record of a synthetic type with a primary key, as entries of its indexes have it; None if one of the records
    that it is made from is gone, or hidden by the store because it has expired.

    Cost    1 range read for each constituent that is a stored record, 1 round trip.
    Raises  UsageError for what is no key of a synthetic type; CorruptRecord.
    Source  Record Layer, FDBRecordStore.loadSyntheticRecord
    """
    return await _made(store, primary_key, snapshot=snapshot, shown=store.visible)


Shown = Callable[[StoredRecord], bool]


async def _made(
    store: RecordStore, primary_key: Any, *, snapshot: bool, shown: Shown | None = None
) -> SyntheticRecord | None:
    """The record with a primary key, if all that it is made from is there and is `shown`."""
    kind = _kind_of(store.metadata, primary_key)
    keys = primary_key[1:]
    if isinstance(kind, UnnestedType):
        parent = store.packed_key(keys[kind.names.index(kind.parent)])
        record = await store.load_packed(parent, snapshot=snapshot)
        if record is None or record.record_type.name != kind.stored.name or not (shown is None or shown(record)):
            return None
        made = kind.records(record.message, record.primary_key)
        return next((one for one in made if one.primary_key == tuple(primary_key)), None)
    parts = await _parts(store, kind, keys, snapshot=snapshot)
    if parts is None or (shown and not all(part is None or shown(part) for part in parts.values())):
        return None
    return kind.record(parts)


async def _parts(store: RecordStore, kind: JoinedType, keys: Sequence[Any], *, snapshot: bool) -> Parts | None:
    """The records of a joined one's constituents; None if one is gone, or has become one of another type."""
    packed = [store.packed_key(key) for key in keys if key is not None]
    there = iter(await store.load_all_packed(packed, snapshot=snapshot))
    parts: dict[str, StoredRecord | None] = {}
    for constituent, key in zip(kind.constituents, keys, strict=True):
        part = None if key is None else next(there)
        if key is not None and (part is None or part.record_type.name != constituent.stored.name):
            return None
        parts[constituent.name] = part
    return parts


async def indexed_records_of(
    store: RecordStore, index: Index, primary_keys: Sequence[bytes], *, snapshot: bool = False
) -> list[IndexedRecord | None]:
    """The records that an index is about, by packed primary key: stored or synthetic ones, None for what is none now.
    Of a joined type that is also what is no longer joined, although its records are there.

    snapshot  read these records so; the look for one that fits conflicts all the same with whoever saves one

    Cost    1 range read a stored record, those of stored types together; for joined types with a missing constituent
            the look for one that fits
    """
    if not store.metadata.synthetic_of(index):
        names = {known.name for known in store.metadata.record_types_of(index)}
        found = await fetched(store.records, primary_keys, snapshot=snapshot)
        return [None if one is None or one.record_type.name not in names else one for one in found]
    there = InStore(store)
    return [await _current(store, index, unpack(key), there, snapshot=snapshot) for key in primary_keys]


async def _current(
    store: RecordStore, index: Index, primary_key: Items, there: InStore, *, snapshot: bool
) -> SyntheticRecord | None:
    try:
        kind = _kind_of(store.metadata, primary_key)
    except UsageError:
        return None
    if kind.name not in index.record_types:
        return None
    if isinstance(kind, UnnestedType):
        return await _made(store, primary_key, snapshot=snapshot)
    parts = await _parts(store, kind, primary_key[1:], snapshot=snapshot)
    return kind.record(parts) if parts is not None and await Joining(kind, there).holds(parts) else None


def _kind_of(metadata: RecordMetaData, primary_key: Any) -> Synthetic:
    if isinstance(primary_key, tuple) and primary_key:
        for kind in metadata.synthetic.values():
            key = kind.record_type_key
            if type(key) is type(primary_key[0]) and key == primary_key[0]:
                if isinstance(kind, UnnestedType):
                    missing = [False] * len(kind.names)
                else:
                    missing = [one.outer for one in kind.constituents]
                given = [one is not None for one in primary_key[1:]]
                if len(given) == len(missing) and any(given) and all(map(or_, given, missing)):
                    return kind
    raise UsageError(
        primary_key=primary_key,
        hint="give the primary key of an entry of an index over a synthetic type: (key of the type, (1,), (2,))",
    )
