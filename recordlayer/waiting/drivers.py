"""The two drivers: they run one core coroutine to its end, one blocking this thread, one on an asyncio loop.

What a driver does is little: step the coroutine; when it yields a waitable, wait for it; step again. An exception that
arrives while waiting (Ctrl-C, a cancelled task, an `asyncio.timeout`) is thrown into the coroutine at its await, so
that every `finally` in the core runs, and then comes out at the caller.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

from recordlayer.errors import ForeignAwaitable
from recordlayer.waiting.waitable import Waitable, Wake

T = TypeVar("T")
Core = Coroutine[Any, None, T]


def _checked(yielded: object) -> Waitable[Any]:
    if yielded is None or not hasattr(yielded, "on_ready"):
        raise ForeignAwaitable(got=type(yielded).__name__)
    return yielded  # type: ignore[return-value]  # structural: hasattr above is the whole protocol check


def run_blocking(core: Core[T]) -> T:
    """The result of `core`, waiting in this thread. Works inside a running event loop too."""
    step = partial(core.send, None)
    while True:
        try:
            yielded = step()
        except StopIteration as done:
            result: T = done.value
            return result
        waitable: Waitable[Any] | None = None
        try:
            waitable = _checked(yielded)
            waitable.block()
            step = partial(core.send, None)
        except BaseException as stop:
            if waitable is not None:
                waitable.cancel()
            step = partial(core.throw, stop)


async def run_asyncio(core: Core[T]) -> T:
    """The result of `core`, waiting on the running asyncio loop, which is never blocked."""
    step = partial(core.send, None)
    while True:
        try:
            yielded = step()
        except StopIteration as done:
            result: T = done.value
            return result
        waitable: Waitable[Any] | None = None
        try:
            waitable = _checked(yielded)
            await _ready(waitable)
            step = partial(core.send, None)
        except BaseException as stop:
            if waitable is not None:
                waitable.cancel()
            step = partial(core.throw, stop)


async def _ready(waitable: Waitable[Any]) -> None:
    waker = _Waker.of(asyncio.get_running_loop())
    future = waker.loop.create_future()
    waitable.on_ready(partial(waker.wake, future))
    await future


class _Waker:
    """Wakes futures of one loop from any thread, with one call into the loop for as many as are due.

    A group commit finishes hundreds of transactions at once: one `call_soon_threadsafe` each would write to the loop's
    pipe each time.
    """

    _of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Waker] = weakref.WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._lock = threading.Lock()
        self._due: list[asyncio.Future[None]] = []
        self._scheduled = False

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Waker:
        waker = cls._of_loop.get(loop)
        if waker is None:
            waker = cls._of_loop[loop] = cls(loop)
        return waker

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        loop = self._loop()
        assert loop is not None, "a waker is only used while its loop runs"
        return loop

    def wake(self, future: asyncio.Future[None]) -> None:
        with self._lock:
            self._due.append(future)
            if self._scheduled:
                return
            self._scheduled = True
        loop = self._loop()
        try:
            if loop is not None:
                loop.call_soon_threadsafe(self._drain)
        except RuntimeError:  # the loop has closed meanwhile: nobody waits any more
            pass

    def _drain(self) -> None:
        with self._lock:
            due, self._due = self._due, []
            self._scheduled = False
        for future in due:
            if not future.done():
                future.set_result(None)


__all__ = ["Core", "Wake", "run_asyncio", "run_blocking"]
