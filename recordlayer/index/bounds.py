"""Which part of a range of tuples to scan.

    Bounds.ALL                                  everything
    Bounds.equal(("NL",))                       tuples that begin with "NL"
    Bounds.between(("NL", 3), ("NL", 9))        from one (inside) to another (outside), either may be None
    Bounds.text(("NL",), "Am")                  second column is a string that begins with "Am"

Source  Record Layer, TupleRange and EndpointType; KeyValueCursorBase for the length of the continuation's prefix.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, ClassVar

from recordlayer.cursor.scan import KeyRange
from recordlayer.errors import UsageError
from recordlayer.tuples import pack, strinc

Items = tuple[Any, ...]


class End(enum.Enum):
    """What an end of a range means."""

    TREE = "tree"
    """All there is on this side."""
    INCLUSIVE = "inclusive"
    """The tuple and all that begin with it are inside."""
    EXCLUSIVE = "exclusive"
    """The tuple and all that begin with it are outside."""
    TEXT = "text"
    """The last column, a string or bytes, begins with this one."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """A range of tuples."""

    low: Items | None
    high: Items | None
    low_end: End
    high_end: End

    ALL: ClassVar[Bounds]

    @classmethod
    def equal(cls, items: Items) -> Bounds:
        """The tuples that begin with `items`."""
        return cls(items, items, End.INCLUSIVE, End.INCLUSIVE) if items else cls.ALL

    @classmethod
    def between(
        cls, low: Items | None, high: Items | None, *, low_end: End = End.INCLUSIVE, high_end: End = End.EXCLUSIVE
    ) -> Bounds:
        """The tuples from `low` to `high`; None is the end of the range."""
        return cls(low, high, End.TREE if low is None else low_end, End.TREE if high is None else high_end)

    @classmethod
    def text(cls, items: Items, start: str | bytes) -> Bounds:
        """The tuples that begin with `items` and then a string, or bytes, that begin with `start`."""
        if not isinstance(start, (str, bytes)):
            raise UsageError(argument="start", got=start, hint="only strings and bytes have a beginning to look for")
        whole = (*items, start)
        return cls(whole, whole, End.TEXT, End.TEXT)

    def keys(self, prefix: bytes) -> KeyRange:
        """The keys of these tuples under `prefix`."""
        low = prefix if self.low is None else pack(self.low, prefix)
        high = low if self.high is self.low else prefix if self.high is None else pack(self.high, prefix)
        shared = _shared_length(low, high)
        if self.low_end is End.TEXT and self.high_end is End.TEXT:
            shared -= 1  # the 00 that ends a string is no part of its beginning
        if self.low_end is End.EXCLUSIVE:
            # No element begins with ff, so this is behind all tuples that begin with the low one. (Java takes the next
            # prefix, and so misses texts that go on with a zero character.)
            begin = low + b"\xff"
        elif self.low_end is End.TEXT:
            begin = low[:-1]
        else:
            begin = low
        if self.high_end is End.EXCLUSIVE:
            end = high
        elif self.high_end is End.TEXT:
            end = strinc(high[:-1])
        else:
            end = high + b"\xff"
        return KeyRange(begin, max(begin, end), shared, len(prefix))

    @property
    def is_equality(self) -> bool:
        return self.low is not None and self.low == self.high and self.low_end is self.high_end is End.INCLUSIVE

    def __str__(self) -> str:
        if self.low_end is End.TREE and self.high_end is End.TREE:
            return "[all]"
        if self.is_equality:
            return f"[= {_shown(self.low)}]"
        if self.low_end is End.TEXT:
            return f"[begins with {_shown(self.low)}]"
        left = "(" if self.low_end is not End.INCLUSIVE else "["
        right = ")" if self.high_end is not End.INCLUSIVE else "]"
        low = "..." if self.low is None else _shown(self.low)
        high = "..." if self.high is None else _shown(self.high)
        return f"{left}{low}, {high}{right}"


Bounds.ALL = Bounds(None, None, End.TREE, End.TREE)


def _shared_length(one: bytes, other: bytes) -> int:
    """How many leading bytes are the same."""
    if other.startswith(one):
        return len(one)
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))


def _shown(items: Items | None) -> str:
    assert items is not None, "only shown when there"
    return repr(items[0]) if len(items) == 1 else repr(items)
