"""What the parts of a transaction share: its version, its writes, its read conflicts, and whether it may go on."""

from __future__ import annotations

from recordlayer.errors import (
    Cancelled,
    Closed,
    FutureVersion,
    OperationFailed,
    RecordLayerError,
    TimedOut,
    TooOld,
    Unreadable,
    UsedDuringCommit,
)
from recordlayer.kv import legal
from recordlayer.kv.embedded.commit import Committer
from recordlayer.kv.embedded.commit_request import CommitRequest
from recordlayer.kv.embedded.database import Handle
from recordlayer.kv.embedded.options import Settings
from recordlayer.kv.embedded.range_set import NO_RANGES, RangeSet
from recordlayer.kv.embedded.read_point import ReadPoint
from recordlayer.kv.embedded.view import Snapshot, View
from recordlayer.kv.embedded.watches import Watch
from recordlayer.kv.embedded.writes import WriteMap
from recordlayer.waiting.waitable import Failed, Promise

FIRST_BACKOFF = 0.01

CANCELLED = Cancelled()  # only its copies are raised

# What nearly every transaction has: lists that nobody changes.
_NO_WATCHES: list[Watch] = []
_NO_STAMPS: list[Promise[bytes]] = []

OPERATION_ERRORS = (RecordLayerError,)
"""What an operation answers with; anything else is a bug and is raised."""


class TransactionState:
    def __init__(self, handle: Handle, committer: Committer, defaults: Settings) -> None:
        self._handle = handle
        self._file = file = handle.file
        self._committer = committer
        self._defaults = defaults
        self._clock = file.world.clock
        self._start(defaults)
        self._restart_clock()

    def _begin_anew(self, settings: Settings) -> None:
        """Everything that a reset forgets."""
        self._point.leave()
        self._forget_watches(CANCELLED)
        self._start(settings)

    def _start(self, settings: Settings) -> None:
        self._settings = settings
        self._trouble: RecordLayerError | None = None  # answers every operation once set
        self._committing = False
        self._request: CommitRequest | None = None
        self._watching = _NO_WATCHES
        self._stamps = _NO_STAMPS
        self._point = ReadPoint(self._file)
        self._view: View | None = None
        self._writes = WriteMap()
        self._read_keys: dict[bytes, None] = {}  # a set, but one that the garbage collector need not look at
        self._read_ranges: RangeSet = NO_RANGES
        self._quiet_next = False
        self._has_read = False
        self._failed_read: RecordLayerError | None = None  # what a read has met, the commit will
        self._size = 0

    def _restart_clock(self) -> None:
        self._born = self._clock.monotonic()
        self._retries = 0
        self._backoff = FIRST_BACKOFF

    def _check_open(self) -> None:
        if isinstance(self._trouble, Closed):
            raise self._trouble.again()

    def _is_plain(self) -> bool:
        """Whether nothing at all stands in the way: what `_check` looks for, and no timeout."""
        return (
            self._trouble is None
            and not self._committing
            and self._handle.failure is None
            and not self._settings.timeout
        )

    def _check(self) -> None:
        """Raise what stands in the way of reading, writing and committing."""
        self._check_alive()
        if self._committing:
            raise UsedDuringCommit

    def _check_alive(self) -> None:
        """Raise what stands in the way of any operation, also of those that a committed transaction answers."""
        if self._handle.failure is not None:
            raise self._handle.failure.again()
        if self._trouble is not None:
            raise self._trouble.again()
        if self._settings.timeout and self._clock.monotonic() >= self._born + self._settings.timeout:
            self._trouble = TimedOut(timeout_seconds=self._settings.timeout)
            raise self._trouble.again()

    def _reader(self, snapshot: bool) -> Snapshot | View:
        """What reads go through, at this transaction's version."""
        settings = self._settings
        self._has_read = True
        if not settings.read_your_writes or (snapshot and settings.snapshot_reads_see_writes <= 0):
            return self._point.database()
        if self._view is None and self._writes.untouched:
            return self._point.database()
        if self._view is None:
            self._view = View(self._point, self._writes, bypass_unreadable=settings.bypass_unreadable)
        return self._view

    def _end_of_keys(self) -> bytes:
        return legal.END_OF_SYSTEM_KEYS if self._settings.read_system_keys else b"\xff"

    def _await_commit(self, watch: Watch) -> None:
        if not self._watching:
            self._watching = []
        self._watching.append(watch)

    def _forget_watches(self, error: RecordLayerError) -> None:
        for watch in self._watching:
            self._file.watches.forget(watch, error.again())
        for promise in self._stamps:
            promise.fail(error.again())
        self._watching, self._stamps = _NO_WATCHES, _NO_STAMPS

    def _read_failed(self, error: BaseException) -> Failed:
        """The answer of a read. One that failed on what it would have read fails the commit too."""
        if self._failed_read is None and isinstance(error, (Unreadable, TooOld, FutureVersion, OperationFailed)):
            self._failed_read = error
        return Failed(error)
