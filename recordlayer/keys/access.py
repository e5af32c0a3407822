"""Reading protobuf fields as columns: which value becomes which element of a tuple.

float fields become `SingleFloat` (32 bits in a tuple), enums their number, and the messages of Java's
`tuple_fields.proto` (UUID and the nullable scalars) their value. Nothing here needs generated code or Java's files:
such messages are known by their full names.

Source  Record Layer: FieldKeyExpression, TupleFieldsHelper, TupleTypeUtil
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor as Types

from recordlayer.pb.nans import with_nans
from recordlayer.tuples import SingleFloat

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.pb.types import Descriptor, FieldDescriptor

TYPE_FLOAT = Types.TYPE_FLOAT
TYPE_STRING = Types.TYPE_STRING
TYPE_DOUBLE = Types.TYPE_DOUBLE
CPPTYPE_MESSAGE = Types.CPPTYPE_MESSAGE

_PACKAGE = "com.apple.foundationdb.record."
_SIXTY_FOUR = (1 << 64) - 1


def uuid_of(message: Any) -> UUID:
    """The UUID in a message of Java's type UUID: two signed halves."""
    high, low = message.most_significant_bits & _SIXTY_FOUR, message.least_significant_bits & _SIXTY_FOUR
    return UUID(int=high << 64 | low)


def _value_of(message: Any) -> Any:
    return message.value


def _text_of(message: Any) -> str:
    text: str | bytes = message.value
    return text if isinstance(text, str) else text.decode("utf-8", "replace")


def _float_of(message: Any) -> SingleFloat:
    return SingleFloat(message.value)


TUPLE_FIELDS: dict[str, Callable[[Any], Any]] = {
    _PACKAGE + "UUID": uuid_of,
    _PACKAGE + "NullableDouble": _value_of,
    _PACKAGE + "NullableFloat": _float_of,
    _PACKAGE + "NullableInt32": _value_of,
    _PACKAGE + "NullableInt64": _value_of,
    _PACKAGE + "NullableBool": _value_of,
    _PACKAGE + "NullableString": _text_of,
    _PACKAGE + "NullableBytes": _value_of,
}


def is_tuple_field(descriptor: Descriptor) -> bool:
    """Whether messages of this type stand for one column."""
    return descriptor.full_name in TUPLE_FIELDS


def is_repeated(field: FieldDescriptor) -> bool:
    # `label` goes away in newer protobuf versions, `is_repeated` is not there in older ones.
    known = getattr(field, "is_repeated", None)
    return bool(field.label == Types.LABEL_REPEATED) if known is None else bool(known)


def is_required(field: FieldDescriptor) -> bool:
    known = getattr(field, "is_required", None)
    return bool(field.label == Types.LABEL_REQUIRED) if known is None else bool(known)


def is_message(field: FieldDescriptor) -> bool:
    return bool(field.cpp_type == CPPTYPE_MESSAGE)


def is_map(field: FieldDescriptor) -> bool:
    return is_message(field) and is_repeated(field) and bool(field.message_type.GetOptions().map_entry)


def is_set(message: Message, field: FieldDescriptor) -> bool:
    """Whether a singular field holds something; without presence, whether it differs from its default."""
    if field.has_presence:
        return bool(message.HasField(field.name))
    value = getattr(message, field.name)
    if value:
        return True
    return field.type in (TYPE_FLOAT, TYPE_DOUBLE) and math.copysign(1.0, value) < 0


def column(field: FieldDescriptor, value: Any) -> Any:
    """A value of a singular field, or an element of a repeated one, as an element of a tuple."""
    if field.type == TYPE_FLOAT:
        return SingleFloat(value)
    if field.type == TYPE_STRING:
        # Protobuf gives bytes for a proto2 string that is not UTF-8; Java reads it with replacement characters.
        return value if isinstance(value, str) else value.decode("utf-8", "replace")
    if field.cpp_type == CPPTYPE_MESSAGE and not is_repeated(field):
        convert = TUPLE_FIELDS.get(field.message_type.full_name)
        return value if convert is None else convert(value)
    return value


def elements(message: Message, field: FieldDescriptor) -> Sequence[Any]:
    """The elements of a repeated field; the entries of a map as messages, by key."""
    values = getattr(message, field.name)
    if not is_map(field):
        return values  # type: ignore[no-any-return]
    entry = message_factory.GetMessageClass(field.message_type)
    if is_message(field.message_type.fields_by_name["value"]):
        return [_entry_with_message(entry, key, values[key]) for key in sorted(values)]
    return [entry(key=key, value=values[key]) for key in sorted(values)]


def _entry_with_message(entry: type[Message], key: Any, value: Message) -> Message:
    made: Any = entry(key=key)
    take_over(made.value, value)
    return made  # type: ignore[no-any-return]


def take_over(into: Message, other: Message) -> None:
    """Have a field's message be like another one of the same type, which may be of another pool: that of a program's
    generated classes, where metadata was loaded."""
    if type(into) is type(other):
        into.CopyFrom(other)
    else:
        data = other.SerializePartialToString()
        into.ParseFromString(data)
        with_nans(into, data)
        into.SetInParent()
