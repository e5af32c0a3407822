"""Scans of MULTIDIMENSIONAL indexes: boxes, through all spaces that are meant, and the nearest of one space.

Layout  a continuation of a box, as Java's: {1 packed prefix of the space before, 2 {1 Hilbert value of the last item,
        2 its packed key}, 3 packed prefix of the space}; without prefix columns field 2 alone
        of the nearest, ours: {1 square of the last distance, 2 packed key}
Cost    1 range read of 1 key for each space; its nodes as in `index.rtree_scan`
Source  Record Layer, MultidimensionalIndexMaintainer.scan
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields
from recordlayer.cursor.limits import Budget
from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.step import Batch, Cursor, Stop, never
from recordlayer.errors import BadContinuation, MalformedTuple
from recordlayer.index.bounds import Bounds
from recordlayer.index.entry import IndexEntry
from recordlayer.index.rtree_scan import Box, Leaves, Nearest, spend
from recordlayer.index.rtree_slots import Item
from recordlayer.kv.engine import StreamingMode
from recordlayer.tuples import pack, unpack

if TYPE_CHECKING:
    from recordlayer.index.multidimensional import MultidimensionalIndex

Items = tuple[Any, ...]


def _number_bytes(number: int) -> bytes:
    """A number as Java's BigInteger gives it: two's complement, as short as can be."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)


def _unpacked(data: bytes | None) -> Items:
    if data is None:
        raise BadContinuation(reason="a field is missing")
    try:
        return unpack(data)
    except MalformedTuple as error:
        raise BadContinuation(reason="it has a part that is no tuple") from error


class BoxScan(Cursor[IndexEntry]):
    """The entries in a box, space after space, along the curve."""

    __slots__ = ("_before", "_behind", "_box", "_index", "_leaves", "_left", "_options", "_prefix", "_spaces", "_stop")

    def __init__(self, index: MultidimensionalIndex, bounds: Bounds, box: Box, options: ScanOptions) -> None:
        self._index = index
        self._box = box
        self._options = options
        self._left = options.limit
        keys = bounds.keys(index.space.entries)
        self._spaces: tuple[bytes, bytes] | None = (keys.begin, keys.end)
        self._prefix: Items | None = None
        self._before: bytes | None = None
        self._behind: bytes | None = None
        self._leaves: Leaves | None = None
        if options.continuation is not None:
            self._resume(options.continuation)
        elif not index.prefix_size:
            self._enter(())

    def _resume(self, continuation: bytes) -> None:
        fields = decode_fields(continuation, known=3)
        inner = decode_fields(bytes_field(fields, 2) or b"", known=2)
        hilbert, key = bytes_field(inner, 1), _unpacked(bytes_field(inner, 2))
        if hilbert is None or len(key) != 2 or not all(isinstance(part, tuple) for part in key):
            raise BadContinuation(reason="it does not say where in the space")
        prefix = _unpacked(bytes_field(fields, 3)) if self._index.prefix_size else ()
        if len(prefix) != self._index.prefix_size:
            raise BadContinuation(reason="it belongs to another index")
        self._before = bytes_field(fields, 1)
        self._behind = pack((int.from_bytes(hilbert, "big", signed=True), key))
        self._enter(prefix)

    def _enter(self, prefix: Items) -> None:
        self._prefix = prefix
        storage = self._index.storage(prefix)
        self._leaves = Leaves(storage, self._box, self._behind, snapshot=self._options.snapshot)

    async def _next_space(self) -> bool:
        """Enter the next space that there is. Whether there is one."""
        size, context = self._index.prefix_size, self._index.space.context
        if not size or self._spaces is None:
            return False
        begin, end = self._spaces
        if self._prefix is not None:
            self._before = pack(self._prefix)
            begin = max(begin, pack(self._prefix, self._index.space.entries) + b"\xff")
        self._behind = None
        if begin >= end:
            return False
        chunk = await context.get_range(begin, end, limit=1, snapshot=self._options.snapshot, mode=StreamingMode.EXACT)
        if not chunk.rows:
            return False
        self._enter(unpack(chunk.rows[0][0], len(self._index.space.entries))[:size])
        return True

    async def batch(self) -> Batch[IndexEntry]:
        while self._leaves is None:
            if not await self._next_space():
                return Batch([], never, Stop.EXHAUSTED)
        found = await self._leaves.next()
        if found is None:
            self._leaves = None
            if not self._index.prefix_size:
                return Batch([], never, Stop.EXHAUSTED)
            return Batch([], never)
        items, leaf = found
        budget = self._options.budget
        self._index.space.context.counters.rows_read += len(items)
        stop = None if budget is None else spend(budget, leaf)
        last: Item = leaf.slots[-1]
        if self._left and len(items) >= self._left:
            items, stop = items[: self._left], Stop.LIMIT_REACHED
            last = items[-1]
        if self._left:
            self._left -= len(items)
        prefix, before = self._prefix, self._before
        assert prefix is not None, "a leaf belongs to a space"
        entries = [self._index.entry(prefix, item) for item in items]

        def resume(place: Item) -> bytes:
            inner = encode_fields({1: _number_bytes(place.hilbert), 2: place.packed})
            own = pack(prefix) if prefix else None
            return encode_fields({1: before if prefix else None, 2: inner, 3: own})

        end = None if stop is None else resume(last)
        return Batch(entries, lambda place: resume(items[place]), stop, end)


class NearestScan(Cursor[IndexEntry]):
    """The entries of a space, nearest first."""

    __slots__ = ("_index", "_left", "_nearest", "_options", "_prefix")

    def __init__(
        self, index: MultidimensionalIndex, prefix: Items, point: tuple[int, ...], options: ScanOptions
    ) -> None:
        self._index = index
        self._prefix = prefix
        self._options = replace(options, continuation=None)
        self._left = options.limit
        behind: tuple[int, bytes] | None = None
        if options.continuation is not None:
            fields = decode_fields(options.continuation, known=2)
            distance, packed = bytes_field(fields, 1), bytes_field(fields, 2)
            if distance is None or packed is None:
                raise BadContinuation(reason="it does not say behind which distance")
            behind = int.from_bytes(distance, "big", signed=True), packed
        self._nearest = Nearest(index.storage(prefix), point, behind, snapshot=options.snapshot)

    async def batch(self) -> Batch[IndexEntry]:
        items: list[tuple[int, Item]] = []
        stop: Stop | None = None
        budget = self._options.budget
        while stop is None and (not items or self._nearest.has_next):
            found = await self._nearest.next()
            if found is None:
                stop = Stop.EXHAUSTED
                break
            items.append(found)
            self._index.space.context.counters.rows_read += 1
            if budget is not None:
                stop = _spend(budget, found[1])
            if self._left and stop is None:
                self._left -= 1
                stop = None if self._left else Stop.LIMIT_REACHED

        def resume(place: int) -> bytes:
            distance, item = items[place]
            return encode_fields({1: _number_bytes(distance), 2: item.packed})

        end = resume(len(items) - 1) if items and stop not in (None, Stop.EXHAUSTED) else None
        return Batch([self._index.entry(self._prefix, item) for _, item in items], resume, stop, end)


def _spend(budget: Budget, item: Item) -> Stop | None:
    budget.charge(1, len(item.order) + len(item.value))
    return budget.spent()
