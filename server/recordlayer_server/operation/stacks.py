"""Where everything is just now: the stacks of all tasks and threads, to the log, when a signal asks for them.

Files, lines and names of functions, and no values. Tasks that wait at the same place are one line with their number.
They are looked at where the signal interrupts the process, so a handler that never comes back shows itself.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from types import FrameType
from typing import Any

from recordlayer_server import logs

SIGNAL = signal.SIGUSR1
_DEEPEST = 100

Stack = tuple[str, ...]


def of_tasks(loop: asyncio.AbstractEventLoop) -> Counter[Stack]:
    """The stacks of tasks that are not done, the outermost frame first, with how many have the same."""
    return Counter(tuple(_waiting(task.get_coro())) for task in asyncio.all_tasks(loop))


def of_threads(interrupted: FrameType | None) -> dict[str, Stack]:
    """The stacks of threads, by their names. `interrupted`: where the signal found the main thread."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = {names.get(ident, str(ident)): frame for ident, frame in sys._current_frames().items()}
    if interrupted is not None:
        frames[threading.current_thread().name] = interrupted
    return {name: _below(frame) for name, frame in frames.items()}


def show_when_asked(loop: asyncio.AbstractEventLoop) -> None:
    """Let the signal write the stacks of this process to the log."""

    def asked(_number: int, frame: FrameType | None) -> None:
        tasks, threads = of_tasks(loop), of_threads(frame)
        # From a thread of its own: this one may have been interrupted while it writes a line.
        threading.Thread(target=_write, args=(tasks, threads), name="stacks").start()

    signal.signal(SIGNAL, asked)


def _write(tasks: Counter[Stack], threads: dict[str, Stack]) -> None:
    for name, stack in threads.items():
        logs.write(logs.server, logging.WARNING, "stack of a thread", thread=name, frames=stack)
    for stack, number in tasks.most_common():
        logs.write(logs.server, logging.WARNING, "stack of tasks", tasks=number, frames=stack)
    logs.write(logs.server, logging.WARNING, "stacks", threads=len(threads), tasks=tasks.total())


def _waiting(awaited: Any) -> Iterator[str]:
    """The frames of a coroutine and of all that it waits for; what is not written in Python by its type."""
    for _ in range(_DEEPEST):
        frame = None
        for kind in ("cr", "ag", "gi"):
            if hasattr(awaited, f"{kind}_frame"):
                frame, awaited = getattr(awaited, f"{kind}_frame"), _next(awaited, kind)
                break
        else:
            if awaited is not None:
                yield type(awaited).__qualname__
            return
        if frame is not None:
            yield _place(frame)


def _next(awaited: Any, kind: str) -> Any:
    return getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")


def _below(frame: FrameType | None) -> Stack:
    found: list[str] = []
    while frame is not None and len(found) < _DEEPEST:
        found.append(_place(frame))
        frame = frame.f_back
    return tuple(reversed(found))


def _place(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} {code.co_qualname}"
