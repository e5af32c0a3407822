"""One open file and everything in memory that belongs to it; what transactions and the committer share.

`lock` guards readers, the window's changes, the published version and the counters of use. It is held for a few steps
only, never while the disk works. The committer's own lock comes first where both are taken.
"""

from __future__ import annotations

import threading
from collections import deque

from recordlayer.errors import Closed, FutureVersion, OpenedBeforeFork, RecordLayerError, TooOld
from recordlayer.kv.embedded.base import Base
from recordlayer.kv.embedded.range_versions import RangeVersions
from recordlayer.kv.embedded.readers import Readers
from recordlayer.kv.embedded.watches import Watches
from recordlayer.kv.embedded.window import UndoWindow
from recordlayer.world import World


class Handle:
    """One engine's hold on an open file, which several may share. `failure`, once set, answers every operation of its
    transactions: what became of the file, or that this engine was closed."""

    __slots__ = ("failure", "file")

    def __init__(self, file: OpenFile) -> None:
        self.file = file
        self.failure: RecordLayerError | None = None


class OpenFile:
    """The state of an open file. `failure`, once set, answers every operation."""

    def __init__(self, path: str, base: Base, world: World, *, window_bytes: int) -> None:
        self.path = path
        self.base = base
        self.world = world
        self.lock = threading.Lock()
        self.readers = Readers()
        self.window = UndoWindow(window_bytes, self.lock)
        self.ranges = RangeVersions()
        self.watches = Watches()
        self.published = base.version
        self.window.floor = base.version
        self.failure: RecordLayerError | None = None
        self._handles: list[Handle] = []
        base.opened_anew = self.opened_anew
        # Versions of transactions that were collected without being closed. Their finaliser runs anywhere, also while
        # this thread holds the lock, so it only leaves a note here.
        self.orphans: deque[int] = deque()
        clock = world.clock
        self._boot_at_open = clock.boot()
        self._version_at_open = base.version

    def handle(self) -> Handle:
        """For an engine more."""
        handle = Handle(self)
        self._handles.append(handle)
        handle.failure = self.failure
        return handle

    def give_up(self, handle: Handle, error: RecordLayerError) -> None:
        """That engine is closed, the file stays open for others: its transactions and watches are told."""
        handle.failure = error
        self._handles.remove(handle)
        self.watches.fail_all(error, owner=handle)

    def fail(self, error: RecordLayerError) -> None:
        """`error` answers every operation from now on."""
        self.failure = error
        for handle in self._handles:
            handle.failure = error

    def next_version(self) -> int:
        """The version of the next commit: time in microseconds since the file was opened, and always above the last."""
        elapsed = int((self.world.clock.boot() - self._boot_at_open) * 1_000_000)
        return max(self.published + 1, self._version_at_open + elapsed)

    def enter(self, now: float) -> int:
        """Begin to read the newest version; `leave` it afterwards."""
        with self.lock:
            version = self.published
            self.readers.enter(version, now)
        if self.failure is not None:
            self._refuse(version)
        return version

    def enter_at(self, version: int, now: float) -> None:
        """Begin to read a given version.  Raises  TooOld, FutureVersion."""
        with self.lock:
            if version > self.published:
                raise FutureVersion(read_version=version, newest=self.published)
            if version != self.published and not self.readers.reads(version):
                raise TooOld(read_version=version)
            self.readers.enter(version, now)
        if self.failure is not None:
            self._refuse(version)

    def _refuse(self, version: int) -> None:
        assert self.failure is not None
        self.leave(version)
        raise self.failure.again()

    def leave(self, version: int) -> None:
        with self.lock:
            self.readers.leave(version)

    def newest(self, key: bytes) -> bytes | None:
        """The newest value of a key; what watches compare with."""
        return self.base.get(key)

    def start_over(self, version: int) -> None:
        """Publish what the base holds, at `version`, and forget every older version: when a commit's own bookkeeping
        was interrupted, and when the file was opened anew and turned out to hold a commit in doubt."""
        with self.lock:
            self.readers.give_up_below(version)
            self.window.start_over(version)
            self.ranges = RangeVersions()
            self.published = version

    def opened_anew(self, version: int) -> None:
        if version != self.published:
            self.start_over(version)

    def die_in_child(self) -> None:
        """After a fork: every inherited handle answers with OpenedBeforeFork."""
        error = OpenedBeforeFork(path=self.path)
        self.fail(error)
        self.lock = threading.Lock()  # another thread of the parent may have held it
        self.watches.die_in_child(error)

    def shut(self) -> None:
        error = Closed(path=self.path, hint="open the database again")
        self.fail(error)
        self.watches.fail_all(error)
