"""Ends calls whose time is up: one timer for all of them.

A timer for each call would be made and taken back thousands of times a second, and hardly ever ring.
"""

from __future__ import annotations

import asyncio
from typing import Any

Task = asyncio.Task[Any]


class Deadlines:
    """Tasks of one event loop, each with the time on the loop's clock at which it is cancelled."""

    def __init__(self) -> None:
        self._due: dict[Task, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._rings = float("inf")

    def __len__(self) -> int:
        return len(self._due)

    def add(self, task: Task, at: float) -> None:
        """Cancel a task at a time, unless it is taken back before."""
        self._due[task] = at
        if at < self._rings:
            self._set(at)

    def take_back(self, task: Task) -> bool:
        """Let a task go on; whether it has been cancelled for its deadline."""
        return self._due.pop(task, None) is None

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = at
        self._timer = asyncio.get_running_loop().call_at(at, self._ring)

    def _ring(self) -> None:
        now = asyncio.get_running_loop().time()
        self._timer, self._rings = None, float("inf")
        for task in [task for task, at in self._due.items() if at <= now]:
            del self._due[task]
            task.cancel()
        if self._due:
            self._set(min(self._due.values()))
