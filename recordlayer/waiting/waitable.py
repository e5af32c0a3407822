"""What the core waits for.

A `Waitable` is under way when you get it. Awaiting one yields the waitable itself to whoever drives the core
(`drivers.py`) until it is ready, and then gives its result or raises its error. The core therefore belongs to no
event loop, and the same code serves blocking and asyncio callers.

A waitable has one waiter, who cancels it when giving up. What several wait for is one `Promise` for each of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any, Protocol, TypeVar

from recordlayer.errors import ForeignAwaitable

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Wake = Callable[[], None]

_DEAF_SECONDS = 0.05


class Waitable(Protocol[T_co]):
    """Something under way: an engine's read, a commit, a watch, a timer."""

    __slots__ = ()

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


class Turn(Waitable[None]):
    """Lets others go first: under asyncio the loop runs once, in this thread nothing happens.

    Work that never has to wait (reads of the embedded engine are ready at once) holds up an event loop; whoever does
    much of it awaits a turn every few milliseconds. Costs about a microsecond blocking, ten under asyncio.
    """

    __slots__ = ("_had",)

    def __init__(self) -> None:
        self._had = False

    def ready(self) -> bool:
        return self._had

    def block(self) -> None:
        self._had = True

    def on_ready(self, wake: Wake) -> None:
        self._had = True
        wake()

    def cancel(self) -> None:
        return None

    def __await__(self) -> Generator[Any, None, None]:
        while not self._had:
            yield self


class Promise(Waitable[T]):
    """An outcome that somebody sets later, from any thread, once. Setting it again is ignored.

    `on_cancel` is called when the waiter gives up before the outcome is there.

    No lock is held anywhere: a promise may be settled from a finaliser or a signal handler that interrupts another
    method of it. What has to be atomic is one operation each: trying `_once`, appending and popping wakes.
    """

    __slots__ = ("_done", "_error", "_on_cancel", "_once", "_value", "_wakes")

    def __init__(self, on_cancel: Callable[[], None] | None = None) -> None:
        self._done = False
        self._value: T
        self._error: BaseException | None = None
        self._once = threading.Lock()  # taken by the one who sets the outcome, and kept
        self._wakes: list[Wake] = []
        self._on_cancel = on_cancel

    def resolve(self, value: T) -> bool:
        """Set the result. False if there was an outcome already."""
        if not self._once.acquire(blocking=False):
            return False
        self._value = value
        self._done = True
        if self._wakes:  # who comes from here on sees that it is done
            ring(self._wakes)
        return True

    def fail(self, error: BaseException) -> bool:
        """Set an error as the outcome. False if there was one already."""
        if not self._once.acquire(blocking=False):
            return False
        self._error = error
        self._done = True
        ring(self._wakes)
        return True

    def ready(self) -> bool:
        return self._done

    def block(self) -> None:
        if not self._done:
            block_on(self._add_wake)

    def on_ready(self, wake: Wake) -> None:
        self._add_wake(wake)

    def _add_wake(self, wake: Wake) -> None:
        self._wakes.append(wake)
        if self._done:  # set before the wakes are rung: one of the two rings this one
            ring(self._wakes)

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


def ring(wakes: list[Wake]) -> None:
    """Call and remove every wake, oldest first, each in one thread only."""
    while wakes:
        try:
            wake = wakes.pop(0)
        except IndexError:  # another thread rings too
            return
        try:
            wake()
        except BaseException:
            ring(wakes)  # it must not raise; if it does, the others must not pay for it
            raise


def block_on(on_ready: Callable[[Wake], None]) -> None:
    """Wait in this thread until `on_ready` wakes it. Ctrl-C interrupts it."""
    gate = threading.Lock()
    gate.acquire()
    on_ready(gate.release)
    # Python hears a signal between two bytecodes or when it wakes the wait; one that comes after the last bytecode and
    # before the wait would be heard when all is over.
    while not gate.acquire(timeout=_DEAF_SECONDS):
        pass


def checked(yielded: object) -> Waitable[Any]:
    """What a core coroutine yielded, if the core may await it.  Raises  ForeignAwaitable otherwise."""
    if not hasattr(yielded, "on_ready"):
        raise ForeignAwaitable(got=type(yielded).__name__)
    return yielded  # type: ignore[return-value]  # structural: `on_ready` is what nothing else has
