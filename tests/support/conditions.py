"""Conditions drawn together with functions on dictionaries that decide them in three values: the oracle of queries
knows nothing of protobuf, tuples or plans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from hypothesis import strategies as st

import recordlayer as rl
from recordlayer.query.predicate import Predicate

Truth = bool | None
Decide = Callable[[dict[str, Any]], Truth]


@dataclass(frozen=True)
class Condition:
    """A predicate and the same as a function on a dictionary."""

    predicate: Predicate
    decide: Decide

    def __repr__(self) -> str:
        return str(self.predicate)


def at(name: str) -> Any:
    """The field of a record, or of a message in it: "total", "order.total"."""
    return reduce(lambda path, step: path[step], name.split("."), rl.q)


def compare_with(name: str, values: list[Any]) -> st.SearchStrategy[Condition]:
    path = at(name)
    operators: dict[str, tuple[Callable[[Any], Predicate], Callable[[Any, Any], bool]]] = {
        "==": (lambda v: path == v, lambda a, b: a == b),
        "!=": (lambda v: path != v, lambda a, b: a != b),
        "<": (lambda v: path < v, lambda a, b: a < b),
        "<=": (lambda v: path <= v, lambda a, b: a <= b),
        ">": (lambda v: path > v, lambda a, b: a > b),
        ">=": (lambda v: path >= v, lambda a, b: a >= b),
    }
    if isinstance(values[0], str):
        operators["starts"] = (path.starts_with, lambda a, b: a.startswith(b))

    def made(operator: str, value: Any) -> Condition:
        build, test = operators[operator]
        return Condition(build(value), lambda row: None if row[name] is None else test(row[name], value))

    return st.builds(made, st.sampled_from(sorted(operators)), st.sampled_from(values))


def one_of(name: str, values: list[Any]) -> st.SearchStrategy[Condition]:
    def made(chosen: list[Any]) -> Condition:
        return Condition(at(name).in_(chosen), lambda row: None if row[name] is None else row[name] in chosen)

    return st.builds(made, st.lists(st.sampled_from(values), max_size=3))


def like(pattern: str, test: Callable[[str], bool]) -> Condition:
    return Condition(
        rl.q.customer.like(pattern), lambda row: None if row["customer"] is None else test(row["customer"])
    )


def same(name: str, value: Any) -> Condition:
    return Condition(at(name).is_not_distinct_from(value), lambda row: row[name] == value)


def pair(value: str, number: int) -> Condition:
    """A key expression on two columns: a field without presence that holds its default is null there."""

    def decide(row: dict[str, Any]) -> Truth:
        left = row["customer"], row["total"]
        if None in left or (not row["presence"] and not all(left)):
            return None
        return left >= (value, number)

    return Condition(rl.q(rl.concat("customer", "total")) >= (value, number), decide)


def is_null(name: str) -> Condition:
    return Condition(at(name).is_null(), lambda row: row[name] is None)


def not_null(name: str) -> Condition:
    return Condition(at(name).not_null(), lambda row: row[name] is not None)


def some_tag(least: bool, tag: str) -> Condition:
    element = rl.q.tags.one_of_them()
    if least:
        return Condition(element >= tag, lambda row: any(one >= tag for one in row["tags"]))
    return Condition(element == tag, lambda row: tag in row["tags"])


def both(one: Condition, other: Condition) -> Condition:
    def decide(row: dict[str, Any]) -> Truth:
        found = one.decide(row), other.decide(row)
        return False if False in found else None if None in found else True

    return Condition(one.predicate & other.predicate, decide)


def either(one: Condition, other: Condition) -> Condition:
    def decide(row: dict[str, Any]) -> Truth:
        found = one.decide(row), other.decide(row)
        return True if True in found else None if None in found else False

    return Condition(one.predicate | other.predicate, decide)


def negated(one: Condition) -> Condition:
    def decide(row: dict[str, Any]) -> Truth:
        found = one.decide(row)
        return None if found is None else not found

    return Condition(~one.predicate, decide)
