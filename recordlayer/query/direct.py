"""Plans that are run directly: from the values of a query to its first page, with no cursor in between.

That is for plans of which everything follows from the values at once: ranges of an index one after the other, or
several that are equalities and merged by primary key, with their records or without any need of them, with or without a
condition on these. The reads are those that the plan's cursors would begin with. If they bring all there is, or as much
as was asked for, the page is made of them in one go; if not, the cursors are made after all and given these reads to
begin with. So a direct page costs the reads that the cursors cost, gives what they give, and its continuations are
theirs.

What several ranges share is had for less where a round trip costs nothing: a few entries of each are read, and if one
range ends with them, the others are asked for its primary keys only. It then depends on these alone.

Source  ours
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from recordlayer.cursor.merging import shared, united
from recordlayer.cursor.pipeline import INNER
from recordlayer.index.bounds import Bounds, End
from recordlayer.index.page import primary_keys_of
from recordlayer.index.value import ValueIndex
from recordlayer.query.direct_page import Scan, Way
from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.covering import Cover
from recordlayer.query.plan.fetch import Fetch
from recordlayer.query.plan.filter import FilterRecords
from recordlayer.query.plan.merge import IntersectEntries, UnionEntries
from recordlayer.query.plan.scan import ScanIndex
from recordlayer.query.slot import Values
from recordlayer.tuples import pack

if TYPE_CHECKING:
    from recordlayer.store.store import RecordStore

Fill = Callable[[Values], Any]
"""From the values of a query to what a part of its plan is for them."""
MOST_RANGES = 32


class Fills(Protocol):
    """What gives the parts of a plan for the values of a query."""

    def items(self, items: tuple[Any, ...] | None) -> Fill: ...

    def bounds(self, bounds: Bounds) -> Fill: ...

    def decide(self, node: FilterRecords) -> Fill: ...


class AsTheyAre:
    """The parts of a plan that was made for its values."""

    def items(self, items: tuple[Any, ...] | None) -> Fill:
        return lambda values: items

    def bounds(self, bounds: Bounds) -> Fill:
        return lambda values: bounds

    def decide(self, node: FilterRecords) -> Fill:
        return lambda values: node.decide


@dataclass(frozen=True, slots=True)
class Range:
    """One range of an index.

    columns  of an equality: how many it has; else None
    fill     gives the items of an equality, else the bounds
    """

    index: str
    columns: int | None
    fill: Fill


@dataclass(frozen=True, slots=True)
class Direct:
    """How a plan is run directly.

    way     what makes one of several ranges, None where they follow each other; in which direction; whether records are
            read
    decide  gives the functions that decide a condition on the records, None if there is none
    """

    ranges: tuple[Range, ...]
    way: Way
    decide: Fill | None

    def scans(self, store: RecordStore, values: Values) -> list[Scan] | None:
        """The ranges for some values; None where an index is not at work as it is taken for granted here.

        Raises  what values raise that a plan of this shape cannot be made for.
        """
        found: list[Scan] = []
        for each in self.ranges:
            maintainer = store.index_maintainer(each.index)
            if type(maintainer) is not ValueIndex:
                return None
            layout, prefix, columns = maintainer.layout, maintainer.space.entries, each.columns
            if columns is None:
                keys = each.fill(values).keys(prefix)
                found.append(Scan(layout, keys.begin, keys.end, keys.prefix_length, len(prefix), None))
            elif self.way.merge is not None and (columns != layout.columns or layout.positions is not None):
                return None
            else:
                low = pack(each.fill(values), prefix)
                found.append(Scan(layout, low, low + b"\xff", len(low), len(prefix), columns))
        return found


def direct_of(plan: Plan, fills: Fills) -> Direct | None:
    """How a plan is run directly; None if it is not."""
    node: Any = plan
    decide = None
    if type(node) is FilterRecords:
        decide = fills.decide(node)
        (node,) = node.children
    cover = node if type(node) is Cover else None
    if cover is None and not (type(node) is Fetch and node.once is None):
        return None
    (node,) = node.children
    if type(node) is ScanIndex:
        if not 0 < len(node.ranges) <= INNER:  # no more of them are under way together
            return None
        in_turn = [_range(node.index, bounds, fills) for bounds in node.ranges]
        return Direct(tuple(in_turn[::-1] if node.reverse else in_turn), Way(None, node.reverse, cover), decide)
    if cover is not None or not (type(node) is UnionEntries or type(node) is IntersectEntries):
        return None
    if len(node.children) > MOST_RANGES or any(one.key.of_all is not primary_keys_of for one in node.sources):
        return None
    ranges: list[Range] = []
    for child in node.children:
        if type(child) is not ScanIndex or child.reverse != node.reverse or len(child.ranges) != 1:
            return None
        found = _range(child.index, child.ranges[0], fills)
        if found.columns is None:
            return None
        ranges.append(found)
    return Direct(tuple(ranges), Way(united if type(node) is UnionEntries else shared, node.reverse, None), decide)


def _range(index: str, bounds: Bounds, fills: Fills) -> Range:
    if bounds.low and bounds.high is bounds.low and bounds.low_end is bounds.high_end is End.INCLUSIVE:
        return Range(index, len(bounds.low), fills.items(bounds.low))
    return Range(index, None, fills.bounds(bounds))
