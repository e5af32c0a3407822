"""Databases, in the asyncio facade."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from recordlayer.aio.attempts import Attempt, Unsettled, run_until_done
from recordlayer.aio.cursor import EntryCursor, RecordCursor, whole_page
from recordlayer.aio.idempotency import IdempotencyKeys
from recordlayer.aio.transaction import Transaction
from recordlayer.aio.works import LongWorks
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.engine import Engine
from recordlayer.kv.idempotency import DEFAULT_PREFIX, Key
from recordlayer.kv.idempotency import IdempotencyKeys as Keys
from recordlayer.kv.open_transactions import OpenTransactions
from recordlayer.kv.registry import open_engine
from recordlayer.kv.retry import DEFAULT_RETRY, NEVER, Attempts, Gate, Retry
from recordlayer.metadata import RecordMetaData
from recordlayer.observe.observer import Observer
from recordlayer.options import DEFAULT_OPTIONS, TransactionOptions
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import Path
from recordlayer.store.serializer import PLAIN, Serializer
from recordlayer.store.state_cache import StoreStateCache
from recordlayer.world import World

if TYPE_CHECKING:
    from recordlayer.aio.reaping import FeedTrimmer, Reaper
    from recordlayer.aio.tenant import Tenant
    from recordlayer.online.options import WorkLimits
    from recordlayer.online.reaper import ReapReport

T = TypeVar("T")


def open(  # noqa: A001  (the word for it)
    url: str,
    *,
    observer: Observer | None = None,
    transaction_options: TransactionOptions = DEFAULT_OPTIONS,
    idempotency_prefix: bytes = DEFAULT_PREFIX,
    store_states: StoreStateCache | None = None,
    world: World | None = None,
    **options: object,
) -> Database:
    """The database that `url` names: "memory:", "file:PATH", "fdb:" or "fdb:CLUSTER_FILE".

    observer             is told what happens: see `recordlayer.observe`
    transaction_options  of transactions for which nothing else is said
    idempotency_prefix   the keys below which idempotency keys are recorded; the same in every process
    store_states         how the states of stores are remembered, so that opening a store again reads nothing. By
                         default wherever that is safe: `recordlayer.store.state_cache`

    Other options are the engine's, such as `durability="relaxed"` for files. Close it, or use it in a `with` block.

    Raises  UnknownEngine, InvalidEngineOption, and what the engine finds wrong with the path, the file or the library.
    """
    shared = world if world is not None else World()
    return Database(
        open_engine(url, world=shared, **options),
        world=shared,
        observer=observer,
        transaction_options=transaction_options,
        idempotency_prefix=idempotency_prefix,
        store_states=store_states,
    )


class Database(LongWorks):
    """An open database. Any number of transactions may be open at once."""

    def __init__(
        self,
        engine: Engine,
        *,
        world: World,
        observer: Observer | None = None,
        transaction_options: TransactionOptions = DEFAULT_OPTIONS,
        idempotency_prefix: bytes = DEFAULT_PREFIX,
        store_states: StoreStateCache | None = None,
    ) -> None:
        self._options = transaction_options
        self._beginning = Beginning(engine, world, observer=observer)
        if store_states is not None:
            self._beginning.shared.keep(store_states)
        self._keys = Keys(world, idempotency_prefix)
        self._open = OpenTransactions(world.clock, self._beginning.observed)

    @property
    def url(self) -> str:
        return self.engine.url

    @property
    def engine(self) -> Engine:
        """The engine below: keys and values as bytes."""
        return self._beginning.engine

    @property
    def store_states(self) -> StoreStateCache:
        """What is remembered of stores between transactions."""
        return self._beginning.shared.of(StoreStateCache)

    @property
    def idempotency(self) -> IdempotencyKeys:
        """The idempotency keys that are recorded here."""
        return IdempotencyKeys(self._keys, self._beginning)

    def transaction(
        self, *, options: TransactionOptions | None = None, idempotency_key: Key | None = None
    ) -> Transaction:
        """One transaction, as a context: it commits when the block ends without an error, and is undone otherwise.

        It is never tried again: `run` and `attempts` do that.

        idempotency_key  recorded with the commit. Entering the block raises AlreadyApplied if it has been recorded
                         before: after MaybeCommitted, the block is safe to run again with the same key
        """
        chosen = self._options if options is None else options
        if idempotency_key is None and chosen.staleness is None:
            context, claim, alone = self._beginning.context(chosen), None, None
        else:
            alone = self._attempts(NEVER, chosen, idempotency_key)
            context, claim = alone.begin(), alone.claim
        observed = context.observed
        opening = self._open.opened(None if observed is None else observed.origin)
        return Transaction(context, claim=claim, alone=alone, opening=opening)

    async def run(
        self,
        function: Callable[[Transaction], Awaitable[T]],
        *,
        retry: Retry = DEFAULT_RETRY,
        options: TransactionOptions | None = None,
        idempotency_key: Key | None = None,
    ) -> T:
        """The result of `function(transaction)`, committed; tried again after conflicts and other passing troubles.

        `function` may run several times: it must not change anything outside but through the transaction.

        retry            how often and how long to try
        options          of the transactions; without a name in them, the work is called what the function is
        idempotency_key  recorded with the commit, so that the work is applied once even if the outcome of a commit is
                         not known, or another process tries the same: see `idempotency`

        Raises  the last error when the limits of `retry` are reached; MaybeCommitted, unless there is a key or `retry`
                says that running twice does no harm; AlreadyApplied if the key was recorded by another run.
        """
        work = "" if self._beginning.observed is None else getattr(function, "__qualname__", "")
        return await run_until_done(self._attempts(retry, options, idempotency_key, work=work), function)

    async def stream(
        self,
        open_page: Callable[[Transaction, bytes | None], Awaitable[RecordCursor | EntryCursor]],
        *,
        retry: Retry = DEFAULT_RETRY,
        options: TransactionOptions | None = None,
    ) -> AsyncIterator[Any]:
        """What pages have, page after page, each read in a transaction of its own: scans that take longer than one may.

        `open_page(transaction, resume)` gives the page that goes on at `resume`, None for the first. Its limits say how
        large a page is: `limit`, or `limits` that leave room in the five seconds of a transaction. A page is read as a
        whole before its values are given, and read again after conflicts and other passing troubles.

        Pages see the database as it is at their time, so what changes meanwhile may be seen or not.

        Raises  as `run`.
        """
        resume: bytes | None = None
        while True:
            values, resume = await self.run(whole_page(open_page, resume), retry=retry, options=options)
            for place in range(len(values)):
                yield values[place]
            if resume is None:
                return

    async def attempts(
        self,
        *,
        retry: Retry = DEFAULT_RETRY,
        options: TransactionOptions | None = None,
        idempotency_key: Key | None = None,
    ) -> AsyncIterator[Attempt]:
        """Attempts to be made until one succeeds, where a function is in the way. Arguments as in `run`.

        async for attempt in db.attempts():
            async with attempt as tx:
                ...
        """
        attempts = self._attempts(retry, options, idempotency_key)
        attempt: Attempt | None = Attempt(Transaction(attempts.begin(), claim=attempts.claim), attempts, Unsettled())
        try:
            while attempt is not None and (attempt := await attempt.prepared()) is not None:
                yield attempt
                attempt = attempt.following
        finally:
            if attempt is not None:
                attempt.close()

    def tenant(self, path: Path, *, options: TransactionOptions | None = None) -> Tenant:
        """What lies below a path, as a whole: to be listed, measured, exported, imported, copied and deleted.

        path     names from the root, a path of a key space, or a Subspace
        options  of the transactions; by default of low priority
        """
        from recordlayer.aio.tenant import Tenant

        return Tenant(self._beginning, path, self._attempts, options=options)

    def reaper(
        self,
        metadata: RecordMetaData | StoredMetaData,
        *,
        path: Path,
        types: Collection[str] | None = None,
        limits: WorkLimits | Callable[[], WorkLimits] | None = None,
        serializer: Serializer = PLAIN,
        options: TransactionOptions | None = None,
        told: Callable[[ReapReport], object] | None = None,
    ) -> Reaper:
        """Deletes records whose time has passed: `await db.reaper(...).reap()`. Several may run, in several processes.

        types    names of record types; all that expire if nothing is said
        limits   how much goes into one transaction, and how fast; or a function that is asked before each transaction
        options  of the transactions; their priority is low if nothing is said
        told     called after each transaction with the report so far
        """
        from recordlayer.aio.reaping import Reaper

        return Reaper(
            self._beginning,
            metadata,
            path,
            types=types,
            limits=limits,
            serializer=serializer,
            options=options,
            told=told,
        )

    def feed_trimmer(
        self,
        metadata: RecordMetaData | StoredMetaData,
        *,
        path: Path,
        older_than: timedelta,
        limits: WorkLimits | Callable[[], WorkLimits] | None = None,
        serializer: Serializer = PLAIN,
        options: TransactionOptions | None = None,
    ) -> FeedTrimmer:
        """Forgets changes of a store's feed that are older: `await db.feed_trimmer(...).trim()`. Parameters as those of
        `reaper`."""
        from recordlayer.aio.reaping import FeedTrimmer

        return FeedTrimmer(
            self._beginning, metadata, path, older_than, limits=limits, serializer=serializer, options=options
        )

    def _attempts(
        self,
        retry: Retry,
        options: TransactionOptions | None,
        key: Key | None,
        *,
        work: str = "",
        gate: Gate | None = None,
    ) -> Attempts:
        return Attempts(
            self._beginning,
            retry,
            options=self._options if options is None else options,
            work=work,
            claim=None if key is None else self._keys.claim(key),
            gate=gate,
        )

    async def close(self) -> None:
        """Let go of files and threads. Transactions that are still open fail from now on; a `ResourceWarning` says
        where they were opened."""
        self._open.close()
        self.engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Database {self.url}>"
