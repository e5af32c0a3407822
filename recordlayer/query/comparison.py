"""How a value compares with another: a table of operators.

Values compare as their elements sort in a tuple, so that an index range and a test of the record itself agree: floats
with NaN above all and -0.0 below 0.0, text by code point, bytes by byte, null with nothing.
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
    LIKE = "like"
    IS_NULL = "is null"
    NOT_NULL = "is not null"
    DISTINCT = "is distinct from"
    NOT_DISTINCT = "is not distinct from"
    IS_EMPTY = "is empty"
    NOT_EMPTY = "is not empty"
    TEXT = "text"
    """The value says which of the comparisons with words it is: see `words`."""

    __hash__ = object.__hash__  # there is one of each; hashing its name takes a call in Python

    @property
    def takes_value(self) -> bool:
        return self not in _ALONE

    @property
    def on_list(self) -> bool:
        """Whether it asks about a repeated field as a whole."""
        return self in (Operator.IS_EMPTY, Operator.NOT_EMPTY)


_ALONE = frozenset((Operator.IS_NULL, Operator.NOT_NULL, Operator.IS_EMPTY, Operator.NOT_EMPTY))

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
