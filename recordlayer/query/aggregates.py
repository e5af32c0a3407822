"""What is worked out over the records of a group: counts, sums, extremes and averages, with nulls as SQL has them.

    query("Order").group_by("customer").aggregate(orders=agg.count(), spent=agg.sum("total"))

A field that is not set is left out: `sum`, `min`, `max` and `avg` of nothing are None, `count` of nothing is 0. A field
without presence is always set, as in conditions. Extremes are those in the order of an index: text by code point, NaN
above all numbers.

Source  Record Layer, NumericAggregationValue, CountValue; SQL for nulls
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recordlayer.errors import UsageError, WrongType
from recordlayer.query.paths import FieldPath, as_steps
from recordlayer.query.predicate import Path, shown
from recordlayer.tuples import pack

if TYPE_CHECKING:
    from recordlayer.pb.types import FieldDescriptor

Step = Callable[[Any, Any], Any]
"""From what is folded of a group and one value, which is not None, to what is folded then."""

FUNCTIONS = ("count", "sum", "min", "max", "avg")


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function over the records of a group. `field`: of which field, None for the records themselves."""

    function: str
    field: Path | None = None

    def __str__(self) -> str:
        return f"{self.function}({'' if self.field is None else shown(self.field)})"

    @property
    def initial(self) -> Any:
        """What is folded of a group without values."""
        return 0 if self.function == "count" else (None, 0) if self.function == "avg" else None

    def step(self, field: FieldDescriptor | None) -> Step:
        """How one value is folded.  Raises  WrongType where the field holds nothing of that kind."""
        if self.function == "count":
            return lambda folded, value: folded + 1
        assert field is not None, "all others are of a field"
        floats = field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE)
        if self.function in ("sum", "avg") and not (floats or field.cpp_type in _whole(field)):
            raise WrongType(field=field.name, function=self.function, hint=f"{field.name} holds no numbers")
        if self.function == "sum":
            return lambda folded, value: value if folded is None else folded + value
        if self.function == "avg":
            return lambda folded, value: (value if folded[0] is None else folded[0] + value, folded[1] + 1)
        key = packed if floats else None
        if self.function == "min":
            return lambda folded, value: value if folded is None else min(folded, value, key=key)
        return lambda folded, value: value if folded is None else max(folded, value, key=key)

    def result(self, folded: Any) -> Any:
        """What the function gives for all that was folded."""
        if self.function == "avg":
            total, number = folded
            return total / number if number else None
        return folded


def _whole(field: FieldDescriptor) -> tuple[int, ...]:
    return (field.CPPTYPE_INT32, field.CPPTYPE_INT64, field.CPPTYPE_UINT32, field.CPPTYPE_UINT64)


def packed(value: float) -> bytes:
    """What floats sort by."""
    return pack((value,))


class Aggregates:
    """The functions, by name: `agg.count()`, `agg.sum("total")`."""

    __slots__ = ()

    def count(self, field: FieldPath | str | None = None) -> Aggregate:
        """How many records there are; with a field, how many have it set."""
        return Aggregate("count", None if field is None else _field(field))

    def sum(self, field: FieldPath | str) -> Aggregate:
        """The sum of a field of numbers, exact for whole ones; None if it is nowhere set."""
        return Aggregate("sum", _field(field))

    def min(self, field: FieldPath | str) -> Aggregate:
        """The least value of a field; None if it is nowhere set."""
        return Aggregate("min", _field(field))

    def max(self, field: FieldPath | str) -> Aggregate:
        """The greatest value of a field; None if it is nowhere set."""
        return Aggregate("max", _field(field))

    def avg(self, field: FieldPath | str) -> Aggregate:
        """The mean of a field of numbers, as a float; None if it is nowhere set."""
        return Aggregate("avg", _field(field))

    def __repr__(self) -> str:
        return "agg"


agg = Aggregates()


def _field(field: FieldPath | str) -> Path:
    path = as_steps(field)
    check_single(path)
    return path


def check_single(path: Path) -> None:
    """Raises  UsageError for a repeated field."""
    if any(step.any or step.entry is not None for step in path):
        raise UsageError(field=shown(path), hint="groups and aggregates take fields that are not repeated")
