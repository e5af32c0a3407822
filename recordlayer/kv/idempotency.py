"""Idempotency keys: work that is applied once, however often it is tried.

A commit may fail with an outcome that nobody knows (1021). Work that has a key records it in its own transaction; every
attempt looks for the key first. If it is there, the work has been applied, by an earlier attempt or an earlier caller.
The look-up is an ordinary read: should an earlier commit arrive late, this attempt conflicts with it and looks again.

Layout  P is the prefix, by default the tuple (("recordlayer", "idempotency"),) packed: 05 02 'recordlayer' 00 02
        'idempotency' 00 00. Its only element is a nested tuple. Directories of key spaces, Java's and ours, have no
        such values, FoundationDB's directory layer keeps to fe and to integers: no store can lie there. Behind P:
        (0, key)                  01, commit's versionstamp (10), milliseconds since 1970 (8), run (8), attempt (2),
                                  the result that the caller recorded
        (1, bucket, time, key)    nothing; time in milliseconds since 1970, bucket is crc32 of the packed key modulo 16
        Integers are big-endian; keys are strings or bytes, packed as tuples are, and differ by type.
Cost    looking: 1 read, 1 round trip; recording: 2 writes; reaping: 16 range reads, and for each batch 1 range read,
        1 clear range and 1 clear for each key
Time    is the wall clock of whoever records. Clocks may differ: keep keys for much longer than they do. It is in 16
        buckets, so that a busy cluster does not write all keys to the end of one range
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from recordlayer.errors import AlreadyApplied, TransactionError, UnknownIdempotencyRecord, UsageError, WrongType
from recordlayer.kv.engine import Engine, MutationType, StreamingMode, Transaction
from recordlayer.observe.events import Place
from recordlayer.waiting.waitable import Waitable
from recordlayer.world import World

Key = bytes | str


class Transactional(Protocol):
    """What a key needs of a transaction: an engine's has it, and a context."""

    def get(self, key: bytes, *, snapshot: bool = False) -> Waitable[bytes | None]: ...

    def set(self, key: bytes, value: bytes) -> None: ...

    def clear(self, key: bytes) -> None: ...

    def atomic(self, kind: MutationType, key: bytes, operand: bytes) -> None: ...


DEFAULT_PREFIX = b"\x05\x02recordlayer\x00\x02idempotency\x00\x00"
BUCKETS = 16
LONGEST_KEY = 1_000  # bytes, packed: small beside the engine's 10,000
LARGEST_RESULT = 50_000  # bytes
_BATCH = 500

_BY_KEY, _BY_TIME = b"\x14", b"\x15\x01"
_FORMAT = b"\x01"
_TEXT, _BYTES = b"\x02", b"\x01"
_PLACE = Place("", "idempotency keys")
_STAMP = slice(1, 11)
_TIME, _RUN, _ATTEMPT, _HEAD = slice(11, 19), slice(19, 27), slice(27, 29), 29
_STAMP_PLACE = (1).to_bytes(4, "little")


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """Work that was applied.

    when          by the clock of whoever applied it
    versionstamp  of the commit: its version in the first 8 bytes, big-endian
    run, attempt  which run of which process, and which attempt of it
    result        what the work recorded for those who come after
    """

    when: datetime
    versionstamp: bytes
    run: bytes
    attempt: int
    result: bytes

    @property
    def version(self) -> int:
        """The version of the commit."""
        return int.from_bytes(self.versionstamp[:8], "big")


class IdempotencyKeys:
    """The keys that are recorded in a database, below `prefix`. Holds no state: make as many as you like."""

    def __init__(self, world: World, prefix: bytes = DEFAULT_PREFIX) -> None:
        if not isinstance(prefix, bytes) or not prefix or prefix >= b"\xff":
            raise UsageError(prefix=prefix, hint="give bytes that sort before ff; every process must use the same")
        self.prefix = prefix
        self._world = world
        self._by_key = prefix + _BY_KEY
        self._by_time = prefix + _BY_TIME

    def generate(self) -> bytes:
        """A key that nobody else has: 16 random bytes."""
        return self._world.random.randbytes(16)

    def claim(self, key: Key) -> Claim:
        """A key for one run of some work, over all its attempts.  Raises  WrongType, UsageError for no such key."""
        return Claim(self, key, self._world.random.randbytes(8))

    def place_of(self, key: bytes) -> Place:
        """For those who count operations by place."""
        return _PLACE

    def describe(self, begin: bytes, end: bytes) -> str:
        """The keys from `begin` up to `end` in words."""
        packed = begin[len(self._by_key) :]
        if not begin.startswith(self._by_key) or packed[-1:] != b"\x00":
            return "idempotency keys"
        name = packed[1:-1].replace(b"\x00\xff", b"\x00")
        return f"idempotency key {name.decode(errors='replace') if packed[:1] == _TEXT else name!r}"

    async def find(self, transaction: Transactional, key: Key, *, snapshot: bool = False) -> Applied | None:
        """What is recorded for a key; None if it was never applied, or reaped since.  Cost  1 read.

        Raises  UnknownIdempotencyRecord if something else lies there.
        """
        value = await transaction.get(self._by_key + packed_key(key), snapshot=snapshot)
        return None if value is None else _parse(value, key)

    def record(self, transaction: Transactional, key: Key, run: bytes, attempt: int, result: bytes = b"") -> None:
        """Have the transaction's commit record the key.  Cost  2 writes."""
        packed = packed_key(key)
        now = int(self._world.clock.wall() * 1000)
        head = _FORMAT + bytes(10) + now.to_bytes(8, "big") + run + attempt.to_bytes(2, "big")
        transaction.atomic(MutationType.SET_VERSIONSTAMPED_VALUE, self._by_key + packed, head + result + _STAMP_PLACE)
        transaction.set(self._in_time(packed, now), b"")

    async def forget(self, transaction: Transactional, key: Key) -> bool:
        """Take a key back, so that its work can be applied anew. Whether it was there.  Cost  1 read, 2 clears."""
        applied = await self.find(transaction, key)
        if applied is None:
            return False
        packed = packed_key(key)
        transaction.clear(self._by_key + packed)
        transaction.clear(self._in_time(packed, round(applied.when.timestamp() * 1000)))
        return True

    async def reap(self, engine: Engine, older_than: timedelta, *, batch: int = _BATCH) -> int:
        """Remove the keys recorded longer ago than `older_than`, in transactions of at most `batch` keys each; how many
        there were. May run anywhere, also several times at once. Work whose key is gone can be applied again.

        Raises  UsageError; what a transaction raises that cannot be retried.
        """
        if not isinstance(older_than, timedelta) or older_than < timedelta(0):
            raise UsageError(older_than=older_than, hint="give a datetime.timedelta of 0 or more")
        if not isinstance(batch, int) or batch < 1:
            raise UsageError(batch=batch, hint="give a whole number of at least 1")
        cutoff = int((self._world.clock.wall() - older_than.total_seconds()) * 1000)
        if cutoff <= 0:
            return 0
        transaction = engine.begin()
        try:
            reaped = 0
            for bucket in range(BUCKETS):
                begin = self._by_time + _integer(bucket)
                reaped += await self._reap_between(transaction, begin, begin + _integer(cutoff), batch)
            return reaped
        finally:
            transaction.close()

    async def _reap_between(self, transaction: Transaction, begin: bytes, end: bytes, batch: int) -> int:
        reaped = 0
        keys: list[bytes] = []
        unsure: list[bytes] = []
        while True:
            try:
                chunk = await transaction.get_range(begin, end, limit=batch, mode=StreamingMode.WANT_ALL)
                keys = [key for key, _ in chunk.rows]
                if unsure and keys[:1] != unsure[:1]:
                    reaped += len(unsure)
                unsure = []
                if not keys:
                    return reaped
                transaction.clear_range(begin, keys[-1] + b"\x00")
                for key in keys:
                    # Whoever records this key anew has seen it cleared: it is still the one that we have read.
                    transaction.clear(self._by_key + key[_behind_integer(key, len(begin)) :])
                await transaction.commit()
            except TransactionError as error:
                unsure = keys if error.maybe_committed else []
                await transaction.on_error(error)
                continue
            reaped += len(keys)
            transaction.reset()
            if len(keys) < batch and not chunk.more:
                return reaped

    def _in_time(self, packed: bytes, now: int) -> bytes:
        return self._by_time + _integer(zlib.crc32(packed) % BUCKETS) + _integer(now) + packed


class Claim:
    """The key of one run of some work, over all its attempts.

    claim = keys.claim(key)
    each attempt:  if (earlier := await claim.look(transaction)) is not None: it is done
                   ... the work ...
                   claim.record(transaction)
                   commit
    """

    __slots__ = ("_run", "attempts", "key", "keys", "result")

    def __init__(self, keys: IdempotencyKeys, key: Key, run: bytes) -> None:
        packed_key(key)
        self.keys = keys
        self._run = run
        self.key = key
        self.attempts = 0
        """How often this run has recorded the key."""
        self.result = b""
        """What is recorded with it, for other runs to find."""

    async def look(self, transaction: Transactional) -> Applied | None:
        """The earlier attempt of this run that was applied, None if the work is still to be done.  Cost  1 read.

        Raises  AlreadyApplied if another run has applied work with this key.
        """
        applied = await self.find(transaction)
        if applied is not None and not self.owns(applied):
            raise self.refusal(applied)
        return applied

    async def find(self, transaction: Transactional) -> Applied | None:
        """What is recorded for the key, by whomever.  Cost  1 read."""
        return await self.keys.find(transaction, self.key)

    def owns(self, applied: Applied) -> bool:
        """Whether it was this run that applied it."""
        return applied.run == self._run

    def refusal(self, applied: Applied) -> AlreadyApplied:
        """What to tell a caller who cannot be given the result of the work."""
        when = applied.when.isoformat(sep=" ", timespec="milliseconds")
        return AlreadyApplied(key=self.key, when=when, version=applied.version, result=applied.result)

    def keep(self, result: bytes) -> None:
        """Have this recorded with the key.  Raises  WrongType, UsageError."""
        if not isinstance(result, bytes):
            raise WrongType(argument="result", got=type(result).__name__, hint="record bytes")
        if len(result) > LARGEST_RESULT:
            raise UsageError(result_bytes=len(result), hint=f"{LARGEST_RESULT:,} is the limit: record a reference")
        self.result = result

    def record(self, transaction: Transactional) -> int:
        """Have the commit record the key and `result`; the number of this attempt, from 1.  Cost  2 writes."""
        self.keys.record(transaction, self.key, self._run, self.attempts + 1, self.result)
        self.attempts += 1
        return self.attempts


def packed_key(key: Key) -> bytes:
    """A key as a tuple has it.  Raises  WrongType, UsageError."""
    if isinstance(key, str):
        packed = _TEXT + key.encode().replace(b"\x00", b"\x00\xff") + b"\x00"
    elif isinstance(key, bytes):
        packed = _BYTES + key.replace(b"\x00", b"\x00\xff") + b"\x00"
    else:
        raise WrongType(argument="idempotency_key", got=type(key).__name__, hint="give a string or bytes")
    if not key or len(packed) > LONGEST_KEY:
        raise UsageError(
            idempotency_key=key[:40], bytes=len(packed) - 2, hint=f"a key has 1 to {LONGEST_KEY - 2} bytes"
        )
    return packed


def _integer(number: int) -> bytes:
    """A number as a tuple has it."""
    length = (number.bit_length() + 7) // 8
    return bytes((0x14 + length,)) + number.to_bytes(length, "big")


def _behind_integer(key: bytes, at: int) -> int:
    return at + 1 + key[at] - 0x14


def _parse(value: bytes, key: Key) -> Applied:
    try:
        if len(value) < _HEAD or value[:1] != _FORMAT:
            raise ValueError("not a record of format 1")
        when = datetime.fromtimestamp(int.from_bytes(value[_TIME], "big") / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        hint = "it was written by a newer release, or the prefix is used for something else"
        raise UnknownIdempotencyRecord(key=key, found=value[:40], hint=hint) from error
    return Applied(
        when=when,
        versionstamp=value[_STAMP],
        run=value[_RUN],
        attempt=int.from_bytes(value[_ATTEMPT], "big"),
        result=value[_HEAD:],
    )
