"""Groups: from the indexes that keep them, as they stream by where records come group by group, else in memory where
the query allows it."""

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
from recordlayer.query.planner import sources as index_sources
from recordlayer.query.predicate import shown
from recordlayer.query.problem import problem_of
from recordlayer.query.rules.kept_groups import groups_from_indexes

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

    def having(found: Plan) -> Plan:
        return found if query.condition is None or decide is None else FilterGroups(found, query.condition, decide)

    def grouped(source: Plan, *, ordered: bool) -> Plan:
        return having(
            StreamGroups(source, groups, by=by, work=work)
            if ordered
            else GroupInMemory(source, groups, by=by, work=work, size=query.in_memory)
        )

    kept_for = problem_of(query.source, metadata, state_of, knowledge=knowledge)
    kept = [having(one) for one in groups_from_indexes(kept_for, query, groups, by=by, work=work)]
    sources = list(_sources(query, metadata, state_of, knowledge))
    if not sources and not kept:
        problem = problem_of(replace(query.source, sort=query.columns), metadata, state_of)
        raise NoPlan(
            query=str(query),
            hint=f"no index has the records group by group; {missing_index(problem)} would, or group_by(..., "
            "in_memory=1000) lets so many groups be held in memory",
        )
    streams = [grouped(one.plan, ordered=ordered) for one, ordered in sources]
    best = min([*kept, *streams], key=lambda one: (one.estimate.cost, one.line))

    def survey() -> Survey:
        found: Found = [(None, one) for one in kept]
        rejected = dict(kept_for.rejected)
        for one, ordered in sources:
            found += [(None, grouped(source, ordered=ordered)) for source in (one.plan, *one.others)]
            rejected = {**one.rejected, **rejected}  # an index that keeps groups says why it cannot give these
        used = set[str]().union(*[index_sources(plan) for plan in kept])
        rejected = {name: reason for name, reason in rejected.items() if name not in used}
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
