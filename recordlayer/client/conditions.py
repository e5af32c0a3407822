"""Conditions of the library as filters of the service.

    zone.query(Order, (q.total >= 500) & q.customer.starts_with("a") | q.tags.contains("new"))

A program writes the same `q.total >= 500` for a store of its own and for a server's. Fields of the system are
q["$name"], q["$created_at"], q["$created_by"], q["$modified_at"] and q["$modified_by"]. The service knows fewer
conditions than the library; what it has no word for is refused here, before anything is sent.
"""

from __future__ import annotations

from typing import Any, NoReturn

from recordlayer.client.pb import filter_pb2, types_pb2
from recordlayer.client.values import value_of
from recordlayer.errors import UsageError, WrongType
from recordlayer.query.comparison import Operator
from recordlayer.query.near import near
from recordlayer.query.pattern import Pattern
from recordlayer.query.predicate import And, Compare, Elements, Near, Not, Or, Parameter, Path, Predicate
from recordlayer.query.words import Kind, Words

_PLAIN = {
    Operator.EQUALS: "EQUALS",
    Operator.NOT_EQUALS: "NOT_EQUALS",
    Operator.LESS: "LESS_THAN",
    Operator.LESS_OR_EQUAL: "LESS_THAN_OR_EQUALS",
    Operator.GREATER: "GREATER_THAN",
    Operator.GREATER_OR_EQUAL: "GREATER_THAN_OR_EQUALS",
    Operator.STARTS_WITH: "BEGINS_WITH",
    Operator.IN: "IN",
    Operator.IS_NULL: "IS_NULL",
    Operator.NOT_NULL: "NOT_NULL",
    Operator.IS_EMPTY: "IS_NULL",
    Operator.NOT_EMPTY: "NOT_NULL",
}
_OF_ELEMENTS = {
    Operator.EQUALS: "LIST_CONTAINS",
    Operator.IN: "LIST_CONTAINS_ANY",
    Operator.STARTS_WITH: "LIST_MEMBER_BEGINS_WITH",
}
_OF_WORDS = {Kind.ALL: "CONTAINS_ALL_TOKENS", Kind.ANY: "CONTAINS_ANY_TOKENS"}


def filter_of(condition: Predicate) -> filter_pb2.Filter:
    """The filter that selects the same records.

    Raises  WrongType for what is no condition; UsageError for one that the service has no word for, and for values that
            are yet to be bound
    """
    if not isinstance(condition, Predicate):
        raise WrongType(condition=condition, hint='give a condition of the library: q.customer == "ana"')
    made = filter_pb2.Filter()
    if isinstance(condition, And):
        implied = [bound for one in condition.children if isinstance(one, Near) for bound in _bounds(one)]
        parts = [one for one in condition.children if one not in implied]
        if len(parts) == 1:
            return filter_of(parts[0])
        made.all.filters.extend(map(filter_of, parts))
    elif isinstance(condition, Or):
        made.any.filters.extend(map(filter_of, condition.children))
    elif isinstance(condition, Not):
        getattr(made, "not").CopyFrom(filter_of(condition.child))
    elif isinstance(condition, Near):
        point = types_pb2.GeoPoint(latitude=condition.latitude, longitude=condition.longitude)
        field = _plain(condition.path, condition)
        made.comparison.MergeFrom(filter_pb2.Comparison(field=field, comparator="NEAR", distance=condition.within))
        made.comparison.value.location_value.CopyFrom(point)
    elif isinstance(condition, Compare):
        return _comparison(condition)
    else:
        _unknown(condition)
    return made


def _bounds(place: Near) -> tuple[Predicate, ...]:
    """What the library says beside a condition on a place, for its indexes: the service says it again by itself."""
    whole = near(place.path, place.latitude, place.longitude, place.within)
    return tuple(part for part in whole.parts if not isinstance(part, Near))


def _comparison(condition: Compare) -> filter_pb2.Filter:
    path, operator, value = condition.path, condition.operator, condition.value
    if isinstance(value, Parameter):
        raise UsageError(condition=str(condition), hint="a call of the service binds no values: write them out")
    if operator is Operator.DISTINCT:  # as in SQL, by the words that there are
        return filter_of(Or((Compare(path, Operator.NOT_EQUALS, value), Compare(path, Operator.IS_NULL))))
    if operator is Operator.NOT_DISTINCT:
        return filter_of(And((Compare(path, Operator.EQUALS, value), Compare(path, Operator.NOT_NULL))))
    if isinstance(value, Pattern):
        if not value.is_start:
            _unknown(condition)
        operator, value = Operator.STARTS_WITH, value.start
    comparator = _OF_ELEMENTS.get(operator) if any(step.any for step in path) else _PLAIN.get(operator)
    if isinstance(value, Words):
        comparator = _OF_WORDS.get(value.kind) if value.tokenizer is None else None
        value = value.tokens
    if comparator is None or any(step.entry is not None or step.of is not Elements.ANY for step in path):
        _unknown(condition)
    comparison = filter_pb2.Comparison(field=".".join(step.name for step in path), comparator=comparator)
    if operator.takes_value:
        comparison.value.CopyFrom(value_of(value))
    return filter_pb2.Filter(comparison=comparison)


def _plain(path: Path, condition: Predicate) -> str:
    if any(step.any or step.entry is not None for step in path):
        _unknown(condition)
    return ".".join(step.name for step in path)


def _unknown(condition: Any) -> NoReturn:
    raise UsageError(
        condition=str(condition),
        hint="the service has no word for this: protos/recordlayer/v1/filter.proto has those that it knows",
    )
