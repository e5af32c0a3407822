"""Groups: as they stream by where records come group by group, else in memory where the query allows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING

from recordlayer.errors import NoPlan
from recordlayer.query.advice import missing_index
from recordlayer.query.effort import Effort
from recordlayer.query.group import GroupQuery
from recordlayer.query.grouping import Groups, needed
from recordlayer.query.having import decider
from recordlayer.query.knowledge import ASSUMED, Knowledge
from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.group import FilterGroups, GroupInMemory, StreamGroups
from recordlayer.query.planner import Found, Planned, Survey, plan
from recordlayer.query.predicate import shown
from recordlayer.query.problem import problem_of

if TYPE_CHECKING:
    from recordlayer.metadata import RecordMetaData
    from recordlayer.query.problem import StateOf

MOST_PERMUTED = 3
"""So many columns are tried in every order: groups come together in any of them."""


def plan_groups(
    query: GroupQuery, metadata: RecordMetaData, state_of: StateOf, *, knowledge: Knowledge = ASSUMED
) -> Planned:
    """The cheapest plan of a query for groups.

    Raises  NoPlan when records come group by group from no index, and none may be held; as `plan`.
    """
    groups = Groups.of(query, metadata)
    decide = None if query.condition is None else decider(query.condition)
    by = ", ".join(shown(path) for path in query.columns)
    work = ", ".join(f"{one} as {name}" for name, one in query.aggregates)

    def grouped(source: Plan, *, ordered: bool) -> Plan:
        found: Plan = (
            StreamGroups(source, groups, by=by, work=work)
            if ordered
            else GroupInMemory(source, groups, by=by, work=work, size=query.in_memory)
        )
        return found if query.condition is None or decide is None else FilterGroups(found, query.condition, decide)

    sources = list(_sources(query, metadata, state_of, knowledge))
    if not sources:
        problem = problem_of(replace(query.source, sort=query.columns), metadata, state_of)
        raise NoPlan(
            query=str(query),
            hint=f"no index has the records group by group; {missing_index(problem)} would, or group_by(..., "
            "in_memory=1000) lets so many groups be held in memory",
        )
    best = min([grouped(one.plan, ordered=ordered) for one, ordered in sources], key=lambda one: one.estimate.cost)

    def survey() -> Survey:
        found: Found = []
        rejected: dict[str, str] = {}
        for one, ordered in sources:
            found += [(None, grouped(source, ordered=ordered)) for source in (one.plan, *one.others)]
            rejected = {**one.rejected, **rejected}
        found.sort(key=lambda pair: (pair[1].estimate.cost, pair[1].line))
        return Survey(found, rejected, Effort())

    return Planned(query, best, knowledge, survey)


def _sources(
    query: GroupQuery, metadata: RecordMetaData, state_of: StateOf, knowledge: Knowledge
) -> Iterator[tuple[Planned, bool]]:
    """Plans for the records, and whether they come group by group."""
    source = replace(query.source, fields=needed(query))
    if not query.columns:
        yield plan(source, metadata, state_of, knowledge=knowledge), True
        return
    orders = permutations(query.columns) if len(query.columns) <= MOST_PERMUTED else [query.columns]
    for order in orders:
        try:
            yield plan(replace(source, sort=order), metadata, state_of, knowledge=knowledge), True
        except NoPlan:
            continue
        break
    if query.in_memory:
        yield plan(source, metadata, state_of, knowledge=knowledge), False
