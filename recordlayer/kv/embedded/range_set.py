"""Sets of keys, as ranges: what a transaction has read, cleared and declared."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from operator import lt

from recordlayer.core import in_c

Range = tuple[bytes, bytes]

_NONE: list[bytes] = []  # of all new sets, most of which stay empty; nobody changes it


@in_c("add_range")
def add_range(starts: list[bytes], ends: list[bytes], begin: bytes, end: bytes) -> None:
    """Add a range to disjoint ones in order, which begin at `starts` and end at `ends`."""
    low = bisect_left(ends, begin)  # first range that ends at or behind begin: touches or overlaps
    high = bisect_right(starts, end)
    if low < high:
        begin, end = min(begin, starts[low]), max(end, ends[high - 1])
    starts[low:high] = [begin]
    ends[low:high] = [end]


class RangeSet:
    """Disjoint, sorted, non-empty ranges of keys."""

    __slots__ = ("ends", "starts")

    def __init__(self) -> None:
        self.starts = self.ends = _NONE

    def including(self, begin: bytes, end: bytes) -> RangeSet:
        """What to keep in place of this set: itself, with the range added."""
        self.add(begin, end)
        return self

    def including_all(self, begins: list[bytes], ends: list[bytes]) -> RangeSet:
        """`including` for several at once, which are quick to add if they ascend and lie behind all others. The lists
        are this set's from now on."""
        if begins and all(map(lt, ends, begins[1:])) and (not self.starts or self.ends[-1] < begins[0]):
            if self.starts:
                self.starts += begins
                self.ends += ends
            else:
                self.starts, self.ends = begins, ends
            return self
        for begin, end in zip(begins, ends, strict=True):
            self.add(begin, end)
        return self

    def add(self, begin: bytes, end: bytes) -> None:
        starts, ends = self.starts, self.ends
        if not starts:
            self.starts, self.ends = [begin], [end]
            return
        add_range(starts, ends, begin, end)

    def remove(self, begin: bytes, end: bytes) -> None:
        starts, ends = self.starts, self.ends
        low = bisect_right(ends, begin)
        high = bisect_left(starts, end)
        if low >= high:
            return
        new_starts, new_ends = [], []
        if starts[low] < begin:
            new_starts.append(starts[low])
            new_ends.append(begin)
        if ends[high - 1] > end:
            new_starts.append(end)
            new_ends.append(ends[high - 1])
        starts[low:high] = new_starts
        ends[low:high] = new_ends

    def covers(self, key: bytes) -> bool:
        at = bisect_right(self.starts, key) - 1
        return at >= 0 and key < self.ends[at]

    def touches(self, key: bytes, *, before: bool) -> bool:
        """Whether the set holds the key, or with `before` what lies directly before it."""
        if not before:
            return self.covers(key)
        at = bisect_left(self.starts, key) - 1
        return at >= 0 and key <= self.ends[at]

    def overlapping(self, begin: bytes, end: bytes) -> list[Range]:
        """The parts of the set inside [begin, end)."""
        low = bisect_right(self.ends, begin)
        high = bisect_left(self.starts, end)
        return [(max(begin, self.starts[i]), min(end, self.ends[i])) for i in range(low, high)]

    def __bool__(self) -> bool:
        return bool(self.starts)

    def __iter__(self) -> Iterator[Range]:
        return zip(self.starts, self.ends, strict=True)


class _NoRanges(RangeSet):
    """The empty set that stands wherever there is no range, which is nearly everywhere."""

    __slots__ = ()

    def including(self, begin: bytes, end: bytes) -> RangeSet:
        ranges = RangeSet()
        ranges.add(begin, end)
        return ranges

    def including_all(self, begins: list[bytes], ends: list[bytes]) -> RangeSet:
        return RangeSet().including_all(begins, ends)

    def add(self, begin: bytes, end: bytes) -> None:
        raise TypeError("this empty set is everybody's: keep what `including` gives")


NO_RANGES = _NoRanges()
