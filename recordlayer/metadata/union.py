"""The union: the message with one field for each record type, in which records are stored.

A records file has one if a message says so (option `(com.apple.foundationdb.record.record).usage = UNION`) or is called
`RecordTypeUnion`. For a file without one a union is made up, as Java's metadata store does: one field `_NAME` for each
top-level message whose usage is not NESTED, numbered 1, 2, ... in the order of the file. Those numbers are in every
stored record: messages may be added behind the others, not moved.

Source  Record Layer: RecordMetaDataBuilder.fetchUnionDescriptor, validateUnion, remapUnionField; MetaDataProtoEditor
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor as FieldTypes

from recordlayer.errors import InvalidRecordType, SchemaError
from recordlayer.keys import access
from recordlayer.metadata import files
from recordlayer.pb import record_metadata_options_pb2 as options

if TYPE_CHECKING:
    from recordlayer.pb.types import Descriptor, FileDescriptor

DEFAULT_NAME = "RecordTypeUnion"

_USAGE = options.RecordTypeOptions.Usage


@dataclass(frozen=True, slots=True)
class UnionField:
    """One field of a union."""

    number: int
    name: str
    descriptor: Descriptor


@dataclass(frozen=True, slots=True)
class Union:
    """The union of a records file; `descriptor` is None for one that was made up."""

    name: str
    fields: tuple[UnionField, ...]
    descriptor: Descriptor | None

    def fields_by_type(self) -> dict[str, list[UnionField]]:
        """The fields that hold each message type, by its full name."""
        found: dict[str, list[UnionField]] = {}
        for field in self.fields:
            found.setdefault(field.descriptor.full_name, []).append(field)
        return found


def written_number(fields: Sequence[UnionField]) -> int:
    """The one written of several fields for a message type: the one called `_NAME`, else the highest number."""
    named = [field.number for field in fields if field.name == f"_{field.descriptor.name}"]
    return named[-1] if named else max(field.number for field in fields)


def usage_of(descriptor: Descriptor, protos: files.Protos) -> int:
    """What a message type is for: a value of RecordTypeOptions.Usage."""
    return int(protos.message(descriptor).options.Extensions[options.record].usage)


def find_union(file: FileDescriptor, protos: files.Protos) -> Union:
    """The union of a records file, or one made up.

    Raises: InvalidRecordType when more than one message could be it.
    """
    found: list[Descriptor] = []
    for descriptor in file.message_types_by_name.values():
        usage = usage_of(descriptor, protos)
        if descriptor.name == DEFAULT_NAME and usage == _USAGE.NESTED:
            raise InvalidRecordType(message=descriptor.name, hint="the union cannot have the usage NESTED")
        if usage == _USAGE.UNION or descriptor.name == DEFAULT_NAME:
            found.append(descriptor)
    if len(found) > 1:
        raise InvalidRecordType(messages=[d.name for d in found], hint="a records file has one union only")
    if found:
        union = found[0]
        fields = tuple(UnionField(field.number, field.name, field.message_type) for field in union.fields)
        return Union(union.name, tuple(field for field in fields if field.descriptor is not None), union)
    records = [d for d in file.message_types_by_name.values() if usage_of(d, protos) != _USAGE.NESTED]
    return Union(DEFAULT_NAME, tuple(UnionField(n, f"_{d.name}", d) for n, d in enumerate(records, 1)), None)


def problems(file: FileDescriptor, union: Union, protos: files.Protos) -> Iterator[SchemaError]:
    """Everything that is wrong with a union, and with the types of fields that records may have."""
    if union.descriptor is not None:
        yield from _union_problems(file, union.descriptor, protos)
    for descriptor in files.reachable(file.message_types_by_name.values()):
        for field in descriptor.fields:
            if field.type in _UNSIGNED:
                yield InvalidRecordType(
                    message=descriptor.full_name,
                    field=field.name,
                    hint=f"{_UNSIGNED[field.type]} fields cannot be stored: use int64, sint64 or sfixed64",
                )


def _union_problems(file: FileDescriptor, union: Descriptor, protos: files.Protos) -> Iterator[SchemaError]:
    held = set()
    for field in union.fields:
        where = {"union": union.name, "field": field.name}
        if field.message_type is None or field.type != field.TYPE_MESSAGE:
            yield InvalidRecordType(**where, hint="fields of the union are messages")
            continue
        held.add(field.message_type.full_name)
        if access.is_repeated(field):
            yield InvalidRecordType(**where, hint="fields of the union are not repeated")
        if field.message_type.name == DEFAULT_NAME:
            yield InvalidRecordType(**where, hint="a union cannot hold a union")
        elif usage_of(field.message_type, protos) not in (_USAGE.UNSET, _USAGE.RECORD):
            yield InvalidRecordType(**where, message=field.message_type.name, hint="its usage is not RECORD")
    # A synthetic oneof belongs to a proto3 `optional`, not to the file's author.
    oneofs = [oneof for oneof in union.oneofs if not (len(oneof.fields) == 1 and oneof.name.startswith("_"))]
    if len(oneofs) > 1 or (oneofs and len(oneofs[0].fields) != len(union.fields)):
        yield InvalidRecordType(union=union.name, hint="a union has at most one oneof, and then all fields are in it")
    for descriptor in file.message_types_by_name.values():
        if usage_of(descriptor, protos) == _USAGE.RECORD and descriptor.full_name not in held:
            yield InvalidRecordType(
                message=descriptor.name,
                union=union.name,
                hint="its usage is RECORD: the union must have a field for it",
            )


_UNSIGNED = {
    FieldTypes.TYPE_UINT32: "uint32",
    FieldTypes.TYPE_UINT64: "uint64",
    FieldTypes.TYPE_FIXED32: "fixed32",
    FieldTypes.TYPE_FIXED64: "fixed64",
}
