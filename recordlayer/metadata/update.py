"""A newer .proto file under metadata that is there already: record types go on under their numbers in the union, new
ones come in with a since-version.

Source  Record Layer: RecordMetaDataBuilder.updateRecords, MetaDataProtoEditor.addDefaultUnionIfMissing
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from recordlayer.errors import InvalidRecordType, UsageError
from recordlayer.metadata import files, proto_options, synthetic_proto
from recordlayer.metadata.build import RecordMetaDataBuilder
from recordlayer.metadata.synthetic_definitions import TypeDraft
from recordlayer.metadata.union import Union, UnionField, find_union

if TYPE_CHECKING:
    from recordlayer.pb.types import Descriptor, FileDescriptor


def update_records(builder: RecordMetaDataBuilder, source: object) -> None:
    """Let the records be those of a newer file: the DESCRIPTOR of a generated module, or the module.

    Types that were there keep what was said of them, also under a new name if the file has a union. New types get their
    primary keys and indexes from the file's annotations, or from the builder afterwards, and the next version as their
    since-version. The file's annotations of older types and of the schema do not count.

    Raises: InvalidRecordType, UsageError
    """
    if builder._local is not None:
        raise UsageError(hint="metadata with a program's own message classes cannot be stored: load it without them")
    file = files.file_of(source)
    protos = files.Protos()
    union = find_union(file, protos)
    if union.descriptor is None:
        union = _continued(builder._union, union, file)
    types, renamed = _matched(builder, union)
    builder._version += 1
    known = set(renamed.values())
    fresh = [draft for draft in types.values() if draft.name not in known]
    for index in builder._indexes.values():
        names = tuple(renamed.get(name, name) for name in index.record_types)
        builder._indexes[index.name] = dataclasses.replace(index, record_types=names)
    builder._carried = synthetic_proto.renamed(builder._carried, renamed)
    builder._file, builder._protos, builder._union, builder._types = file, protos, union, types
    builder._sources = {}
    for draft in fresh:
        proto_options.apply_types(builder, (draft,))  # its indexes raise the version, as in Java
        if draft.since_version not in (None, builder._version):
            raise InvalidRecordType(
                record_type=draft.name,
                since_version=draft.since_version,
                version=builder._version,
                hint="a new type comes with the next version of the metadata: leave its since_version out",
            )
        draft.since_version = builder._version


def _continued(before: Union, made_up: Union, file: FileDescriptor) -> Union:
    """A union for a file without one: the fields there were, by the names of their messages; new ones behind them."""
    fields: list[UnionField] = []
    for field in before.fields:
        descriptor: Descriptor | None = file.message_types_by_name.get(field.descriptor.name)
        if descriptor is None:
            raise InvalidRecordType(
                record_type=field.descriptor.name,
                hint="the file no longer has this message: keep it, or write a union to rename it",
            )
        fields.append(UnionField(field.number, field.name, descriptor))
    known = {field.descriptor.name for field in fields}
    number = max((field.number for field in fields), default=0)
    for field in made_up.fields:
        if field.descriptor.name not in known:
            number += 1
            fields.append(UnionField(number, field.name, field.descriptor))
    return Union(made_up.name, tuple(fields), None)


def _matched(builder: RecordMetaDataBuilder, union: Union) -> tuple[dict[str, TypeDraft], dict[str, str]]:
    """The record types of a new union, with what was said of those that were there; and old names to new ones."""
    before = {field.number: builder._types[field.descriptor.name] for field in builder._union.fields}
    types: dict[str, TypeDraft] = {}
    renamed: dict[str, str] = {}
    for fields in union.fields_by_type().values():
        descriptor = fields[0].descriptor
        if descriptor.name in types:
            hint = "record types are known by their simple names, which must differ"
            raise InvalidRecordType(record_type=descriptor.name, hint=hint)
        old = next((before[field.number] for field in fields if field.number in before), None)
        if old is None:
            types[descriptor.name] = TypeDraft(descriptor.name, descriptor)
        else:
            types[descriptor.name] = dataclasses.replace(old, name=descriptor.name, descriptor=descriptor)
            renamed[old.name] = descriptor.name
    return types, renamed
