"""The calls that run on one server: who calls, from where and since when, for operators, who may end some of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from grpc import aio

from recordlayer_server.call import Call

Task = asyncio.Task[Any]


class Running(NamedTuple):
    """One call. Its peer is asked for when somebody wants to know.

    began   on the clock of `time.monotonic`
    stream  it may last for long
    """

    call: Call
    context: aio.ServicerContext
    began: float
    stream: bool

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
        self._ended: set[Task] = set()

    def __len__(self) -> int:
        return len(self._by_task)

    def __contains__(self, task: Task) -> bool:
        return task in self._by_task

    def __iter__(self) -> Iterator[Running]:
        return iter(list(self._by_task.values()))

    def add(self, task: Task, running: Running) -> None:
        self._by_task[task] = running

    def discard(self, task: Task) -> None:
        self._by_task.pop(task, None)
        self._ended.discard(task)

    def end(self, chosen: Callable[[Running], bool]) -> int:
        """End those that are chosen, but not the one that asks for it; how many."""
        tasks = [task for task, one in self._by_task.items() if chosen(one) and task is not asyncio.current_task()]
        for task in tasks:
            self._ended.add(task)
            task.cancel()
        return len(tasks)

    def was_ended(self, task: Task) -> bool:
        """Whether it is cancelled for an operator."""
        return task in self._ended
