"""What the conditions of a query say about one field together, as the conditions of indexes see its values: a set of
them, a range, values that it has not, that it is set, that it is not.

This is the one place where implication looks at the constants of a query. Where the two languages differ in what a
value is (`query.implication` says how), nothing is said to be known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recordlayer.index.columns import value_converter
from recordlayer.keys import access
from recordlayer.metadata import predicate as kept
from recordlayer.metadata.comparing import comparable, kind_of
from recordlayer.metadata.predicate import Comparison
from recordlayer.query.comparison import Operator
from recordlayer.query.predicate import Compare, Not, Path, Predicate
from recordlayer.tuples import SingleFloat

if TYPE_CHECKING:
    from recordlayer.pb.types import Descriptor, FieldDescriptor

UPWARDS = (Comparison.GREATER_THAN, Comparison.GREATER_THAN_OR_EQUALS)
DOWNWARDS = (Comparison.LESS_THAN, Comparison.LESS_THAN_OR_EQUALS)

_End = tuple[Any, bool]
"""A value in comparable form, and whether it belongs to the range."""


@dataclass(slots=True)
class Fact:
    """What conditions say about one field.

    kind      the field, None where there is none
    is_set    it has a value
    is_null   it has none
    values    it has one of these
    not_in    it has none of these
    low, high   its value is between these
    """

    kind: FieldDescriptor | None
    is_set: bool = False
    is_null: bool = False
    values: list[Any] | None = None
    not_in: list[Any] = field(default_factory=list)
    low: _End | None = None
    high: _End | None = None

    def compares(self, one: kept.Compare) -> bool:
        """Whether a comparison is true of it."""
        if self.kind is None or kind_of(self.kind) != one.operand.kind:
            return False
        right = comparable(one.operand.element)
        if self.values is not None:
            return all(not self._reads_as_missing(left) and _test(left, one.comparison, right) for left in self.values)
        if not self.is_there() or not is_ordered(one.operand.element):
            return False
        if one.comparison is Comparison.NOT_EQUALS:
            return self._is_not(right)
        if one.comparison in UPWARDS:
            return self.low is not None and _beyond(self.low, right, one.comparison is Comparison.GREATER_THAN)
        if one.comparison in DOWNWARDS and self.high is not None:
            # Queries have a negative NaN below all numbers, and conditions of indexes above.
            if self.low is None and is_float(self.kind):
                return False
            return _beyond(self.high, right, one.comparison is Comparison.LESS_THAN, downwards=True)
        return False

    def is_there(self) -> bool:
        """Whether conditions of indexes find a value too."""
        if self.kind is None:
            return False
        if self.values is not None:
            return not any(self._reads_as_missing(value) for value in self.values)
        return self.is_set and (self.kind.has_presence or self._is_not(comparable(self.kind.default_value)))

    def is_missing(self) -> bool:
        """Whether conditions of indexes find none either."""
        if self.kind is None or self.kind.has_default_value:
            return False
        if self.values is not None:
            return all(self._reads_as_missing(value) for value in self.values)
        return self.is_null

    def _reads_as_missing(self, value: Any) -> bool:
        """Whether this value of it is none to conditions of indexes."""
        assert self.kind is not None, "only fields have values"
        return not self.kind.has_presence and bool(value == comparable(self.kind.default_value))

    def _is_not(self, value: Any) -> bool:
        if value in self.not_in:
            return True
        if self.low is not None and _beyond(self.low, value, True):
            return True
        return self.high is not None and _beyond(self.high, value, True, downwards=True)


def _beyond(end: _End, value: Any, strictly: bool, *, downwards: bool = False) -> bool:
    """Whether all from this end on is greater (or, `downwards`, less) than a value, or equal if not `strictly`."""
    bound, inclusive = end
    if bound == value:
        return not strictly or not inclusive
    return bool(bound < value if downwards else bound > value)


def _test(left: Any, comparison: Comparison, right: Any) -> bool:
    if comparison is Comparison.EQUALS:
        return bool(left == right)
    if comparison is Comparison.NOT_EQUALS:
        return bool(left != right)
    if comparison is Comparison.LESS_THAN:
        return bool(left < right)
    if comparison is Comparison.LESS_THAN_OR_EQUALS:
        return bool(left <= right)
    return bool(left > right if comparison is Comparison.GREATER_THAN else left >= right)


def is_float(kind: FieldDescriptor) -> bool:
    return kind_of(kind) in ("float", "double")


def is_ordered(element: Any) -> bool:
    """Whether both languages order values alike with respect to this one."""
    if isinstance(element, str):
        return all(ord(character) < 0xD800 for character in element)
    if isinstance(element, SingleFloat):
        element = element.value
    return not isinstance(element, float) or element == element


def names(path: Path) -> tuple[str, ...] | None:
    """A path that leads through single fields only."""
    return None if any(step.any or step.entry is not None for step in path) else tuple([step.name for step in path])


def field_at(path: tuple[str, ...], kind: Descriptor) -> FieldDescriptor | None:
    """The field at the end of a path, None if there is none or it is repeated."""
    found: FieldDescriptor | None = None
    for name in path:
        if found is not None:
            if found.message_type is None:
                return None
            kind = found.message_type
        found = kind.fields_by_name.get(name)
        if found is None or access.is_repeated(found):
            return None
    return found


def fact_of(path: tuple[str, ...], conditions: Sequence[Predicate], kind: Descriptor) -> Fact:
    """All that conditions say about a field together."""
    fact = Fact(field_at(path, kind))
    if fact.kind is None:
        return fact
    for condition in conditions:
        if isinstance(condition, Compare) and names(condition.path) == path:
            _learn(fact, condition)
        elif isinstance(condition, Not) and isinstance(condition.child, Compare):
            child = condition.child
            if names(child.path) == path and child.operator not in _OF_NULLS:
                fact.is_set = True  # else it would be unknown
                if child.operator is Operator.IN:
                    fact.not_in += operands(child, fact.kind)
    return fact


_OF_NULLS = (Operator.IS_NULL, Operator.NOT_NULL, Operator.DISTINCT, Operator.NOT_DISTINCT)


def _learn(fact: Fact, condition: Compare) -> None:
    operator, kind = condition.operator, fact.kind
    assert kind is not None, "only asked for fields"
    if operator is Operator.IS_NULL:
        fact.is_null = True
    elif operator is not Operator.DISTINCT and not operator.on_list:
        fact.is_set = True
    if operator in (Operator.EQUALS, Operator.NOT_DISTINCT, Operator.IN):
        values = operands(condition, kind)
        fact.values = values if fact.values is None else [one for one in fact.values if one in values]
    elif operator is Operator.NOT_EQUALS:
        fact.not_in += operands(condition, kind)
    elif operator in (Operator.GREATER, Operator.GREATER_OR_EQUAL, Operator.STARTS_WITH):
        for value in operands(condition, kind, ordered=True):
            found = value, operator is not Operator.GREATER
            if fact.low is None or (value, not found[1]) > (fact.low[0], not fact.low[1]):
                fact.low = found
    elif operator in (Operator.LESS, Operator.LESS_OR_EQUAL):
        for value in operands(condition, kind, ordered=True):
            found = value, operator is Operator.LESS_OR_EQUAL
            if fact.high is None or (value, found[1]) < fact.high:
                fact.high = found


def operands(condition: Compare, kind: FieldDescriptor, *, ordered: bool = False) -> list[Any]:
    """The values that a condition compares a field with, in the form in which conditions of indexes compare. The one
    place where constants of a query are looked at here."""
    several = condition.operator is Operator.IN
    convert = value_converter(kind)
    elements = [convert(value) for value in (condition.value if several else (condition.value,))]
    if kind_of(kind) == "float":
        elements = [SingleFloat(one) if isinstance(one, float) else one for one in elements]
    return [comparable(one) for one in elements if not ordered or is_ordered(one)]
