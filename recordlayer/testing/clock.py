"""A clock that a test moves by hand, and the world that goes with it."""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable

from recordlayer.world import Alarm, Call, World


class ManualClock:
    """Stands still until `advance`; sleepers whose time has come wake then, in the order of their times.

    May be used from several threads. Calls run in the thread that advances.
    """

    def __init__(self, *, monotonic: float = 1_000.0, boot: float = 5_000.0, wall: float = 1_700_000_000.0) -> None:
        self._monotonic = monotonic
        self._boot = boot
        self._wall = wall
        self._changed = threading.Condition()
        self._heap: list[Alarm] = []

    def world(self, seed: int = 0) -> World:
        """A world with this clock and random numbers from `seed`."""
        return World(clock=self, random=random.Random(seed))

    # -- what a clock answers

    def monotonic(self) -> float:
        return self._monotonic

    def boot(self) -> float:
        return self._boot

    def wall(self) -> float:
        return self._wall

    def call_later(self, seconds: float, call: Call) -> Callable[[], None]:
        with self._changed:
            alarm = Alarm(self._monotonic + seconds, call)
            heapq.heappush(self._heap, alarm)
            self._changed.notify_all()

        def cancel() -> None:
            with self._changed:
                alarm.cancel()
                self._changed.notify_all()

        return cancel

    # -- what a test does

    def advance(self, seconds: float) -> None:
        """Let time pass. A call that sets another alarm within it has that one rung too."""
        end = self._monotonic + seconds
        while (alarm := self._pop(end)) is not None:
            alarm.ring()
        with self._changed:
            self._move(end)

    def advance_to_next(self) -> bool:
        """Go to the next alarm and ring it. False if there is none."""
        alarm = self._pop(float("inf"))
        if alarm is None:
            return False
        alarm.ring()
        return True

    def advance_at_most(self, seconds: float | None) -> None:
        """Go to the next alarm and ring it, or so far as this if that is less. Without either time stands."""
        with self._changed:
            due = min((alarm.due for alarm in self._heap if not alarm.cancelled), default=None)
        if due is not None and (seconds is None or due <= self._monotonic + seconds):
            self.advance_to_next()
        elif seconds is not None:
            self.advance(seconds)

    def step_wall(self, seconds: float) -> None:
        """Someone sets the wall clock, forwards or back."""
        self._wall += seconds

    def reboot(self, *, monotonic: float = 0.0, boot: float = 0.0) -> None:
        """The machine starts anew: its clocks do, and nothing sleeps any more. The wall clock goes on."""
        with self._changed:
            self._heap.clear()
            self._monotonic, self._boot = monotonic, boot

    @property
    def sleepers(self) -> int:
        """How many alarms are set."""
        with self._changed:
            return sum(not alarm.cancelled for alarm in self._heap)

    def wait_for_sleepers(self, count: int, *, timeout: float = 30.0) -> None:
        """Wait, in real time, until other threads have set so many alarms.  Raises  TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.sleepers >= count, timeout):
                raise TimeoutError(f"{self.sleepers} of {count} sleepers after {timeout} s")

    def _pop(self, end: float) -> Alarm | None:
        with self._changed:
            while self._heap and self._heap[0].cancelled:
                heapq.heappop(self._heap)
            if not self._heap or self._heap[0].due > end:
                return None
            alarm = heapq.heappop(self._heap)
            self._move(alarm.due)
            return alarm

    def _move(self, monotonic: float) -> None:
        passed = max(0.0, monotonic - self._monotonic)
        self._monotonic += passed
        self._boot += passed
        self._wall += passed
