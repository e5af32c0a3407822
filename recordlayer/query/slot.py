"""Places for values: planning with them in place of the values shows what a plan owes to which value.

A slot stands for the value of one comparison. Rules may pass it on, and it ends up in the bounds of scans and in the
conditions of filters. What a rule learns by looking at it is noted as a constraint, where it can be asked again of
another value: whether two are the same, how one compares with a value of the metadata. Everything else that would look
at it raises `LookedAt`, and the value becomes a part of what the plan is kept under. So a rule need not know of slots:
what it does with a value is either noted or not done.

A slot says of which class its value is, and whether it is empty or zero: plans are kept by that anyhow, see `shape`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

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


def with_slots(
    predicate: Predicate,
    literal: frozenset[int],
    constraints: list[Constraint],
    *,
    slotted: Callable[[Path], bool],
) -> tuple[Predicate, dict[int, Slot]]:
    """A condition with slots for all values that can have one, save some; and the slots by place. Places are counted as
    `shape` does: over all conditions with a value, each before what it is made of.

    slotted  whether conditions on a field may have one
    """
    slots: dict[int, Slot] = {}
    place = 0

    def changed(one: Predicate) -> Predicate:
        nonlocal place
        if isinstance(one, Compare):
            here, place = place, place + 1
            if here in literal or one.operator not in _SLOTTED or type(one.value) not in _TYPES:
                return one
            if not slotted(one.path):
                return one
            slots[here] = Slot(here, one.value, constraints)
            return Compare(one.path, one.operator, slots[here])
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
    return frozenset(value.place for value in values if type(value) is Slot)


def filled(predicate: Predicate, values: Values) -> Predicate:
    """A condition with other values in its slots."""
    return predicate.exchanged(lambda how, value: (how, values[value.place] if type(value) is Slot else value))


class Worded:
    """A condition with other values, made when somebody wants to read it."""

    __slots__ = ("_predicate", "_values")

    def __init__(self, predicate: Predicate, values: Values) -> None:
        self._predicate = predicate
        self._values = values

    def __str__(self) -> str:
        return str(filled(self._predicate, self._values))
