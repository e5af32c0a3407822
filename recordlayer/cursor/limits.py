"""How much one execution may read before it stops with a continuation.

`Limits` is what a caller says, `Budget` what is left of it while cursors run; all scans of one execution share one
budget. Every scan reads one pair at least, however little is left: each page makes progress.

Source  Record Layer, ExecuteProperties, CursorLimitManager (the free initial pass).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from recordlayer.cursor.step import Stop
from recordlayer.errors import UsageError
from recordlayer.world import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one execution; None is no bound.

    keys   pairs that are read (records and index entries; split records count each part). Records of entries that were
           within the bound are read all the same
    bytes  of keys and values that are read; passed by one pair of a scan at most, or by one portion of records
    time   after which no further chunk is asked for
    """

    keys: int | None = None
    bytes: int | None = None
    time: timedelta | None = None

    def __post_init__(self) -> None:
        for name in ("keys", "bytes"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise UsageError(limit=name, got=value, hint="give a whole number of at least 1, or None")
        if self.time is not None and not isinstance(self.time, timedelta):
            raise UsageError(limit="time", got=self.time, hint="give a datetime.timedelta, or None")

    def budget(self, clock: Clock) -> Budget | None:
        """A budget that begins now; None if nothing is bounded."""
        if self.keys is None and self.bytes is None and self.time is None:
            return None
        deadline = None if self.time is None else clock.monotonic() + self.time.total_seconds()
        return Budget(clock, keys=self.keys, size=self.bytes, deadline=deadline)


NO_LIMITS = Limits()


class Budget:
    """What is left of some limits."""

    __slots__ = ("_clock", "_deadline", "keys", "size")

    def __init__(
        self, clock: Clock, *, keys: int | None = None, size: int | None = None, deadline: float | None = None
    ) -> None:
        self._clock = clock
        self._deadline = deadline
        self.keys = keys
        self.size = size

    def charge(self, keys: int, size: int) -> None:
        """Spend what was read without asking first."""
        if self.keys is not None:
            self.keys -= keys
        if self.size is not None:
            self.size -= size

    def spent(self, *, keys: bool = True) -> Stop | None:
        """Why nothing more may be read, or None. `keys`: whether their number counts."""
        if keys and self.keys is not None and self.keys <= 0:
            return Stop.SCAN_LIMIT
        if self.size is not None and self.size <= 0:
            return Stop.BYTE_LIMIT
        if self._deadline is not None and self._clock.monotonic() >= self._deadline:
            return Stop.TIME_LIMIT
        return None

    def take(self, rows: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The leading rows that fit, one at least; what they cost is spent."""
        if self.keys is not None:
            rows = rows[: max(1, self.keys)]
        if self.size is not None:
            for count, (key, value) in enumerate(rows, 1):
                self.size -= len(key) + len(value)
                if self.size <= 0:
                    rows = rows[:count]
                    break
        if self.keys is not None:
            self.keys -= len(rows)
        return rows
