"""Small work on one database that is done together while the event loop has no rest: look-ups of single records, and
saves of single ones. A transaction, its read version, the opened store and its commit cost more than the record itself.

What comes while the loop has time is done at once, and by itself. While it has none, those that come wait for each
other, until as many have come as the last time, or as many as may, or until none has come for three milliseconds in
which the loop could have let them in: then all who had a reason to come are there. What they read is of a version that
was taken after all of them had come.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from recordlayer_server.places import Tenant

Asked = TypeVar("Asked")
Found = TypeVar("Found")

MOST = 8
"""Saves that wait for each other. More would spare little: an eighth of what they share is less than their own part."""
PAUSE = 0.003
"""Seconds without a newcomer after which nobody else is waited for: a save is about a third of it."""
NEAR = 0.01
"""Seconds within which a database had its last call, if another one may be expected."""
_FEWEST = 2
_GROWING, _SLOWLY = 8, 64
"""Times that as many came as were expected, until twice as many are: more of them each time that this was in vain."""
_APART = 0.03  # seconds in which calls of a database do not wait, where one waited in vain, or it did not work
_LATE = 0.0005  # seconds behind its time at which a timer rings in a loop that has had other work
_BUSY = PAUSE / 2  # that it has worked since the timer was set
_AGAIN = 5  # times that that is heeded, while one waits: the loop may have other work for ever
_REMEMBERED = 1_000  # databases


def worked() -> float:
    """Seconds that this thread has worked, and on Linux those that it waited for a processor to work on, too: among
    others on a machine it has no rest although it works little."""
    try:
        with open("/proc/thread-self/schedstat", "rb", buffering=0) as file:
            waited = int(file.read(100).split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        waited = 0.0
    return time.thread_time() + waited


class Rest:
    """Whether a thread has time: looks at every `_EVERY`th question how much of the time it has worked since the last.

    wall, used  clocks in seconds: of the world, and of the work of this thread
    """

    _EVERY = 16
    _BUSY, _STILL_BUSY = 0.75, 0.6

    def __init__(self, *, wall: Callable[[], float] = time.monotonic, used: Callable[[], float] = worked) -> None:
        self._wall = wall
        self._used = used
        self._asked = 0
        self._since, self._by_then = wall(), used()
        self._busy = False

    def is_busy(self) -> bool:
        self._asked += 1
        if self._asked >= self._EVERY:
            now, used = self._wall(), self._used()
            least = self._STILL_BUSY if self._busy else self._BUSY
            self._busy = used - self._by_then > least * (now - self._since)
            self._asked, self._since, self._by_then = 0, now, used
        return self._busy


class _Group(Generic[Asked, Found]):
    """The calls of one database that wait.

    again        how often those who wait now were let wait longer, as the loop had other work
    alone        how many are done by themselves just now
    alone_until  none waits before that, unless several are there: one has waited in vain
    apart_until  none waits before that: it did not work together
    """

    __slots__ = (
        "again",
        "alone",
        "alone_until",
        "apart_until",
        "asked",
        "expected",
        "growing",
        "grown",
        "last",
        "often",
        "timer",
        "turns",
        "used",
    )

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.turns: list[asyncio.Future[Found]] = []
        self.expected = _FEWEST
        self.often = self.alone = self.again = 0
        self.growing, self.grown = _GROWING, False
        self.last = self.alone_until = self.apart_until = float("-inf")
        self.used = 0.0
        self.timer: asyncio.TimerHandle | None = None


class Together(Generic[Asked, Found]):
    """Those of one server.

    do    what comes out for each of those that are done together, in their order
    busy  whether the event loop has no rest
    most  how many that are
    """

    def __init__(
        self,
        do: Callable[[Tenant, Sequence[Asked]], Awaitable[Sequence[Found]]],
        *,
        busy: Callable[[], bool] | None = None,
        most: int = MOST,
    ) -> None:
        self._do = do
        self._most = most
        self._busy = Rest().is_busy if busy is None else busy
        self._groups: OrderedDict[Tenant, _Group[Asked, Found]] = OrderedDict()
        self._doing: set[asyncio.Task[None]] = set()

    async def ask(self, tenant: Tenant, asked: Asked) -> Found:
        """What comes out, done at once or with others.  Raises  what doing it raises, for all who share it."""
        loop = asyncio.get_running_loop()
        group, now = self._group(tenant), loop.time()
        hopes = now >= group.alone_until or group.alone >= _FEWEST
        near, group.last = hopes and now - group.last < NEAR and now >= group.apart_until, now
        if not group.asked and not (self._busy() and near):
            group.alone += 1
            try:
                (found,) = await self._do(tenant, (asked,))
            finally:
                group.alone -= 1
            return found
        turn: asyncio.Future[Found] = loop.create_future()
        group.asked.append(asked)
        group.turns.append(turn)
        if len(group.asked) >= group.expected:
            group.often += 1
            if group.grown:
                group.growing, group.grown = _GROWING, False
            if group.often >= group.growing and group.expected < self._most:
                group.expected, group.often, group.grown = min(self._most, 2 * group.expected), 0, True
            self._begin(tenant, group)
        elif group.timer is None:
            self._wait(tenant, group, now + PAUSE)
        return await turn

    def apart(self, tenant: Tenant) -> None:
        """Let what comes for a database in the next moment be done by itself: together it did not work."""
        self._group(tenant).apart_until = asyncio.get_running_loop().time() + _APART

    def _group(self, tenant: Tenant) -> _Group[Asked, Found]:
        group = self._groups.get(tenant)
        if group is None:
            group = self._groups[tenant] = _Group()
            if len(self._groups) > _REMEMBERED:  # who waits in one that is forgotten is in its timer's hand
                self._groups.popitem(last=False)
        return group

    def _wait(self, tenant: Tenant, group: _Group[Asked, Found], until: float) -> None:
        group.used = time.thread_time()
        group.timer = asyncio.get_running_loop().call_at(until, self._ring, tenant, group, until)

    def _ring(self, tenant: Tenant, group: _Group[Asked, Found], when: float) -> None:
        """Nobody may have come for a while."""
        group.timer = None
        if not group.asked:
            return
        now, due = asyncio.get_running_loop().time(), group.last + PAUSE
        if group.again < _AGAIN and (now - when > _LATE or time.thread_time() - group.used > _BUSY):
            # The loop had other work meanwhile, and those who have come are behind this in its line: let them in.
            group.again, due = group.again + 1, now + PAUSE
        if now < due:
            self._wait(tenant, group, due)
            return
        if len(group.asked) == 1:
            group.alone_until = now + _APART
        if group.grown:
            group.growing, group.grown = min(_SLOWLY, 2 * group.growing), False
        group.expected, group.often = max(_FEWEST, len(group.asked)), 0
        self._begin(tenant, group)

    def _begin(self, tenant: Tenant, group: _Group[Asked, Found]) -> None:
        """Do it for those that are there, in a task of its own: none of them takes it along when it leaves."""
        asked, turns = group.asked, group.turns
        group.asked, group.turns, group.again = [], [], 0
        task = asyncio.get_running_loop().create_task(self._answer(tenant, asked, turns))
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    async def _answer(self, tenant: Tenant, asked: Sequence[Asked], turns: Sequence[asyncio.Future[Found]]) -> None:
        there = [place for place, turn in enumerate(turns) if not turn.done()]  # some may have left
        asked, turns = [asked[place] for place in there], [turns[place] for place in there]
        if not asked:
            return
        try:
            found = await self._do(tenant, asked)
        except asyncio.CancelledError:
            for turn in turns:
                turn.cancel()
            raise
        except Exception as error:
            for turn in turns:
                if not turn.done():
                    turn.set_exception(error)
            return
        for turn, one in zip(turns, found, strict=True):
            if not turn.done():
                turn.set_result(one)
