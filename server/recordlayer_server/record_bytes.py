"""Records as they go out with all their fields, as bytes: made of their stored bytes without parsing these.

Types with fields that are no plain values go the same way as long as those are not set; what else is unusual is parsed,
and put together field by field as in `contents`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from google.protobuf.descriptor import FieldDescriptor as Types

from recordlayer import StoredRecord
from recordlayer.client.pb import types_pb2
from recordlayer.core import made_in_c
from recordlayer.errors import CorruptRecord
from recordlayer.keys.access import is_repeated
from recordlayer.metadata import RecordType
from recordlayer.metadata.envelope import parse
from recordlayer.pb.types import FieldDescriptor
from recordlayer_server.contents import Shape, outgoing, whole
from recordlayer_server.schema import SYSTEM_NUMBER

Writer = Callable[[bytes, bytes], bytes]

_KINDS = {
    Types.TYPE_INT32: b"i",
    Types.TYPE_INT64: b"l",
    Types.TYPE_SINT32: b"s",
    Types.TYPE_SINT64: b"z",
    Types.TYPE_SFIXED32: b"f",
    Types.TYPE_SFIXED64: b"F",
    Types.TYPE_BOOL: b"b",
    Types.TYPE_FLOAT: b"q",
    Types.TYPE_DOUBLE: b"d",
    Types.TYPE_STRING: b"t",
    Types.TYPE_BYTES: b"y",
}


@lru_cache(maxsize=1_000)  # each may be all that keeps an old schema, a quarter of a megabyte; another is made quickly
def record_writer(record_type: RecordType) -> Writer:
    """What gives the serialised `Record` of a record of this type, with all its fields, from the bytes of its message
    and its change tag.  Raises  CorruptRecord."""

    def record_bytes(body: bytes, version: bytes) -> bytes:
        message = parse(record_type, body)
        return bytes(whole(message, record_type.name, version).SerializeToString())

    fields = sorted(record_type.descriptor.fields, key=lambda field: int(field.number))
    plan = tuple(
        (field.number, _KINDS[field.type], not field.has_presence, _key(field))
        for field in fields
        if field.type in _KINDS and not is_repeated(field) and field.number != SYSTEM_NUMBER
    )
    head = types_pb2.Record(record_type=record_type.name).SerializeToString()
    return made_in_c("record_bytes", record_bytes, SYSTEM_NUMBER, plan, head)


def told(stored: StoredRecord, shape: Shape) -> bytes:
    """A stored record as callers get it, serialised.  Raises  as reading its message does."""
    if shape.wanted is None and shape.form != types_pb2.MESSAGE:
        try:
            body, version = stored.body, stored.version
            if body is not None:
                return record_writer(stored.record_type)(body, b"" if version is None else version.to_bytes())
        except CorruptRecord:
            pass  # the record itself says which one it is
    return bytes(outgoing(stored, shape).SerializeToString())


def _key(field: FieldDescriptor) -> bytes:
    """The part of a map's entry that has its key."""
    return bytes(types_pb2.ZoneName(name=field.name).SerializeToString())  # field 1, as a map's keys are
