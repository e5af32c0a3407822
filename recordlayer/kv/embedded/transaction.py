"""The contract's Transaction over an open file: how one ends, begins anew, and what its versions are.

What suspends is the commit, the back-off after an error and watches.

Source  FoundationDB's client 7.3 (ReadYourWritesTransaction, Transaction::onError): the same states and back-off.
"""

from __future__ import annotations

from recordlayer.errors import (
    Cancelled,
    Closed,
    InvalidOperation,
    NoCommitVersion,
    ReadVersionAlreadySet,
    TimedOut,
    TransactionError,
    TransactionInvalidVersion,
    TransactionReadOnly,
    TransactionTooLarge,
    VersionInvalid,
)
from recordlayer.kv.embedded.commit_request import CommitRequest, Stage
from recordlayer.kv.embedded.commit_size import commit_size
from recordlayer.kv.embedded.options import after_error, with_option
from recordlayer.kv.embedded.transaction_state import CANCELLED, OPERATION_ERRORS
from recordlayer.kv.embedded.writing import Writing
from recordlayer.kv.engine import OptionValue, TransactionOption
from recordlayer.waiting.timer import sleep
from recordlayer.waiting.waitable import Failed, Promise, Ready, Waitable

_BACKOFF_GROWTH = 2.0
_FUTURE_VERSION_DELAY = 0.01
_RETRIED_AT_ONCE = (1007, 1009)
_CLOSED = Closed(hint="begin another transaction")  # only its copies are raised


class EmbeddedTransaction(Writing):
    """One transaction on an open file."""

    # -- ending

    def commit(self) -> Waitable[None]:
        try:
            if not self._is_plain():
                self._check()
            self._committing = True
            if self._failed_read is not None:
                # Nothing is sent: versionstamps and watches hear of it when the transaction begins anew.
                return Failed(self._failed_read.again())
            writes = self._writes
            if writes.empty:
                self._point.leave()
                self._settle(None)
                return Ready(None)
            if self._settings.read_only:
                raise TransactionReadOnly(hint="read_lock_aware is for transactions that only read")
            limit = self._settings.size_limit
            if 2 * self._size > limit:  # what is sent is at most twice that: clears may be split
                merges = self._settings.read_your_writes
                size = commit_size(writes, self._read_keys, self._read_ranges) if merges else self._size
                if size > limit:
                    raise TransactionTooLarge(size=size, limit=limit)
            reads = bool(self._read_keys or self._read_ranges.starts)
            if reads and self._point.version is None:
                self._point.take()  # explicit conflict ranges alone have none so far
            if self._point.version is not None:
                self._point.check()  # however blind the writes: FoundationDB commits nothing from a version too old
        except OPERATION_ERRORS as error:
            self._settle(error)
            return Failed(error)
        request = CommitRequest(
            self._committer,
            writes,
            reader=self._point.hand_over(),
            read_version=self._point.version if reads else None,
            read_keys=self._read_keys,
            read_ranges=self._read_ranges,
            size=self._size,
            deadline=self._born + self._settings.timeout if self._settings.timeout else None,
            report=self._settings.report_conflicts,
        )
        self._request = request
        if self._watching or self._stamps:
            request.when_done(self._finished)
        self._committer.submit(request)
        return request

    def on_error(self, error: BaseException) -> Waitable[None]:
        if self._handle.failure is not None:
            return Failed(self._handle.failure.again())
        if self._trouble is not None:
            return Failed(self._trouble.again())
        settings = self._settings
        limited = settings.retry_limit != -1 and self._retries >= settings.retry_limit
        self._retries += 1
        if limited or not isinstance(error, TransactionError) or not error.retryable:
            self._trouble = Cancelled(hint="the error before was not retried: reset the transaction, or begin another")
            return Failed(error)
        if error.number in _RETRIED_AT_ONCE:
            delay = min(_FUTURE_VERSION_DELAY, settings.max_retry_delay)
        else:
            delay = min(self._backoff, settings.max_retry_delay) * self._file.world.random.random()
            self._backoff = min(self._backoff * _BACKOFF_GROWTH, settings.max_retry_delay)
        if settings.timeout and self._clock.monotonic() + delay >= self._born + settings.timeout:
            self._trouble = TimedOut()
            return Failed(self._trouble.again())
        self._begin_anew(after_error(settings, self._defaults))
        return sleep(delay, self._file.world)

    def reset(self) -> None:
        self._begin_anew(self._defaults)
        self._restart_clock()

    def cancel(self) -> None:
        if self._trouble is None:
            self._trouble = CANCELLED
            if self._request is not None and self._request.stage is Stage.QUEUED:
                self._committer.withdraw(self._request, CANCELLED.again())
            self._point.leave()
            if self._watching or self._stamps:
                self._forget_watches(CANCELLED)

    def close(self) -> None:
        if self._trouble is None or not isinstance(self._trouble, Closed):
            self.cancel()
            self._trouble = _CLOSED

    def read_version(self) -> Waitable[int]:
        try:
            self._check_alive()
            return Ready(self._point.take())
        except OPERATION_ERRORS as error:
            return Failed(error)

    def set_read_version(self, version: int) -> None:
        self._check()
        if not isinstance(version, int) or version <= 0:
            raise VersionInvalid(version=version, hint="a read version is a positive integer")
        if self._has_read:  # also what its own writes answered
            raise ReadVersionAlreadySet(hint="set it before the first read")
        self._point.set(version)

    def committed_version(self) -> int:
        request = self._request
        return request.version if request is not None and request.succeeded() else -1

    def versionstamp(self) -> Waitable[bytes]:
        try:
            self._check()
            promise: Promise[bytes] = Promise()
            self._stamps = [*self._stamps, promise]
            return promise
        except OPERATION_ERRORS as error:
            return Failed(error)

    def approximate_size(self) -> Waitable[int]:
        try:
            self._check_alive()
            return Ready(self._size)
        except OPERATION_ERRORS as error:
            return Failed(error)

    def conflicting_ranges(self) -> Waitable[list[tuple[bytes, bytes]]]:
        request = self._request
        reported = request is not None and self._settings.report_conflicts
        return Ready(list(request.conflicting) if reported and request is not None else [])

    def set_option(self, option: TransactionOption, value: OptionValue = None) -> None:
        self._check_open()
        if option == TransactionOption.READ_YOUR_WRITES_DISABLE and (self._has_read or not self._writes.empty):
            raise InvalidOperation(option="read_your_writes_disable", hint="set it before the first read or write")
        settings = with_option(self._settings, option, value)
        if option == TransactionOption.NEXT_WRITE_NO_WRITE_CONFLICT_RANGE:
            self._quiet_next = True
        if settings is not self._settings:
            self._settings = settings
            self._view = None

    def _finished(self) -> None:
        request = self._request
        if request is not None:
            self._settle(request.error())

    def _settle(self, error: BaseException | None) -> None:
        """The commit has its outcome: start the watches, answer who waits for the versionstamp."""
        watching, self._watching = self._watching, []
        for watch in watching:
            if error is None:
                self._file.watches.start(watch, self._file.newest)
            else:
                self._file.watches.forget(watch, error)
        stamps, self._stamps = self._stamps, []
        for promise in stamps:
            if error is not None:
                promise.fail(TransactionInvalidVersion())
            elif self._request is None:
                promise.fail(NoCommitVersion())
            else:
                promise.resolve(self._request.stamp)
