"""Which parts of a range of keys have been dealt with: disjoint half-open ranges of points in [00, ff).

Layout  prefix + pack((begin,)) -> end: begin as a bytes element, end raw
Cost    contains: 1 range read; insert: 2 range reads, 1 write; missing: 1 range read a chunk
Source  Record Layer: RangeSet. Reads are snapshots with conflict ranges of their own: who asks about a point conflicts
        with whoever covers it, and nobody conflicts over the rest.
"""

from __future__ import annotations

from typing import NamedTuple

from recordlayer.errors import CorruptRangeSet, MalformedTuple, UsageError
from recordlayer.kv.context import Context
from recordlayer.kv.engine import StreamingMode
from recordlayer.tuples import pack, unpack

FIRST, LAST = b"\x00", b"\xff"


class Missing(NamedTuple):
    """Points from `begin` up to `end` that no range covers."""

    begin: bytes
    end: bytes


class Gap(NamedTuple):
    """The same with the key of the range that ends where it begins; None if there is none."""

    begin: bytes
    end: bytes
    behind: bytes | None


class RangeSet:
    """One set of ranges, in one transaction."""

    __slots__ = ("_context", "_prefix")

    def __init__(self, context: Context, prefix: bytes) -> None:
        self._context = context
        self._prefix = prefix

    def _key(self, point: bytes) -> bytes:
        return pack((point,), self._prefix)

    def _point(self, key: bytes) -> bytes:
        try:
            (point,) = unpack(key, len(self._prefix))
        except (MalformedTuple, ValueError) as error:
            raise CorruptRangeSet(key=key, hint="a bytes element is expected behind the prefix") from error
        if type(point) is not bytes:
            raise CorruptRangeSet(key=key, hint="a bytes element is expected behind the prefix")
        return point

    async def contains(self, point: bytes) -> bool:
        """Whether a range covers a point. The commit conflicts with who covers it meanwhile."""
        context, key = self._context, self._key(point)
        context.add_read_conflict_key(key)
        found = await context.get_range(
            self._prefix + b"\x00", key + b"\x00", limit=1, reverse=True, snapshot=True, mode=StreamingMode.EXACT
        )
        return bool(found.rows) and found.rows[0][1] > point

    async def is_empty(self) -> bool:
        """Whether there is no range at all; conflicts with who adds one."""
        return not (await self._context.get_range(self._prefix + b"\x00", self._prefix + b"\xff", limit=1)).rows

    async def missing(self, begin: bytes = FIRST, end: bytes = LAST, *, limit: int = 0) -> list[Missing]:
        """What is not covered between two points, in order; `limit` of them, 0 for all. Conflicts with nobody."""
        context, found, reached = self._context, list[Missing](), begin
        low = self._key(begin)
        if begin > FIRST:  # else there is nothing before it
            before = await context.get_range(
                self._prefix + b"\x00", low, limit=1, reverse=True, snapshot=True, mode=StreamingMode.EXACT
            )
            if before.rows:
                reached = max(reached, before.rows[0][1])
        while reached < end:
            chunk = await context.get_range(
                low, self._key(end), snapshot=True, mode=StreamingMode.SMALL if limit else StreamingMode.WANT_ALL
            )
            for key, covered in chunk.rows:
                point = self._point(key)
                if point > reached:
                    found.append(Missing(reached, point))
                    if limit and len(found) >= limit:
                        return found
                reached = max(reached, covered)
            if not chunk.more or not chunk.rows:
                if reached < end:
                    found.append(Missing(reached, end))
                return found
            low = chunk.rows[-1][0] + b"\x00"
        return found

    async def first_gap(self, begin: bytes = FIRST, end: bytes = LAST) -> Gap | None:
        """The first points between two that are not covered, to be filled; None if all are. Conflicts with nobody.

        Cost  1 range read, and 1 if `begin` is not the first point.
        """
        context, reached, behind = self._context, begin, None
        low = self._key(begin)
        if begin > FIRST:
            before = await context.get_range(
                self._prefix + b"\x00", low, limit=1, reverse=True, snapshot=True, mode=StreamingMode.EXACT
            )
            if before.rows and before.rows[0][1] >= reached:
                behind, reached = before.rows[0]
        high = self._key(end)
        while reached < end:
            chunk = await context.get_range(low, high, snapshot=True, mode=StreamingMode.SMALL)
            for key, covered in chunk.rows:
                point = self._point(key)
                if point > reached:
                    return Gap(reached, point, behind)
                if covered >= reached:
                    behind, reached = key, covered
            if not chunk.more or not chunk.rows:
                return Gap(reached, end, behind) if reached < end else None
            low = chunk.rows[-1][0] + b"\x00"
        return None

    def fill(self, gap: Gap, end: bytes) -> None:
        """Cover a gap that this transaction has found, from its beginning up to `end`. Changes what `insert` changes
        that requires it to be empty, and conflicts as that, without looking again.  Cost  1 write."""
        if not gap.begin <= end <= gap.end:
            raise UsageError(begin=gap.begin, end=end, hint="a gap is filled from its beginning, up to its end at most")
        if gap.begin == end:
            return
        context, first, last = self._context, self._key(gap.begin), self._key(end)
        context.add_read_conflict_range(first, last)
        if gap.behind is None:
            context.set(first, end)
        else:
            context.add_read_conflict_key(gap.behind)
            context.set(gap.behind, end)
        context.add_write_conflict_range(first, last)

    async def insert(self, begin: bytes, end: bytes, *, require_empty: bool = False) -> bool:
        """Cover the points from `begin` up to `end`. Whether that changed anything.

        require_empty  false comes back, and nothing changes, if any of them is covered already; else a range that ends
                       where this one begins is extended
        """
        if not FIRST <= begin <= end <= LAST:
            raise UsageError(begin=begin, end=end, hint="points lie in [00, ff), the beginning before the end")
        if begin == end:
            return False
        context, first, last = self._context, self._key(begin), self._key(end)
        before_read = context.get_range(
            self._prefix + b"\x00", first, limit=1, reverse=True, snapshot=True, mode=StreamingMode.EXACT
        )
        context.add_read_conflict_range(first, last)
        before = (await before_read).rows
        if require_empty:
            within = await context.get_range(first, last, limit=1, snapshot=True, mode=StreamingMode.EXACT)
            if within.rows or (before and before[0][1] > begin):
                return False
            if before and before[0][1] == begin:
                context.add_read_conflict_key(before[0][0])
                context.set(before[0][0], end)
            else:
                context.set(first, end)
            context.add_write_conflict_range(first, last)
            return True
        gaps = await self.missing(begin, end)
        if before and before[0][1] > begin:
            context.add_read_conflict_key(before[0][0])
        for gap in gaps:
            context.set(self._key(gap.begin), gap.end)
            context.add_write_conflict_range(self._key(gap.begin), self._key(gap.end))
        return bool(gaps)
