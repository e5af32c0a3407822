"""What a key expression is: a frozen value that turns a record into rows of columns.

    row = one tuple of column values; an index has one entry for each row, a primary key has exactly one row.

Every node evaluates itself on a message (the interpreter, and the oracle of the compiled evaluators), says how many
columns it gives, and finds its own faults against a message descriptor. Two expressions are equal when all of them is
equal, the null interpretation of fields included; `ignoring_nulls()` gives what the Java Record Layer compares.

Source  Record Layer, package metadata.expressions: KeyExpression, BaseKeyExpression
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from recordlayer.errors import InvalidKeyExpression, SchemaError

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.keys.grouping import Grouping
    from recordlayer.pb.types import Descriptor, FieldDescriptor
    from recordlayer.tuples import Versionstamp

Row = tuple[Any, ...]


class FanType(Enum):
    """How a field turns into rows. The values are those of the stored form."""

    SCALAR = 1
    FAN_OUT = 2
    CONCATENATE = 3


class NullInterpretation(Enum):
    """What a missing value of a field means. The values are those of the stored form."""

    NOT_UNIQUE = 1
    """null; a row with it is exempt from uniqueness"""
    UNIQUE = 2
    """null; takes part in uniqueness like any value"""
    NOT_NULL = 3
    """the default of the field's type"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordContext:
    """What a record has besides its message."""

    record_type_key: object = None
    version: Versionstamp | None = None


NO_CONTEXT = RecordContext()


class KeyExpression(ABC):
    """A node of a key expression."""

    __slots__ = ()

    # -- what it gives ---------------------------------------------------------------------------------

    @abstractmethod
    def evaluate(self, message: Message | None, context: RecordContext = NO_CONTEXT) -> list[Row]:
        """The rows of a record, in order; `None` stands for a message that is not there.

        Raises: InvalidKeyExpression when the message does not fit.
        """

    @property
    @abstractmethod
    def column_size(self) -> int:
        """Columns of every row."""

    @property
    def creates_duplicates(self) -> bool:
        """Whether one record may have more or fewer rows than one."""
        return any(child.creates_duplicates for child in self.children)

    @property
    @abstractmethod
    def nulls_distinct(self) -> tuple[bool, ...]:
        """For each column, whether a null in it exempts a row from uniqueness (and from `count_not_null`)."""

    @property
    def children(self) -> tuple[KeyExpression, ...]:
        """The expressions that this one is made of, left to right."""
        return ()

    @property
    def version_columns(self) -> int:
        """How many columns are record versions."""
        return sum(child.version_columns for child in self.children)

    @property
    def has_record_type_key(self) -> bool:
        return any(child.has_record_type_key for child in self.children)

    # -- columns as expressions ------------------------------------------------------------------------

    def normalized(self) -> tuple[KeyExpression, ...]:
        """One expression for each column; together they give the same columns, apart from the pairing of fan-outs."""
        return (self,)

    def sub_key(self, start: int, end: int) -> KeyExpression:
        """The expression of the columns `start` to `end` (exclusive).

        Raises: InvalidKeyExpression when there are no such columns, or a node between cannot be taken apart.
        """
        if not 0 <= start <= end <= self.column_size:
            raise InvalidKeyExpression(expression=self, columns=(start, end), column_size=self.column_size)
        if start == end:
            from recordlayer.keys.special import EMPTY

            return EMPTY
        if start == 0 and end == self.column_size:
            return self
        return self._sub_key(start, end)

    def _sub_key(self, start: int, end: int) -> KeyExpression:
        raise InvalidKeyExpression(expression=self, columns=(start, end), hint="this expression cannot be taken apart")

    def ignoring_nulls(self) -> KeyExpression:
        """The same with every null interpretation at its default: equal if the Java Record Layer says so."""
        return self

    # -- faults ----------------------------------------------------------------------------------------

    def problems(self, descriptor: Descriptor) -> Iterator[SchemaError]:
        """Everything that keeps this expression from being evaluated on messages of a type; errors not raised."""
        for child in self.children:
            yield from child.problems(descriptor)

    @abstractmethod
    def column_fields(self, descriptor: Descriptor) -> list[FieldDescriptor | None]:
        """For each column the field it holds, None where it is something else. Presumes that there are no problems."""

    def leaf_fields(self, descriptor: Descriptor) -> list[FieldDescriptor]:
        """The fields that are read, left to right; constants are none. Presumes that there are no problems.

        Index types judge their columns by these, as Java does: a function counts by its arguments.
        """
        return [field for child in self.children for field in child.leaf_fields(descriptor)]

    # -- building on it --------------------------------------------------------------------------------

    def group_by(self, *by: KeyExpression | str) -> Grouping:
        """These columns, grouped by others: the others come first in the key."""
        from recordlayer.keys.compose import as_expression, concat
        from recordlayer.keys.grouping import Grouping

        if not by:
            return self.ungrouped()
        return Grouping(concat(*(as_expression(part) for part in by), self), self.column_size)

    def ungrouped(self) -> Grouping:
        """These columns as one single group."""
        from recordlayer.keys.grouping import Grouping

        return Grouping(self, self.column_size)

    def evaluate_single(self, message: Message | None, context: RecordContext = NO_CONTEXT) -> Row:
        """The one row of a record.

        Raises: InvalidKeyExpression when there is not exactly one.
        """
        rows = self.evaluate(message, context)
        if len(rows) != 1:
            raise InvalidKeyExpression(expression=self, rows=len(rows), hint="one row was expected")
        return rows[0]


def walk(expression: KeyExpression) -> Iterator[KeyExpression]:
    """The expression and all that it is made of, parents first."""
    yield expression
    for child in expression.children:
        yield from walk(child)
