"""The calls that run on one server: who calls, from where and since when, for operators, who may end some of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from grpc import aio

from recordlayer_server.call import Call

Task = asyncio.Task[Any]


class Running:
    """One call, and how it ends. Its peer is asked for when somebody wants to know.

    began       on the clock of `time.monotonic`
    stream      it may last for long
    shown       its metadata
    ended       an operator has ended it
    code        the name of its status, where that is not what `context` says
    reason      of its status, if it failed
    unforeseen  an error of the server's own that it met
    """

    __slots__ = ("began", "call", "code", "context", "ended", "reason", "shown", "span", "stream", "task", "unforeseen")

    def __init__(
        self, call: Call, context: aio.ServicerContext, task: Task, began: float, stream: bool, shown: Sequence[Any]
    ) -> None:
        self.call = call
        self.context = context
        self.task = task
        self.began = began
        self.stream = stream
        self.shown = shown
        self.ended = False
        self.span: Any = None
        self.code = self.reason = ""
        self.unforeseen: Exception | None = None

    @property
    def peer(self) -> str:
        """The address that it comes from, as "ipv4:127.0.0.1:40000"."""
        return str(self.context.peer())

    @property
    def age(self) -> float:
        """Seconds."""
        return time.monotonic() - self.began


class RunningCalls:
    """Those of one server, without those that only watch its health."""

    def __init__(self) -> None:
        self._by_task: dict[Task, Running] = {}

    def __len__(self) -> int:
        return len(self._by_task)

    def __contains__(self, task: Task) -> bool:
        return task in self._by_task

    def __iter__(self) -> Iterator[Running]:
        return iter(list(self._by_task.values()))

    def add(self, one: Running) -> None:
        self._by_task[one.task] = one

    def discard(self, task: Task) -> bool:
        """Whether none is left."""
        self._by_task.pop(task, None)
        return not self._by_task

    def end(self, chosen: Callable[[Running], bool]) -> int:
        """End those that are chosen, but not the one that asks for it; how many."""
        me = asyncio.current_task()
        found = [one for task, one in self._by_task.items() if chosen(one) and task is not me]
        for one in found:
            one.ended = True
            one.task.cancel()
        return len(found)
