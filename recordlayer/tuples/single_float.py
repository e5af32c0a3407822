"""A 32-bit float, which packs differently from Python's 64-bit `float`.

Source  com.apple.foundationdb.tuple encodes a Java `Float`, and so a protobuf `float` field, with this code.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NoReturn

from recordlayer.errors import UnpackableValue, WrongType
from recordlayer.tuples.codes import COMPLEMENT

_FLOAT: Final = struct.Struct(">f")
_set = object.__setattr__


class SingleFloat:
    """A float of 32 bits: `value`, rounded to the nearest one; too large ones become infinite.

    Immutable. Two are equal when their bits are: a NaN equals itself, and -0.0 is not 0.0. The order is that of
    packed bytes: negative NaNs, -inf, ..., -0.0, 0.0, ..., inf, NaNs. Never equal to a plain `float`.

    Raises `WrongType` for what is not a number, `UnpackableValue` for an int that no float can hold.
    """

    # The four bytes in their packed form. They keep every bit of a NaN, which a Python float would not (the processor
    # sets the quiet bit when it widens one), and bytes compare, hash and pack for nothing.
    __slots__ = ("packed",)

    packed: bytes

    def __init__(self, value: float) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise WrongType(expected="float", got=type(value).__name__)
        try:
            raw = _FLOAT.pack(float(value))
        except OverflowError:
            if isinstance(value, int) and not _fits_double(value):
                raise UnpackableValue(reason="the integer is too large for a float", type="int") from None
            raw = _FLOAT.pack(float("inf") if value > 0 else float("-inf"))
        _set(self, "packed", _flip_sign(raw) if raw[0] < 0x80 else raw.translate(COMPLEMENT))

    @classmethod
    def from_packed(cls, packed: bytes) -> SingleFloat:
        """From the four bytes that follow the type code in a packed tuple."""
        single = cls.__new__(cls)
        _set(single, "packed", packed)
        return single

    @property
    def value(self) -> float:
        """The same number as a Python float."""
        packed = self.packed
        raw = _flip_sign(packed) if packed[0] >= 0x80 else packed.translate(COMPLEMENT)
        number: float = _FLOAT.unpack(raw)[0]
        return number

    def __float__(self) -> float:
        return self.value

    def __eq__(self, other: object) -> bool:
        return self.packed == other.packed if isinstance(other, SingleFloat) else NotImplemented

    def __lt__(self, other: SingleFloat) -> bool:
        return self.packed < other.packed if isinstance(other, SingleFloat) else NotImplemented

    def __le__(self, other: SingleFloat) -> bool:
        return self.packed <= other.packed if isinstance(other, SingleFloat) else NotImplemented

    def __gt__(self, other: SingleFloat) -> bool:
        return self.packed > other.packed if isinstance(other, SingleFloat) else NotImplemented

    def __ge__(self, other: SingleFloat) -> bool:
        return self.packed >= other.packed if isinstance(other, SingleFloat) else NotImplemented

    def __hash__(self) -> int:
        return hash((SingleFloat, self.packed))

    def __repr__(self) -> str:
        return f"SingleFloat({self.value!r})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a SingleFloat is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a SingleFloat is immutable: cannot delete {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return SingleFloat.from_packed, (self.packed,)


def _flip_sign(raw: bytes) -> bytes:
    return bytes((raw[0] ^ 0x80,)) + raw[1:]


def _fits_double(number: int) -> bool:
    try:
        float(number)
    except OverflowError:
        return False
    return True
