"""Columns that are not in the message: nothing, a constant, the record's type, the record's version.

Source  Record Layer: EmptyKeyExpression, LiteralKeyExpression, RecordTypeKeyExpression, VersionKeyExpression
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recordlayer.errors import InvalidKeyExpression
from recordlayer.keys.expression import NO_CONTEXT, KeyExpression, RecordContext, Row
from recordlayer.tuples import SingleFloat

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.pb.types import Descriptor, FieldDescriptor


@dataclass(frozen=True, slots=True, repr=False)
class Empty(KeyExpression):
    """One row without columns."""

    def __repr__(self) -> str:
        return "empty()"

    @property
    def column_size(self) -> int:
        return 0

    @property
    def nulls_distinct(self) -> tuple[bool, ...]:
        return ()

    def evaluate(self, message: Message | None, context: RecordContext = NO_CONTEXT) -> list[Row]:
        return [()]

    def column_fields(self, descriptor: Descriptor) -> list[FieldDescriptor | None]:
        return []


@dataclass(frozen=True, slots=True, repr=False)
class RecordType(KeyExpression):
    """The key of the record's type: one column."""

    def __repr__(self) -> str:
        return "record_type()"

    @property
    def column_size(self) -> int:
        return 1

    @property
    def nulls_distinct(self) -> tuple[bool, ...]:
        return (True,)

    @property
    def has_record_type_key(self) -> bool:
        return True

    def evaluate(self, message: Message | None, context: RecordContext = NO_CONTEXT) -> list[Row]:
        return [(context.record_type_key,)]

    def column_fields(self, descriptor: Descriptor) -> list[FieldDescriptor | None]:
        return [None]


@dataclass(frozen=True, slots=True, repr=False)
class Version(KeyExpression):
    """The record's version: one column, null while it has none."""

    def __repr__(self) -> str:
        return "version()"

    @property
    def column_size(self) -> int:
        return 1

    @property
    def nulls_distinct(self) -> tuple[bool, ...]:
        return (True,)

    @property
    def version_columns(self) -> int:
        return 1

    def evaluate(self, message: Message | None, context: RecordContext = NO_CONTEXT) -> list[Row]:
        return [(context.version,)]

    def column_fields(self, descriptor: Descriptor) -> list[FieldDescriptor | None]:
        return [None]


EMPTY = Empty()
RECORD_TYPE = RecordType()
VERSION = Version()

KINDS = ("double", "float", "long", "bool", "string", "bytes", "int", "null")
_RANGES = {"long": 63, "int": 31}
_TYPES: dict[str, type] = {"double": float, "float": float, "bool": bool, "string": str, "bytes": bytes}


@dataclass(frozen=True, slots=True, repr=False)
class Literal(KeyExpression):
    """A constant. `kind` is how it is stored: two kinds of integer and of float differ in bytes, not in meaning."""

    value: Any
    kind: str

    def __post_init__(self) -> None:
        if self.kind in _RANGES:
            ok = type(self.value) is int and -(1 << _RANGES[self.kind]) <= self.value < 1 << _RANGES[self.kind]
        elif self.kind == "null":
            ok = self.value is None
        else:
            ok = self.kind in _TYPES and type(self.value) is _TYPES[self.kind]
        if not ok:
            hint = "a literal is None, a bool, an int of 64 bits, a float, a str or bytes"
            raise InvalidKeyExpression(value=self.value, kind=self.kind, hint=hint)

    # 1 == True == 1.0 and nan != nan: what counts is what is stored.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[str, object]:
        if isinstance(self.value, float):
            return self.kind, (math.copysign(1.0, self.value), repr(self.value))
        return self.kind, self.value

    def __repr__(self) -> str:
        kind = f', kind="{self.kind}"' if self.kind in ("int", "float") else ""
        return f"value({self.value!r}{kind})"

    @property
    def column_size(self) -> int:
        return 1

    @property
    def nulls_distinct(self) -> tuple[bool, ...]:
        return (True,)

    @property
    def element(self) -> Any:
        """The constant as an element of a tuple."""
        return SingleFloat(self.value) if self.kind == "float" else self.value

    def evaluate(self, message: Message | None, context: RecordContext = NO_CONTEXT) -> list[Row]:
        return [(self.element,)]

    def column_fields(self, descriptor: Descriptor) -> list[FieldDescriptor | None]:
        return [None]


def empty() -> Empty:
    """No columns: the key of an index over everything."""
    return EMPTY


def record_type() -> RecordType:
    """The key of the record's type."""
    return RECORD_TYPE


def version() -> Version:
    """The record's version: its place in the order of commits. The metadata must store record versions."""
    return VERSION


def value(constant: Any, *, kind: str | None = None) -> Literal:
    """A constant column: None, a bool, an int, a float, a str or bytes.

    `kind` picks the stored form where there are two: "int" for 32-bit integers, "float" for 32-bit floats.
    """
    return Literal(constant, kind if kind is not None else _kind_of(constant))


def _kind_of(constant: Any) -> str:
    if isinstance(constant, SingleFloat):
        raise InvalidKeyExpression(value=constant, hint='write value(x, kind="float")')
    by_type = {bool: "bool", int: "long", float: "double", str: "string", bytes: "bytes", type(None): "null"}
    return by_type.get(type(constant), "unknown")
