"""Groups: records that come group by group are folded as they stream by; others are folded in memory with a bound.

Cost    streaming: none of its own. In memory: the source is read to its end before the first group comes, and once more
        for each time the bound is full; a page that goes on behind a group reads the source anew
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from recordlayer.cursor.aggregate import Aggregate, Folding
from recordlayer.cursor.aggregate import Run as Folded
from recordlayer.cursor.gather import Gather, Gathering
from recordlayer.cursor.step import Cursor
from recordlayer.cursor.transform import Filter, Map
from recordlayer.query.cost import CONDITION, GROUPS
from recordlayer.query.grouping import Groups
from recordlayer.query.having import Test
from recordlayer.query.identity import Part
from recordlayer.query.plan.base import Plan, Run
from recordlayer.query.plan.covering import CoveredPage
from recordlayer.query.predicate import Predicate
from recordlayer.query.rows import Row
from recordlayer.store.record import StoredRecord


class StreamGroups:
    """The groups of records that come group by group; all of them are one group, if there is nothing to group by."""

    unit = "groups"

    def __init__(self, source: Plan, groups: Groups, *, by: str, work: str) -> None:
        self.children: tuple[Plan, ...] = (source,)
        self._groups = groups
        self._over_entries = groups.over_entries
        self._total = not by
        self.gathers = self._total
        self.title = _title("Group", by, work) if by else f"Aggregate {work}"
        self.line = f"Group({source.line} by {by or 'nothing'}: {work})" if work else f"Distinct({source.line} by {by})"
        below = source.estimate
        self.estimate = replace(below, rows=1.0 if self._total else max(1.0, below.rows * GROUPS))

    @property
    def identity(self) -> Part:
        return ("StreamGroups", self.children[0].identity)

    def execute(self, run: Run) -> Cursor[Row]:
        child, groups = self.children[0], self._groups
        below = replace(run, expect=0, limit=0)
        key_of = groups.key
        folding = Folding(
            key=lambda record: (key_of(record),),
            initial=groups.initial,
            fold=groups.fold,
            runs=self._runs,
            always=self._total,
        )
        folded = Aggregate(lambda place: child.execute(replace(below, continuation=place)), folding, run.continuation)
        return Map(folded, lambda group: groups.row(group[0][0] if group[0] else b"", group[1]))

    def _runs(self, records: Sequence[StoredRecord]) -> list[Folded] | None:
        if isinstance(records, CoveredPage) and (found := self._over_entries.runs(records)) is not None:
            return found
        at_once = self._groups.at_once
        return None if at_once is None else at_once.runs(records)


class GroupInMemory:
    """The groups of records in any order, in the order of their keys."""

    unit = "groups"
    gathers = True

    def __init__(self, source: Plan, groups: Groups, *, by: str, work: str, size: int) -> None:
        self.children: tuple[Plan, ...] = (source,)
        self._groups = groups
        self._size = size
        self.title = f"{_title('Group', by, work)}, holding {size:,} groups at most"
        self.line = (
            f"GroupInMemory({source.line} by {by}: {work})" if work else f"DistinctInMemory({source.line} by {by})"
        )
        below = source.estimate
        rows = max(1.0, below.rows * GROUPS)
        passes = max(1, -(-int(rows) // size))
        self.estimate = replace(
            below,
            rows=rows,
            keys=below.keys * passes,
            fetched=below.fetched * passes,
            round_trips=below.round_trips * passes,
        )

    @property
    def identity(self) -> Part:
        return ("GroupInMemory", self.children[0].identity)

    def execute(self, run: Run) -> Cursor[Row]:
        child, groups = self.children[0], self._groups
        below = replace(run, expect=0, limit=0)
        gathering = Gathering(
            key=groups.key,
            initial=groups.initial,
            fold=groups.fold,
            groups=None if groups.at_once is None else groups.at_once.groups,
            size=self._size,
            memory=None if run.budget is None else run.budget.memory,
        )
        gathered = Gather(lambda place: child.execute(replace(below, continuation=place)), gathering, run.continuation)
        return Map(gathered, lambda group: groups.row(*group))


class FilterGroups:
    """The groups for which a condition is true."""

    unit = "groups"

    def __init__(self, source: Plan, condition: Predicate, decide: Test) -> None:
        self.children: tuple[Plan, ...] = (source,)
        self._decide = decide
        self.title = f"Having {condition}"
        self.line = f"Having({source.line}, {condition})"
        self.estimate = replace(source.estimate, rows=source.estimate.rows * CONDITION)

    @property
    def identity(self) -> Part:
        return self.children[0].identity

    def execute(self, run: Run) -> Cursor[Any]:
        decide = self._decide
        return Filter(self.children[0].execute(run), lambda row: decide(row) is True)


def _title(word: str, by: str, work: str) -> str:
    return f"{word} by {by}: {work}" if work else f"Distinct {by}"
