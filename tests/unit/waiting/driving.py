"""What the tests of this package share: both drivers as fixtures, and operations that others finish."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from recordlayer.waiting.drivers import run_asyncio, run_blocking
from recordlayer.waiting.waitable import Promise, Wake

T = TypeVar("T")
Drive = Callable[[Coroutine[Any, None, T]], T]


def run_in_loop(core: Coroutine[Any, None, T]) -> T:
    """The result of `core` under the asyncio driver, in a loop of its own."""
    return asyncio.run(run_asyncio(core))


both_drivers = pytest.mark.parametrize("drive", [run_blocking, run_in_loop], ids=["blocking", "asyncio"])


class Counted(Promise[T]):
    """A promise that counts how often it was asked to wake somebody, and knows whether it was cancelled."""

    __slots__ = ("cancelled", "registrations")

    def __init__(self) -> None:
        super().__init__()
        self.registrations = 0
        self.cancelled = False

    def on_ready(self, wake: Wake) -> None:
        self.registrations += 1
        super().on_ready(wake)

    def cancel(self) -> None:
        self.cancelled = True
        super().cancel()
