"""Continuations as bytes: those of Java where they are plain scans and combinators, so that either side resumes them.

Layout  key-value scan  KeyValueCursorContinuation {1 inner, 2 sfixed64 magic}; inner is the last key read without the
                        prefix that both ends of the range share. The older form, the bare inner bytes, is read too.
        combinators     a protobuf message of length-delimited fields (and small numbers), here as a dict by number

Source  Record Layer, KeyValueCursorBase.Continuation, record_cursor.proto.
"""

from __future__ import annotations

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


def encode_fields(fields: dict[int, bytes | int | None]) -> bytes:
    """A protobuf message of bytes and small numbers; None leaves a field out."""
    out = bytearray()
    for number, value in sorted(fields.items()):
        if isinstance(value, bytes):
            out += varint(number << 3 | 2) + varint(len(value)) + value
        elif value is not None:
            out += varint(number << 3) + varint(value)
    return bytes(out)


def decode_fields(data: bytes) -> dict[int, bytes | int]:
    """The fields of such a message by number.  Raises  BadContinuation."""
    if not isinstance(data, bytes):
        raise BadContinuation(reason="it is not bytes", got=type(data).__name__)
    fields: dict[int, bytes | int] = {}
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag & 7 == 0:
            fields[tag >> 3], at = read_varint(data, at)
        elif tag & 7 == 2:
            length, at = read_varint(data, at)
            if at + length > len(data):
                raise BadContinuation(reason="it ends inside a field")
            fields[tag >> 3] = data[at : at + length]
            at += length
        else:
            raise BadContinuation(reason="it has a field of an unknown kind", field=tag >> 3)
    return fields


def bytes_field(fields: dict[int, bytes | int], number: int) -> bytes | None:
    """The bytes of a field, None if it is absent.  Raises  BadContinuation if it is a number."""
    value = fields.get(number)
    if value is None or isinstance(value, bytes):
        return value
    raise BadContinuation(reason="a field has the wrong kind", field=number)
