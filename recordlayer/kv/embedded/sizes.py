"""How large a range is, and where to cut it into parts of one size: exactly for small ranges, estimated for large ones.

What is looked at is bounded, however large the range: first its beginning, row by row; if it does not end there, some
leaves of the tree, spread evenly over it.

Error  of an estimate: some ten per cent where rows are of one kind, a factor of about two where large and small ones
       come in stretches; what lies on less than a fiftieth of the leaves may be missed, however large its values. Pages
       of one level are taken for equally full; LMDB keeps them between a half and entirely full, but for the last one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from recordlayer.kv.embedded.long_keys import HEAD, ID, MARKER, NESTED, PART, after
from recordlayer.kv.embedded.scanning import KeyValue
from recordlayer.kv.embedded.tree_pages import Node, Pages, TreePages, tree_of

if TYPE_CHECKING:
    from recordlayer.kv.embedded.base import Base

EXACT_BYTES, EXACT_ROWS = 256 << 10, 4000  # of a range that is looked at row by row
SCANNED_BYTES = 16 << 20  # of a range with long keys that is cut row by row
SAMPLES, _FIRST_SAMPLES = 96, 48  # leaves looked at in a larger one
_BUCKETS, _BUCKET_SAMPLES = 8, 4  # buckets of long keys that are measured, and leaves of each
_FIRST_ROWS, _MOST_ROWS = 64, 1024

Sample = tuple[float, float]
"""A place in a tree, and the bytes that its leaf stands for."""


def estimated_size(base: Base, begin: bytes, end: bytes) -> int:
    """Bytes of keys and values in [begin, end) now.

    Cost  at most the rows of a small range, some ten pages for each level of the tree, and a page for each sample.
    """
    known = _exactly(base, begin, end)
    if known is not None:
        return sum(size for _, size in known)
    return base.with_pages(lambda txn, pages: _Range(txn, pages, base, begin, end).size())


def split_points(base: Base, begin: bytes, end: bytes, chunk_size: int) -> list[bytes]:
    """`begin`, keys that cut [begin, end) into parts of about `chunk_size` bytes, `end`.

    Keys that share their first 510 bytes stay together in a range of more than 16 MB.

    Cost  that of an estimate, and the pages of one path through the tree for each point; a scan if the parts are
          smaller than a few pages, or for up to 16 MB if the database has keys of more than 510 bytes.
    """
    points = [begin]
    for key in _cuts(base, begin, end, chunk_size):
        if points[-1] < key < end:
            points.append(key)
    if end > points[-1]:
        points.append(end)
    return points


def _cuts(base: Base, begin: bytes, end: bytes, chunk_size: int) -> Iterator[bytes]:
    sizes: Iterator[tuple[bytes, int]] | list[tuple[bytes, int]] | None = _exactly(base, begin, end)
    if sizes is None and (chunk_size < EXACT_BYTES // 8 or (base.has_long and _is_scanned(base, begin, end))):
        sizes = _row_by_row(base, begin, end)
    if sizes is None:
        yield from base.with_pages(lambda txn, pages: _Range(txn, pages, base, begin, end).cuts(chunk_size))
        return
    size = 0
    for key, more in sizes:
        if size >= chunk_size:
            yield key
            size = 0
        size += more


def _is_scanned(base: Base, begin: bytes, end: bytes) -> bool:
    return base.with_pages(lambda txn, pages: _Range(txn, pages, base, begin, end).size()) < SCANNED_BYTES


def _row_by_row(base: Base, begin: bytes, end: bytes) -> Iterator[tuple[bytes, int]]:
    """Keys of the range with the bytes of their pairs, each piece in a read of its own: no snapshot is pinned long."""
    step = _FIRST_ROWS
    while begin < end:
        rows: list[KeyValue] = base.scan(begin, end, step)
        for key, value in rows:
            yield key, len(key) + len(value)
        if len(rows) < step:
            return
        begin, step = rows[-1][0] + b"\0", min(2 * step, _MOST_ROWS)


def _exactly(base: Base, begin: bytes, end: bytes) -> list[tuple[bytes, int]] | None:
    """The whole range, if it is small."""
    found: list[tuple[bytes, int]] = []
    size = 0
    for key, more in _row_by_row(base, begin, end):
        found.append((key, more))
        size += more
        if size > EXACT_BYTES or len(found) > EXACT_ROWS:
            return None
    return found


# -- from samples


class _Range:
    """A range as the trees' pages show it. Its bounds in the data tree are markers' at the finest: long keys are looked
    up in their buckets."""

    def __init__(self, txn: Any, pages: Pages, base: Base, begin: bytes, end: bytes) -> None:
        self._tree = tree_of(txn, b"data", pages)
        self._long = tree_of(txn, b"long", pages) if base.has_long else None
        self._begin, self._end = begin, end
        self._first = self._tree.place(begin[:HEAD])
        self._last = max(self._first, self._tree.place(end[:HEAD]))
        # What lies behind the markers of the bounds is counted apart: a part of it may be in the range.
        self._apart = {bound[:HEAD] + b"\0" for bound in (begin, end) if len(bound) > HEAD}
        self._buckets: list[float] = []  # bytes of those that were measured

    def size(self) -> int:
        size = self._curve()[-1][1] + self._before_in_bucket(self._end) - self._before_in_bucket(self._begin)
        if len(self._begin) > HEAD and not self._end.startswith(self._begin[:HEAD]):
            size += self._before_in_bucket(self._begin[:HEAD] + b"\xff" * PART)
        return max(0, int(size))

    def cuts(self, chunk_size: int) -> list[bytes]:
        """First keys of leaves that cut the range."""
        curve = self._curve()
        sums = [size for _, size in curve]
        found: list[bytes] = []
        for number in range(1, int(sums[-1] / chunk_size) + 1):
            wanted = number * chunk_size
            at = bisect_left(sums, wanted)
            if not 0 < at < len(sums):
                break
            (place, before), (following, behind) = curve[at - 1], curve[at]
            place += (following - place) * (wanted - before) / (behind - before)
            found.append(self._tree.leaf_at(place)[0].key)
        return found

    def _curve(self) -> list[tuple[float, float]]:
        """Places in the tree from the beginning of the range to its end, each with the bytes before it.

        A few leaves are looked at first, then those between the two that differ most, and so on.
        """
        width = (self._last - self._first) / _FIRST_SAMPLES
        samples = [self._sample(self._first + at * width) for at in range(_FIRST_SAMPLES + 1)]
        due = [_unsure(*pair) for pair in pairwise(samples)]
        heapify(due)
        while due and len(samples) < SAMPLES and due[0][0] < 0:
            _, low, high = heappop(due)
            middle = self._sample((low[0] + high[0]) / 2)
            samples.append(middle)
            heappush(due, _unsure(low, middle))
            heappush(due, _unsure(middle, high))
        samples.sort()
        steps = [(high[0] - low[0]) * (low[1] + high[1]) / 2 for low, high in pairwise(samples)]
        return [(place, size) for (place, _), size in zip(samples, accumulate(steps, initial=0.0), strict=True)]

    def _sample(self, place: float) -> Sample:
        leaf = self._tree.leaf_at(place)
        return place, sum(
            len(node.key) + node.size if len(node.key) != MARKER else self._bucket(node)
            for node in leaf
            if node.key not in self._apart
        )

    def _bucket(self, marker: Node) -> float:
        """Bytes of the long keys behind a marker, and of their values; those of a few stand for the others."""
        if self._long is None:
            return 0.0
        if len(self._buckets) < _BUCKETS:
            self._buckets.append(_bytes_in(self._long, marker.start, HEAD, after(marker.start)))
        return sum(self._buckets) / len(self._buckets)

    def _before_in_bucket(self, key: bytes) -> float:
        """Bytes of the long keys that have the same head as `key` and lie before it."""
        if self._long is None or len(key) <= HEAD:
            return 0.0
        marker, total, depth = self._tree.node(key[:HEAD] + b"\0"), 0.0, HEAD
        while marker is not None and depth < len(key):
            part = marker.start + key[depth : depth + PART]
            total += _bytes_in(self._long, marker.start, depth, part)
            marker, depth = self._long.node(part + b"\0"), depth + PART
        return total


def _unsure(low: Sample, high: Sample) -> tuple[float, Sample, Sample]:
    """How much two neighbours leave open, for a heap: the least first."""
    width = high[0] - low[0]
    return (-width * abs(high[1] - low[1]) if width > 1.0 else 0.0), low, high


def _bytes_in(tree: TreePages, bucket: bytes, before: int, end: bytes) -> float:
    """Bytes of a bucket's keys up to `end`, each of which has `before` bytes more in front, and of their values."""
    first = tree.place(bucket)
    leaves = max(0.0, tree.place(end) - first)
    count = min(_BUCKET_SAMPLES, int(leaves) + 1)
    total = 0.0
    for at in range(count):
        leaf = tree.leaf_at(first + (at + 0.5) * leaves / count)
        rows = [node for node in leaf if node.key.startswith(bucket)]
        nested = [node for node in rows if len(node.key) == NESTED]
        inner = 0.0
        if nested:
            inner = _bytes_in(tree, nested[0].start, before + PART, after(nested[0].start)) * len(nested)
        size = sum(before + len(node.key) - ID + node.size for node in rows if len(node.key) != NESTED)
        total += (size + inner) / max(len(rows), 1) * len(leaf)
    return total / count * leaves
