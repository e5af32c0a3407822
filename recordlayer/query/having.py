"""Conditions on rows: what a query asks of its groups. SQL's three values, as for records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from recordlayer.errors import QueryError, WrongType
from recordlayer.query.comparison import TESTS, Operator
from recordlayer.query.decide import Truth, check_bound
from recordlayer.query.pattern import Pattern
from recordlayer.query.predicate import And, Compare, Not, Or, Predicate, shown, walk
from recordlayer.query.rows import Row

Test = Callable[[Row], Truth]


def check(condition: Predicate, names: Sequence[str]) -> None:
    """Raises  QueryError for a condition on something that rows do not have."""
    for one in walk(condition):
        if isinstance(one, (And, Or, Not)):
            continue
        if not isinstance(one, Compare) or one.operator is Operator.TEXT or one.operator.on_list:
            raise QueryError(condition=str(one), hint="groups take comparisons of their values, &, | and ~")
        if shown(one.path) not in names:
            raise QueryError(condition=str(one), hint=f"groups have {', '.join(names)}")


def decider(condition: Predicate) -> Test:
    """A function that decides a condition on a row.  Raises  UsageError for a parameter without a value."""
    if isinstance(condition, And):
        return _combined([decider(one) for one in condition.children], decisive=False)
    if isinstance(condition, Or):
        return _combined([decider(one) for one in condition.children], decisive=True)
    if isinstance(condition, Not):
        inner = decider(condition.child)
        return lambda row: None if (one := inner(row)) is None else not one
    assert isinstance(condition, Compare), "checked before"
    return _compare(condition)


def _combined(parts: list[Test], *, decisive: bool) -> Test:
    def decide(row: Row) -> Truth:
        found = [part(row) for part in parts]
        return decisive if decisive in found else None if None in found else not decisive

    return decide


def _compare(condition: Compare) -> Test:
    name, operator, operand = shown(condition.path), condition.operator, condition.value
    check_bound(name, operand)
    if operator is Operator.IS_NULL:
        return lambda row: row[name] is None
    if operator is Operator.NOT_NULL:
        return lambda row: row[name] is not None
    if operator is Operator.DISTINCT:
        return lambda row: bool(row[name] != operand)
    if operator is Operator.NOT_DISTINCT:
        return lambda row: bool(row[name] == operand)
    if operator is Operator.LIKE:
        assert isinstance(operand, Pattern), "made by `like`"
        test: Callable[[Any, Any], bool] = lambda value, pattern: matches(value)  # noqa: E731  (as those of TESTS)
        matches = operand.matcher()
    else:
        test = TESTS[operator]

    def decide(row: Row) -> Truth:
        value = row[name]
        if value is None:
            return None
        try:
            return test(value, operand)
        except (TypeError, AttributeError) as error:
            raise WrongType(column=name, value=value, compared_with=operand) from error

    return decide
