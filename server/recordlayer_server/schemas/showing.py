"""Schemas as callers see them: without what the service has put into them."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2

from recordlayer import RecordMetaData
from recordlayer.client.pb import schemas_pb2, types_pb2
from recordlayer.migrate.wording import key_words
from recordlayer.pb import record_metadata_pb2
from recordlayer_server.pb import stored_pb2
from recordlayer_server.schema import SYSTEM_NUMBER
from recordlayer_server.values import timestamp

Version = schemas_pb2.SchemaVersion
_SYSTEM_FILE = stored_pb2.DESCRIPTOR.name


def version_of(origin: Any, state: Any) -> schemas_pb2.SchemaVersion:
    """A version that was noted, in that state."""
    made = Version(version=origin.version, state=state, origin=origin.origin, promoted_from=origin.promoted_from)
    if origin.stored_at:
        made.stored.CopyFrom(types_pb2.Change(time=timestamp(origin.stored_at), user=origin.stored_by))
    return made


def descriptor_set(metadata: RecordMetaData) -> bytes:
    """The container's files, those that others import first."""
    message = record_metadata_pb2.MetaData.FromString(metadata.to_bytes())
    files = [descriptor_pb2.FileDescriptorProto.FromString(message.records.SerializeToString())]
    files += [descriptor_pb2.FileDescriptorProto.FromString(file.SerializeToString()) for file in message.dependencies]
    made = descriptor_pb2.FileDescriptorSet()
    for file in files:
        if file.name == _SYSTEM_FILE:
            continue
        for kind in file.message_type:
            kept = [field for field in kind.field if field.number != SYSTEM_NUMBER]
            del kind.field[:]
            kind.field.extend(kept)
        kept_files = [name for name in file.dependency if name != _SYSTEM_FILE]
        del file.dependency[:]
        file.dependency.extend(kept_files)
        made.file.append(file)
    ordered = _in_order(made)
    return ordered.SerializeToString(deterministic=True)


def _in_order(files: descriptor_pb2.FileDescriptorSet) -> descriptor_pb2.FileDescriptorSet:
    left = {file.name: file for file in files.file}
    made = descriptor_pb2.FileDescriptorSet()
    while left:
        ready = [name for name, file in left.items() if not any(each in left for each in file.dependency)]
        for name in ready:
            made.file.append(left.pop(name))
    return made


def show(reply: schemas_pb2.GetSchemaReply, metadata: RecordMetaData) -> None:
    """Put the record types and indexes into a reply, and the files."""
    reply.descriptor_set = descriptor_set(metadata)
    for name, known in metadata.record_types.items():
        reply.record_types.add(name=name, message=known.descriptor.full_name)
    for index in metadata.indexes.values():
        reply.indexes.add(
            name=index.name,
            type=index.type,
            record_types=index.record_types,
            unique=index.unique,
            columns=key_words(index)[:1_000],
            since_version=index.last_modified_version,
        )
