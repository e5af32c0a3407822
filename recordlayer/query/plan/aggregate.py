"""Counts: from an aggregate index, or by counting what another plan gives.

Cost  from an index: 1 read for one group, 1 range read for several
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from recordlayer.errors import BudgetSpent
from recordlayer.query.cost import Estimate
from recordlayer.query.plan.base import Plan, Run


class CountFromIndex:
    """The count that an index keeps for all groups that begin alike."""

    unit = "number"
    children: tuple[Plan, ...] = ()

    def __init__(self, index: str, group: tuple[Any, ...], *, whole: bool) -> None:
        self.index = index
        self.group = group
        shown = f"[= {', '.join(repr(one) for one in group)}]" if group else "[all groups]"
        self.title = f"Count from {index} {shown}"
        self.line = f"Count({index}{shown})"
        self.estimate = Estimate(1, 1 if whole else 100, 1)

    async def count(self, run: Run) -> int:
        return int(await run.store.aggregate(self.index, self.group, snapshot=run.snapshot))


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
            if batch.stop is not None and batch.stop.out_of_band:
                raise BudgetSpent(limit=batch.stop.value, counted=number, hint="a count has no pages: give it more")
            if batch.stop is not None:
                return number
