"""Nodes of a Hilbert R-tree: what is in them and how it is stored.

Slots are ordered by (Hilbert value, key); a key is (point, suffix).

Layout  by node  (node id) -> (kind, (slot, ...)), kind 0 leaf, 1 inner
                 leaf slot (Hilbert value or null, (point, suffix), value)
                 inner slot (least Hilbert value, least key, greatest Hilbert value, greatest key, child's id, box)
        by slot  (node id, kind, Hilbert value or null, (point, suffix)) -> (value)
                 (node id, kind, least Hilbert value, least key, greatest Hilbert value, greatest key) -> (id, box)
        A box is all lows, then all highs. Node ids are 16 random bytes, the root's are zeros.
        index of slots, if kept: (level of the child, its greatest Hilbert value, *greatest key, its id) -> nothing
Source  Record Layer, com.apple.foundationdb.async.rtree: ByNodeStorageAdapter, BySlotStorageAdapter,
        NodeSlotIndexAdapter
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from recordlayer.errors import CorruptIndexEntry, IndexEntryTooLarge, MalformedTuple
from recordlayer.index.hilbert import hilbert_value
from recordlayer.kv.context import Context
from recordlayer.kv.engine import VALUE_LIMIT
from recordlayer.tuples import pack, unpack

Items = tuple[Any, ...]

ROOT = bytes(16)
NULL = -(1 << 63) - 1
"""Where a null stands among the coordinates of a box."""

_LEAF, _INNER = 0, 1


class Item:
    """A point with what is kept there."""

    __slots__ = ("_packed", "hilbert", "point", "suffix", "value")

    def __init__(self, hilbert: int, point: Items, suffix: Items, value: Items) -> None:
        self.hilbert = hilbert
        self.point = point
        self.suffix = suffix
        self.value = value
        self._packed: bytes | None = None

    @property
    def key(self) -> Items:
        return self.point, self.suffix

    @property
    def packed(self) -> bytes:
        """The key, packed: what orders items of one Hilbert value."""
        if self._packed is None:
            self._packed = pack(self.key)
        return self._packed


class Child:
    """What an inner node knows of a node below: its first and last key in order, its id and its box."""

    __slots__ = ("greatest", "high", "high_hilbert", "id", "least", "low", "low_hilbert")

    def __init__(
        self,
        low_hilbert: int,
        least: Items,
        high_hilbert: int,
        greatest: Items,
        node_id: bytes,
        low: tuple[int, ...],
        high: tuple[int, ...],
    ) -> None:
        self.low_hilbert = low_hilbert
        self.least = least
        self.high_hilbert = high_hilbert
        self.greatest = greatest
        self.id = node_id
        self.low = low
        self.high = high

    def same(self, other: Child) -> bool:
        return (
            self.low_hilbert == other.low_hilbert
            and self.high_hilbert == other.high_hilbert
            and self.low == other.low
            and self.high == other.high
            and pack((self.least, self.greatest)) == pack((other.least, other.greatest))
        )


Slot = Item | Child


class Node:
    """One node. `slots` may be changed; `stored` is what it had when it was read.

    level      0 for leaves
    parent, at the node above and the place of this one's slot there; None and 0 for the root
    """

    __slots__ = ("at", "id", "leaf", "level", "parent", "slots", "stored", "stored_leaf", "stored_level")

    def __init__(self, node_id: bytes, slots: list[Any], *, leaf: bool, stored: bool) -> None:
        self.id = node_id
        self.slots = slots
        self.leaf = self.stored_leaf = leaf
        self.stored: list[Any] = list(slots) if stored else []
        self.level = self.stored_level = 0
        self.parent: Node | None = None
        self.at = 0

    def place(self, level: int, parent: Node | None, at: int) -> Node:
        self.level = self.stored_level = level
        self.parent, self.at = parent, at
        return self

    @property
    def is_root(self) -> bool:
        return self.id == ROOT

    def as_child(self) -> Child:
        """What the node above is to know of it."""
        first, last = self.slots[0], self.slots[-1]
        if self.leaf:
            columns = list(zip(*[_numbers(item.point) for item in self.slots], strict=True))
            low, high = tuple(map(min, columns)), tuple(map(max, columns))
            return Child(first.hilbert, first.key, last.hilbert, last.key, self.id, low, high)
        low = tuple(map(min, zip(*[child.low for child in self.slots], strict=True)))
        high = tuple(map(max, zip(*[child.high for child in self.slots], strict=True)))
        return Child(first.low_hilbert, first.least, last.high_hilbert, last.greatest, self.id, low, high)


def _numbers(coordinates: Sequence[int | None]) -> tuple[int, ...]:
    return tuple([NULL if number is None else number for number in coordinates])


def _coordinates(numbers: Iterable[int]) -> Items:
    return tuple([None if number == NULL else number for number in numbers])


@dataclass(frozen=True, slots=True)
class NodeLayout:
    """How the nodes of a tree are stored."""

    by_slot: bool
    stores_hilbert: bool
    indexes_slots: bool


class NodeStorage:
    """The nodes of one tree in one transaction.

    Cost  fetch: 1 read by node, 1 range read by slot; write: 1 write for each changed node, or slot
    """

    __slots__ = ("_context", "_index", "_layout", "_prefix", "_slot_index")

    def __init__(self, context: Context, index: str, prefix: bytes, slot_index: bytes, layout: NodeLayout) -> None:
        self._context = context
        self._index = index
        self._prefix = prefix
        self._slot_index = slot_index
        self._layout = layout

    def _key(self, node_id: bytes) -> bytes:
        return pack((node_id,), self._prefix)

    async def fetch(self, node_id: bytes, *, snapshot: bool = False) -> Node | None:
        """A node, None if there is none.  Raises  CorruptIndexEntry."""
        key = self._key(node_id)
        try:
            if not self._layout.by_slot:
                value = await self._context.get(key, snapshot=snapshot)
                return None if value is None else self._decoded(node_id, *unpack(value))
            rows = await self._context.read_all(key + b"\x00", key + b"\xff", snapshot=snapshot)
            if not rows:
                return None
            kinds = {unpack(row, len(key))[0] for row, _ in rows}
            slots = [(*unpack(row, len(key))[1:], *unpack(value)) for row, value in rows]
            node = self._decoded(node_id, kinds.pop(), slots)
        except (MalformedTuple, ValueError, TypeError, IndexError) as error:
            raise self._broken(node_id, str(error)) from error
        if kinds:
            raise self._broken(node_id, "it is a leaf and an inner node")
        return node

    def _decoded(self, node_id: bytes, kind: int, slots: Sequence[Items]) -> Node:
        if kind == _LEAF:
            items = []
            for hilbert, (point, suffix), value in slots:
                items.append(Item(hilbert_value(point) if hilbert is None else hilbert, point, suffix, value))
            if self._layout.by_slot and not self._layout.stores_hilbert:
                items.sort(key=lambda item: (item.hilbert, item.packed))
            return Node(node_id, items, leaf=True, stored=True)
        if kind != _INNER:
            raise self._broken(node_id, f"it has the unknown kind {kind}")
        children = []
        for low_hilbert, least, high_hilbert, greatest, child_id, box in slots:
            half = len(box) // 2
            low, high = _numbers(box[:half]), _numbers(box[half:])
            children.append(Child(low_hilbert, least, high_hilbert, greatest, child_id, low, high))
        return Node(node_id, children, leaf=False, stored=True)

    def write(self, nodes: Iterable[Node]) -> None:
        """Store what has changed in some nodes; one without slots is no more.  Raises  IndexEntryTooLarge."""
        clears: dict[bytes, None] = {}
        sets: dict[bytes, bytes] = {}
        for node in nodes:
            new, old = {id(slot) for slot in node.slots}, {id(slot) for slot in node.stored}
            gone = [slot for slot in node.stored if id(slot) not in new or node.leaf is not node.stored_leaf]
            come = [slot for slot in node.slots if id(slot) not in old or node.leaf is not node.stored_leaf]
            if self._layout.by_slot:
                clears.update(dict.fromkeys(self._slot_key(node.id, slot) for slot in gone))
                sets.update((self._slot_key(node.id, slot), self._slot_value(slot)) for slot in come)
            elif node.slots:
                sets[self._key(node.id)] = self._node_value(node)
            elif node.stored:
                clears[self._key(node.id)] = None
            if self._layout.indexes_slots:
                if node.level != node.stored_level:
                    gone, come = node.stored, node.slots
                clears.update(dict.fromkeys(self._slot_index_keys(gone, node.stored_level)))
                sets.update((key, b"") for key in self._slot_index_keys(come, node.level))
        for key in clears:
            if key not in sets:
                self._context.clear(key)
        for key, value in sets.items():
            self._context.set(key, value)

    def _node_value(self, node: Node) -> bytes:
        slots: list[Items]
        if node.leaf:
            stores = self._layout.stores_hilbert
            slots = [(item.hilbert if stores else None, item.key, item.value) for item in node.slots]
        else:
            slots = [
                (
                    *(child.low_hilbert, child.least, child.high_hilbert, child.greatest, child.id),
                    _coordinates((*child.low, *child.high)),
                )
                for child in node.slots
            ]
        value = pack((_LEAF if node.leaf else _INNER, tuple(slots)))
        if len(value) > VALUE_LIMIT:
            hint = f"a node may have {VALUE_LIMIT:,} bytes: cover fewer columns, or store the tree by slot"
            raise IndexEntryTooLarge(index=self._index, value_bytes=len(value), hint=hint)
        return value

    def _slot_key(self, node_id: bytes, slot: Slot) -> bytes:
        if isinstance(slot, Item):
            return pack((_LEAF, slot.hilbert if self._layout.stores_hilbert else None, slot.key), self._key(node_id))
        return pack((_INNER, slot.low_hilbert, slot.least, slot.high_hilbert, slot.greatest), self._key(node_id))

    def _slot_value(self, slot: Slot) -> bytes:
        if isinstance(slot, Item):
            return pack((slot.value,))
        return pack((slot.id, _coordinates((*slot.low, *slot.high))))

    def _slot_index_keys(self, slots: Sequence[Slot], level: int) -> list[bytes]:
        return [
            pack((level - 1, slot.high_hilbert, *slot.greatest, slot.id), self._slot_index)
            for slot in slots
            if isinstance(slot, Child)
        ]

    async def slot_index(self) -> set[bytes]:
        """The keys of the index of slots, for checks."""
        rows = await self._context.read_all(self._slot_index + b"\x00", self._slot_index + b"\xff")
        return {key for key, _ in rows}

    def slot_index_of(self, node: Node) -> list[bytes]:
        """The keys that a node should have there."""
        return self._slot_index_keys(node.slots, node.level) if self._layout.indexes_slots else []

    def _broken(self, node_id: bytes, found: str) -> CorruptIndexEntry:
        return CorruptIndexEntry(index=self._index, what="node of an R-tree", node=node_id.hex(), found=found)
