"""The contract's Transaction over one of the C client's.

The client reports a bad write only at the next read or at the commit, and is unusable from then on; the contract wants
it at once. So keys, values, ranges and options are checked here first, with the same rules, and the client never
sees a bad one. For the same reason this keeps track of the few states that forbid a call: closed, cancelled,
committing, read version fixed, something read or written.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import byref, c_int64

from recordlayer.errors import (
    Cancelled,
    InvalidOperation,
    InvalidOption,
    ReadVersionAlreadySet,
    RecordLayerError,
    TransactionError,
    UsedDuringCommit,
    VersionInvalid,
)
from recordlayer.kv import legal
from recordlayer.kv.engine import (
    END_OF_KEYS,
    KEY_LIMIT,
    METADATA_VERSION_KEY,
    VALUE_LIMIT,
    ConflictKind,
    MutationType,
    OptionValue,
    StreamingMode,
    TransactionOption,
    read_each,
)
from recordlayer.kv.fdb import futures
from recordlayer.kv.fdb.errors import error_of
from recordlayer.kv.fdb.native import Native, Pointer, option_bytes
from recordlayer.kv.fdb.reading import MOST, Reading
from recordlayer.kv.mutations import Write, write_each
from recordlayer.kv.option_values import Checked, transaction_option
from recordlayer.waiting.waitable import Failed, Ready, Waitable

_CONFLICTS = b"\xff\xff/transaction/conflicting_keys/"


class FdbTransaction(Reading):
    """One transaction on a cluster."""

    # -- writing

    def set(self, key: bytes, value: bytes) -> None:
        pointer = self._writable()
        # The usual case first: writes are many, and this is most of what they cost here.
        if not (
            isinstance(key, bytes)
            and isinstance(value, bytes)
            and key < END_OF_KEYS
            and len(key) <= KEY_LIMIT
            and len(value) <= VALUE_LIMIT
        ):
            legal.check_set(key, value, system=self._writes_system)
        self._touched = True
        self._native.transaction_set(pointer, key, len(key), value, len(value))

    def clear(self, key: bytes) -> None:
        pointer = self._writable()
        legal.check_clear(key, system=self._writes_system)
        self._touched = True
        self._native.transaction_clear(pointer, key, len(key))

    def clear_range(self, begin: bytes, end: bytes) -> None:
        pointer = self._writable()
        begin, end = legal.check_range(begin, end, system=self._writes_system)
        self._touched = self._touched or begin < end
        self._native.transaction_clear_range(pointer, begin, len(begin), end, len(end))

    def atomic(self, kind: MutationType, key: bytes, operand: bytes) -> None:
        pointer = self._writable()
        legal.check_atomic(kind, key, operand, system=self._writes_system)
        self._touched = True
        self._native.transaction_atomic_op(pointer, key, len(key), operand, len(operand), kind)

    def write_many(self, writes: Sequence[Write]) -> None:
        write_each(self, writes)

    def add_conflict_range(self, kind: ConflictKind, begin: bytes, end: bytes) -> None:
        pointer = self._writable()
        if (begin, end) != (METADATA_VERSION_KEY, METADATA_VERSION_KEY + b"\0"):
            system = self._reads_system if kind == ConflictKind.READ else self._writes_system
            begin, end = legal.check_range(begin, end, system=system)
        self._touched = self._touched or (kind == ConflictKind.WRITE and begin < end)
        self._check(self._native.transaction_add_conflict_range(pointer, begin, len(begin), end, len(end), kind))

    def add_read_conflict_keys(self, keys: Sequence[bytes]) -> None:
        read_each(self, keys)

    # -- ending

    def commit(self) -> Waitable[None]:
        handle = self._handle
        if handle is None or self._engine.failure is not None:
            return Failed(self._refusal())
        self._committing = True
        return self.pending(self._native.transaction_commit(handle.pointer), futures.nothing)

    def on_error(self, error: BaseException) -> Waitable[None]:
        handle = self._handle
        if handle is None or self._engine.failure is not None:
            return Failed(self._refusal())
        if not isinstance(error, TransactionError):
            self.cancel()
            return Failed(error)

        def outcome(native: Native, pointer: Pointer) -> None:
            code = native.future_get_error(pointer)
            if not code:
                self._begin_anew()
            elif code == error.number:
                raise error
            else:
                raise error_of(native, code)

        return self.pending(self._native.transaction_on_error(handle.pointer, error.number), outcome)

    def reset(self) -> None:
        self._native.transaction_reset(self.pointer)
        self._begin_anew()

    def cancel(self) -> None:
        if self._handle is not None and self._engine.failure is None:
            self._native.transaction_cancel(self._handle.pointer)
            self._cancelled = True

    def close(self) -> None:
        self._version = self.committed_version()
        handle, self._handle = self._handle, None
        # A commit under way goes on, and keeps the transaction for itself.
        if handle is not None and not self._committing and not self._owner.forked:
            self._native.transaction_cancel(handle.pointer)

    # -- versions

    def read_version(self) -> Waitable[int]:
        handle = self._handle
        if handle is None or self._engine.failure is not None:
            return Failed(self._refusal())
        self._versioned = True
        return self.pending(self._native.transaction_get_read_version(handle.pointer), futures.number)

    def set_read_version(self, version: int) -> None:
        pointer = self._writable()
        if not isinstance(version, int) or version <= 0:
            raise VersionInvalid(version=version, hint="a read version is a positive integer")
        if self._versioned:
            raise ReadVersionAlreadySet(hint="set it before the first read")
        self._versioned = True
        self._native.transaction_set_read_version(pointer, version)

    def committed_version(self) -> int:
        version = c_int64(self._version)
        if self._committing and self._handle is not None and not self._owner.forked:
            self._check(self._native.transaction_get_committed_version(self._handle.pointer, byref(version)))
        return version.value

    def versionstamp(self) -> Waitable[bytes]:
        handle = self._handle
        if handle is None or self._engine.failure is not None:
            return Failed(self._refusal())
        return self.pending(self._native.transaction_get_versionstamp(handle.pointer), futures.key)

    def approximate_size(self) -> Waitable[int]:
        handle = self._handle
        if handle is None or self._engine.failure is not None:
            return Failed(self._refusal())
        return self.pending(self._native.transaction_get_approximate_size(handle.pointer), futures.number)

    def conflicting_ranges(self) -> Waitable[list[tuple[bytes, bytes]]]:
        # The client keeps the last report over resets: it is this commit's only if one was asked for.
        if not self._committing or not (self._reports or self._engine.reports):
            return Ready([])
        try:
            started = self.start_range(
                legal.as_selector("begin", _CONFLICTS),
                legal.as_selector("end", _CONFLICTS + b"\xff\xff"),
                limit=MOST,
                target_bytes=0,
                reverse=False,
                snapshot=False,
                mode=StreamingMode.EXACT,
                iteration=1,
            )
        except RecordLayerError as error:
            return Failed(error)
        return self.pending(started, _conflicts)

    def set_option(self, option: TransactionOption, value: OptionValue = None) -> None:
        pointer = self.pointer
        option, checked = transaction_option(option, value)
        if option == TransactionOption.USE_GRV_CACHE:
            raise InvalidOption(
                option="use_grv_cache", hint="this client keeps no read versions: it is set up without external clients"
            )
        labels = self._labels.after(option, checked)
        if option == TransactionOption.READ_YOUR_WRITES_DISABLE and self._touched:
            raise InvalidOperation(option="read_your_writes_disable", hint="set it before the first read or write")
        set_native_option(self._native, pointer, option, checked)
        self._labels = labels
        if option == TransactionOption.REPORT_CONFLICTING_KEYS:
            self._reports = True
        elif option in (TransactionOption.READ_SYSTEM_KEYS, TransactionOption.ACCESS_SYSTEM_KEYS):
            self._reads_system = True
            self._writes_system = self._writes_system or option == TransactionOption.ACCESS_SYSTEM_KEYS

    # -- inside

    def _writable(self) -> Pointer:
        handle = self._handle
        if handle is None or self._engine.failure is not None:
            raise self._refusal()
        if self._cancelled:
            raise Cancelled
        if self._committing:
            raise UsedDuringCommit
        return handle.pointer

    def _check(self, code: int) -> None:
        if code:
            raise error_of(self._native, code)


def set_native_option(native: Native, transaction: Pointer, option: TransactionOption, checked: Checked) -> None:
    data = option_bytes(checked)
    code = native.transaction_set_option(transaction, option, data, len(data or b""))
    if code:
        raise error_of(native, code)


def _conflicts(native: Native, pointer: Pointer) -> list[tuple[bytes, bytes]]:
    """The ranges between the keys marked 1 and those marked 0."""
    ranges = []
    begin: bytes | None = None
    for key, mark in futures.chunk(native, pointer).rows:
        key = key.removeprefix(_CONFLICTS)
        if mark == b"1":
            begin = key
        elif begin is not None:
            ranges.append((begin, key))
            begin = None
    return ranges
