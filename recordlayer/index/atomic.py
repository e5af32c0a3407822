"""Aggregate indexes: one value for each group, changed by the engine without being read.

Layout  key   (*grouping columns); without grouping columns the index's prefix itself
        value 8 bytes little-endian; min_ever_tuple and max_ever_tuple: the packed grouped columns
Cost    save: 1 atomic mutation per changed row (2 with clearWhenZero), no reads, no conflicts between writers
        aggregate: 1 read for one group, 1 range read for the groups that begin alike

Source  Record Layer, AtomicMutationIndexMaintainer, AtomicMutation.Standard
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from recordlayer.cursor.scan import FORWARD, KeyRange, KeyValueScan, ScanOptions
from recordlayer.cursor.step import Cursor, drain
from recordlayer.cursor.transform import Map
from recordlayer.errors import CorruptIndexEntry, IndexNotSupported, UsageError
from recordlayer.index.aggregate_rules import RULES, ZERO, plus, signed
from recordlayer.index.bounds import Bounds
from recordlayer.index.direct import DirectEntry
from recordlayer.index.entry import AggregateEntry, Items
from recordlayer.index.judging import Off
from recordlayer.index.maintainer import IndexedRecord, IndexSpace
from recordlayer.index.spread import Cells
from recordlayer.index.standard import StandardMaintainer, clear_entries, difference, row_difference
from recordlayer.keys.grouping import Grouping
from recordlayer.kv.engine import KEY_LIMIT, VALUE_LIMIT, KeyValue, MutationType
from recordlayer.kv.mutations import Write, perform
from recordlayer.metadata import Index
from recordlayer.metadata.index import CELLS
from recordlayer.tuples import pack, unpack

_ROOM = KEY_LIMIT - 16
"""Keys up to this length need no closer look: a cell takes a few bytes more."""


class AtomicIndex(StandardMaintainer):
    """Base of the aggregate types; which one is in `type`."""

    __slots__ = (
        "_cells",
        "_clear_when_zero",
        "_counts_rows",
        "_grouping",
        "_nulls_distinct",
        "_one_row",
        "_plain",
        "_rule",
        "_tail",
    )

    def __init__(self, space: IndexSpace) -> None:
        super().__init__(space)
        root = space.index.root_expression
        if not isinstance(root, Grouping):
            raise IndexNotSupported(
                index=space.index.name, type=self.type, hint="aggregates need a grouping expression"
            )
        self._rule = RULES[self.type]
        self._grouping = root.grouping_count
        self._nulls_distinct = root.nulls_distinct[self._grouping :]
        self._counts_rows = root.grouped_count == 0
        self._one_row = not root.creates_duplicates
        clears = space.index.flag("clearWhenZero")
        self._clear_when_zero = clears and self._rule.mutation is MutationType.ADD and self.type != "count_updates"
        self._cells: Cells | None = None
        self._tail = b""
        self._plain = not self._clear_when_zero and CELLS not in space.index.options
        if CELLS in space.index.options:
            gone = ZERO if self._clear_when_zero else None
            self._cells = Cells(space.context, space.entries, space.index, plus, gone=gone)
            self._tail = self._cells.own

    @property
    def idempotent(self) -> bool:
        return self._rule.idempotent

    def writes(self, old: IndexedRecord | None, new: IndexedRecord | None) -> list[Write]:
        if self._counts_rows and self._plain and self.space.chooses is None:
            return self._changes_of_counts(old, new)
        rule = self._rule
        before, after = self._rows(old), self._rows(new)
        if before and after and rule.drops_common:
            before, after = row_difference(before, after)
        kind, tail, nulls = rule.mutation, self._tail, rule.leaves_out_nulls
        writes: list[Write] = []
        for rows, operand_of in ((before, rule.removed), (after, rule.added)):
            for key, grouped in rows:
                operand = operand_of(grouped, nulls and self._null_in(grouped))
                if operand is None:
                    continue
                if self._plain and len(key) <= _ROOM and len(operand) <= VALUE_LIMIT:
                    writes.append((kind, key, operand))
                    continue
                if len(key) > _ROOM or len(operand) > VALUE_LIMIT:
                    self.check_size(key + tail, operand, new if new is not None else old)
                writes.append((kind, key + tail, operand))
                if self._clear_when_zero:
                    writes.append((MutationType.COMPARE_AND_CLEAR, key + tail, ZERO))
        return writes

    def _changes_of_counts(self, old: IndexedRecord | None, new: IndexedRecord | None) -> list[Write]:
        """The same where nothing is grouped: the row is the key, and every row counts alike."""
        rule = self._rule
        before, after = self._keys(old), self._keys(new)
        if before and after and rule.drops_common:
            before, after = difference(before, after)
        kind, removed, added = rule.mutation, rule.removed((), False), rule.added((), False)
        for key in after:
            if len(key) > _ROOM:
                self.check_size(key, b"", new)
        writes: list[Write] = [] if removed is None else [(kind, key, removed) for key in before]
        if added is not None:
            writes += [(kind, key, added) for key in after]
        return writes

    def _keys(self, record: IndexedRecord | None) -> list[bytes]:
        if record is None or not self.covers(record.message):
            return []
        message = record.message
        return self._functions.keys(type(message))(message, record.key_context, self.space.entries, b"")

    def _rows(self, record: IndexedRecord | None) -> list[tuple[bytes, Items]]:
        """The rows of a record: the key of the group and the grouped columns."""
        if record is None or not self.covers(record.message):
            return []
        message, context, entries = record.message, record.key_context, self.space.entries
        at = self._grouping
        if self.space.chooses is not None:
            return [(pack(row[:at], entries), row[at:]) for row in self.rows(record)]
        if self._counts_rows:
            return [(key, ()) for key in self._keys(record)]
        rows = self._functions.rows(type(message))(message, context)
        if self._one_row:
            keys = self._functions.leading(type(message), at)(message, context, entries, b"")
            return [(keys[0], rows[0][at:])]
        return [(pack(row[:at], entries), row[at:]) for row in rows]

    def _null_in(self, grouped: Items) -> bool:
        """Whether one of the grouped columns is a null that does not count."""
        return None in grouped and any(
            column is None and distinct for column, distinct in zip(grouped, self._nulls_distinct, strict=True)
        )

    def amounts(self, record: IndexedRecord) -> list[tuple[Items, int]]:
        """For types that add: how much a record that is there adds to which groups."""
        found = []
        for row in self.rows(record):
            grouped = row[self._grouping :]
            operand = self._rule.added(grouped, self._null_in(grouped))
            if operand is not None:
                found.append((row[: self._grouping], signed(operand)))
        return found

    # -- many at once ----------------------------------------------------------------------------------

    def can_clear_prefix(self, columns: int) -> bool:
        """Whether whole groups go: a value over groups of which some stay cannot be taken apart."""
        return columns <= self._grouping

    def clear_prefix(self, prefix: Items) -> None:
        clear_entries(self.space, prefix)

    # -- checking --------------------------------------------------------------------------------------

    @property
    def follows_from_records(self) -> bool:
        """Whether the aggregate is a function of the records that are there. One over a repeated field is not: a row
        that a record has twice before a change and once after it cancels (see `index.standard.difference`)."""
        exact = self.type in ("count", "count_not_null", "sum")
        return exact and not self.space.index.root_expression.creates_duplicates

    async def differing(self, totals: Mapping[bytes, int], low: bytes, high: bytes) -> list[Off]:
        start, entries = len(self.space.entries), self.space.entries
        rows = await drain(self.stored(KeyRange(entries + low, entries + high, start), ScanOptions(snapshot=True)))
        there = {key[start:]: self._value(key, value) for key, value in rows}
        return [
            Off(group, there.get(group, 0), totals.get(group, 0))
            for group in sorted(totals.keys() | there.keys())
            if (there.get(group, 0) - totals.get(group, 0)) % (1 << 64)
        ]

    def add(self, group: bytes, amount: int) -> None:
        key = self.space.entries + group + self._tail
        perform(self.space.context, [(MutationType.ADD, key, (amount % (1 << 64)).to_bytes(8, "little"))])
        if self._clear_when_zero:
            perform(self.space.context, [(MutationType.COMPARE_AND_CLEAR, key, ZERO)])

    async def audit(self, records: Sequence[IndexedRecord]) -> list[tuple[str, Any]]:
        if not self.follows_from_records:
            return []
        totals: Counter[bytes] = Counter()
        for record in records:
            for group, amount in self.amounts(record):
                totals[pack(group)] += amount
        return [("an aggregate is off", off.detail) for off in await self.differing(totals, b"", b"\xff")]

    # -- reading ---------------------------------------------------------------------------------------

    def _value(self, key: bytes, value: bytes) -> Any:
        if self._rule.read is signed and len(value) != 8:
            raise CorruptIndexEntry(index=self.space.index.name, key=key, value=value, found="not 8 bytes")
        return self._rule.read(value)

    def scan(self, bounds: Bounds, options: ScanOptions = FORWARD) -> Cursor[AggregateEntry]:
        """The groups within bounds and their values.  Cost  1 range read a chunk."""
        start = len(self.space.entries)
        source = self.stored(bounds.keys(self.space.entries), options)
        return Map(source, lambda pair: AggregateEntry(unpack(pair[0], start), self._value(*pair)))

    def stored(self, keys: KeyRange, options: ScanOptions) -> Cursor[KeyValue]:
        """The groups in a range of keys and their values, as they are stored."""
        if self._cells is not None:
            return self._cells.scan(keys, options)
        return KeyValueScan(self.space.context, keys, options)

    async def stored_at(self, key: bytes, *, snapshot: bool) -> bytes | None:
        """The value of one group, as it is stored."""
        if self._cells is not None:
            return await self._cells.read(key, snapshot=snapshot)
        return await self.space.context.get(key, snapshot=snapshot)

    async def aggregate(self, group: Items, *, snapshot: bool = False) -> Any:
        """The aggregate over all groups that begin with `group`: 0 for counts and sums of none, None for the others.

        Cost    1 read if `group` has all grouping columns, else 1 range read a chunk.
        Raises  UsageError for more columns than the index groups by.
        """
        if len(group) > self._grouping:
            raise UsageError(
                index=self.space.index.name,
                group=group,
                hint=f"the index groups by {self._grouping} columns: give at most as many values",
            )
        key = pack(group, self.space.entries)
        if len(group) == self._grouping:
            value = await self.stored_at(key, snapshot=snapshot)
            return self._rule.empty if value is None else self._value(key, value)
        total = self._rule.empty
        cursor = self.scan(Bounds.equal(group), ScanOptions(snapshot=snapshot))
        while True:
            batch = await cursor.batch()
            for entry in batch.values:
                total = self._rule.fold(total, entry.value)
            if batch.stop is not None:
                return total


class CountIndex(AtomicIndex):
    """How many records (with a fan-out: rows) each group has."""

    type: ClassVar[str] = "count"
    __slots__ = ()

    @classmethod
    def direct(cls, index: Index) -> DirectEntry | None:
        """See `index.direct`: where a group is one key, and stays when it has come to zero."""
        root = index.root_expression
        counts_rows = isinstance(root, Grouping) and root.grouped_count == 0
        if cls is not CountIndex or not counts_rows or index.flag("clearWhenZero") or CELLS in index.options:
            return None
        rule = RULES[cls.type]
        added, removed = rule.added((), False), rule.removed((), False)
        assert added is not None, "every row counts"
        assert removed is not None, "and is counted down"
        return DirectEntry(kind=rule.mutation, operand=added, removal=rule.mutation, returned=removed, owned=False)


class CountUpdatesIndex(AtomicIndex):
    """How often records of each group were saved."""

    type: ClassVar[str] = "count_updates"
    __slots__ = ()


class CountNotNullIndex(AtomicIndex):
    """How many records of each group have a value."""

    type: ClassVar[str] = "count_not_null"
    __slots__ = ()


class SumIndex(AtomicIndex):
    """The sum of an integer column for each group; wraps at 64 bits."""

    type: ClassVar[str] = "sum"
    __slots__ = ()

    @classmethod
    def direct(cls, index: Index) -> DirectEntry | None:
        """See `index.direct`: where a group is one key, and stays when it has come to zero."""
        root = index.root_expression
        adds_one_column = isinstance(root, Grouping) and root.grouped_count == 1
        if cls is not SumIndex or not adds_one_column or index.flag("clearWhenZero") or CELLS in index.options:
            return None
        kind = RULES[cls.type].mutation
        return DirectEntry(kind=kind, operand=b"", removal=kind, returned=b"", owned=False, amount=True)


class MinEverLongIndex(AtomicIndex):
    """The least value that was ever saved in each group; no negative ones."""

    type: ClassVar[str] = "min_ever_long"
    __slots__ = ()


class MaxEverLongIndex(AtomicIndex):
    """The greatest value that was ever saved in each group; no negative ones."""

    type: ClassVar[str] = "max_ever_long"
    __slots__ = ()


class MinEverIndex(MinEverLongIndex):
    """The older name of min_ever_long."""

    type: ClassVar[str] = "min_ever"
    __slots__ = ()


class MaxEverIndex(MaxEverLongIndex):
    """The older name of max_ever_long."""

    type: ClassVar[str] = "max_ever"
    __slots__ = ()


class MinEverTupleIndex(AtomicIndex):
    """The least tuple that was ever saved in each group."""

    type: ClassVar[str] = "min_ever_tuple"
    __slots__ = ()


class MaxEverTupleIndex(AtomicIndex):
    """The greatest tuple that was ever saved in each group."""

    type: ClassVar[str] = "max_ever_tuple"
    __slots__ = ()
