"""A message with a field of every sort that conditions speak of, in proto2 and proto3, described here."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_KIND = descriptor_pb2.FieldDescriptorProto

SCALARS: dict[str, int] = {
    "number": _KIND.TYPE_INT64,
    "small": _KIND.TYPE_SINT32,
    "big": _KIND.TYPE_SFIXED64,
    "name": _KIND.TYPE_STRING,
    "blob": _KIND.TYPE_BYTES,
    "ratio": _KIND.TYPE_DOUBLE,
    "weight": _KIND.TYPE_FLOAT,
    "tame": _KIND.TYPE_BOOL,
    "kind": _KIND.TYPE_ENUM,
}
LISTS = {"tags": _KIND.TYPE_STRING, "scores": _KIND.TYPE_INT64, "sizes": _KIND.TYPE_DOUBLE}
KINDS = ("NONE", "CAT", "DOG")


def zoo_file(syntax: str) -> Any:
    """Animal {scalars, lists, home: Home, toys: repeated Toy, marks: map<string, int64>, maybe: optional int64}."""
    package = f"zoo_{syntax}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax=syntax)
    kinds = file.enum_type.add(name="Kind")
    for number, name in enumerate(KINDS):
        kinds.value.add(name=name, number=number)
    file.message_type.add(name="RecordTypeUnion").field.add(
        name="_Animal", number=1, type=_KIND.TYPE_MESSAGE, type_name=f".{package}.Animal", label=_KIND.LABEL_OPTIONAL
    )
    home = file.message_type.add(name="Home")
    home.field.add(name="city", number=1, type=_KIND.TYPE_STRING, label=_KIND.LABEL_OPTIONAL)
    home.field.add(name="floor", number=2, type=_KIND.TYPE_INT64, label=_KIND.LABEL_OPTIONAL)
    toy = file.message_type.add(name="Toy")
    toy.field.add(name="label", number=1, type=_KIND.TYPE_STRING, label=_KIND.LABEL_OPTIONAL)
    toy.field.add(name="price", number=2, type=_KIND.TYPE_INT64, label=_KIND.LABEL_OPTIONAL)
    animal = file.message_type.add(name="Animal")
    animal.field.add(name="id", number=1, type=_KIND.TYPE_INT64, label=_KIND.LABEL_OPTIONAL)
    number = 2
    for name, kind in SCALARS.items():
        made = animal.field.add(name=name, number=number, type=kind, label=_KIND.LABEL_OPTIONAL)
        if kind == _KIND.TYPE_ENUM:
            made.type_name = f".{package}.Kind"
        number += 1
    for name, kind in LISTS.items():
        animal.field.add(name=name, number=number, type=kind, label=_KIND.LABEL_REPEATED)
        number += 1
    for name, target, label in (("home", "Home", _KIND.LABEL_OPTIONAL), ("toys", "Toy", _KIND.LABEL_REPEATED)):
        animal.field.add(
            name=name, number=number, type=_KIND.TYPE_MESSAGE, type_name=f".{package}.{target}", label=label
        )
        number += 1
    entry = animal.nested_type.add(name="MarksEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_KIND.TYPE_STRING, label=_KIND.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=_KIND.TYPE_INT64, label=_KIND.LABEL_OPTIONAL)
    animal.field.add(
        name="marks",
        number=number,
        type=_KIND.TYPE_MESSAGE,
        type_name=f".{package}.Animal.MarksEntry",
        label=_KIND.LABEL_REPEATED,
    )
    maybe = animal.field.add(name="maybe", number=number + 1, type=_KIND.TYPE_INT64, label=_KIND.LABEL_OPTIONAL)
    if syntax == "proto3":
        maybe.proto3_optional = True
        maybe.oneof_index = 0
        animal.oneof_decl.add(name="_maybe")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindFileByName(file.name)


FILES = {syntax: zoo_file(syntax) for syntax in ("proto2", "proto3")}
ANIMALS: dict[str, Any] = {
    syntax: message_factory.GetMessageClass(file.message_types_by_name["Animal"]) for syntax, file in FILES.items()
}


def animal(syntax: str, row: dict[str, Any]) -> Any:
    """A message of a row: fields by name, None for those that are not set."""
    message = ANIMALS[syntax]()
    for name, value in row.items():
        if value is None:
            continue
        if name == "home":
            message.home.SetInParent()
            for part, inner in value.items():
                if inner is not None:
                    setattr(message.home, part, inner)
        elif name == "toys":
            for toy in value:
                message.toys.add(**{part: inner for part, inner in toy.items() if inner is not None})
        elif name == "marks":
            for key, inner in value.items():
                message.marks[key] = inner
        elif isinstance(value, list):
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)
    return message
