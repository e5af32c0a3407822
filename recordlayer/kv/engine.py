"""What an engine is: FoundationDB's client API in bytes.

The verbs, limits and error codes are FoundationDB's; `recordlayer.testing.EngineSuite` is the law that every engine
passes. Starting an operation never raises for what depends on data or state: errors come out of the `Waitable`.
Operations without an outcome (`set`, `clear`, ...) raise at once.

Source  FoundationDB's C API and its documentation (api-c, developer guide, known limitations); ReadYourWrites and
        NativeAPI of the client for what those leave open.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from recordlayer.kv.mutations import Write, write_each
from recordlayer.waiting.several import Several
from recordlayer.waiting.waitable import Waitable

KEY_LIMIT = 10_000
VALUE_LIMIT = 100_000
TRANSACTION_LIMIT = 10_000_000
LIFETIME_SECONDS = 5.0
END_OF_KEYS = b"\xff"
METADATA_VERSION_KEY = b"\xff/metadataVersion"
"""The one key at or above `ff` that every transaction may read, and write with a versionstamped value only."""


class KeySelector(NamedTuple):
    """The key `offset` places from the last key below `key` (or at it, with `or_equal`). FoundationDB's rule:
    find the last key `< key` (`<= key` with `or_equal`), then move `offset` keys forward.

    Two things are left open, because FoundationDB's client decides them by what it has cached: whether a walk over more
    than one key counts a key that an uncommitted COMPARE_AND_CLEAR of the same transaction cleared, and whether a range
    between selectors that walk meets a key that is unreadable.
    """

    key: bytes
    or_equal: bool
    offset: int

    @classmethod
    def last_less_than(cls, key: bytes) -> KeySelector:
        return cls(key, False, 0)

    @classmethod
    def last_less_or_equal(cls, key: bytes) -> KeySelector:
        return cls(key, True, 0)

    @classmethod
    def first_greater_than(cls, key: bytes) -> KeySelector:
        return cls(key, True, 1)

    @classmethod
    def first_greater_or_equal(cls, key: bytes) -> KeySelector:
        return cls(key, False, 1)

    def __add__(self, places: object) -> KeySelector:
        if not isinstance(places, int):
            return NotImplemented
        return KeySelector(self.key, self.or_equal, self.offset + places)

    def __sub__(self, places: object) -> KeySelector:
        if not isinstance(places, int):
            return NotImplemented
        return KeySelector(self.key, self.or_equal, self.offset - places)


class MutationType(enum.IntEnum):
    """Atomic operations, with FoundationDB's numbers. AND and MIN are the modern forms (set on an absent key)."""

    ADD = 2
    BIT_AND = 6
    BIT_OR = 7
    BIT_XOR = 8
    APPEND_IF_FITS = 9
    MAX = 12
    MIN = 13
    SET_VERSIONSTAMPED_KEY = 14
    SET_VERSIONSTAMPED_VALUE = 15
    BYTE_MIN = 16
    BYTE_MAX = 17
    COMPARE_AND_CLEAR = 20


class StreamingMode(enum.IntEnum):
    """How much of a range to fetch at a time. A hint about cost, never about the result."""

    WANT_ALL = -2
    ITERATOR = -1
    EXACT = 0
    SMALL = 1
    MEDIUM = 2
    LARGE = 3
    SERIAL = 4


class ConflictKind(enum.IntEnum):
    READ = 0
    WRITE = 1


class TransactionOption(enum.IntEnum):
    """Options of one transaction, with FoundationDB's numbers. Engines accept all of them; those about a cluster's
    network and placement do nothing elsewhere."""

    CAUSAL_WRITE_RISKY = 10
    CAUSAL_READ_RISKY = 20
    NEXT_WRITE_NO_WRITE_CONFLICT_RANGE = 30
    READ_YOUR_WRITES_DISABLE = 51
    READ_SERVER_SIDE_CACHE_ENABLE = 507
    READ_SERVER_SIDE_CACHE_DISABLE = 508
    READ_PRIORITY_NORMAL = 509
    READ_PRIORITY_LOW = 510
    READ_PRIORITY_HIGH = 511
    PRIORITY_SYSTEM_IMMEDIATE = 200
    PRIORITY_BATCH = 201
    ACCESS_SYSTEM_KEYS = 301
    READ_SYSTEM_KEYS = 302
    DEBUG_TRANSACTION_IDENTIFIER = 403
    LOG_TRANSACTION = 404
    TRANSACTION_LOGGING_MAX_FIELD_LENGTH = 405
    SERVER_REQUEST_TRACING = 406
    TIMEOUT = 500
    RETRY_LIMIT = 501
    MAX_RETRY_DELAY = 502
    SIZE_LIMIT = 503
    IDEMPOTENCY_ID = 504
    AUTOMATIC_IDEMPOTENCY = 505
    SNAPSHOT_RYW_ENABLE = 600
    SNAPSHOT_RYW_DISABLE = 601
    LOCK_AWARE = 700
    USED_DURING_COMMIT_PROTECTION_DISABLE = 701
    READ_LOCK_AWARE = 702
    REPORT_CONFLICTING_KEYS = 712
    SPECIAL_KEY_SPACE_RELAXED = 713
    SPECIAL_KEY_SPACE_ENABLE_WRITES = 714
    TAG = 800
    AUTO_THROTTLE_TAG = 801
    SPAN_PARENT = 900
    BYPASS_UNREADABLE = 1100
    USE_GRV_CACHE = 1101


class DatabaseOption(enum.IntEnum):
    """Options of an open database, with FoundationDB's numbers. The transaction options are defaults for those to
    come."""

    LOCATION_CACHE_SIZE = 10
    MAX_WATCHES = 20
    MACHINE_ID = 21
    DATACENTER_ID = 22
    SNAPSHOT_RYW_ENABLE = 26
    SNAPSHOT_RYW_DISABLE = 27
    TRANSACTION_LOGGING_MAX_FIELD_LENGTH = 405
    TRANSACTION_TIMEOUT = 500
    TRANSACTION_RETRY_LIMIT = 501
    TRANSACTION_MAX_RETRY_DELAY = 502
    TRANSACTION_SIZE_LIMIT = 503
    TRANSACTION_CAUSAL_READ_RISKY = 504
    TRANSACTION_BYPASS_UNREADABLE = 700
    TRANSACTION_USED_DURING_COMMIT_PROTECTION_DISABLE = 701
    TRANSACTION_REPORT_CONFLICTING_KEYS = 702


OptionValue = bytes | str | int | None

KeyValue = tuple[bytes, bytes]


@dataclass(slots=True)  # one is made for each read, and frozen ones take three times as long
class Chunk:
    """Part of a range: its pairs in the order asked for, and whether the range goes on behind the last of them.

    `more` may be true with nothing behind; false means that the range, or its limit, is exhausted.
    """

    rows: list[KeyValue]
    more: bool


class _Conflicting(Protocol):
    def add_conflict_range(self, kind: ConflictKind, begin: bytes, end: bytes) -> None: ...


def read_each(transaction: _Conflicting, keys: Iterable[bytes]) -> None:
    """`Transaction.add_read_conflict_keys`, one by one."""
    for key in keys:
        transaction.add_conflict_range(ConflictKind.READ, key, key + b"\x00")


class Transaction(Protocol):
    """One transaction. Used by one thread or task at a time; a closed or cancelled one answers everything with an
    error."""

    local: bool = False
    """Whether a round trip costs nothing: what is read lies on this machine."""

    # -- reading

    def get(self, key: bytes, *, snapshot: bool = False) -> Waitable[bytes | None]:
        """The value of `key`, or None.  Cost  1 read, 1 round trip."""

    def get_many(self, keys: Sequence[bytes], *, snapshot: bool = False) -> Waitable[list[bytes | None]]:
        """The values of several keys, in their order: what `get` of each gives, all at one version. If some cannot be
        read, the error of the first of them.

        As it stands here each is read by itself, all under way together; an engine that can do better does.

        Cost  1 read a key, 1 round trip.
        """
        return Several([self.get(key, snapshot=snapshot) for key in keys])

    def get_key(self, selector: KeySelector, *, snapshot: bool = False) -> Waitable[bytes]:
        """The key that `selector` finds; `b""` before the first key, `ff` behind the last."""

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
        """The first chunk of the pairs with begin <= key < end; in descending order with `reverse`.

        limit         pairs, 0 for all
        target_bytes  bytes of keys and values after which the chunk ends, 0 for the mode's choice; a chunk holds one
                      pair at least
        iteration     1 for the first chunk of a range, 2 for the next...: mode ITERATOR grows with it

        The next chunk begins after the last key (ends before it, in reverse).
        """

    def get_ranges(
        self,
        ranges: Sequence[tuple[bytes, bytes]],
        *,
        limit: int = 0,
        reverse: bool = False,
        snapshot: bool = False,
        mode: StreamingMode = StreamingMode.WANT_ALL,
    ) -> Waitable[list[Chunk]]:
        """The first chunk of each of these ranges, in their order: what `get_range` gives. An engine that can do better
        than reading each by itself does.

        Cost  1 read a range, 1 round trip.
        """
        return each_range(self.get_range, ranges, limit=limit, reverse=reverse, snapshot=snapshot, mode=mode)

    def watch(self, key: bytes) -> Waitable[None]:
        """Becomes ready when the value of `key` is no longer what this transaction saw, at the earliest after the
        commit; outlives the transaction. Cancelling it frees its place among the database's watches."""

    def estimated_range_size(self, begin: bytes, end: bytes) -> Waitable[int]:
        """About how many bytes of keys and values lie in [begin, end). Within a factor, and poor for small ranges."""

    def range_split_points(self, begin: bytes, end: bytes, chunk_size: int) -> Waitable[list[bytes]]:
        """Keys, `begin` first and `end` last, that cut the range into parts of about `chunk_size` bytes."""

    # -- writing

    def set(self, key: bytes, value: bytes) -> None: ...

    def clear(self, key: bytes) -> None: ...

    def clear_range(self, begin: bytes, end: bytes) -> None:
        """Clear the keys with begin <= key < end.  Raises  InvertedRange."""

    def atomic(self, kind: MutationType, key: bytes, operand: bytes) -> None:
        """Change the value of `key` without reading it. The versionstamped kinds end in a 4-byte little-endian offset
        of their 10-byte placeholder (in the key, or in the operand)."""

    def write_many(self, writes: Sequence[Write]) -> None:
        """Several writes of single keys, in their order: what `set`, `clear` and `atomic` do with each. If one cannot
        be done, those before it are done.

        As it stands here each is done by itself; an engine that can do better does.
        """
        write_each(self, writes)

    def add_conflict_range(self, kind: ConflictKind, begin: bytes, end: bytes) -> None:
        """Behave as if [begin, end) had been read, or written."""

    def add_read_conflict_keys(self, keys: Sequence[bytes]) -> None:
        """Behave as if each of these keys had been read. If one is refused, those before it may have been added.

        As it stands here each is added by itself; an engine that can do better does.
        """
        read_each(self, keys)

    # -- ending

    def commit(self) -> Waitable[None]:
        """Make the writes durable, or fail and leave nothing.

        Raises  Conflict (1020), TooOld (1007), MaybeCommitted (1021), TransactionTooLarge (2101), ...
        """

    def on_error(self, error: BaseException) -> Waitable[None]:
        """After a back-off, a reset transaction that may be tried again; or `error` itself, if it cannot be retried or
        the retry limit or the timeout is reached."""

    def reset(self) -> None:
        """A fresh transaction; options set on it are kept only where FoundationDB keeps them (timeout, retry limit and
        maximal delay survive `on_error`, not `reset`)."""

    def cancel(self) -> None:
        """Every operation under way, and every later one until `reset`, fails with Cancelled (1025)."""

    def close(self) -> None:
        """Free what the transaction holds. Nothing may be called afterwards. Never raises, may be called again."""

    # -- versions

    def read_version(self) -> Waitable[int]: ...

    def set_read_version(self, version: int) -> None:
        """Read at this version, which is at most five seconds old.

        Raises  VersionInvalid; ReadVersionAlreadySet after any read, be it of the transaction's own writes.
        """

    def committed_version(self) -> int:
        """The version of this transaction's commit; -1 if it had no writes, or is not committed."""

    def versionstamp(self) -> Waitable[bytes]:
        """The 10 bytes of the commit; ask before committing, awaited after.  Raises  NoCommitVersion without writes."""

    def approximate_size(self) -> Waitable[int]:
        """Bytes of this transaction's mutations and conflict ranges so far, as the size limit counts them."""

    def conflicting_ranges(self) -> Waitable[list[tuple[bytes, bytes]]]:
        """After a Conflict with option REPORT_CONFLICTING_KEYS: the read ranges that conflicted, else empty."""

    def set_option(self, option: TransactionOption, value: OptionValue = None) -> None: ...


def each_range(
    get_range: Callable[..., Waitable[Chunk]], ranges: Sequence[tuple[bytes, bytes]], **how: Any
) -> Several[Chunk]:
    """`get_ranges` with each range read by itself, all under way together."""
    return Several([get_range(begin, end, **how) for begin, end in ranges])


class Engine(Protocol):
    """An open database."""

    url: str

    def begin(self) -> Transaction: ...

    def set_option(self, option: DatabaseOption, value: OptionValue = None) -> None: ...

    def boundary_keys(self, begin: bytes, end: bytes) -> Waitable[Iterable[bytes]]:
        """First keys of the pieces in which the engine stores [begin, end): a hint for parallel work."""

    def close(self) -> None:
        """Let go of files and threads. Transactions still open answer with Closed. May be called again.

        Raises  DiskError  if what was committed without waiting for the disk may not be on it; it is closed all the
                same.
        """
