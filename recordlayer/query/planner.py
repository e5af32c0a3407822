"""From a query to a plan: the rules propose, the cheapest plan that keeps the query's promises is taken.

Every rule is a function from a `Problem` to plans; a plan that a rule gives answers the whole query. What a rule could
not use it notes with the reason, for `explain`.

Plans are values for one metadata and one set of readable indexes, and kept in a small cache by query. For queries that
differ in their values only, it is kept which rule gave the plan and from which indexes: that rule alone is asked again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from recordlayer.errors import NoPlan
from recordlayer.query.advice import missing_index
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

RULES: tuple[Rule, ...] = (scan_records, scan_indexes, unite, intersect)


class Planned:
    """The plan of a query; and, worked out when somebody asks, the others that would answer it too and which indexes
    could not, with the reason."""

    __slots__ = ("_others", "_rejected", "_survey", "plan", "query")

    def __init__(self, query: Query, plan: Plan, survey: Callable[[], Survey]) -> None:
        self.query = query
        self.plan = plan
        self._survey: Callable[[], Survey] | None = survey
        self._others: tuple[Plan, ...] = ()
        self._rejected: dict[str, str] = {}

    @property
    def others(self) -> tuple[Plan, ...]:
        self._look()
        return self._others

    @property
    def rejected(self) -> dict[str, str]:
        self._look()
        return self._rejected

    def _look(self) -> None:
        if self._survey is not None:
            found, self._rejected = self._survey()
            self._others = tuple([plan for _, plan in found if plan.line != self.plan.line])
            self._survey = None


Found = list[tuple[Rule | None, Plan]]
Survey = tuple[Found, dict[str, str]]
"""All plans with the rules that gave them, the cheapest first; and why indexes were not used."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rule gave the plan of the queries of one shape, and from which indexes: values make no difference to that,
    and the rule makes a plan for other values."""

    rule: Rule
    indexes: frozenset[str]


def plan(query: RecordQuery, metadata: RecordMetaData, state_of: StateOf) -> Planned:
    """The cheapest plan of a query.

    The plan of the same query is kept, and of a query that differs in its values only which way to go.

    Raises  NoPlan when nothing gives the order that is asked for; UnknownRecordType, UnknownField, WrongType.
    """
    readable = readable_indexes(metadata, state_of)
    plans, choices = _CACHE.setdefault(metadata, (OrderedDict(), OrderedDict()))
    shape = shape_of(query)
    key = cache_key(query, shape, readable)
    if key is not None and key in plans:
        plans.move_to_end(key)
        return plans[key]
    choice = choices.get((shape, readable))
    planned = None if choice is None else _by_choice(choice, query, metadata, state_of)
    if planned is None:
        planned, choice = _by_survey(query, metadata, state_of)
        if choice is not None:
            keep(choices, (shape, readable), choice)
    if key is not None:
        keep(plans, key, planned)
    return planned


def _by_choice(choice: Choice, query: RecordQuery, metadata: RecordMetaData, state_of: StateOf) -> Planned | None:
    found = list(choice.rule(problem_of(query, metadata, state_of, only=choice.indexes)))
    if not found:
        return None
    best = min(found, key=lambda one: (one.estimate.cost, one.line))
    return Planned(query, best, lambda: _survey(problem_of(query, metadata, state_of)))


def _by_survey(query: RecordQuery, metadata: RecordMetaData, state_of: StateOf) -> tuple[Planned, Choice | None]:
    problem = problem_of(query, metadata, state_of)
    found, rejected = _survey(problem)
    if not found:
        raise NoPlan(
            query=str(query),
            not_used=rejected,
            hint=f"no index has the records in this order; {missing_index(problem)} would, or order_by(..., "
            "in_memory=1000) lets so many records be sorted in memory",
        )
    rule, best = found[0]
    indexes = sources(best) & metadata.indexes.keys()
    choice = None if rule is None else Choice(rule, frozenset(indexes))
    return Planned(query, best, lambda: (found, rejected)), choice


def _survey(problem: Problem) -> Survey:
    found: Found = [(rule, one) for rule in RULES for one in rule(problem)]
    if problem.query.in_memory:
        unordered = problem.asking(*problem.conditions)
        found += [(None, one) for one in sorted_in_memory(problem, (one for rule in RULES for one in rule(unordered)))]
    found.sort(key=lambda pair: (pair[1].estimate.cost, pair[1].line))
    return found, problem.rejected


def sources(plan: Node) -> set[str]:
    """What a plan reads: indexes by name, and "primary key"."""
    if not plan.children:
        return {getattr(plan, "index", "primary key")}
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
    asked = (query.record_types, query.sort, query.reverse, query.fields, query.distinct, query.in_memory)
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
    """What decides how a value is looked for: its type; how many there are; whether it is anything at all."""
    if isinstance(value, tuple):
        return (len(value), frozenset([type(one) for one in value]))
    if isinstance(value, (str, bytes)):
        return (type(value), not value)
    return value if isinstance(value, (Pattern, Words)) else type(value)


def readable_indexes(metadata: RecordMetaData, state_of: StateOf) -> tuple[str, ...]:
    """The indexes that plans may use: part of what a plan is kept under."""
    return tuple([index.name for index in metadata.indexes.values() if state_of(index).is_readable])


def cache_key(query: RecordQuery, shape: Key, readable: tuple[str, ...]) -> Key | None:
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
