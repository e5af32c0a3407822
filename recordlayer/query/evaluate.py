"""Predicates as functions from a message to true, false or unknown.

Made once for a plan and a record type: what can be looked up beforehand is not looked up for each record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from recordlayer.errors import QueryError, WrongType
from recordlayer.index.columns import value_converter
from recordlayer.keys import access
from recordlayer.keys.field import unknown_field
from recordlayer.query.comparison import TESTS, Operator
from recordlayer.query.predicate import And, Compare, Not, Or, Path, PathStep, Predicate, shown
from recordlayer.tuples import pack

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.pb.types import Descriptor, FieldDescriptor

Truth = bool | None
Decide = Callable[[Any], Truth]


def compiled(predicate: Predicate, descriptor: Descriptor) -> Decide:
    """A function that decides a predicate for messages of a type.

    Raises  UnknownField, WrongType, QueryError for what does not fit the type.
    """
    if isinstance(predicate, Compare):
        return _compare(predicate, descriptor)
    if isinstance(predicate, And):
        return _all([compiled(child, descriptor) for child in predicate.children])
    if isinstance(predicate, Or):
        return _any([compiled(child, descriptor) for child in predicate.children])
    if isinstance(predicate, Not):
        return _not(compiled(predicate.child, descriptor))
    raise WrongType(condition=predicate, hint='compare a field, as in q.customer == "ana"')


def _all(parts: list[Decide]) -> Decide:
    def decide(message: Any) -> Truth:
        decided: Truth = True
        for part in parts:
            one = part(message)
            if one is False:
                return False
            if one is None:
                decided = None
        return decided

    return decide


def _any(parts: list[Decide]) -> Decide:
    def decide(message: Any) -> Truth:
        decided: Truth = False
        for part in parts:
            one = part(message)
            if one is True:
                return True
            if one is None:
                decided = None
        return decided

    return decide


def _not(part: Decide) -> Decide:
    def decide(message: Any) -> Truth:
        one = part(message)
        return None if one is None else not one

    return decide


def _compare(comparison: Compare, descriptor: Descriptor) -> Decide:
    fields = resolve(comparison.path, descriptor)
    decide = _leaf(comparison, fields[-1])
    last = len(fields) - 1
    for place in range(last, -1, -1):
        decide = _through(fields[place], comparison.path[place], decide, leaf=place == last)
    return decide


def _leaf(comparison: Compare, field: FieldDescriptor) -> Decide:
    """Decides on the value of the last field; None is a field that is not set."""
    operator, path = comparison.operator, shown(comparison.path)
    if operator is Operator.IS_NULL:
        return lambda value: value is None
    if operator is Operator.NOT_NULL:
        return lambda value: value is not None
    if access.is_message(field) and not access.is_tuple_field(field.message_type):
        raise QueryError(field=path, hint=f"{field.name} holds a message: compare a field of it, or use is_null()")
    test, convert = TESTS[operator], value_converter(field)
    if operator is Operator.IN:
        operand: Any = frozenset(_comparable(field, convert(value)) for value in comparison.value)
    elif operator is Operator.STARTS_WITH:
        operand = convert(comparison.value)
        if not isinstance(operand, str):
            raise WrongType(field=path, value=operand, hint="only text has a beginning to look for")
    else:
        operand = _comparable(field, convert(comparison.value))
    return lambda value: None if value is None else test(value, operand)


def resolve(path: Path, descriptor: Descriptor) -> list[FieldDescriptor]:
    """The fields on a path.

    Raises  UnknownField; QueryError where a repeated field is used as one value, or the other way round.
    """
    fields: list[FieldDescriptor] = []
    for place, step in enumerate(path):
        field = descriptor.fields_by_name.get(step.name)
        if field is None:
            raise unknown_field(descriptor, step.name)
        if access.is_repeated(field) and not step.any:
            raise QueryError(
                field=shown(path), hint=f"{step.name} is repeated: write q.{shown(path[: place + 1])}.one_of_them()"
            )
        if step.any and not access.is_repeated(field):
            raise QueryError(field=shown(path), hint=f"{step.name} is not repeated: leave one_of_them() out")
        fields.append(field)
        if place < len(path) - 1:
            if not access.is_message(field):
                raise QueryError(field=shown(path), hint=f"{step.name} holds no message, so it has no fields")
            descriptor = field.message_type
    return fields


def _comparable(field: FieldDescriptor, value: Any) -> Any:
    """Floats as what they sort by; other values as they are."""
    return pack((value,)) if field.type in (access.TYPE_FLOAT, access.TYPE_DOUBLE) else value


def _through(field: FieldDescriptor, step: PathStep, inner: Decide, *, leaf: bool) -> Decide:
    """Decides on a message by what `inner` decides on one of its fields."""
    name = step.name
    value_of = _value_reader(field) if leaf else None
    if step.any:

        def decide_elements(message: Message | None) -> Truth:
            decided: Truth = False
            if message is None:
                return False
            for element in access.elements(message, field):
                one = inner(element if value_of is None else value_of(element))
                if one is True:
                    return True
                if one is None:
                    decided = None
            return decided

        return decide_elements
    if not field.has_presence:
        if value_of is None or value_of is _same:
            return lambda message: inner(None if message is None else getattr(message, name))
        read = value_of
        return lambda message: inner(None if message is None else read(getattr(message, name)))

    def decide(message: Message | None) -> Truth:
        if message is None or not message.HasField(name):
            return inner(None)
        value = getattr(message, name)
        return inner(value if value_of is None else value_of(value))

    return decide


def _same(value: Any) -> Any:
    return value


def _value_reader(field: FieldDescriptor) -> Callable[[Any], Any]:
    """From a field's value to what comparisons look at."""
    if field.type in (access.TYPE_FLOAT, access.TYPE_DOUBLE):
        return lambda value: pack((access.column(field, value),))
    if access.is_message(field) and not access.is_repeated(field):
        return lambda value: access.column(field, value)
    return _same
