"""Conditions on records, and the values in them.

(field("price") < 10) & field("title").begins_with("A") | ~field("sold_at").is_null()
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from recordlayer.client.pb import filter_pb2, types_pb2
from recordlayer.errors import UsageError

_KINDS = {bool: "bool_value", int: "integer_value", float: "double_value", str: "string_value", bytes: "bytes_value"}


def value_of(given: Any) -> types_pb2.Value:
    """A Python value as one of the service; a datetime is a timestamp.  Raises  UsageError for other types"""
    if given is None:
        return types_pb2.Value(null_value="NULL_VALUE")
    made = types_pb2.Value()
    if isinstance(given, list | tuple | set | frozenset):
        made.list_value.SetInParent()
        made.list_value.values.extend(value_of(one) for one in given)
    elif isinstance(given, datetime):
        made.timestamp_value.FromDatetime(given)
    elif (kind := _KINDS.get(type(given))) is not None:
        setattr(made, kind, given)
    else:
        raise UsageError(what=f"a value of type {type(given).__name__}", hint="bool, int, float, str, bytes, datetime")
    return made


def python_of(value: types_pb2.Value) -> Any:
    """A value of the service as one of Python; messages and places stay the service's."""
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "list_value":
        return [python_of(one) for one in value.list_value.values]
    return getattr(value, kind)


@dataclass(frozen=True, eq=False)
class Condition:
    """Combined by &, | and ~."""

    filter: filter_pb2.Filter

    def __and__(self, other: Condition) -> Condition:
        return Condition(filter_pb2.Filter(all=filter_pb2.Filters(filters=[self.filter, other.filter])))

    def __or__(self, other: Condition) -> Condition:
        return Condition(filter_pb2.Filter(any=filter_pb2.Filters(filters=[self.filter, other.filter])))

    def __invert__(self) -> Condition:
        made = filter_pb2.Filter()
        getattr(made, "not").CopyFrom(self.filter)
        return Condition(made)

    def __bool__(self) -> bool:
        raise UsageError(what="a condition as a truth value", hint="combine conditions by &, | and ~, in brackets")


class field:  # noqa: N801  (reads as a word in conditions)
    """A field by name: "customer", "address.city", or "$name", "$created_at" and others of the system."""

    def __init__(self, name: str) -> None:
        self._name = name

    def compare(self, comparator: str, value: Any = None, *, distance: float = 0.0) -> Condition:
        """A comparison by the name that filter.proto has for it.  Raises  UsageError for another one"""
        if comparator not in dict(filter_pb2.Comparison.Comparator.items()):
            raise UsageError(what=f"no comparator {comparator}", hint="names are those of filter.proto")
        comparison = filter_pb2.Comparison(field=self._name, comparator=comparator, distance=distance)
        made = filter_pb2.Filter(comparison=comparison)
        if value is not None:
            made.comparison.value.CopyFrom(value_of(value))
        return Condition(made)

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        return self.is_null() if value is None else self.compare("EQUALS", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return ~self.is_null() if value is None else self.compare("NOT_EQUALS", value)

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, value: Any) -> Condition:
        return self.compare("LESS_THAN", value)

    def __le__(self, value: Any) -> Condition:
        return self.compare("LESS_THAN_OR_EQUALS", value)

    def __gt__(self, value: Any) -> Condition:
        return self.compare("GREATER_THAN", value)

    def __ge__(self, value: Any) -> Condition:
        return self.compare("GREATER_THAN_OR_EQUALS", value)

    def begins_with(self, prefix: str) -> Condition:
        return self.compare("BEGINS_WITH", prefix)

    def is_in(self, values: Any) -> Condition:
        return self.compare("IN", list(values))

    def contains(self, element: Any) -> Condition:
        """A list that has this element."""
        return self.compare("LIST_CONTAINS", element)

    def is_null(self) -> Condition:
        return self.compare("IS_NULL")
