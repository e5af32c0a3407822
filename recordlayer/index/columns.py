"""The columns of a key expression as fields, and values that people write as elements of those columns.

A double column holds doubles, so 3 must become 3.0 before it is packed; an enum column holds numbers, so "PAID" must
become its number. What cannot be meant is refused rather than not found.

A field without presence (proto3 without `optional`) that holds its default is a null in keys, as in Java: nobody can
tell it from one that was never set. Whoever looks for that default means those.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf.descriptor import FieldDescriptor as FieldTypes

from recordlayer.errors import WrongType
from recordlayer.keys import FanType, Field, KeyExpression, Nesting, NullInterpretation, access
from recordlayer.tuples import SingleFloat

if TYPE_CHECKING:
    from recordlayer.pb.types import Descriptor, FieldDescriptor

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class FieldColumn:
    """A column that holds a field.

    path      names from the record down to the field
    fans_out  how many of them are repeated and give a row for each element
    whole     a repeated field as one list, not element by element
    defaults  a field that is not set is there with its default: unset and default cannot be told apart
    """

    path: tuple[str, ...]
    fans_out: tuple[bool, ...]
    whole: bool
    defaults: bool
    field: FieldDescriptor

    @property
    def repeats(self) -> bool:
        return any(self.fans_out)


def field_column(expression: KeyExpression, descriptor: Descriptor) -> FieldColumn | None:
    """What a normalized column of an expression holds, if it is a field; None for constants, functions and the like."""
    path: list[str] = []
    fans_out: list[bool] = []
    defaults = False
    while isinstance(expression, Nesting):
        path.append(expression.parent.name)
        fans_out.append(expression.parent.fan_type is FanType.FAN_OUT)
        defaults |= expression.parent.nulls is NullInterpretation.NOT_NULL
        parent = descriptor.fields_by_name.get(expression.parent.name)
        if parent is None or parent.message_type is None:
            return None
        descriptor = parent.message_type
        expression = expression.child
    if not isinstance(expression, Field):
        return None
    found = descriptor.fields_by_name.get(expression.name)
    if found is None:
        return None
    path.append(expression.name)
    fans_out.append(expression.fan_type is FanType.FAN_OUT)
    defaults |= expression.nulls is NullInterpretation.NOT_NULL
    return FieldColumn(tuple(path), tuple(fans_out), expression.fan_type is FanType.CONCATENATE, defaults, found)


def as_is(value: Any) -> Any:
    """For columns of which nothing is known."""
    return value


def converter(field: FieldDescriptor | None) -> Convert:
    """A function from a value to the element that stands for it in the field's column; None stays None.

    The function raises  WrongType.
    """
    if field is None:
        return as_is
    convert = value_converter(field)
    if field.has_presence or access.is_repeated(field):
        return convert
    default = convert(field.default_value)

    def without_presence(value: Any) -> Any:
        element = convert(value)
        if element == default and not (isinstance(element, float) and math.copysign(1.0, element) < 0):
            return None
        return element

    setattr(without_presence, _KEEPS, kept_by(convert))
    return without_presence


_KEEPS = "keeps"


def kept_by(convert: Convert) -> type | None:
    """The type of which a function of `converter` gives all values as they are, save defaults; None for none."""
    found: type | None = getattr(convert, _KEEPS, None)
    return found


def value_converter(field: FieldDescriptor) -> Convert:
    """A function from a value to one that compares with the field's values; the default of a field without presence
    stays itself.  The function raises  WrongType."""
    if access.is_message(field):
        return _of_message(field)
    if field.enum_type is not None:
        return _of_enum(field)
    types = FieldTypes
    if field.type == types.TYPE_FLOAT:
        return _checked(field, (int, float, SingleFloat), "a number", _single)
    if field.type == types.TYPE_DOUBLE:
        return _checked(field, (int, float), "a number", float)
    if field.type == types.TYPE_BOOL:
        return _checked(field, (bool,), "True or False", as_is)
    if field.type == types.TYPE_STRING:
        return _checked(field, (str,), "a string", as_is)
    if field.type == types.TYPE_BYTES:
        return _checked(field, (bytes,), "bytes", as_is)
    return _checked(field, (int,), "an integer", as_is)


def _single(value: Any) -> SingleFloat:
    return value if isinstance(value, SingleFloat) else SingleFloat(value)


def _checked(field: FieldDescriptor, types: tuple[type, ...], words: str, convert: Convert) -> Convert:
    name = field.name
    takes_bool = bool in types
    (kept,) = types if convert is as_is else (None,)

    def checked(value: Any) -> Any:
        if type(value) is kept or value is None:
            return value
        if not isinstance(value, types) or (isinstance(value, bool) and not takes_bool):
            raise WrongType(field=name, value=value, hint=f"{name} takes {words}")
        return convert(value)

    setattr(checked, _KEEPS, kept)
    return checked


def _of_enum(field: FieldDescriptor) -> Convert:
    enum = field.enum_type
    assert enum is not None, "only asked for enum fields"

    def number_of(value: Any) -> Any:
        if isinstance(value, str):
            found = enum.values_by_name.get(value)
            if found is not None:
                return found.number
        elif value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        names = ", ".join(enum.values_by_name)
        raise WrongType(field=field.name, value=value, hint=f"{field.name} takes a number or one of {names}")

    return number_of


def _of_message(field: FieldDescriptor) -> Convert:
    name = field.message_type.full_name
    convert = access.TUPLE_FIELDS.get(name)

    def element_of(value: Any) -> Any:
        if convert is not None and getattr(getattr(value, "DESCRIPTOR", None), "full_name", None) == name:
            return convert(value)
        if name.endswith(".UUID") and value is not None and not isinstance(value, UUID):
            raise WrongType(field=field.name, value=value, hint=f"{field.name} takes a uuid.UUID")
        return value

    return element_of
