"""PERMUTED_MIN and PERMUTED_MAX indexes: the least or greatest value of each group now, readable in order of the value.

Layout  2 entries  (*grouping columns, *value columns, *primary key columns not among them) -> nothing
        3 extremes (*first grouping columns, *value columns, *last grouping columns) -> nothing; one key for each group.
          How many of the grouping columns are last is the option permutedSize
Cost    save: as VALUE, and for each group of a changed entry 1 read (2 for a removed one) and 0-2 writes
Source  Record Layer, PermutedMinMaxIndexMaintainer
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, ClassVar

from recordlayer.cursor.scan import FORWARD, KeyValueScan, ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.cursor.transform import Map
from recordlayer.errors import CorruptIndexEntry, IndexNotSupported, MalformedTuple, UsageError
from recordlayer.index.bounds import Bounds
from recordlayer.index.entry import AggregateEntry
from recordlayer.index.judging import Evidence, Fault, Mend, clearing
from recordlayer.index.maintainer import IndexedRecord, IndexSpace, Items
from recordlayer.index.standard import clear_entries, difference
from recordlayer.index.value import ValueIndex
from recordlayer.keys.grouping import Grouping
from recordlayer.kv.engine import KeyValue
from recordlayer.kv.mutations import CLEAR, SET, Write, perform
from recordlayer.tuples import pack, unpack
from recordlayer.waiting.overlap import gather

EXTREMES = 3
PERMUTED_SIZE = "permutedSize"


class _Group:
    """The changed entries of one group: their keys, and the best of their values."""

    __slots__ = ("columns", "keys", "value")

    def __init__(self, columns: Items) -> None:
        self.columns = columns
        self.keys: list[bytes] = []
        self.value: Items = ()


class PermutedIndex(ValueIndex):
    """Base of the two: entries by group and value, and the extreme of each group by value."""

    type: ClassVar[str]
    greatest: ClassVar[bool]

    __slots__ = ("_extremes", "_first", "_grouping")

    def __init__(self, space: IndexSpace) -> None:
        super().__init__(space)
        root, size = space.index.root_expression, space.index.options.get(PERMUTED_SIZE, "")
        if not isinstance(root, Grouping) or not size.isdecimal() or int(size) > root.grouping_count:
            hint = f"it needs a grouping expression, and the option {PERMUTED_SIZE}: how many of its groups come last"
            raise IndexNotSupported(index=space.index.name, type=self.type, permutedSize=size, hint=hint)
        self._grouping = root.grouping_count
        self._first = self._grouping - int(size)
        self._extremes = space.space(EXTREMES)

    # -- maintenance -----------------------------------------------------------------------------------

    def writes(self, old: IndexedRecord | None, new: IndexedRecord | None) -> list[Write]:
        """None: `finish` writes the entries, between the looks at the extremes. What is too large is refused here."""
        for key, _ in self.pairs(new):
            self.check_size(key, b"", new)
        return []

    def finish(self, old: IndexedRecord | None, new: IndexedRecord | None) -> Coroutine[Any, None, None] | None:
        unique = super().finish(old, new)
        removed, added = difference([key for key, _ in self.pairs(old)], [key for key, _ in self.pairs(new)])
        if not removed and not added:
            return unique
        return self._change(unique, removed, added)

    async def _change(
        self, unique: Coroutine[Any, None, None] | None, removed: list[bytes], added: list[bytes]
    ) -> None:
        if unique is not None:
            await unique
        for change, keys in ((self._remove, removed), (self._add, added)):
            groups = self._by_group(keys)
            if len(groups) == 1:
                await self._in_turn(change, groups[0])
            elif groups:
                await gather(*[self._in_turn(change, group) for group in groups])

    def _by_group(self, keys: list[bytes]) -> list[_Group]:
        start, columns = len(self.space.entries), self._layout.columns
        groups: dict[bytes, _Group] = {}
        for key in keys:
            items = unpack(key, start)
            group = groups.setdefault(pack(items[: self._grouping]), _Group(items[: self._grouping]))
            value = items[self._grouping : columns]
            if not group.keys or self._better(value, group.value):
                group.value = value
            group.keys.append(key)
        return list(groups.values())

    def _better(self, one: Items, other: Items) -> bool:
        left, right = pack(one), pack(other)
        return left > right if self.greatest else left < right

    async def _in_turn(self, change: Callable[[_Group], Awaitable[None]], group: _Group) -> None:
        # Two changes of one group that run side by side in a transaction would each miss the other's entries.
        turns, place = self.space.context.turns, pack(group.columns, self._extremes)
        if not turns.take(place):
            await turns.wait(place)
        try:
            await change(group)
        finally:
            turns.leave(place)

    async def _remove(self, group: _Group) -> None:
        context = self.space.context
        perform(context, [(CLEAR, key, b"") for key in group.keys])
        gone = self._extreme_key(group.columns, group.value)
        if await context.get(gone) is None:
            return
        value = await self._extreme(group.columns)
        key = None if value is None else self._extreme_key(group.columns, value)
        if key != gone:
            context.clear(gone)
            if key is not None:
                context.set(key, b"")

    async def _add(self, group: _Group) -> None:
        context = self.space.context
        current = await self._extreme(group.columns)
        if current is None or self._better(group.value, current):
            if current is not None:
                context.clear(self._extreme_key(group.columns, current))
            context.set(self._extreme_key(group.columns, group.value), b"")
        perform(context, [(SET, key, b"") for key in group.keys])

    def _extreme_key(self, group: Items, value: Items) -> bytes:
        return pack((*group[: self._first], *value, *group[self._first :]), self._extremes)

    async def _extreme(self, group: Items, *, snapshot: bool = False) -> Items | None:
        """The value columns of a whole group's first or last entry.  Cost  1 read."""
        keys = Bounds.equal(group).keys(self.space.entries)
        chunk = await self.space.context.get_range(
            keys.begin, keys.end, limit=1, reverse=self.greatest, snapshot=snapshot
        )
        if not chunk.rows:
            return None
        return self._items(chunk.rows[0][0], self.space.entries)[self._grouping : self._layout.columns]

    def _items(self, key: bytes, prefix: bytes) -> Items:
        try:
            return unpack(key, len(prefix))
        except MalformedTuple as error:
            raise CorruptIndexEntry(index=self.space.index.name, key=key, found=str(error)) from error

    # -- many at once ----------------------------------------------------------------------------------

    def can_clear_prefix(self, columns: int) -> bool:
        return columns <= self._first

    def clear_prefix(self, prefix: Items) -> None:
        super().clear_prefix(prefix)
        clear_entries(self.space, prefix, keyspace=EXTREMES)

    # -- checking --------------------------------------------------------------------------------------

    @property
    def judged(self) -> tuple[bytes, ...]:
        return self.space.entries, self._extremes

    async def judge_pairs(self, pairs: Sequence[KeyValue], evidence: Evidence) -> list[Fault]:
        """Entries one by one, with the extreme that their groups should have; and extremes by the entries."""
        if pairs and pairs[0][0].startswith(self._extremes):
            return await self._judge_extremes(pairs, evidence)
        faults, groups = await super().judge_pairs(pairs, evidence), dict[bytes, Items]()
        for key, _ in pairs:
            try:
                items = self._items(key, self.space.entries)[: self._grouping]
            except CorruptIndexEntry:
                continue  # it is a fault already
            groups[pack(items)] = items
        for group in groups.values():
            wanted = await self._wanted_extreme(group, evidence)
            if wanted is not None and (await evidence.values([wanted]))[0] is None:
                what, detail = "the extreme of a group is missing", unpack(wanted, len(self._extremes))
                faults.append(Fault(what, detail, self._renewing(group), None, wanted))
        return faults

    async def _judge_extremes(self, pairs: Sequence[KeyValue], evidence: Evidence) -> list[Fault]:
        faults = []
        first, values = self._first, self._layout.columns - self._grouping
        for key, _ in pairs:
            items = unpack(key, len(self._extremes))
            group = items[:first] + items[first + values :]
            if key != await self._wanted_extreme(group, evidence):
                faults.append(Fault("what is kept as an extreme is none", items, clearing(self.space, key), None, key))
        return faults

    async def _wanted_extreme(self, group: Items, evidence: Evidence) -> bytes | None:
        """The key of a group's extreme as it follows from the entries; None for a group without any."""
        keys = Bounds.equal(group).keys(self.space.entries)
        rows = await evidence.rows(keys.begin, keys.end, limit=1, reverse=self.greatest)
        if not rows:
            return None
        value = self._items(rows[0][0], self.space.entries)[self._grouping : self._layout.columns]
        return self._extreme_key(group, value)

    def _renewing(self, group: Items) -> Mend:
        async def mend() -> None:
            value = await self._extreme(group)
            if value is not None:
                self.space.context.set(self._extreme_key(group, value), b"")

        return mend

    # -- reading ---------------------------------------------------------------------------------------

    def scan_extremes(self, bounds: Bounds = Bounds.ALL, options: ScanOptions = FORWARD) -> Cursor[AggregateEntry]:
        """Each group with its least or greatest value, in order of (first grouping columns, value, last grouping
        columns): bounds are about those. An entry has the grouping columns in their own order, and the value columns.

        Cost  1 range read a chunk.
        """
        source = KeyValueScan(self.space.context, bounds.keys(self._extremes), options)
        first, values = self._first, self._layout.columns - self._grouping

        def entry(pair: tuple[bytes, bytes]) -> AggregateEntry:
            items = self._items(pair[0], self._extremes)
            return AggregateEntry(items[:first] + items[first + values :], items[first : first + values])

        return Map(source, entry)

    async def aggregate(self, group: Items, *, snapshot: bool = False) -> Items | None:
        """The value columns of the least or greatest entry over all groups that begin with `group`; None if there is
        none.

        Cost    1 read if `group` has all grouping columns or those that come first in the extremes, or none where all
                come last; else 1 range read a chunk.
        Raises  UsageError for more columns than the index groups by.
        """
        if len(group) > self._grouping:
            hint = f"the index groups by {self._grouping} columns: give at most as many values"
            raise UsageError(index=self.space.index.name, group=group, hint=hint)
        if len(group) == self._grouping:
            return await self._extreme(group, snapshot=snapshot)
        whole = len(group) >= self._first  # then the extremes below are in order of their values
        options = ScanOptions(reverse=self.greatest, snapshot=snapshot, expect=1 if len(group) == self._first else 0)
        cursor = self.scan_extremes(Bounds.equal(group[: self._first]), options)
        best: Items | None = None
        packed = pack(group)
        while True:
            batch = await cursor.batch()
            for entry in batch.values:
                if pack(entry.group[: len(group)]) != packed:
                    continue
                if best is None or self._better(entry.value, best):
                    best = entry.value
                if whole:
                    return best
            if batch.stop is not None:
                return best


class PermutedMinIndex(PermutedIndex):
    """The least value of each group."""

    type: ClassVar[str] = "permuted_min"
    greatest: ClassVar[bool] = False
    __slots__ = ()


class PermutedMaxIndex(PermutedIndex):
    """The greatest value of each group."""

    type: ClassVar[str] = "permuted_max"
    greatest: ClassVar[bool] = True
    __slots__ = ()
