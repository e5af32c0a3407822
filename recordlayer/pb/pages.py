"""Many messages of one type read at once: as the elements of one message, for a part of what reading each costs.

The messages are such as parsing each gives, of the same class. They share the memory of what they were read with, which
is free when the last of them is: so those who gather messages for this (native/rows.c) take no more than some together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.internal import api_implementation

if TYPE_CHECKING:
    from google.protobuf.message import Message

_PACKAGE = "recordlayer_pages"
_HELPS = api_implementation.Type() == "upb"

PageParser = Callable[[bytes], "list[Message]"]
"""From messages, each as field 1 of what is read, to these. Raises whatever it likes: they are read one by one then."""


def page_parser_of(message_class: type[Message]) -> PageParser | None:
    """What reads many messages of a class at once; None where that is of no use. It is made ready by the first page."""
    if not _HELPS:
        return None
    parse: Callable[[bytes], Any] | None = None

    def parse_page(data: bytes) -> list[Message]:
        nonlocal parse
        if parse is None:
            parse = _made(message_class)
        return parse(data).rows[:]  # type: ignore[no-any-return]

    return parse_page


def _made(message_class: type[Message]) -> Callable[[bytes], Any]:
    try:
        parse: Callable[[bytes], Any] = _page_class(message_class).FromString
    except (TypeError, ValueError, KeyError):
        return _refuse  # a pool that takes no files
    # Else it is a class that somebody made by hand.
    return parse if [type(one) for one in parse(b"\x0a\x00").rows] == [message_class] else _refuse


def _refuse(data: bytes) -> Any:
    raise ValueError("messages of this class are read one by one")


def _page_class(message_class: type[Message]) -> Any:
    """A message with these as its elements, in the pool that they are from."""
    descriptor = message_class.DESCRIPTOR
    pool: Any = descriptor.file.pool
    package = f"{_PACKAGE}.{descriptor.full_name}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}/{descriptor.full_name}.proto", package=package)
    file.dependency.append(descriptor.file.name)
    rows = file.message_type.add(name="Page").field.add(name="rows", number=1, type_name=f".{descriptor.full_name}")
    rows.type, rows.label = rows.TYPE_MESSAGE, rows.LABEL_REPEATED
    pool.AddSerializedFile(file.SerializeToString())  # the same once more makes no difference
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Page"))
