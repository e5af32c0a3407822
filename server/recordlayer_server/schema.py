"""From what a container's owner describes to the metadata that its stores have.

The owner gives a FileDescriptorSet, annotated with Java's options or not, or a MetaData message as Java's metadata
stores keep it. From that is made, so that any reader of the Record Layer's metadata can read the records:

    field     `recordlayer_system`, number 536870000, in every record type: recordlayer.internal.v1.System
    key       of every record type (zone, name), of that field: what the owner says of primary keys does not count
    indexes   the owner's, each with the zone in front of its columns (in front of its groups, of its dimensions): a
              query is about a zone, and a zone goes in one clear of a range. Unique values are unique in a zone
    index     `recordlayer_count`, which counts the records of each zone and type
    indexes   `recordlayer_references_...`, for each field that holds references: by zone, action and name of the target
    indexes   `recordlayer_assets_...`, for each field that holds assets: by zone and name of those that are kept here
    settings  long records are split, and versions are stored: they are the change tags

Descriptors come from outside: their size, number and names are bounded before anything is made of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from recordlayer import RecordMetaData, RecordMetaDataBuilder, concat, count, field, record_type
from recordlayer.client.pb import types_pb2
from recordlayer.errors import InvalidIndex, InvalidRecordType, MalformedMetaData
from recordlayer.keys import Dimensions, Grouping, KeyExpression, KeyWithValue
from recordlayer.metadata import Index
from recordlayer.metadata.predicate import circular, not_null
from recordlayer.pb import record_metadata_pb2
from recordlayer.pb.parsing import PARSE_ERRORS
from recordlayer_server.limits import DEFAULT
from recordlayer_server.pb import stored_pb2

SYSTEM = "recordlayer_system"
SYSTEM_NUMBER = 536_870_000
COUNT_INDEX = "recordlayer_count"
REFERENCE = "recordlayer.v1.Reference"
REFERENCES = "recordlayer_references_"
"""What the names of the indexes of references begin with."""
ASSET = "recordlayer.v1.Asset"
ASSETS = "recordlayer_assets_"
"""What the names of the indexes of assets begin with."""

MOST_BYTES = DEFAULT.schema_bytes
MOST_FILES = DEFAULT.schema_files
MOST_MESSAGES = DEFAULT.schema_messages
MOST_FIELDS = DEFAULT.schema_fields
MOST_ENUM_VALUES = 10_000
MOST_DEPTH = DEFAULT.schema_depth
MOST_INDEXES = DEFAULT.schema_indexes
LARGEST_INDEX = 16_384
"""Bytes of the definition of one."""
LONGEST_NAME = 256

_SYSTEM_FILE = descriptor_pb2.FileDescriptorProto.FromString(stored_pb2.DESCRIPTOR.serialized_pb)
ZONE = field(SYSTEM).nest("zone")
PRIMARY_KEY = field(SYSTEM).nest(concat("zone", "name"))
_UNGROUPED_AS_A_WHOLE = frozenset({"rank", "time_window_leaderboard"})
"""Index types that take an expression without groups as one group of all columns."""


def derived(data: bytes) -> RecordMetaData:
    """The metadata of stores for a container's description, as the first ones: `metadata.successor` lets them follow
    others.

    Raises  SchemaError: MalformedMetaData, InvalidRecordType, InvalidIndex, InvalidMetaData...
    """
    return _begun(data).build()


def _begun(data: bytes) -> RecordMetaDataBuilder:
    files, metadata = _parsed(data)
    _check_bounds(files)
    _check_assets(files)
    if metadata is None:
        wanted = descriptor_pb2.FileDescriptorSet(file=files)
        owner = RecordMetaDataBuilder.from_descriptor_set(wanted.SerializeToString())
    else:
        owner = RecordMetaDataBuilder.from_proto(metadata.SerializeToString())
    record_types = {descriptor.full_name for descriptor in owner.record_types}
    if not record_types:
        raise InvalidRecordType(hint="the description has no record types: give it a message")
    changed = [_with_system(file, record_types) for file in files]
    if metadata is None:
        with_system = descriptor_pb2.FileDescriptorSet(file=[*changed, _SYSTEM_FILE])
        builder = RecordMetaDataBuilder.from_descriptor_set(with_system.SerializeToString(), file=_root(files))
    else:
        metadata.records.ParseFromString(changed[0].SerializeToString())
        del metadata.dependencies[:]
        for file in (*changed[1:], _SYSTEM_FILE):
            metadata.dependencies.add().ParseFromString(file.SerializeToString())
        builder = RecordMetaDataBuilder.from_proto(metadata.SerializeToString())
    for descriptor in builder.record_types:
        builder.primary_key(descriptor.name, PRIMARY_KEY)
    builder.record_count_key(None).split_long_records().store_record_versions()
    drawn_up = builder.build()
    if drawn_up.synthetic:
        raise InvalidRecordType(
            record_types=sorted(drawn_up.synthetic), hint="unnested and joined record types are not served yet"
        )
    ours = sum(
        _holds(each, wanted)
        for descriptor in builder.record_types
        for each in descriptor.fields
        for wanted in (REFERENCE, ASSET)
    )
    if len(drawn_up.indexes) + ours > MOST_INDEXES:
        hint = "each write pays for each index, and each field that holds references or assets has one"
        raise InvalidIndex(indexes=len(drawn_up.indexes) + ours, most=MOST_INDEXES, hint=hint)
    for index in drawn_up.indexes.values():
        if index.name.startswith("recordlayer_"):
            raise InvalidIndex(index=index.name, hint="names that begin with recordlayer_ are the service's")
        builder.exchange_index(dataclasses.replace(index, root_expression=in_zone(index)))
    circles = circular(builder.record_types)
    for descriptor in builder.record_types:
        _index_references(builder, descriptor, is_recursive=descriptor.full_name in circles)
        _index_assets(builder, descriptor, is_recursive=descriptor.full_name in circles)
    return builder.universal_index(COUNT_INDEX, count(group_by=concat(ZONE, record_type())))


def _index_references(builder: RecordMetaDataBuilder, record_type: Descriptor, *, is_recursive: bool) -> None:
    """An index on each field that holds references, of those that hold one. Of records that may contain themselves it
    has those that hold none too: Java decides nothing on such records."""
    for each in record_type.fields:
        if not _holds(each, REFERENCE):
            continue
        holder = field(each.name).fan_out() if each.is_repeated else field(each.name)
        builder.index(
            record_type.name,
            f"{REFERENCES}{record_type.name}_{each.name}",
            concat(ZONE, holder.nest(concat("action", field("target").nest("name")))),
            where=None if each.is_repeated or is_recursive else not_null(f"{each.name}.target.name"),
        )


def _index_assets(builder: RecordMetaDataBuilder, record_type: Descriptor, *, is_recursive: bool) -> None:
    """An index on each field that holds assets, of those that the service keeps; else as `_index_references`."""
    for each in record_type.fields:
        if not _holds(each, ASSET):
            continue
        holder = field(each.name).fan_out() if each.is_repeated else field(each.name)
        builder.index(
            record_type.name,
            f"{ASSETS}{record_type.name}_{each.name}",
            concat(ZONE, holder.nest("id")),
            where=None if each.is_repeated or is_recursive else not_null(f"{each.name}.id"),
        )


def _holds(each: FieldDescriptor, wanted: str) -> bool:
    return each.message_type is not None and each.message_type.full_name == wanted


def in_zone(index: Index) -> KeyExpression:
    """The columns of an index with the zone in front of them."""
    root = index.root_expression
    if isinstance(root, Grouping):
        return Grouping(concat(ZONE, root.whole), root.grouped_count)
    if isinstance(root, KeyWithValue):
        return KeyWithValue(concat(ZONE, root.inner), root.split_point + 1)
    if isinstance(root, Dimensions):
        return Dimensions(concat(ZONE, root.whole), root.prefix_size + 1, root.dimensions_size)
    if index.type == "text":
        return Grouping(concat(ZONE, root), 1)
    if index.type in _UNGROUPED_AS_A_WHOLE:
        return Grouping(concat(ZONE, root), root.column_size)
    return concat(ZONE, root)


def _parsed(data: bytes) -> tuple[list[descriptor_pb2.FileDescriptorProto], Any]:
    """The files, and the MetaData message if it is one. Both begin with files in the same field."""
    if len(data) > MOST_BYTES:
        raise MalformedMetaData(reason="the description is too large", bytes=len(data), most=MOST_BYTES)
    try:
        found = descriptor_pb2.FileDescriptorSet.FromString(data)
        metadata: Any = record_metadata_pb2.MetaData.FromString(data)
    except PARSE_ERRORS as error:
        raise MalformedMetaData(reason="these bytes are neither a FileDescriptorSet nor MetaData") from error
    if not metadata.indexes and not metadata.record_types:
        return list(found.file), None
    if not metadata.IsInitialized():
        missing = metadata.FindInitializationErrors()[:10]
        raise MalformedMetaData(reason="a required field of the MetaData is not set", fields=missing)
    if len(metadata.indexes) > MOST_INDEXES:
        raise MalformedMetaData(reason="there are too many indexes", indexes=len(metadata.indexes), most=MOST_INDEXES)
    for index in metadata.indexes:
        if index.ByteSize() > LARGEST_INDEX:
            raise MalformedMetaData(reason="the definition of an index is too large", index=index.name[:40])
    files = [metadata.records, *metadata.dependencies]
    return [descriptor_pb2.FileDescriptorProto.FromString(file.SerializeToString()) for file in files], metadata


def _root(files: Iterable[descriptor_pb2.FileDescriptorProto]) -> str:
    """The file that no other one imports."""
    names = [file.name for file in files]
    imported = {name for file in files for name in file.dependency}
    return next(name for name in names if name not in imported)


def _check_bounds(files: list[descriptor_pb2.FileDescriptorProto]) -> None:
    if len(files) > MOST_FILES:
        raise MalformedMetaData(reason="there are too many files", files=len(files), most=MOST_FILES)
    messages = fields = 0
    values = sum(len(enum.value) for file in files for enum in file.enum_type)
    stack: list[tuple[Any, int]] = [(message, 1) for file in files for message in file.message_type]
    names: list[str] = []
    for file in files:
        named: list[Any] = [file, *file.enum_type, *file.extension, *file.service]
        names += [file.package, *file.dependency, *(each.name for each in named)]
    while stack:
        message, depth = stack.pop()
        messages += 1
        fields += len(message.field)
        values += sum(len(enum.value) for enum in message.enum_type)
        if messages > MOST_MESSAGES or fields > MOST_FIELDS or values > MOST_ENUM_VALUES or depth > MOST_DEPTH:
            raise MalformedMetaData(
                reason="there are too many messages, fields or enum values, or they are nested too deeply",
                most_messages=MOST_MESSAGES,
                most_fields=MOST_FIELDS,
                most_enum_values=MOST_ENUM_VALUES,
                most_depth=MOST_DEPTH,
            )
        named = [message, *message.field, *message.enum_type]
        names += [each.name for each in named]
        stack += [(nested, depth + 1) for nested in message.nested_type]
    for name in names:
        if not isinstance(name, str):  # protobuf gives bytes for what is no UTF-8
            raise MalformedMetaData(reason="a name is not text", name=name)
        if len(name) > LONGEST_NAME:
            raise MalformedMetaData(reason="a name is too long", name=name[:40], most=LONGEST_NAME)


def _check_assets(files: list[descriptor_pb2.FileDescriptorProto]) -> None:
    """Who calls a message of their own recordlayer.v1.Asset has ours, if perhaps of a later release."""
    wanted = {(each.number, each.name, each.type) for each in types_pb2.Asset.DESCRIPTOR.fields}
    for file in files:
        for message in file.message_type:
            if f"{file.package}.{message.name}" != ASSET:
                continue
            if wanted - {(each.number, each.name, each.type) for each in message.field}:
                hint = "this name is the service's: import recordlayer/v1/types.proto as it is"
                raise InvalidRecordType(record_type=ASSET, hint=hint)


def _with_system(
    file: descriptor_pb2.FileDescriptorProto, record_types: set[str]
) -> descriptor_pb2.FileDescriptorProto:
    """The file with the system field in those of its messages that are record types."""
    changed = descriptor_pb2.FileDescriptorProto.FromString(file.SerializeToString())
    found = False
    for message in changed.message_type:
        if (f"{changed.package}.{message.name}" if changed.package else message.name) not in record_types:
            continue
        found = True
        for each in message.field:
            if each.name == SYSTEM or each.number == SYSTEM_NUMBER:
                hint = f"the field {SYSTEM} with the number {SYSTEM_NUMBER} is the service's"
                raise InvalidRecordType(record_type=message.name, field=each.name, hint=hint)
        ranges: list[Any] = [*message.reserved_range, *message.extension_range]
        for reserved in ranges:
            if reserved.start <= SYSTEM_NUMBER < reserved.end:
                hint = f"leave the number {SYSTEM_NUMBER} free: end ranges with 536869999"
                raise InvalidRecordType(record_type=message.name, hint=hint)
        message.field.add(
            name=SYSTEM,
            number=SYSTEM_NUMBER,
            type=descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE,
            label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
            type_name=".recordlayer.internal.v1.System",
        )
    if found and _SYSTEM_FILE.name not in changed.dependency:
        changed.dependency.append(_SYSTEM_FILE.name)
    return changed
