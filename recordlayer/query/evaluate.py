"""Predicates as functions from a message to true, false or unknown.

Made once for a plan and a record type: what can be looked up beforehand is not looked up for each record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from recordlayer.errors import QueryError, WrongType
from recordlayer.keys import access
from recordlayer.keys.field import unknown_field
from recordlayer.query.comparison import Operator
from recordlayer.query.decide import Decide, Truth, leaf, map_key, on_key, on_list, on_rank, value_reader
from recordlayer.query.near import is_near
from recordlayer.query.predicate import (
    And,
    Compare,
    CompareKey,
    CompareRank,
    Elements,
    IsType,
    Matches,
    Near,
    Not,
    NotTrue,
    Or,
    Path,
    PathStep,
    Predicate,
    shown,
)

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.metadata import RecordType
    from recordlayer.pb.types import Descriptor, FieldDescriptor


def compiled(predicate: Predicate, record_type: RecordType) -> Decide:
    """A function that decides a predicate for records of a type: it takes the message and the record it is of.

    Raises  UnknownField, WrongType, QueryError for what does not fit the type.
    """
    return _compiled(predicate, record_type.descriptor, record_type.name)


def _compiled(predicate: Predicate, descriptor: Descriptor, type_name: str) -> Decide:
    if isinstance(predicate, Compare):
        return _compare(predicate, descriptor)
    if isinstance(predicate, And):
        return all_of([_compiled(child, descriptor, type_name) for child in predicate.children])
    if isinstance(predicate, Or):
        return any_of([_compiled(child, descriptor, type_name) for child in predicate.children])
    if isinstance(predicate, Not):
        return _not(_compiled(predicate.child, descriptor, type_name))
    if isinstance(predicate, NotTrue):
        child = _compiled(predicate.child, descriptor, type_name)
        return lambda message, record: child(message, record) is not True
    if isinstance(predicate, Matches):
        return _matches(predicate, descriptor, type_name)
    if isinstance(predicate, Near):
        fields = resolve((*predicate.path, PathStep("latitude")), descriptor)
        resolve((*predicate.path, PathStep("longitude")), descriptor)
        return _along(predicate.path, descriptor, is_near(predicate, fields[-1].containing_type), None)
    if isinstance(predicate, CompareKey):
        return on_key(predicate, descriptor)
    if isinstance(predicate, CompareRank):
        return on_rank(predicate, descriptor)
    if isinstance(predicate, IsType):
        known = type_name in predicate.names
        return lambda message, record: known
    raise WrongType(condition=predicate, hint='compare a field, as in q.customer == "ana"')


def all_of(parts: list[Decide]) -> Decide:
    """Decides whether all are true."""

    def decide(message: Any, record: Any) -> Truth:
        decided: Truth = True
        for part in parts:
            one = part(message, record)
            if one is False:
                return False
            if one is None:
                decided = None
        return decided

    return decide


def any_of(parts: list[Decide]) -> Decide:
    """Decides whether one of them is true."""

    def decide(message: Any, record: Any) -> Truth:
        decided: Truth = False
        for part in parts:
            one = part(message, record)
            if one is True:
                return True
            if one is None:
                decided = None
        return decided

    return decide


def _not(part: Decide) -> Decide:
    def decide(message: Any, record: Any) -> Truth:
        one = part(message, record)
        return None if one is None else not one

    return decide


# -- along a path ----------------------------------------------------------------------------------------------------


def comparing(comparison: Compare, descriptor: Descriptor) -> Callable[[Any], Decide]:
    """From a value to what decides this comparison with that value in the place of its own: all but the value is looked
    up once.  Raises  as `compiled`; so does the function."""
    path = comparison.path
    as_list = _is_about_list(comparison)
    fields = resolve(path, descriptor, as_list=as_list)
    end = on_list if as_list else leaf
    read = None if as_list else value_reader(fields[-1])
    operator, last = comparison.operator, fields[-1]
    above = _fields_along(path, descriptor)
    return lambda value: _through_all(above, path, end(Compare(path, operator, value), last), read)


def _compare(comparison: Compare, descriptor: Descriptor) -> Decide:
    return comparing(comparison, descriptor)(comparison.value)


def _is_about_list(comparison: Compare) -> bool:
    return comparison.operator.on_list or (
        isinstance(comparison.value, tuple) and comparison.operator is not Operator.IN and not comparison.path[-1].any
    )


def _matches(predicate: Matches, descriptor: Descriptor, type_name: str) -> Decide:
    fields = resolve(predicate.path, descriptor)
    last = fields[-1]
    if not access.is_message(last) or access.is_tuple_field(last.message_type):
        raise QueryError(field=shown(predicate.path), hint=f"{last.name} holds no message: compare it itself")
    inner = _compiled(predicate.child, last.message_type, type_name)
    return _along(predicate.path, descriptor, inner, None)


def _along(path: Path, descriptor: Descriptor, decide: Decide, read: Callable[[Any], Any] | None) -> Decide:
    """Decides on a message by what is decided on the end of a path; `read` turns the field there into a value."""
    return _through_all(_fields_along(path, descriptor), path, decide, read)


def _fields_along(path: Path, descriptor: Descriptor) -> list[FieldDescriptor]:
    """The fields that the steps of a path name."""
    fields: list[FieldDescriptor] = []
    for step in path:
        field = descriptor.fields_by_name[step.name]
        fields.append(field)
        inner = field.message_type
        if step.entry is not None and inner is not None:
            inner = inner.fields_by_name["value"].message_type
        if inner is not None:
            descriptor = inner
    return fields


def _through_all(
    fields: list[FieldDescriptor], path: Path, decide: Decide, read: Callable[[Any], Any] | None
) -> Decide:
    for place in range(len(path) - 1, -1, -1):
        decide = _through(fields[place], path[place], decide, read)
        read = None
    return decide


def _through(field: FieldDescriptor, step: PathStep, inner: Decide, read: Callable[[Any], Any] | None) -> Decide:
    """Decides on a message by what `inner` decides on one of its fields."""
    if step.entry is not None:
        return _through_entry(field, step, inner, read)
    if step.any:
        return _through_elements(field, step.of, inner, read)
    name = step.name
    if not field.has_presence:
        if read is None:
            return lambda message, record: inner(None if message is None else getattr(message, name), record)
        reader = read
        return lambda message, record: inner(None if message is None else reader(getattr(message, name)), record)

    def decide(message: Message | None, record: Any) -> Truth:
        if message is None or not message.HasField(name):
            return inner(None, record)
        value = getattr(message, name)
        return inner(value if read is None else read(value), record)

    return decide


def _through_elements(field: FieldDescriptor, of: Elements, inner: Decide, read: Callable[[Any], Any] | None) -> Decide:
    decisive = of is not Elements.ALL
    """What one element has to be for the others not to matter."""
    if_empty: Truth = None if of is Elements.ANY_OR_UNKNOWN else not decisive

    def decide(message: Message | None, record: Any) -> Truth:
        elements: Iterable[Any] = () if message is None else access.elements(message, field)
        if not elements:
            return if_empty
        decided: Truth = not decisive
        for element in elements:
            one = inner(element if read is None else read(element), record)
            if one is decisive:
                return one
            if one is None:
                decided = None
        return decided

    return decide


def _through_entry(field: FieldDescriptor, step: PathStep, inner: Decide, read: Callable[[Any], Any] | None) -> Decide:
    name = step.name
    key = map_key(field, step)

    def decide(message: Any, record: Any) -> Truth:
        if message is None:
            return inner(None, record)
        entries = getattr(message, name)
        if key not in entries:
            return inner(None, record)
        value = entries[key]
        return inner(value if read is None else read(value), record)

    return decide


def resolve(path: Path, descriptor: Descriptor, *, as_list: bool = False) -> list[FieldDescriptor]:
    """The fields on a path; for an entry of a map, that of its value. `as_list`: the last one is repeated and meant as
    a whole.

    Raises  UnknownField; QueryError where a repeated field is used as one value, or the other way round.
    """
    fields: list[FieldDescriptor] = []
    for place, step in enumerate(path):
        field = descriptor.fields_by_name.get(step.name)
        if field is None:
            raise unknown_field(descriptor, step.name)
        whole = as_list and place == len(path) - 1
        _check_step(field, step, path, place, whole=whole)
        if step.entry is not None:
            map_key(field, step)
            field = field.message_type.fields_by_name["value"]
        fields.append(field)
        if place < len(path) - 1:
            if not access.is_message(field):
                raise QueryError(field=shown(path), hint=f"{step.name} holds no message, so it has no fields")
            descriptor = field.message_type
    return fields


def _check_step(field: FieldDescriptor, step: PathStep, path: Path, place: int, *, whole: bool) -> None:
    name, hint = step.name, ""
    if step.entry is not None:
        hint = "" if access.is_map(field) else f"{name} is no map: leave entry() out"
    elif not access.is_repeated(field):
        if step.any:
            hint = f"{name} is not repeated: leave one_of_them() out"
        elif whole:
            hint = f"{name} is not repeated: it is never empty, and no list"
    elif not step.any and not whole:
        here = shown(path[: place + 1])
        entry = f', or q.{here}.entry("key") for one of its values' if access.is_map(field) else ""
        hint = f"{name} is repeated: write q.{here}.one_of_them(){entry}"
    if hint:
        raise QueryError(field=shown(path), hint=hint)
