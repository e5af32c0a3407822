"""Metadata as a message: `MetaData` of Java's record_metadata.proto, both ways.

What we do not know (fields of a newer Java, extensions of an application) is kept as bytes and written again. What we
know and do not use (joined and unnested record types, views, stored queries, user-defined functions) is carried
through untouched. Written messages are those that Java writes, apart from the order of things that it does not order.

Source  Record Layer: RecordMetaData.toProto, RecordMetaDataBuilder.loadFromProto, Index, FormerIndex, IndexPredicate
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from google.protobuf.message import EncodeError, Message

from recordlayer import tuples
from recordlayer.errors import MalformedMetaData, SchemaError, TupleError
from recordlayer.keys import Grouping, KeyWithValue, access, concat, serial
from recordlayer.metadata import files
from recordlayer.metadata.index import NO_OPTIONS, UNIQUE, FormerIndex, Index
from recordlayer.metadata.predicate_serial import predicate_from_proto, predicate_to_proto
from recordlayer.metadata.union import DEFAULT_NAME
from recordlayer.pb import record_metadata_pb2 as pb
from recordlayer.pb.parsing import PARSE_ERRORS

if TYPE_CHECKING:
    from recordlayer.metadata.metadata import RecordMetaData
    from recordlayer.metadata.record_type import RecordType
    from recordlayer.pb.types import FileDescriptor

CARRIED = ("joined_record_types", "unnested_record_types", "user_defined_functions", "views", "stored_queries")
"""Fields of MetaData that we keep and do not look into."""

_OLD_TYPES = {
    pb.Index.Type.INDEX: ("value", False),
    pb.Index.Type.UNIQUE: ("value", True),
    pb.Index.Type.RANK: ("rank", False),
    pb.Index.Type.RANK_UNIQUE: ("rank", True),
}
_GROUPED_SINCE_EVER = ("rank", "count", "max_ever", "min_ever", "sum")


# -- to messages -------------------------------------------------------------------------------------------------------


def to_proto(metadata: RecordMetaData) -> pb.MetaData:
    """The message of a metadata."""
    message = pb.MetaData()
    message.records.ParseFromString(records_file(metadata))
    for dependency in files.dependencies(metadata.file):
        source = metadata.sources.get(dependency.name)
        message.dependencies.add().ParseFromString(files.serialised(dependency) if source is None else source)
    for name in sorted(metadata.indexes):
        message.indexes.append(index_to_proto(metadata.indexes[name]))
    for record_type in metadata.record_types.values():
        message.record_types.append(_record_type_to_proto(record_type))
    for former in metadata.former_indexes:
        message.former_indexes.append(_former_to_proto(former))
    message.split_long_records = metadata.split_long_records
    message.store_record_versions = metadata.store_record_versions
    message.version = metadata.version
    if metadata.uses_subspace_key_counter:
        message.subspace_key_counter = metadata.subspace_key_counter
        message.uses_subspace_key_counter = True
    if metadata.record_count_key is not None:
        message.record_count_key.CopyFrom(serial.to_proto(metadata.record_count_key))
    message.MergeFromString(metadata.carried)
    return message


def to_bytes(metadata: RecordMetaData) -> bytes:
    """The serialised message of a metadata."""
    try:
        return to_proto(metadata).SerializeToString(deterministic=True)
    except EncodeError as error:
        raise MalformedMetaData(reason=f"the metadata cannot be serialised: {error}") from error


def records_file(metadata: RecordMetaData) -> bytes:
    """The serialised records file, with a union in it if we made one up."""
    raw = metadata.sources.get(metadata.file.name) or files.serialised(metadata.file)
    if metadata.union.descriptor is not None:
        return raw
    from recordlayer.pb import descriptor_pb2

    proto = descriptor_pb2.FileDescriptorProto.FromString(raw)
    union = proto.message_type.add(name=DEFAULT_NAME)
    for field in metadata.union.fields:
        if field.descriptor.name in metadata.record_types:
            made = union.field.add(name=field.name, number=field.number)
            made.label = descriptor_pb2.FieldDescriptorProto.Label.LABEL_OPTIONAL
            made.type = descriptor_pb2.FieldDescriptorProto.Type.TYPE_MESSAGE
            made.type_name = f".{field.descriptor.full_name}"
    return proto.SerializeToString()


def index_to_proto(index: Index) -> pb.Index:
    """The message of an index."""
    message = pb.Index(name=index.name, type=index.type, record_type=index.record_types)
    message.root_expression.CopyFrom(serial.to_proto(index.root_expression))
    for name, value in index.options.items():
        message.options.add(key=name, value=value)
    message.subspace_key = tuples.pack((index.subspace_key,))
    if index.added_version > 0:
        message.added_version = index.added_version
    if index.last_modified_version > 0:
        message.last_modified_version = index.last_modified_version
    if index.predicate is not None:
        message.predicate.CopyFrom(predicate_to_proto(index.predicate))
    message.MergeFromString(index.unknown)
    return message


def _record_type_to_proto(record_type: RecordType) -> pb.RecordType:
    message = pb.RecordType(name=record_type.name)
    message.primary_key.CopyFrom(serial.to_proto(record_type.primary_key))
    if record_type.since_version is not None:
        message.since_version = record_type.since_version
    if record_type.explicit_key is not None:
        message.explicit_key.CopyFrom(serial.value_to_proto(record_type.explicit_key))
    message.MergeFromString(record_type.unknown)
    return message


def _former_to_proto(former: FormerIndex) -> pb.FormerIndex:
    message = pb.FormerIndex(subspace_key=tuples.pack((former.subspace_key,)))
    if former.added_version > 0:
        message.added_version = former.added_version
    if former.removed_version > 0:
        message.removed_version = former.removed_version
    if former.former_name is not None:
        message.former_name = former.former_name
    message.MergeFromString(former.unknown)
    return message


# -- from messages -----------------------------------------------------------------------------------------------------


def parse(data: bytes) -> pb.MetaData:
    """The message of serialised metadata.

    Raises: MalformedMetaData
    """
    try:
        message = pb.MetaData.FromString(data)
    except PARSE_ERRORS as error:
        raise MalformedMetaData(reason=f"metadata cannot be parsed: {error}") from error
    _refuse_broken_text(message)
    return message


def _refuse_broken_text(message: Message) -> None:
    """Protobuf gives bytes for the strings of a proto2 message that are not UTF-8."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if access.is_repeated(field) else (value,):
                _refuse_broken_text(each)
        elif field.type == field.TYPE_STRING:
            for each in value if access.is_repeated(field) else (value,):
                if isinstance(each, bytes):
                    raise MalformedMetaData(reason="a text is not UTF-8", field=field.full_name, value=each)


def file_from_proto(message: pb.MetaData) -> FileDescriptor:
    """The descriptor of the records file, in a pool of its own.

    Raises: MalformedMetaData
    """
    if not message.HasField("records"):
        raise MalformedMetaData(reason="there is no records file")
    sources = sources_of(message)
    return files.build_file(sources[message.records.name], sources.values())


def sources_of(message: pb.MetaData) -> dict[str, bytes]:
    """All files in a message, serialised, by name."""
    return {file.name: file.SerializePartialToString() for file in (*message.dependencies, message.records)}


def index_from_proto(message: pb.Index) -> Index:
    """The index of a message; its versions are 0 where it has none.

    Raises: MalformedMetaData
    """
    try:
        return _index(message)
    except (SchemaError, TupleError) as error:
        raise MalformedMetaData(index=message.name, reason=str(error)) from error


def _index(message: pb.Index) -> Index:
    options: Mapping[str, str] = MappingProxyType({option.key: option.value for option in message.options})
    index_type = message.type if message.HasField("type") else "value"
    if message.HasField("index_type"):
        index_type, unique = _OLD_TYPES[message.index_type]
        options = MappingProxyType({UNIQUE: "true"}) if unique else NO_OPTIONS
    if len(options) != len(message.options) and not message.HasField("index_type"):
        raise MalformedMetaData(reason="an option is there twice", options=[o.key for o in message.options])
    root = serial.from_proto(message.root_expression)
    if index_type in _GROUPED_SINCE_EVER and not isinstance(root, Grouping):
        root = Grouping(root, root.column_size if index_type == "count" else 1)
    if message.HasField("value_expression"):
        covered = serial.from_proto(message.value_expression)
        if covered.column_size:
            root = KeyWithValue(concat(root, covered), root.column_size)
    predicate = predicate_from_proto(message.predicate) if message.HasField("predicate") else None
    return Index(
        name=message.name,
        record_types=tuple(message.record_type),
        type=index_type,
        root_expression=root,
        options=options,
        subspace_key=_subspace_key(message.subspace_key) if message.HasField("subspace_key") else message.name,
        explicit_subspace_key=True,
        # An index from before this field was there must look old.
        added_version=message.added_version if message.HasField("added_version") else 1,
        last_modified_version=message.last_modified_version,
        predicate=predicate,
        unknown=unknown_of(message),
    )


def former_from_proto(message: pb.FormerIndex) -> FormerIndex:
    """The former index of a message.

    Raises: MalformedMetaData
    """
    return FormerIndex(
        subspace_key=_subspace_key(message.subspace_key),
        added_version=message.added_version,
        removed_version=message.removed_version,
        former_name=message.former_name if message.HasField("former_name") else None,
        unknown=unknown_of(message),
    )


def _subspace_key(packed: bytes) -> Any:
    try:
        items = tuples.unpack(packed)
    except TupleError as error:
        raise MalformedMetaData(reason=f"a subspace key is not a packed tuple: {error}") from error
    if len(items) != 1 or items[0] is None:
        raise MalformedMetaData(reason="a subspace key is a tuple of one element that is not null", subspace_key=items)
    return items[0]


def unknown_of(message: Message) -> bytes:
    """What a message holds beyond the fields we know, serialised."""
    left = type(message)()
    left.CopyFrom(message)
    for field, _ in message.ListFields():
        left.ClearField(field.name)
    return left.SerializePartialToString()


def carried_of(message: pb.MetaData) -> bytes:
    """What metadata holds that we keep without looking into it, serialised."""
    left = pb.MetaData()
    left.CopyFrom(message)
    for field, _ in message.ListFields():
        if field.name not in CARRIED:
            left.ClearField(field.name)
    return left.SerializePartialToString()
