"""A waitable that tells what came of it and when."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any, TypeVar

from recordlayer.waiting.waitable import Waitable, Wake
from recordlayer.world import Clock

T = TypeVar("T")


class Timed(Waitable[T]):
    """Tells `came`, or `failed`, once: the outcome, and the time from its beginning until somebody took it."""

    __slots__ = ("_began", "_came", "_clock", "_failed", "_inner")

    def __init__(
        self,
        inner: Waitable[T],
        clock: Clock,
        came: Callable[[T, timedelta], None],
        failed: Callable[[BaseException, timedelta], None] | None = None,
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._began = clock.monotonic()
        self._came: Callable[[T, timedelta], None] | None = came
        self._failed = failed

    def ready(self) -> bool:
        return self._inner.ready()

    def block(self) -> None:
        self._inner.block()

    def on_ready(self, wake: Wake) -> None:
        self._inner.on_ready(wake)

    def cancel(self) -> None:
        self._inner.cancel()

    def __await__(self) -> Generator[Any, None, T]:
        try:
            value = yield from self._inner.__await__()
        except BaseException as error:
            failed, self._failed, self._came = self._failed, None, None
            if failed is not None:
                failed(error, self._took())
            raise
        came, self._came, self._failed = self._came, None, None
        if came is not None:
            came(value, self._took())
        return value

    def _took(self) -> timedelta:
        return timedelta(seconds=self._clock.monotonic() - self._began)
