"""A container of the service: photos and albums, with a field of every kind and an index of most types."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, duration_pb2, timestamp_pb2

from recordlayer import RecordMetaDataBuilder, concat, count, field, sum_of
from recordlayer.client.pb import types_pb2
from recordlayer.keys import Grouping
from recordlayer.metadata import permuted_max

CONTAINER = "com.example.photos"

_KIND = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "string": _KIND.TYPE_STRING,
    "int64": _KIND.TYPE_INT64,
    "int32": _KIND.TYPE_INT32,
    "double": _KIND.TYPE_DOUBLE,
    "float": _KIND.TYPE_FLOAT,
    "bool": _KIND.TYPE_BOOL,
    "bytes": _KIND.TYPE_BYTES,
}
_IMPORTED = {
    "Timestamp": ".google.protobuf.Timestamp",
    "Duration": ".google.protobuf.Duration",
    "Reference": ".recordlayer.v1.Reference",
    "Asset": ".recordlayer.v1.Asset",
}

MESSAGES: dict[str, tuple[str, ...]] = {
    "Place": ("double latitude", "double longitude"),
    "Camera": ("string make", "string model"),
    "Photo": (
        "string title",
        "string caption",
        "int64 rating",
        "double ratio",
        "float weight",
        "bool hidden",
        "bytes hash",
        "Kind kind",
        "Place place",
        "Camera camera",
        "Timestamp taken",
        "Reference album",
        "[] string tags",
        "[] int64 sizes",
        "[] Camera lenses",
        "int64 views",
        "int32 small",
        "Duration exposure",
        "[] Timestamp visits",
        "Asset image",
        "[] Asset prints",
    ),
    "Album": ("string name", "string code", "int64 photos"),
    "RecordTypeUnion": ("Photo _Photo", "Album _Album"),
}


def photos_file() -> descriptor_pb2.FileDescriptorProto:
    """The file, in proto2: every field that is not a list has presence."""
    file = descriptor_pb2.FileDescriptorProto(name="photos.proto", package="photos", syntax="proto2")
    file.dependency.extend(
        [
            "google/protobuf/timestamp.proto",
            "google/protobuf/duration.proto",
            "recordlayer/v1/types.proto",
        ]
    )
    kinds = file.enum_type.add(name="Kind")
    for number, name in enumerate(("PICTURE", "PANORAMA", "SCREENSHOT")):
        kinds.value.add(name=name, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, text in enumerate(fields, 1):
            *repeated, kind, field_name = text.split()
            made = message.field.add(name=field_name, number=number)
            made.label = _KIND.LABEL_REPEATED if repeated else _KIND.LABEL_OPTIONAL
            if kind in _TYPES:
                made.type = _TYPES[kind]
            else:
                made.type = _KIND.TYPE_ENUM if kind == "Kind" else _KIND.TYPE_MESSAGE
                made.type_name = _IMPORTED.get(kind, f".photos.{kind}")
    labels = file.message_type[2].nested_type.add(name="LabelsEntry")
    labels.options.map_entry = True
    for number, field_name in enumerate(("key", "value"), 1):
        labels.field.add(name=field_name, number=number, label=_KIND.LABEL_OPTIONAL, type=_KIND.TYPE_STRING)
    file.message_type[2].field.add(
        name="labels",
        number=40,
        label=_KIND.LABEL_REPEATED,
        type=_KIND.TYPE_MESSAGE,
        type_name=".photos.Photo.LabelsEntry",
    )
    return file


def descriptor_set() -> bytes:
    """As `protoc --include_imports` writes it."""
    files = [timestamp_pb2.DESCRIPTOR, duration_pb2.DESCRIPTOR, types_pb2.DESCRIPTOR]
    set_ = descriptor_pb2.FileDescriptorSet()
    for file in files:
        set_.file.add().ParseFromString(file.serialized_pb)
    for dependency in types_pb2.DESCRIPTOR.dependencies:
        if dependency.name != timestamp_pb2.DESCRIPTOR.name:
            set_.file.add().ParseFromString(dependency.serialized_pb)
    set_.file.append(photos_file())
    return set_.SerializeToString()


def description() -> bytes:
    """The same with indexes, as MetaData."""
    builder = (
        RecordMetaDataBuilder.from_descriptor_set(descriptor_set(), file="photos.proto")
        .primary_key("Photo", field("title"))
        .primary_key("Album", field("name"))
        .index("Photo", "by_title", "title")
        .index("Photo", "by_rating", "rating")
        .index("Photo", "by_tag", field("tags").fan_out())
        .index("Photo", "by_size", field("sizes").fan_out())
        .index("Photo", "by_latitude", field("place").nest("latitude"))
        .index("Photo", "by_time", field("taken").nest(concat("seconds", "nanos")))
        .index("Photo", "kinds", count(group_by="kind"))
        .index("Photo", "words", "caption", type="text")
        .index("Photo", "ranks", Grouping(field("rating"), 1), type="rank")
        .index("Photo", "rating_by_kind", sum_of("rating", group_by="kind"))
        .index("Photo", "best_of_kind", permuted_max("rating", group_by="kind", permuted=0))
        .index("Album", "by_code", "code", unique=True)
    )
    return builder.build().to_bytes()
