"""The columns by which something is ordered: an index, or the records by primary key.

Which fields they hold, in which order, and which of them a record repeats.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from recordlayer import keys
from recordlayer.index.columns import FieldColumn, as_is, converter, field_column, value_converter
from recordlayer.query.predicate import Compare, CompareKey, Path, PathStep
from recordlayer.query.slot import Slot

if TYPE_CHECKING:
    from recordlayer.metadata import Index, RecordType
    from recordlayer.pb.types import FieldDescriptor
    from recordlayer.query.query import SortKey


class Null(enum.Enum):
    """What a null in a column stands for."""

    UNSET = "unset"
    """A field that is not set."""
    DEFAULT = "default"
    """A field without presence that holds its default: such a field is always set."""
    EITHER = "either"
    """A field without presence that holds its default, or a message above it that is not set."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    path        the field it holds, None for constants, functions, versions and lists
    constant    for the column of the record's type: the key of the type that is asked for
    field       what the field column knows
    expression  what it is made of, None for what is not of the record, such as a token
    operands    the field whose values the expression gives, None if it is none's
    """

    path: Path | None
    field: FieldColumn | None = None
    constant: Any = None
    is_constant: bool = False
    expression: keys.KeyExpression | None = None
    operands: FieldDescriptor | None = None

    @property
    def key(self) -> SortKey | None:
        """What one orders by to get the order of this column."""
        return self.path if self.path is not None else self.expression

    @property
    def repeats(self) -> bool:
        if self.field is not None:
            return self.field.repeats
        return self.expression is not None and self.expression.creates_duplicates

    def element(self, condition: Compare | CompareKey, value: Any) -> Any:
        """The operand of a condition as an element of this column.  Raises  WrongType."""
        if isinstance(condition, CompareKey):
            return self.operand(condition, value)
        assert self.field is not None, "only columns with a field are compared by fields"
        convert = converter(self.field.field)
        return value.converted(convert) if type(value) is Slot else convert(value)

    def operand(self, condition: Compare | CompareKey, value: Any) -> Any:
        """The same, defaults not as null: they bound a range."""
        if isinstance(condition, CompareKey):
            return as_is(value) if self.operands is None else value_converter(self.operands)(value)
        assert self.field is not None, "only columns with a field are compared by fields"
        convert = value_converter(self.field.field)
        return value.converted(convert) if type(value) is Slot else convert(value)

    @property
    def null(self) -> Null:
        """What a null in this column says."""
        if self.field is None or self.field.field.has_presence or self.field.repeats:
            return Null.UNSET
        return Null.DEFAULT if len(self.field.path) == 1 else Null.EITHER

    def null_for(self, condition: Compare | CompareKey) -> Null:
        """What a null says to a condition: to one on a key expression it is a null."""
        return Null.UNSET if isinstance(condition, CompareKey) else self.null

    def answers(self, predicate: object) -> TypeGuard[Compare | CompareKey]:
        """Whether a condition is one on this column."""
        if isinstance(predicate, Compare):
            return self.path is not None and predicate.path == self.path
        if isinstance(predicate, CompareKey):
            return self.expression is not None and predicate.expression == self.expression
        return False


def _column(expression: keys.KeyExpression, record_type: RecordType, *, single: bool) -> Column:
    if isinstance(expression, keys.RecordType):
        return Column(None, None, record_type.record_type_key, single, expression)
    operands = expression.column_fields(record_type.descriptor)[0]
    field = field_column(expression, record_type.descriptor)
    if field is None:
        return Column(None, expression=expression, operands=operands)
    if field.whole or field.defaults:
        return Column(None, expression=None if field.whole else expression, operands=operands)
    path = tuple(PathStep(name, fans) for name, fans in zip(field.path, field.fans_out, strict=True))
    return Column(path, field, expression=expression, operands=operands)


def index_columns(index: Index, record_type: RecordType, *, single: bool) -> list[Column]:
    """The columns of an index's keys, those of the primary key behind its own included.

    `single`: only records of this one type are asked for, so that a column of the record's type is a constant.
    """
    own = index.root_expression.normalized()[: index.column_size]
    columns = [_column(expression, record_type, single=single) for expression in own]
    primary = primary_key_columns(record_type, single=single)
    positions = index.primary_key_positions
    if positions is None:
        return columns + primary
    return columns + [column for column, place in zip(primary, positions, strict=True) if place < 0]


def expression_columns(expression: keys.KeyExpression, record_type: RecordType, *, single: bool) -> list[Column]:
    """The columns of an expression by themselves."""
    columns = [column for column in expression.normalized() if column.column_size]
    return [_column(column, record_type, single=single) for column in columns]


def value_columns(index: Index, record_type: RecordType) -> list[Column]:
    """The columns in the values of a covering index's entries."""
    own = index.root_expression.normalized()[index.column_size :]
    return [_column(expression, record_type, single=False) for expression in own]


def primary_key_columns(record_type: RecordType, *, single: bool) -> list[Column]:
    """The columns by which records lie."""
    return expression_columns(record_type.primary_key, record_type, single=single)
