"""Synthetic record types: their records are not stored but made from stored ones, so that indexes may be over them.

A type is unnested (`metadata.unnested`: elements of one record) or joined (`metadata.joined`: several records). Its
records are messages with a field for each constituent.

    primary key  (key of the type, key of the first constituent, key of the second...): each a nested tuple, or null for
                 one that is missing

Source  Record Layer, SyntheticRecordType, FDBSyntheticRecord
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from google.protobuf import descriptor_pb2

from recordlayer.errors import MalformedMetaData
from recordlayer.keys import RecordContext
from recordlayer.tuples import pack

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.metadata.record_type import RecordType
    from recordlayer.pb.types import Descriptor

Items = tuple[Any, ...]

POSITIONS = "__positions"


class SyntheticType(Protocol):
    """A type of records that are made from stored ones."""

    @property
    def name(self) -> str: ...

    @property
    def record_type_key(self) -> Any: ...

    @property
    def descriptor(self) -> Descriptor: ...

    @property
    def stored_types(self) -> tuple[RecordType, ...]:
        """The types of the records that they are made from, each once."""

    @property
    def built_from(self) -> tuple[RecordType, ...]:
        """Those of them that a build of an index goes over: they lead to all of its records."""


class SyntheticRecord:
    """A record of a synthetic type, as index types see records.

    message      a field for each constituent; one that is missing is not set
    stored_key   packed primary key of the stored record at which a build comes to this one
    """

    __slots__ = ("key_context", "message", "primary_key", "primary_key_bytes", "record_type", "stored_key_bytes")

    def __init__(self, record_type: SyntheticType, message: Message, primary_key: Items, stored_key: bytes) -> None:
        self.record_type = record_type
        self.message = message
        self.primary_key = primary_key
        self.primary_key_bytes = pack(primary_key)
        self.stored_key_bytes = stored_key
        self.key_context = RecordContext(record_type_key=record_type.record_type_key)  # these have no version

    @property
    def size(self) -> int:
        """Bytes of its message."""
        return self.message.ByteSize()

    def __repr__(self) -> str:
        return f"<SyntheticRecord {self.record_type.name} {self.primary_key!r}>"


def described(name: str, kinds: Mapping[str, Descriptor], *, positions: Iterable[str] | None = None) -> Descriptor:
    """The message type with a field for each constituent, in the pool of those types. The same definition twice is one
    type: its file is named after what it says.

    positions  constituents whose places `__positions` holds, None for no such field

    Raises  MalformedMetaData
    """
    file = descriptor_pb2.FileDescriptorProto(syntax="proto2")
    message = file.message_type.add(name=name)
    optional, types = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL, descriptor_pb2.FieldDescriptorProto
    for number, (constituent, kind) in enumerate(kinds.items(), 1):
        message.field.add(
            name=constituent, number=number, label=optional, type=types.TYPE_MESSAGE, type_name=f".{kind.full_name}"
        )
    if positions is not None:
        inner = message.nested_type.add(name="Positions")
        for place, constituent in enumerate(positions, 1):
            inner.field.add(name=constituent, number=place, label=optional, type=types.TYPE_INT64)
        message.field.add(name=POSITIONS, number=len(kinds) + 1, label=optional, type=types.TYPE_MESSAGE)
    file.dependency.extend(sorted({kind.file.name for kind in kinds.values()}))
    digest = hashlib.sha256(file.SerializeToString(deterministic=True)).hexdigest()[:24]
    file.name, file.package = f"recordlayer/synthetic/{digest}.proto", f"recordlayer.synthetic.x{digest}"
    if positions is not None:
        message.field[-1].type_name = f".{file.package}.{name}.Positions"
    pool, whole = next(iter(kinds.values())).file.pool, f"{file.package}.{name}"
    try:
        return pool.FindMessageTypeByName(whole)
    except KeyError:
        pass
    try:
        try:
            pool.AddSerializedFile(file.SerializeToString())
        except TypeError:
            pass  # another thread may have been faster
        return pool.FindMessageTypeByName(whole)
    except KeyError as error:
        raise MalformedMetaData(reason="a synthetic type cannot be described", record_type=name) from error
