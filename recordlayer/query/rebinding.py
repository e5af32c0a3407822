"""Plans for other values: a plan that was made with slots is filled, and nothing is planned.

A template is made of the rule that gave the plan of a shape. It is kept only if, filled with the values at hand, it is
the plan that was made for them without slots; it is used for other values only if these agree with all that the rule
has looked at. Nodes that are not known here have no template, so that a new kind of node is never filled in part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from recordlayer.errors import RecordLayerError
from recordlayer.index.bounds import Bounds
from recordlayer.query.decide import Decide
from recordlayer.query.direct import Direct, direct_of
from recordlayer.query.evaluate import all_of, any_of, comparing, compiled, resolve
from recordlayer.query.facts import names
from recordlayer.query.normal import normalized
from recordlayer.query.plan.aggregate import CountFromIndex
from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.covering import Cover
from recordlayer.query.plan.fetch import Fetch
from recordlayer.query.plan.filter import FilterEntries, FilterRecords, FilterTypes
from recordlayer.query.plan.load import LoadRecords
from recordlayer.query.plan.merge import IntersectEntries, OneAfterTheOther, Ordered, UnionEntries
from recordlayer.query.plan.scan import ScanIndex, ScanRecords
from recordlayer.query.plan.sort import SortRecords
from recordlayer.query.predicate import And, Compare, Or, Path, Predicate
from recordlayer.query.problem import Problem
from recordlayer.query.slot import (
    Constraint,
    LookedAt,
    Slot,
    SlotList,
    Unlike,
    Values,
    Worded,
    filled,
    slots_in,
    told_apart,
    with_slots,
)

if TYPE_CHECKING:
    from recordlayer.metadata import RecordType

MOST_LOOKS = 8
"""So many values become part of what a plan is kept under, before none is shared."""

Make = Callable[[Values], Any]
"""From values to a node, to bounds, or to what else has slots."""


class NoTemplate(Exception):
    """A plan has a node that is not known here."""


class Symbolic(Problem):
    """A query with slots in its conditions. No function can be made of these."""

    __slots__ = ()

    def decide(self, predicate: Predicate) -> dict[str, Decide]:
        return dict.fromkeys(self.names, _undecided)


def _undecided(message: Any, record: Any) -> bool:
    raise AssertionError("a plan with slots does not run")


class Template:
    """The plan of a shape, but for values.

    literals     values that it is kept under, by place, as `told_apart` gives them
    constraints  what must be true of the others
    direct       how it is run directly, None if it is not
    """

    __slots__ = ("_constraints", "_literals", "_make", "direct")

    def __init__(
        self, make: Make, literals: Mapping[int, object], constraints: list[Constraint], direct: Direct | None
    ) -> None:
        self._make = make
        self._literals = tuple(literals.items())
        self._constraints = tuple(constraints)
        self.direct = direct

    def fits(self, values: Values) -> bool:
        """Whether it is for these values too: none of them differs in what the template depends on."""
        for place, literal in self._literals:
            if told_apart(values[place]) != literal:
                return False
        try:
            for holds in self._constraints:
                if not holds(values):
                    return False
        except (Unlike, RecordLayerError):
            return False
        return True

    def fill(self, values: Values) -> Any:
        """The plan for these values, which it is for; None if they are no values of the columns that they bound."""
        try:
            return self._make(values)
        except (Unlike, RecordLayerError):
            return None


def template_of(
    problem: Problem,
    planned: Plan | CountFromIndex,
    values: Values,
    rule: Callable[[Problem], list[Any]],
    *,
    looked_at: frozenset[tuple[str, ...]] = frozenset(),
) -> Template | None:
    """What gives the plan of a query with the rule that gave it, for other values too; None if nothing does.

    looked_at  fields whose values decide which indexes may be used: those at hand are a part of what it is kept under
    """
    query, types = problem.query, problem.types
    if query.filter is None or (looked_at and problem.synthetic is not None):
        return None

    def slotted(path: Path) -> bool:
        return names(path) not in looked_at and (len(types) == 1 or _is_alike(path, types))

    literal: frozenset[int] = frozenset()
    for _ in range(MOST_LOOKS):
        constraints: list[Constraint] = []
        condition, slots = with_slots(query.filter, literal, constraints, slotted=slotted)
        try:
            found = rule(_symbolic(problem, condition))
            plan: Any = min(found, key=lambda one: (one.estimate.cost, one.line))
            maker = _Maker(types)
            make = maker.of(plan)
        except LookedAt as looked:
            literal |= looked.places
            continue
        except Exception:  # a rule that cannot do with a slot says so as it likes: its plans are made from values
            return None
        unseen = {place for place, slot in slots.items() if type(slot) is Slot} - maker.places
        if unseen:
            literal |= unseen
            continue
        if not slots:
            return None
        literals = {place: told_apart(value) for place, value in enumerate(values) if place not in slots}
        template = Template(make, literals, constraints, direct_of(plan, maker))
        again = template.fill(values) if template.fits(values) else None
        fits = again is not None and again.line == planned.line and again.identity == planned.identity
        return template if fits else None
    return None


def _symbolic(problem: Problem, condition: Predicate) -> Symbolic:
    return Symbolic(
        problem.query,
        problem.metadata,
        problem.types,
        normalized(condition),
        problem.state_of,
        only=problem.only,
        knowledge=problem.knowledge,
    )


class _Maker:
    """Makes functions that fill nodes. `places`: the slots that were met."""

    def __init__(self, types: tuple[RecordType, ...]) -> None:
        self._types = types
        self.places: set[int] = set()

    def of(self, node: Plan | CountFromIndex) -> Make:
        """The function for a node and all below it.  Raises  NoTemplate."""
        kind: type[Any] = type(node)
        if kind is ScanIndex or kind is ScanRecords:
            return self._scan(node)
        if kind is LoadRecords:
            return self._load(node)
        if kind is CountFromIndex:
            return self._count(node)
        if kind is FilterRecords:
            return self._filter(node, self._types, lambda each: each)
        if kind is FilterEntries:
            (only,) = self._types  # else entries are not told apart
            return self._filter(node, (only,), lambda each: each[only.name])
        if kind is UnionEntries or kind is IntersectEntries:
            return self._merged(node)
        if (
            kind is Cover
            or kind is FilterTypes
            or kind is SortRecords
            or kind is OneAfterTheOther
            or (kind is Fetch and vars(node)["once"] is None)
        ):
            return self._above(node)
        raise NoTemplate(kind)

    def _above(self, node: Any) -> Make:
        """A node that has no values itself."""
        kind = type(node)
        below = [self.of(child) for child in node.children]
        like = _kept(node)

        def make(values: Values) -> Any:
            own = like.copy()
            own["children"] = tuple([each(values) for each in below])
            return _node(kind, own)

        return make

    def _merged(self, node: Any) -> Make:
        below = [(self.of(source.plan), source.key) for source in node.sources]
        kind, like = type(node), _kept(node)

        def make(values: Values) -> Any:
            sources = tuple([Ordered(each(values), key) for each, key in below])
            own = like.copy()
            own["sources"] = sources
            own["children"] = tuple([source.plan for source in sources])
            return _node(kind, own)

        return make

    def _filter(self, node: Any, types: tuple[RecordType, ...], decided: Callable[[dict[str, Decide]], object]) -> Make:
        predicate: Predicate = node.predicate
        places = slots_in(predicate)
        self.places |= places
        (below,) = [self.of(child) for child in node.children]
        kind, like = type(node), _kept(node)
        decide = _decide_of(predicate, types)

        def make(values: Values) -> Any:
            own = like.copy()
            own["children"] = (below(values),)
            own["decide"] = decided(decide(values))
            if places:
                own["predicate"] = Worded(predicate, values)
            return _node(kind, own)

        return make

    # -- what direct runs are made of ------------------------------------------------------------------

    def decide(self, node: FilterRecords) -> Make:
        return _decide_of(node.predicate, self._types)

    def _scan(self, node: Any) -> Make:
        ranges = [self.bounds(bounds) for bounds in node.ranges]
        answered: tuple[Predicate, ...] = node._answered
        kind, like = type(node), _kept(node)
        only = ranges[0] if len(ranges) == 1 else None

        def make(values: Values) -> Any:
            own = like.copy()
            own["ranges"] = tuple([each(values) for each in ranges]) if only is None else (only(values),)
            own["_answered"] = [Worded(one, values) for one in answered]
            return _node(kind, own)

        return make

    def _count(self, node: Any) -> Make:
        ranges = [self.bounds(bounds) for bounds in node.ranges]
        like = _kept(node)

        def make(values: Values) -> Any:
            own = like.copy()
            own["ranges"] = tuple([each(values) for each in ranges])
            return _node(CountFromIndex, own)

        return make

    def _load(self, node: Any) -> Make:
        each = [self.items(items) for items in node.keys]
        answered: tuple[Predicate, ...] = node._answered
        like = _kept(node)

        def make(values: Values) -> Any:
            own = like.copy()
            own["keys"] = tuple([one(values) for one in each])
            own["_answered"] = [Worded(one, values) for one in answered]
            return _node(LoadRecords, own)

        return make

    def bounds(self, bounds: Bounds) -> Make:
        low, high, low_end, high_end = bounds.low, bounds.high, bounds.low_end, bounds.high_end
        low_of = self.items(low)
        if high is low:

            def same_ends(values: Values) -> Bounds:
                items = low_of(values)
                return Bounds(items, items, low_end, high_end)

            return same_ends
        high_of = self.items(high)
        return lambda values: Bounds(low_of(values), high_of(values), low_end, high_end)

    def items(self, items: tuple[Any, ...] | None) -> Make:
        slots = [one for one in items or () if type(one) is Slot]
        self.places |= {slot.place for slot in slots}
        if items is None or not slots:
            return lambda values: items
        if len(items) == 1:
            fill = slots[0].fill
            return lambda values: (fill(values),)
        parts = [one.fill if type(one) is Slot else _always(one) for one in items]
        return lambda values: tuple([part(values) for part in parts])


def _decide_of(predicate: Predicate, types: tuple[RecordType, ...]) -> Callable[[Values], dict[str, Decide]]:
    """What makes the functions that decide a condition with values in its slots, for each type."""
    if not slots_in(predicate):
        return _always({known.name: compiled(predicate, known) for known in types})
    each = [(known.name, _decide_for(predicate, known)) for known in types]
    return lambda values: {name: decide_for(values) for name, decide_for in each}


def _decide_for(predicate: Predicate, record_type: RecordType) -> Callable[[Values], Decide]:
    """What makes the function that decides a condition with values in its slots."""
    if isinstance(predicate, Compare) and (type(predicate.value) is Slot or type(predicate.value) is SlotList):
        place, compare = predicate.value.place, comparing(predicate, record_type.descriptor)
        return lambda values: compare(values[place])
    if not slots_in(predicate):
        return _always(compiled(predicate, record_type))
    if isinstance(predicate, (And, Or)):
        together = all_of if isinstance(predicate, And) else any_of
        parts = [_decide_for(child, record_type) for child in predicate.children]
        return lambda values: together([part(values) for part in parts])
    return lambda values: compiled(filled(predicate, values), record_type)


def _is_alike(path: Path, types: tuple[RecordType, ...]) -> bool:
    """Whether the same values fit a field in all of these types."""
    ends = [resolve(path, known.descriptor)[-1] for known in types]
    return len({(one.type, None if one.enum_type is None else one.enum_type.full_name) for one in ends}) == 1


def _always(value: Any) -> Make:
    return lambda values: value


def _kept(node: Plan) -> dict[str, Any]:
    """What a node is made of, without the words that it has worked out for itself."""
    kind, own = type(node), vars(node).items()
    return {name: value for name, value in own if not isinstance(getattr(kind, name, None), cached_property)}


def _node(kind: type[Any], own: dict[str, Any]) -> Any:
    new = object.__new__(kind)
    new.__dict__ = own
    return new
