"""When a group that will be synced is large enough to begin.

The disk takes as long for a hundred transactions as for one; and LMDB lets go of the interpreter at every write, so
that a group applied while others still run their transactions is slowed down by each of them. So wait while there are
open transactions, or fewer requests than the last group had (who was told of its commit may soon ask for another), and
requests keep coming. When that was in vain (long readers, callers who think), do without for a while.
"""

from __future__ import annotations

from collections.abc import Sized

from recordlayer.kv.embedded.bell import Bell
from recordlayer.kv.embedded.database import OpenFile

_ENOUGH = 128  # requests
_STEP, _PATIENCE = 0.001, 2  # seconds, and how many times they may pass without another request
_LONGEST = 0.02
_MOST_DOUBLINGS = 6


class Gathering:
    """Waits for more requests, for the thread that commits."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._complete = Bell()
        self._last = 0  # requests of the last group
        self._in_vain = 0  # times in a row that waiting brought no more requests
        self._passes = 0  # groups that do not wait, after that

    def came(self, waiting: int) -> None:
        """A request came, and so many wait now: perhaps it is the last that is to be expected."""
        if waiting >= self._last and waiting >= self._file.readers.count:
            self._complete.ring()

    def taken(self, requests: int) -> None:
        """A group of so many requests begins."""
        self._last = min(requests, _ENOUGH)

    def wait(self, queue: Sized) -> None:
        """Let more requests come into `queue`, if some are about to."""
        if self._passes > 0:
            self._passes -= 1
            return
        clock = self._file.world.clock
        until = clock.monotonic() + _LONGEST
        first = before = len(queue)
        idle = 0
        self._complete.wait(0.0)  # an old ring
        while before < _ENOUGH and self._more_than(before) and clock.monotonic() < until:
            self._complete.wait(_STEP)
            now = len(queue)
            idle = idle + 1 if now == before else 0
            if idle == _PATIENCE:
                break
            before = now
        else:
            if before == first:
                return  # nobody to wait for
        self._in_vain = 0 if before > first else min(self._in_vain + 1, _MOST_DOUBLINGS)
        self._passes = (1 << self._in_vain) - 1

    def _more_than(self, waiting: int) -> bool:
        """Whether more requests than `waiting` are to be expected."""
        return self._last > waiting or self._file.readers.count > waiting
