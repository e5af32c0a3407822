"""What the core takes from outside: time and chance.

Everything below the facades gets its clock and its random numbers from a `World` that is handed in, so that a test can
run the same code on a clock it moves by hand and with numbers it chose. `time` and `random` are imported here only.
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

Call = Callable[[], object]


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds that never go back; the zero means nothing."""

    def boot(self) -> float:
        """Seconds since the machine started, sleep included."""

    def wall(self) -> float:
        """Seconds since 1970."""

    def call_later(self, seconds: float, call: Call) -> Callable[[], None]:
        """Have `call` run once, `seconds` from now, in any thread; it must neither block nor raise.

        What comes back takes the order back, if it is not too late.
        """


class SystemClock:
    """The machine's clocks."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    @staticmethod
    def boot() -> float:
        # Not every system has CLOCK_BOOTTIME; elsewhere the monotonic clock is as near as one gets.
        return time.clock_gettime(_BOOT) if _BOOT is not None else time.monotonic()

    @staticmethod
    def call_later(seconds: float, call: Call) -> Callable[[], None]:
        alarm = Alarm(time.monotonic() + seconds, call)
        _ALARMS.add(alarm)
        return alarm.cancel


_BOOT: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Alarm:
    """One call that is due at a time; in the order of the times, and of their making where those are equal."""

    __slots__ = ("_call", "due", "number")

    _numbers = itertools.count()

    def __init__(self, due: float, call: Call) -> None:
        self.due = due
        self.number = next(self._numbers)
        self._call: Call | None = call

    def __lt__(self, other: Alarm) -> bool:
        return (self.due, self.number) < (other.due, other.number)

    @property
    def cancelled(self) -> bool:
        return self._call is None

    def cancel(self) -> None:
        self._call = None  # what the call refers to is free, even if the alarm stays in a heap until it is due

    def ring(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()


class _SystemAlarms:
    """The alarms of this process and the one thread that rings them; it starts with the first alarm."""

    _SWEEP = 1_000  # cancelled alarms are swept out whenever so many have been added

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything. A forked child has neither the thread nor those who set the alarms."""
        self._changed = threading.Condition(threading.RLock())  # re-entered by a finaliser that sets an alarm
        self._heap: list[Alarm] = []
        self._added = 0
        self._thread: threading.Thread | None = None

    def add(self, alarm: Alarm) -> None:
        with self._changed:
            heapq.heappush(self._heap, alarm)
            self._added += 1
            if self._added >= self._SWEEP:
                self._added = 0
                self._heap = [kept for kept in self._heap if not kept.cancelled]
                heapq.heapify(self._heap)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="recordlayer-alarms", daemon=True)
                self._thread.start()
            if self._heap[0] is alarm:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._heap or self._heap[0].due > time.monotonic():
                    self._changed.wait(self._heap[0].due - time.monotonic() if self._heap else None)
                alarm = heapq.heappop(self._heap)
            try:
                alarm.ring()
            except Exception:  # a mistake of the one who set it: told like any thread's, and the others still ring
                threading.excepthook(threading.ExceptHookArgs([*sys.exc_info(), threading.current_thread()]))


_ALARMS = _SystemAlarms()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ALARMS.reset)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The clock and the random numbers of a database and of all that is opened through it."""

    clock: Clock = field(default_factory=SystemClock)
    random: random.Random = field(default_factory=random.Random)

    def agrees_with(self, other: World) -> bool:
        """Whether what goes by one of them may go by the other: they are the same, or both go by the machine's
        clocks."""
        return self is other or (isinstance(self.clock, SystemClock) and isinstance(other.clock, SystemClock))
