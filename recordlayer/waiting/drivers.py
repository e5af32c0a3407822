"""The two drivers: they run one core coroutine to its end, one blocking this thread, one on an asyncio loop.

What a driver does is little: step the coroutine; when it yields a waitable, wait for it; step again. An exception that
arrives while waiting (Ctrl-C, a cancelled task, an `asyncio.timeout`) is thrown into the coroutine at its await, so
that every `finally` in the core runs, and then comes out at the caller.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from recordlayer.core import in_c
from recordlayer.waiting.waitable import Waitable, checked

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
Core = Coroutine[Any, None, T]


@in_c("step")
def step(core: Core[T], waiting: list[object], error: BaseException | None) -> T | None:
    """Let a coroutine run, or throw an error into it: what it returns. If it waits, what it yields is put into
    `waiting`."""
    try:
        waiting.append(core.send(None) if error is None else core.throw(error))
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        error = None  # its traceback holds this frame: do not leave a cycle behind
    return None


def run_blocking(core: Core[T]) -> T:
    """The result of `core`, waiting in this thread. Works inside a running event loop too."""
    error: BaseException | None = None
    waiting: list[object] = []
    try:
        while True:
            result = step(core, waiting, error)
            if not waiting:
                return result  # type: ignore[return-value]  # nothing is waited for: it is the coroutine's
            error = None
            waitable: Waitable[Any] | None = None
            try:
                waitable = checked(waiting.pop())
                waitable.block()
            except BaseException as stop:
                error = stop
                if waitable is not None:
                    waitable.cancel()
    finally:
        core.close()  # an interrupt may arrive between two lines of this function, with the core suspended
        error = None  # its traceback holds this frame: do not leave a cycle behind


async def run_asyncio(core: Core[T]) -> T:
    """The result of `core`, waiting on the running asyncio loop, which is never blocked."""
    error: BaseException | None = None
    waiting: list[object] = []
    try:
        while True:
            result = step(core, waiting, error)
            if not waiting:
                return result  # type: ignore[return-value]  # nothing is waited for: it is the coroutine's
            error = None
            waitable: Waitable[Any] | None = None
            try:
                waitable = checked(waiting.pop())
                await _future(waitable)
            except BaseException as stop:
                error = stop
                if waitable is not None:
                    waitable.cancel()
    finally:
        core.close()
        error = None


def _future(waitable: Waitable[Any]) -> asyncio.Future[None]:
    """A future of the running loop that is done when `waitable` is ready."""
    import asyncio  # those who only block need none of it, and it takes long

    loop = asyncio.get_running_loop()
    future = loop.create_future()
    waitable.on_ready(_Bell(_Waker.of(loop), future))
    return future


class _Bell:
    """What a waitable calls to wake one future. A `partial` of a method would be three objects: thousands may wait, and
    the garbage collector looks at them all."""

    __slots__ = ("_future", "_waker")

    def __init__(self, waker: _Waker, future: asyncio.Future[None]) -> None:
        self._waker = waker
        self._future = future

    def __call__(self) -> None:
        self._waker.wake(self._future)


_AT_ONCE = 32  # tasks woken in one turn of a loop: hundreds in a row would keep everybody else waiting


class _Waker:
    """Wakes futures of one loop from any thread, with one call into the loop for as many as are due.

    A group commit finishes hundreds of transactions at once: one `call_soon_threadsafe` each would write to the loop's
    pipe each time.
    """

    _of_loop: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Waker]] = weakref.WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._due: deque[asyncio.Future[None]] = deque()
        self._idle = threading.Lock()  # taken while a drain is on its way; never waited for

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Waker:
        """The waker of the running loop."""
        waker = cls._of_loop.get(loop)
        if waker is None:
            waker = cls._of_loop[loop] = cls(loop)
        return waker

    def wake(self, future: asyncio.Future[None]) -> None:
        self._due.append(future)
        if not self._idle.acquire(blocking=False):
            return  # the drain on its way finds it: it gives `_idle` back before it looks
        scheduled = False
        try:
            loop = self._loop()
            if loop is not None:
                loop.call_soon_threadsafe(self._drain)
                scheduled = True
        except RuntimeError:  # the loop has closed meanwhile: nobody waits any more
            self._due.clear()
        finally:
            if not scheduled:
                self._idle.release()

    def _drain(self) -> None:
        """Wake some; the loop runs them, and all else that is due, before the next."""
        self._idle.release()
        for _ in range(_AT_ONCE):
            try:
                future = self._due.popleft()
            except IndexError:
                return
            if not future.done():
                future.set_result(None)
        loop = self._loop()
        if loop is not None and self._due and self._idle.acquire(blocking=False):
            loop.call_soon(self._drain)


__all__ = ["Core", "run_asyncio", "run_blocking"]
