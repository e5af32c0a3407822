"""What generated code is made of: columns held in variables, scopes that fields are read from, lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from recordlayer import tuples
from recordlayer.tuples.compiled import PACKING_NAMES, Kind, packing_source

if TYPE_CHECKING:
    from recordlayer.pb.types import Descriptor

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the row being made: a variable or a constant, and what it usually holds."""

    source: str
    kind: Kind
    nullable: bool = True
    raw_float: bool = False
    """a Python float that is 32 bits wide in a tuple: not wrapped, because it may go straight to its bytes"""

    constant: bytes | None = None
    """the bytes of the element, if they are always the same"""

    @property
    def value(self) -> str:
        """An expression for the element of the tuple."""
        if not self.raw_float:
            return self.source
        wrapped = f"_k_SingleFloat({self.source})"
        return f"(None if {self.source} is None else {wrapped})" if self.nullable else wrapped

    @property
    def packed(self) -> str:
        """An expression for the bytes of the element."""
        if self.constant is not None:
            return repr(self.constant)
        if self.raw_float:
            packed = f"_t_float_as_single({self.source})"
            return rf'(b"\x00" if {self.source} is None else {packed})' if self.nullable else packed
        return packing_source(self.kind, self.source, nullable=self.nullable)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where fields are read from: a message in a variable, or an entry of a map as a pair of variables."""

    descriptor: Descriptor
    message: str | None
    missing: bool = False
    """whether the variable may hold None"""

    key: str = ""
    entry_value: str = ""


class Interpreted(Exception):
    """A node has no generated form where it stands."""


class Writer:
    """Lines of a function under construction."""

    def __init__(self, *, many: bool) -> None:
        self.lines: list[str] = []
        self.many = many
        self.names: dict[str, object] = {
            **PACKING_NAMES,
            "_k_SingleFloat": tuples.SingleFloat,
            "_k_text": _text,
            "_k_minus_zero": _is_minus_zero,
        }
        self._depth = 0
        self._count = 0
        self._read: dict[tuple[object, ...], object] = {}
        self._packed: dict[Column, str] = {}

    def add(self, line: str) -> None:
        self.lines.append("    " * self._depth + line)

    def give(self, result: str) -> None:
        """One row is ready."""
        self.add(f"rows.append({result})" if self.many else f"return [{result}]")

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        self.add(head)
        self._depth += 1
        before = len(self.lines)
        yield
        if len(self.lines) == before:
            self.add("pass")
        self._depth -= 1

    def variable(self) -> str:
        self._count += 1
        return f"c{self._count}"

    def once(self, what: tuple[object, ...], make: Callable[[], T]) -> T:
        """What `make` gives, with the lines it writes; the second time what it gave the first. Only where the lines of
        the first time have run whenever those that follow do: not inside of loops and branches."""
        if self._depth > 1:
            return make()
        if what not in self._read:
            self._read[what] = make()
        return cast("T", self._read[what])

    def packed(self, column: Column) -> str:
        """A variable with the bytes of a column's element, worked out once however many rows have the column."""
        if column.constant is not None:
            return column.packed
        (named,) = in_variables([column], self)
        if named not in self._packed:
            variable = self._packed[named] = self.variable()
            self.add(f"{variable} = {named.packed}")
        return self._packed[named]

    def name(self, thing: object) -> str:
        self._count += 1
        self.names[f"_k_{self._count}"] = thing
        return f"_k_{self._count}"


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _is_minus_zero(value: float) -> bool:
    return str(value) == "-0.0"


def in_variables(columns: list[Column], out: Writer) -> list[Column]:
    """Columns whose source is a plain name, as packing wants it."""
    named: list[Column] = []
    for column in columns:
        if column.constant is not None or column.source.isidentifier():
            named.append(column)
            continue
        variable = out.variable()
        out.add(f"{variable} = {column.source}")
        named.append(Column(variable, column.kind, nullable=column.nullable))
    return named


def tuple_source(expressions: list[str]) -> str:
    return f"({', '.join(expressions)}{',' if len(expressions) == 1 else ''})"
