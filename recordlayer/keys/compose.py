"""Expressions side by side: as columns of one row (`Then`), or as nested tuples (`ListOf`).

Source  Record Layer: ThenKeyExpression, ListKeyExpression
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, chain, product
from typing import TYPE_CHECKING

from recordlayer.errors import InvalidKeyExpression, WrongType
from recordlayer.keys.expression import NO_CONTEXT, KeyExpression, RecordContext, Row
from recordlayer.keys.field import Field, Nesting
from recordlayer.keys.special import EMPTY

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.keys.grouping import Grouping
    from recordlayer.pb.types import Descriptor, FieldDescriptor


@dataclass(frozen=True, slots=True, repr=False)
class Then(KeyExpression):
    """The columns of each part, one after the other; every combination of the parts' rows, the last part fastest."""

    parts: tuple[KeyExpression, ...]

    def __post_init__(self) -> None:
        flat: list[KeyExpression] = []
        for part in self.parts:
            flat += part.parts if isinstance(part, Then) else (part,)
        if len(flat) < 2:
            raise InvalidKeyExpression(parts=len(flat), hint="concat() takes at least two parts")
        object.__setattr__(self, "parts", tuple(flat))

    def __repr__(self) -> str:
        return f"concat({', '.join(map(repr, self.parts))})"

    @property
    def children(self) -> tuple[KeyExpression, ...]:
        return self.parts

    @property
    def column_size(self) -> int:
        return sum(part.column_size for part in self.parts)

    @property
    def nulls_distinct(self) -> tuple[bool, ...]:
        return tuple(chain.from_iterable(part.nulls_distinct for part in self.parts))

    def normalized(self) -> tuple[KeyExpression, ...]:
        return tuple(chain.from_iterable(part.normalized() for part in self.parts))

    def ignoring_nulls(self) -> Then:
        return Then(tuple(part.ignoring_nulls() for part in self.parts))

    def grouped(self, count: int) -> Grouping:
        """These columns, the last `count` of them grouped by the ones before."""
        from recordlayer.keys.grouping import Grouping

        return Grouping(self, count)

    def _sub_key(self, start: int, end: int) -> KeyExpression:
        taken: list[KeyExpression] = []
        for part, after in zip(self.parts, accumulate(part.column_size for part in self.parts), strict=True):
            before = after - part.column_size
            first, last = max(start, before), min(end, after)
            if first < last:
                taken.append(part.sub_key(first - before, last - before))
        return taken[0] if len(taken) == 1 else Then(tuple(taken)) if taken else EMPTY

    def evaluate(self, message: Message | None, context: RecordContext = NO_CONTEXT) -> list[Row]:
        rows = [part.evaluate(message, context) for part in self.parts]
        return [tuple(chain.from_iterable(combination)) for combination in product(*rows)]

    def column_fields(self, descriptor: Descriptor) -> list[FieldDescriptor | None]:
        return [field for part in self.parts for field in part.column_fields(descriptor)]


@dataclass(frozen=True, slots=True, repr=False)
class ListOf(KeyExpression):
    """One column for each part: its row as a nested tuple; combinations as in `Then`."""

    parts: tuple[KeyExpression, ...]

    def __repr__(self) -> str:
        return f"list_of({', '.join(map(repr, self.parts))})"

    @property
    def children(self) -> tuple[KeyExpression, ...]:
        return self.parts

    @property
    def column_size(self) -> int:
        return len(self.parts)

    @property
    def nulls_distinct(self) -> tuple[bool, ...]:
        return (False,) * len(self.parts)

    def normalized(self) -> tuple[KeyExpression, ...]:
        return (self,) if len(self.parts) == 1 else tuple(ListOf((part,)) for part in self.parts)

    def ignoring_nulls(self) -> ListOf:
        return ListOf(tuple(part.ignoring_nulls() for part in self.parts))

    def _sub_key(self, start: int, end: int) -> KeyExpression:
        return ListOf(self.parts[start:end])

    def evaluate(self, message: Message | None, context: RecordContext = NO_CONTEXT) -> list[Row]:
        return list(product(*[part.evaluate(message, context) for part in self.parts]))

    def column_fields(self, descriptor: Descriptor) -> list[FieldDescriptor | None]:
        return [None] * len(self.parts)


def as_expression(expression: KeyExpression | str) -> KeyExpression:
    """A key expression as it is, a string as the field of that name."""
    if isinstance(expression, KeyExpression):
        return expression
    if isinstance(expression, str):
        return Field(expression)
    raise WrongType(value=expression, hint='a key expression is wanted: field("name"), concat(...) or a field name')


def concat(*parts: KeyExpression | str) -> Then:
    """The columns of all parts, one after the other; at least two parts."""
    return Then(tuple(as_expression(part) for part in parts))


def concat_fields(*names: str) -> Then:
    """Several fields that are not repeated, one after the other; at least two."""
    return Then(tuple(Field(name) for name in names))


def list_of(*parts: KeyExpression | str) -> ListOf:
    """Each part as a nested tuple."""
    return ListOf(tuple(as_expression(part) for part in parts))


def field_path(path: Iterable[str]) -> KeyExpression:
    """A field inside messages inside messages; none of them repeated."""
    names = list(path)
    if not names:
        raise InvalidKeyExpression(path=names, hint="a path has at least one name")
    expression: KeyExpression = Field(names[-1])
    for name in reversed(names[:-1]):
        expression = Nesting(Field(name), expression)
    return expression


def map_entries(name: str) -> Nesting:
    """Key and value of each entry of a map field."""
    return Field(name).fan_out().nest("key", "value")


def map_keys(name: str) -> Nesting:
    """The key of each entry of a map field."""
    return Field(name).fan_out().nest("key")


def map_values(name: str) -> Nesting:
    """The value of each entry of a map field."""
    return Field(name).fan_out().nest("value")
