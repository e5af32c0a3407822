"""Groups: from the indexes that keep them, as they stream by where records come group by group, else in memory where
the query allows it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from recordlayer.query.planned import Found, Planned, Survey
from recordlayer.query.planner import keep, plan, readable_indexes
from recordlayer.query.planner import sources as index_sources
from recordlayer.query.predicate import Path, Predicate, shown
from recordlayer.query.problem import Problem, problem_of
from recordlayer.query.rules.kept_groups import groups_from_indexes
from recordlayer.query.shape import Key, shape_of, values_key

if TYPE_CHECKING:
    from recordlayer.metadata import RecordMetaData
    from recordlayer.query.problem import StateOf

MOST_PERMUTED = 3
"""So many columns are tried in every order: groups come together in any of them."""
_PLANS = "plans of groups"


def plan_groups(
    query: GroupQuery,
    metadata: RecordMetaData,
    state_of: StateOf,
    *,
    states: Key | None = None,
    knowledge: Knowledge = ASSUMED,
) -> Planned:
    """The cheapest plan of a query for groups. For queries that differ in their values only it is kept which way was
    the cheapest, as `planner.plan` does.

    Raises  NoPlan when records come group by group from no index, and none may be held; as `plan`.
    """
    readable = readable_indexes(metadata, state_of) if states is None else states
    bare = query if query.condition is None else replace(query, condition=None)
    shape, values = shape_of(bare.source)
    told = values_key(values)
    way = (shape, bare.columns, bare.aggregates, bare.in_memory, knowledge, readable)
    cache: _Cache | None = metadata.kept.get(_PLANS)
    if cache is None:
        cache = metadata.kept[_PLANS] = _Cache(OrderedDict(), OrderedDict())
    key = None if told is None else (way, told)
    found = None if key is None else cache.plans.get(key)
    if found is None:
        now = {name: state_of(index) for name, index in metadata.indexes.items()}
        # What is kept must not keep a store and its transaction.
        asking = _Asking(bare, metadata, lambda index: now[index.name], readable, knowledge)
        choice = cache.choices.get((way, ()))
        found = None if choice is None else asking.by_choice(choice)
        if found is None:
            found, choice = asking.by_survey()
            if not any(index.predicate is not None for index in metadata.indexes.values()):
                keep(cache.choices, (way, ()), choice)  # else it depends on values which indexes have all records
        if key is not None:
            keep(cache.plans, key, found)
    else:
        found.cached = True
    return found if query.condition is None else _having(query, query.condition, found)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which way the groups of one shape go.

    ordered  in which order the records come that are folded as they stream by; None if groups are held in memory
    indexes  those that keep the groups; none where records are folded
    cost     of the records' plan, or of the whole
    """

    ordered: tuple[Path, ...] | None
    indexes: frozenset[str]
    cost: float


@dataclass(frozen=True, slots=True)
class _Asking:
    """A query for groups, without a condition on them, and what it is asked of."""

    query: GroupQuery
    metadata: RecordMetaData
    state_of: StateOf
    readable: Key
    knowledge: Knowledge

    def by_choice(self, choice: _Choice) -> Planned | None:
        """The plan that goes the same way; None if it costs something else."""
        if choice.indexes:
            kept, _ = self._kept(choice.indexes)
            best = min(kept, key=_by_cost, default=None)
            if best is None or best.estimate.cost != choice.cost:
                return None
        else:
            source = self._source(choice.ordered or ())
            if source.plan.estimate.cost != choice.cost:
                return None
            best = self._folded(source.plan, ordered=choice.ordered is not None)
        return Planned(self.query, best, self.knowledge, self._survey)

    def by_survey(self) -> tuple[Planned, _Choice]:
        """The cheapest plan of all, and which way it goes.  Raises  NoPlan."""
        kept, _ = self._kept()
        sources = list(self._sources())
        if not sources and not kept:
            problem = problem_of(replace(self.query.source, sort=self.query.columns), self.metadata, self.state_of)
            raise NoPlan(
                query=str(self.query),
                hint=f"no index has the records group by group; {missing_index(problem)} would, or group_by(..., "
                "in_memory=1000) lets so many groups be held in memory",
            )
        ways: list[tuple[Plan, _Choice]] = [
            (one, _Choice(None, frozenset(index_sources(one)), one.estimate.cost)) for one in kept
        ]
        for source, order in sources:
            choice = _Choice(order, frozenset(), source.plan.estimate.cost)
            ways.append((self._folded(source.plan, ordered=order is not None), choice))
        best, choice = min(ways, key=lambda one: _by_cost(one[0]))
        return Planned(self.query, best, self.knowledge, self._survey), choice

    def _survey(self) -> Survey:
        kept, problem = self._kept()
        found: Found = [(None, one) for one in kept]
        rejected = dict(problem.rejected)
        for source, order in self._sources():
            plans = (source.plan, *source.others)
            found += [(None, self._folded(one, ordered=order is not None)) for one in plans]
            rejected = {**source.rejected, **rejected}  # an index that keeps groups says why it cannot give these
        used = set[str]().union(*[index_sources(one) for one in kept])
        rejected = {name: reason for name, reason in rejected.items() if name not in used}
        found.sort(key=lambda pair: _by_cost(pair[1]))
        return Survey(found, rejected, Effort())

    def _kept(self, only: frozenset[str] | None = None) -> tuple[list[Plan], Problem]:
        """The plans that read no records."""
        query, (by, work) = self.query, self._words()
        problem = problem_of(query.source, self.metadata, self.state_of, only=only, knowledge=self.knowledge)
        groups = Groups.of(query, self.metadata)
        return list(groups_from_indexes(problem, query, groups, by=by, work=work)), problem

    def _folded(self, source: Plan, *, ordered: bool) -> Plan:
        """The plan that makes groups of what another one gives."""
        by, work = self._words()
        groups = Groups.of(self.query, self.metadata)
        if ordered:
            return StreamGroups(source, groups, by=by, work=work)
        return GroupInMemory(source, groups, by=by, work=work, size=self.query.in_memory)

    def _words(self) -> tuple[str, str]:
        by = ", ".join(shown(path) for path in self.query.columns)
        return by, ", ".join(f"{one} as {name}" for name, one in self.query.aggregates)

    def _source(self, order: tuple[Path, ...]) -> Planned:
        source = replace(self.query.source, fields=needed(self.query), sort=order)
        return plan(source, self.metadata, self.state_of, states=self.readable, knowledge=self.knowledge)

    def _sources(self) -> Iterator[tuple[Planned, tuple[Path, ...] | None]]:
        """Plans for the records, and in which order of columns they come; None if they do not come group by group."""
        columns = self.query.columns
        if not columns:
            yield self._source(()), ()
            return
        orders = permutations(columns) if len(columns) <= MOST_PERMUTED else [columns]
        for order in orders:
            try:
                yield self._source(order), order
            except NoPlan:
                continue
            break
        if self.query.in_memory:
            yield self._source(()), None


def _by_cost(one: Plan) -> tuple[float, str]:
    return one.estimate.cost, one.line


def _having(query: GroupQuery, condition: Predicate, found: Planned) -> Planned:
    """The same plans, of which only groups are given for which a condition is true."""
    decide = decider(condition)

    def survey() -> Survey:
        all_found = found.survey
        filtered: Found = [(rule, FilterGroups(one, condition, decide)) for rule, one in all_found.found]
        return replace(all_found, found=filtered)

    return Planned(query, FilterGroups(found.plan, condition, decide), found.knowledge, survey, cached=found.cached)


@dataclass(frozen=True, slots=True)
class _Cache:
    """What is kept for one metadata: plans by shape and values, and ways to go by shape."""

    plans: OrderedDict[Key, Planned]
    choices: OrderedDict[Key, _Choice]
