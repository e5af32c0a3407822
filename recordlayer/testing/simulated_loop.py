"""An asyncio loop without sockets and without time of its own: when nobody can go on, it asks what happens next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from recordlayer.testing.clock import ManualClock

Happen = Callable[[float | None], None]


class _Waiting:
    """Stands where a loop has its selector. What is ready runs in the order in which it became so, as asyncio promises;
    only when nothing is, something happens."""

    def __init__(self, happen: Happen) -> None:
        self._happen = happen

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None or timeout > 0:
            self._happen(timeout)
        return []


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs coroutines on the clock of a simulation.

    happen  makes one thing happen, within so many seconds; None: nobody on the loop waits for time
    """

    def __init__(self, clock: ManualClock, happen: Happen) -> None:
        super().__init__()
        self._clock = clock
        self._selector = _Waiting(happen)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._clock.monotonic()

    def run_in_executor(  # type: ignore[override]  # typeshed has it with the types of the arguments
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """What would run in a thread runs at once: threads have an order that no seed knows."""
        ended = self.create_future()
        try:
            ended.set_result(func(*args))
        except Exception as error:
            ended.set_exception(error)
        return ended

    def _process_events(self, event_list: list[Any]) -> None:
        return None

    def _write_to_self(self) -> None:
        return None

    def finish(self) -> None:
        """Cancel what still runs, and close."""
        try:
            left = asyncio.all_tasks(self)
            for task in left:
                task.cancel()
            if left:
                self.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.run_until_complete(self.shutdown_asyncgens())
        finally:
            self.close()
