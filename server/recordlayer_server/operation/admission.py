"""How many calls run at once, and what becomes of the rest: they wait a little, in order, or are sent away early.

    running   up to `most` at once, fewer while the event loop lags: the number halves, and grows again one by one
    waiting   up to `queue`; interactive calls before those of batches, which also use half of the places at most
    sent away with Overloaded and the time after which to try again: when the queue is full, a batch call first; and a
              call that cannot be done by its deadline, as far as the last calls show

A call that waits has started nothing, so sending it away costs nothing but the answer.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from recordlayer.errors import Overloaded

LAG = 0.1
"""Seconds of lag of the event loop at which fewer calls run."""
CALM = 0.03
"""Seconds of lag below which more may run again."""
_FEWEST = 4
_SMOOTH = 0.1  # share of the newest call in the mean duration


class Priority(enum.IntEnum):
    INTERACTIVE = 0
    BATCH = 1


class Admission:
    """The places of one server."""

    def __init__(self, *, most: int, queue: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._queue = queue
        self._clock = clock
        self._limit = most
        self._mean = 0.0
        self._waiting: tuple[deque[asyncio.Future[None]], deque[asyncio.Future[None]]] = (deque(), deque())
        self._running = [0, 0]

    @property
    def limit(self) -> int:
        """How many calls may run just now."""
        return self._limit

    @property
    def running(self) -> int:
        interactive, batch = self._running
        return interactive + batch

    @property
    def waiting(self) -> int:
        return sum(len(queue) for queue in self._waiting)

    def lagged(self, seconds: float) -> None:
        """Take notice of how late the event loop was; once a second or so."""
        if seconds >= LAG:
            self._limit = max(min(_FEWEST, self._most), self._limit // 2)
        elif seconds < CALM and self._limit < self._most:
            self._limit += 1
            self._wake()

    @asynccontextmanager
    async def place(self, priority: Priority, *, time_left: float | None) -> AsyncIterator[None]:
        """A place for one call; see `enter`."""
        began = await self.enter(priority, time_left=time_left)
        try:
            yield
        finally:
            self.leave(priority, began)

    def at_once(self, priority: Priority) -> float | None:
        """Take a place if one is free and nobody waits for it; as `enter`, None if it takes waiting."""
        if self._waiting[Priority.INTERACTIVE] or self._waiting[priority] or not self._free(priority):
            return None
        self._running[priority] += 1
        return self._clock()

    async def enter(self, priority: Priority, *, time_left: float | None) -> float:
        """Take a place for one call; when it was there, for `leave`. `time_left` in seconds until the call's deadline.

        Raises  Overloaded.
        """
        since = self.at_once(priority)
        if since is not None:
            return since
        await self._turn(priority, time_left)
        return self._clock()

    def leave(self, priority: Priority, began: float) -> None:
        """Give the place back."""
        took = self._clock() - began
        self._mean += (took - self._mean) * _SMOOTH if self._mean else took
        self._running[priority] -= 1
        if self._waiting[Priority.INTERACTIVE] or self._waiting[Priority.BATCH]:
            self._wake()

    async def _turn(self, priority: Priority, time_left: float | None) -> None:
        ahead = len(self._waiting[Priority.INTERACTIVE]) + (len(self._waiting[1]) if priority else 0) + 1
        wait = ahead * self._mean / self._limit
        if time_left is not None and wait + self._mean > time_left:
            raise self._away("its deadline is nearer than its turn", wait)
        if self.waiting >= self._queue and not (priority is Priority.INTERACTIVE and self._send_a_batch_away(wait)):
            raise self._away("too many wait already", wait)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[priority].append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # its turn came in the same moment
                self._running[priority] -= 1
                self._wake()
            elif turn in self._waiting[priority]:
                self._waiting[priority].remove(turn)
            raise

    def _free(self, priority: Priority) -> bool:
        if self.running >= self._limit:
            return False
        return priority is Priority.INTERACTIVE or self._running[Priority.BATCH] < max(1, self._limit // 2)

    def _send_a_batch_away(self, wait: float) -> bool:
        """The youngest call of a batch makes room; False if there is none."""
        queue = self._waiting[Priority.BATCH]
        if not queue:
            return False
        queue.pop().set_exception(self._away("an interactive call took its place", wait))
        return True

    def _wake(self) -> None:
        for priority in Priority:
            queue = self._waiting[priority]
            while queue and self._free(priority):
                turn = queue.popleft()
                if not turn.done():
                    self._running[priority] += 1
                    turn.set_result(None)

    def _away(self, why: str, wait: float) -> Overloaded:
        return Overloaded(why=why, retry_after=timedelta(seconds=min(max(wait, 0.05), 5.0)))
