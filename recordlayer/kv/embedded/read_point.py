"""The version at which a transaction reads, taken when the database is first needed.

A transaction that only writes, or reads only what it wrote itself, never takes one. Holding a version keeps what newer
commits overwrite in memory, so it is let go as early as possible: at the commit, at a reset, when collected.
"""

from __future__ import annotations

from recordlayer.errors import ReadVersionAlreadySet, TooOld, TransactionError
from recordlayer.kv.embedded.database import OpenFile
from recordlayer.kv.embedded.view import Snapshot
from recordlayer.kv.engine import LIFETIME_SECONDS


class ReadPoint:
    __slots__ = ("__weakref__", "_clock", "_expires", "_file", "_holds", "_late", "_snapshot", "version")

    def __init__(self, file: OpenFile) -> None:
        self.version: int | None = None
        self._file = file
        self._clock = file.world.clock
        self._snapshot: Snapshot | None = None
        self._expires = 0.0
        self._late: TransactionError | None = None  # what reading at a version that was set will say
        self._holds = False

    @property
    def taken(self) -> bool:
        return self.version is not None

    def take(self) -> int:
        """The version, from now on fixed."""
        if self.version is None:
            now = self._clock.monotonic()
            self.version = self._file.enter(now)
            self._holds = True
            self._look(self.version, now)
        return self.version

    def set(self, version: int) -> None:
        """Read at `version`; if that cannot be, the first read will say so.  Raises  ReadVersionAlreadySet."""
        if self.version is not None:
            raise ReadVersionAlreadySet(read_version=self.version)
        now = self._clock.monotonic()
        self.version = version
        try:
            self._file.enter_at(version, now)
            self._holds = True
        except TransactionError as error:
            self._late = error
        self._look(version, now)

    def database(self) -> Snapshot:
        """The database at the version.  Raises  TooOld, FutureVersion."""
        if self._snapshot is None:
            self.take()
        if self._late is not None or self._clock.monotonic() > self._expires:
            self.check()
        assert self._snapshot is not None
        return self._snapshot

    def check(self) -> None:
        """Raises  TooOld, FutureVersion  if nothing can be read at the version any more."""
        if self._late is not None:
            raise self._late.again()
        if self._clock.monotonic() > self._expires:
            raise TooOld(read_version=self.version)

    def hand_over(self) -> int | None:
        """The version to let go of, which is the caller's business from now on; None if nothing is held."""
        if not self._holds:
            return None
        self._holds = False
        return self.version

    def leave(self) -> None:
        version = self.hand_over()
        if version is not None:
            self._file.leave(version)

    def _look(self, version: int, now: float) -> None:
        self._snapshot = Snapshot(self._file.base, self._file.window, self._file.readers, version)
        self._expires = now + LIFETIME_SECONDS

    def __del__(self) -> None:
        # Runs at any moment in any thread, so it takes no lock: a note for the next commit.
        if self._holds and self.version is not None:
            self._file.orphans.append(self.version)
