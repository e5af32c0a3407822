"""How many calls run at once, and what becomes of the rest: they wait a little, in order, or are sent away early.

    running   up to `most` at once, fewer while the event loop lags: the number halves, and grows again one by one
    waiting   up to `queue`; interactive calls before those of batches, which also use half of the places at most.
              Tenants take turns: a hundred calls of one wait behind each other, and not the next one's behind them
    sent away with Overloaded and the time after which to try again: when the queue is full, a batch call first, then
              one of the tenant that has the most waiting; and a call that cannot be done by its deadline, as far as
              the last calls show

A call that waits has started nothing, so sending it away costs nothing but the answer.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Hashable
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


class _Line:
    """Calls of one priority that wait, by tenant, whose turn it is in order."""

    def __init__(self) -> None:
        self._by_tenant: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def of(self, tenant: Hashable) -> int:
        """How many of a tenant wait."""
        return len(self._by_tenant.get(tenant, ()))

    def ahead_of(self, tenant: Hashable) -> int:
        """How many go before one that comes now: each tenant has a turn for each that waits of this one."""
        rounds = self.of(tenant) + 1
        return min(self._length, rounds * len(self._by_tenant))

    def add(self, tenant: Hashable, turn: asyncio.Future[None]) -> None:
        self._by_tenant.setdefault(tenant, deque()).append(turn)
        self._length += 1

    def next(self) -> asyncio.Future[None]:
        """Whose turn it is: the first of the tenant that has waited for a turn the longest."""
        tenant, turns = next(iter(self._by_tenant.items()))
        turn = turns.popleft()
        self._took_from(tenant, turns)
        if turns:
            self._by_tenant.move_to_end(tenant)
        return turn

    def youngest_of_most(self, *, more_than: int) -> asyncio.Future[None] | None:
        """The one that came last of the tenant with the most, None if it has no more than this many."""
        if self._length == len(self._by_tenant) and more_than:
            return None  # one of each
        tenant, turns = max(self._by_tenant.items(), key=lambda each: len(each[1]), default=(None, deque()))
        if len(turns) <= more_than:
            return None
        turn = turns.pop()
        self._took_from(tenant, turns)
        return turn

    def leave(self, tenant: Hashable, turn: asyncio.Future[None]) -> None:
        """One does not wait any more, if it still did."""
        turns = self._by_tenant.get(tenant)
        if turns is not None and turn in turns:
            turns.remove(turn)
            self._took_from(tenant, turns)

    def _took_from(self, tenant: Hashable, turns: deque[asyncio.Future[None]]) -> None:
        self._length -= 1
        if not turns:
            del self._by_tenant[tenant]


class Admission:
    """The places of one server."""

    def __init__(self, *, most: int, queue: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._queue = queue
        self._clock = clock
        self._limit = most
        self._mean = 0.0
        self._waiting = (_Line(), _Line())
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
    async def place(
        self, priority: Priority, *, time_left: float | None, tenant: Hashable = None
    ) -> AsyncIterator[None]:
        """A place for one call; see `enter`."""
        began = await self.enter(priority, time_left=time_left, tenant=tenant)
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

    async def enter(self, priority: Priority, *, time_left: float | None, tenant: Hashable = None) -> float:
        """Take a place for one call; when it was there, for `leave`.

        time_left  seconds until the call's deadline
        tenant     whose call it is, None for nobody's

        Raises  Overloaded.
        """
        since = self.at_once(priority)
        if since is not None:
            return since
        await self._turn(priority, time_left, tenant)
        return self._clock()

    def leave(self, priority: Priority, began: float) -> None:
        """Give the place back."""
        took = self._clock() - began
        self._mean += (took - self._mean) * _SMOOTH if self._mean else took
        self._running[priority] -= 1
        if self._waiting[Priority.INTERACTIVE] or self._waiting[Priority.BATCH]:
            self._wake()

    async def _turn(self, priority: Priority, time_left: float | None, tenant: Hashable) -> None:
        line = self._waiting[priority]
        before = len(self._waiting[Priority.INTERACTIVE]) if priority is Priority.BATCH else 0
        wait = (before + line.ahead_of(tenant) + 1) * self._mean / self._limit
        if time_left is not None and wait + self._mean > time_left:
            raise self._away("its deadline is nearer than its turn", wait)
        if self.waiting >= self._queue and not self._make_room(priority, tenant, wait):
            raise self._away("too many wait already", wait)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.add(tenant, turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # its turn came in the same moment
                self._running[priority] -= 1
                self._wake()
            else:
                line.leave(tenant, turn)
            raise

    def _free(self, priority: Priority) -> bool:
        if self.running >= self._limit:
            return False
        return priority is Priority.INTERACTIVE or self._running[Priority.BATCH] < max(1, self._limit // 2)

    def _make_room(self, priority: Priority, tenant: Hashable, wait: float) -> bool:
        """Send somebody away for one who comes; False if nobody has to make room for it."""
        if priority is Priority.INTERACTIVE:
            batch = self._waiting[Priority.BATCH].youngest_of_most(more_than=0)
            if batch is not None:
                self._send_away(batch, "an interactive call took its place", wait)
                return True
        line = self._waiting[priority]
        other = line.youngest_of_most(more_than=line.of(tenant) + 1)
        if other is not None:
            self._send_away(other, "too many of its database wait already", wait)
        return other is not None

    def _send_away(self, turn: asyncio.Future[None], why: str, wait: float) -> None:
        if not turn.done():  # else its caller has left in this moment
            turn.set_exception(self._away(why, wait))

    def _wake(self) -> None:
        for priority in Priority:
            line = self._waiting[priority]
            while len(line) and self._free(priority):
                turn = line.next()
                if not turn.done():
                    self._running[priority] += 1
                    turn.set_result(None)

    def _away(self, why: str, wait: float) -> Overloaded:
        return Overloaded(why=why, retry_after=timedelta(seconds=min(max(wait, 0.05), 5.0)))
