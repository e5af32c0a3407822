"""Whether an index that has only some of the records has all that a query asks for: whether the query's conditions
imply the condition of the index. And which of them hold for all that such an index has, so that nobody tests them.

Both languages are three-valued, and they differ. For a condition of an index a field without presence that holds its
default is missing, an unset field with a default of its own has that, texts are ordered by UTF-16 code units, and NaN
is above all numbers whatever its sign. Where that could make a difference, the answer is no.

What conditions say about one field is a set of values, a range, values that it has not, that it is set, that it is not.
Of alternatives, and of values it is one of, each is looked at by itself where that decides more.

Cost    no reads
Source  Record Layer, QueryPredicate.impliesPredicate as PredicateWithValueAndRanges has it, for IndexPredicate
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from recordlayer.errors import WrongType
from recordlayer.keys import access
from recordlayer.metadata import predicate as kept
from recordlayer.metadata.comparing import comparable, kind_of
from recordlayer.metadata.predicate import Comparison
from recordlayer.query.comparison import Operator
from recordlayer.query.cost import CONDITION, EQUALITY
from recordlayer.query.decide import leaf, value_reader
from recordlayer.query.facts import UPWARDS, Fact, fact_of, field_at, is_float, is_ordered, names, operands
from recordlayer.query.normal import normal
from recordlayer.query.predicate import Compare, Or, Predicate, conjuncts

if TYPE_CHECKING:
    from recordlayer.metadata import RecordType
    from recordlayer.pb.types import Descriptor, FieldDescriptor

MOST_BRANCHES = 32
"""So many alternatives of a condition are looked at one by one, and as many values."""
DEEPEST = 2
"""Alternatives within alternatives."""

Facts = Callable[[tuple[str, ...]], "Fact"]


def not_implied(predicate: kept.Predicate, conditions: Sequence[Predicate], types: Iterable[RecordType]) -> str | None:
    """The part of an index's condition that conditions on records of these types leave open, in words; None if they
    imply all of it."""
    for known in types:
        for part in _parts(predicate):
            if not _implied(part, conditions, known.descriptor, DEEPEST):
                return shown(part)
    return None


def answered(
    predicate: kept.Predicate, conditions: Sequence[Predicate], types: Iterable[RecordType]
) -> tuple[Predicate, ...]:
    """The conditions that are true of all records for which the condition of an index is."""
    parts, kinds = list(_parts(predicate)), [known.descriptor for known in types]
    return tuple([one for one in conditions if all(_follows(one, parts, kind) for kind in kinds)])


def paths_of(predicate: kept.Predicate) -> Iterator[tuple[str, ...]]:
    """The fields that the condition of an index is about."""
    if isinstance(predicate, (kept.And, kept.Or)):
        for child in predicate.children:
            yield from paths_of(child)
    elif isinstance(predicate, kept.Not):
        yield from paths_of(predicate.child)
    elif isinstance(predicate, (kept.Compare, kept.IsNull)):
        yield predicate.path


def share(predicate: kept.Predicate) -> float:
    """About which part of the records an index with this condition has."""
    part = 1.0
    for one in _parts(predicate):
        equal = isinstance(one, kept.Compare) and one.comparison is Comparison.EQUALS
        part *= EQUALITY if equal else CONDITION
    return part


def shown(predicate: kept.Predicate) -> str:
    """The condition of an index in words."""
    if isinstance(predicate, (kept.And, kept.Or)):
        word = " and " if isinstance(predicate, kept.And) else " or "
        return word.join([f"({shown(one)})" if _is_compound(one) else shown(one) for one in predicate.children])
    if isinstance(predicate, kept.Not):
        return f"not ({shown(predicate.child)})"
    if isinstance(predicate, kept.Compare):
        return f"{'.'.join(predicate.path)} {_SYMBOLS[predicate.comparison]} {predicate.operand.value!r}"
    if isinstance(predicate, kept.IsNull):
        return f"{'.'.join(predicate.path)} is {'not ' * predicate.negated}null"
    if isinstance(predicate, kept.Window):
        return f"being among the {predicate.size} {'last' if predicate.descending else 'first'}"
    return repr(predicate)


def _is_compound(predicate: kept.Predicate) -> bool:
    return isinstance(predicate, (kept.And, kept.Or))


def _parts(predicate: kept.Predicate) -> Iterator[kept.Predicate]:
    """What all must be true."""
    if isinstance(predicate, kept.And):
        for child in predicate.children:
            yield from _parts(child)
    else:
        yield predicate


# -- from conditions to the condition of an index --------------------------------------------------------------------


def _implied(predicate: kept.Predicate, conditions: Sequence[Predicate], kind: Descriptor, depth: int) -> bool:
    known: dict[tuple[str, ...], Fact] = {}

    def facts(path: tuple[str, ...]) -> Fact:
        if path not in known:
            known[path] = fact_of(path, conditions, kind)
        return known[path]

    if _holds(predicate, facts):
        return True
    for place, condition in enumerate(conditions if depth else ()):
        branches = _branches(condition)
        if 1 < len(branches) <= MOST_BRANCHES:
            rest = [*conditions[:place], *conditions[place + 1 :]]
            if all(_implied(predicate, [*branch, *rest], kind, depth - 1) for branch in branches):
                return True
    return False


def _branches(condition: Predicate) -> list[list[Predicate]]:
    """Alternatives of which one is true."""
    if isinstance(condition, Or):
        return [[part for one in conjuncts(child) for part in normal(one)] for child in condition.children]
    if isinstance(condition, Compare) and condition.operator is Operator.IN and names(condition.path) is not None:
        return [[replace(condition, operator=Operator.EQUALS, value=value)] for value in condition.value]
    return []


def _holds(predicate: kept.Predicate, facts: Facts) -> bool:
    """Whether it is exactly true of all records with these facts."""
    if isinstance(predicate, kept.And):
        return all(_holds(child, facts) for child in predicate.children)
    if isinstance(predicate, kept.Or):
        return any(_holds(child, facts) for child in predicate.children)
    if isinstance(predicate, kept.Not):
        return _fails(predicate.child, facts)
    if isinstance(predicate, kept.Constant):
        return predicate.value is True
    if isinstance(predicate, kept.Compare):
        return facts(predicate.path).compares(predicate)
    if isinstance(predicate, kept.IsNull):
        fact = facts(predicate.path)
        return fact.is_there() if predicate.negated else fact.is_missing()
    return False


def _fails(predicate: kept.Predicate, facts: Facts) -> bool:
    """Whether it is exactly false."""
    if isinstance(predicate, kept.And):
        return any(_fails(child, facts) for child in predicate.children)
    if isinstance(predicate, kept.Or):
        return all(_fails(child, facts) for child in predicate.children)
    if isinstance(predicate, kept.Not):
        return _holds(predicate.child, facts)
    if isinstance(predicate, kept.Constant):
        return predicate.value is False
    if isinstance(predicate, kept.Compare):
        return _holds(replace(predicate, comparison=_OPPOSITE[predicate.comparison]), facts)
    if isinstance(predicate, kept.IsNull):
        return _holds(replace(predicate, negated=not predicate.negated), facts)
    return False


_SYMBOLS = {
    Comparison.EQUALS: "=",
    Comparison.NOT_EQUALS: "!=",
    Comparison.LESS_THAN: "<",
    Comparison.LESS_THAN_OR_EQUALS: "<=",
    Comparison.GREATER_THAN: ">",
    Comparison.GREATER_THAN_OR_EQUALS: ">=",
}
_OPPOSITE = {
    Comparison.EQUALS: Comparison.NOT_EQUALS,
    Comparison.NOT_EQUALS: Comparison.EQUALS,
    Comparison.LESS_THAN: Comparison.GREATER_THAN_OR_EQUALS,
    Comparison.LESS_THAN_OR_EQUALS: Comparison.GREATER_THAN,
    Comparison.GREATER_THAN: Comparison.LESS_THAN_OR_EQUALS,
    Comparison.GREATER_THAN_OR_EQUALS: Comparison.LESS_THAN,
}


# -- from the condition of an index to conditions --------------------------------------------------------------------


def _follows(condition: Predicate, parts: Sequence[kept.Predicate], kind: Descriptor) -> bool:
    """Whether a condition is true where all these are."""
    if not isinstance(condition, Compare):
        return False
    path = names(condition.path)
    own = None if path is None else field_at(path, kind)
    if own is None or own.has_default_value:
        return False  # to conditions of indexes an unset field has its default
    return any(
        isinstance(one, (kept.Compare, kept.IsNull)) and one.path == path and _says(one, condition, own)
        for one in parts
    )


def _says(one: kept.Compare | kept.IsNull, condition: Compare, own: FieldDescriptor) -> bool:
    operator = condition.operator
    if isinstance(one, kept.IsNull):
        if one.negated:
            return operator is Operator.NOT_NULL
        return operator is Operator.IS_NULL and own.has_presence
    if kind_of(own) != one.operand.kind:
        return False
    if operator is Operator.NOT_NULL:
        return True
    if isinstance(condition.value, tuple) and operator is not Operator.IN:
        return False
    if one.comparison is Comparison.EQUALS and not access.is_message(own):
        read, value = value_reader(own), one.operand.value
        try:
            return leaf(condition, own)(value if read is None else read(value), None) is True
        except WrongType:
            return False
    if _SAME.get(operator) is not one.comparison or not is_ordered(one.operand.element):
        return False
    if one.comparison in UPWARDS and is_float(own):
        return False  # a negative NaN, again
    return operands(condition, own) == [comparable(one.operand.element)]


_SAME = {
    Operator.NOT_EQUALS: Comparison.NOT_EQUALS,
    Operator.LESS: Comparison.LESS_THAN,
    Operator.LESS_OR_EQUAL: Comparison.LESS_THAN_OR_EQUALS,
    Operator.GREATER: Comparison.GREATER_THAN,
    Operator.GREATER_OR_EQUAL: Comparison.GREATER_THAN_OR_EQUALS,
}
