"""The newest read version that this process has heard of, for transactions that need not see the newest data.

A version is as old as the beginning of the request that told it: the database cannot have been newer before. Committing
tells one too, so that a process sees what it has written itself.

Cost    saves one round trip at the beginning of a transaction on a cluster. Engines that know their own versions give
        the newest one for nothing: it is never too stale, so this is not used with them
Source  Record Layer, WeakReadSemantics and FDBDatabase.updateLastSeenFDBVersion
"""

from __future__ import annotations

from datetime import timedelta

from recordlayer.world import Clock


class ReadVersionCache:
    """Shared by the transactions of a database, in any thread."""

    __slots__ = ("_clock", "_newest")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest: tuple[int, float] | None = None  # replaced as a whole: no lock is needed

    def now(self) -> float:
        """A time to hand to `learned`, taken before asking the database."""
        return self._clock.monotonic()

    def learned(self, version: int, asked: float) -> None:
        """The database told a version, of a read or of a commit, to a request that began at `asked`."""
        newest = self._newest
        if version > 0 and (newest is None or version > newest[0] or (version == newest[0] and asked > newest[1])):
            self._newest = version, asked

    def version(self, staleness: timedelta, *, at_least: int = 0) -> int | None:
        """A version no staler than that and no lower than `at_least`; None if none is known."""
        newest = self._newest
        if newest is None:
            return None
        version, asked = newest
        fresh = self._clock.monotonic() - asked <= staleness.total_seconds()
        return version if fresh and version >= at_least else None
