"""The columns by which something is ordered: an index, or the records by primary key.

Which fields they hold, in which order, and which of them a record repeats.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recordlayer import keys
from recordlayer.index.columns import FieldColumn, converter, field_column
from recordlayer.query.predicate import Compare, Path, PathStep

if TYPE_CHECKING:
    from recordlayer.metadata import Index, RecordType


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

    path       the field it holds, None for constants, functions, versions and lists
    constant   for the column of the record's type: the key of the type that is asked for
    field      what the field column knows
    """

    path: Path | None
    field: FieldColumn | None = None
    constant: Any = None
    is_constant: bool = False

    @property
    def repeats(self) -> bool:
        return self.field is not None and self.field.repeats

    def element(self, value: Any) -> Any:
        """A value as an element of this column.  Raises  WrongType."""
        assert self.field is not None, "only columns with a field are compared"
        return converter(self.field.field)(value)

    @property
    def null(self) -> Null:
        """What a null in this column says."""
        if self.field is None or self.field.field.has_presence or self.field.repeats:
            return Null.UNSET
        return Null.DEFAULT if len(self.field.path) == 1 else Null.EITHER

    def answers(self, predicate: object) -> bool:
        """Whether a condition is one on this column."""
        return isinstance(predicate, Compare) and self.path is not None and predicate.path == self.path


def _column(expression: keys.KeyExpression, record_type: RecordType, *, single: bool) -> Column:
    if isinstance(expression, keys.RecordType):
        return Column(None, None, record_type.record_type_key, single)
    field = field_column(expression, record_type.descriptor)
    if field is None or field.whole or field.defaults:
        return Column(None)
    path = tuple(PathStep(name, fans) for name, fans in zip(field.path, field.fans_out, strict=True))
    return Column(path, field)


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
    return [_column(column, record_type, single=single) for column in expression.normalized()]


def value_columns(index: Index, record_type: RecordType) -> list[Column]:
    """The columns in the values of a covering index's entries."""
    own = index.root_expression.normalized()[index.column_size :]
    return [_column(expression, record_type, single=False) for expression in own]


def primary_key_columns(record_type: RecordType, *, single: bool) -> list[Column]:
    """The columns by which records lie."""
    return expression_columns(record_type.primary_key, record_type, single=single)
