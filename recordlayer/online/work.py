"""Work on a store that takes many transactions: builds, scrubs, repairs, cleaning up.

Each transaction does a piece and notes in the database how far it came, so that the work may end at any point, by
kill -9 as well, and be continued by any process. A transaction that fails is tried again with a smaller piece.

Cost    one open of the store a transaction, which costs nothing where its state is cached
Source  Record Layer: IndexingCommon, IndexingThrottle, ThrottledRetryingIterator
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from recordlayer.errors import Conflict, TimedOut, TooOld, TransactionError, TransactionTooLarge
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.kv.observed import ObservedTransaction
from recordlayer.metadata import RecordMetaData
from recordlayer.observe.events import Event
from recordlayer.online.batch_size import BatchSize
from recordlayer.online.options import WorkLimits
from recordlayer.options import Priority, TransactionOptions
from recordlayer.store.attached import open_attached
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import OpenMode, OpenOptions, Path, resolved_prefix
from recordlayer.store.places import path_of
from recordlayer.store.store import RecordStore
from recordlayer.waiting.timer import sleep
from recordlayer.world import World

T = TypeVar("T")
Limits = WorkLimits | Callable[[], WorkLimits]

_TOO_MUCH = (Conflict, TooOld, TransactionTooLarge, TimedOut)
"""Errors that less work in one transaction may avoid."""

_NAP = 0.5
"""Seconds after which a pause looks whether it is still wanted."""


class LongWork:
    """The transactions of one work on one store.

    transactions  committed that did a piece, and `retries` that had to be tried again
    records       how many the next piece may look at
    """

    def __init__(
        self,
        beginning: Beginning,
        metadata: RecordMetaData | StoredMetaData,
        path: Path,
        *,
        name: str,
        limits: Limits,
        opening: OpenOptions,
        options: TransactionOptions | None = None,
    ) -> None:
        self._beginning = beginning
        self._metadata = metadata
        self._path = path
        self._prefix: bytes | None = None
        self._name = name
        self._limits: Callable[[], WorkLimits] = limits if callable(limits) else lambda: limits
        self._opening = replace(opening, mode=OpenMode.OPEN)
        self._options = options or TransactionOptions(name=name, priority=Priority.BATCH)
        self._observed: ObservedTransaction | None = None
        self._size = BatchSize(self._limits().records)
        self._began = beginning.world.clock.monotonic()
        self.stopped = False
        self.transactions = self.retries = 0

    @property
    def world(self) -> World:
        return self._beginning.world

    @property
    def records(self) -> int:
        return self._size.records

    @property
    def is_over(self) -> bool:
        """Whether it was stopped, or its time is over."""
        total = self._limits().total_time
        return self.stopped or (total is not None and self.took >= total)

    def limits(self) -> WorkLimits:
        """Those that are in force now."""
        return self._limits()

    def begin(self) -> None:
        """Count the time, and what was done, from now on."""
        self._began = self.world.clock.monotonic()
        self.transactions = self.retries = 0

    @property
    def took(self) -> timedelta:
        """Since `begin`."""
        return timedelta(seconds=self.world.clock.monotonic() - self._began)

    async def pieces(
        self,
        piece: Callable[[RecordStore, WorkLimits], Coroutine[Any, Any, int | None]],
        done: Callable[[int, timedelta], object],
    ) -> bool:
        """Do pieces until there is none left. Whether it came so far; else it was stopped, or its time was over.

        piece  does one in an open store, and says how many records it looked at; None if nothing is left to do
        done   is told of each when it is committed: how many records, and how long it took
        """
        clock = self.world.clock
        while True:
            if self.is_over:
                return False
            limits = self._limits()
            self._size.allow(limits.records)
            began = clock.monotonic()

            async def one(store: RecordStore, limits: WorkLimits = limits) -> int | None:
                return await piece(store, limits)

            records = await self.run(one)
            if records is None:
                return True
            await self.succeeded(records, began, done)

    async def succeeded(self, records: int, began: float, done: Callable[[int, timedelta], object]) -> None:
        """A piece of so many records is committed, which had begun at that time of the clock: tell, and wait for as
        long as the rate says."""
        self._size.succeeded()
        self.transactions += 1
        done(records, timedelta(seconds=self.world.clock.monotonic() - began))
        await self._pause(records, began)

    async def _pause(self, records: int, began: float) -> None:
        """Wait for as long as the rate that is asked for says now; it may change, or the work be stopped, meanwhile."""
        clock = self.world.clock
        while not self.stopped:
            rate = self._limits().records_per_second
            due = 0.0 if rate is None else records / rate - (clock.monotonic() - began)
            if due < 1e-6:  # what rounding leaves of a pause is none: a clock of a test would stand still in it
                return
            await sleep(min(due, _NAP), self.world)

    async def run(self, work: Callable[[RecordStore], Coroutine[Any, Any, T]]) -> T:
        """The result of `work(store)`, committed. What is done so may be done twice: what is left to do has to be
        looked up in the same transaction."""
        tries = 0
        while True:
            context = self._beginning.context(self._options, work=self._name)
            try:
                result = await work(await self.open(context))
                await context.commit()
                self._observed = context.observed
                return result
            except TransactionError as error:
                tries += 1
                too_much = isinstance(error, _TOO_MUCH)
                if not (too_much or error.retryable) or tries >= self._limits().retries:
                    raise
                if too_much:
                    self._size.failed()
                self.retries += 1
                if error.retryable:
                    await context.transaction.on_error(error)
            finally:
                context.close()

    def context(self, *, version: int | None = None) -> Context:
        """A transaction that the caller commits, tries again and closes; one that says what it conflicted with."""
        options = replace(self._options, report_conflicts=True)
        context = self._beginning.context(options, work=self._name)
        if version is not None:
            context.set_read_version(version)
        return context

    def failed(self, error: TransactionError) -> None:
        """Count a failure of such a transaction.  Raises  the error, if trying again is no use."""
        self.retries += 1
        if not (isinstance(error, _TOO_MUCH) or error.retryable):
            raise error

    async def open(self, context: Context) -> RecordStore:
        """The store of the work."""
        if self._prefix is None:
            self._prefix = await resolved_prefix(context, self._path)
        return await open_attached(context, self._metadata, self._prefix, self._opening)

    def emit(self, kind: Callable[..., Event], index: str, **fields: object) -> None:
        """Tell observers of an event about an index, or about the records if that is empty."""
        observed = self._observed
        if observed is not None:
            assert self._prefix is not None, "a transaction was observed"
            observed.emit(kind(origin=observed.origin, store=path_of(self._prefix), index=index, **fields))
