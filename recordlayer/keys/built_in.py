"""The functions that every reader of the format knows: arithmetic on 64-bit integers, order, cardinality.

    add mul multiply div divide mod bitand bitor bitxor       two columns
    sub subtract                                              one (negation) or two
    bitnot                                                    one
    bitmap_bucket_offset bitmap_bit_position                  two: a number and the size of a bucket
    order_asc_nulls_first order_asc_nulls_last                one: bytes that sort as said
    order_desc_nulls_first order_desc_nulls_last
    cardinality                                               one: elements of a repeated field

A null argument of an arithmetic function gives a null that takes part in uniqueness. `collate_jre` is missing: its
keys are those of Java's own collation tables, so an index over it is only read.

Source  Record Layer: LongArithmethicFunctionKeyExpression, OrderFunctionKeyExpression,
        CardinalityFunctionKeyExpression; Java extensions: TupleOrdering
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from recordlayer import tuples
from recordlayer.errors import InvalidKeyExpression, KeyFunctionFailed, MalformedTuple, SchemaError
from recordlayer.keys import access
from recordlayer.keys.expression import FanType, KeyExpression, RecordContext, Row
from recordlayer.keys.field import Field, Nesting
from recordlayer.keys.functions import KeyFunction

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.pb.types import Descriptor

_MIN, _MAX = -(1 << 63), (1 << 63) - 1


# -- arithmetic: Java's long ---------------------------------------------------------------------------


def _exact(name: str, result: int) -> int:
    if not _MIN <= result <= _MAX:
        raise KeyFunctionFailed(function=name, hint="the result does not fit into 64 bits")
    return result


def _wrapped(result: int) -> int:
    return (result - _MIN) % (1 << 64) + _MIN


def _nonzero(name: str, divisor: int) -> int:
    if divisor == 0:
        raise KeyFunctionFailed(function=name, hint="division by zero")
    return divisor


def _divide(name: str, left: int, right: int) -> int:
    """Towards zero, as Java does; Python's own division goes down."""
    quotient = abs(left) // abs(_nonzero(name, right))
    return _wrapped(quotient if (left < 0) == (right < 0) else -quotient)


def _remainder(name: str, left: int, right: int) -> int:
    remainder = abs(left) % abs(_nonzero(name, right))
    return -remainder if left < 0 else remainder


def _bucket(name: str, left: int, right: int) -> int:
    return _exact(name, left // _nonzero(name, right) * right)


_BINARY: dict[str, Callable[[str, int, int], int]] = {
    "add": lambda name, left, right: _exact(name, left + right),
    "mul": lambda name, left, right: _exact(name, left * right),
    "multiply": lambda name, left, right: _exact(name, left * right),
    "sub": lambda name, left, right: _exact(name, left - right),
    "subtract": lambda name, left, right: _exact(name, left - right),
    "div": _divide,
    "divide": _divide,
    "mod": _remainder,
    "bitand": lambda name, left, right: left & right,
    "bitor": lambda name, left, right: left | right,
    "bitxor": lambda name, left, right: left ^ right,
    "bitmap_bucket_offset": _bucket,
    "bitmap_bit_position": lambda name, left, right: _exact(name, left - _bucket(name, left, right)),
}

_UNARY: dict[str, Callable[[str, int], int]] = {
    "sub": lambda name, number: _wrapped(-number),
    "subtract": lambda name, number: _exact(name, -number),
    "bitnot": lambda name, number: ~number,
}


def _number(name: str, argument: Any) -> int | None:
    """An argument as Java's `Number.longValue` gives it."""
    if argument is None:
        return None
    if isinstance(argument, tuples.SingleFloat):
        argument = argument.value
    if isinstance(argument, float):
        if math.isnan(argument):
            return 0
        return _MAX if argument >= 2.0**63 else _MIN if argument <= -(2.0**63) else int(argument)
    if isinstance(argument, int) and not isinstance(argument, bool):
        return argument
    raise KeyFunctionFailed(function=name, argument=argument, hint="the function takes numbers")


def _arithmetic(name: str) -> KeyFunction:
    unary, binary = _UNARY.get(name), _BINARY.get(name)

    def value(*arguments: Any) -> int | None:
        numbers = [_number(name, argument) for argument in arguments]
        if None in numbers:
            return None
        operation: Any = unary if len(numbers) == 1 else binary
        return operation(name, *numbers)  # type: ignore[no-any-return]

    return KeyFunction(
        name=name,
        value=value,
        min_arguments=1 if unary is not None else 2,
        max_arguments=2 if binary is not None else 1,
    )


# -- order: bytes that sort in another direction -------------------------------------------------------


def pack_ordered(items: Row, *, descending: bool, nulls_last: bool) -> bytes:
    """A tuple as bytes that sort in a direction, nulls first or last."""
    packed = tuples.pack(items)
    if nulls_last != descending and None in items:
        packed = b"".join([b"\xfe" if item is None else tuples.pack((item,)) for item in items])
    return _inverted(packed) if descending else packed


def unpack_ordered(data: bytes, *, descending: bool, nulls_last: bool) -> Row:
    """The tuple behind `pack_ordered`.

    Raises: MalformedTuple
    """
    if descending:
        data = _reverted(data)
    # The byte for a late null is no code of the tuple layer: an item of its own is the only place where it can be.
    if nulls_last != descending and data == b"\xfe":
        return (None,)
    return tuple(tuples.unpack(data))


def _inverted(data: bytes) -> bytes:
    """Complement, seven bits a byte, and a last byte above all others that says how many bits are padding."""
    bits = len(data) * 8
    padding = -bits % 7
    number = (int.from_bytes(data, "big") ^ ((1 << bits) - 1)) << padding | ((1 << padding) - 1)
    count = (bits + padding) // 7
    sevens = bytes([number >> shift & 0x7F for shift in range((count - 1) * 7, -1, -7)])
    return sevens + bytes([0x80 | padding << 4])


def _reverted(data: bytes) -> bytes:
    if not data or data[-1] < 0x80 or any(byte > 0x7F for byte in data[:-1]):
        raise MalformedTuple(data=data, hint="these are not bytes in descending order")
    number = 0
    for byte in data[:-1]:
        number = number << 7 | byte
    padding = data[-1] >> 4 & 7
    bits = (len(data) - 1) * 7 - padding
    if bits < 0 or bits % 8:
        raise MalformedTuple(data=data, hint="these are not bytes in descending order")
    return ((number >> padding) ^ ((1 << bits) - 1)).to_bytes(bits // 8, "big")


def _order(name: str, *, descending: bool, nulls_last: bool) -> KeyFunction:
    def value(argument: Any) -> bytes:
        return pack_ordered((argument,), descending=descending, nulls_last=nulls_last)

    return KeyFunction(name=name, value=value, min_arguments=1, max_arguments=1)


# -- cardinality ---------------------------------------------------------------------------------------


def _count(arguments: KeyExpression, message: Message | None, context: RecordContext) -> list[Row] | None:
    """Elements of a repeated field, counted in place: they may be messages, which are no columns."""
    if message is None:
        return None
    if isinstance(arguments, Nesting) and arguments.parent.fan_type is FanType.SCALAR:
        nested = arguments.parent.messages(message)[0]
        return None if nested is None else _count(arguments.child, nested, context)
    if isinstance(arguments, Field):
        field = message.DESCRIPTOR.fields_by_name.get(arguments.name)
        if field is not None and access.is_repeated(field):
            return [(len(getattr(message, field.name)),)]
    return None


def _length(argument: Any) -> int | None:
    return None if argument is None else len(argument)


def _countable(arguments: KeyExpression, descriptor: Descriptor) -> Iterable[SchemaError]:
    if arguments.creates_duplicates:
        hint = "cardinality counts one list: write concatenated(), not fan_out()"
        yield InvalidKeyExpression(function="cardinality", arguments=arguments, hint=hint)


_CARDINALITY = KeyFunction(
    name="cardinality",
    value=_length,
    min_arguments=1,
    max_arguments=1,
    nulls_distinct=(True,),
    whole=_count,
    check=_countable,
)

BUILT_IN: tuple[KeyFunction, ...] = (
    *[_arithmetic(name) for name in sorted({*_BINARY, *_UNARY})],
    _order("order_asc_nulls_first", descending=False, nulls_last=False),
    _order("order_asc_nulls_last", descending=False, nulls_last=True),
    _order("order_desc_nulls_first", descending=True, nulls_last=False),
    _order("order_desc_nulls_last", descending=True, nulls_last=True),
    _CARDINALITY,
)
