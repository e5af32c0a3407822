"""When a group that will be synced is large enough to begin.

The disk takes as long for a hundred transactions as for one; and LMDB lets go of the interpreter at every write, so
that a group applied while others still run their transactions is slowed down by each of them. So wait while there are
open transactions and requests keep coming. When that was in vain (long readers), do without for a while.
"""

from __future__ import annotations

import threading
from collections.abc import Sized

from recordlayer.kv.embedded.database import OpenFile

_ENOUGH = 128  # requests
_STEP = 0.001  # seconds without another request end the wait for more
_LONGEST = 0.02
_MOST_DOUBLINGS = 6


class Gathering:
    """Waits for more requests, for the thread that commits."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._never = threading.Event()
        self._in_vain = 0  # times in a row that waiting brought no more requests
        self._passes = 0  # groups that do not wait, after that

    def wait(self, queue: Sized) -> None:
        """Let more requests come into `queue`, if some are about to."""
        if self._passes > 0:
            self._passes -= 1
            return
        clock = self._file.world.clock
        until = clock.monotonic() + _LONGEST
        first = before = len(queue)
        while before < _ENOUGH and self._file.readers.count > before and clock.monotonic() < until:
            self._never.wait(_STEP)
            now = len(queue)
            if now == before:
                break
            before = now
        else:
            if before == first:
                return  # nobody to wait for
        self._in_vain = 0 if before > first else min(self._in_vain + 1, _MOST_DOUBLINGS)
        self._passes = (1 << self._in_vain) - 1
