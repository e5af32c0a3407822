"""Values of a batch that are made when somebody looks: who needs something simpler of them all works on what was read.

Most rows of a page pass through several cursors and are never looked at on the way. So an index's entries are kept as
the pairs that they were read as, and a record as its bytes, until the last cursor is through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar, overload

T_co = TypeVar("T_co", covariant=True)


class Page(Sequence[T_co]):
    """A sequence whose values are made all together, when the first of them is asked for, and then kept."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: list[T_co] | None = None

    def __len__(self) -> int:
        raise NotImplementedError

    def make(self) -> list[T_co]:
        """All values."""
        raise NotImplementedError

    def part(self, places: slice) -> Page[T_co]:
        """A page of some of them, nothing made."""
        raise NotImplementedError

    def pick(self, places: Sequence[int]) -> list[T_co]:
        """Some of the values, where the others need not be made."""
        values = self.values
        return [values[place] for place in places]

    @property
    def values(self) -> list[T_co]:
        """All values, as a list."""
        if self._values is None:
            self._values = self.make()
        return self._values

    @property
    def is_made(self) -> bool:
        """Whether the values are there."""
        return self._values is not None

    @overload
    def __getitem__(self, place: int) -> T_co: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[T_co]: ...

    def __getitem__(self, place: int | slice) -> T_co | Sequence[T_co]:
        if isinstance(place, slice) and self._values is None:
            return self.part(place)
        return self.values[place]

    def __iter__(self) -> Iterator[T_co]:
        return iter(self.values)

    def __eq__(self, other: object) -> bool:
        return self.values == list(other) if isinstance(other, (list, Page)) else NotImplemented

    def __repr__(self) -> str:
        return repr(self.values)
