"""Counts: from an aggregate index, or by counting what another plan gives.

Cost  from an index: 1 read for one group, 1 range read a chunk and range for several, all ranges side by side
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

from recordlayer.cursor.step import Cursor, Stop
from recordlayer.errors import BudgetSpent
from recordlayer.index.bounds import Bounds
from recordlayer.index.entry import AggregateEntry
from recordlayer.query.cost import Estimate
from recordlayer.query.identity import Part, of_ranges
from recordlayer.query.plan.base import Plan, Run
from recordlayer.query.plan.scan import Ranges
from recordlayer.waiting.overlap import gather


class CountFromIndex:
    """The sum of the counts that an index keeps for the groups within some ranges.

    groups  about how many groups that is
    """

    unit = "number"
    children: tuple[Plan, ...] = ()

    def __init__(self, index: str, ranges: Ranges, *, groups: float) -> None:
        self.index = index
        self.ranges = ranges
        self.estimate = Estimate(1, groups, 1)

    @cached_property
    def title(self) -> str:
        return f"Count from {self.index} {self._shown}"

    @cached_property
    def line(self) -> str:
        return f"Count({self.index}{self._shown})"

    @property
    def _shown(self) -> str:
        if self.ranges == (Bounds.ALL,):
            return "[all groups]"
        return " ".join(str(bounds) for bounds in self.ranges) or "[nothing]"

    @property
    def identity(self) -> Part:
        return ("count", self.index, of_ranges(self.ranges))

    async def count(self, run: Run) -> int:
        each = [self._within(run, bounds) for bounds in self.ranges]
        return sum(await gather(*each)) if len(each) > 1 else await each[0] if each else 0

    async def _within(self, run: Run, bounds: Bounds) -> int:
        if bounds.is_equality or bounds == Bounds.ALL:
            return int(await run.store.aggregate(self.index, bounds.low or (), snapshot=run.snapshot))
        maintainer: Any = run.store.index_maintainer(self.index)
        cursor: Cursor[AggregateEntry] = maintainer.scan(bounds, replace(run, expect=0).scan_options(reverse=False))
        number = 0
        while True:
            batch = await cursor.batch()
            number += sum([entry.value for entry in batch.values])
            if batch.stop is not None:
                return _whole(number, batch.stop)


def _whole(number: int, stop: Stop) -> int:
    """What was counted.  Raises  BudgetSpent, if there is more."""
    if stop.out_of_band:
        raise BudgetSpent(limit=stop.value, counted=number, hint="a count has no pages: give it more")
    return number


class CountRows:
    """The number of rows that another plan gives."""

    unit = "number"

    def __init__(self, source: Plan) -> None:
        self.children: tuple[Plan, ...] = (source,)
        self.title = "Count"
        self.line = f"Count({source.line})"
        below = source.estimate
        self.estimate = replace(below, rows=1)

    async def count(self, run: Run) -> int:
        cursor = self.children[0].execute(run)
        number = 0
        while True:
            batch = await cursor.batch()
            number += len(batch.values)
            if batch.stop is not None:
                return _whole(number, batch.stop)
