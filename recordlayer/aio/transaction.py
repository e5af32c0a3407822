"""Transactions, in the asyncio facade."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from recordlayer import keyspace
from recordlayer.aio.keyspace import DirectoryLayer, InternedNames, KeySpace
from recordlayer.aio.metadata_store import MetaDataStore
from recordlayer.aio.store import RecordStore
from recordlayer.errors import Conflict, TransactionError, UsageError
from recordlayer.index.filter import IndexFilter
from recordlayer.keyspace import GLOBAL, NameResolver
from recordlayer.kv.context import Context
from recordlayer.kv.counters import Counters
from recordlayer.kv.idempotency import Applied, Claim
from recordlayer.kv.open_transactions import Opening
from recordlayer.kv.retry import Attempts
from recordlayer.metadata import RecordMetaData
from recordlayer.options import NO_LIMITS, Limits
from recordlayer.store.attached import open_attached
from recordlayer.store.explain_conflict import explain_conflict
from recordlayer.store.header import DEFAULT_FORMAT
from recordlayer.store.header_writes import delete_store
from recordlayer.store.metadata_store import MetaDataStore as Core
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import (
    Cacheable,
    OpenMode,
    OpenOptions,
    Path,
    UserVersionCheck,
    opening,
    resolved_prefix,
    store_prefix,
)
from recordlayer.store.repair import repair_missing_header
from recordlayer.store.sampling import Sampling
from recordlayer.store.serializer import PLAIN, Serializer
from recordlayer.store.upgrade import NewIndexState
from recordlayer.waiting.drivers import run_asyncio

Hook = Callable[[], Awaitable[object]]
"""Names from the root, a subspace, or a place in a key space."""

_DIRECTORIES = keyspace.DirectoryLayer()


class Transaction:
    """One transaction: what it reads does not change, what it writes is there completely or not at all."""

    def __init__(
        self,
        context: Context,
        *,
        claim: Claim | None = None,
        alone: Attempts | None = None,
        opening: Opening | None = None,
    ) -> None:
        self._context = context
        self._claim = claim
        self._alone = alone  # of a transaction that is not tried again, what has to be done before its work
        self._opening = opening
        self._ended = False
        self._applied: Applied | None = None
        self._hooks: tuple[list[Hook], list[Hook], list[Hook]] | None = None
        self.unsettled = False
        """Its commit may have happened, and its hooks wait until that is known."""

    @property
    def context(self) -> Context:
        """The transaction below: keys and values as bytes, hooks, versions."""
        return self._context

    @property
    def counters(self) -> Counters:
        """What this transaction read and wrote so far."""
        return self._context.counters

    async def store(
        self,
        metadata: RecordMetaData | StoredMetaData,
        *,
        path: Path,
        mode: OpenMode = OpenMode.CREATE_OR_OPEN,
        format_version: int = DEFAULT_FORMAT,
        user_version: int | UserVersionCheck | None = None,
        bypass_lock: str | None = None,
        serializer: Serializer = PLAIN,
        cacheable: Cacheable = Cacheable.UNCHANGED,
        new_index_state: NewIndexState | None = None,
        index_filter: IndexFilter | None = None,
        limits: Limits = NO_LIMITS,
        hide_expired: bool = False,
        sampling: Sampling | None = None,
    ) -> RecordStore:
        """The record store at a path, created if it is not there.

        metadata         what its records are; or where that is kept in the database: a process that knows older
                         metadata than the store has been opened with reads the newer, and goes on
        path             names from the root, such as ("shop", "acme"): strings, numbers, UUIDs...; a path of a key
                         space; or a Subspace
        mode             what must or must not be there already
        format_version   the least the store shall have; it is never lowered
        user_version     a version of the application's own, or a function that finds one from the stored one, the
                         stored metadata version and the metadata: a store with a newer one is refused
        bypass_lock      the reason of a full lock, to open the store all the same
        serializer       how records become bytes: see `recordlayer.store.serializer`
        cacheable        whether the header shall say that processes may keep the store's state between transactions
        new_index_state  decides the state of each index that is new to the store: see `recordlayer.store.upgrade`
        index_filter     chooses the records and rows that each index is kept for, the same at every opening: see
                         `recordlayer.index.filter`. Queries use such indexes only where `use_indexes` names them
        limits           what each query may cost that has no limits of its own, and each scan: see `RecordQuery.within`
        sampling         looks, at some saves and deletions, whether an index agrees with the record that was there, and
                         tells: `recordlayer.store.sampling`
        hide_expired     records whose time has passed are not loaded, scanned or queried, before a reaper has come to
                         them: see `RecordMetaDataBuilder.expires`. Saving, unique values, counters, aggregates, ranks
                         and scans of indexes (`scan_index`) know of them all the same

        Cost    nothing if the store's state is known from before: at the same read version, or from a store that is
                cacheable. Else 2 range reads in 1 round trip.
        Raises  StoreMissing, StoreExists, NotARecordStore, StaleMetaData, FormatTooNew, StoreLocked, StaleUserVersion;
                MetaDataMissing; WrongType.
        """
        prefix = await self._prefix(path)
        options = opening(
            mode=mode,
            format_version=format_version,
            user_version=user_version,
            bypass_lock=bypass_lock,
            serializer=serializer,
            cacheable=cacheable,
            new_index_state=new_index_state,
            index_filter=index_filter,
            limits=limits,
            hide_expired=hide_expired,
            sampling=sampling,
        )
        return RecordStore(await run_asyncio(open_attached(self._context, metadata, prefix, options)))

    def metadata_store(self, where: StoredMetaData | Path) -> MetaDataStore:
        """The metadata kept at a place, or at a path, to be read and replaced.

        Raises  WrongType, UsageError for what is no path.
        """
        place = where if isinstance(where, StoredMetaData) else StoredMetaData(path=where)
        return MetaDataStore(Core(self._context, place))

    async def repair_missing_header(
        self,
        metadata: RecordMetaData,
        *,
        path: Path,
        least_format: int,
        format_version: int = DEFAULT_FORMAT,
        user_version: int | UserVersionCheck | None = None,
        keep_indexes_and_lock: str | None = None,
    ) -> bool:
        """Give the store at a path a new header, if it lost its own. Whether it had.

        Its indexes are disabled and cleared: build them again. What only the header knew is lost: locks, fields of the
        application, the incarnation, whether the state may be cached. Open the store in this transaction to set them.

        least_format           the least format version that the store can ever have had
        keep_indexes_and_lock  leave the indexes as they are, and lock the store fully for this reason

        Cost    3 range reads in 2 round trips; some range clears and 1 write for each index, 1 write for the header.
        Raises  StoreMissing if nothing is there; UsageError if the versions do not tell how records are stored; as
                `store` if there is a header.
        """
        options = OpenOptions(format_version=format_version, user_version=user_version)
        return await run_asyncio(
            repair_missing_header(
                self._context,
                metadata,
                await self._prefix(path),
                least_format=least_format,
                options=options,
                keep_indexes_and_lock=keep_indexes_and_lock,
            )
        )

    async def delete_store(self, *, path: Path) -> None:
        """Remove the record store at a path with all that is in it.  Cost  1 read, 1 clear range."""
        await run_asyncio(delete_store(self._context, await self._prefix(path)))

    async def _prefix(self, path: Path) -> bytes:
        return store_prefix(path) if type(path) is tuple else await run_asyncio(resolved_prefix(self._context, path))

    def key_space(self, space: keyspace.KeySpace) -> KeySpace:
        """A key space as this transaction sees it: resolves paths, finds the path of a key, lists what is there."""
        return KeySpace(self._context, space)

    def names(self, resolver: NameResolver = GLOBAL) -> InternedNames:
        """Interned names as this transaction sees them."""
        return InternedNames(self._context, resolver)

    def directories(self, layer: keyspace.DirectoryLayer = _DIRECTORIES) -> DirectoryLayer:
        """FoundationDB's directories as this transaction sees them."""
        return DirectoryLayer(self._context, layer)

    def before_commit(self, check: Hook) -> None:
        """Have the commit wait for `check()`; if it raises, the commit fails with that error."""
        self._all_hooks()[0].append(check)

    def after_commit(self, hook: Hook) -> None:
        """Have `hook()` run once the commit is known to have happened, outside of the transaction. Its error comes out
        of the block, or of `run`, and changes nothing."""
        self._all_hooks()[1].append(hook)

    def after_failure(self, hook: Hook) -> None:
        """Have `hook()` run if the commit failed, or if nobody knows: with an idempotency key that is found out first.
        Each attempt has its own hooks."""
        self._all_hooks()[2].append(hook)

    def _all_hooks(self) -> tuple[list[Hook], list[Hook], list[Hook]]:
        if self._hooks is None:
            self._hooks = [], [], []
        return self._hooks

    def record_result(self, result: bytes) -> None:
        """Keep a few bytes with the idempotency key of this work: who tries it again finds them in AlreadyApplied.

        Raises  UsageError without a key, or for more than 50,000 bytes; WrongType for what is not bytes.
        """
        if self._claim is None:
            raise UsageError(hint="give an idempotency_key to run, attempts or transaction")
        self._claim.keep(result)

    async def commit(self) -> None:
        """Make everything durable now, rather than at the end of the block. The transaction is over then.

        Raises  Conflict, TooOld, MaybeCommitted, TransactionTooLarge, ...; nothing is there then, or, with
                MaybeCommitted, perhaps everything.
        """
        if self._alone is not None:
            raise UsageError(option="idempotency_key or staleness", hint="enter the transaction in a with block")
        hooks = self._hooks
        try:
            while hooks is not None and hooks[0]:  # a check may add another
                await hooks[0].pop(0)()
            self._ended = True
            await run_asyncio(self._context.commit())
        except BaseException as error:
            self._ended = True
            if isinstance(error, Conflict):
                await run_asyncio(explain_conflict(self._context, error))
            self.unsettled = self._claim is not None and isinstance(error, TransactionError) and error.maybe_committed
            if hooks is not None and not self.unsettled:
                await self.settle(None)
            raise
        if hooks is not None:
            for hook in hooks[1]:
                await hook()

    async def settle(self, applied: Applied | None) -> None:
        """The commit turns out to have happened, or not: run what waits for it."""
        self._applied = applied
        self.unsettled = False
        if self._hooks is not None:
            for hook in self._hooks[2 if applied is None else 1]:
                await hook()

    async def finish(self) -> None:
        """Commit, unless that has been done or the transaction was cancelled."""
        if not self._ended:
            await self.commit()

    def cancel(self) -> None:
        """Undo everything. The transaction is over then."""
        self._ended = True
        self._context.cancel()

    async def read_version(self) -> int:
        """The version of the database that this transaction reads."""
        return await run_asyncio(self._context.read_version())

    def committed_version(self) -> int:
        """The version of the commit, after it; -1 if nothing was written."""
        return self._context.committed_version() if self._applied is None else self._applied.version

    async def versionstamp(self) -> bytes:
        """The 10 bytes of the commit, after it: what completes the versions of records it saved."""
        if self._applied is not None:
            return self._applied.versionstamp
        return await run_asyncio(self._context.versionstamp())

    async def approximate_size(self) -> int:
        """Bytes of its writes and conflict ranges so far, as the size limit counts them."""
        return await run_asyncio(self._context.approximate_size())

    def close(self) -> None:
        """Free the transaction; what was not committed is gone. A with block does this at its end."""
        self._ended = True
        self._context.close()
        if self._opening is not None:
            self._opening.close()

    async def __aenter__(self) -> Self:
        alone, self._alone = self._alone, None
        if alone is not None:
            try:
                await run_asyncio(alone.prepare(self._context))
            except BaseException:
                self.close()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.finish()
            elif (observed := self._context.observed) is not None:
                observed.fail(error)
        finally:
            self.close()
