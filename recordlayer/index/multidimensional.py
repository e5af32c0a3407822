"""MULTIDIMENSIONAL index: points of integer coordinates in Hilbert R-trees, for boxes and neighbours.

The columns are a prefix that tells spaces apart, the dimensions, and more columns that are kept with the point;
covering columns are the value.

Layout  2 entries    (*prefix columns): a tree (`index.rtree_nodes`) of (dimensions) with the suffix (*other columns,
                     *primary key columns not among them) and the value (*covering columns)
        3 secondary  (0, *prefix columns): the index of the tree's slots, if the option rtreeUseNodeSlotIndex says so
Cost    save: for each entry that goes or comes a change of a tree (`index.rtree`)
Source  Record Layer, MultidimensionalIndexMaintainer, MultiDimensionalIndexHelper
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar

from recordlayer.cursor.scan import FORWARD, ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.errors import IndexNotSupported, UsageError
from recordlayer.index.bounds import Bounds
from recordlayer.index.entry import EntryLayout, IndexEntry
from recordlayer.index.maintainer import IndexedRecord, IndexSpace, Items
from recordlayer.index.multidimensional_scan import BoxScan, NearestScan
from recordlayer.index.rtree import RTree, RTreeOptions
from recordlayer.index.rtree_audit import audit_tree
from recordlayer.index.rtree_nodes import NodeLayout, NodeStorage
from recordlayer.index.rtree_scan import Box
from recordlayer.index.rtree_slots import Item
from recordlayer.index.standard import StandardMaintainer, clear_entries, row_difference
from recordlayer.keys.grouping import Dimensions, KeyWithValue
from recordlayer.kv.mutations import Write
from recordlayer.tuples import pack, unpack
from recordlayer.waiting.overlap import gather

_SECONDARY, _SLOTS = 3, b"\x14"
_SPARE = 64
"""Bytes of a stored item beside its columns: a Hilbert value, and what tuples in tuples take."""


def rtree_options(space: IndexSpace) -> RTreeOptions:
    """How an index's options say its trees are kept.  Raises  IndexNotSupported."""
    index, given = space.index, space.index.options

    def number(name: str, default: int) -> int:
        value = given.get(name, str(default))
        if not value.isdecimal():
            raise IndexNotSupported(index=index.name, hint=f"{name} is a number", **{name: value})
        return int(value)

    least, most, splits = number("rtreeMinimumM", 16), number("rtreeMaximumM", 32), number("rtreeSplitS", 2)
    if splits < 2 or not 2 <= least <= (most + 1) // 2:
        # With less, a node could be without a neighbour; with more, two that are fused would be too large.
        hint = "rtreeSplitS is at least 2, rtreeMinimumM from 2 to half of rtreeMaximumM"
        raise IndexNotSupported(
            index=index.name, rtreeMinimumM=least, rtreeMaximumM=most, rtreeSplitS=splits, hint=hint
        )
    storage = given.get("rtreeStorage")
    if storage not in (None, "BY_NODE", "BY_SLOT"):
        raise IndexNotSupported(index=index.name, rtreeStorage=storage, hint="rtreeStorage is BY_NODE or BY_SLOT")
    # Java reads the option only where a storage is given, and then takes its absence for false.
    stores_hilbert = storage is None or index.flag("rtreeStoreHilbertValues")
    layout = NodeLayout(storage == "BY_SLOT", stores_hilbert, index.flag("rtreeUseNodeSlotIndex"))
    return RTreeOptions(least, most, splits, layout)


def _dimensions(space: IndexSpace) -> tuple[Dimensions, int]:
    """The dimensions of an index, and how many of its columns are in the key."""
    root = space.index.root_expression
    inner = root.inner if isinstance(root, KeyWithValue) else root
    while not isinstance(inner, Dimensions) and inner.children:
        inner = inner.children[0]
    if not isinstance(inner, Dimensions):
        raise IndexNotSupported(index=space.index.name, hint="this type needs dimensions(...)")
    return inner, root.column_size


class MultidimensionalIndex(StandardMaintainer):
    """Points in spaces."""

    type: ClassVar[str] = "multidimensional"

    __slots__ = ("_columns", "_dimensions", "_layout", "_options", "_prefix", "_slots")

    def __init__(self, space: IndexSpace) -> None:
        super().__init__(space)
        dimensions, self._columns = _dimensions(space)
        self._prefix = dimensions.prefix_size
        self._dimensions = dimensions.dimensions_size
        self._options = rtree_options(space)
        self._slots = space.space(_SECONDARY) + _SLOTS
        index = space.index
        self._layout = EntryLayout(index.name, self._columns, index.primary_key_positions)

    @property
    def idempotent(self) -> bool:
        return True

    # -- maintenance -----------------------------------------------------------------------------------

    def writes(self, old: IndexedRecord | None, new: IndexedRecord | None) -> list[Write]:
        """None: where an entry goes depends on the tree. What can be refused is refused."""
        if new is not None:
            tail = pack(self._layout.trimmed(new.primary_key))
            for row in self.rows(new):
                packed = pack(row)
                self.check_size(b"", bytes(len(packed) + len(tail) + _SPARE), new)
                if self._options.layout.by_slot:
                    self.check_size(self.space.entries + packed + tail + bytes(_SPARE), b"", new)
        return []

    def finish(self, old: IndexedRecord | None, new: IndexedRecord | None) -> Coroutine[Any, None, None] | None:
        removed, added = row_difference(self.rows(old), self.rows(new))
        if not removed and not added:
            return None
        record = new if new is not None else old
        assert record is not None, "one of them has rows"
        return self._follow(self._layout.trimmed(record.primary_key), removed, added)

    async def _follow(self, tail: Items, removed: list[Items], added: list[Items]) -> None:
        at = self._prefix
        trees: dict[bytes, tuple[Items, list[Items], list[Items]]] = {}  # -0.0 is a tree of its own
        for row in removed:
            trees.setdefault(pack(row[:at]), (row[:at], [], []))[1].append(row)
        for row in added:
            trees.setdefault(pack(row[:at]), (row[:at], [], []))[2].append(row)
        changes = [self._change(*tree, tail) for tree in trees.values()]
        await (changes[0] if len(changes) == 1 else gather(*changes))

    async def _change(self, prefix: Items, removed: Sequence[Items], added: Sequence[Items], tail: Items) -> None:
        """Bring one tree in step."""
        context = self.space.context
        place = pack(prefix, self.space.entries)
        tree = RTree(self.storage(prefix), self._options, self._new_id)
        if not context.turns.take(place):
            await context.turns.wait(place)
        try:
            for row in removed:
                point, suffix, _ = self._parts(row, tail)
                await tree.delete(point, suffix)
            for row in added:
                await tree.insert(*self._parts(row, tail))
        finally:
            context.turns.leave(place)

    def _parts(self, row: Items, tail: Items) -> tuple[Items, Items, Items]:
        """Point, suffix and value of a row."""
        first, last = self._prefix, self._prefix + self._dimensions
        return row[first:last], (*row[last : self._columns], *tail), row[self._columns :]

    def _new_id(self) -> bytes:
        return self.space.context.world.random.getrandbits(128).to_bytes(16, "big")

    def storage(self, prefix: Items) -> NodeStorage:
        """The nodes of the tree of a space."""
        return NodeStorage(
            self.space.context,
            self.space.index.name,
            pack(prefix, self.space.entries),
            pack(prefix, self._slots),
            self._options.layout,
        )

    # -- many at once ----------------------------------------------------------------------------------

    def can_clear_prefix(self, columns: int) -> bool:
        return columns <= self._prefix

    def clear_prefix(self, prefix: Items) -> None:
        clear_entries(self.space, prefix)
        begin = pack(prefix, self._slots)
        self.space.context.clear_range(begin, begin + b"\xff")

    # -- reading ---------------------------------------------------------------------------------------

    def scan(self, bounds: Bounds, options: ScanOptions = FORWARD) -> Cursor[IndexEntry]:
        """All entries of the spaces within bounds of prefix columns: space after space, each along the curve.

        Raises  UsageError for bounds of other columns, and in reverse: the curve has one direction.
        """
        if any(end is not None and len(end) > self._prefix for end in (bounds.low, bounds.high)):
            hint = "bounds are of the prefix columns here: ask for a box of the dimensions with store.space(...)"
            raise UsageError(index=self.space.index.name, bounds=str(bounds), hint=hint)
        return self.scan_box(bounds, Box(((None, None),) * self._dimensions), options)

    def scan_box(self, bounds: Bounds, box: Box, options: ScanOptions = FORWARD) -> Cursor[IndexEntry]:
        """The entries in a box, of the spaces within bounds of prefix columns.  Raises  UsageError."""
        if options.reverse:
            raise UsageError(index=self.space.index.name, hint="points are given along the curve, which has no reverse")
        self._check_sides(len(box.sides))
        return BoxScan(self, bounds, box, options)

    def scan_nearest(self, prefix: Items, point: tuple[int, ...], options: ScanOptions = FORWARD) -> Cursor[IndexEntry]:
        """The entries of one space, nearest to a point first.  Raises  UsageError."""
        self._check_sides(len(point))
        self.check_prefix(prefix)
        if options.reverse:
            raise UsageError(index=self.space.index.name, hint="the nearest come first; there is no farthest")
        return NearestScan(self, prefix, point, options)

    @property
    def prefix_size(self) -> int:
        return self._prefix

    def check_prefix(self, prefix: Items) -> None:
        if len(prefix) != self._prefix:
            hint = f"the prefix of this index has {self._prefix} columns"
            raise UsageError(index=self.space.index.name, prefix=prefix, hint=hint)

    def _check_sides(self, count: int) -> None:
        if count != self._dimensions:
            raise UsageError(
                index=self.space.index.name, got=count, hint=f"this space has {self._dimensions} dimensions"
            )

    def entry(self, prefix: Items, item: Item) -> IndexEntry:
        """An item as an entry: prefix, point, suffix, and the covering columns."""
        columns = item.columns
        value = pack(columns) if columns else b""
        return IndexEntry(self._layout, pack((*prefix, *item.point, *item.suffix)), value)

    # -- checking --------------------------------------------------------------------------------------

    async def audit(self, records: Sequence[IndexedRecord]) -> list[tuple[str, Any]]:
        expected: dict[bytes, dict[bytes, Items]] = {}
        for record in records:
            tail = self._layout.trimmed(record.primary_key)
            for row in self.rows(record):
                point, suffix, value = self._parts(row, tail)
                expected.setdefault(pack(row[: self._prefix]), {})[pack((point, suffix))] = value
        start = len(self.space.entries)
        rows = await self.space.context.read_all(self.space.entries, self.space.entries + b"\xff")
        prefixes = dict.fromkeys(pack(unpack(key, start)[: self._prefix]) for key, _ in rows)
        findings: list[tuple[str, Any]] = []
        for packed in {**prefixes, **dict.fromkeys(expected)}:
            prefix = unpack(packed)
            items, wrong = await audit_tree(self.storage(prefix), self._options)
            findings += [(f"the tree is broken: {what}", prefix) for what in wrong]
            there = {item.packed: item.value for item in items}
            wanted = expected.get(packed, {})
            findings += [("an entry is missing", (prefix, *unpack(key))) for key in wanted if key not in there]
            findings += [("an entry has no record", (prefix, *unpack(key))) for key in there if key not in wanted]
            findings += [
                ("an entry covers other values", (prefix, *unpack(key)))
                for key in wanted
                if key in there and there[key] != pack((wanted[key],))
            ]
        return findings
