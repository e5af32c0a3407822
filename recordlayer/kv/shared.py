"""What the transactions of one database keep for each other: caches of the layers above, one of each kind.

A process holds caches, never truth: each kind says by what it knows that an entry still holds.
"""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


class Shared:
    """One object of each kind. Safe in any number of threads: what is kept is replaced as a whole."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[type, object] = {}

    def keep(self, one: object) -> None:
        """Have `of(type(one))` give `one` from now on."""
        self._kept[type(one)] = one

    def of(self, kind: type[T]) -> T:
        """The object of this kind, made with `kind()` if there is none yet."""
        found = self._kept.get(kind)
        if found is None:
            found = self._kept.setdefault(kind, kind())
        return found  # type: ignore[return-value]  # it is kept under its own type
