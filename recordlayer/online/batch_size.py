"""How many records the next transaction of a build looks at: half after a failure, a third more after some successes.

Source  Record Layer: IndexingThrottle; the limit grows back from 1 as well, where Java's once stayed
"""

from __future__ import annotations

_SUCCESSES = 4
"""After so many transactions in a row the limit grows."""


class BatchSize:
    """The limit that is in force."""

    __slots__ = ("_most", "_successes", "records")

    def __init__(self, most: int) -> None:
        self._most = most
        self._successes = 0
        self.records = most

    def allow(self, most: int) -> None:
        """The upper limit was changed."""
        self.records = most if self.records >= self._most else min(self.records, most)
        self._most = most

    def succeeded(self) -> None:
        self._successes += 1
        if self._successes >= _SUCCESSES and self.records < self._most:
            self._successes = 0
            self.records = min(self._most, self.records + max(1, self.records // 3))

    def failed(self) -> None:
        self._successes = 0
        self.records = max(1, self.records // 2)
