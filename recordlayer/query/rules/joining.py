"""Joins: the outer plans, each with the inner plan that stands for those of its rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from recordlayer.query.advice import helpful_index
from recordlayer.query.effort import Effort
from recordlayer.query.join import JoinQuery
from recordlayer.query.joining import Feeding
from recordlayer.query.knowledge import ASSUMED, Knowledge
from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.join import Join
from recordlayer.query.planned import Found, Planned, Survey
from recordlayer.query.planner import plan
from recordlayer.query.problem import Problem, problem_of

if TYPE_CHECKING:
    from recordlayer.metadata import RecordMetaData
    from recordlayer.query.problem import StateOf


def plan_join(
    query: JoinQuery, metadata: RecordMetaData, state_of: StateOf, *, knowledge: Knowledge = ASSUMED
) -> Planned:
    """The cheapest plan of a join.  Raises  as `plan`."""
    feeding = Feeding.of(query, metadata)
    outer = query.outer
    if outer.fields is not None:  # what the inner query needs is needed
        outer = replace(outer, fields=tuple(dict.fromkeys((*outer.fields, *[path for _, path in query.feeds]))))
    first = plan(outer, metadata, state_of, knowledge=knowledge)
    second = plan(feeding.stand_in(), metadata, state_of, knowledge=knowledge)
    types = ", ".join(query.inner.record_types) or "records"
    left = query.kind == "left"

    def joined(source: Plan) -> Plan:
        return Join(source, second.plan, feeding, types=types, left=left, knowledge=knowledge)

    def survey() -> Survey:
        found: Found = [(None, joined(one)) for one in (first.plan, *first.others)]
        return Survey(found, {**second.rejected, **first.rejected}, Effort())

    return Planned(query, joined(first.plan), knowledge, survey, cached=first.cached and second.cached)


def side_to_help(query: JoinQuery, metadata: RecordMetaData, state_of: StateOf) -> Problem:
    """The side of a join that an index would help more: the inner one, which is run for every row, if any would."""
    inner = problem_of(Feeding.of(query, metadata).stand_in(), metadata, state_of)
    return problem_of(query.outer, metadata, state_of) if helpful_index(inner) is None else inner
