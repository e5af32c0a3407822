"""What the core waits for.

A `Waitable` is under way when you get it. Awaiting one yields the waitable itself to whoever drives the core
(`drivers.py`) until it is ready, and then gives its result or raises its error. The core therefore belongs to no
event loop, and the same code serves blocking and asyncio callers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Wake = Callable[[], None]


class Waitable(Protocol[T_co]):
    """Something under way: an engine's read, a commit, a watch, a timer."""

    def ready(self) -> bool:
        """Whether the outcome is there."""

    def block(self) -> None:
        """Wait in this thread until ready. Does not raise the outcome; Ctrl-C interrupts it."""

    def on_ready(self, wake: Wake) -> None:
        """Call `wake` once when ready (at once if it is), from any thread. `wake` must not raise."""

    def cancel(self) -> None:
        """Nobody wants the outcome any more. A no-op when ready."""

    def __await__(self) -> Generator[Any, None, T_co]:
        """Yield self until ready, then return the result or raise the error."""


class Ready(Waitable[T_co]):
    """A result that is already there."""

    __slots__ = ("value",)

    def __init__(self, value: T_co) -> None:
        self.value = value

    def ready(self) -> bool:
        return True

    def block(self) -> None:
        return None

    def on_ready(self, wake: Wake) -> None:
        wake()

    def cancel(self) -> None:
        return None

    def __await__(self) -> Generator[Any, None, T_co]:
        return self.value
        yield  # makes this a generator, as await demands


class Failed(Waitable[Any]):
    """An error that is already there. Raised when awaited, so that starting an operation never raises."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def ready(self) -> bool:
        return True

    def block(self) -> None:
        return None

    def on_ready(self, wake: Wake) -> None:
        wake()

    def cancel(self) -> None:
        return None

    def __await__(self) -> Generator[Any, None, Any]:
        raise self.error
        yield  # makes this a generator, as await demands


class Promise(Waitable[T]):
    """An outcome that somebody sets later, from any thread, once. Setting it again is ignored.

    `on_cancel` is called when the waiter gives up before the outcome is there.
    """

    __slots__ = ("_done", "_error", "_gate", "_lock", "_on_cancel", "_value", "_wakes")

    def __init__(self, on_cancel: Callable[[], None] | None = None) -> None:
        self._done = False
        self._value: T
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._wakes: list[Wake] = []
        self._gate: threading.Lock | None = None  # held until the outcome is there; made by the first blocker
        self._on_cancel = on_cancel

    def resolve(self, value: T) -> bool:
        """Set the result. False if there was an outcome already."""
        with self._lock:
            if self._done:
                return False
            self._value = value
            wakes = self._settle()
        for wake in wakes:
            wake()
        return True

    def fail(self, error: BaseException) -> bool:
        """Set an error as the outcome. False if there was one already."""
        with self._lock:
            if self._done:
                return False
            self._error = error
            wakes = self._settle()
        for wake in wakes:
            wake()
        return True

    def _settle(self) -> list[Wake]:
        self._done = True
        wakes, self._wakes = self._wakes, []
        if self._gate is not None:
            self._gate.release()
        return wakes

    def ready(self) -> bool:
        return self._done

    def block(self) -> None:
        with self._lock:
            if self._done:
                return
            if self._gate is None:
                self._gate = threading.Lock()
                self._gate.acquire()
            gate = self._gate
        # Taken and given back, so that several threads may block on one promise, one after the other.
        gate.acquire()
        gate.release()

    def on_ready(self, wake: Wake) -> None:
        with self._lock:
            if not self._done:
                self._wakes.append(wake)
                return
        wake()

    def cancel(self) -> None:
        if not self._done and self._on_cancel is not None:
            self._on_cancel()

    def result(self) -> T:
        """The outcome; only when `ready()`."""
        if self._error is not None:
            raise self._error
        return self._value

    def __await__(self) -> Generator[Any, None, T]:
        while not self._done:
            yield self
        if self._error is not None:
            raise self._error
        return self._value
