"""Continuations as bytes: those of Java where they are plain scans and combinators, so that either side resumes them.

Layout  key-value scan  KeyValueCursorContinuation {1 inner, 2 sfixed64 magic}; inner is the last key read without the
                        prefix that both ends of the range share. The older form, the bare inner bytes, is read too.
        combinators     a protobuf message of length-delimited fields (and small numbers), here as a dict by number

Source  Record Layer, KeyValueCursorBase.Continuation, record_cursor.proto.
"""

from __future__ import annotations

from recordlayer.core import in_c
from recordlayer.errors import BadContinuation

_MAGIC = (6_773_487_359_078_157_740).to_bytes(8, "little")
_MAGIC_FIELD = b"\x11" + _MAGIC
_INNER_TAG = 0x0A


def varint(number: int) -> bytes:
    """A number >= 0 as protobuf writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and the place behind it."""
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise BadContinuation(reason="it ends inside a number")
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            if not byte and shift:
                raise BadContinuation(reason="it has a number with a needless byte")
            return number, at
        shift += 7


def wrap_key(inner: bytes) -> bytes:
    """The continuation of a key-value scan whose last key had `inner` behind the prefix."""
    if len(inner) < 0x80:
        return bytes((_INNER_TAG, len(inner))) + inner + _MAGIC_FIELD
    return b"\x0a" + varint(len(inner)) + inner + _MAGIC_FIELD


def unwrap_key(continuation: bytes) -> bytes:
    """The inner bytes of a key-value scan's continuation, in either form."""
    if not continuation.endswith(_MAGIC_FIELD) or continuation[0] != _INNER_TAG:
        return continuation
    try:
        length, at = read_varint(continuation, 1)
    except BadContinuation:
        return continuation
    return continuation[at:-9] if at + length + 9 == len(continuation) else continuation


@in_c("encode_fields")
def encode_fields(fields: dict[int, bytes | int | None]) -> bytes:
    """A protobuf message of bytes and numbers >= 0; None leaves a field out."""
    out = bytearray()
    for number, value in sorted(fields.items()):
        if isinstance(value, bytes):
            out += varint(number << 3 | 2) + varint(len(value)) + value
        elif value is not None:
            out += varint(number << 3) + varint(value)
    return bytes(out)


def decode_fields(data: bytes, *, known: int | None = None) -> dict[int, bytes | int]:
    """The fields of such a message by number, from 1 to `known`.

    What `encode_fields` would not have written is refused: fields out of order or twice, numbers with needless bytes.

    Raises  BadContinuation.
    """
    if not isinstance(data, bytes):
        raise BadContinuation(reason="it is not bytes", got=type(data).__name__)
    fields: dict[int, bytes | int] = {}
    at = last = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number = tag >> 3
        if number <= last or (known is not None and number > known):
            raise BadContinuation(reason="it has a field that does not belong there", field=number)
        last = number
        if tag & 7 == 0:
            fields[number], at = read_varint(data, at)
        elif tag & 7 == 2:
            length, at = read_varint(data, at)
            if at + length > len(data):
                raise BadContinuation(reason="it ends inside a field")
            fields[number] = data[at : at + length]
            at += length
        else:
            raise BadContinuation(reason="it has a field of an unknown kind", field=number)
    return fields


def bytes_field(fields: dict[int, bytes | int], number: int) -> bytes | None:
    """The bytes of a field, None if it is absent.  Raises  BadContinuation if it is a number."""
    value = fields.get(number)
    if value is None or isinstance(value, bytes):
        return value
    raise BadContinuation(reason="a field has the wrong kind", field=number)


def number_field(fields: dict[int, bytes | int], number: int, *, below: int | None = None) -> int:
    """The number in a field, 0 if it is absent.  Raises  BadContinuation if it is bytes, or not below what it must."""
    value = fields.get(number, 0)
    if isinstance(value, bytes) or (below is not None and value >= below):
        raise BadContinuation(reason="a field has the wrong kind or size", field=number)
    return value


def flag_field(fields: dict[int, bytes | int], number: int) -> bool:
    """Whether a field is set.  Raises  BadContinuation if it is more than that."""
    return number_field(fields, number, below=2) == 1
