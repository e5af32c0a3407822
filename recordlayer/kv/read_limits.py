"""The limits of one transaction: what all of its reads together may cost.

What was read is taken from the transaction's counters, so that loads count as scans do.

Source  Record Layer, ExecuteState, shared by all executions of a transaction
"""

from __future__ import annotations

from recordlayer.errors import BudgetSpent
from recordlayer.kv.counters import Counters
from recordlayer.options import Limits
from recordlayer.world import Clock


class ReadLimits:
    """Limits that began to count with the transaction."""

    __slots__ = ("_clock", "_counters", "_deadline", "limits")

    def __init__(self, limits: Limits, counters: Counters, clock: Clock) -> None:
        self.limits = limits
        self._counters = counters
        self._clock = clock
        self._deadline = None if limits.time is None else clock.monotonic() + limits.time.total_seconds()

    @property
    def keys(self) -> int | None:
        """How many are left."""
        return None if self.limits.keys is None else self.limits.keys - self._counters.rows_read

    @property
    def size(self) -> int | None:
        """How many bytes are left."""
        return None if self.limits.bytes is None else self.limits.bytes - self._counters.bytes_read

    def reached(self, *, keys: bool = True) -> str | None:
        """The name of a bound that is reached, or None."""
        if keys and self.limits.keys is not None and self._counters.rows_read >= self.limits.keys:
            return "keys"
        if self.limits.bytes is not None and self._counters.bytes_read >= self.limits.bytes:
            return "bytes"
        if self._deadline is not None and self._clock.monotonic() >= self._deadline:
            return "time"
        return None

    def check(self) -> None:
        """Before a read.  Raises  BudgetSpent, if it is to fail."""
        if self.limits.fail and (name := self.reached()) is not None:
            raise spent(name, self.limits, "transaction")


def spent(name: str, limits: Limits, of: str) -> BudgetSpent:
    """The error for a bound that is reached."""
    return BudgetSpent(limit=name, allowed=getattr(limits, name), of=of)
