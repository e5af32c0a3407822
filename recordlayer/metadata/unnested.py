"""Unnested record types: records that are not stored, one for each choice of elements of a stored record's repeated
messages. An order with three items gives three; an index over them has an entry for each item, with columns of both.

A record of such a type is a message with a field for each constituent: the stored record itself, and one message out of
those that the nesting expression of each other constituent finds in its parent. `__positions` says which.

    primary key  (key of the type, (*primary key of the stored record), (position,), (position,)...), in the order of
                 the constituents; a position counts from 0 among all messages that the nesting expression finds

Source  Record Layer, UnnestedRecordType, UnnestedRecordTypeBuilder, UnnestStoredRecordPlan
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2

from recordlayer.errors import MalformedMetaData
from recordlayer.keys import FanType, Field, KeyExpression, Nesting, RecordContext
from recordlayer.keys import serial as keys_serial
from recordlayer.metadata import files
from recordlayer.metadata.record_type import RecordType
from recordlayer.pb import record_metadata_pb2 as pb
from recordlayer.tuples import pack

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.metadata.metadata import RecordMetaData
    from recordlayer.pb.types import Descriptor

POSITIONS = "__positions"

Items = tuple[Any, ...]


class UnnestedRecord:
    """One record of an unnested type, as index types see records."""

    __slots__ = ("key_context", "message", "primary_key", "primary_key_bytes")

    def __init__(self, message: Message, primary_key: Items, context: RecordContext) -> None:
        self.message = message
        self.primary_key = primary_key
        self.primary_key_bytes = pack(primary_key)
        self.key_context = context

    def __repr__(self) -> str:
        return f"<UnnestedRecord {self.primary_key!r}>"


@dataclass(frozen=True, slots=True)
class Nested:
    """A constituent that lies inside another one."""

    name: str
    parent: str
    expression: KeyExpression


@dataclass(frozen=True, slots=True, eq=False)
class UnnestedType:
    """An unnested record type.

    parent       the constituent that is a stored record
    stored       its record type
    nested       the others, parents first
    names        of all constituents, in the order of the primary key
    """

    name: str
    record_type_key: Any
    parent: str
    stored: RecordType
    nested: tuple[Nested, ...]
    names: tuple[str, ...]
    message_class: type[Message]

    @property
    def descriptor(self) -> Descriptor:
        return self.message_class.DESCRIPTOR

    @property
    def context(self) -> RecordContext:
        """What key expressions need to know: these records have no version."""
        return RecordContext(record_type_key=self.record_type_key)

    def records(self, message: Message, primary_key: Items) -> list[UnnestedRecord]:
        """Those that a stored record gives. Where a constituent finds no message there are none."""
        context = self.context
        found: list[dict[str, tuple[Any, int]]] = [{self.parent: (message, 0)}]
        for constituent in self.nested:
            found = [
                {**chosen, constituent.name: (child, place)}
                for chosen in found
                for place, child in enumerate(_messages(constituent.expression, chosen[constituent.parent][0]))
            ]
        return [self._record(chosen, primary_key, context) for chosen in found]

    def by_key(self, message: Message, primary_key: Items) -> dict[bytes, UnnestedRecord]:
        """The same by packed primary key."""
        return {record.primary_key_bytes: record for record in self.records(message, primary_key)}

    def _record(
        self, chosen: Mapping[str, tuple[Any, int]], primary_key: Items, context: RecordContext
    ) -> UnnestedRecord:
        message: Any = self.message_class()
        positions = getattr(message, POSITIONS)
        positions.SetInParent()
        key: list[Any] = [self.record_type_key]
        for name in self.names:
            part, place = chosen[name]
            getattr(message, name).CopyFrom(part)
            if name == self.parent:
                key.append(primary_key)
            else:
                setattr(positions, name, place)
                key.append((place,))
        return UnnestedRecord(message, tuple(key), context)


def _messages(expression: KeyExpression, message: Any) -> Iterator[Any]:
    """The messages that a nesting expression finds, in order."""
    if isinstance(expression, Nesting):
        for parent in _messages(expression.parent, message):
            yield from _messages(expression.child, parent)
        return
    assert isinstance(expression, Field), "checked when the type was made"
    if expression.fan_type is FanType.FAN_OUT:
        yield from getattr(message, expression.name)
    elif message.HasField(expression.name):
        yield getattr(message, expression.name)


def unnested_types(metadata: RecordMetaData) -> dict[str, UnnestedType]:
    """The unnested types of a metadata that can be made here, by name. The others stay what we only read."""
    if not metadata.carried:
        return {}
    made: dict[str, UnnestedType] = {}
    for stored in pb.MetaData.FromString(metadata.carried).unnested_record_types:
        found = _made(stored, metadata.record_types)
        if found is not None:
            made[found.name] = found
    return made


def _made(stored: pb.UnnestedRecordType, record_types: Mapping[str, RecordType]) -> UnnestedType | None:
    """None for what Java would refuse, or what needs more than fields to find its messages."""
    parent, parent_type = "", None
    nested: list[Nested] = []
    kinds: dict[str, Descriptor] = {}
    for constituent in stored.nested_constituents:
        name = constituent.name
        if name in kinds or name.startswith("__"):
            return None
        if not constituent.parent:
            parent_type = record_types.get(constituent.type_name)
            if parent or parent_type is None:
                return None
            parent, kinds[name] = name, parent_type.descriptor
            continue
        if not constituent.HasField("nesting_expression"):
            return None
        expression = keys_serial.from_proto(constituent.nesting_expression)
        kind = kinds.get(constituent.parent)
        found = None if kind is None else message_type(expression, kind)
        if found is None:
            return None
        kinds[name] = found
        nested.append(Nested(name, constituent.parent, expression))
    if parent_type is None:
        return None
    key = keys_serial.value_from_proto(stored.record_type_key).element
    names = tuple(kinds)
    kind = _described(stored.name, kinds, parent)
    return UnnestedType(stored.name, key, parent, parent_type, tuple(nested), names, files.message_class(kind))


def message_type(expression: KeyExpression, descriptor: Descriptor) -> Descriptor | None:
    """The type of the messages that a nesting expression finds."""
    if isinstance(expression, Nesting):
        inside = message_type(expression.parent, descriptor)
        return None if inside is None else message_type(expression.child, inside)
    if not isinstance(expression, Field) or expression.fan_type is FanType.CONCATENATE:
        return None
    found = descriptor.fields_by_name.get(expression.name)
    return None if found is None else found.message_type


def _described(name: str, kinds: Mapping[str, Descriptor], parent: str) -> Descriptor:
    """The message type with a field for each constituent, in the pool of those types. The same definition twice is one
    type: its file is named after what it says."""
    file = descriptor_pb2.FileDescriptorProto(syntax="proto2")
    message = file.message_type.add(name=name)
    inner = message.nested_type.add(name="Positions")
    optional, types = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL, descriptor_pb2.FieldDescriptorProto
    for number, (constituent, kind) in enumerate(kinds.items(), 1):
        message.field.add(
            name=constituent, number=number, label=optional, type=types.TYPE_MESSAGE, type_name=f".{kind.full_name}"
        )
        if constituent != parent:
            place = len(inner.field) + 1
            inner.field.add(name=constituent, number=place, label=optional, type=types.TYPE_INT64)
    message.field.add(name=POSITIONS, number=len(kinds) + 1, label=optional, type=types.TYPE_MESSAGE)
    file.dependency.extend(sorted({kind.file.name for kind in kinds.values()}))
    digest = hashlib.sha256(file.SerializeToString(deterministic=True)).hexdigest()[:24]
    file.name, file.package = f"recordlayer/unnested/{digest}.proto", f"recordlayer.unnested.x{digest}"
    message.field[-1].type_name = f".{file.package}.{name}.Positions"
    pool, whole = kinds[parent].file.pool, f"{file.package}.{name}"
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
        raise MalformedMetaData(reason="an unnested type cannot be described", record_type=name) from error
