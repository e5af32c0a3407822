"""Conditions in the forms that indexes understand: what must be true, negations at the leaves, common parts first.

All of this is about what must be *true*: there false and unknown are alike. Below a negation they are not, so what is
rewritten there keeps all three values.

    not (a = 1 or b < 2)               a != 1, b >= 2
    (a = 1 and b = 2) or (a = 1 and c = 3)   a = 1, (a = 1 and b = 2) or (a = 1 and c = 3)
    a = 1 or (b = 2 and (c = 3 or d = 4))    alternatives: [a = 1] [b = 2, c = 3] [b = 2, d = 4]

Source  Record Layer, BooleanNormalizer: forms that would grow beyond a bound are not made
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from recordlayer.keys import Then
from recordlayer.query.comparison import Operator
from recordlayer.query.pattern import Pattern
from recordlayer.query.predicate import (
    And,
    Compare,
    CompareKey,
    CompareRank,
    Elements,
    Matches,
    Not,
    Or,
    Path,
    Predicate,
    conjuncts,
)
from recordlayer.query.slot import each_once

MOST_ALTERNATIVES = 32
"""A union of more scans costs more to plan and to merge than it saves."""

Branch = tuple[Predicate, ...]

_OPPOSITE = {
    Operator.EQUALS: Operator.NOT_EQUALS,
    Operator.NOT_EQUALS: Operator.EQUALS,
    Operator.LESS: Operator.GREATER_OR_EQUAL,
    Operator.GREATER_OR_EQUAL: Operator.LESS,
    Operator.GREATER: Operator.LESS_OR_EQUAL,
    Operator.LESS_OR_EQUAL: Operator.GREATER,
    Operator.IS_NULL: Operator.NOT_NULL,
    Operator.NOT_NULL: Operator.IS_NULL,
    Operator.DISTINCT: Operator.NOT_DISTINCT,
    Operator.NOT_DISTINCT: Operator.DISTINCT,
}


def normalized(condition: Predicate | None) -> tuple[Predicate, ...]:
    """What all must be true for a condition to be true, each in words that indexes understand."""
    found: list[Predicate] = []
    for one in conjuncts(None if condition is None else _pushed(condition)):
        for part in normal(one):
            found += [common for common in _common(part) if common not in found]
            if part not in found:
                found.append(part)
    return tuple(found)


def normal(condition: Predicate) -> tuple[Predicate, ...]:
    """Conditions that are true where this one is, in words that indexes understand."""
    if isinstance(condition, CompareKey):
        return _by_column(condition)
    if isinstance(condition, Matches):
        return (*_of_elements(condition), condition)
    if not isinstance(condition, Compare):
        return (condition,)
    if any(step.of is Elements.ANY_OR_UNKNOWN for step in condition.path):
        path = tuple(
            replace(step, of=Elements.ANY) if step.of is Elements.ANY_OR_UNKNOWN else step for step in condition.path
        )
        condition = replace(condition, path=path)
    if condition.operator is Operator.NOT_DISTINCT:
        return (replace(condition, operator=Operator.EQUALS),)
    pattern = condition.value
    if condition.operator is Operator.LIKE and isinstance(pattern, Pattern) and pattern.start:
        begins = replace(condition, operator=Operator.STARTS_WITH, value=pattern.start)
        if pattern.is_start:
            return (begins,)
        if not any(wild for wild, _ in pattern.parts()):
            return (replace(condition, operator=Operator.EQUALS, value=pattern.start),)
        return begins, condition
    return (condition,)


def _of_elements(condition: Matches) -> Branch:
    """What is true of some element where several conditions are true of one and the same: an index on a field of the
    elements finds all records that come into question."""
    if not _of_any(condition.path):
        return ()
    return tuple(
        [
            Compare((*condition.path, *one.path), one.operator, one.value)
            for one in conjuncts(condition.child)
            if isinstance(one, Compare) and one.operator in _FINDING and not any(step.any for step in one.path)
        ]
    )


_FINDING = (
    Operator.EQUALS,
    Operator.LESS,
    Operator.LESS_OR_EQUAL,
    Operator.GREATER,
    Operator.GREATER_OR_EQUAL,
    Operator.STARTS_WITH,
    Operator.IN,
)


def _by_column(condition: CompareKey) -> tuple[Predicate, ...]:
    """That several columns equal a tuple, as conditions on each of them."""
    if condition.operator is Operator.NOT_DISTINCT:
        condition = replace(condition, operator=Operator.EQUALS)
    expression, value = condition.expression, condition.value
    if condition.operator is not Operator.EQUALS or condition.any or not isinstance(expression, Then):
        return (condition,)
    columns = expression.normalized()
    if not isinstance(value, tuple) or len(value) != len(columns) or expression.creates_duplicates or None in value:
        return (condition,)
    return tuple([CompareKey(column, Operator.EQUALS, one) for column, one in zip(columns, value, strict=True)])


def _pushed(condition: Predicate) -> Predicate:
    """The same condition with its negations as far down as they go, in all three values."""
    if isinstance(condition, (And, Or)):
        return type(condition)(tuple([_pushed(child) for child in condition.children]))
    if isinstance(condition, Not):
        return _opposite(condition.child)
    return condition


def _opposite(condition: Predicate) -> Predicate:
    if isinstance(condition, Not):
        return _pushed(condition.child)
    if isinstance(condition, And):
        return Or(tuple([_opposite(child) for child in condition.children]))
    if isinstance(condition, Or):
        return And(tuple([_opposite(child) for child in condition.children]))
    if isinstance(condition, (Compare, CompareKey, CompareRank)) and _is_of_one_value(condition):
        operator = _OPPOSITE.get(condition.operator)
        if operator is not None:
            return replace(condition, operator=operator)
    return Not(condition)


def _is_of_one_value(condition: Compare | CompareKey | CompareRank) -> bool:
    """Whether it is about one value, of which the opposite holds wherever it is known and the condition does not."""
    if isinstance(condition, Compare):
        return not isinstance(condition.value, tuple) and not any(step.any for step in condition.path)
    return not (isinstance(condition, CompareKey) and condition.any)


def _common(condition: Predicate) -> tuple[Predicate, ...]:
    """What all alternatives of a condition have in common."""
    if not isinstance(condition, Or):
        return ()
    first, *others = [[part for one in conjuncts(child) for part in normal(one)] for child in condition.children]
    return tuple([one for one in first if all(one in other for other in others)])


def alternatives(condition: Predicate, *, most: int = MOST_ALTERNATIVES) -> list[Branch]:
    """The branches of which one must be true, each with what must be true in it; none if there would be too many, or
    only one."""
    found = _branches(condition, most)
    return [] if found is None or len(found) < 2 else [_flat(branch) for branch in found]


def _branches(condition: Predicate, most: int) -> list[Branch] | None:
    if isinstance(condition, Or):
        found: list[Branch] = []
        for child in condition.children:
            below = _branches(child, most)
            if below is None or len(found) + len(below) > most:
                return None
            found += below
        return found
    if isinstance(condition, And):
        parts: list[list[Branch]] = []
        size = 1
        for child in condition.children:
            below = _branches(child, most)
            if below is None or size * len(below) > most:
                below = [(child,)]  # it is tested as it is
            size *= len(below)
            parts.append(below)
        return [sum(chosen, ()) for chosen in product(*parts)]
    if isinstance(condition, Compare) and condition.operator is Operator.IN and _of_any(condition.path):
        values = each_once(condition.value)
        if 2 <= len(values) <= most:
            return [(Compare(condition.path, Operator.EQUALS, value),) for value in values]
    return [(condition,)]


def _of_any(path: Path) -> bool:
    """Whether one element is enough: then "one is among these" is "one is this, or one is that"."""
    return all(step.of is not Elements.ALL for step in path if step.any)


def _flat(branch: Sequence[Predicate]) -> Branch:
    """Conditions in words that indexes understand, each once."""
    return tuple(dict.fromkeys([part for one in branch for part in normal(one)]))
