"""VALUE index: one entry for each row that the key expression gives.

Layout  key   (*columns, *primary key columns not among them)
        value (*covering columns), nothing if there are none
Cost    save: 1 write per changed entry; unique: + 1 range read each
Source  Record Layer, ValueIndexMaintainer; same entries, same order
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, ClassVar

from recordlayer.cursor.scan import FORWARD, KeyValueScan, ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.cursor.transform import MapAll
from recordlayer.errors import CorruptIndexEntry, MalformedTuple
from recordlayer.index.bounds import Bounds
from recordlayer.index.built import goes_by_index
from recordlayer.index.direct import DirectEntry
from recordlayer.index.entry import EntryLayout, IndexEntry
from recordlayer.index.judging import Evidence, Fault, Mend, audit, clearing, columns_of
from recordlayer.index.maintainer import IndexedRecord, IndexSpace, Items
from recordlayer.index.page import EntryPage
from recordlayer.index.standard import StandardMaintainer, clear_entries, difference
from recordlayer.index.uniqueness import UniqueKey, UniqueVerdict, forget, keeps_violations, remove_violations
from recordlayer.keys.expression import RecordContext
from recordlayer.keys.grouping import KeyWithValue
from recordlayer.kv.engine import KEY_LIMIT, VALUE_LIMIT, KeyValue
from recordlayer.kv.mutations import CLEAR, SET, Write
from recordlayer.metadata import Index
from recordlayer.tuples import pack, unpack

Pair = tuple[bytes, bytes]


class ValueIndex(StandardMaintainer):
    """Entries by value, for look-ups, ranges and order."""

    type: ClassVar[str] = "value"

    __slots__ = ("_layout", "_nulls_distinct", "_split", "checks")

    def __init__(self, space: IndexSpace) -> None:
        super().__init__(space)
        index = space.index
        root = index.root_expression
        self._split: int | None = root.split_point if isinstance(root, KeyWithValue) else None
        self._layout = EntryLayout(index.name, root.column_size, index.primary_key_positions, space.functions.unpack)
        self.checks = index.unique
        self._nulls_distinct = root.nulls_distinct

    @property
    def idempotent(self) -> bool:
        return True

    @property
    def layout(self) -> EntryLayout:
        """How the keys of its entries are made up."""
        return self._layout

    @classmethod
    def direct(cls, index: Index) -> DirectEntry | None:
        """See `index.direct`: unless somebody must look whether a value is there already."""
        if cls is not ValueIndex or index.unique:
            return None
        return DirectEntry(kind=SET, operand=b"", removal=CLEAR, returned=b"", owned=True)

    # -- what a record has -----------------------------------------------------------------------------

    def pairs(self, record: IndexedRecord | None) -> list[Pair]:
        """The entries of a record: keys and values as they are stored."""
        if record is None or not self.covers(record.message):
            return []
        return self.packed(record, record.key_context)

    def packed(self, record: IndexedRecord, context: RecordContext) -> list[Pair]:
        """The entries of a record that the index covers, in a context."""
        if self.space.chooses is not None:
            return self._packed_rows(record)
        message = record.message
        tail = self.tail_of(record)
        if self._split is None:
            keys = self._functions.keys(type(message))(message, context, self.space.entries, tail)
            return [(key, b"") for key in keys]
        return self._functions.pairs(type(message))(message, context, self.space.entries, tail)

    def tail_of(self, record: IndexedRecord) -> bytes:
        """What of a record's primary key its entries end with."""
        layout = self._layout
        return record.primary_key_bytes if layout.positions is None else pack(layout.trimmed(record.primary_key))

    def _packed_rows(self, record: IndexedRecord) -> list[Pair]:
        """The same row by row, where each is to be looked at."""
        tail = pack(self._layout.trimmed(record.primary_key))
        size = self._layout.columns
        return [
            (pack(row[:size], self.space.entries) + tail, b"" if self._split is None else pack(row[size:]))
            for row in self.rows(record)
        ]

    # -- maintenance -----------------------------------------------------------------------------------

    def writes(self, old: IndexedRecord | None, new: IndexedRecord | None) -> list[Write]:
        removed, added = difference(self.pairs(old), self.pairs(new))
        for key, value in added:
            self.check_size(key, value, new)
        return [(CLEAR, key, b"") for key, _ in removed] + [(SET, key, value) for key, value in added]

    @property
    def brings(self) -> bool:
        return type(self) is ValueIndex and not self.checks

    def bring(self, records: Iterable[IndexedRecord]) -> list[Write]:
        writes: list[Write] = []
        for record in records:
            for key, value in self.pairs(record):
                if len(key) > KEY_LIMIT or len(value) > VALUE_LIMIT:
                    self.check_size(key, value, record)
                writes.append((SET, key, value))
        return writes

    def finish(self, old: IndexedRecord | None, new: IndexedRecord | None) -> Coroutine[Any, None, None] | None:
        if not self.checks and self.space.is_kept:
            return None
        unique = self._finish_unique(old, new)
        if self.space.is_kept or old is None or new is None or self.type != ValueIndex.type:
            return unique
        before = self.pairs(old)
        same = [pair for pair in self.pairs(new) if pair in before]
        return self._write_what_stays(unique, same) if same else unique

    async def _write_what_stays(self, unique: Coroutine[Any, None, None] | None, same: list[Pair]) -> None:
        """A build by another index may never come to this record: the save may have moved it there, from what the build
        has before it to what it has behind. So what stays the same is written as well."""
        if unique is not None:
            await unique
        if await goes_by_index(self.space):
            for key, value in same:
                self.space.context.set(key, value)

    def _finish_unique(self, old: IndexedRecord | None, new: IndexedRecord | None) -> Coroutine[Any, None, None] | None:
        if not self.checks or old is None:
            return super().finish(old, new)
        kept = {key.own for key in self._unique_keys(new)} if new is not None else set()
        gone = [key for key in self._unique_keys(old) if key.own not in kept]
        for key in gone:
            forget(self.space, key.prefix, key.own)
        if gone and keeps_violations(self.space.state):
            return remove_violations(self.space, [key.columns for key in gone], old)
        return None

    # -- uniqueness ------------------------------------------------------------------------------------

    def check(self, new: IndexedRecord) -> UniqueVerdict | None:
        if not self.checks:
            return None
        keys = self._unique_keys(new)
        return UniqueVerdict(self.space, self._layout, new, keys, self._unique_keys) if keys else None

    def unique_values(self, record: IndexedRecord) -> list[Items]:
        """The columns of a record that no other record may have; nothing where a null exempts it."""
        return [key.columns for key in self._unique_keys(record)]

    def _unique_keys(self, record: IndexedRecord) -> list[UniqueKey]:
        keys = []
        tail = pack(self._layout.trimmed(record.primary_key))
        for row in self.rows(record):
            columns = row if self._split is None else row[: self._split]
            if any(column is None and distinct for column, distinct in zip(columns, self._nulls_distinct, strict=True)):
                continue
            prefix = pack(columns, self.space.entries)
            keys.append(UniqueKey(columns, prefix, prefix + tail))
        return keys

    # -- many at once ----------------------------------------------------------------------------------

    def can_clear_prefix(self, columns: int) -> bool:
        return True

    def clear_prefix(self, prefix: Items) -> None:
        clear_entries(self.space, prefix)
        if self.checks:
            clear_entries(self.space, prefix, keyspace=7)  # equal entries are all in there: both sides are gone

    # -- reading ---------------------------------------------------------------------------------------

    def scan(self, bounds: Bounds, options: ScanOptions = FORWARD) -> Cursor[IndexEntry]:
        """The entries within bounds.  Cost  1 range read a chunk."""
        keys = bounds.keys(self.space.entries)
        start, layout = len(self.space.entries), self._layout
        source = KeyValueScan(self.space.context, keys, options)
        if bounds.low is None or not bounds.is_equality:
            return MapAll(source, lambda pairs: EntryPage(layout, pairs, start))
        known, same = keys.prefix_length, len(bounds.low)
        return MapAll(source, lambda pairs: EntryPage(layout, pairs, start, known, same))

    # -- checking --------------------------------------------------------------------------------------

    def expected(self, record: IndexedRecord) -> list[Pair]:
        """The entries that a record should have."""
        return self.pairs(record)

    @property
    def judged(self) -> tuple[bytes, ...]:
        return (self.space.entries,)

    async def judge_records(self, records: Sequence[IndexedRecord], evidence: Evidence) -> list[Fault]:
        # Rows of one record may have the same key and cover other values: the last one is what is written.
        wanted = [(key, value, record) for record in records for key, value in dict(self.expected(record)).items()]
        there = await evidence.values([key for key, _, _ in wanted])
        start, faults = len(self.space.entries), list[Fault]()
        for (key, value, record), found in zip(wanted, there, strict=True):
            if found == value:
                continue
            if found is None:
                what, detail = "an entry is missing", (unpack(key, start), record.primary_key)
            else:
                what, detail = "an entry covers other values", unpack(key, start)
            mend = self._putting(record, key, value)
            faults.append(Fault(what, detail, mend, record.primary_key_bytes, key))
        return faults

    def _putting(self, record: IndexedRecord, key: bytes, value: bytes) -> Mend:
        async def mend() -> None:
            verdict = self.check(record)
            if verdict is not None:
                await verdict.settle(None)
                verdict.claim()
            self.space.context.set(key, value)

        return mend

    async def judge_pairs(self, pairs: Sequence[KeyValue], evidence: Evidence) -> list[Fault]:
        start, layout, faults = len(self.space.entries), self._layout, list[Fault]()
        owners: list[tuple[bytes, bytes]] = []
        for key, value in pairs:
            try:
                owners.append((key, IndexEntry(layout, key[start:], value).primary_key_bytes))
            except (CorruptIndexEntry, MalformedTuple) as error:
                faults.append(
                    Fault("an entry cannot be read", (key[start:], str(error)), self._clearing(key), None, key)
                )
        names = list(dict.fromkeys(owner for _, owner in owners))
        records = dict(zip(names, await evidence.records(names), strict=True))
        own = {
            name: frozenset() if record is None else frozenset(key for key, _ in self.expected(record))
            for name, record in records.items()
        }
        for key, owner in owners:
            if key not in own[owner]:
                detail = columns_of(key, start, layout.unpack)
                faults.append(Fault("an entry has no record", detail, self._clearing(key), owner, key))
        return faults

    def _clearing(self, key: bytes) -> Mend:
        return clearing(self.space, key)

    async def audit(self, records: Sequence[IndexedRecord]) -> list[tuple[str, Any]]:
        return await audit(self.space, self, records)
