"""A clock for tests that retry: nobody waits for a back-off, time passes at once."""

from __future__ import annotations

from collections.abc import Callable

from recordlayer.testing.clock import ManualClock
from recordlayer.world import Call


class HurriedClock(ManualClock):
    """A manual clock that goes ahead to whatever somebody waits for, if it is at most a second away: back-offs pass,
    timeouts stay."""

    def call_later(self, seconds: float, call: Call) -> Callable[[], None]:
        if seconds > 1:
            return super().call_later(seconds, call)
        self.advance(seconds)
        call()
        return lambda: None
