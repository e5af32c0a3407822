"""Descriptors of .proto files from wherever they come: generated modules, descriptors, descriptor sets.

A set of files that is given as data gets a pool of its own, so that two versions of the same file can be loaded at the
same time. What such files import from protobuf itself or from the Record Layer need not be among them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2 as public_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool

from recordlayer.errors import MalformedMetaData, WrongType
from recordlayer.pb import descriptor_pb2, pool
from recordlayer.pb.parsing import PARSE_ERRORS

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.pb.types import Descriptor, FileDescriptor

LIBRARY_FILES = frozenset(file.name for file in pool.descriptor_set().file)
"""The Record Layer's own files: known to every reader, never stored with metadata."""


def file_of(source: object) -> FileDescriptor:
    """The file descriptor of a generated module, a message class, a descriptor, or itself.

    Raises: WrongType
    """
    if isinstance(source, (ModuleType, type)):
        source = getattr(source, "DESCRIPTOR", source)
    if hasattr(source, "message_types_by_name"):
        return source
    if hasattr(source, "fields_by_name") and hasattr(source, "file"):
        return source.file
    raise WrongType(
        source=source,
        hint="pass the DESCRIPTOR of a generated module, the module itself, or a FileDescriptorSet's bytes "
        "to RecordMetaDataBuilder.from_descriptor_set",
    )


def load_descriptor_set(data: bytes | public_pb2.FileDescriptorSet, *, file: str | None = None) -> FileDescriptor:
    """The descriptor of one file of a set, by default of the one that no other file of the set imports.

    Raises: MalformedMetaData
    """
    root, sources = choose_file(data, file=file)
    return build_file(sources[root], sources.values())


def choose_file(data: bytes | public_pb2.FileDescriptorSet, *, file: str | None = None) -> tuple[str, dict[str, bytes]]:
    """The name of one file of a set, by default of the one that no other imports, and all files serialised.

    Raises: MalformedMetaData
    """
    raw = data if isinstance(data, bytes) else data.SerializeToString()
    try:
        files = {proto.name: proto for proto in public_pb2.FileDescriptorSet.FromString(raw).file}
    except PARSE_ERRORS as error:
        raise MalformedMetaData(reason=f"a descriptor set cannot be parsed: {error}") from error
    if file is None:
        imported = {name for proto in files.values() for name in proto.dependency}
        roots = [name for name in files if name not in imported]
        if len(roots) != 1:
            hint = "say which one with file="
            raise MalformedMetaData(reason="more than one file could be meant", files=roots or list(files), hint=hint)
        file = roots[0]
    if file not in files:
        raise MalformedMetaData(reason="the set has no such file", file=file, files=list(files))
    return file, {name: proto.SerializeToString() for name, proto in files.items()}


def build_file(root: bytes, dependencies: Iterable[bytes]) -> FileDescriptor:
    """The descriptor of a serialised file in a pool of its own; the files that it imports are `dependencies`.

    Raises: MalformedMetaData when a file is missing, imports itself, or is refused by protobuf.
    """
    files: dict[str, public_pb2.FileDescriptorProto] = {}
    for raw in (*dependencies, root):
        try:
            proto = public_pb2.FileDescriptorProto.FromString(raw)
        except PARSE_ERRORS as error:
            raise MalformedMetaData(reason=f"a file descriptor cannot be parsed: {error}") from error
        if not isinstance(proto.name, str):  # protobuf gives bytes for what is no UTF-8
            raise MalformedMetaData(reason="the name of a file is not text", file=proto.name)
        files[proto.name] = proto
        for message in proto.message_type:
            _refuse_bad_numbers(message, proto.name)
    names = tuple(sorted((name, proto.SerializeToString(deterministic=True)) for name, proto in files.items()))
    return _build(public_pb2.FileDescriptorProto.FromString(root).name, names)


def _refuse_bad_numbers(message: public_pb2.DescriptorProto, file: str) -> None:
    """Pure Python protobuf takes any number, and fails when the message is used."""
    for field in message.field:
        if not 1 <= field.number < 1 << 29:
            name = f"{message.name}.{field.name}"
            raise MalformedMetaData(reason="a number no field can have", file=file, field=name, number=field.number)
    for nested in message.nested_type:
        _refuse_bad_numbers(nested, file)


@lru_cache(maxsize=64)
def _build(root: str, files: tuple[tuple[str, bytes], ...]) -> FileDescriptor:
    """Equal files give the same descriptors, and so the same message classes."""
    protos = {name: public_pb2.FileDescriptorProto.FromString(raw) for name, raw in files}
    made = DescriptorPool()
    known = {**known_files(), **protos}
    for name in _in_order(root, known):
        try:
            made.AddSerializedFile(known[name].SerializeToString())
        except Exception as error:  # protobuf's two implementations raise TypeError, ValueError, KeyError ...
            raise MalformedMetaData(reason=f"protobuf refuses a file: {error}", file=name) from error
    try:
        return made.FindFileByName(root)
    except Exception as error:
        raise MalformedMetaData(reason=f"protobuf refuses a file: {error}", file=root) from error


@lru_cache(maxsize=1)
def known_files() -> Mapping[str, public_pb2.FileDescriptorProto]:
    """Files that stored metadata may import without holding them: the Record Layer's and protobuf's own."""
    from google.protobuf import (
        any_pb2,
        api_pb2,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        source_context_pb2,
        struct_pb2,
        timestamp_pb2,
        type_pb2,
        wrappers_pb2,
    )

    modules: list[Any] = [any_pb2, api_pb2, duration_pb2, empty_pb2, field_mask_pb2, public_pb2, source_context_pb2]
    modules += [struct_pb2, timestamp_pb2, type_pb2, wrappers_pb2]
    known = {file.name: file for file in pool.descriptor_set().file}
    for module in modules:
        proto = public_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        known[proto.name] = proto
    return known


def _in_order(root: str, files: Mapping[str, public_pb2.FileDescriptorProto]) -> list[str]:
    """Names of a file and all that it imports, each after its own imports."""
    ordered: list[str] = []
    done: set[str] = set()
    under_way: set[str] = set()
    stack = [(root, False)]
    while stack:
        name, leaving = stack.pop()
        if leaving:
            under_way.discard(name)
            done.add(name)
            ordered.append(name)
            continue
        if name in done:
            continue
        if name in under_way:
            raise MalformedMetaData(reason="a file imports itself", file=name)
        if name not in files:
            raise MalformedMetaData(reason="an imported file is not there", file=name)
        under_way.add(name)
        stack.append((name, True))
        for dependency in files[name].dependency:
            if dependency in under_way:
                raise MalformedMetaData(reason="a file imports itself", file=dependency)
            stack.append((dependency, False))
    return ordered


def dependencies(file: FileDescriptor) -> list[FileDescriptor]:
    """All files that a file imports, directly or not, by name; without the Record Layer's own and what only they need.

    Source: RecordMetaData.getDependencies
    """
    found: dict[str, FileDescriptor] = {}
    stack = list(file.dependencies)
    while stack:
        dependency = stack.pop()
        if dependency.name in found or dependency.name in LIBRARY_FILES:
            continue
        found[dependency.name] = dependency
        stack += dependency.dependencies
    return [found[name] for name in sorted(found)]


class Protos:
    """Descriptors as messages of the private pool, in which options are readable. Each file is read once.

    For descriptors of one pool: files are told apart by their names.
    """

    def __init__(self) -> None:
        self._files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        self._messages: dict[str, dict[str, descriptor_pb2.DescriptorProto]] = {}

    def file(self, file: FileDescriptor) -> descriptor_pb2.FileDescriptorProto:
        """The message of a file. Do not change it."""
        found = self._files.get(file.name)
        if found is None:
            found = descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb)
            self._files[file.name] = found
        return found

    def message(self, descriptor: Descriptor) -> descriptor_pb2.DescriptorProto:
        """The message of a message type. Do not change it."""
        file = descriptor.file
        messages = self._messages.get(file.name)
        if messages is None:
            messages = self._messages[file.name] = {}
            proto = self.file(file)
            stack = [(proto.package, message) for message in proto.message_type]
            while stack:
                scope, message = stack.pop()
                full_name = f"{scope}.{message.name}" if scope else message.name
                messages[full_name] = message
                stack += [(full_name, nested) for nested in message.nested_type]
        return messages[descriptor.full_name]


def serialised(file: FileDescriptor) -> bytes:
    """The message of a file: the same bytes from both implementations of protobuf. The compiled one leaves out the
    syntax where it is proto2, the pure Python one gives what the descriptor was made of."""
    raw = bytes(file.serialized_pb)
    if b"proto2" not in raw:
        return raw
    proto = public_pb2.FileDescriptorProto.FromString(raw)
    if proto.syntax == "proto2":
        proto.ClearField("syntax")
    return proto.SerializeToString(deterministic=True)


def message_class(descriptor: Descriptor) -> type[Message]:
    """The class of a message type: the generated one where there is one."""
    try:
        return message_factory.GetMessageClass(descriptor)
    except RecursionError:
        # Protobuf makes the classes of all types that it reaches, one inside the other. What it made is kept, so
        # beginning at the far end takes ever fewer steps.
        for each in reversed(list(reachable([descriptor]))):
            try:
                message_factory.GetMessageClass(each)
            except RecursionError:
                continue
        return message_factory.GetMessageClass(descriptor)


def reachable(descriptors: Iterable[Descriptor]) -> Iterator[Descriptor]:
    """The message types and all that their fields hold, each once."""
    seen: set[str] = set()
    queue = deque(descriptors)
    while queue:
        descriptor = queue.popleft()
        if descriptor.full_name in seen:
            continue
        seen.add(descriptor.full_name)
        yield descriptor
        queue += [field.message_type for field in descriptor.fields if field.message_type is not None]
