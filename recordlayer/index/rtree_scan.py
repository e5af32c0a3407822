"""Reading R-trees: the items in a box, in the order of the Hilbert curve; the items nearest to a point.

Cost    1 read (by slot: 1 range read) a node whose box is concerned, several of them under way together
Source  Record Layer, RTree.scan; the order and the continuations are Java's. The nearest are ours:
        G. Hjaltason, H. Samet, "Distance browsing in spatial databases" (1999)
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass
from typing import Any

from recordlayer.cursor.limits import Budget
from recordlayer.cursor.step import Stop
from recordlayer.errors import CorruptIndexEntry, UsageError
from recordlayer.index.rtree_nodes import ROOT, Node, NodeStorage
from recordlayer.index.rtree_slots import NULL, Child, Item
from recordlayer.waiting.overlap import END, Pipeline, pipelined

Items = tuple[Any, ...]

Side = tuple[int | None, int | None]
"""Coordinates from the first up to, not including, the second; None is no end. Nulls come before all numbers."""

_AHEAD = 8


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a space: one side for each dimension."""

    sides: tuple[Side, ...]

    def __post_init__(self) -> None:
        for side in self.sides:
            fits = isinstance(side, tuple) and len(side) == 2
            if not fits or any(end is not None and (isinstance(end, bool) or not isinstance(end, int)) for end in side):
                hint = "a side is a pair of whole numbers, from the first up to the second; None is no end"
                raise UsageError(side=side, hint=hint)

    def has(self, point: Items) -> bool:
        for number, (low, high) in zip(point, self.sides, strict=True):
            place = NULL if number is None else number
            if (low is not None and place < low) or (high is not None and place >= high):
                return False
        return True

    def meets(self, child: Child) -> bool:
        """Whether something below a node may be in it."""
        for least, most, (low, high) in zip(*child.sides, self.sides, strict=True):
            if (low is not None and most < low) or (high is not None and least >= high):
                return False
        return True


class Leaves:
    """The leaves that a box meets, in order, each with what of it is in the box and behind a place."""

    __slots__ = ("_ahead", "_behind", "_box", "_snapshot", "_storage", "_waiting")

    def __init__(self, storage: NodeStorage, box: Box, behind: bytes | None, *, snapshot: bool) -> None:
        self._storage = storage
        self._box = box
        self._behind = behind
        self._snapshot = snapshot
        self._waiting: deque[Node | bytes] | None = None
        self._ahead = 1

    async def next(self) -> tuple[list[Item], Node] | None:
        """The items of the next leaf that are wanted, maybe none, and the leaf; None behind the last."""
        if self._waiting is None:
            root = await self._storage.fetch(ROOT, snapshot=self._snapshot)
            self._waiting = deque() if root is None else deque([root])
        while self._waiting:
            first = self._waiting.popleft()
            if isinstance(first, bytes):
                self._waiting.appendleft(first)
                await self._fetch_some(self._waiting)
            elif first.leaf:
                if self._behind is not None and first.slots and first.slots[-1].order <= self._behind:
                    continue  # a root that is a leaf, and nothing of it lies behind: nobody must stop there again
                return [item for item in first.slots if self._wants(item)], first
            else:
                behind = self._behind
                wanted = [
                    child.id
                    for child in first.slots
                    if (behind is None or child.last > behind) and self._box.meets(child)
                ]
                self._waiting.extendleft(reversed(wanted))
        return None

    async def _fetch_some(self, waiting: deque[Node | bytes]) -> None:
        """Read the first nodes that are waited for, more of them each time: whoever wants a few items reads little."""
        ids = list(itertools.takewhile(lambda one: isinstance(one, bytes), itertools.islice(waiting, self._ahead)))
        self._ahead = min(_AHEAD, 2 * self._ahead)
        for _ in ids:
            waiting.popleft()
        fetched = await _fetched(self._storage, [one for one in ids if isinstance(one, bytes)], self._snapshot)
        waiting.extendleft(reversed(fetched))

    def _wants(self, item: Item) -> bool:
        return self._box.has(item.point) and (self._behind is None or item.order > self._behind)


async def _fetched(storage: NodeStorage, ids: list[bytes], snapshot: bool) -> list[Node]:
    """Some nodes, read side by side.  Raises  CorruptIndexEntry if one is missing."""
    reading: Pipeline[bytes, Node | None] = pipelined(
        ids, lambda node_id: storage.fetch(node_id, snapshot=snapshot), window=_AHEAD
    )
    nodes: list[Node] = []
    for node_id in ids:
        node = await reading.next()
        if node is None or node is END:
            raise CorruptIndexEntry(what="node of an R-tree", node=node_id.hex(), found="nothing")
        nodes.append(node)
    return nodes


class Nearest:
    """The items of a tree by their distance from a point, nearest first; those with a null have no distance.

    Nodes are opened in the order of their boxes' distances, so no node is read that is farther than what is given.
    """

    __slots__ = ("_behind", "_heap", "_numbers", "_point", "_snapshot", "_storage")

    def __init__(
        self, storage: NodeStorage, point: tuple[int, ...], behind: tuple[int, bytes] | None, *, snapshot: bool
    ) -> None:
        self._storage = storage
        self._point = point
        self._behind = behind
        self._snapshot = snapshot
        self._numbers = itertools.count()
        self._heap: list[tuple[int, int, bytes, int, Item | bytes]] = [(0, 0, b"", next(self._numbers), ROOT)]

    async def next(self) -> tuple[int, Item] | None:
        """The square of the distance, and the item; None behind the last."""
        heap = self._heap
        while heap:
            distance, _, _, _, found = heapq.heappop(heap)
            if isinstance(found, Item):
                return distance, found
            await self._open([found, *self._as_near(distance)])
        return None

    @property
    def has_next(self) -> bool:
        """Whether the next item is known without another read."""
        return bool(self._heap) and isinstance(self._heap[0][4], Item)

    def _as_near(self, distance: int) -> list[bytes]:
        """Other nodes that have to be opened now: their boxes are as near."""
        ids: list[bytes] = []
        while self._heap and self._heap[0][0] == distance and len(ids) < _AHEAD - 1:
            found = self._heap[0][4]
            if isinstance(found, Item):
                break
            heapq.heappop(self._heap)
            ids.append(found)
        return ids

    async def _open(self, ids: list[bytes]) -> None:
        if ids == [ROOT]:
            root = await self._storage.fetch(ROOT, snapshot=self._snapshot)
            nodes = [] if root is None else [root]
        else:
            nodes = await _fetched(self._storage, ids, self._snapshot)
        for node in nodes:
            for slot in node.slots:
                if isinstance(slot, Child):
                    self._push(self._to_box(slot), 0, b"", slot.id)
                elif None not in slot.point:
                    distance = sum((one - other) ** 2 for one, other in zip(slot.point, self._point, strict=True))
                    if self._behind is None or (distance, slot.packed) > self._behind:
                        self._push(distance, 1, slot.packed, slot)

    def _push(self, distance: int, kind: int, packed: bytes, found: Item | bytes) -> None:
        heapq.heappush(self._heap, (distance, kind, packed, next(self._numbers), found))

    def _to_box(self, child: Child) -> int:
        """The square of the distance to the nearest point of a box."""
        total = 0
        for number, low, high in zip(self._point, *child.sides, strict=True):
            aside = max(low - number, number - high, 0)
            total += aside * aside
        return total


def spend(budget: Budget, leaf: Node) -> Stop | None:
    """Count what a leaf has cost. Why nothing more may be read, or None."""
    budget.charge(len(leaf.slots), sum([len(item.order) + len(item.value) for item in leaf.slots]))
    return budget.spent()
