"""Values of the service as what fields of a container's messages hold, and back.

integers, enums   integer_value; an enum also by the name of its value; an int64 also a timestamp, in microseconds
floats            double_value or integer_value
bool, text, bytes their own
Timestamp         timestamp_value
a location        a message with double fields latitude and longitude: location_value
a reference       recordlayer.v1.Reference: reference_value
an asset          recordlayer.v1.Asset: asset_value
UUID              string_value, as 8-4-4-4-12 hexadecimal digits; Java's Nullable... what they hold
other messages    message_value; repeated fields list_value; maps message_value, with their keys as text
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from uuid import UUID

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor as Types
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from recordlayer import SingleFloat, Versionstamp
from recordlayer.client.pb import types_pb2
from recordlayer.keys.access import TUPLE_FIELDS, is_map, is_message, is_repeated, uuid_of
from recordlayer.pb.types import Descriptor, FieldDescriptor
from recordlayer_server.readers import RANGES, SIMPLE, readers_of, simple
from recordlayer_server.statuses import Refusal, bad_request

Value = types_pb2.Value

_UUID = "com.apple.foundationdb.record.UUID"
_TIMESTAMP = "google.protobuf.Timestamp"
_REFERENCE = "recordlayer.v1.Reference"
_ASSET = "recordlayer.v1.Asset"


def is_location(descriptor: Descriptor) -> bool:
    """Whether messages of this type are points on earth."""
    fields = descriptor.fields_by_name
    return all(
        name in fields and fields[name].type == Types.TYPE_DOUBLE and not is_repeated(fields[name])
        for name in ("latitude", "longitude")
    )


# -- into messages ---------------------------------------------------------------------------------------------------


def put(message: Message, field: FieldDescriptor, value: Value, where: str) -> None:
    """Let a field hold a value, or nothing for null.  Raises  Refusal."""
    kind = value.WhichOneof("kind")
    message.ClearField(field.name)
    if kind == "null_value":
        return
    if kind is None:
        raise bad_request(where, "give a value, or null to unset the field")
    if is_map(field):
        _put_map(message, field, value, where)
    elif is_repeated(field):
        if kind != "list_value":
            raise bad_request(where, "a list is wanted")
        for place, element in enumerate(value.list_value.values):
            add(message, field, element, f"{where}[{place}]")
    elif is_message(field):
        target = getattr(message, field.name)
        target.SetInParent()
        _fill(target, value, where)
    else:
        setattr(message, field.name, scalar(field, value, where))


def put_all(message: Message, values: types_pb2.Fields, where: str, *, but: str = "") -> None:
    """Let fields of a message hold values; `but` is none of them.  Raises  Refusal."""
    descriptor = message.DESCRIPTOR
    readers, given = readers_of(descriptor), values.fields
    for name in given:
        value = given[name]
        reader = readers.get(name)
        if reader is None or not reader(message, value):
            field = descriptor.fields_by_name.get(name)
            if field is None or name == but:
                raise unknown_field(name, where)
            put(message, field, value, f"{where}.{name}")


def add(message: Message, field: FieldDescriptor, value: Value, where: str) -> None:
    """Put a value behind the others of a repeated field.  Raises  Refusal."""
    if is_message(field):
        _fill(getattr(message, field.name).add(), value, where)
    else:
        getattr(message, field.name).append(scalar(field, value, where))


def scalar(field: FieldDescriptor, value: Value, where: str) -> Any:
    """What a field that holds no message holds for a value: a number, text, bytes, true or false.  Raises  Refusal."""
    kind = value.WhichOneof("kind")
    if field.cpp_type in SIMPLE:
        wanted, words = simple(field)
        if kind != wanted:
            raise bad_request(where, words)
        return getattr(value, wanted)
    if field.cpp_type in (Types.CPPTYPE_DOUBLE, Types.CPPTYPE_FLOAT):
        if kind == "integer_value":
            return float(value.integer_value)
        if kind != "double_value":
            raise bad_request(where, "a number is wanted")
        return value.double_value
    if field.enum_type is not None:
        return _enum(field, value, where)
    if kind == "timestamp_value" and field.cpp_type == Types.CPPTYPE_INT64:
        return microseconds(value.timestamp_value, where)
    if kind != "integer_value":
        raise bad_request(where, "a whole number is wanted")
    low, high = RANGES[field.cpp_type]
    if not low <= value.integer_value <= high:
        raise bad_request(where, f"a whole number from {low} to {high} is wanted")
    return value.integer_value


def microseconds(time: Timestamp, where: str) -> int:
    """Since 1970.  Raises  Refusal for what no protobuf timestamp may hold."""
    if not -62_135_596_800 <= time.seconds <= 253_402_300_799 or not 0 <= time.nanos < 1_000_000_000:
        raise bad_request(where, "a time from the year 1 to 9999 is wanted")
    return int(time.seconds * 1_000_000 + time.nanos // 1_000)


def timestamp(at: int) -> Timestamp:
    """From microseconds since 1970."""
    return Timestamp(seconds=at // 1_000_000, nanos=at % 1_000_000 * 1_000)


def _enum(field: FieldDescriptor, value: Value, where: str) -> int:
    known = field.enum_type
    kind = value.WhichOneof("kind")
    if kind == "string_value" and value.string_value in known.values_by_name:
        return int(known.values_by_name[value.string_value].number)
    if kind == "integer_value" and value.integer_value in known.values_by_number:
        return int(value.integer_value)
    raise bad_request(where, f"one of {', '.join(list(known.values_by_name)[:20])} is wanted")


def _put_map(message: Message, field: FieldDescriptor, value: Value, where: str) -> None:
    if value.WhichOneof("kind") != "message_value":
        raise bad_request(where, "values by key are wanted")
    entry = field.message_type.fields_by_name
    target = getattr(message, field.name)
    for text, element in sorted(value.message_value.fields.items()):
        key = _map_key(entry["key"], text, where)
        if is_message(entry["value"]):
            _fill(target[key], element, f"{where}[{text[:40]}]")
        else:
            target[key] = scalar(entry["value"], element, f"{where}[{text[:40]}]")


def _map_key(field: FieldDescriptor, text: str, where: str) -> Any:
    if field.cpp_type == Types.CPPTYPE_STRING:
        return text
    if field.cpp_type == Types.CPPTYPE_BOOL and text in ("true", "false"):
        return text == "true"
    try:
        number = int(text) if len(text) <= 20 and field.cpp_type in RANGES else None
    except ValueError:
        number = None
    if number is None:
        raise bad_request(where, f"{text[:40]!r} cannot be a key of this map")
    return scalar(field, Value(integer_value=number), where)


def _fill(message: Any, value: Value, where: str) -> None:
    """Let a message be what a value says."""
    descriptor = message.DESCRIPTOR
    name, kind = descriptor.full_name, value.WhichOneof("kind")
    if kind == "message_value":
        put_all(message, value.message_value, where)
    elif name == _TIMESTAMP and kind == "timestamp_value":
        microseconds(value.timestamp_value, where)
        message.ParseFromString(value.timestamp_value.SerializeToString())
    elif name == _REFERENCE and kind == "reference_value":
        message.ParseFromString(value.reference_value.SerializeToString())
    elif name == _ASSET and kind == "asset_value":
        message.ParseFromString(value.asset_value.SerializeToString())
    elif name == _UUID and kind == "string_value":
        _fill_uuid(message, value.string_value, where)
    elif name in TUPLE_FIELDS and name != _UUID and kind is not None:
        put(message, descriptor.fields_by_name["value"], value, where)
    elif kind == "location_value" and is_location(descriptor):
        point = checked_point(value.location_value, where)
        message.latitude, message.longitude = point.latitude, point.longitude
    else:
        raise bad_request(where, f"a value for a message of the type {descriptor.name} is wanted")


def checked_point(point: types_pb2.GeoPoint, where: str) -> types_pb2.GeoPoint:
    """The point, if it is one on earth.  Raises  Refusal."""
    if not (-90 <= point.latitude <= 90 and -180 <= point.longitude <= 180):
        raise bad_request(where, "a latitude from -90 to 90 and a longitude from -180 to 180 are wanted")
    return point


def _fill_uuid(message: Any, text: str, where: str) -> None:
    try:
        whole = UUID(text).int
    except ValueError:
        raise bad_request(where, "a UUID is wanted, as 8-4-4-4-12 hexadecimal digits") from None
    message.most_significant_bits = _signed(whole >> 64)
    message.least_significant_bits = _signed(whole & (1 << 64) - 1)


def _signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits


def unknown_field(name: str, where: str) -> Refusal:
    return bad_request(f"{where}.{name[:100]}", "there is no such field")


# -- out of messages -------------------------------------------------------------------------------------------------


Writer = Callable[[Value, Any], None]
"""Lets a value be what a field of a message holds."""


def get(message: Message, field: FieldDescriptor) -> Value:
    """What a field holds. Ask only for one that is set."""
    found = Value()
    writer(field)(found, getattr(message, field.name))
    return found


@lru_cache(maxsize=10_000)
def writer(field: FieldDescriptor) -> Writer:
    """What puts the content of a field, as its attribute gives it, into a value."""
    if is_map(field):
        return _map_writer(_single_writer(field.message_type.fields_by_name["value"]))
    one = _single_writer(field)
    if not is_repeated(field):
        return one

    def write(value: Value, held: Any) -> None:
        value.list_value.SetInParent()
        values = value.list_value.values
        for element in held:
            one(values.add(), element)

    return write


def _map_writer(one: Writer) -> Writer:
    def write(value: Value, held: Any) -> None:
        value.message_value.SetInParent()
        fields = value.message_value.fields
        for key in held:
            one(fields[str(key).lower() if isinstance(key, bool) else str(key)], held[key])

    return write


def _single_writer(field: FieldDescriptor) -> Writer:
    kind = field.cpp_type
    if kind == Types.CPPTYPE_MESSAGE:
        return _write_message
    if field.enum_type is not None:
        return _enum_writer({number: known.name for number, known in field.enum_type.values_by_number.items()})
    if field.type == Types.TYPE_BYTES:
        return _write_bytes
    if kind == Types.CPPTYPE_STRING:
        return _write_text
    if kind == Types.CPPTYPE_BOOL:
        return _write_bool
    return _write_double if kind in (Types.CPPTYPE_DOUBLE, Types.CPPTYPE_FLOAT) else _write_integer


def _write_bytes(value: Value, held: Any) -> None:
    value.bytes_value = held


def _write_text(value: Value, held: Any) -> None:
    value.string_value = held if isinstance(held, str) else held.decode("utf-8", "replace")


def _write_bool(value: Value, held: Any) -> None:
    value.bool_value = held


def _write_double(value: Value, held: Any) -> None:
    value.double_value = held


def _write_integer(value: Value, held: Any) -> None:
    value.integer_value = held


def _enum_writer(names: Mapping[int, str]) -> Writer:
    def write(value: Value, held: Any) -> None:
        name = names.get(held)
        if name is None:
            value.integer_value = held
        else:
            value.string_value = name

    return write


def _write_message(value: Value, held: Any) -> None:
    descriptor = held.DESCRIPTOR
    name = descriptor.full_name
    if name == _TIMESTAMP:
        value.timestamp_value.seconds, value.timestamp_value.nanos = held.seconds, held.nanos
        value.timestamp_value.SetInParent()
    elif name == _REFERENCE:
        value.reference_value.ParseFromString(held.SerializeToString())
    elif name == _ASSET:
        value.asset_value.ParseFromString(held.SerializeToString())
    elif name == _UUID:
        value.string_value = str(uuid_of(held))
    elif name in TUPLE_FIELDS:
        writer(descriptor.fields_by_name["value"])(value, held.value)
    elif is_location(descriptor) and len(descriptor.fields) == 2:
        value.location_value.latitude, value.location_value.longitude = held.latitude, held.longitude
    else:
        value.message_value.SetInParent()
        fields = value.message_value.fields
        for field, inner in held.ListFields():
            if not field.is_extension:
                writer(field)(fields[field.name], inner)


def of_python(held: Any) -> Value:
    """What an index gives, as a value."""
    if held is None:
        return Value(null_value="NULL_VALUE")
    if isinstance(held, bool):
        return Value(bool_value=held)
    if isinstance(held, int):
        return Value(integer_value=held)
    if isinstance(held, float | SingleFloat):
        return Value(double_value=float(held))
    if isinstance(held, str):
        return Value(string_value=held)
    if isinstance(held, bytes):
        return Value(bytes_value=held)
    if isinstance(held, Versionstamp):
        return Value(bytes_value=held.to_bytes())
    if isinstance(held, tuple):
        return (
            of_python(held[0])
            if len(held) == 1
            else Value(list_value=types_pb2.ListValue(values=[of_python(one) for one in held]))
        )
    return Value(string_value=str(held))


def new_message(descriptor: Descriptor) -> Message:
    return message_factory.GetMessageClass(descriptor)()
