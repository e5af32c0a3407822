"""NaNs as they stand in the bytes, under protobuf's pure Python implementation.

Java and upb keep sign and payload of a NaN, and entries of indexes hold them. The pure implementation writes what it
has but reads every NaN as the same one, so that a record's entries could not be found again. Here they are put back, by
another look at the bytes of the few messages that hold one. Of a NaN in an extension, which no index sees, only what
the implementation reads remains.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor as Types
from google.protobuf.internal import api_implementation
from google.protobuf.message import Message

if TYPE_CHECKING:
    from recordlayer.pb.types import Descriptor, FieldDescriptor

M = TypeVar("M", bound=Message)

IS_PURE = api_implementation.Type() == "python"
_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)
_FLOATS = {Types.TYPE_FLOAT: struct.Struct("<f"), Types.TYPE_DOUBLE: struct.Struct("<d")}
_reaching: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def parser_of(message_class: type[Message]) -> Callable[[bytes], Message]:
    """What makes messages of a class from bytes, and raises PARSE_ERRORS."""
    parse: Callable[[bytes], Message] = message_class.FromString
    if not IS_PURE or not _reaches_floats(message_class.DESCRIPTOR):
        return parse
    return lambda data: with_nans(parse(data), data)


def with_nans(message: M, data: bytes) -> M:
    """The message, which was parsed from these bytes, with their NaNs."""
    # The last byte of every NaN; most messages have neither.
    if IS_PURE and (b"\x7f" in data or b"\xff" in data) and _reaches_floats(message.DESCRIPTOR):
        _restore(message, data, {})
    return message


def _reaches_floats(descriptor: Descriptor) -> bool:
    known = _reaching.get(descriptor)
    if known is None:
        seen, ahead = {descriptor}, [descriptor]
        known = False
        while ahead and not known:
            for field in ahead.pop().fields:
                known = known or field.type in _FLOATS
                if field.message_type is not None and field.message_type not in seen:
                    seen.add(field.message_type)
                    ahead.append(field.message_type)
        _reaching[descriptor] = known
    return known


def _restore(message: Message, data: bytes, met: dict[tuple[int, int], int]) -> None:
    """`met` counts elements of repeated fields: a message that comes in several pieces goes on where it was."""
    for number, wire, content in _fields(data):
        field: FieldDescriptor | None = message.DESCRIPTOR.fields_by_number.get(number)
        if field is None or not (field.type in _FLOATS or field.message_type is not None):
            continue
        value: Any = getattr(message, field.name)
        if field.type in _FLOATS:
            _restore_floats(message, field, value, wire, content, met)
        elif wire != (_GROUP if field.type == Types.TYPE_GROUP else _BYTES):
            continue  # an unknown field of that number, to protobuf
        elif field.message_type.GetOptions().map_entry:
            _restore_entry(field, value, content)
        elif not isinstance(value, Message):
            _restore(value[_place(message, number, met)], content, met)
        elif message.HasField(field.name):
            _restore(value, content, met)


def _restore_floats(
    message: Message, field: FieldDescriptor, value: Any, wire: int, content: bytes, met: dict[tuple[int, int], int]
) -> None:
    form = _FLOATS[field.type]
    single = isinstance(value, float)
    if wire != (_FIXED32 if form.size == 4 else _FIXED64) and (single or wire != _BYTES):
        return
    for (number,) in form.iter_unpack(content):
        if not single:
            place = _place(message, field.number, met)
            if number != number:
                value[place] = number
        # The last one counts, unless another member of a oneof came behind it.
        elif number != number and value != value and (not field.has_presence or message.HasField(field.name)):
            setattr(message, field.name, number)


def _restore_entry(field: FieldDescriptor, values: Any, content: bytes) -> None:
    entry: Any = message_factory.GetMessageClass(field.message_type).FromString(content)
    _restore(entry, content, {})
    if field.message_type.fields_by_name["value"].message_type is not None:
        values[entry.key].CopyFrom(entry.value)
    elif entry.value != entry.value and values[entry.key] != values[entry.key]:
        values[entry.key] = entry.value


def _place(message: Message, number: int, met: dict[tuple[int, int], int]) -> int:
    key = id(message), number
    place = met.get(key, 0)
    met[key] = place + 1
    return place


def _fields(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Number, wire type and content of each field of a message that has been parsed, so that nothing can be wrong."""
    at = 0
    while at < len(data):
        tag, begin = _varint(data, at)
        at = _behind(data, tag, begin)
        wire = tag & 7
        if wire == _BYTES:
            size, begin = _varint(data, begin)
            yield tag >> 3, wire, data[begin : begin + size]
        elif wire == _GROUP:
            yield tag >> 3, wire, data[begin : _before_end(data, begin)]
        else:
            yield tag >> 3, wire, data[begin:at]


def _behind(data: bytes, tag: int, at: int) -> int:
    wire = tag & 7
    if wire == _VARINT:
        return _varint(data, at)[1]
    if wire == _BYTES:
        size, at = _varint(data, at)
        return at + size
    if wire == _GROUP:
        return _varint(data, _before_end(data, at))[1]
    return at + (8 if wire == _FIXED64 else 4)


def _before_end(data: bytes, at: int) -> int:
    while True:
        tag, begin = _varint(data, at)
        if tag & 7 == _GROUP_END:
            return at
        at = _behind(data, tag, begin)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while data[at] >= 0x80:
        number |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
    return number | data[at] << shift, at + 1
