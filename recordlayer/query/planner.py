"""From a query to a plan: the rules propose, the cheapest plan that keeps the query's promises is taken.

Every rule is a function from a `Problem` to plans; a plan that a rule gives answers the whole query. What a rule could
not use it notes with the reason, for `explain`.

Plans are values for one metadata and one set of readable indexes, and kept in a small cache by query. For queries that
differ in their values only, it is kept which rule gave the plan, from which indexes and at what cost: that rule alone
is asked again, and if it comes to another cost, all of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from recordlayer.errors import NoPlan
from recordlayer.query.advice import missing_index
from recordlayer.query.effort import Effort
from recordlayer.query.knowledge import ASSUMED, Knowledge
from recordlayer.query.pattern import Pattern
from recordlayer.query.plan.base import Node, Plan
from recordlayer.query.predicate import (
    Compare,
    CompareKey,
    CompareRank,
    IsType,
    Matches,
    Near,
    Predicate,
    walk,
)
from recordlayer.query.problem import Problem, problem_of
from recordlayer.query.query import Query, RecordQuery
from recordlayer.query.rules.index import scan_indexes
from recordlayer.query.rules.merging import intersect, unite
from recordlayer.query.rules.primary_key import scan_records
from recordlayer.query.rules.sorting import sorted_in_memory
from recordlayer.query.words import Words

if TYPE_CHECKING:
    from recordlayer.metadata import RecordMetaData
    from recordlayer.query.problem import StateOf

_CACHED = 256

T = TypeVar("T")


Rule = Callable[[Problem], Iterator[Plan]]


def combine_bitmaps(problem: Problem) -> Iterator[Plan]:
    """See `rules.bitmaps`, which is imported where there are any."""
    if any(index.type == "bitmap_value" for index in problem.indexes):
        from recordlayer.query.rules import bitmaps

        yield from bitmaps.combine_bitmaps(problem)


RULES: tuple[Rule, ...] = (scan_records, scan_indexes, unite, intersect, combine_bitmaps)


class Planned:
    """The plan of a query; and, worked out when somebody asks, the others that would answer it too and which indexes
    could not, with the reason."""

    __slots__ = ("_looked", "_survey", "knowledge", "plan", "query")

    def __init__(self, query: Query, plan: Plan, knowledge: Knowledge, survey: Callable[[], Survey]) -> None:
        self.query = query
        self.plan = plan
        self.knowledge = knowledge
        self._survey = survey
        self._looked: Survey | None = None

    @property
    def survey(self) -> Survey:
        """All that was looked at."""
        if self._looked is None:
            self._looked = self._survey()
        return self._looked

    @property
    def others(self) -> tuple[Plan, ...]:
        return tuple([plan for _, plan in self.survey.found if plan.line != self.plan.line])

    @property
    def rejected(self) -> dict[str, str]:
        return self.survey.rejected


Found = list[tuple[Rule | None, Plan]]


@dataclass(frozen=True, slots=True)
class Survey:
    """All plans with the rules that gave them, the cheapest first; why indexes were not used; what looking cost."""

    found: Found
    rejected: dict[str, str]
    effort: Effort


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rule gave the plan of the queries of one shape, and from which indexes. The rule makes a plan for other
    values; if that costs the same, the values make no difference to the choice. If not, all is looked at again."""

    rule: Rule
    indexes: frozenset[str]
    cost: float


def plan(
    query: RecordQuery,
    metadata: RecordMetaData,
    state_of: StateOf,
    *,
    states: Key | None = None,
    knowledge: Knowledge = ASSUMED,
) -> Planned:
    """The cheapest plan of a query.

    states  what `state_of` says of all indexes, where that is known for less than asking for each

    The plan of the same query is kept, and of a query that differs in its values only which way to go.

    Raises  NoPlan when nothing gives the order that is asked for; UnknownRecordType, UnknownField, UnknownIndex,
            WrongType.
    """
    readable = readable_indexes(metadata, state_of) if states is None else states
    last = query.kept
    if last is not None and last[0] is metadata and last[1] is knowledge and last[2] == readable:
        kept: Planned = last[3]
        return kept
    plans, choices = _CACHE.setdefault(metadata, (OrderedDict(), OrderedDict()))
    shape = (shape_of(query), knowledge)
    key = cache_key(query, shape, readable)
    found = None if key is None else plans.get(key)
    if key is not None and found is not None:
        if 2 * len(plans) > _CACHED:
            plans.move_to_end(key)  # a hash of the key more: only where plans may be dropped
        object.__setattr__(query, "kept", (metadata, knowledge, readable, found))
        return found
    now = {name: state_of(index) for name, index in metadata.indexes.items()}
    # What is kept here must not keep a store and its transaction.
    asking = Asking(query, metadata, lambda index: now[index.name], knowledge)
    alike = (shape, readable, asking.filtered_usable())
    choice = choices.get(alike)
    planned = None if choice is None else _by_choice(choice, asking)
    if planned is None:
        planned, choice = _by_survey(asking)
        if choice is not None:
            keep(choices, alike, choice)
    if key is not None:
        keep(plans, key, planned)
    return planned


@dataclass(frozen=True, slots=True)
class Asking:
    """A query, and what it is asked of."""

    query: RecordQuery
    metadata: RecordMetaData
    state_of: StateOf
    knowledge: Knowledge

    def problem(self, only: frozenset[str] | None = None) -> Problem:
        return problem_of(self.query, self.metadata, self.state_of, only=only, knowledge=self.knowledge)

    def filtered_usable(self) -> tuple[str, ...]:
        """The indexes with a condition of their own that have all records asked for. Unlike all else that plans go by,
        this depends on the values of a query."""
        filtered = [index for index in self.metadata.indexes.values() if index.predicate is not None]
        if not filtered:
            return ()
        problem = self.problem()
        return tuple([index.name for index in filtered if problem.has_all(index) is None])

    def survey(self) -> Survey:
        """All plans."""
        problem = self.problem()
        found: Found = [(rule, one) for rule in RULES for one in rule(problem)]
        if problem.query.in_memory:
            unordered = problem.asking(*problem.conditions)
            plans = (one for rule in RULES for one in rule(unordered))
            found += [(None, one) for one in sorted_in_memory(problem, plans)]
        found.sort(key=lambda pair: (pair[1].estimate.cost, pair[1].line))
        problem.effort.plans = len(found)
        return Survey(found, problem.rejected, problem.effort)


def _by_choice(choice: Choice, asking: Asking) -> Planned | None:
    found = list(choice.rule(asking.problem(choice.indexes)))
    best = min(found, key=lambda one: (one.estimate.cost, one.line), default=None)
    if best is None or best.estimate.cost != choice.cost:
        return None
    return Planned(asking.query, best, asking.knowledge, asking.survey)


def _by_survey(asking: Asking) -> tuple[Planned, Choice | None]:
    survey = asking.survey()
    if not survey.found:
        raise NoPlan(
            query=str(asking.query),
            not_used=survey.rejected,
            hint=f"no index has the records in this order; {missing_index(asking.problem())} would, or order_by(..., "
            "in_memory=1000) lets so many records be sorted in memory",
        )
    rule, best = survey.found[0]
    indexes = sources(best) & asking.metadata.indexes.keys()
    choice = None if rule is None else Choice(rule, frozenset(indexes), best.estimate.cost)
    return Planned(asking.query, best, asking.knowledge, lambda: survey), choice


def sources(plan: Node) -> set[str]:
    """What a plan reads: indexes by name, and "primary key"."""
    if not plan.children:
        return {getattr(plan, "index", "primary key"), *getattr(plan, "asks", ())}
    return set[str](getattr(plan, "asks", ())).union(*(sources(child) for child in plan.children))


Key = tuple[object, ...]
_Plans = OrderedDict[Key, Planned]
_Choices = OrderedDict[Key, Choice]
_CACHE: WeakKeyDictionary[RecordMetaData, tuple[_Plans, _Choices]] = WeakKeyDictionary()


def keep(kept: OrderedDict[Key, T], key: Key, value: T) -> None:
    kept[key] = value
    if len(kept) > _CACHED:
        kept.popitem(last=False)


def shape_of(query: RecordQuery) -> Key:
    """A query without its values: what they are like, and how many."""
    asked = (query.record_types, query.sort, query.reverse, query.fields, query.distinct, query.in_memory, query.hints)
    if query.filter is None:
        return asked
    return (asked, tuple([_shape(one) for one in walk(query.filter)]))


def _shape(one: Predicate) -> object:
    kind = type(one)
    if isinstance(one, Compare):
        return (one.path, one.operator, _kind(one.value))
    if isinstance(one, CompareKey):
        return (one.expression, one.any, one.operator, _kind(one.value))
    if isinstance(one, CompareRank):
        return (one.ranked, one.operator, _kind(one.value))
    if isinstance(one, (Matches, Near)):
        return (kind, one.path)
    if isinstance(one, IsType):
        return (kind, one.names)
    return (kind, len(one.parts))


def _kind(value: object) -> object:
    """What decides how a value is looked for: its type; how many there are; on which side of the default of its type it
    lies, because a field without presence that holds its default is a null in an index."""
    if isinstance(value, tuple):
        return (len(value), frozenset([type(one) for one in value]), any(not one for one in value))
    if isinstance(value, (int, float)):
        return (type(value), (value > 0) - (value < 0))
    if isinstance(value, (str, bytes)):
        return (type(value), not value)
    return value if isinstance(value, (Pattern, Words)) else type(value)


def readable_indexes(metadata: RecordMetaData, state_of: StateOf) -> tuple[str, ...]:
    """The indexes that plans may use: part of what a plan is kept under."""
    return tuple([index.name for index in metadata.indexes.values() if state_of(index).is_readable])


def cache_key(query: RecordQuery, shape: Key, readable: Key) -> Key | None:
    """What tells a query from all others: its shape and its values. None if a value cannot be hashed."""
    if query.filter is None:
        return (shape, readable)
    values = tuple([_told_apart(getattr(one, "value", None)) for one in walk(query.filter)])
    try:
        hash(values)
    except TypeError:
        return None
    return (shape, values, readable)


def _told_apart(value: object) -> object:
    """1, 1.0 and True are equal and not the same, nor are 0.0 and -0.0. The type of a single value is in the shape."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, tuple):
        return tuple([(type(one), _told_apart(one)) for one in value])
    return value
