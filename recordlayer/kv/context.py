"""One transaction as the layers above the engine see it.

A `Context` wraps an engine's transaction. It counts what is read and written, keeps the mutations that need the
commit's version until just before the commit, gives out the local versions that order them, and runs hooks:

    before_commit   checks that the commit waits for; one that raises makes the commit fail with nothing written
    after_commit    runs once the commit is known to be durable
    after_failure   runs when the commit failed, also when its outcome is unknown

Source  Record Layer, FDBRecordContext: buffered versionstamp mutations, the local version counter, commit checks and
        hooks; same order, same operands.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from operator import itemgetter
from typing import Any

from recordlayer.errors import Closed, LocalVersionsExhausted, Unreadable
from recordlayer.kv.counters import Counters
from recordlayer.kv.engine import METADATA_VERSION_KEY, Chunk, ConflictKind, MutationType, StreamingMode, Transaction
from recordlayer.kv.mutations import Write, perform
from recordlayer.kv.observed import ObservedTransaction
from recordlayer.kv.read_limits import ReadLimits
from recordlayer.kv.read_version_cache import ReadVersionCache
from recordlayer.kv.shared import Shared
from recordlayer.kv.tally import Places
from recordlayer.kv.turns import Turns
from recordlayer.waiting.waitable import Waitable
from recordlayer.world import World

Hook = Callable[[], Coroutine[Any, None, None]]

_LAST_LOCAL_VERSION = 0xFFFF
_STAMPED_KEY = MutationType.SET_VERSIONSTAMPED_KEY
_STAMPED_VALUE = MutationType.SET_VERSIONSTAMPED_VALUE
_CHANGED: tuple[bytes | None] = (None,)
_METADATA_VERSION_OPERAND = bytes(14)  # a placeholder of 10 bytes at offset 0


class Context:
    """One transaction with its counters, buffered mutations and hooks. Used by one thread or task at a time."""

    __slots__ = (
        "_after_commit",
        "_after_failure",
        "_before_commit",
        "_closed",
        "_doomed",
        "_known_version",
        "_metadata_version",
        "_next_local_version",
        "_stamp",
        "_stamped_keys",
        "_versions",
        "_want_stamp",
        "claims",
        "committed",
        "counters",
        "headers",
        "observed",
        "places",
        "read_limits",
        "shared",
        "stamped_values",
        "stores_changed",
        "transaction",
        "turns",
        "world",
    )

    def __init__(
        self,
        transaction: Transaction,
        *,
        world: World,
        versions: ReadVersionCache | None = None,
        shared: Shared | None = None,
    ) -> None:
        self.transaction = transaction
        self.world = world
        self.shared = shared
        """Caches of the database; None for a transaction that keeps to itself."""
        self.stores_changed = False
        """A header or an index state was written: what is cached of stores is not what this transaction would read."""
        self.observed = transaction if type(transaction) is ObservedTransaction else None
        """Tells observers; None if there are none."""
        self.places: list[Places] = [] if self.observed is None else self.observed.tallies.places
        """Whose the keys are: the stores that were opened in this transaction."""
        self.headers: dict[bytes, Any] = {}
        """Of the stores that were opened in this transaction, by prefix: all who have one open go by the same header,
        and see what another has changed in it. Owned by `store.open`."""
        self.turns = Turns()
        """Who changes which record: side by side, each in its turn."""
        self._versions = versions
        self._known_version: int | None = None
        self._metadata_version: tuple[bytes | None] | None = None  # None: not asked for yet
        self.counters = Counters()
        self.read_limits: ReadLimits | None = None
        """What all reads together may cost; None for whatever they do."""
        self.claims: dict[bytes, bytes] = {}
        """Unique values written in this transaction, by whom: two records saved side by side must see each other
        although neither can read the other's entry yet. Owned by `index.uniqueness`."""
        self.committed = self._closed = self._want_stamp = False
        self._doomed: BaseException | None = None
        self._before_commit: list[Hook] = []
        self._after_commit: list[Hook] = []
        self._after_failure: list[Hook] = []
        self._stamped_keys: dict[bytes, bytes] = {}
        self.stamped_values: dict[bytes, bytes] = {}
        """What `set_stamped_value` keeps."""
        self._next_local_version = 0
        self._stamp: Waitable[bytes] | None = None

    # -- reading

    def get(self, key: bytes, *, snapshot: bool = False) -> Waitable[bytes | None]:
        """The value of `key`, or None.  Cost  1 read."""
        if self.read_limits is not None:
            self.read_limits.check()
        self.counters.reads += 1
        return self.transaction.get(key, snapshot=snapshot)

    def get_many(self, keys: Sequence[bytes], *, snapshot: bool = False) -> Waitable[list[bytes | None]]:
        """The values of several keys, in their order.  Cost  1 read each, 1 round trip."""
        if self.read_limits is not None:
            self.read_limits.check()
        self.counters.reads += len(keys)
        return self.transaction.get_many(keys, snapshot=snapshot)

    def get_range(
        self,
        begin: bytes,
        end: bytes,
        *,
        limit: int = 0,
        reverse: bool = False,
        snapshot: bool = False,
        mode: StreamingMode = StreamingMode.ITERATOR,
        iteration: int = 1,
    ) -> Waitable[Chunk]:
        """The first chunk of [begin, end).  Cost  1 read."""
        if self.read_limits is not None:
            self.read_limits.check()
        self.counters.reads += 1
        self.counters.range_reads += 1
        return self.transaction.get_range(
            begin, end, limit=limit, reverse=reverse, snapshot=snapshot, mode=mode, iteration=iteration
        )

    def get_ranges(self, ranges: Sequence[tuple[bytes, bytes]], **how: Any) -> Waitable[list[Chunk]]:
        """The first chunk of each range; `how`: as for the engine.  Cost  1 read each, 1 round trip."""
        if self.read_limits is not None:
            self.read_limits.check()
        self.counters.reads += len(ranges)
        self.counters.range_reads += len(ranges)
        return self.transaction.get_ranges(ranges, **how)

    async def read_all(self, begin: bytes, end: bytes, *, snapshot: bool = False) -> list[tuple[bytes, bytes]]:
        """All pairs of [begin, end), for ranges known to be small.  Cost  1 read a chunk."""
        rows: list[tuple[bytes, bytes]] = []
        iteration = 1
        while True:
            chunk = await self.get_range(
                begin, end, snapshot=snapshot, mode=StreamingMode.WANT_ALL, iteration=iteration
            )
            rows += chunk.rows
            if not chunk.more or not chunk.rows:
                self.counters.rows_read += len(rows)
                return rows
            begin = chunk.rows[-1][0] + b"\x00"
            iteration += 1

    # -- writing

    def set(self, key: bytes, value: bytes) -> None:
        counters = self.counters
        counters.sets += 1
        counters.bytes_written += len(key) + len(value)
        self.transaction.set(key, value)

    def clear(self, key: bytes) -> None:
        self.counters.clears += 1
        if self.stamped_values:
            self.stamped_values.pop(key, None)
        self.transaction.clear(key)

    def clear_range(self, begin: bytes, end: bytes) -> None:
        self.counters.range_clears += 1
        for key in [key for key in self.stamped_values if begin <= key < end]:
            del self.stamped_values[key]
        for operand in [operand for operand in self._stamped_keys if begin <= operand[:-4] < end]:
            del self._stamped_keys[operand]
        self.transaction.clear_range(begin, end)

    def atomic(self, kind: MutationType, key: bytes, operand: bytes) -> None:
        counters = self.counters
        counters.mutations += 1
        counters.bytes_written += len(key) + len(operand)
        self.transaction.atomic(kind, key, operand)

    def add_read_conflict_key(self, key: bytes) -> None:
        self.transaction.add_conflict_range(ConflictKind.READ, key, key + b"\x00")

    def add_read_conflict_range(self, begin: bytes, end: bytes) -> None:
        self.transaction.add_conflict_range(ConflictKind.READ, begin, end)

    def add_write_conflict_range(self, begin: bytes, end: bytes) -> None:
        self.transaction.add_conflict_range(ConflictKind.WRITE, begin, end)

    # -- versions

    def claim_local_version(self) -> int:
        """The next local version: 0, 1, 2... in the order of the claims. Shared by all stores of the transaction.

        Raises  LocalVersionsExhausted after 65,536.
        """
        version = self._next_local_version
        if version > _LAST_LOCAL_VERSION:
            raise LocalVersionsExhausted(versions=version)
        self._next_local_version = version + 1
        return version

    def set_stamped_value(self, key: bytes, operand: bytes) -> None:
        """At the commit, set `key` to `operand` with the commit's version in its placeholder; `operand` ends in the
        placeholder's 4-byte offset. Kept until the commit; clearing the key before drops it."""
        self.stamped_values[key] = operand

    def stamped_value(self, key: bytes) -> bytes | None:
        """The operand kept for `key`: what this transaction wrote there and the engine cannot read back yet."""
        return self.stamped_values.get(key)

    def drop_stamped_value(self, key: bytes) -> None:
        self.stamped_values.pop(key, None)

    def set_stamped_key(self, operand: bytes, value: bytes) -> None:
        """At the commit, set the key that `operand` gives (it ends in the placeholder's 4-byte offset) to `value`."""
        self._stamped_keys[operand] = value

    def raise_stamped_value(self, key: bytes, operand: bytes) -> None:
        """`set_stamped_value`, unless what is kept for `key` is larger."""
        kept = self.stamped_values.get(key)
        if kept is None or kept < operand:
            self.stamped_values[key] = operand

    def stamped_rows(self, begin: bytes, end: bytes) -> list[tuple[bytes, bytes]]:
        """What this transaction keeps until its commit for a range, in key order, with ff bytes where the version will
        be: pairs that reads do not see yet, and new values of pairs that they see."""
        if not self._stamped_keys and not self.stamped_values:
            return []
        kept = [(key, value[:-4]) for key, value in self.stamped_values.items() if begin <= key < end]
        kept += [(key[:-4], value) for key, value in self._stamped_keys.items() if begin <= key[:-4] < end]
        kept.sort()
        return kept

    def drop_stamped_key(self, operand: bytes) -> bool:
        """Forget a stamped key of this transaction. Whether there was one."""
        return self._stamped_keys.pop(operand, None) is not None

    async def metadata_version(self) -> bytes | None:
        """What every change of a cacheable store's state changes: the same stamp, the same states. None if nobody has
        ever changed it, or this transaction does. Reading it conflicts with nobody.

        Cost  none: engines answer from what came with the read version. It is not counted as a read.
        """
        known = self._metadata_version
        if known is None:
            try:
                known = (await self.transaction.get(METADATA_VERSION_KEY, snapshot=True),)
            except Unreadable:
                known = (None,)
            self._metadata_version = known
        return known[0]

    def change_metadata_version(self) -> None:
        """Have all processes look again at the states of stores that they have cached.  Cost  1 write, once."""
        if self._metadata_version is not _CHANGED:
            self._metadata_version = _CHANGED
            self.atomic(_STAMPED_VALUE, METADATA_VERSION_KEY, _METADATA_VERSION_OPERAND)

    def clear_stores(self, begin: bytes, end: bytes) -> None:
        """Clear a range in which there may be record stores or stored metadata: processes that have them cached learn
        of it.  Cost  1 clear range, 1 write."""
        self.stores_changed = True
        self.change_metadata_version()
        self.clear_range(begin, end)
        for claimed in [key for key in self.claims if begin <= key < end]:
            del self.claims[claimed]

    async def known_read_version(self) -> int | None:
        """The read version, if it is known without asking a cluster for it."""
        if self._known_version is None and self._versions is None:
            self._known_version = await self.transaction.read_version()
        return self._known_version

    async def read_version(self) -> int:
        versions = self._versions
        if versions is None or self._known_version is not None:  # nothing new is learned from what was known before
            return await self.transaction.read_version()
        asked = versions.now()
        version = self._known_version = await self.transaction.read_version()
        versions.learned(version, asked)
        return version

    def set_read_version(self, version: int) -> None:
        """Read at this version.  Raises  ReadVersionAlreadySet."""
        self.transaction.set_read_version(version)
        self._known_version = version

    def committed_version(self) -> int:
        """The version of the commit; -1 if nothing was written."""
        return self.transaction.committed_version()

    async def approximate_size(self) -> int:
        """Bytes of the writes and conflict ranges so far, as the size limit counts them."""
        return await self.transaction.approximate_size()

    def request_versionstamp(self) -> None:
        """Have `versionstamp()` answered after the commit even if no mutation needs it."""
        self._want_stamp = True

    async def versionstamp(self) -> bytes:
        """The 10 bytes of the commit, after it.  Raises  Closed if it was not asked for before the commit."""
        if self._stamp is None:
            raise Closed(
                what="versionstamp", hint="call request_versionstamp() before the commit, or write a record version"
            )
        return await self._stamp

    def forget_claims(self, prefix: bytes) -> None:
        """What was claimed in a part of the database that this transaction has cleared."""
        for claimed in [key for key in self.claims if key.startswith(prefix)]:
            del self.claims[claimed]

    # -- ending

    def before_commit(self, check: Hook) -> None:
        """Have the commit wait for `check()`; if it raises, the commit fails with that error."""
        self._before_commit.append(check)

    def after_commit(self, hook: Hook) -> None:
        """Have `hook()` run once the commit has succeeded."""
        self._after_commit.append(hook)

    def after_failure(self, hook: Hook) -> None:
        """Have `hook()` run if the commit fails."""
        self._after_failure.append(hook)

    def doom(self, error: BaseException) -> None:
        """Half of something was written when `error` came: have every commit fail with it."""
        if self._doomed is None:
            self._doomed = error

    async def commit(self) -> None:
        """Make the writes durable, or fail and leave nothing. An error of an `after_commit` hook comes out here too,
        with `committed` true."""
        if self._closed:
            raise Closed(what="transaction", hint="begin another with db.transaction()")
        versions = self._versions
        try:
            if self._doomed is not None:
                raise self._doomed
            while self._before_commit:  # a check may add another
                checks, self._before_commit = self._before_commit, []
                for check in checks:
                    await check()
            self._flush_stamped()
            asked = 0.0 if versions is None else versions.now()
            await self.transaction.commit()
        except BaseException:
            for hook in self._after_failure:
                await hook()
            raise
        self.committed = True
        if versions is not None:
            versions.learned(self.transaction.committed_version(), asked)
        for hook in self._after_commit:
            await hook()

    def _flush_stamped(self) -> None:
        if self._stamped_keys or self.stamped_values or self._want_stamp:
            pending: list[Write] = [(_STAMPED_KEY, operand, value) for operand, value in self._stamped_keys.items()]
            pending += [(_STAMPED_VALUE, key, operand) for key, operand in self.stamped_values.items()]
            pending.sort(key=itemgetter(1))
            perform(self, pending)
            self._stamped_keys, self.stamped_values = {}, {}
            self._stamp = self.transaction.versionstamp()

    def cancel(self) -> None:
        """Every operation under way, and every later one, fails with Cancelled."""
        self.transaction.cancel()

    def close(self) -> None:
        """Free the transaction; what was not committed is gone. May be called again."""
        if not self._closed:
            self._closed = True
            self.transaction.close()
            for header in self.headers.values():
                header.let_go()  # it knows stores that know this: all goes now, not when garbage is collected
