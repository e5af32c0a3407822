"""Things under way as one: ready when all of them are."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from recordlayer.waiting.waitable import Waitable, Wake

T = TypeVar("T")


class Several(Waitable[list[T]]):
    """The outcomes of these, in their order; the first error among them, and then nobody wants the rest."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Waitable[T]]) -> None:
        self._parts = parts

    def ready(self) -> bool:
        return all(part.ready() for part in self._parts)

    def block(self) -> None:
        for part in self._parts:
            part.block()

    def on_ready(self, wake: Wake) -> None:
        for part in self._parts:
            if not part.ready():
                part.on_ready(lambda: self.on_ready(wake))
                return
        wake()

    def cancel(self) -> None:
        for part in self._parts:
            part.cancel()

    def __await__(self) -> Generator[Any, None, list[T]]:
        values: list[T] = []
        try:
            for part in self._parts:
                value = yield from part.__await__()
                values.append(value)
        except BaseException:
            for part in self._parts[len(values) + 1 :]:
                part.cancel()
            raise
        return values
