"""Places for values: planning with them in place of the values shows what a plan owes to which value.

A slot stands for the value of one comparison. Rules may pass it on, and it ends up in the bounds of scans and in the
conditions of filters. What a rule learns by looking at it is noted as a constraint, where it can be asked again of
another value: whether two are the same, how one compares with a value of the metadata. Everything else that would look
at it raises `LookedAt`, and the value becomes a part of what the plan is kept under. So a rule need not know of slots:
what it does with a value is either noted or not done.

A slot says of which class its value is, and whether it is empty or zero: plans are kept by that anyhow, see `shape`.

The list of an IN has a slot for each of its values, in ascending order and each once: how many there are is part of the
shape, too. The slots of its values have their places behind those of all conditions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from recordlayer.index.columns import kept_by
from recordlayer.query.comparison import Operator
from recordlayer.query.predicate import And, Compare, Not, NotTrue, Or, Path, Predicate, walk

Values = Sequence[Any]
Constraint = Callable[[Values], bool]
"""What must be true of other values for a plan to be theirs too."""

_SLOTTED = frozenset(
    (
        Operator.EQUALS,
        Operator.NOT_EQUALS,
        Operator.LESS,
        Operator.LESS_OR_EQUAL,
        Operator.GREATER,
        Operator.GREATER_OR_EQUAL,
        Operator.STARTS_WITH,
    )
)
_TYPES = frozenset((str, bytes, int, float, bool))


MOST_LISTED = 128
"""A longer list has no slots: there would be a plan for each of so many lengths."""
_LISTED = (frozenset((str,)), frozenset((bytes,)), frozenset((int,)))


class LookedAt(Exception):
    """The plan depends on a value in a way that cannot be noted."""

    def __init__(self, *slots: Slot) -> None:
        super().__init__([slot.place for slot in slots])
        self.places = frozenset(slot.place for slot in slots)


class Unlike(Exception):
    """A value is not of the kind that a plan was made for."""


def told_apart(value: object) -> object:
    """1, 1.0 and True are equal and not the same, nor are 0.0 and -0.0. The type of a single value is in the shape."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, tuple):
        return tuple([(type(one), told_apart(one)) for one in value])
    return value


def same(one: object, other: object) -> bool:
    """Whether two values are one and the same operand."""
    return type(one) is type(other) and told_apart(one) == told_apart(other)


def listed(operator: Operator, value: object) -> list[Any] | None:
    """The values of an IN that has slots for them: ascending, each once. None for other conditions and lists."""
    if operator is not Operator.IN or type(value) is not tuple or not 0 < len(value) <= MOST_LISTED:
        return None
    return sorted(set(value)) if frozenset(map(type, value)) in _LISTED else None


class Slot:
    """The place of a value.

    place    which of the query's values it is
    value    the one at hand, as an element of a column if it has been made one
    convert  what made it one
    """

    __slots__ = ("_constraints", "convert", "place", "value")

    def __init__(
        self, place: int, value: Any, constraints: list[Constraint], convert: Callable[[Any], Any] | None = None
    ) -> None:
        self.place = place
        self.value = value
        self.convert = convert
        self._constraints = constraints

    def converted(self, convert: Callable[[Any], Any]) -> Slot:
        """The element that a column has for the value. None is no element that others may have too."""
        if self.convert is not None:
            raise LookedAt(self)
        value = convert(self.value)
        if value is None:
            raise LookedAt(self)
        return Slot(self.place, value, self._constraints, convert)

    def note(self, constraint: Constraint) -> None:
        """Add to what must be true of other values."""
        self._constraints.append(constraint)

    @property
    def fill(self) -> Callable[[Values], Any]:
        """From other values to the element for the one that stands here.  Raises  Unlike, and what `convert` does."""
        return operator.itemgetter(self.place) if self.keeps else self.filled

    @property
    def keeps(self) -> bool:
        """Whether the value is the element: of the same type, and no default if this is none."""
        return self.convert is None or kept_by(self.convert) is type(self.value)

    def filled(self, values: Values) -> Any:
        """The element for the value that stands here in others.  Raises  Unlike, and what `convert` does."""
        value = values[self.place]
        if self.convert is None:
            return value
        value = self.convert(value)
        if type(value) is not type(self.value):
            raise Unlike
        return value

    # -- what rules may do with it ---------------------------------------------------------------------

    @property  # type: ignore[misc]  # a slot passes for its value
    def __class__(self) -> type:
        return type(self.value)

    def __repr__(self) -> str:
        return repr(self.value)

    def __bool__(self) -> bool:
        if self.convert is not None:
            raise LookedAt(self)
        return bool(self.value)

    def __hash__(self) -> int:
        return 0  # so that a set or a dict asks whether two are equal

    def __eq__(self, other: object) -> bool:
        if other is self:
            return True
        slots = [one for one in (self, other) if type(one) is Slot]
        if any(one.convert is not None for one in slots):
            raise LookedAt(*slots)
        place = self.place
        if type(other) is Slot:
            found, theirs = same(self.value, other.value), other.place
            self._constraints.append(lambda values: same(values[place], values[theirs]) is found)
        else:
            found = same(self.value, other)
            self._constraints.append(lambda values: same(values[place], other) is found)
        return found

    def _compared(self, test: Callable[[Any, Any], bool], other: object) -> bool:
        if type(other) is Slot:
            raise LookedAt(self, other)
        found = test(self.value, other)
        self._constraints.append(lambda values: test(self.filled(values), other) is found)
        return found

    def __lt__(self, other: object) -> bool:
        return self._compared(operator.lt, other)

    def __le__(self, other: object) -> bool:
        return self._compared(operator.le, other)

    def __gt__(self, other: object) -> bool:
        return self._compared(operator.gt, other)

    def __ge__(self, other: object) -> bool:
        return self._compared(operator.ge, other)

    def __getattr__(self, name: str) -> Any:
        raise LookedAt(self)


class SlotList:
    """The place of a list of values.

    place     which of the query's values it is
    value     the one at hand
    elements  the places of its values, ascending
    """

    __slots__ = ("elements", "place", "value")

    def __init__(self, place: int, value: tuple[Any, ...], elements: Sequence[Slot]) -> None:
        self.place = place
        self.value = value
        self.elements = tuple(elements)

    @property  # type: ignore[misc]  # it passes for the list
    def __class__(self) -> type:
        return tuple

    def __len__(self) -> int:
        return len(self.elements)

    def __iter__(self) -> Iterator[Slot]:
        return iter(self.elements)

    def __repr__(self) -> str:
        return repr(self.value)

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        if other is self:
            return True
        raise LookedAt(*self.elements)

    def __contains__(self, value: object) -> bool:
        raise LookedAt(*self.elements)

    def __getattr__(self, name: str) -> Any:
        raise LookedAt(*self.elements)


def each_once(values: Any) -> list[Any]:
    """The values of a list in its order, without those that are the same as one before. The order makes a difference to
    plans that are made of them: slots have it only where it is the ascending one, for other values as well."""
    if type(values) is not SlotList:
        return list({(type(value), told_apart(value)): value for value in values}.values())
    elements, place = values.elements, values.place
    if values.value != tuple([one.value for one in elements]):
        raise LookedAt(*elements)
    first, behind = elements[0].place, elements[-1].place + 1
    elements[0].note(lambda given: tuple(given[first:behind]) == given[place])
    return list(elements)


def ascending(slots: Sequence[Slot], convert: Callable[[Slot], Any]) -> Sequence[Slot]:
    """The slots of a list, where the elements that a column has for their values ascend as well. If those of other
    values do not, the plan is not for these."""
    made = [convert(slot) for slot in slots]
    if any(type(one) is not Slot for one in made):
        raise LookedAt(*slots)
    if all(one.keeps for one in made):
        return slots
    types = {type(one.value) for one in made}

    def ascend(values: Values) -> bool:
        found = [one.filled(values) for one in made]
        return all(map(operator.lt, found, found[1:]))

    if len(types) != 1 or not types <= _ASCENDING or not all(map(operator.lt, *_pairs([one.value for one in made]))):
        raise LookedAt(*slots)
    if len(made) > 1:
        slots[0].note(ascend)
    return slots


_ASCENDING = frozenset((str, bytes, int, float))


def _pairs(values: list[Any]) -> tuple[list[Any], list[Any]]:
    return values[:-1], values[1:]


def with_slots(
    predicate: Predicate,
    literal: frozenset[int],
    constraints: list[Constraint],
    *,
    slotted: Callable[[Path], bool],
) -> tuple[Predicate, dict[int, Slot | SlotList]]:
    """A condition with slots for all values that can have one, save some; and the slots by place. Places are counted as
    `shape` does: over all conditions with a value, each before what it is made of, then over the values of lists.

    slotted  whether conditions on a field may have one
    """
    slots: dict[int, Slot | SlotList] = {}
    place = 0
    behind = sum(hasattr(part, "value") for part in walk(predicate))

    def changed(one: Predicate) -> Predicate:
        nonlocal place, behind
        if isinstance(one, Compare):
            here, place = place, place + 1
            elements = listed(one.operator, one.value)
            if elements is not None:
                places = range(behind, behind + len(elements))
                behind += len(elements)
                if not literal.isdisjoint(places) or not slotted(one.path):
                    return one
                made = [Slot(each, value, constraints) for each, value in zip(places, elements, strict=True)]
                slots.update(zip(places, made, strict=True))
                slots[here] = listing = SlotList(here, one.value, made)
                return Compare(one.path, one.operator, listing)
            if here in literal or one.operator not in _SLOTTED or type(one.value) not in _TYPES:
                return one
            if not slotted(one.path):
                return one
            slots[here] = slot = Slot(here, one.value, constraints)
            return Compare(one.path, one.operator, slot)
        if isinstance(one, (And, Or)):
            return type(one)(tuple([changed(child) for child in one.children]))
        if isinstance(one, (Not, NotTrue)):
            return type(one)(changed(one.child))
        place += sum(hasattr(part, "value") for part in walk(one))
        return one

    return changed(predicate), slots


def slots_in(predicate: Predicate) -> frozenset[int]:
    """The places whose values a condition has."""
    values = [getattr(one, "value", None) for one in walk(predicate)]
    found = [value for value in values if type(value) is Slot]
    found += [slot for value in values if type(value) is SlotList for slot in value]
    return frozenset([slot.place for slot in found])


def filled(predicate: Predicate, values: Values) -> Predicate:
    """A condition with other values in its slots."""
    return predicate.exchanged(
        lambda how, value: (how, values[value.place] if type(value) is Slot or type(value) is SlotList else value)
    )


class Worded:
    """A condition with other values, made when somebody wants to read it."""

    __slots__ = ("_predicate", "_values")

    def __init__(self, predicate: Predicate, values: Values) -> None:
        self._predicate = predicate
        self._values = values

    def __str__(self) -> str:
        return str(filled(self._predicate, self._values))
