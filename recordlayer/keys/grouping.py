"""Columns with roles: grouped and grouping, key and value, dimensions, elements taken several at a time.

Source  Record Layer: GroupingKeyExpression, KeyWithValueExpression, DimensionsKeyExpression, SplitKeyExpression
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recordlayer.errors import InvalidKeyExpression, SchemaError, WrongType
from recordlayer.keys.compose import Then, as_expression
from recordlayer.keys.expression import NO_CONTEXT, KeyExpression, RecordContext, Row
from recordlayer.keys.special import EMPTY

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.pb.types import Descriptor, FieldDescriptor


class _Whole(KeyExpression):
    """An expression that only gives roles to the columns of another one."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def whole(self) -> KeyExpression: ...

    @property
    def children(self) -> tuple[KeyExpression, ...]:
        return (self.whole,)

    @property
    def column_size(self) -> int:
        return self.whole.column_size

    @property
    def nulls_distinct(self) -> tuple[bool, ...]:
        return self.whole.nulls_distinct

    def normalized(self) -> tuple[KeyExpression, ...]:
        return self.whole.normalized()

    def evaluate(self, message: Message | None, context: RecordContext = NO_CONTEXT) -> list[Row]:
        return self.whole.evaluate(message, context)

    def column_fields(self, descriptor: Descriptor) -> list[FieldDescriptor | None]:
        return self.whole.column_fields(descriptor)


@dataclass(frozen=True, slots=True, repr=False)
class Grouping(_Whole):
    """The last `grouped_count` columns, grouped by the ones before them."""

    whole: KeyExpression
    grouped_count: int

    def __post_init__(self) -> None:
        if not 0 <= _whole_number("grouped_count", self.grouped_count) <= self.whole.column_size:
            columns = self.whole.column_size
            raise InvalidKeyExpression(expression=self.whole, columns=columns, grouped_count=self.grouped_count)

    def __repr__(self) -> str:
        return f"grouping({self.whole!r}, grouped_count={self.grouped_count})"

    @property
    def grouping_count(self) -> int:
        """Columns to group by."""
        return self.whole.column_size - self.grouped_count

    @property
    def grouping_key(self) -> KeyExpression:
        return self.whole.sub_key(0, self.grouping_count)

    @property
    def grouped_key(self) -> KeyExpression:
        return self.whole.sub_key(self.grouping_count, self.whole.column_size)

    def ignoring_nulls(self) -> Grouping:
        return Grouping(self.whole.ignoring_nulls(), self.grouped_count)


@dataclass(frozen=True, slots=True, repr=False)
class KeyWithValue(_Whole):
    """Columns of which those from `split_point` on go into the value of an index entry: a covering index."""

    inner: KeyExpression
    split_point: int

    def __post_init__(self) -> None:
        if _whole_number("split_point", self.split_point) < 0:
            raise InvalidKeyExpression(expression=self.inner, split_point=self.split_point)

    def __repr__(self) -> str:
        return f"key_with_value({self.inner!r}, split_point={self.split_point})"

    @property
    def whole(self) -> KeyExpression:
        return self.inner

    @property
    def column_size(self) -> int:
        """Columns of the key part; rows have those of the value part behind them."""
        return self.split_point

    @property
    def nulls_distinct(self) -> tuple[bool, ...]:
        return self.inner.nulls_distinct[: self.split_point]

    @property
    def key(self) -> KeyExpression:
        return self.inner.sub_key(0, self.split_point)

    @property
    def value(self) -> KeyExpression:
        """The columns of the value part, each taken by itself."""
        columns = self.inner.normalized()[self.split_point :]
        return EMPTY if not columns else columns[0] if len(columns) == 1 else Then(columns)

    def ignoring_nulls(self) -> KeyWithValue:
        return KeyWithValue(self.inner.ignoring_nulls(), self.split_point)

    def _sub_key(self, start: int, end: int) -> KeyExpression:
        return self.inner.sub_key(start, end)

    def problems(self, descriptor: Descriptor) -> Iterator[SchemaError]:
        if self.inner.column_size < self.split_point:
            hint = f"the expression has {self.inner.column_size} columns only"
            yield InvalidKeyExpression(expression=self, split_point=self.split_point, hint=hint)
        yield from self.inner.problems(descriptor)


@dataclass(frozen=True, slots=True, repr=False)
class Dimensions(_Whole):
    """Columns of which `dimensions_size`, after the first `prefix_size`, are the dimensions of a space."""

    whole: KeyExpression
    prefix_size: int
    dimensions_size: int

    def __post_init__(self) -> None:
        prefix, dimensions = (
            _whole_number("prefix_size", self.prefix_size),
            _whole_number("dimensions_size", self.dimensions_size),
        )
        if prefix < 0 or dimensions < 0:
            raise InvalidKeyExpression(expression=self.whole, prefix_size=prefix, dimensions_size=dimensions)

    def __repr__(self) -> str:
        return f"dimensions({self.whole!r}, prefix_size={self.prefix_size}, dimensions_size={self.dimensions_size})"

    def ignoring_nulls(self) -> Dimensions:
        return Dimensions(self.whole.ignoring_nulls(), self.prefix_size, self.dimensions_size)

    def _sub_key(self, start: int, end: int) -> KeyExpression:
        return self.whole.sub_key(start, end)

    def problems(self, descriptor: Descriptor) -> Iterator[SchemaError]:
        found = list(self.whole.problems(descriptor))
        yield from found
        last = self.prefix_size + self.dimensions_size
        if last > self.whole.column_size:
            hint = f"the expression has {self.whole.column_size} columns only"
            yield InvalidKeyExpression(expression=self, hint=hint)
        elif not found:
            leaves = self.whole.leaf_fields(descriptor)[self.prefix_size : last]
            wrong = [leaf.name for leaf in leaves if leaf.type != leaf.TYPE_INT64]
            if wrong or len(leaves) < self.dimensions_size:
                yield InvalidKeyExpression(expression=self, fields=wrong, hint="dimensions are int64 fields")


@dataclass(frozen=True, slots=True, repr=False)
class Split(KeyExpression):
    """The rows of a one-column expression, taken `split_size` at a time as one row."""

    joined: KeyExpression
    split_size: int

    def __post_init__(self) -> None:
        if not 1 <= _whole_number("split_size", self.split_size) <= 10_000:
            raise InvalidKeyExpression(expression=self.joined, split_size=self.split_size)

    def __repr__(self) -> str:
        return f"{self.joined!r}.split({self.split_size})"

    @property
    def children(self) -> tuple[KeyExpression, ...]:
        return (self.joined,)

    @property
    def column_size(self) -> int:
        return self.split_size

    @property
    def creates_duplicates(self) -> bool:
        return True

    @property
    def nulls_distinct(self) -> tuple[bool, ...]:
        return self.joined.nulls_distinct * self.split_size

    def normalized(self) -> tuple[KeyExpression, ...]:
        return (self.joined,) * self.split_size

    def ignoring_nulls(self) -> Split:
        return Split(self.joined.ignoring_nulls(), self.split_size)

    def evaluate(self, message: Message | None, context: RecordContext = NO_CONTEXT) -> list[Row]:
        rows = self.joined.evaluate(message, context)
        if len(rows) % self.split_size:
            hint = f"the number of elements must be a multiple of {self.split_size}"
            raise InvalidKeyExpression(expression=self, elements=len(rows), hint=hint)
        step = self.split_size
        return [sum(rows[at : at + step], ()) for at in range(0, len(rows), step)]

    def problems(self, descriptor: Descriptor) -> Iterator[SchemaError]:
        if self.joined.column_size != 1:
            yield InvalidKeyExpression(expression=self, hint="only an expression of one column can be split")
        if not self.joined.creates_duplicates:
            yield InvalidKeyExpression(expression=self, hint="only a fan-out can be split")
        yield from self.joined.problems(descriptor)

    def column_fields(self, descriptor: Descriptor) -> list[FieldDescriptor | None]:
        return self.joined.column_fields(descriptor) * self.split_size


def _whole_number(name: str, number: int) -> int:
    if type(number) is not int:
        raise WrongType(argument=name, value=number, hint="a whole number is wanted")
    return number


def grouping(whole: KeyExpression | str, *, grouped_count: int = 1) -> Grouping:
    """The last `grouped_count` columns, grouped by the ones before them."""
    return Grouping(as_expression(whole), grouped_count)


def key_with_value(inner: KeyExpression | str, *, split_point: int = 1) -> KeyWithValue:
    """A covering index: the first `split_point` columns are the key, the others the value of its entries."""
    return KeyWithValue(as_expression(inner), split_point)


def dimensions(whole: KeyExpression | str, *, prefix_size: int = 0, dimensions_size: int) -> Dimensions:
    """`dimensions_size` columns of a space (int64 fields), after `prefix_size` columns that tell spaces apart."""
    return Dimensions(as_expression(whole), prefix_size, dimensions_size)


def split(joined: KeyExpression | str, size: int) -> Split:
    """The elements of a fan-out, taken `size` at a time as columns of one row."""
    return Split(as_expression(joined), size)
