"""Building indexes over the records of a store while others read and write it.

Each transaction takes a piece of what is missing: it writes the entries of some records and notes in the range set that
they are done. Whoever saves a record meanwhile looks there to know whether its entries are his to change. A build can
be stopped at any point, by kill -9 as well, and be continued by any process.

    write-only -> the pieces, one transaction each -> readable

Cost    every record is read once; one open of the store a transaction, which costs nothing where its state is cached
Source  Record Layer: OnlineIndexer, IndexingBase, IndexingMutuallyByRecords; paper, section 6
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from recordlayer.errors import (
    BuildMismatch,
    BuildRefused,
    Conflict,
    TimedOut,
    TooOld,
    TransactionError,
    TransactionTooLarge,
    UsageError,
)
from recordlayer.index.range_set import FIRST, LAST, Missing
from recordlayer.index.state import IndexState
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.kv.observed import ObservedTransaction
from recordlayer.metadata import Index, RecordMetaData
from recordlayer.observe.events import BuildAdvanced, BuildBegan, BuildFinished, Event
from recordlayer.online.batch_size import BatchSize
from recordlayer.online.fragments import fragments_of, gap_in
from recordlayer.online.heartbeat import Heartbeat
from recordlayer.online.options import BuildLimits, BuildPolicy
from recordlayer.online.over_index import build_share_by_index, check_source
from recordlayer.online.over_records import build_share, range_set_of
from recordlayer.online.stamp import (
    check_not_blocked,
    erase_notes,
    method_of,
    read_stamp,
    same_build,
)
from recordlayer.online.start import Begun, begin
from recordlayer.options import TransactionOptions
from recordlayer.store.attached import open_attached
from recordlayer.store.marking import mark_readable
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import DEFAULT_OPEN, OpenMode, OpenOptions
from recordlayer.store.places import path_of
from recordlayer.store.store import RecordStore
from recordlayer.waiting.timer import sleep

T = TypeVar("T")

_TOO_MUCH = (Conflict, TooOld, TransactionTooLarge, TimedOut)
"""Errors that less work in one transaction may avoid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """How a build went.

    finished      whether the indexes are built; otherwise it can be continued
    indexes       that were built, or would have been; those that needed nothing are not among them
    records       this build looked at; others before it, and beside it, may have looked at more
    transactions  it committed, and `retries` that had to be tried again
    """

    finished: bool
    indexes: tuple[str, ...] = ()
    records: int = 0
    transactions: int = 0
    retries: int = 0
    took: timedelta = timedelta(0)


class OnlineIndexer:
    """One build of some indexes of one store.

    names    the indexes, built in one pass over the records
    limits   or a function that gives them, asked before each transaction, so that they may be changed under way
    source   the name of a VALUE index to go by, instead of over all records
    mutual   several indexers, here or elsewhere, share the work: each is to be told so
    lease    how long an indexer that has fallen silent keeps others out
    told     called after each transaction with the report so far
    """

    def __init__(
        self,
        beginning: Beginning,
        metadata: RecordMetaData | StoredMetaData,
        prefix: bytes,
        names: Sequence[str],
        *,
        policy: BuildPolicy | None = None,
        limits: BuildLimits | Callable[[], BuildLimits] | None = None,
        source: str | None = None,
        mutual: bool = False,
        lease: timedelta = timedelta(seconds=10),
        opening: OpenOptions = DEFAULT_OPEN,
        options: TransactionOptions | None = None,
        told: Callable[[BuildReport], object] | None = None,
    ) -> None:
        if isinstance(names, str) or not names or len(set(names)) != len(names):
            raise UsageError(indexes=names, hint="give the names of one or more indexes, each once")
        if source is not None and (len(names) > 1 or mutual):
            raise UsageError(indexes=names, source=source, hint="by another index, one index is built by one indexer")
        self._beginning = beginning
        self._source = source
        self._metadata = metadata
        self.prefix = prefix
        self._names = tuple(sorted(names))
        self._policy = policy or BuildPolicy()
        given = limits if limits is not None else BuildLimits()
        self._limits: Callable[[], BuildLimits] = given if callable(given) else lambda: given
        self._mutual = mutual
        self._lease_ms = int(lease.total_seconds() * 1000)
        self._opening = replace(opening, mode=OpenMode.OPEN)
        self._options = options or TransactionOptions(name="index build")
        self.told = told
        self._stopped = False
        self._observed: ObservedTransaction | None = None
        self._report = BuildReport(finished=False)
        self._size = BatchSize(self._limits().records)

    def stop(self) -> None:
        """Have the build end after the transaction under way. May be called from anywhere."""
        self._stopped = True

    async def build(self) -> BuildReport:
        """Build what is missing.

        The report says whether it came to the end: a build that was stopped, or ran out of `total_time`, did not.

        Raises  UnknownIndex, StoreMissing; BuildRefused, BuildMismatch, BuildLocked, BuildBlocked; UniquenessViolation
                when all is built and records have equal values; what an index refuses.
        """
        clock = self._beginning.world.clock
        began = clock.monotonic()
        begun = await self._run(self._begin)
        targets = begun.targets
        if not targets:
            return replace(self._report, finished=True)
        world = self._beginning.world
        heart = Heartbeat(
            uuid.UUID(int=world.random.getrandbits(128), version=4),
            method_of(begun.stamp).value,
            int(clock.wall() * 1000),
            self._lease_ms,
        )
        self._report = BuildReport(finished=False, indexes=tuple(index.name for index in targets))
        self._emit(BuildBegan, targets, resumed=begun.resumed)
        try:
            finished = await self._all_pieces(begun, heart, began)
            if finished:
                for index in targets if self._policy.mark_readable else ():
                    await self._run(partial(self._finish, index))
        except Exception as error:
            await self._leave(targets, heart)
            self._end(targets, began, error=type(error).__name__)
            raise
        await self._leave(targets, heart)
        self._report = replace(self._report, finished=finished)
        self._end(targets, began, error="" if finished else "stopped")
        return self._report

    def _end(self, targets: Sequence[Index], began: float, *, error: str) -> None:
        took = _since(self._beginning.world.clock.monotonic(), began)
        self._report = replace(self._report, took=took)
        self._emit(BuildFinished, targets, records=self._report.records, took=took, error=error)

    # -- the parts of a build, each a transaction or more

    async def _begin(self, context: Context) -> Begun:
        store = await self._open(context)
        indexes = [store.metadata.index(name) for name in self._names]
        return await begin(store, indexes, self._policy, mutual=self._mutual, source=self._source)

    async def _all_pieces(self, begun: Begun, heart: Heartbeat, began: float) -> bool:
        """Whether nothing is missing any more."""
        targets = begun.targets
        clock = self._beginning.world.clock
        places = [Missing(FIRST, LAST)]
        if self._mutual:
            places = await self._run(self._fragments)
        for place in places:
            while True:
                limits = self._limits()
                if self._stopped or _over(limits, clock.monotonic() - began):
                    return False
                self._size.allow(limits.records)
                step_began = clock.monotonic()
                done = await self._run(partial(self._piece, begun, heart, place, limits))
                if done is None:
                    break
                self._size.succeeded()
                self._report = replace(
                    self._report,
                    records=self._report.records + done,
                    transactions=self._report.transactions + 1,
                    took=_since(clock.monotonic(), began),
                )
                took = _since(clock.monotonic(), step_began)
                self._emit(BuildAdvanced, targets, records=done, took=took, limit=self._size.records)
                if self.told is not None:
                    self.told(self._report)
                if limits.records_per_second is not None:
                    due = done / limits.records_per_second - (clock.monotonic() - step_began)
                    await sleep(due, self._beginning.world)
        return True

    async def _fragments(self, context: Context) -> list[Missing]:
        return await fragments_of(await self._open(context))

    async def _piece(
        self, begun: Begun, heart: Heartbeat, place: Missing, limits: BuildLimits, context: Context
    ) -> int | None:
        """One transaction of the build, in one part of the records. How many it looked at; None if nothing is missing
        there."""
        store = await self._open(context)
        current = [self._same(store, index) for index in begun.targets]
        for index in current:
            state = store.states.of(index)
            if state.is_readable and self._mutual:
                return None  # others have finished it
            if state is not IndexState.WRITE_ONLY:
                raise BuildRefused(index=index.name, state=state.name, hint="its state was changed during the build")
        gap = await gap_in(range_set_of(store, current[0]), place)
        if gap is None:
            return None
        for index in current:
            stamp = await read_stamp(store, index, snapshot=True)
            if not same_build(stamp, begun.stamp):
                raise BuildMismatch(index=index.name, hint="somebody else has begun to build it in another way")
            check_not_blocked(store, index, stamp)
            await heart.beat(store, index, alone=not self._mutual)
        records = self._size.records
        if begun.source is None:
            share = await build_share(store, current, gap, records=records, limits=limits)
        else:
            source = self._same(store, begun.source)
            check_source(store, current[0], source)
            share = await build_share_by_index(store, current[0], source, gap, records=records, limits=limits)
        return share.records

    def _same(self, store: RecordStore, index: Index) -> Index:
        """The index as the store's metadata have it now.  Raises  UnknownIndex, BuildMismatch."""
        found = store.metadata.index(index.name)
        if (found.subspace_key, found.last_modified_version) != (index.subspace_key, index.last_modified_version):
            raise BuildMismatch(index=index.name, hint="its definition was changed during the build: begin again")
        return found

    async def _finish(self, index: Index, context: Context) -> None:
        store = await self._open(context)
        found = self._same(store, index)
        await mark_readable(store, found, unique_pending=self._policy.unique_pending)
        erase_notes(store, found)

    async def _leave(self, targets: list[Index], heart: Heartbeat) -> None:
        """Take the heartbeats away. Whoever cannot is waited for until his lease has run out."""

        async def leave(context: Context) -> None:
            store = await self._open(context)
            for index in targets:
                if index.name in store.metadata.indexes:
                    heart.take_leave(store, index)

        try:
            await self._run(leave)
        except TransactionError:
            pass

    # -- transactions

    async def _open(self, context: Context) -> RecordStore:
        return await open_attached(context, self._metadata, self.prefix, self._opening)

    async def _run(self, work: Callable[[Context], Coroutine[Any, Any, T]]) -> T:
        """The result of `work(context)`, committed. All that builds do may be done twice: what is missing is looked up
        in the same transaction."""
        tries = 0
        while True:
            context = self._beginning.context(self._options, work="index build")
            try:
                result = await work(context)
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
                self._report = replace(self._report, retries=self._report.retries + 1)
                if error.retryable:
                    await context.transaction.on_error(error)
            finally:
                context.close()

    # -- telling

    def _emit(self, kind: Callable[..., Event], targets: Sequence[Index], **fields: object) -> None:
        """Tell observers of an event about each index."""
        observed = self._observed
        if observed is not None:
            for index in targets:
                observed.emit(kind(origin=observed.origin, store=path_of(self.prefix), index=index.name, **fields))


def _since(now: float, then: float) -> timedelta:
    return timedelta(seconds=now - then)


def _over(limits: BuildLimits, seconds: float) -> bool:
    return limits.total_time is not None and seconds >= limits.total_time.total_seconds()
