"""Changes of a field by what it holds, so that nobody has to read it first."""

from __future__ import annotations

import math
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Types
from google.protobuf.message import Message

from recordlayer.client.pb import records_pb2, types_pb2
from recordlayer.keys.access import is_map, is_message, is_repeated
from recordlayer.pb.types import FieldDescriptor
from recordlayer_server.schema import SYSTEM
from recordlayer_server.statuses import bad_request
from recordlayer_server.values import add, put, scalar, timestamp, unknown_field

_WHOLE = {
    Types.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    Types.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
}
_REAL = frozenset({Types.CPPTYPE_DOUBLE, Types.CPPTYPE_FLOAT})


def transform(message: Message, said: records_pb2.Transform, now: int, where: str) -> None:
    """Change one field of a message. `now`: microseconds since 1970.  Raises  Refusal."""
    owner: Any = message
    *outer, name = said.field.split(".")
    for step in outer:
        field = owner.DESCRIPTOR.fields_by_name.get(step)
        if field is None or step == SYSTEM or not is_message(field) or is_repeated(field):
            raise unknown_field(said.field, where)
        owner = getattr(owner, step)
    field = owner.DESCRIPTOR.fields_by_name.get(name)
    if field is None or name == SYSTEM:
        raise unknown_field(said.field, where)
    kind = said.WhichOneof("kind")
    where = f"{where}.{kind or 'kind'}"
    if kind == "server_time":
        put(owner, field, types_pb2.Value(timestamp_value=timestamp(now)), where)
    elif kind in ("increment", "minimum", "maximum"):
        _number(owner, field, kind, getattr(said, kind), where)
    elif kind in ("add_to_list", "remove_from_list"):
        _list(owner, field, kind, getattr(said, kind), where)
    else:
        raise bad_request(where, "say how the field changes")


def _number(owner: Any, field: FieldDescriptor, kind: str, value: types_pb2.Value, where: str) -> None:
    if is_repeated(field) or field.enum_type is not None or not (field.cpp_type in _WHOLE or field.cpp_type in _REAL):
        raise bad_request(where, "only numbers can be counted and compared")
    given = scalar(field, value, where)
    name = field.name
    there = owner.HasField(name) if field.has_presence else True
    held = getattr(owner, name)
    if kind == "increment":
        result = (held if there else 0) + given
        low, high = _WHOLE.get(field.cpp_type, (-math.inf, math.inf))
        if not low <= result <= high:
            raise bad_request(where, f"the result is no number of the field: {low} to {high}")
    elif not there:
        result = given
    else:
        result = min(held, given) if kind == "minimum" else max(held, given)
    setattr(owner, name, result)


def _list(owner: Any, field: FieldDescriptor, kind: str, values: types_pb2.ListValue, where: str) -> None:
    if not is_repeated(field) or is_map(field):
        raise bad_request(where, "it is no list")
    given = type(owner)()
    for place, value in enumerate(values.values):
        add(given, field, value, f"{where}[{place}]")
    held = getattr(owner, field.name)
    there = {_told_apart(one) for one in held}
    if kind == "add_to_list":
        for one in getattr(given, field.name):
            if _told_apart(one) not in there:
                there.add(_told_apart(one))
                held.add().CopyFrom(one) if is_message(field) else held.append(one)
    else:
        gone = {_told_apart(one) for one in getattr(given, field.name)}
        kept = [one for one in held if _told_apart(one) not in gone]
        rest = type(owner)()
        getattr(rest, field.name).extend(kept)
        owner.ClearField(field.name)
        owner.MergeFrom(rest)


def _told_apart(value: Any) -> Any:
    return value.SerializeToString(deterministic=True) if isinstance(value, Message) else value
