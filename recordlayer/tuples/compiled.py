"""Packers and unpackers generated for known columns: one function of plain Python for each list of column kinds.

A general packer asks every value for its type. Where the types are known beforehand (an index, a primary key), the
question becomes a check that is nearly always true, and the calls between it and the bytes go away. What a value of
another type gets is the general packer: a generated function gives the same bytes, or the same error, as `pack` does,
and a generated unpacker the same tuple, or the same error, as `unpack`.

For other generators (a key expression from a message's attributes to an entry) the source of one column is public:

    packing_source(kind, variable)      an expression that is the bytes of the element
    unpacking_source(kind, variable)    statements that set the variable from `data` at `at`, and move `at`
    PACKING_NAMES, UNPACKING_NAMES      the globals that these sources need
    PACKING_ERRORS, UNPACKING_ERRORS    what they raise: `pack` or `unpack` the whole then, for the right error
    define                              makes the function
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Any, Final

from recordlayer.errors import TupleError, UsageError, WrongType
from recordlayer.tuples.codes import COMPLEMENT
from recordlayer.tuples.packing import (
    ELEMENT_SIZE,
    PACK_DOUBLE_ELEMENT,
    POSITIVE_LEAD,
    SMALL,
    UUID_LEAD,
    encode_element,
    encode_float,
    encode_float_as_single,
    encode_int,
    pack,
)
from recordlayer.tuples.single_float import SingleFloat
from recordlayer.tuples.unpacking import DECODERS, NEGATIVE_OFFSET, UNPACK_DOUBLE_FROM, unpack, uuid_from


class Kind(StrEnum):
    """What a column usually holds. Other values are packed and unpacked too, only slower."""

    INT = "int"
    STR = "str"
    BYTES = "bytes"
    FLOAT = "float"
    SINGLE_FLOAT = "single_float"
    BOOL = "bool"
    UUID = "uuid"
    VERSIONSTAMP = "versionstamp"
    ANY = "any"  # nested tuples, and columns of which nothing is known


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its kind, and whether None is usual in it."""

    kind: Kind
    _: KW_ONLY
    nullable: bool = True


# -- packing -----------------------------------------------------------------------------------------------

PACKING_ERRORS: Final = (TupleError, UnicodeEncodeError)

PACKING_NAMES: Final[Mapping[str, object]] = {
    "_t_encode": encode_element,
    "_t_int": encode_int,
    "_t_float": encode_float,
    "_t_small": SMALL,
    "_t_lead": POSITIVE_LEAD,
    "_t_size": ELEMENT_SIZE,
    "_t_pack_double": PACK_DOUBLE_ELEMENT,
    "_t_uuid_lead": UUID_LEAD,
    "_t_UUID": uuid.UUID,
    "_t_SingleFloat": SingleFloat,
    "_t_join": b"".join,
    "_t_errors": PACKING_ERRORS,
    "_t_pack": pack,
    # For generators whose values are Python floats to be stored as 32-bit ones, as a protobuf `float` field is: the
    # element without a SingleFloat in between. `pack` knows no such column, so no Kind stands for it.
    "_t_float_as_single": encode_float_as_single,
}

# What the bytes are in the usual case of a column, and the condition for that (negative integers are left to the
# general encoder). The temporary `_t_n` is used up within the expression.
_FAST: Final[dict[Kind, tuple[str, str]]] = {
    Kind.INT: (
        (
            "(_t_small[{v}] if {v} < 256 else ({v} + _t_lead[_t_n]).to_bytes(_t_size[_t_n])"
            " if (_t_n := {v}.bit_length()) < 64 else _t_int({v}))"
        ),
        "type({v}) is int and {v} >= 0",
    ),
    Kind.STR: (r'f"\x02{{{v}}}\x00".encode()', r'type({v}) is str and "\x00" not in {v}'),
    Kind.BYTES: (r'b"\x01" + {v} + b"\x00"', "type({v}) is bytes and 0 not in {v}"),
    Kind.FLOAT: ("(_t_pack_double(0x21, -{v}) if {v} > 0.0 else _t_float({v}))", "type({v}) is float"),
    Kind.SINGLE_FLOAT: (r'b"\x20" + {v}.packed', "type({v}) is _t_SingleFloat"),
    Kind.BOOL: (r'(b"\x27" if {v} else b"\x26")', "type({v}) is bool"),
    Kind.UUID: ("({v}.int + _t_uuid_lead).to_bytes(17)", "type({v}) is _t_UUID"),
}


def packing_source(kind: Kind, variable: str, *, nullable: bool = True) -> str:
    """An expression for the bytes of one top-level element: the value of `variable`, which is a plain name.

    It is right for a value of any type. It needs PACKING_NAMES among the globals of the function it is put into, uses
    the temporary `_t_n` there, and raises PACKING_ERRORS for what cannot be packed. Those know no position: pack the
    whole tuple with `pack` to get the error a caller should see.
    """
    general = f"_t_encode({variable})"
    if kind not in _FAST:
        return general
    if nullable:
        general = rf'b"\x00" if {variable} is None else {general}'
    fast, condition = (text.format(v=variable) for text in _FAST[kind])
    return f"({fast} if {condition} else {general})"


def compile_packer(columns: Sequence[Column], prefix: bytes = b"", *, name: str = "pack") -> Callable[..., bytes]:
    """A function that takes one value per column, positionally, and returns what `pack(values, prefix)` returns.

    Raises what `pack` raises. `name` is what tracebacks call the function.
    """
    variables = [f"c{index}" for index in range(len(_checked(columns)))]
    pieces = [repr(prefix)] if prefix else []
    pieces += [packing_source(c.kind, v, nullable=c.nullable) for c, v in zip(columns, variables, strict=True)]
    values = _tuple_source(variables)
    lines = [
        "try:",
        f"    return _t_join({_tuple_source(pieces)})",
        "except _t_errors:",
        f"    return _t_pack({values}, {prefix!r})",
    ]
    return define(lines, name=name, parameters=variables, names=PACKING_NAMES)


# -- unpacking ---------------------------------------------------------------------------------------------

UNPACKING_ERRORS: Final = (IndexError, ValueError, struct.error, TupleError)

UNPACKING_NAMES: Final[Mapping[str, object]] = {
    "_t_decoders": DECODERS,
    "_t_from_bytes": int.from_bytes,
    "_t_negative": NEGATIVE_OFFSET,
    "_t_double": UNPACK_DOUBLE_FROM,
    "_t_complement": COMPLEMENT,
    "_t_uuid": uuid_from,
    "_t_single": SingleFloat.from_packed,
    "_t_errors": UNPACKING_ERRORS,
    "_t_unpack": unpack,
}

# (condition on the code, statements) in the order to be tried.
_Branches = tuple[tuple[str, tuple[str, ...]], ...]
_BRANCHES: Final[dict[Kind, _Branches]] = {
    Kind.INT: (
        ("_t_code == 0x15", ("{v} = data[at + 1]", "at += 2")),
        ("_t_code == 0x16", ("{v} = data[at + 1] << 8 | data[at + 2]", "at += 3")),
        (
            "0x13 < _t_code < 0x1d",
            ("_t_end = at + _t_code - 0x13", "{v} = _t_from_bytes(data[at + 1 : _t_end])", "at = _t_end"),
        ),
        (
            "0x0b < _t_code < 0x14",
            (
                "_t_end = at + 0x15 - _t_code",
                "{v} = _t_from_bytes(data[at + 1 : _t_end]) - _t_negative[_t_code]",
                "at = _t_end",
            ),
        ),
    ),
    Kind.STR: (
        ("_t_code == 0x02", ("_t_end = data.index(0, at)", "{v} = data[at + 1 : _t_end].decode()", "at = _t_end + 1")),
    ),
    Kind.BYTES: (
        ("_t_code == 0x01", ("_t_end = data.index(0, at)", "{v} = data[at + 1 : _t_end]", "at = _t_end + 1")),
    ),
    Kind.FLOAT: (
        (
            "_t_code == 0x21",
            (
                "_t_raw = data[at + 1 : at + 9]",
                "{v} = -_t_double(_t_raw)[0] if _t_raw[0] > 0x7f else _t_double(_t_raw.translate(_t_complement))[0]",
                "at += 9",
            ),
        ),
    ),
    Kind.SINGLE_FLOAT: (("_t_code == 0x20", ("{v} = _t_single(data[at + 1 : at + 5])", "at += 5")),),
    Kind.BOOL: (("_t_code == 0x26 or _t_code == 0x27", ("{v} = _t_code == 0x27", "at += 1")),),
    Kind.UUID: (("_t_code == 0x30", ("{v} = _t_uuid(_t_from_bytes(data[at + 1 : at + 17]))", "at += 17")),),
}


def unpacking_source(kind: Kind, variable: str) -> list[str]:
    """Statements that read one top-level element of `data` (`bytes`) at `at`: `variable` is set, `at` moved on.

    They need UNPACKING_NAMES and use the temporaries `_t_code`, `_t_end` and `_t_raw`. They do not see everything that
    is wrong: an element that is cut short moves `at` behind the end, and text or bytes with a 00 inside are cut at it,
    which leaves `at` before the end. So after the last column `at == len(data)` must hold; if it does not, or
    UNPACKING_ERRORS are raised, what was read counts for nothing and `unpack` must read it all again.
    """
    lines = ["_t_code = data[at]"]
    word = "if"
    for condition, statements in _BRANCHES.get(kind, ()):
        lines.append(f"{word} {condition}:")
        lines += [f"    {statement.format(v=variable)}" for statement in statements]
        word = "elif"
    if word == "if":
        return [*lines, f"{variable}, at = _t_decoders[_t_code](data, at)"]
    return [*lines, "else:", f"    {variable}, at = _t_decoders[_t_code](data, at)"]


def compile_unpacker(
    columns: Sequence[Column], prefix_length: int = 0, *, name: str = "unpack"
) -> Callable[[bytes], tuple[Any, ...]]:
    """A function that returns what `unpack(data, prefix_length)` returns, fast when `data` has these columns.

    Raises what `unpack` raises.
    """
    if prefix_length < 0:
        raise UsageError(prefix_length=prefix_length, hint="a prefix has no negative length")
    variables = [f"c{index}" for index in range(len(_checked(columns)))]
    lines = ["if type(data) is bytes:", "    try:", f"        at = {prefix_length:d}"]
    for column, variable in zip(columns, variables, strict=True):
        lines += [f"        {line}" for line in unpacking_source(column.kind, variable)]
    lines += [
        "        if at == len(data):",
        f"            return {_tuple_source(variables)}",
        "    except _t_errors:",
        "        pass",
        f"return _t_unpack(data, {prefix_length:d})",
    ]
    return define(lines, name=name, parameters=("data",), names=UNPACKING_NAMES)


# -- making functions --------------------------------------------------------------------------------------


def define(
    lines: Iterable[str], *, name: str, parameters: Iterable[str], names: Mapping[str, object]
) -> Callable[..., Any]:
    """The function with this body, these positional parameters and these globals. `name` need not be an identifier."""
    signature = ", ".join(parameters)
    source = f"def generated({signature}{', /' if signature else ''}):\n" + "".join(f"    {line}\n" for line in lines)
    scope = dict(names)
    exec(compile(source, f"<recordlayer {name}>", "exec"), scope)
    function: Any = scope["generated"]
    function.__code__ = function.__code__.replace(co_name=name, co_qualname=name)
    function.__name__ = function.__qualname__ = name
    made: Callable[..., Any] = function
    return made


def _tuple_source(expressions: Sequence[str]) -> str:
    return f"({', '.join(expressions)}{',' if len(expressions) == 1 else ''})"


def _checked(columns: Sequence[Column]) -> Sequence[Column]:
    for column in columns:
        if not isinstance(column, Column):
            raise WrongType(expected="Column", got=type(column).__name__)
    return columns
