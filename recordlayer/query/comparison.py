"""How a field compares with a value: a table of operators.

Values compare as their elements sort in a tuple, so that an index range and a test of the record itself agree: floats
with NaN above all and -0.0 below 0.0, text by code point, null with nothing.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable
from typing import Any


class Operator(enum.Enum):
    """The values are the symbols in explanations."""

    EQUALS = "="
    NOT_EQUALS = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    STARTS_WITH = "begins with"
    IN = "in"
    IS_NULL = "is null"
    NOT_NULL = "is not null"

    @property
    def takes_value(self) -> bool:
        return self not in (Operator.IS_NULL, Operator.NOT_NULL)

    @property
    def is_range(self) -> bool:
        """Whether it selects one range of a column's values, more than one value and not all."""
        return self in _RANGES


_RANGES = frozenset(
    (Operator.LESS, Operator.LESS_OR_EQUAL, Operator.GREATER, Operator.GREATER_OR_EQUAL, Operator.STARTS_WITH)
)

TESTS: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQUALS: operator.eq,
    Operator.NOT_EQUALS: operator.ne,
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
    Operator.STARTS_WITH: lambda value, start: value.startswith(start),
    Operator.IN: lambda value, values: value in values,
}
"""For a value that is there and an operand of the same kind."""
