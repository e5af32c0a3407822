"""Joins by flat-map: for each row of one plan the rows of another, planned for its values.

Cost    for each outer row what the inner plan costs; several inner plans are under way together
Source  Record Layer, RecordQueryFlatMapPlan, FlatMapPipelinedCursor
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from recordlayer.cursor.chain import OrElse
from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields
from recordlayer.cursor.pipeline import FlatMap
from recordlayer.cursor.step import Batch, Cursor
from recordlayer.cursor.transform import Empty, ListCursor, Map
from recordlayer.errors import BadContinuation
from recordlayer.query import identity
from recordlayer.query.cost import Estimate
from recordlayer.query.identity import Part
from recordlayer.query.join import Pair
from recordlayer.query.joining import Feeding
from recordlayer.query.knowledge import Knowledge
from recordlayer.query.measuring import Measured
from recordlayer.query.plan.base import Plan, Run
from recordlayer.query.planned import Planned
from recordlayer.query.planner import plan
from recordlayer.store.record import StoredRecord

WIDTH = 32
"""Inner plans whose first reads are under way together."""


class Join:
    """Pairs of records. The first child is the outer plan; the second stands for the inner ones, which are made for the
    values of each record."""

    unit = "pairs"

    def __init__(
        self, outer: Plan, inner: Plan, feeding: Feeding, *, types: str, left: bool, knowledge: Knowledge
    ) -> None:
        self.children: tuple[Plan, ...] = (outer, inner)
        self._knowledge = knowledge
        self._feeding = feeding
        self._left = left
        self.title = f"{'Left join' if left else 'Join'} each with {types}"
        self.line = f"{'LeftJoin' if left else 'Join'}({outer.line}, {inner.line})"
        one, other = outer.estimate, inner.estimate
        self.estimate = Estimate(
            one.rows * max(other.rows, 1.0 if left else 0.0),
            one.keys + one.rows * other.keys,
            one.round_trips + -(-int(one.rows) // WIDTH) * other.round_trips,
            one.fetched + one.rows * other.fetched,
        )

    @property
    def identity(self) -> Part:
        return ("LeftJoin" if self._left else "Join", self.children[0].identity)

    def execute(self, run: Run) -> Cursor[Pair]:
        outer, feeding = self.children[0], self._feeding
        below = replace(run, limit=0)
        return FlatMap(
            lambda place: outer.execute(replace(below, continuation=place)),
            lambda record, place: _Opened(lambda: self._pairs(record, replace(below, expect=0, continuation=place))),
            run.continuation,
            check=feeding.check_of,
            width=WIDTH,
            budget=run.budget,
        )

    def _pairs(self, record: StoredRecord, run: Run) -> Cursor[Pair]:
        message = record.message

        def found(place: bytes | None) -> Cursor[StoredRecord | None]:
            return self._inner(record, replace(run, continuation=place))

        def none(place: bytes | None) -> Cursor[StoredRecord | None]:
            return ListCursor([None], place)

        rows = OrElse(found, none, run.continuation) if self._left else found(run.continuation)
        return Map(rows, lambda inner: Pair(message, None if inner is None else inner.message))

    def _inner(self, record: StoredRecord, run: Run) -> Cursor[StoredRecord | None]:
        """The inner query's records for one outer record. Its continuations name the plan, which may differ one day."""
        query = self._feeding.bound(self._feeding.values(record))
        if query is None:
            return Empty()
        store = run.store
        planned = plan(query, store.metadata, store.states.peek, knowledge=self._knowledge)
        chosen, place = planned.plan, None
        if run.continuation is not None:
            fields = decode_fields(run.continuation, known=2)
            wanted, place = bytes_field(fields, 1), bytes_field(fields, 2)
            chosen = _same(planned, wanted)
        own = identity.of_plan(chosen.identity)
        template = self.children[1]
        if isinstance(template, Measured):
            chosen = template.like(chosen)
        return _Named(chosen.execute(replace(run, continuation=place)), own)


def _same(planned: Planned, wanted: bytes | None) -> Plan:
    """The plan that gave a continuation.  Raises  BadContinuation."""
    for candidate in (planned.plan, *planned.others):
        if identity.of_plan(candidate.identity) == wanted:
            return candidate
    raise BadContinuation(
        reason="no plan of the join's inner query gave it",
        plan=planned.plan.line,
        hint="an index was dropped, disabled or changed since: begin anew",
    )


class _Named(Cursor[StoredRecord | None]):
    """A cursor whose continuations name their plan.

    Layout  {1 the plan, 2 the place in it}
    """

    __slots__ = ("_plan", "_source")

    def __init__(self, source: Cursor[Any], own: bytes) -> None:
        self._source = source
        self._plan = own

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[StoredRecord | None]:
        batch = await self._source.batch()
        own, inner = self._plan, batch.resume

        def end() -> bytes | None:
            return None if batch.end is None else encode_fields({1: own, 2: batch.end})

        return Batch(batch.values, lambda index: encode_fields({1: own, 2: inner(index)}), batch.stop, end)


class _Opened(Cursor[Pair]):
    """A cursor that is made when it is first used: of the rows that are at hand, not all may be wanted."""

    __slots__ = ("_cursor", "_make")

    def __init__(self, make: Callable[[], Cursor[Pair]]) -> None:
        self._make = make
        self._cursor: Cursor[Pair] | None = None

    def _open(self) -> Cursor[Pair]:
        if self._cursor is None:
            self._cursor = self._make()
        return self._cursor

    def start(self) -> None:
        self._open().start()

    async def batch(self) -> Batch[Pair]:
        return await self._open().batch()
