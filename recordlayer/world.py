"""What the core takes from outside: time and chance.

Everything below the facades gets its clock and its random numbers from a `World` that is handed in, so that a test can
run the same code on a clock it moves by hand and with numbers it chose. `time` and `random` are imported here only.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds that never go back; the zero means nothing."""

    def boot(self) -> float:
        """Seconds since the machine started, sleep included."""

    def wall(self) -> float:
        """Seconds since 1970."""


class SystemClock:
    """The machine's clocks."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    @staticmethod
    def boot() -> float:
        # Not every system has CLOCK_BOOTTIME; elsewhere the monotonic clock is as near as one gets.
        return time.clock_gettime(_BOOT) if _BOOT is not None else time.monotonic()


_BOOT: int | None = getattr(time, "CLOCK_BOOTTIME", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The clock and the random numbers of a database and of all that is opened through it."""

    clock: Clock = field(default_factory=SystemClock)
    random: random.Random = field(default_factory=random.Random)
