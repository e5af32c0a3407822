"""The private descriptor pool: Java's file names and messages, away from protobuf's default pool.

The pool is filled on the first look and holds, besides the Record Layer's files, copies of the well-known files of the
protobuf runtime in use. A message class from here never mixes with one from another pool: what crosses the border does
so as bytes.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, message_factory
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from recordlayer.pb.nans import IS_PURE
from recordlayer.pb.types import Descriptor

_WELL_KNOWN = (descriptor_pb2.DESCRIPTOR, any_pb2.DESCRIPTOR)


@cache
def _data() -> bytes:
    return resources.files("recordlayer.pb").joinpath("java.binpb").read_bytes()


def descriptor_set() -> descriptor_pb2.FileDescriptorSet:
    """The Record Layer's files, each after those it imports; a copy for the caller."""
    return descriptor_pb2.FileDescriptorSet.FromString(_data())


def new_pool() -> DescriptorPool:
    """A pool that holds the well-known files and the Record Layer's, and nothing else."""
    pool = DescriptorPool()
    for known in _WELL_KNOWN:
        pool.AddSerializedFile(known.serialized_pb)
    for file in descriptor_set().file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


@cache
def private() -> DescriptorPool:
    """The one pool of the message classes in this package."""
    return new_pool()


def fill(namespace: dict[str, Any], file_name: str) -> None:
    """Put the top-level messages, enums and extensions of a file into a module, as generated code would."""
    bind(namespace, private().FindFileByName(file_name))


def bind(namespace: dict[str, Any], file: FileDescriptor) -> None:
    """Put the top-level messages, enums and extensions of a descriptor into a module, as generated code would."""
    namespace["DESCRIPTOR"] = file
    for name, message in file.message_types_by_name.items():
        namespace[name] = _class_of(message)
    for name, enum in file.enum_types_by_name.items():
        namespace[name] = EnumTypeWrapper(enum)
        namespace.update((value.name, value.number) for value in enum.values)
    for name, extension in file.extensions_by_name.items():
        namespace[name] = extension
        namespace[f"{name.upper()}_FIELD_NUMBER"] = extension.number


def _class_of(message: Descriptor) -> Any:
    """Its class, with those of the messages that are declared within it as attributes. The compiled implementation of
    protobuf has these by itself."""
    made: Any = message_factory.GetMessageClass(message)
    if IS_PURE:
        for nested in message.nested_types:
            setattr(made, nested.name, _class_of(nested))
    return made
