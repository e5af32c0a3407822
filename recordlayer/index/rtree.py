"""Hilbert R-trees: points of a space in nodes that know the box around what is below them.

Points are kept in the order of their places on the Hilbert curve, as in a B-tree; so a node that is full gives slots to
its neighbours, and only when they are full as well, a node more is made.

Cost    insert, delete: 1 read a level, then 1 for each neighbour that is asked (splits - 1); writes: the leaf, and each
        node above it whose knowledge changes
Source  Record Layer, com.apple.foundationdb.async.rtree.RTree: same nodes, same splits and merges
        I. Kamel, C. Faloutsos, "Hilbert R-tree: an improved R-tree using fractals" (1994)

Two changes of one tree in a transaction must not run side by side: whoever uses a tree takes turns.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from recordlayer.errors import CorruptIndexEntry
from recordlayer.index.rtree_nodes import ROOT, Node, NodeLayout, NodeStorage
from recordlayer.index.rtree_slots import Item, Slot
from recordlayer.waiting.overlap import gather

Items = tuple[Any, ...]

_ORDER, _LAST = attrgetter("order"), attrgetter("last")


@dataclass(frozen=True, slots=True)
class RTreeOptions:
    """How a tree is kept.

    least, most  slots of a node; the root may have fewer
    splits       neighbours that share what one has too much of, itself included
    """

    least: int
    most: int
    splits: int
    layout: NodeLayout


class RTree:
    """One tree in one transaction. `new_id` gives 16 random bytes."""

    __slots__ = ("_new_id", "_options", "_storage")

    def __init__(self, storage: NodeStorage, options: RTreeOptions, new_id: Callable[[], bytes]) -> None:
        self._storage = storage
        self._options = options
        self._new_id = new_id

    # -- inserting -------------------------------------------------------------------------------------

    async def insert(self, point: Items, suffix: Items, value: Items) -> None:
        """Put an item in, or give the one with this point and suffix another value."""
        item = Item.of(point, suffix, value)
        leaf = await self._leaf_for(item, inserting=True)
        if leaf is None:
            leaf = Node(ROOT, [], leaf=True, stored=False)
        at, there = _place_in(leaf, item)
        if there:
            leaf.slots[at] = item
            self._storage.write([leaf])
            return
        changed: dict[Node, None] = {}
        node: Node = leaf
        slot: Slot = item
        while True:
            changed[node] = None
            if len(node.slots) < self._options.most:
                node.slots.insert(at, slot)
                self._adjust_upwards(node, changed, slot if node is leaf else None)
                break
            if node.parent is None:
                node.slots.insert(at, slot)
                self._split_root(node, changed)
                break
            siblings = await self._siblings(node)
            targets = list(siblings)
            if all(len(sibling.slots) == self._options.most for sibling in siblings):
                targets.append(self._new_node(node))
            node.slots.insert(at, slot)
            _spread(siblings, targets)
            changed.update(dict.fromkeys(targets))
            for sibling in siblings:
                _tell_parent(sibling)
            changed[node.parent] = None
            if len(targets) == len(siblings):
                self._adjust_upwards(node.parent, changed)
                break
            slot, at, node = targets[-1].as_child(), siblings[-1].at + 1, node.parent
        self._storage.write(changed)

    def _new_node(self, like: Node) -> Node:
        return Node(self._new_id(), [], leaf=like.leaf, stored=False).place(like.level, None, 0)

    def _split_root(self, root: Node, changed: dict[Node, None]) -> None:
        """The root's slots go into two new nodes, which become its slots."""
        left, right = self._new_node(root), self._new_node(root)
        half = len(root.slots) // 2
        left.slots, right.slots = root.slots[:half], root.slots[half:]
        root.slots = [left.as_child(), right.as_child()]
        root.leaf = False
        root.level += 1
        changed.update(dict.fromkeys((left, right)))

    # -- deleting --------------------------------------------------------------------------------------

    async def delete(self, point: Items, suffix: Items) -> bool:
        """Take out the item with this point and suffix. Whether it was there."""
        item = Item.of(point, suffix)
        leaf = await self._leaf_for(item, inserting=False)
        if leaf is None:
            return False
        at, there = _place_in(leaf, item)
        if not there:
            return False
        changed: dict[Node, None] = {}
        node: Node = leaf
        while True:
            changed[node] = None
            if node.parent is None or len(node.slots) > self._options.least:
                del node.slots[at]
                self._adjust_upwards(node, changed)
                break
            siblings = await self._siblings(node)
            fuses = all(len(sibling.slots) == self._options.least for sibling in siblings) and len(siblings) > 1
            targets = siblings[:-1] if fuses else siblings
            del node.slots[at]
            _spread(siblings, targets)
            changed.update(dict.fromkeys(siblings))
            parent = node.parent
            changed[parent] = None
            if fuses and parent.parent is None and len(parent.slots) == 2:
                self._become_root(parent, targets[0])
                break
            for target in targets:
                _tell_parent(target)
            if not fuses:
                self._adjust_upwards(parent, changed)
                break
            node, at = parent, siblings[-1].at
        self._storage.write(changed)
        return True

    def _become_root(self, root: Node, last: Node) -> None:
        """The only node that is left below the root takes its place."""
        root.slots, root.leaf, root.level = last.slots, last.leaf, last.level
        last.slots = []

    # -- the way to a leaf -----------------------------------------------------------------------------

    async def _leaf_for(self, item: Item, *, inserting: bool) -> Node | None:
        """The leaf that an item belongs to, with the nodes above it; None if no leaf can hold it, or there is none."""
        node = await self._storage.fetch(ROOT)
        if node is None:
            return None
        path = [node]
        while not node.leaf:
            at = _child_for(node, item, inserting=inserting)
            if at is None:
                return None
            below = await self._fetch(node.slots[at].id)
            below.parent, below.at = node, at
            path.append(below)
            node = below
        for level, one in enumerate(reversed(path)):
            one.level = one.stored_level = level
        return node

    async def _fetch(self, node_id: bytes) -> Node:
        node = await self._storage.fetch(node_id)
        if node is None:
            raise CorruptIndexEntry(what="node of an R-tree", node=node_id.hex(), found="nothing")
        return node

    async def _siblings(self, node: Node) -> list[Node]:
        """The neighbours of a node below the same parent, itself in the middle where that can be."""
        parent = node.parent
        assert parent is not None, "the root has no siblings"
        count = min(self._options.splits, len(parent.slots))
        start = max(0, min(node.at - self._options.splits // 2, len(parent.slots) - count))
        places = [at for at in range(start, start + count) if at != node.at]
        fetched = await gather(*(self._fetch(parent.slots[at].id) for at in places))
        around = {at: found.place(node.level, parent, at) for at, found in zip(places, fetched, strict=True)}
        around[node.at] = node
        return [around[at] for at in sorted(around)]

    def _adjust_upwards(self, node: Node, changed: dict[Node, None], added: Slot | None = None) -> None:
        """Have the nodes above know what has changed in this one, as far as it concerns them.

        added  as in `_tell_parent`
        """
        while node.parent is not None and _tell_parent(node, added):
            if added is not None:
                added = node.parent.slots[node.at]
            node = node.parent
            changed[node] = None


def _tell_parent(node: Node, added: Slot | None = None) -> bool:
    """Put into the parent's slot what the node has now. Whether that is something else.

    added  the one slot that has come in, or whose box has grown, if that is all that has changed
    """
    parent = node.parent
    assert parent is not None, "the root is not told of"
    known = parent.slots[node.at]
    new = node.as_child() if added is None else node.as_child_with(known, added)
    if known.same(new):
        return False
    parent.slots[node.at] = new
    return True


def _place_in(leaf: Node, item: Item) -> tuple[int, bool]:
    """Where an item is, or would be, in a leaf; and whether it is there."""
    at = bisect_left(leaf.slots, item.order, key=_ORDER)
    return at, at < len(leaf.slots) and leaf.slots[at].order == item.order


def _child_for(node: Node, item: Item, *, inserting: bool) -> int | None:
    """Below which slot an item is, or goes; None if it is below none of them."""
    if not inserting and item.order < node.slots[0].first:
        return None
    at = bisect_left(node.slots, item.order, key=_LAST)
    if at < len(node.slots):
        return at
    return at - 1 if inserting else None


def _spread(nodes: Sequence[Node], targets: Sequence[Node]) -> None:
    """Give all slots of some nodes to others in equal shares, the first of them having one more; the rest is empty."""
    slots = [slot for node in nodes for slot in node.slots]
    share, more = divmod(len(slots), len(targets))
    for node in nodes:
        node.slots = []
    at = 0
    for place, target in enumerate(targets):
        size = share + (place < more)
        target.slots = slots[at : at + size]
        at += size
