"""A transaction on its way to its commit.

Whoever waits for it decides who does the work: a blocking caller may lead its group itself, an event loop never does.
"""

from __future__ import annotations

import enum
from typing import Protocol

from recordlayer.errors import OperationCancelled, RecordLayerError
from recordlayer.kv.embedded.range_set import Range, RangeSet
from recordlayer.kv.embedded.readers import Readers
from recordlayer.kv.embedded.writes import WriteMap
from recordlayer.waiting.waitable import Promise, Wake


class Stage(enum.Enum):
    QUEUED = enum.auto()
    TAKEN = enum.auto()  # somebody is applying it
    ENDED = enum.auto()  # taken back


class Leading(Protocol):
    """What a request needs of the committer it was handed to."""

    def kick(self) -> None: ...

    def callers_may_lead(self) -> bool: ...

    def try_lead(self) -> bool: ...

    def withdraw(self, request: CommitRequest, error: RecordLayerError) -> bool: ...


class CommitRequest(Promise[None]):
    """A transaction on its way: what it read, what it writes; afterwards `version` and `stamp`."""

    __slots__ = (
        "committer",
        "conflicting",
        "deadline",
        "read_keys",
        "read_ranges",
        "read_version",
        "reader",
        "report",
        "size",
        "stage",
        "stamp",
        "version",
        "writes",
    )

    def __init__(
        self,
        committer: Leading,
        writes: WriteMap,
        *,
        reader: int | None,
        read_version: int | None,
        read_keys: dict[bytes, None],
        read_ranges: RangeSet,
        size: int,
        deadline: float | None,
        report: bool,
    ) -> None:
        super().__init__()
        self.committer = committer
        self.writes = writes
        self.reader = reader  # the version it still holds among the readers
        self.read_version = read_version  # None: it read nothing that matters
        self.read_keys = read_keys
        self.read_ranges = read_ranges
        self.size = size
        self.deadline = deadline
        self.report = report
        self.stage = Stage.QUEUED
        self.version = -1
        self.stamp = b""
        self.conflicting: list[Range] = []

    def let_go(self, readers: Readers) -> None:
        """Read no longer. Under the lock of the readers."""
        version, self.reader = self.reader, None
        if version is not None:
            readers.leave(version)

    def succeeded(self) -> bool:
        return self._done and self._error is None

    def error(self) -> BaseException | None:
        return self._error

    def when_done(self, call: Wake) -> None:
        """Like `on_ready`, but without hurrying the commit."""
        super().on_ready(call)

    def ready(self) -> bool:
        if not self._done:
            self.committer.kick()  # somebody polls: they will not block on it
        return self._done

    def block(self) -> None:
        committer = self.committer
        while not self._done:
            if not (committer.callers_may_lead() and committer.try_lead()):
                committer.kick()
                super().block()

    def on_ready(self, wake: Wake) -> None:
        super().on_ready(wake)
        if not self._done:
            self.committer.kick()

    def cancel(self) -> None:
        """Take the request back if nobody has begun to apply it; otherwise it goes on."""
        self.committer.withdraw(self, OperationCancelled())
