"""Whether an R-tree is one: sizes, order, boxes, depth, and the index of its slots.

Cost  reads the whole tree
"""

from __future__ import annotations

import itertools

from recordlayer.errors import CorruptIndexEntry
from recordlayer.index.rtree import RTreeOptions
from recordlayer.index.rtree_nodes import ROOT, Node, NodeStorage
from recordlayer.index.rtree_slots import Child, Item


async def audit_tree(storage: NodeStorage, options: RTreeOptions) -> tuple[list[Item], list[str]]:
    """The items of a tree in their order, and what is wrong with it."""
    items: list[Item] = []
    wrong: list[str] = []
    indexed: set[bytes] = set()
    depths: set[int] = set()

    async def visit(node_id: bytes, known: Child | None, depth: int) -> int:
        """The level of a node."""
        name = node_id.hex()
        try:
            node = await storage.fetch(node_id)
        except CorruptIndexEntry as error:
            wrong.append(f"node {name}: {error.fields.get('found')}")
            return 0
        if node is None:
            if known is not None:
                wrong.append(f"node {name} is missing")
            return 0
        if not node.slots or len(node.slots) > options.most or (known is not None and len(node.slots) < options.least):
            wrong.append(f"node {name} has {len(node.slots)} slots")
        if known is not None and node.slots and not known.same(node.as_child()):
            wrong.append(f"node {name} is not what the node above says")
        if not _is_ordered(node):
            wrong.append(f"node {name} is out of order")
        if node.leaf:
            depths.add(depth)
            items.extend(node.slots)
            return 0
        levels = [await visit(child.id, child, depth + 1) for child in node.slots]
        node.level = max(levels, default=0) + 1
        indexed.update(storage.slot_index_of(node))
        return node.level

    await visit(ROOT, None, 0)
    if len(depths) > 1:
        wrong.append("leaves are at different depths")
    if any(one.order >= other.order for one, other in itertools.pairwise(items)):
        wrong.append("items are out of order")
    if await storage.slot_index() != indexed:
        wrong.append("the index of slots has others than the tree")
    return items, wrong


def _is_ordered(node: Node) -> bool:
    if node.leaf:
        return all(one.order < other.order for one, other in itertools.pairwise(node.slots))
    return all(one.last < other.first for one, other in itertools.pairwise(node.slots))
