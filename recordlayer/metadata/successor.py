"""The metadata that comes next: what somebody wants, as the successor of what there is.

Who writes a schema says what it shall be, and no versions. They are worked out here from what is stored: what is new
comes with the next version, an index that is defined otherwise is to be built again, one that is gone becomes a former
index, and the places of indexes that stay are those they have. Equal schemas give no successor.

Source  Record Layer, RecordMetaDataBuilder; the rules that judge the outcome are those of `metadata.evolution`
"""

from __future__ import annotations

import dataclasses
from typing import Any

from google.protobuf import descriptor_pb2

from recordlayer.metadata import files
from recordlayer.metadata.build import RecordMetaDataBuilder
from recordlayer.metadata.evolution import Change, Evolution
from recordlayer.metadata.evolution_indexes import redefined
from recordlayer.metadata.index import Index
from recordlayer.metadata.metadata import RecordMetaData
from recordlayer.metadata.serial import index_to_proto, records_file
from recordlayer.metadata.update import update_records


def successor(current: RecordMetaData, wanted: RecordMetaData) -> RecordMetaData:
    """The metadata that has everything that is wanted and follows the current one; the current one itself if nothing is
    different. Whether stores can follow it is not judged here.

    Raises  what building metadata raises, and InvalidRecordType where a message is gone.
    """
    builder = RecordMetaDataBuilder.from_proto(current.to_bytes())
    if _files(current, wanted) != _files(wanted, wanted):
        update_records(builder, wanted.file)
        builder._sources = dict(wanted.sources)
    renamed = renamed_types(current, wanted)
    _record_types(builder, current, wanted, renamed)
    _settings(builder, wanted)
    for name in current.indexes.keys() - wanted.indexes.keys():
        builder.remove_index(name)
    for index in wanted.indexes.values():
        _index(builder, current.indexes.get(index.name), index, renamed)
    if builder._version == current.version:
        return current
    made = builder.build()
    return _with_builds(builder, current, made) or made


def _files(metadata: RecordMetaData, wanted: RecordMetaData) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    """The files of a metadata, without what does not matter: comments, and a union where nobody wrote one."""
    raw = {file.name: files.serialised(file) for file in files.dependencies(metadata.file)}
    raw["" if metadata.file.name == wanted.file.name else metadata.file.name] = records_file(metadata)
    found = {name: descriptor_pb2.FileDescriptorProto.FromString(content) for name, content in raw.items()}
    for file in found.values():
        file.ClearField("source_code_info")
        for message in file.message_type:
            _without_json_names(message)
        for field in file.extension:
            field.ClearField("json_name")
    if wanted.union.descriptor is None:
        for file in found.values():
            kept = [message for message in file.message_type if message.name != metadata.union.name]
            del file.message_type[:]
            file.message_type.extend(kept)
    return found


def _without_json_names(message: descriptor_pb2.DescriptorProto) -> None:
    for field in (*message.field, *message.extension):
        field.ClearField("json_name")
    for nested in message.nested_type:
        _without_json_names(nested)


def renamed_types(current: RecordMetaData, wanted: RecordMetaData) -> dict[str, str]:
    """What record types are called now, by what they were: each is known by its field in a written union."""
    if wanted.union.descriptor is None:
        return {}
    after = {field.number: field.descriptor.name for field in wanted.union.fields}
    return {field.descriptor.name: after[field.number] for field in current.union.fields if field.number in after}


def _record_types(
    builder: RecordMetaDataBuilder, current: RecordMetaData, wanted: RecordMetaData, renamed: dict[str, str]
) -> None:
    """Keys of record types are those that are wanted; whether they may be others than before, the rules say."""
    before = {renamed.get(name, name): known for name, known in current.record_types.items()}
    for name, known in wanted.record_types.items():
        draft, old = builder._draft(name), before.get(name)
        draft.primary_key, draft.explicit_key = known.primary_key, known.explicit_key
        if old is None:
            draft.since_version = builder._version
        elif (old.primary_key, old.explicit_key) != (known.primary_key, known.explicit_key):
            builder._version = max(builder._version, current.version + 1)  # it has no version of its own


def _settings(builder: RecordMetaDataBuilder, wanted: RecordMetaData) -> None:
    builder.split_long_records(wanted.split_long_records)
    builder.store_record_versions(wanted.store_record_versions)
    builder.record_count_key(wanted.record_count_key)
    if wanted.uses_subspace_key_counter and not builder._counting:
        builder.counter_based_subspace_keys()
    if wanted.carried != builder._carried:
        builder._carried, builder._synthetic = wanted.carried, set(wanted.synthetic)
        builder._version += 1


def _index(builder: RecordMetaDataBuilder, old: Index | None, index: Index, renamed: dict[str, str]) -> None:
    if old is None:
        builder._indexes.pop(index.name, None)  # one that the annotations of a new type have brought
        place = _free_place(builder, index)
        builder.add_index(dataclasses.replace(index, subspace_key=place, added_version=0, last_modified_version=0))
    elif _definition(old, renamed) != _definition(index, {}):
        builder._version += 1
        builder._indexes[index.name] = dataclasses.replace(
            index,
            subspace_key=old.subspace_key,
            explicit_subspace_key=old.explicit_subspace_key,
            added_version=old.added_version,
            last_modified_version=old.last_modified_version,
            unknown=old.unknown,
        )


def _with_builds(
    builder: RecordMetaDataBuilder, current: RecordMetaData, made: RecordMetaData
) -> RecordMetaData | None:
    """The same with the indexes modified whose entries would be others; None if there are none. A name that changes in
    the definition as it does in the records, or an option that is only for queries, changes no entry."""
    change = Change(current, made, Evolution(allow_field_renames=True))
    for name in current.indexes.keys() & made.indexes.keys():
        if any(redefined(current.indexes[name], made.indexes[name], change)):
            index = dataclasses.replace(builder._indexes[name], last_modified_version=made.version)
            builder._indexes[name] = index
    built = builder.build()
    return built if built.indexes != made.indexes else None


def _definition(index: Index, renamed: dict[str, str]) -> bytes:
    """What an index is, its place and versions apart."""
    bare = dataclasses.replace(
        index,
        record_types=tuple(sorted(renamed.get(name, name) for name in index.record_types)),
        options=dict(sorted(index.options.items())),
        subspace_key=0,
        added_version=0,
        last_modified_version=0,
        unknown=b"",
    )
    return index_to_proto(bare).SerializeToString(deterministic=True)


def _free_place(builder: RecordMetaDataBuilder, index: Index) -> Any:
    """Where a new index lies: where it is wanted, unless a former index or another one lay there."""
    taken = {former.subspace_key for former in builder._former}
    taken |= {known.subspace_key for known in builder._indexes.values()}
    place, number = index.subspace_key, 1
    while place in taken:
        number += 1
        place = f"{index.name}#{number}"
    return place
