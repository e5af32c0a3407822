"""From a query to a plan: the rules propose, the cheapest plan that keeps the query's promises is taken.

Every rule is a function from a `Problem` to plans; a plan that a rule gives answers the whole query. What a rule could
not use it notes with the reason, for `explain`.

Plans are values for one metadata and one set of readable indexes, and kept in a small cache by query. For queries that
differ in their values only, it is kept which rule gave the plan, from which indexes and at what cost: that rule alone
is asked again, and if it comes to another cost, all of them. The second time it is asked with slots for the values as
well; where that gives a template (`rebinding`), plans for further values are made of it, and no rule is asked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from recordlayer.errors import NoPlan
from recordlayer.index.state import IndexState
from recordlayer.query.advice import missing_index
from recordlayer.query.comparison import Operator
from recordlayer.query.direct import Direct
from recordlayer.query.facts import names
from recordlayer.query.implication import paths_of
from recordlayer.query.knowledge import ASSUMED, Knowledge
from recordlayer.query.plan.base import Node, Plan
from recordlayer.query.planned import Found, Planned, Rule, Survey
from recordlayer.query.predicate import Compare, Not, Or, walk
from recordlayer.query.problem import Problem, problem_of
from recordlayer.query.query import RecordQuery
from recordlayer.query.rebinding import Template, template_of
from recordlayer.query.rules.index import scan_indexes
from recordlayer.query.rules.merging import intersect, unite
from recordlayer.query.rules.primary_key import scan_records
from recordlayer.query.rules.sorting import sorted_in_memory
from recordlayer.query.rules.synthetic import beginning, make_records
from recordlayer.query.shape import Key, shape_of, values_key
from recordlayer.query.slot import Values, told_apart

if TYPE_CHECKING:
    from recordlayer.metadata import RecordMetaData
    from recordlayer.query.problem import StateOf

_CACHED = 256
PLANS = "plans"
_TEMPLATES = 4
"""So many templates are looked for for one shape: values that a plan depends on may lead to several."""

T = TypeVar("T")


def combine_bitmaps(problem: Problem) -> Iterator[Plan]:
    """See `rules.bitmaps`, which is imported where there are any."""
    if any(index.type == "bitmap_value" for index in problem.indexes):
        from recordlayer.query.rules import bitmaps

        yield from bitmaps.combine_bitmaps(problem)


def sort_in_memory(problem: Problem) -> Iterator[Plan]:
    """Each plan of the same query without an order, sorted, where the query allows it."""
    if problem.query.in_memory:
        unordered = problem.asking(*problem.conditions)
        yield from sorted_in_memory(problem, (one for rule in RULES for one in rule(unordered)))


RULES: tuple[Rule, ...] = (scan_records, make_records, scan_indexes, unite, intersect, combine_bitmaps)


class Filled(Planned):
    """A plan of which so much is known that there is a template of it for these values. It is made when somebody looks
    at it: to run it directly, nobody has to."""

    __slots__ = ("_asking", "_made", "_template", "_values")

    query: RecordQuery

    def __init__(self, query: RecordQuery, asking: Asking, template: Template, values: Values) -> None:
        """`asking`: a query that was asked of the same."""
        self.query = query
        self.knowledge = asking.knowledge
        self.cached = True
        self._looked = None
        self._asking = asking
        self._template = template
        self._values = values
        self._made: Plan | None = None

    @property
    def plan(self) -> Plan:
        """Raises  NoPlan, WrongType for values that do not fit."""
        if self._made is None:
            self._made = self._template.fill(self._values) or _by_survey(self._own())[0].plan
        return self._made

    def _own(self) -> Asking:
        asking = self._asking
        return Asking(self.query, asking.metadata, asking.state_of, asking.knowledge)

    @property
    def survey(self) -> Survey:
        if self._looked is None:
            self._looked = self._own().survey()
        return self._looked

    @property
    def kept(self) -> object:
        """What a query keeps of it: it itself would hold the query."""
        return self if self._template.direct is None else (self._asking, self._template, self._values)

    @property
    def direct(self) -> tuple[Direct | None, Values]:
        return self._template.direct, self._values


@dataclass(slots=True)
class Choice:
    """Which rule gave the plan of the queries of one shape, and from which indexes. The rule makes a plan for other
    values; if that costs the same, the values make no difference to the choice. If not, all is looked at again.

    templates  what gives plans for other values without the rule, and what the other plans would be
    tried      how often one was looked for
    """

    rule: Rule
    indexes: frozenset[str]
    cost: float


@dataclass(slots=True)
class Templates:
    """What gives plans for other values of one shape without a rule, and what the other plans would be. `tried`: how
    often one was looked for."""

    made: tuple[tuple[Template, Asking], ...] = ()
    tried: int = 0


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
        known = last[3]
        if type(known) is tuple:
            return Filled(query, *known)
        kept: Planned = known
        kept.cached = True
        return kept
    cache: _Cache | None = metadata.kept.get(PLANS)
    if cache is None:
        filtered = any(one.predicate is not None for one in metadata.indexes.values())
        cache = _Cache(OrderedDict(), OrderedDict(), OrderedDict(), filtered, filtered_by(metadata))
        metadata.kept[PLANS] = cache
    shape, values = shape_of(query)
    way = (shape, knowledge, readable)
    templates = cache.templates.get(way)
    if templates is not None:
        filled = _by_template(templates, query, values)
        if filled is not None:
            object.__setattr__(query, "kept", (metadata, knowledge, readable, filled.kept))
            return filled
    told = values_key(values)
    key = None if told is None else (way, told)
    if key is not None and key in cache.plans:
        if 2 * len(cache.plans) > _CACHED:
            cache.plans.move_to_end(key)  # a hash of the key more: only where plans may be dropped
        kept = cache.plans[key]
        kept.cached = True
        object.__setattr__(query, "kept", (metadata, knowledge, readable, kept))
        return kept
    now = {name: state_of(index) for name, index in metadata.indexes.items()}
    # What is kept here must not keep a store and its transaction.
    asking = Asking(query, metadata, lambda index: now[index.name], knowledge)
    alike: Key = (
        way,
        _same_as(query),
        (asking.filtered_usable(), _chosen_by(query, values, cache)) if cache.filtered else (),
    )
    choice = cache.choices.get(alike)
    found = None if choice is None else _by_choice(choice, asking)
    if found is None:
        planned, chosen = _by_survey(asking)
        keep(cache.choices, alike, chosen)
    else:
        planned, problem = found
        if templates is None:
            templates = Templates()
            keep(cache.templates, way, templates)
        if templates.tried < _TEMPLATES and choice is not None:
            templates.tried += 1
            template = template_of(problem, planned.plan, values, _rule(choice), looked_at=cache.filtered_by)
            if template is not None:
                templates.made = (*templates.made, (template, asking))
    if key is not None:
        keep(cache.plans, key, planned)
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
        asked = [problem]
        if problem.synthetic is not None and (stored := beginning(problem, problem.synthetic)) is not None:
            asked.append(stored[0])
        return tuple(
            [f"{place} {one.name}" for place, each in enumerate(asked) for one in filtered if not each.has_all(one)]
        )

    def survey(self) -> Survey:
        """All plans."""
        problem = self.problem()
        found: Found = [(rule, one) for rule in RULES for one in rule(problem)]
        found += [(sort_in_memory, one) for one in sort_in_memory(problem)]
        found.sort(key=lambda pair: (pair[1].estimate.cost, pair[1].line))
        problem.effort.plans = len(found)
        return Survey(found, problem.rejected, problem.effort)


def _chosen_by(query: RecordQuery, values: Values, cache: _Cache) -> Key:
    """The values on which it depends which indexes have all records of one alternative of a condition; nothing where
    there are no alternatives."""
    parts = [] if query.filter is None else list(walk(query.filter))
    if not any(isinstance(one, (Or, Not)) or getattr(one, "operator", None) is Operator.IN for one in parts):
        return ()
    valued = [one for one in parts if hasattr(one, "value")]
    return tuple(
        [
            told_apart(value)
            for one, value in zip(valued, values, strict=False)
            if isinstance(one, Compare) and names(one.path) in cache.filtered_by
        ]
    )


def _same_as(query: RecordQuery) -> Key:
    """For each condition with a value the first that is the same: of equal conditions plans keep one."""
    parts = [] if query.filter is None else [one for one in walk(query.filter) if hasattr(one, "value")]
    return tuple([parts.index(one) for one in parts])


def _by_template(templates: Templates, query: RecordQuery, values: Values) -> Filled | None:
    for template, asking in templates.made:
        if template.fits(values):
            return Filled(query, asking, template, values)
    return None


def _by_choice(choice: Choice, asking: Asking) -> tuple[Planned, Problem] | None:
    problem = asking.problem(choice.indexes)
    best = min(choice.rule(problem), key=lambda one: (one.estimate.cost, one.line), default=None)
    if best is None or best.estimate.cost != choice.cost:
        return None
    return Planned(asking.query, best, asking.knowledge, asking.survey), problem


def _rule(choice: Choice) -> Callable[[Problem], list[Plan]]:
    return lambda problem: list(choice.rule(problem))


def _by_survey(asking: Asking) -> tuple[Planned, Choice]:
    survey = asking.survey()
    if not survey.found:
        unreadable = _would_serve(asking)
        if unreadable:
            raise NoPlan(
                query=str(asking.query),
                not_used=survey.rejected,
                unreadable=unreadable,
                hint="an index for it is there and cannot be read yet: build it to its end",
            )
        wanted = missing_index(asking.problem())
        raise NoPlan(
            query=str(asking.query),
            not_used=survey.rejected,
            definition=wanted,
            hint=f"no index has the records in this order; {wanted} would, or order_by(..., in_memory=1000) lets so "
            "many records be sorted in memory",
        )
    rule, best = survey.found[0]
    indexes = sources(best) & asking.metadata.indexes.keys()
    assert rule is not None, "a rule has proposed it"
    choice = Choice(rule, frozenset(indexes), best.estimate.cost)
    return Planned(asking.query, best, asking.knowledge, lambda: survey), choice


def _would_serve(asking: Asking) -> list[str]:
    """The indexes without which there is no plan only because they cannot be read in their states."""
    survey = replace(asking, state_of=lambda _: IndexState.READABLE).survey()
    if not survey.found:
        return []
    known = asking.metadata.indexes
    used = sources(survey.found[0][1]) & known.keys()
    return sorted(name for name in used if not asking.state_of(known[name]).is_readable)


def sources(plan: Node) -> set[str]:
    """What a plan reads: indexes by name, and "primary key"."""
    if not plan.children:
        return {getattr(plan, "index", "primary key"), *getattr(plan, "asks", ())}
    return set[str](getattr(plan, "asks", ())).union(*(sources(child) for child in plan.children))


@dataclass(frozen=True, slots=True)
class _Cache:
    """What is kept for one metadata: plans by shape and values, and ways to go and templates by shape.

    filtered     whether an index has a condition of its own: values decide which of these have all records asked for
    filtered_by  the fields that these conditions are about: a template is for some values of them only
    """

    plans: OrderedDict[Key, Planned]
    choices: OrderedDict[Key, Choice]
    templates: OrderedDict[Key, Templates]
    filtered: bool
    filtered_by: frozenset[tuple[str, ...]]


def filtered_by(metadata: RecordMetaData) -> frozenset[tuple[str, ...]]:
    """The fields that indexes of some records choose these by."""
    filtered = [one.predicate for one in metadata.indexes.values() if one.predicate is not None]
    return frozenset([path for predicate in filtered for path in paths_of(predicate)])


def keep(kept: OrderedDict[Key, T], key: Key, value: T) -> None:
    kept[key] = value
    if len(kept) > _CACHED:
        kept.popitem(last=False)


def readable_indexes(metadata: RecordMetaData, state_of: StateOf) -> tuple[str, ...]:
    """The indexes that plans may use: part of what a plan is kept under."""
    return tuple([index.name for index in metadata.indexes.values() if state_of(index).is_readable])
