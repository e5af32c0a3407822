"""Rows: values by name, where a query gives something else than records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Row:
    """Values with names, in their order: `row.customer`, `row["address.city"]`, `customer, orders = row`."""

    __slots__ = ("_names", "_values")

    def __init__(self, names: tuple[str, ...], values: tuple[Any, ...]) -> None:
        self._names = names
        self._values = values

    def __getattr__(self, name: str) -> Any:
        if name not in self._names:  # also before there are names, as when a row is copied
            raise AttributeError(f"this row has no {name!r}; it has {', '.join(self._names)}")
        return self._values[self._names.index(name)]

    def __getitem__(self, name: str | int) -> Any:
        """The value with a name, or at a place."""
        if isinstance(name, int):
            return self._values[name]
        if name not in self._names:
            raise KeyError(name)
        return self._values[self._names.index(name)]

    def as_dict(self) -> dict[str, Any]:
        """The values by name."""
        return dict(zip(self._names, self._values, strict=True))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Row):
            return self._names == other._names and self._values == other._values
        return self._values == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values)

    def __reduce__(self) -> tuple[Any, ...]:
        return Row, (self._names, self._values)

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{name}={value!r}' for name, value in self.as_dict().items())})"
