"""From values to packed tuples.

Layout  one type code per element and its bytes (codes.py); packed tuples sort as bytes as the tuples do
Source  FoundationDB, design/tuple.md; byte for byte what `fdb.tuple` writes. It and Java's tuple layer differ for two
        integers, plus and minus 2**64 - 1, which no record field can hold: we write what `fdb.tuple` writes, read both.

The usual case has no bookkeeping for the unusual one: what does not fit raises from deep inside, and only then is the
tuple walked again to say which element it was.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from recordlayer.core import in_c
from recordlayer.errors import IncompleteVersionstamp, TupleError, UnpackableValue, WrongType
from recordlayer.tuples.codes import COMPLEMENT, MAX_DEPTH, MAX_INTEGER_BYTES, ZERO
from recordlayer.tuples.single_float import SingleFloat
from recordlayer.tuples.versionstamp import Versionstamp

Items = Sequence[Any]  # a tuple or a list; anything else is refused

# Integers. The code byte is added to the number as its highest byte, so that one `to_bytes` gives the whole element.
SMALL: Final = (b"\x14", *(bytes((0x15, number)) for number in range(1, 256)))
_BYTES_OF_BITS = [(bits + 7) // 8 for bits in range(64)]
POSITIVE_LEAD: Final = [(ZERO + size) << (8 * size) for size in _BYTES_OF_BITS]  # by bit length, up to 63
NEGATIVE_LEAD: Final = [((ZERO - size + 1) << (8 * size)) - 1 for size in _BYTES_OF_BITS]
ELEMENT_SIZE: Final = [size + 1 for size in _BYTES_OF_BITS]
_BIG: Final = (1 << 64) - 1  # from here on, integers carry their length

_DOUBLE: Final = struct.Struct(">d").pack
PACK_DOUBLE_ELEMENT: Final = struct.Struct(">Bd").pack
_PACK_SINGLE_ELEMENT: Final = struct.Struct(">Bf").pack
UUID_LEAD: Final = 0x30 << 128

# Appending to bytes copies them: right for a few elements, quadratic for many.
_FEW: Final = 32


def encode_int(value: int) -> bytes:
    """The element of an int that is no bool."""
    bits = value.bit_length()
    if bits < 64:
        return (value + (POSITIVE_LEAD if value >= 0 else NEGATIVE_LEAD)[bits]).to_bytes(ELEMENT_SIZE[bits])
    size = (bits + 7) // 8
    if -_BIG < value < _BIG:
        lead = (ZERO + 8) << 64 if value > 0 else ((ZERO - 8 + 1) << 64) - 1
        return (value + lead).to_bytes(9)
    if size > MAX_INTEGER_BYTES:
        raise UnpackableValue(type="int", reason=f"the integer needs {size} bytes, {MAX_INTEGER_BYTES} are the limit")
    if value > 0:
        return bytes((0x1D, size)) + value.to_bytes(size)
    return bytes((0x0B, size ^ 0xFF)) + (value + (1 << (8 * size)) - 1).to_bytes(size)


def encode_float(value: float) -> bytes:
    """The element of a double."""
    if value > 0.0:
        # Negating sets the sign bit, which is all that a positive number needs.
        return PACK_DOUBLE_ELEMENT(0x21, -value)
    raw = _DOUBLE(value)
    return b"\x21" + (bytes((raw[0] ^ 0x80,)) + raw[1:] if raw[0] < 0x80 else raw.translate(COMPLEMENT))


def encode_float_as_single(value: float) -> bytes:
    """The element of a Python float that is to be stored as a 32-bit one: that of SingleFloat(value)."""
    if value > 0.0:
        try:
            return _PACK_SINGLE_ELEMENT(0x20, -value)
        except OverflowError:
            pass
    return b"\x20" + SingleFloat(value).packed


def _encode_none(value: None) -> bytes:
    return b"\x00"


def _encode_str(value: str) -> bytes:
    try:
        raw = value.encode()
    except UnicodeEncodeError as error:
        raise UnpackableValue(type="str", reason=f"the text has no UTF-8: {error.reason}") from None
    return b"\x02" + (raw.replace(b"\x00", b"\x00\xff") if 0 in raw else raw) + b"\x00"


def _encode_bytes(value: bytes) -> bytes:
    return b"\x01" + (value.replace(b"\x00", b"\x00\xff") if 0 in value else value) + b"\x00"


def _encode_bool(value: bool) -> bytes:
    return b"\x27" if value else b"\x26"


def _encode_single(value: SingleFloat) -> bytes:
    return b"\x20" + value.packed


def _encode_uuid(value: uuid.UUID) -> bytes:
    return (value.int + UUID_LEAD).to_bytes(17)


def _encode_versionstamp(value: Versionstamp) -> bytes:
    if not value.is_complete:
        raise IncompleteVersionstamp(found=1, allowed=0)
    return b"\x33" + value.to_bytes()


def _encode_nested(value: Items, depth: int = 1) -> bytes:
    if depth > MAX_DEPTH:
        raise _too_deep(value)
    parts = [b"\x05"]
    for element in value:
        encoder = _ENCODERS.get(type(element))
        if element is None:
            parts.append(b"\x00\xff")
        elif encoder is _encode_nested or (encoder is None and isinstance(element, (tuple, list))):
            parts.append(_encode_nested(element, depth + 1))
        else:
            parts.append(encoder(element) if encoder is not None else _encode_subclass(element))
    parts.append(b"\x00")
    return b"".join(parts)


_ENCODERS: Final[dict[type, Callable[[Any], bytes]]] = {
    type(None): _encode_none,
    str: _encode_str,
    int: encode_int,
    bytes: _encode_bytes,
    bool: _encode_bool,
    float: encode_float,
    SingleFloat: _encode_single,
    uuid.UUID: _encode_uuid,
    Versionstamp: _encode_versionstamp,
    tuple: _encode_nested,
    list: _encode_nested,
}


def _encode_subclass(value: Any) -> bytes:
    """The element of a value of a derived type (an IntEnum, a StrEnum, a named tuple): that of its base."""
    if isinstance(value, str):
        return _encode_str(str.__str__(value))
    if isinstance(value, int):
        return encode_int(int.__int__(value))
    if isinstance(value, bytes):
        return _encode_bytes(bytes.__getitem__(value, slice(None)))
    if isinstance(value, float):
        return encode_float(float.__float__(value))
    for base in (uuid.UUID, SingleFloat, Versionstamp, tuple, list):
        if isinstance(value, base):
            return _ENCODERS[base](value)
    raise UnpackableValue(type=type(value).__name__)


def encode_element(value: Any) -> bytes:
    """The bytes of one top-level element.

    Raises `UnpackableValue` and `IncompleteVersionstamp`, without the position, which only the whole tuple knows.
    """
    encoder = _ENCODERS.get(type(value))
    return encoder(value) if encoder is not None else _encode_subclass(value)


@in_c("pack", encode_element)
def pack(items: Items, prefix: bytes = b"") -> bytes:
    """`prefix` and then the packed `items`, a tuple or a list.

    Raises `UnpackableValue` (with the position: indexes from the outermost tuple inwards) for a value that has no
    encoding, `IncompleteVersionstamp` for a versionstamp without its transaction (use `pack_with_versionstamp`), and
    `WrongType` when `items` is no tuple or list.
    """
    if type(items) is not tuple and not isinstance(items, (tuple, list)):
        raise _not_items(items)
    try:
        if len(items) > _FEW:
            return prefix + b"".join([encode_element(value) for value in items])
        packed = prefix
        for value in items:
            kind = type(value)
            if kind is int:
                if -1 < value < 256:
                    packed += SMALL[value]
                elif value > 0 and (bits := value.bit_length()) < 64:
                    packed += (value + POSITIVE_LEAD[bits]).to_bytes(ELEMENT_SIZE[bits])
                else:
                    packed += encode_int(value)
            elif kind is str and "\x00" not in value:
                packed += f"\x02{value}\x00".encode()
            elif value is None:
                packed += b"\x00"
            else:
                packed += encode_element(value)
        return packed
    except (TupleError, UnicodeEncodeError) as error:
        raise _located(items, ()) or error from None


def pack_with_versionstamp(items: Items, prefix: bytes = b"") -> bytes:
    """The operand of a versionstamped key or value: `prefix`, the packed `items`, and where the stamp is.

    `items` hold exactly one incomplete versionstamp, at any depth. Its place, counted from the first byte of the
    result (so the prefix is included), follows as 4 bytes little endian, which the engine takes off again.

    Raises `IncompleteVersionstamp` when there is none or more than one; otherwise as `pack`.
    """
    if not isinstance(items, (tuple, list)):
        raise _not_items(items)
    try:
        packed, places = _pack_open(items, prefix, 0)
    except (TupleError, UnicodeEncodeError) as error:
        raise _located(items, (), open_stamps=True) or error from None
    if len(places) != 1:
        raise IncompleteVersionstamp(found=len(places), allowed=1)
    return packed + places[0].to_bytes(4, "little")


def has_incomplete_versionstamp(items: Items) -> bool:
    """Whether there is a versionstamp without its transaction among `items`, at any depth."""
    return any(
        not value.is_complete
        if isinstance(value, Versionstamp)
        else isinstance(value, (tuple, list)) and has_incomplete_versionstamp(value)
        for value in items
    )


def encode_open(value: Any) -> bytes:
    """The bytes of one element in which versionstamps may be incomplete: for comparing, not for storing."""
    return _pack_open((value,), b"", 0)[0]


def _pack_open(items: Items, lead: bytes, depth: int) -> tuple[bytes, list[int]]:
    """`lead` and the elements, and where the transaction versions of incomplete versionstamps begin."""
    if depth > MAX_DEPTH:
        raise _too_deep(items)
    parts, size, places = [lead], len(lead), list[int]()
    for value in items:
        if isinstance(value, Versionstamp):
            part = b"\x33" + value.to_bytes()
            if not value.is_complete:
                places.append(size + 1)
        elif isinstance(value, (tuple, list)):
            part, inner = _pack_open(value, b"\x05", depth + 1)
            part += b"\x00"
            places.extend(size + place for place in inner)
        elif value is None and depth:
            part = b"\x00\xff"
        else:
            part = encode_element(value)
        parts.append(part)
        size += len(part)
    return b"".join(parts), places


def _located(items: Items, outer: tuple[int, ...], *, open_stamps: bool = False) -> TupleError | None:
    """The error of the first element that cannot be packed, with its position."""
    for index, value in enumerate(items):
        position = (*outer, index)
        if isinstance(value, (tuple, list)):
            error = (
                _located(value, position, open_stamps=open_stamps) if len(position) <= MAX_DEPTH else _too_deep(value)
            )
            if error is not None:
                return error if "position" in error.fields else _placed(error, position)
        elif not (open_stamps and isinstance(value, Versionstamp)):
            try:
                encode_element(value)
            except TupleError as refused:
                return _placed(refused, position)
    return None


def _placed(error: TupleError, position: tuple[int, ...]) -> TupleError:
    return type(error)(hint=error.hint, position=position, **error.fields)


def _too_deep(value: Items) -> UnpackableValue:
    return UnpackableValue(type=type(value).__name__, reason=f"nested more than {MAX_DEPTH} deep, or inside itself")


def _not_items(items: object) -> WrongType:
    return WrongType(
        expected="tuple or list", got=type(items).__name__, hint="to pack a single value, wrap it: pack((value,))"
    )
