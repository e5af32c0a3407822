"""Values of Python as those of the service, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from recordlayer.client.pb import types_pb2
from recordlayer.errors import UsageError

_KINDS = {bool: "bool_value", int: "integer_value", float: "double_value", str: "string_value", bytes: "bytes_value"}
_WHOLE = {
    types_pb2.GeoPoint: "location_value",
    types_pb2.Reference: "reference_value",
    Timestamp: "timestamp_value",
}


def value_of(given: Any) -> types_pb2.Value:
    """A Python value as one of the service: a datetime is a timestamp (UTC where it has no zone), a timedelta seconds
    and nanos, a mapping a message by its fields.

    Raises  UsageError for other types
    """
    if given is None:
        return types_pb2.Value(null_value="NULL_VALUE")
    if isinstance(given, types_pb2.Value):
        return given
    made = types_pb2.Value()
    if isinstance(given, list | tuple | set | frozenset):
        made.list_value.CopyFrom(list_of(given))
    elif isinstance(given, Mapping):
        made.message_value.SetInParent()
        for name, one in given.items():
            made.message_value.fields[name].CopyFrom(value_of(one))
    elif isinstance(given, datetime):
        made.timestamp_value.FromDatetime(given)
    elif isinstance(given, timedelta):
        micros = given // timedelta(microseconds=1)
        seconds = int(micros / 1_000_000)  # towards zero: both parts of a Duration have one sign
        return value_of({"seconds": seconds, "nanos": (micros - seconds * 1_000_000) * 1_000})
    elif isinstance(given, UUID):
        made.string_value = str(given)
    elif (whole := _WHOLE.get(type(given))) is not None:
        getattr(made, whole).CopyFrom(given)
    elif (kind := _KINDS.get(type(given))) is not None:
        setattr(made, kind, given)
    else:
        hint = "bool, int, float, str, bytes, datetime, timedelta, UUID, a list, or a dict of a message's fields"
        raise UsageError(what=f"a value of type {type(given).__name__}", hint=hint)
    return made


def list_of(given: Any) -> types_pb2.ListValue:
    """Several values.  Raises  UsageError."""
    return types_pb2.ListValue(values=[value_of(one) for one in given])


def python_of(value: types_pb2.Value) -> Any:
    """A value of the service as one of Python; messages and places stay the service's."""
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "list_value":
        return [python_of(one) for one in value.list_value.values]
    return getattr(value, kind)
