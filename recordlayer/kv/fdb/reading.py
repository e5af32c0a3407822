"""The reading half of a transaction: what is asked of the C client, and the futures that come back.

Source  FoundationDB's client 7.3; the client checks what is read, so only types are checked here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from recordlayer.errors import (
    Closed,
    InvalidOperation,
    RangeLimitsInvalid,
    RecordLayerError,
    UsedDuringCommit,
    WrongType,
)
from recordlayer.kv import legal
from recordlayer.kv.engine import Chunk, KeySelector, StreamingMode, each_range
from recordlayer.kv.fdb import futures
from recordlayer.kv.fdb.futures import Pending
from recordlayer.kv.fdb.native import Handle, Native, Pointer
from recordlayer.kv.option_values import Labels
from recordlayer.waiting.several import Several
from recordlayer.waiting.waitable import Failed, Waitable

if TYPE_CHECKING:
    from recordlayer.kv.fdb.engine import FdbEngine

T = TypeVar("T")

MOST = (1 << 31) - 1
"""The largest of the C client's integers."""


class Reading:
    local = False

    def __init__(self, engine: FdbEngine, handle: Handle) -> None:
        self._engine = engine
        self._native = engine.client.native
        self._owner = engine.client.owner
        self._handle: Handle | None = handle
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Everything that a reset forgets."""
        self._cancelled = False
        self._committing = False
        self._version = -1  # of the commit, once this is closed
        self._versioned = False
        self._touched = False
        self._reads_system = False
        self._writes_system = False
        self._reports = False
        self._labels = Labels()

    def get(self, key: bytes, *, snapshot: bool = False) -> Waitable[bytes | None]:
        handle = self._handle
        if handle is None or self._engine.failure is not None:
            return Failed(self._refusal())
        if not isinstance(key, bytes):
            return Failed(WrongType(argument="key", got=type(key).__name__, hint="pass bytes"))
        self._versioned = self._touched = True
        return Pending(
            self._native,
            self._owner,
            self._native.transaction_get(handle.pointer, key, len(key), snapshot),
            futures.value,
            handle,
        )

    def get_many(self, keys: Sequence[bytes], *, snapshot: bool = False) -> Waitable[list[bytes | None]]:
        return Several([self.get(key, snapshot=snapshot) for key in keys])

    def get_ranges(
        self,
        ranges: Sequence[tuple[bytes, bytes]],
        *,
        limit: int = 0,
        reverse: bool = False,
        snapshot: bool = False,
        mode: StreamingMode = StreamingMode.WANT_ALL,
    ) -> Waitable[list[Chunk]]:
        return each_range(self.get_range, ranges, limit=limit, reverse=reverse, snapshot=snapshot, mode=mode)

    def get_key(self, selector: KeySelector, *, snapshot: bool = False) -> Waitable[bytes]:
        try:
            pointer = self.pointer
            key, or_equal, offset = legal.as_selector("selector", selector)
        except RecordLayerError as error:
            return Failed(error)
        self._versioned = self._touched = True
        started = self._native.transaction_get_key(pointer, key, len(key), or_equal, _clamped(offset), snapshot)
        return self.pending(started, futures.key)

    def get_range(
        self,
        begin: bytes | KeySelector,
        end: bytes | KeySelector,
        *,
        limit: int = 0,
        target_bytes: int = 0,
        reverse: bool = False,
        snapshot: bool = False,
        mode: StreamingMode = StreamingMode.ITERATOR,
        iteration: int = 1,
    ) -> Waitable[Chunk]:
        try:
            started = self.start_range(
                legal.as_selector("begin", begin),
                legal.as_selector("end", end),
                limit=limit,
                target_bytes=target_bytes,
                reverse=reverse,
                snapshot=snapshot,
                mode=mode,
                iteration=iteration,
            )
        except RecordLayerError as error:
            return Failed(error)
        return self.pending(started, futures.chunk)

    def start_range(
        self,
        begin: KeySelector,
        end: KeySelector,
        *,
        limit: int,
        target_bytes: int,
        reverse: bool,
        snapshot: bool,
        mode: StreamingMode,
        iteration: int,
    ) -> Pointer:
        """The future of a chunk, for whoever takes something else than the chunk from it."""
        pointer = self.pointer
        if limit < 0 or target_bytes < 0:
            raise RangeLimitsInvalid(limit=limit, target_bytes=target_bytes, hint="0 is no limit; none may be negative")
        if begin.offset < end.offset or _bound(begin) < _bound(end):  # otherwise the client reads nothing
            self._versioned = self._touched = True
        future: Pointer = self._native.transaction_get_range(
            pointer,
            begin.key,
            len(begin.key),
            begin.or_equal,
            _clamped(begin.offset),
            end.key,
            len(end.key),
            end.or_equal,
            _clamped(end.offset),
            min(limit, MOST),
            min(target_bytes, MOST),
            mode,
            min(iteration, MOST),
            snapshot,
            reverse,
        )
        return future

    def watch(self, key: bytes) -> Waitable[None]:
        try:
            pointer = self.pointer
            legal.check_bytes("key", key)
        except RecordLayerError as error:
            return Failed(error)
        self._versioned = self._touched = True
        # It keeps nothing: once committed it outlives the transaction, and until then the transaction's end is its own.
        return Pending(
            self._native, self._owner, self._native.transaction_watch(pointer, key, len(key)), futures.nothing, None
        )

    def estimated_range_size(self, begin: bytes, end: bytes) -> Waitable[int]:
        try:
            pointer = self.pointer
            begin, end = legal.check_range(begin, end, system=True)
        except RecordLayerError as error:
            return Failed(error)
        if self._committing:  # the client throws this one where nobody catches it
            return Failed(UsedDuringCommit())
        started = self._native.transaction_get_estimated_range_size_bytes(pointer, begin, len(begin), end, len(end))
        return self.pending(started, futures.number)

    def range_split_points(self, begin: bytes, end: bytes, chunk_size: int) -> Waitable[list[bytes]]:
        try:
            pointer = self.pointer
            begin, end = legal.check_range(begin, end, system=self._reads_system)
            if chunk_size <= 0:
                raise InvalidOperation(chunk_size=chunk_size, hint="a chunk has one byte at least")
        except RecordLayerError as error:
            return Failed(error)
        started = self._native.transaction_get_range_split_points(pointer, begin, len(begin), end, len(end), chunk_size)
        return self.pending(started, futures.keys)

    # -- inside

    @property
    def pointer(self) -> Pointer:
        """The C client's transaction.  Raises  Closed, OpenedBeforeFork."""
        if self._handle is None or self._engine.failure is not None:
            raise self._refusal()
        return self._handle.pointer

    def pending(self, future: Pointer, take: Callable[[Native, Pointer], T]) -> Pending[T]:
        """A future of this transaction, which stays alive until the result is taken."""
        return Pending(self._native, self._owner, future, take, self._handle)

    def _refusal(self) -> RecordLayerError:
        """Why nothing can be asked of this transaction."""
        if self._engine.failure is not None:
            return self._engine.failure.again()
        return Closed(hint="begin another transaction")


def _bound(selector: KeySelector) -> bytes:
    return selector.key + b"\0" if selector.or_equal else selector.key


def _clamped(offset: int) -> int:
    return max(-MOST, min(offset, MOST))
