"""Message types for tests, from .proto source, without a compiler: enough of the language to write them down."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import descriptor_pb2, message_factory

from recordlayer.metadata.files import build_file

Proto = descriptor_pb2.FieldDescriptorProto

_SCALARS = {
    name.removeprefix("TYPE_").lower(): number
    for name, number in Proto.Type.items()
    if name not in ("TYPE_GROUP", "TYPE_MESSAGE", "TYPE_ENUM")
}
_FIELD = re.compile(
    r"(?:(optional|required|repeated)\s+)?(map<\s*\w+\s*,\s*[\w.]+\s*>|[\w.]+)\s+(\w+)\s*=\s*(\d+)\s*(?:\[default\s*=\s*([^\]]*)\])?"
)


def parse(source: str, *, name: str = "test.proto") -> descriptor_pb2.FileDescriptorProto:
    """The file of a source text: syntax, package, imports, messages, enums, oneofs, maps, defaults, groups of none."""
    text = re.sub(r"//[^\n]*", "", source)
    file = descriptor_pb2.FileDescriptorProto(name=name)
    syntax = re.search(r'syntax\s*=\s*"(\w+)"', text)
    proto3 = syntax is not None and syntax.group(1) == "proto3"
    if proto3:
        file.syntax = "proto3"
    edition = re.search(r'edition\s*=\s*"(\d+)"', text)
    if edition:
        file.syntax = "editions"
        file.edition = getattr(descriptor_pb2, f"EDITION_{edition.group(1)}")
    package = re.search(r"package\s+([\w.]+)\s*;", text)
    if package:
        file.package = package.group(1)
    file.dependency.extend(re.findall(r'import\s+"([^"]+)"', text))
    body = re.sub(r'(syntax|edition)\s*=\s*"[^"]*"\s*;|package\s+[\w.]+\s*;|import\s+"[^"]+"\s*;', "", text)
    _block(body, file, file.message_type, proto3=proto3)
    _resolve(file)
    return file


def load(source: str, *, name: str = "test.proto", imports: tuple[descriptor_pb2.FileDescriptorProto, ...] = ()) -> Any:
    """The descriptor of a source text, in a pool of its own."""
    return build_file(parse(source, name=name).SerializeToString(), [file.SerializeToString() for file in imports])


def classes(source: str) -> Any:
    """The message classes of a source text by name, as attributes."""
    file = load(source)
    return type("Messages", (), {n: message_factory.GetMessageClass(d) for n, d in file.message_types_by_name.items()})


def _block(text: str, owner: Any, messages: Any, *, proto3: bool, oneof: int | None = None) -> None:
    at = 0
    while match := re.compile(r"\s*(?:(message|enum|oneof)\s+(\w+)\s*\{|([^;{}]+);)").match(text, at):
        kind, name, statement = match.groups()
        at = match.end()
        if kind is None:
            _field(statement.strip(), owner, messages, proto3=proto3, oneof=oneof)
            continue
        end = _closing(text, at)
        inner, at = text[at:end], end + 1
        if kind == "message":
            message = messages.add(name=name)
            _block(inner, message, message.nested_type, proto3=proto3)
            if proto3:
                _synthetic_oneofs(message)
        elif kind == "enum":
            enum = owner.enum_type.add(name=name)
            for value, number in re.findall(r"(\w+)\s*=\s*(-?\d+)", inner):
                enum.value.add(name=value, number=int(number))
        else:
            owner.oneof_decl.add(name=name)
            _block(inner, owner, messages, proto3=proto3, oneof=len(owner.oneof_decl) - 1)


def _closing(text: str, at: int) -> int:
    depth = 1
    while depth:
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return at - 1


def _field(statement: str, owner: Any, messages: Any, *, proto3: bool, oneof: int | None) -> None:
    match = _FIELD.fullmatch(statement)
    if match is None:
        raise ValueError(f"cannot read {statement!r}")
    label, kind, name, number, default = match.groups()
    field = owner.field.add(name=name, number=int(number), label=Proto.LABEL_OPTIONAL)
    if kind.startswith("map<"):
        key, value = re.findall(r"[\w.]+", kind)[1:]
        entry = messages.add(name=name.title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        _field(f"{key} key = 1", entry, entry.nested_type, proto3=False, oneof=None)
        _field(f"{value} value = 2", entry, entry.nested_type, proto3=False, oneof=None)
        label, kind = "repeated", entry.name
    if label == "repeated":
        field.label = Proto.LABEL_REPEATED
    elif label == "required":
        field.label = Proto.LABEL_REQUIRED
    elif label == "optional" and proto3:
        field.proto3_optional = True
    if oneof is not None:
        field.oneof_index = oneof
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type_name = kind
    if default is not None:
        field.default_value = default.strip('"')


def _synthetic_oneofs(message: Any) -> None:
    for field in message.field:
        if field.proto3_optional:
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")


def _resolve(file: descriptor_pb2.FileDescriptorProto) -> None:
    """Full names for the types of fields, and which of them are enums."""
    package = f".{file.package}" if file.package else ""
    known: dict[str, bool] = {}

    def collect(prefix: str, owner: Any, messages: Any) -> None:
        for enum in owner.enum_type:
            known[f"{prefix}.{enum.name}"] = True
        for message in messages:
            known[f"{prefix}.{message.name}"] = False
            collect(f"{prefix}.{message.name}", message, message.nested_type)

    def resolve(scope: str, messages: Any) -> None:
        for message in messages:
            inner = f"{scope}.{message.name}"
            for field in message.field:
                if field.type_name and not field.type_name.startswith("."):
                    field.type_name = _lookup(inner, field.type_name, known)
                if field.type_name:
                    field.type = Proto.TYPE_ENUM if known.get(field.type_name) else Proto.TYPE_MESSAGE
            resolve(inner, message.nested_type)

    collect(package, file, file.message_type)
    resolve(package, file.message_type)


def _lookup(scope: str, name: str, known: dict[str, bool]) -> str:
    while True:
        if f"{scope}.{name}" in known:
            return f"{scope}.{name}"
        if not scope:
            return f".{name}"
        scope = scope.rpartition(".")[0]
