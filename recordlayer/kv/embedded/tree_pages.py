"""Where a key lies in one of LMDB's trees, told from its pages: without reading what lies before it.

LMDB itself counts nothing below a whole tree. But a page that leads to others says how many they are, and pages of one
tree are about equally full; so a few of them tell how many leaves lie before a key, whatever the size of the tree.

The pages are read from the file, while an LMDB read keeps them from being written again.

Layout  LMDB 0.9, 64 bit, little endian. A tree's entry in the main tree: 4 + 2 bytes unused here, depth (2), pages that
        lead to others (8), leaves (8), long pages (8), entries (8), root page (8). A page: its number (8), 2 unused,
        flags (2), end of the offsets (2), 2 unused, then for each node its offset (2). A node: size of its value or the
        page it leads to (4), flags (2), length of its key (2), the key. The page a node leads to takes the flags in.
"""

from __future__ import annotations

import os
import struct
from typing import Any, NamedTuple

from recordlayer.errors import CorruptFile

_TREE = struct.Struct("<4xHH8xQ8x8xQ")
_HEADER = struct.Struct("<Q2xHH2x")
_NODE = struct.Struct("<IHH")
_BRANCH, _LEAF = 1, 2
_START = 8
_SAMPLES = 8  # of the pages that a page leads to, looked at to know how many leaves lie below each


class Node(NamedTuple):
    key: bytes
    size: int  # bytes of the value; of a node that leads to a page, that page's number
    start: bytes  # of the value, if it lies on the page: the first few bytes


class Pages:
    """The pages of a file, each read once. `read` counts them."""

    def __init__(self, descriptor: int, page_size: int, path: str) -> None:
        self._descriptor = descriptor
        self._page_size = page_size
        self._path = path
        self._nodes: dict[int, list[Node]] = {}

    @property
    def read(self) -> int:
        return len(self._nodes)

    def nodes(self, number: int, *, leaf: bool) -> list[Node]:
        """What lies on a page, in order; at least one node.  Raises  CorruptFile."""
        nodes = self._nodes.get(number)
        if nodes is None:
            page = os.pread(self._descriptor, self._page_size, number * self._page_size)
            try:
                nodes = self._nodes[number] = _parsed(page, number, leaf=leaf)
            except (struct.error, ValueError) as error:
                raise CorruptFile(
                    path=self._path, reason=f"page {number}: {error}", hint="restore it from a copy"
                ) from error
        return nodes


def _parsed(page: bytes, number: int, *, leaf: bool) -> list[Node]:
    stored, flags, lower = _HEADER.unpack_from(page)
    if stored != number or not flags & (_LEAF if leaf else _BRANCH):
        raise ValueError("it is not what leads to it says")
    nodes = []
    for offset in struct.unpack_from(f"<{(lower - _HEADER.size) // 2}H", page, _HEADER.size):
        size, more, length = _NODE.unpack_from(page, offset)
        middle = offset + _NODE.size + length
        key = page[offset + _NODE.size : middle]
        nodes.append(Node(key, size if leaf else size | more << 32, page[middle : middle + _START]))
    if not nodes:
        raise ValueError("it is empty")
    return nodes


class TreePages:
    """One tree, as an open LMDB read sees it. Places in it are counted in leaves, from 0 to about `leaves`."""

    def __init__(self, pages: Pages, entry: bytes) -> None:
        self._pages = pages
        _, self._depth, self.leaves, self._root = _TREE.unpack(entry)
        self._below: dict[int, float] = {}

    def place(self, key: bytes) -> float:
        """How many leaves lie before `key`, and which part of its own.  Cost  some pages for each level."""
        return self._place(self._root, self._depth - 1, key) if self.leaves else 0.0

    def _place(self, number: int, level: int, key: bytes) -> float:
        nodes = self._pages.nodes(number, leaf=level == 0)
        if level == 0:
            return sum(node.key < key for node in nodes) / len(nodes)
        each = self._leaves_below_each(number, level)
        at = _child(nodes, key)
        below = self._place(nodes[at].size, level - 1, key)
        return at * each + (below if at == len(nodes) - 1 else min(below, each))  # places ascend with their keys

    def node(self, key: bytes) -> Node | None:
        """What lies at a key."""
        number = self._root
        for _ in range(self._depth - 1):
            nodes = self._pages.nodes(number, leaf=False)
            number = nodes[_child(nodes, key)].size
        leaf = self._pages.nodes(number, leaf=True) if self.leaves else []
        return next((node for node in leaf if node.key == key), None)

    def leaf_at(self, place: float) -> list[Node]:
        """What lies on the leaf at a place."""
        number = self._root
        for level in range(self._depth - 1, 0, -1):
            nodes = self._pages.nodes(number, leaf=False)
            each = self._leaves_below_each(number, level)
            at = min(int(place / each), len(nodes) - 1)
            place = max(0.0, place - at * each)
            number = nodes[at].size
        return self._pages.nodes(number, leaf=True) if self.leaves else []

    def _leaves_below_each(self, number: int, level: int) -> float:
        """How many leaves lie below each of the pages that a page leads to, on average. The last is not asked: what is
        written in order ends there, and leaves it nearly empty."""
        if level == 1:
            return 1.0
        known = self._below.get(number)
        if known is None:
            nodes = self._pages.nodes(number, leaf=False)
            asked = nodes[: max(1, len(nodes) - 1) : max(1, (len(nodes) - 1) // _samples(level))]
            below = [
                len(self._pages.nodes(node.size, leaf=False)) * self._leaves_below_each(node.size, level - 1)
                for node in asked
            ]
            known = self._below[number] = sum(below) / len(below)
        return known


def _samples(level: int) -> int:
    return _SAMPLES if level == 2 else 2


def _child(nodes: list[Node], key: bytes) -> int:
    """The node below which `key` lies. The first one's key is empty: it leads to all that is less than the second's."""
    low, high = 1, len(nodes)
    while low < high:
        middle = (low + high) // 2
        if nodes[middle].key <= key:
            low = middle + 1
        else:
            high = middle
    return low - 1


def tree_of(txn: Any, name: bytes, pages: Pages) -> TreePages:
    return TreePages(pages, txn.get(name))
