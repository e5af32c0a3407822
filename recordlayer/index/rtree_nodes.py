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

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from recordlayer.errors import CorruptIndexEntry, IndexEntryTooLarge, MalformedTuple
from recordlayer.index.rtree_slots import (
    Child,
    Item,
    Slot,
    as_numbers,
    decode,
    encode,
    hilbert_size,
    id_element,
    remember,
    slot_key,
    slot_of,
    slot_value,
)
from recordlayer.kv.context import Context
from recordlayer.kv.engine import VALUE_LIMIT
from recordlayer.tuples import pack

ROOT = bytes(16)


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

    def as_child(self) -> Child:
        """What the node above is to know of it."""
        first, last = self.slots[0], self.slots[-1]
        if self.leaf:
            points = [as_numbers(item.point) for item in self.slots]
            low, high = tuple(map(min, zip(*points, strict=True))), tuple(map(max, zip(*points, strict=True)))
            return Child.of(first.order, last.order, self.id, low, high)
        low = tuple(map(min, zip(*[child.sides[0] for child in self.slots], strict=True)))
        high = tuple(map(max, zip(*[child.sides[1] for child in self.slots], strict=True)))
        return Child.of(first.first, last.last, self.id, low, high)

    def as_child_with(self, known: Child, added: Slot) -> Child:
        """The same, from what the node above knows already and a slot that has come in or has changed."""
        first, last = self.slots[0], self.slots[-1]
        low, high = known.sides
        if isinstance(added, Item):
            least = most = as_numbers(added.point)
        else:
            least, most = added.sides
        low, high = tuple(map(min, low, least)), tuple(map(max, high, most))
        if self.leaf:
            return Child.of(first.order, last.order, self.id, low, high)
        return Child.of(first.first, last.last, self.id, low, high)


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
        return self._prefix + id_element(node_id)

    async def fetch(self, node_id: bytes, *, snapshot: bool = False) -> Node | None:
        """A node, None if there is none.  Raises  CorruptIndexEntry."""
        key = self._key(node_id)
        try:
            if not self._layout.by_slot:
                value = await self._context.get(key, snapshot=snapshot)
                if value is None:
                    return None
                leaf, decoded = decode(value)
                return Node(node_id, list(decoded), leaf=leaf, stored=True)
            rows = await self._context.read_all(key + b"\x00", key + b"\xff", snapshot=snapshot)
            if not rows:
                return None
            slots = [slot_of(row[len(key) :], value) for row, value in rows]
        except (MalformedTuple, ValueError, TypeError, IndexError) as error:
            raise self._broken(node_id, str(error)) from error
        kinds = {type(slot) for slot in slots}
        if len(kinds) > 1:
            raise self._broken(node_id, "it is a leaf and an inner node")
        leaf = kinds == {Item}
        if leaf and not self._layout.stores_hilbert:
            slots.sort(key=lambda slot: slot.order if isinstance(slot, Item) else b"")
        return Node(node_id, slots, leaf=leaf, stored=True)

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
                sets.update((self._slot_key(node.id, slot), slot_value(slot)) for slot in come)
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
        stores_hilbert = self._layout.stores_hilbert
        value = encode(node.slots, leaf=node.leaf, stores_hilbert=stores_hilbert)
        if len(value) > VALUE_LIMIT:
            hint = f"a node may have {VALUE_LIMIT:,} bytes: cover fewer columns, or store the tree by slot"
            raise IndexEntryTooLarge(index=self._index, value_bytes=len(value), hint=hint)
        remember(value, (node.leaf, tuple(node.slots)))
        return value

    def _slot_key(self, node_id: bytes, slot: Slot) -> bytes:
        return self._key(node_id) + slot_key(slot, stores_hilbert=self._layout.stores_hilbert)

    def _slot_index_keys(self, slots: Iterable[Slot], level: int) -> list[bytes]:
        keys = []
        for slot in slots:
            if isinstance(slot, Child):
                size = hilbert_size(slot.last)
                place = slot.last[:size] + slot.last[size + 1 : -1]  # the parts of the key are elements of their own
                keys.append(pack((level - 1,), self._slot_index) + place + id_element(slot.id))
        return keys

    async def slot_index(self) -> set[bytes]:
        """The keys of the index of slots, for checks."""
        rows = await self._context.read_all(self._slot_index + b"\x00", self._slot_index + b"\xff")
        return {key for key, _ in rows}

    def slot_index_of(self, node: Node) -> list[bytes]:
        """The keys that a node should have there."""
        return self._slot_index_keys(node.slots, node.level) if self._layout.indexes_slots else []

    def _broken(self, node_id: bytes, found: str) -> CorruptIndexEntry:
        return CorruptIndexEntry(index=self._index, what="node of an R-tree", node=node_id.hex(), found=found)
