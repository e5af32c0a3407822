"""Group commit: whoever holds the lead takes the waiting transactions, checks and applies them in order in one write
transaction of the base, syncs once, publishes the version and wakes the others.

All members share one commit version and are told apart by their order in it, which is the second part of their
versionstamps. A member that conflicts is left out; the others do not notice.

Who leads  A blocking caller leads itself when the commit does not wait for the disk, or when it is not the main thread;
           otherwise a thread of the file's own does: signals are handled by the main thread only, and a main thread
           inside fsync would not hear Ctrl-C. A caller on an event loop never leads.
Outcomes   An error before LMDB writes its meta page leaves everything as it was. If writing or syncing the meta page
           fails, the outcome is MaybeCommitted, and the file is opened anew. So is that of a member whose time is up
           while it is being applied. A sync of relaxed commits that fails is told to the next commit, which is refused.
"""

from __future__ import annotations

import threading
from collections import deque
from functools import partial

import lmdb

from recordlayer.errors import (
    Closed,
    DiskFull,
    EngineError,
    MapFull,
    MaybeCommitted,
    RecordLayerError,
    TimedOut,
)
from recordlayer.kv.embedded.apply import apply
from recordlayer.kv.embedded.base_write import BaseWrite
from recordlayer.kv.embedded.bell import Bell
from recordlayer.kv.embedded.commit_request import CommitRequest, Stage
from recordlayer.kv.embedded.conflicts import refusal
from recordlayer.kv.embedded.database import OpenFile
from recordlayer.kv.embedded.disk_errors import engine_error
from recordlayer.kv.embedded.gathering import Gathering
from recordlayer.kv.embedded.publish import publish
from recordlayer.kv.embedded.undisturbed import report, tell, without_interrupts
from recordlayer.kv.embedded.window import Pending

_GROUP_REQUESTS = 256
_GROUP_BYTES = 1 << 20  # a group's work holds up everybody: a few tens of milliseconds
_SYNC_SECONDS = 0.25
_HOLD_SECONDS = 2.0  # how long a fork waits for a commit
_NO_VERSION = -1
_UNSYNCED = (
    "this commit was not made, the next one tries again; what was committed since the last sync that went well is "
    "there now but may not be on the disk: make a `compact` copy, or rebuild it if a later `verify` finds damage"
)
_CLOSE_SECONDS = 10.0  # how long closing waits for a commit that does not end


class Committer:
    def __init__(self, file: OpenFile, *, durable: bool, syncs: bool) -> None:
        self._file = file
        self._durable = durable
        self._syncs = syncs and not durable  # relaxed, but in a file that outlives the process
        self._queue: deque[CommitRequest] = deque()
        self._group: list[CommitRequest] = []  # being committed
        self._mutex = threading.Lock()  # guards the queue and the stages
        self._leading = threading.Lock()
        self._turn = threading.Lock()  # held by who waits for the lead to keep others from it: it is not fair
        self._bell = Bell()
        self._never = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._dirty = False
        self._newly_dirty = False
        self._gathering = Gathering(file)
        self._synced = file.published  # relaxed: what is known to be on disk
        self.unsynced: EngineError | None = None
        """Why what a relaxed database acknowledged may not be on disk."""
        self._told = True  # somebody who commits has heard of it

    # -- asking for a commit

    def submit(self, request: CommitRequest) -> None:
        if request.deadline is not None:
            clock = self._file.world.clock
            left = max(0.0, request.deadline - clock.monotonic())
            request.when_done(clock.call_later(left, partial(self._time_is_up, request)))
        with self._mutex:
            refused = self._closing
            if not refused:
                self._queue.append(request)
                waiting = len(self._queue)
        if refused:
            self._end(request, Closed(path=self._file.path, hint="open the database again"))
        elif self._durable:
            self._gathering.came(waiting)
            if not self.callers_may_lead():
                self.kick()

    def withdraw(self, request: CommitRequest, error: RecordLayerError) -> bool:
        """Take a request back, which ends with `error`; False if somebody has begun to apply it."""
        with self._mutex:
            queued = request.stage is Stage.QUEUED
            if queued:
                request.stage = Stage.ENDED
                self._queue.remove(request)
        if queued:
            self._end(request, error)
        return queued

    def _time_is_up(self, request: CommitRequest) -> None:
        if not self.withdraw(request, TimedOut()):
            request.fail(MaybeCommitted(reason="the transaction's time was up while it was committed"))

    def callers_may_lead(self) -> bool:
        return not self._durable or threading.get_ident() != threading.main_thread().ident

    def try_lead(self) -> bool:
        """Lead one group in this thread; False if somebody else leads."""
        if threading.get_ident() == threading.main_thread().ident:
            return without_interrupts(self._try_lead)
        return self._try_lead()

    def _try_lead(self) -> bool:
        if self._turn.locked() or not self._leading.acquire(blocking=False):
            return False
        try:
            self._lead()
        finally:
            self._leading.release()
            if self._queue or self._newly_dirty:
                self._newly_dirty = False
                self.kick()
        return True

    # -- the file's own thread

    def kick(self) -> None:
        """Have the file's thread lead, or sync, soon."""
        if self._thread is None:
            with self._mutex:
                if self._thread is None and not self._closing:
                    thread = threading.Thread(target=self._run, name="recordlayer-commit", daemon=True)
                    thread.start()
                    self._thread = thread
        self._bell.ring()

    def _run(self) -> None:
        clock = self._file.world.clock
        sync_at: float | None = None
        while True:
            self._bell.wait(None if sync_at is None else sync_at - clock.monotonic())
            while self._queue and not self._closing:
                if self._durable:
                    self._gathering.wait(self._queue)
                with self._turn:
                    pass
                with self._leading:
                    self._lead()
            if self._closing:
                return
            if self._dirty and sync_at is None:
                sync_at = clock.monotonic() + _SYNC_SECONDS
            elif sync_at is not None and clock.monotonic() >= sync_at:
                sync_at = None
                self._sync()

    def _sync(self) -> None:
        """Relaxed commits reach the disk from here. Never syncing lets the system pile up writes until it stalls."""
        self._dirty = False  # commits from here on ask for the next sync
        version = self._file.published
        try:
            self._file.base.sync()
        except EngineError as failed:
            error = type(failed)(**failed.fields, on_disk_up_to=self._synced, committed_up_to=version, hint=_UNSYNCED)
            error.__cause__ = failed.__cause__
            with self._mutex:
                self.unsynced, self._told = error, False
        else:
            with self._mutex:
                self._synced = version
                if self._told:
                    self.unsynced = None

    def _refuses_unsynced(self, group: list[CommitRequest]) -> bool:
        """After a sync that failed: the next group hears of it, and later ones are not taken before a sync went well.
        Asked a second time a system that could not write says that all is well: so the first answer must not get lost.
        """
        if self._told:
            self._sync()
        error = self.unsynced
        if error is None:
            return False
        self._refuse_all(group, error)
        self._told = True
        return True

    def close(self) -> bool:
        """Finish what is queued and end the thread; `unsynced` tells what may not be on disk.

        False if a commit under way does not end: it must be left alone.
        """
        with self._mutex:
            self._closing = True
        self._bell.ring()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSE_SECONDS)
        if not self._leading.acquire(timeout=_CLOSE_SECONDS):
            return False
        try:
            while self._queue:
                self._lead()
            if self._dirty or (self.unsynced is not None and self._told):
                self._sync()
        finally:
            self._leading.release()
        return True

    # -- around a fork

    def hold_still(self, seconds: float = _HOLD_SECONDS) -> bool:
        """Let nobody commit until `go_on`. False if a commit under way does not end in time."""
        if not self._turn.acquire(timeout=seconds):
            return False
        try:
            return self._leading.acquire(timeout=seconds)
        finally:
            self._turn.release()

    def go_on(self) -> None:
        self._leading.release()

    def die_in_child(self, error: RecordLayerError) -> None:
        """Nobody commits any more; who waits is told."""
        self._mutex, self._leading, self._turn = threading.Lock(), threading.Lock(), threading.Lock()
        self._thread = None
        self._bell = Bell()
        self._closing = True
        waiting, self._queue = [*self._queue, *self._group], deque()
        for request in waiting:
            request.reader = None
            request.fail(error.again())

    # -- leading

    def _take(self) -> list[CommitRequest]:
        group: list[CommitRequest] = []
        size = 0
        with self._mutex:
            if len(self._queue) == 1:
                request = self._queue.popleft()
                request.stage = Stage.TAKEN
                return [request]
            while self._queue and len(group) < _GROUP_REQUESTS and size < _GROUP_BYTES:
                request = self._queue.popleft()
                request.stage = Stage.TAKEN
                group.append(request)
                size += request.size
        return group

    def _lead(self) -> None:
        group = self._group = self._take()
        if group:
            if self._durable:
                self._gathering.taken(len(group))
            delay = self._commit(group)
            self._group = []
            if delay:
                self._never.wait(delay)

    def _commit(self, group: list[CommitRequest]) -> float:
        """Commit a group; each member has its outcome afterwards. Seconds to wait before the next."""
        file = self._file
        if file.failure is not None:
            return self._refuse_all(group, file.failure)
        if self.unsynced is not None and self._refuses_unsynced(group):
            return 0.0
        accepted: list[CommitRequest] = []
        refused: list[tuple[CommitRequest, RecordLayerError]] = []
        writing: BaseWrite | None = None
        pending = Pending(_NO_VERSION)
        delay = 0.0
        late: BaseException | None = None
        try:
            if file.base.broken is not None:
                file.base.reopen()
            version = pending.version = file.next_version()
            for request in group:
                error = refusal(file, request, pending)
                if error is not None:
                    refused.append((request, error))
                    continue
                if writing is None:
                    writing = file.base.begin_write()
                request.version = version
                request.stamp = version.to_bytes(8, "big") + len(accepted).to_bytes(2, "big")
                apply(writing, request, pending)
                accepted.append(request)
            if writing is not None:
                file.window.pending = pending
                writing.commit(version)
                delay = publish(file, pending, accepted)
        except (lmdb.Error, EngineError) as failed:
            if writing is not None:
                writing.abort()
            if writing is not None and writing.committing and file.base.refuses(failed):
                self._in_doubt(pending, accepted, failed)
            else:
                file.window.pending = None
                return self._nothing_happened(group, failed)
        except BaseException as interrupt:
            if writing is not None:
                writing.abort()
            happened = self._happened(pending)
            if happened is False:
                file.window.pending = None
                return self._try_again(group, interrupt)
            late = interrupt
            if happened:
                file.start_over(pending.version)
            else:
                self._end_in_doubt(accepted, interrupt)
        if accepted and self._syncs and not self._dirty:
            self._dirty = self._newly_dirty = True
        for request in accepted:
            try:  # as `tell` does, in fewer steps
                request.resolve(None)
            except Exception as error:
                report(error)
        for request, reason in refused:
            self._end(request, reason)
        if accepted and file.watches.any:
            tell(file.watches.changed, pending.undo, file.newest)
        if isinstance(late, Exception):
            report(late)
        elif late is not None:
            raise late
        return delay

    # -- when it does not go well

    def _in_doubt(self, pending: Pending, accepted: list[CommitRequest], error: Exception) -> None:
        """LMDB's meta page may or may not be on disk. Open the file anew and go on from what it shows; the members are
        told that nobody knows: a power cut could still show the other state."""
        file = self._file
        try:
            file.base.reopen()  # publishes what the file shows, if that is this commit
        except EngineError:
            pass  # the next commit tries again, and reads say what is wrong
        file.window.pending = None
        self._end_in_doubt(accepted, error)

    def _end_in_doubt(self, requests: list[CommitRequest], error: BaseException) -> None:
        for request in requests:
            failure = MaybeCommitted(path=self._file.path, reason=str(error))
            failure.__cause__ = error
            self._end(request, failure)

    def _nothing_happened(self, group: list[CommitRequest], error: Exception) -> float:
        failure = engine_error(error, self._file.path)
        if isinstance(failure, MapFull) and self._file.base.grow():
            return self._commit(group)
        if len(group) > 1 and isinstance(failure, (MapFull, DiskFull)):
            return sum(self._commit([request]) for request in group)  # there may be room for the others
        if failure is not error:
            failure.__cause__ = error
        return self._refuse_all(group, failure)

    def _happened(self, pending: Pending) -> bool | None:
        """Whether a commit whose bookkeeping was interrupted is in the base; None if that cannot be known."""
        try:
            return self._file.base.stored_version() == pending.version
        except EngineError as error:
            self._file.fail(error)
            return None

    def _try_again(self, group: list[CommitRequest], interrupt: BaseException) -> float:
        """Somebody else leads these then; if the fault is in one of them, that one is told."""
        if not isinstance(interrupt, Exception):
            with self._mutex:
                for request in reversed(group):
                    request.stage = Stage.QUEUED
                    self._queue.appendleft(request)
            raise interrupt
        if len(group) > 1:
            return sum(self._commit([request]) for request in group)
        self._end(group[0], interrupt)
        return 0.0

    def _refuse_all(self, group: list[CommitRequest], error: RecordLayerError) -> float:
        for request in group:
            failure = error.again()
            failure.__cause__ = error.__cause__
            self._end(request, failure)
        return 0.0

    def _end(self, request: CommitRequest, error: BaseException) -> None:
        """A request ends with an error: let go of the version it holds, and tell who waits."""
        with self._file.lock:
            request.let_go(self._file.readers)
        tell(request.fail, error)
