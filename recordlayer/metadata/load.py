"""Stored metadata into a builder, and a program's own message classes into stored metadata.

Source  Record Layer: RecordMetaDataBuilder.loadFromProto, updateUnionFieldsAndRecordTypesFromLocal
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recordlayer.errors import InvalidRecordType, MalformedMetaData
from recordlayer.keys import serial as keys_serial
from recordlayer.metadata import files, serial, synthetic_proto
from recordlayer.metadata.union import find_union
from recordlayer.pb import record_metadata_pb2 as pb

if TYPE_CHECKING:
    from recordlayer.metadata.build import RecordMetaDataBuilder
    from recordlayer.pb.types import Descriptor


def load(builder: RecordMetaDataBuilder, message: pb.MetaData) -> None:
    """Take over everything that a stored message says.

    Raises: MalformedMetaData
    """
    if message.HasField("subspace_key_counter") != message.uses_subspace_key_counter:
        reason = "subspace_key_counter and uses_subspace_key_counter go together"
        raise MalformedMetaData(reason=reason)
    builder._counting = message.uses_subspace_key_counter
    builder._counter = message.subspace_key_counter
    builder._synthetic = synthetic_proto.names_in(message)
    _load_indexes(builder, message)
    _load_record_types(builder, message)
    builder._split = message.split_long_records
    builder._versions_stored = message.store_record_versions
    builder._former = [serial.former_from_proto(former) for former in message.former_indexes]
    if message.HasField("record_count_key"):
        builder._count_key = keys_serial.from_proto(message.record_count_key)
    if message.HasField("version"):
        builder._version = message.version
    builder._carried = serial.carried_of(message)


def _load_indexes(builder: RecordMetaDataBuilder, message: pb.MetaData) -> None:
    for stored in message.indexes:
        index = serial.index_from_proto(stored)
        if not index.name:
            raise MalformedMetaData(reason="an index has no name")
        if index.name in builder._indexes:
            raise MalformedMetaData(reason="an index is there twice", index=index.name)
        for name in index.record_types:
            if name not in builder._types and name not in builder._synthetic:
                reason = "an index is over a record type that is not there"
                raise MalformedMetaData(reason=reason, index=index.name, record_type=name)
        builder.add_index(index)


def _load_record_types(builder: RecordMetaDataBuilder, message: pb.MetaData) -> None:
    for stored in message.record_types:
        draft = builder._types.get(stored.name)
        if draft is None:
            raise MalformedMetaData(reason="a record type is not in the union", record_type=stored.name)
        if stored.HasField("primary_key"):
            draft.primary_key = keys_serial.from_proto(stored.primary_key)
        if stored.HasField("since_version"):
            draft.since_version = stored.since_version
        if stored.HasField("explicit_key"):
            literal = keys_serial.value_from_proto(stored.explicit_key)
            draft.explicit_key = None if literal.kind == "null" else literal
        draft.unknown = serial.unknown_of(stored)


def use_local(builder: RecordMetaDataBuilder, source: object) -> None:
    """Let records be messages of a program's own file, which may be newer or older than the stored one.

    Types are matched by their number in the two unions, or by name if the program's file has no union. Stored types
    without a counterpart are left out: their records cannot be read.

    Raises: WrongType, InvalidRecordType
    """
    local = find_union(files.file_of(source), files.Protos())
    stored = {field.number: field.descriptor for field in builder._union.fields}
    counterparts: dict[str, Descriptor] = {}
    if local.descriptor is None:
        by_name = {field.descriptor.name: field.descriptor for field in local.fields}
        counterparts = {name: by_name[name] for name in builder._types if name in by_name}
    else:
        for field in local.fields:
            if field.number in stored:
                counterparts.setdefault(stored[field.number].name, field.descriptor)
    if not counterparts:
        hint = "the file given has none of the stored record types"
        raise InvalidRecordType(record_types=list(builder._types), hint=hint)
    builder._local = counterparts
