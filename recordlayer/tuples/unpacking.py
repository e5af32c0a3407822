"""From packed tuples to values.

Every byte string gives either a tuple or `MalformedTuple`. An integer in more bytes than it needs is read, as Java and
`fdb.tuple` read it; an element whose end is missing is an error, also where `fdb.tuple` takes what there is.

Source  FoundationDB, design/tuple.md
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from typing import Any, Final

from recordlayer.core import in_c
from recordlayer.errors import MalformedTuple, WrongType
from recordlayer.tuples.codes import COMPLEMENT, MAX_DEPTH
from recordlayer.tuples.single_float import SingleFloat
from recordlayer.tuples.versionstamp import Versionstamp

Decoded = tuple[Any, int]  # the value, and where the next element begins

# What an n-byte negative integer is stored above: index by type code, 0x0c (8 bytes) to 0x13 (1 byte).
NEGATIVE_OFFSET: Final = tuple((1 << (8 * (0x14 - code))) - 1 if 0x0C <= code < 0x14 else 0 for code in range(0x15))
UNPACK_DOUBLE_FROM: Final = struct.Struct(">d").unpack_from
_from_bytes = int.from_bytes  # big endian by default
_set = object.__setattr__
_new_uuid = uuid.UUID.__new__
_SAFETY_UNKNOWN: Final = uuid.SafeUUID.unknown


def _too_short(data: bytes, at: int) -> MalformedTuple:
    return MalformedTuple(offset=at, reason=f"the element with code {data[at]:02x} ends after the {len(data)} bytes")


def _as_bytes(data: Any) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise WrongType(expected="bytes", got=type(data).__name__)


# -- one element: DECODERS[code](data, where the code is) --------------------------------------------------


def _terminator(data: bytes, at: int) -> int:
    """Where the 00 is that ends the string or bytes whose code is at `at`."""
    end = data.find(0, at + 1)
    while end >= 0:
        if data[end + 1 : end + 2] != b"\xff":
            return end
        end = data.find(0, end + 2)
    raise MalformedTuple(offset=at, reason="the terminator is missing")


def _decode_none(data: bytes, at: int) -> Decoded:
    return None, at + 1


def _decode_bytes(data: bytes, at: int) -> Decoded:
    end = _terminator(data, at)
    return data[at + 1 : end].replace(b"\x00\xff", b"\x00"), end + 1


def _decode_str(data: bytes, at: int) -> Decoded:
    end = _terminator(data, at)
    try:
        return data[at + 1 : end].replace(b"\x00\xff", b"\x00").decode(), end + 1
    except UnicodeDecodeError as error:
        raise MalformedTuple(offset=at, reason=f"the text is not UTF-8: {error.reason}") from None


def _decode_positive(data: bytes, at: int) -> Decoded:
    end = at + data[at] - 0x13
    if end > len(data):
        raise _too_short(data, at)
    return int.from_bytes(data[at + 1 : end], "big"), end


def _decode_negative(data: bytes, at: int) -> Decoded:
    code = data[at]
    end = at + 0x15 - code
    if end > len(data):
        raise _too_short(data, at)
    return int.from_bytes(data[at + 1 : end], "big") - NEGATIVE_OFFSET[code], end


def _decode_positive_big(data: bytes, at: int) -> Decoded:
    if at + 2 > len(data) or (end := at + 2 + data[at + 1]) > len(data):
        raise _too_short(data, at)
    return int.from_bytes(data[at + 2 : end], "big"), end


def _decode_negative_big(data: bytes, at: int) -> Decoded:
    if at + 2 > len(data) or (end := at + 2 + (size := data[at + 1] ^ 0xFF)) > len(data):
        raise _too_short(data, at)
    return int.from_bytes(data[at + 2 : end], "big") - (1 << (8 * size)) + 1, end


def _decode_single(data: bytes, at: int) -> Decoded:
    end = at + 5
    if end > len(data):
        raise _too_short(data, at)
    return SingleFloat.from_packed(data[at + 1 : end]), end


def _decode_double(data: bytes, at: int) -> Decoded:
    end = at + 9
    if end > len(data):
        raise _too_short(data, at)
    if data[at + 1] > 0x7F:  # it was positive: only its sign is flipped
        return -UNPACK_DOUBLE_FROM(data, at + 1)[0], end
    return UNPACK_DOUBLE_FROM(data[at + 1 : end].translate(COMPLEMENT))[0], end


def _decode_false(data: bytes, at: int) -> Decoded:
    return False, at + 1


def _decode_true(data: bytes, at: int) -> Decoded:
    return True, at + 1


def uuid_from(number: int) -> uuid.UUID:
    """The UUID with these 128 bits.

    Does what the constructor does for `int=`, without looking at its other five arguments: a fifth of the time.
    """
    made = _new_uuid(uuid.UUID)
    _set(made, "int", number)
    _set(made, "is_safe", _SAFETY_UNKNOWN)
    return made


def _decode_uuid(data: bytes, at: int) -> Decoded:
    end = at + 17
    if end > len(data):
        raise _too_short(data, at)
    return uuid_from(_from_bytes(data[at + 1 : end])), end


def _decode_versionstamp(data: bytes, at: int) -> Decoded:
    end = at + 13
    if end > len(data):
        raise _too_short(data, at)
    return Versionstamp.from_bytes(data[at + 1 : end]), end


def _decode_nested(data: bytes, at: int) -> Decoded:
    size, start = len(data), at
    outer: list[list[Any]] = []  # the tuples around the one being read
    items: list[Any] = []
    at += 1
    while at < size:
        code = data[at]
        if code == 0x00:
            if data[at + 1 : at + 2] == b"\xff":
                items.append(None)
                at += 2
            elif outer:
                done, items = tuple(items), outer.pop()
                items.append(done)
                at += 1
            else:
                return tuple(items), at + 1
        elif code == 0x05:
            if len(outer) + 1 >= MAX_DEPTH:
                raise MalformedTuple(offset=at, reason=f"tuples are nested more than {MAX_DEPTH} deep")
            outer.append(items)
            items = []
            at += 1
        else:
            value, at = DECODERS[code](data, at)
            items.append(value)
    raise MalformedTuple(offset=start, reason="the end of the nested tuple is missing")


def _refuse(data: bytes, at: int) -> Decoded:
    raise MalformedTuple(offset=at, reason=f"no element has the code {data[at]:02x}")


_BY_CODE: Final[dict[int, Callable[[bytes, int], Decoded]]] = {
    0x00: _decode_none,
    0x01: _decode_bytes,
    0x02: _decode_str,
    0x05: _decode_nested,
    0x0B: _decode_negative_big,
    **dict.fromkeys(range(0x0C, 0x14), _decode_negative),
    **dict.fromkeys(range(0x14, 0x1D), _decode_positive),
    0x1D: _decode_positive_big,
    0x20: _decode_single,
    0x21: _decode_double,
    0x26: _decode_false,
    0x27: _decode_true,
    0x30: _decode_uuid,
    0x33: _decode_versionstamp,
}

DECODERS: Final = tuple(_BY_CODE.get(code, _refuse) for code in range(256))


# -- whole tuples ------------------------------------------------------------------------------------------


@in_c("unpack", DECODERS)
def unpack(data: bytes, offset: int = 0) -> tuple[Any, ...]:
    """The tuple packed in `data` from `offset` on.

    Nested tuples and lists come back as tuples, 32-bit floats as `SingleFloat`.

    Raises `MalformedTuple` with the offset of the element that is wrong and the reason.
    """
    if type(data) is not bytes:
        data = _as_bytes(data)
    size, at = len(data), offset
    items: list[Any] = []
    outer: list[list[Any]] | None = None  # the tuples around the one being read
    # This loop knows the usual elements and no errors. It takes every 00 for the end of a text: should one have been
    # data, the next code reads ff, which no element has. Whatever it does not understand is read again, with care.
    try:
        while at < size:
            code = data[at]
            if code == 0x02:
                end = data.index(0, at)
                items.append(data[at + 1 : end].decode())
                at = end + 1
            elif 0x13 < code < 0x1D:
                if code == 0x15:
                    items.append(data[at + 1])
                    at += 2
                elif code == 0x16:
                    items.append(data[at + 1] << 8 | data[at + 2])
                    at += 3
                else:
                    end = at + code - 0x13
                    items.append(_from_bytes(data[at + 1 : end]))
                    at = end
            elif code == 0x00:
                if not outer:
                    items.append(None)
                    at += 1
                elif data[at + 1 : at + 2] == b"\xff":
                    items.append(None)
                    at += 2
                else:
                    done, items = tuple(items), outer.pop()
                    items.append(done)
                    at += 1
            elif 0x0B < code < 0x14:
                end = at + 0x15 - code
                items.append(_from_bytes(data[at + 1 : end]) - NEGATIVE_OFFSET[code])
                at = end
            elif code == 0x01:
                end = data.index(0, at)
                items.append(data[at + 1 : end])
                at = end + 1
            elif code == 0x05:
                if outer is None:
                    outer = []
                elif len(outer) == MAX_DEPTH:
                    break
                outer.append(items)
                items = []
                at += 1
            elif code == 0xFF:
                break
            else:
                value, at = DECODERS[code](data, at)
                items.append(value)
        if at == size and not outer and offset >= 0:
            return tuple(items)
    except (IndexError, ValueError):
        pass
    return _unpack_with_care(data, offset)


def unpack_element(data: bytes, at: int) -> Decoded:
    """The element that begins at `at`, whatever follows it; and where the next one begins.

    Raises  MalformedTuple.
    """
    if not 0 <= at < len(data):
        raise MalformedTuple(offset=at, reason=f"the offset is outside the {len(data)} bytes")
    return DECODERS[data[at]](data, at)


def _unpack_with_care(data: bytes, offset: int) -> tuple[Any, ...]:
    size, at = len(data), offset
    if not 0 <= at <= size:
        raise MalformedTuple(offset=at, reason=f"the offset is outside the {size} bytes")
    items = []
    while at < size:
        value, at = DECODERS[data[at]](data, at)
        items.append(value)
    return tuple(items)
