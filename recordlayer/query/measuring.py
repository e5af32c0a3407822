"""Plans that measure themselves while they run: what came out of each node, and what that cost.

A measured plan is a copy of a plan whose nodes stand in for their originals, so that plans which are not measured pay
nothing. What a node costs includes the nodes below it, as its estimate does.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from recordlayer.cursor.step import Batch, Cursor, Stop
from recordlayer.kv.context import Context
from recordlayer.query.cost import Estimate
from recordlayer.query.identity import Part
from recordlayer.query.plan.base import Plan, Run

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Actual:
    """What one node did, with those below it.

    rows      that came out of it
    keys      pairs that were read
    bytes     of their keys and values
    reads     point and range reads begun
    time      that it took, waiting included; not that of whoever used the rows
    runs      how often it was run: once for each row of the other side, where it is the inner side of a join
    stopped   why it gave no more when it was asked last; None if it was not asked until it stopped
    """

    rows: int
    keys: int
    bytes: int
    reads: int
    time: timedelta
    runs: int
    stopped: Stop | None


class _Measures:
    """Counts that grow."""

    __slots__ = ("keys", "reads", "rows", "runs", "seconds", "size", "stopped")

    def __init__(self) -> None:
        self.rows = self.keys = self.size = self.reads = self.runs = 0
        self.seconds = 0.0
        self.stopped: Stop | None = None


class Measured:
    """A node that counts what its original does."""

    def __init__(self, plan: Plan) -> None:
        self._node: Any = copy.copy(plan)
        self.children: tuple[Plan, ...] = tuple([Measured(child) for child in plan.children])
        self._node.children = self.children
        self._kind = type(plan).__name__
        self._measures = _Measures()
        self.title: str = plan.title
        self.line: str = plan.line
        self.unit: str = plan.unit
        self.estimate: Estimate = plan.estimate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    @property
    def kind(self) -> str:
        return self._kind

    @property
    def identity(self) -> Part:
        own: Part = self._node.identity
        return own

    @property
    def actual(self) -> Actual:
        """What it has done so far."""
        found = self._measures
        return Actual(
            rows=found.rows,
            keys=found.keys,
            bytes=found.size,
            reads=found.reads,
            time=timedelta(seconds=found.seconds),
            runs=found.runs,
            stopped=found.stopped,
        )

    def like(self, plan: Plan) -> Measured:
        """Another plan that adds to what this one has counted, node by node as far as they are alike."""
        made = Measured(plan)
        made._add_to(self)
        return made

    def _add_to(self, other: Measured) -> None:
        self._measures = other._measures
        for own, theirs in zip(self.children, other.children, strict=False):
            if isinstance(own, Measured) and isinstance(theirs, Measured) and own.kind == theirs.kind:
                own._add_to(theirs)

    def execute(self, run: Run) -> Cursor[Any]:
        self._measures.runs += 1
        return _Counting(self._node.execute(run), run.store.context, self._measures)


class _Counting(Cursor[T]):
    """A cursor whose cost is taken from the transaction's counters before and after."""

    __slots__ = ("_context", "_measures", "_source")

    def __init__(self, source: Cursor[T], context: Context, measures: _Measures) -> None:
        self._source = source
        self._context = context
        self._measures = measures

    def start(self) -> None:
        before = self._now()
        try:
            self._source.start()
        finally:
            self._count(before)

    async def batch(self) -> Batch[T]:
        before = self._now()
        try:
            found = await self._source.batch()
        finally:
            self._count(before)
        self._measures.rows += len(found.values)
        self._measures.stopped = found.stop
        return found

    def _now(self) -> tuple[int, int, int, float]:
        counters = self._context.counters
        return counters.rows_read, counters.bytes_read, counters.reads, self._context.world.clock.monotonic()

    def _count(self, before: tuple[int, int, int, float]) -> None:
        measures, now = self._measures, self._now()
        measures.keys += now[0] - before[0]
        measures.size += now[1] - before[1]
        measures.reads += now[2] - before[2]
        measures.seconds += now[3] - before[3]
