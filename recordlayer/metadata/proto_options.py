"""Annotations in .proto files as a source of metadata: the options of Java's record_metadata_options.proto.

    message Order {
      optional int64 id = 1 [(com.apple.foundationdb.record.field).primary_key = true];
      optional string customer = 2 [(com.apple.foundationdb.record.field).index = {}];
    }

Read from the serialised form of descriptors, so it does not matter which copy of the options a program has loaded.
Indexes are added in the order of the union's fields, and of the fields in each type: versions depend on it.

Source  Record Layer: RecordMetaDataBuilder.processRecordType, protoFieldOptions, processSchemaOptions
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from recordlayer.errors import InvalidRecordType
from recordlayer.keys import Field, KeyExpression, access
from recordlayer.keys.serial import value_from_proto
from recordlayer.metadata.index import UNIQUE, Index, as_options
from recordlayer.pb import record_metadata_options_pb2 as options_pb
from recordlayer.pb import record_metadata_pb2 as metadata_pb

if TYPE_CHECKING:
    from recordlayer.metadata.build import RecordMetaDataBuilder
    from recordlayer.metadata.synthetic_definitions import TypeDraft
    from recordlayer.pb.types import FieldDescriptor

_OLD_TYPES = {
    metadata_pb.Index.Type.INDEX: ("value", False),
    metadata_pb.Index.Type.UNIQUE: ("value", True),
    metadata_pb.Index.Type.RANK: ("rank", False),
    metadata_pb.Index.Type.RANK_UNIQUE: ("rank", True),
}


def apply(builder: RecordMetaDataBuilder) -> None:
    """Take over what the builder's file says about its record types, its indexes and itself."""
    apply_types(builder, builder._types.values())
    schema = builder._protos.file(builder._file).options.Extensions[options_pb.schema]
    # Unlike the builder's methods, these do not count as a change.
    if schema.HasField("split_long_records"):
        builder._split = schema.split_long_records
    if schema.HasField("store_record_versions"):
        builder._versions_stored = schema.store_record_versions


def apply_types(builder: RecordMetaDataBuilder, drafts: Iterable[TypeDraft]) -> None:
    """Take over what the builder's file says about some of its record types and their indexes."""
    for draft in drafts:
        proto = builder._protos.message(draft.descriptor)
        said = proto.options.Extensions[options_pb.record]
        if said.HasField("since_version"):
            draft.since_version = said.since_version
        if said.HasField("record_type_key"):
            draft.explicit_key = value_from_proto(said.record_type_key)
        fields = {field.number: field for field in proto.field}
        for field in draft.descriptor.fields:
            _apply_field(builder, draft, field, fields[field.number].options.Extensions[options_pb.field])


def _apply_field(builder: RecordMetaDataBuilder, draft: TypeDraft, field: FieldDescriptor, said: Any) -> None:
    if said.HasField("index") or said.HasField("indexed"):
        builder.add_index(_index(draft, field, said))
    elif said.primary_key:
        where = {"record_type": draft.name, "field": field.name}
        if draft.primary_key is not None:
            hint = "one field only can be annotated: write a primary key of several columns in code"
            builder._findings.append(InvalidRecordType(**where, hint=hint))
        elif access.is_repeated(field):
            builder._findings.append(InvalidRecordType(**where, hint="a repeated field cannot be the primary key"))
        else:
            draft.primary_key = Field(field.name)


def _index(draft: TypeDraft, field: FieldDescriptor, said: Any) -> Index:
    options: dict[str, object] = {}
    if said.HasField("index"):
        index_type = said.index.type
        if said.index.unique:
            options[UNIQUE] = True
        options.update((option.key, option.value) for option in said.index.options)
    else:
        index_type, unique = _OLD_TYPES[said.indexed]
        if unique:
            options[UNIQUE] = True
    expression: KeyExpression = Field(field.name)
    if access.is_repeated(field):
        expression = Field(field.name).fan_out()
    if index_type == "rank":
        expression = expression.ungrouped()
    name = f"{draft.name}${field.name}"
    return Index(
        name=name,
        record_types=(draft.name,),
        type=index_type,
        root_expression=expression,
        options=as_options(options),
        subspace_key=name,
        added_version=0,
        last_modified_version=0,
    )
