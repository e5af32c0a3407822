"""The usual values of a request in the fields of a message: one function for each field that holds one number, one
text, one true or false, made once. All else, and what is wrong, is for `values.put`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Types

from recordlayer.client.pb import types_pb2
from recordlayer.keys.access import is_message, is_repeated
from recordlayer.pb.types import Descriptor, FieldDescriptor

RANGES = {
    Types.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    Types.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    Types.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    Types.CPPTYPE_UINT64: (0, (1 << 63) - 1),
}
SIMPLE = {
    Types.CPPTYPE_BOOL: ("bool_value", "true or false is wanted"),
    Types.CPPTYPE_STRING: ("string_value", "text is wanted"),
}


def simple(field: FieldDescriptor) -> tuple[str, str]:
    """The kind of value that a field of text, bytes, true or false takes, and the words for its lack."""
    return ("bytes_value", "bytes are wanted") if field.type == Types.TYPE_BYTES else SIMPLE[field.cpp_type]


Reader = Callable[[Any, types_pb2.Value], bool]
"""Lets a field of a message hold a value of the usual kind. Whether it did: all else is for `put`, which says what is
wrong with a value."""


@lru_cache(maxsize=1_000)  # each may be all that keeps an old schema, a quarter of a megabyte; another is made quickly
def readers_of(descriptor: Descriptor) -> Mapping[str, Reader]:
    """Those of the fields of a message that hold one number, one text, one true or false, by the fields' names."""
    found = ((field.name, _reader(field)) for field in descriptor.fields)
    return {name: reader for name, reader in found if reader is not None}


def _reader(field: FieldDescriptor) -> Reader | None:
    if is_message(field) or is_repeated(field):
        return None
    if field.enum_type is not None:
        return _enum_reader(field.name, {name: known.number for name, known in field.enum_type.values_by_name.items()})
    if field.cpp_type in SIMPLE:
        return _plain_reader(field.name, simple(field)[0])
    if field.cpp_type in (Types.CPPTYPE_DOUBLE, Types.CPPTYPE_FLOAT):
        return _plain_reader(field.name, "double_value")
    return _integer_reader(field.name, *RANGES[field.cpp_type])


def _plain_reader(name: str, kind: str) -> Reader:
    def read(message: Any, value: types_pb2.Value) -> bool:
        if not value.HasField(kind):
            return False
        setattr(message, name, getattr(value, kind))
        return True

    return read


def _integer_reader(name: str, low: int, high: int) -> Reader:
    def read(message: Any, value: types_pb2.Value) -> bool:
        if not value.HasField("integer_value"):
            return False
        number = value.integer_value
        if not low <= number <= high:
            return False
        setattr(message, name, number)
        return True

    return read


def _enum_reader(name: str, numbers: Mapping[str, int]) -> Reader:
    def read(message: Any, value: types_pb2.Value) -> bool:
        number = numbers.get(value.string_value) if value.HasField("string_value") else None
        if number is None:
            return False
        setattr(message, name, number)
        return True

    return read
