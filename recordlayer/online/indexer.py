"""Building indexes over the records of a store while others read and write it.

Each transaction takes a piece of what is missing: it writes the entries of some records and notes in the range set that
they are done. Whoever saves a record meanwhile looks there to know whether its entries are his to change. A build can
be stopped at any point, by kill -9 as well, and be continued by any process.

    write-only -> the pieces, one transaction each -> readable

Cost    every record is read once; see `online.work` for its transactions
Source  Record Layer: OnlineIndexer, IndexingBase, IndexingMutuallyByRecords; paper, section 6
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from recordlayer.errors import BuildMismatch, BuildRefused, TransactionError, UsageError
from recordlayer.index.range_set import FIRST, LAST, Missing
from recordlayer.index.state import IndexState
from recordlayer.kv.beginning import Beginning
from recordlayer.metadata import Index, RecordMetaData
from recordlayer.observe.events import BuildAdvanced, BuildBegan, BuildFinished
from recordlayer.online.fragments import fragments_of
from recordlayer.online.heartbeat import Heartbeat
from recordlayer.online.options import BuildLimits, BuildPolicy, WorkLimits
from recordlayer.online.over_index import build_share_by_index, check_source
from recordlayer.online.over_records import build_share
from recordlayer.online.progress import remaining, total_of
from recordlayer.online.share import range_set_of
from recordlayer.online.stamp import check_not_blocked, erase_notes, method_of, read_stamp, same_build, scanned
from recordlayer.online.start import Begun, begin
from recordlayer.online.throttle import Throttle
from recordlayer.online.work import LongWork
from recordlayer.options import TransactionOptions
from recordlayer.store.marking import mark_readable
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import DEFAULT_OPEN, OpenOptions, Path
from recordlayer.store.store import RecordStore
from recordlayer.waiting.timer import deadline

_LEAVING = 5.0
"""Seconds that an interrupted build takes to have its heartbeat taken away, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """How a build went, or goes.

    finished      whether the indexes are built; otherwise it can be continued
    indexes       that were built, or would have been; those that needed nothing are not among them
    records       this build looked at; others before it, and beside it, may have looked at more
    transactions  it committed, and `retries` that had to be tried again
    scanned       records that builds before had looked at when this one began, and these
    total         records there were then, if an index or a counter tells; None otherwise
    """

    finished: bool
    indexes: tuple[str, ...] = ()
    records: int = 0
    transactions: int = 0
    retries: int = 0
    took: timedelta = timedelta(0)
    scanned: int = 0
    total: int | None = None

    @property
    def fraction(self) -> float | None:
        """The part that is done, 0 to 1, if it can be told."""
        if self.finished:
            return 1.0
        return None if self.total is None else min(1.0, self.scanned / max(1, self.total))

    @property
    def remaining(self) -> timedelta | None:
        """How long it will still take at the pace so far, if it can be told."""
        return timedelta(0) if self.finished else remaining(self.total, self.scanned, self.records, self.took)


class OnlineIndexer:
    """One build of some indexes of one store.

    names    the indexes, built in one pass over the records
    limits   or a function that gives them, asked before each transaction, so that they may be changed under way
    source   the name of a VALUE index to go by, instead of over all records
    mutual   several indexers, here or elsewhere, share the work: each is to be told so
    who      how others know the one who builds
    lease    how long an indexer that has fallen silent keeps others out
    told     called after each transaction with the report so far
    """

    def __init__(
        self,
        beginning: Beginning,
        metadata: RecordMetaData | StoredMetaData,
        path: Path,
        names: Sequence[str],
        *,
        policy: BuildPolicy | None = None,
        limits: BuildLimits | Callable[[], BuildLimits] | None = None,
        source: str | None = None,
        mutual: bool = False,
        who: str = "",
        lease: timedelta = timedelta(seconds=10),
        opening: OpenOptions = DEFAULT_OPEN,
        options: TransactionOptions | None = None,
        told: Callable[[BuildReport], object] | None = None,
    ) -> None:
        if isinstance(names, str) or not names or len(set(names)) != len(names):
            raise UsageError(indexes=names, hint="give the names of one or more indexes, each once")
        if source is not None and (len(names) > 1 or mutual):
            raise UsageError(indexes=names, source=source, hint="by another index, one index is built by one indexer")
        self._throttle = Throttle(BuildLimits() if limits is None else limits)
        self._work = LongWork(
            beginning,
            metadata,
            path,
            name="index build",
            limits=self._throttle,
            opening=opening,
            options=options,
        )
        self._source = source
        self._names = tuple(sorted(names))
        self._policy = policy or BuildPolicy()
        self._mutual = mutual
        self._who = who
        self._lease_ms = int(lease.total_seconds() * 1000)
        self.told = told
        self._heart: Heartbeat | None = None
        self._report = BuildReport(finished=False)

    def stop(self) -> None:
        """Have the build end after the transaction under way. May be called from anywhere."""
        self._work.stopped = True

    async def build(self) -> BuildReport:
        """Build what is missing.

        The report says whether it came to the end: a build that was stopped, or ran out of `total_time`, did not.
        Whoever interrupts this from outside should await `leave` behind it.

        Raises  UnknownIndex, StoreMissing; BuildRefused, BuildMismatch, BuildLocked, BuildBlocked; UniquenessViolation
                when all is built and records have equal values; what an index refuses.
        """
        work = self._work
        work.begin()
        self._report = BuildReport(finished=False)
        begun = await work.run(self._begin)
        targets = begun.targets
        if not targets:
            return replace(self._report, finished=True)
        before, total = await work.run(partial(self._counted, targets))
        names = tuple(index.name for index in targets)
        self._heart = Heartbeat(
            uuid.UUID(int=work.world.random.getrandbits(128), version=4),
            method_of(begun.stamp).value + (f" by {self._who}" if self._who else ""),
            int(work.world.clock.wall() * 1000),
            self._lease_ms,
        )
        self._report = BuildReport(finished=False, indexes=names, scanned=before, total=total)
        for name in names:
            work.emit(BuildBegan, name, resumed=begun.resumed)
        try:
            finished = await self._all_pieces(begun, self._heart)
            if finished:
                for index in targets if self._policy.mark_readable else ():
                    await work.run(partial(self._finish, index))
        except Exception as error:
            await self.leave()
            self._end(error=type(error).__name__)
            raise
        await self.leave()
        self._report = replace(self._report, finished=finished)
        self._end(error="" if finished else "stopped")
        return self._report

    def _end(self, *, error: str) -> None:
        self._report = replace(self._report, took=self._work.took, retries=self._work.retries)
        for name in self._report.indexes:
            records, took = self._report.records, self._report.took
            self._work.emit(BuildFinished, name, records=records, took=took, error=error)

    async def leave(self) -> None:
        """Take the heartbeats away, where there are any, so that somebody else may go on at once. Whoever cannot is
        waited for until his lease has run out.  Cost  1 clear an index, in 1 transaction."""
        heart, self._heart = self._heart, None
        if heart is None:
            return

        async def leave(store: RecordStore) -> None:
            for name in self._report.indexes:
                if name in store.metadata.indexes:
                    heart.take_leave(store, store.metadata.indexes[name])

        try:
            await deadline(self._work.run(leave), _LEAVING, self._work.world)
        except TransactionError:
            pass

    # -- the parts of a build, each a transaction or more

    async def _begin(self, store: RecordStore) -> Begun:
        indexes = [store.metadata.index(name) for name in self._names]
        return await begin(store, indexes, self._policy, mutual=self._mutual, source=self._source)

    async def _counted(self, targets: Sequence[Index], store: RecordStore) -> tuple[int, int | None]:
        """How many records builds have looked at so far, and how many there are."""
        await self._throttle.look(store, targets)
        return await scanned(store, targets[0]), await total_of(store)

    async def _all_pieces(self, begun: Begun, heart: Heartbeat) -> bool:
        """Whether nothing is missing any more."""
        places = await self._work.run(fragments_of) if self._mutual else [Missing(FIRST, LAST)]
        for place in places:
            if not await self._work.pieces(partial(self._piece, begun, heart, place), self._advanced):
                return False
        return True

    def _advanced(self, records: int, took: timedelta) -> None:
        """One transaction is committed."""
        work, before = self._work, self._report
        self._report = report = replace(
            before,
            records=before.records + records,
            scanned=before.scanned + records,
            transactions=before.transactions + 1,
            retries=work.retries,
            took=work.took,
        )
        for name in report.indexes:
            work.emit(
                BuildAdvanced,
                name,
                records=records,
                took=took,
                limit=work.records,
                scanned=report.scanned,
                total=report.total,
                remaining=report.remaining,
            )
        if self.told is not None:
            self.told(report)

    async def _piece(
        self, begun: Begun, heart: Heartbeat, place: Missing, store: RecordStore, limits: WorkLimits
    ) -> int | None:
        """One transaction of the build, in one part of the records. How many it looked at; None if nothing is missing
        there."""
        store.header.check_may_write()  # a store that is copied or moved must not change under that
        current = [_same(store, index) for index in begun.targets]
        for index in current:
            state = store.states.of(index)
            if state.is_readable and self._mutual:
                return None  # others have finished it
            if state is not IndexState.WRITE_ONLY:
                raise BuildRefused(
                    index=index.name, state=state.name, hint="its state was changed during the build: begin again"
                )
        gap = await range_set_of(store, current[0]).first_gap(place.begin, place.end)
        if gap is None:
            return None
        for index in current:
            stamp = await read_stamp(store, index, snapshot=True)
            if not same_build(stamp, begun.stamp):
                raise BuildMismatch(
                    index=index.name, hint="somebody else has begun to build it in another way: let him finish"
                )
            check_not_blocked(store, index, stamp)
            await heart.check(store, index, alone=not self._mutual)
        await self._throttle.look(store, current)
        records = self._work.records
        if begun.source is None:
            share = await build_share(store, current, gap, records=records, limits=limits)
        else:
            source = _same(store, begun.source)
            check_source(store, current[0], source)
            share = await build_share_by_index(store, current[0], source, gap, records=records, limits=limits)
        for index in current:
            heart.beat(store, index)
        return share.records

    async def _finish(self, index: Index, store: RecordStore) -> None:
        store.header.check_may_write()
        found = _same(store, index)
        await mark_readable(store, found, unique_pending=self._policy.unique_pending)
        erase_notes(store, found)


def _same(store: RecordStore, index: Index) -> Index:
    """The index as the store's metadata have it now.  Raises  UnknownIndex, BuildMismatch."""
    found = store.metadata.index(index.name)
    if (found.subspace_key, found.last_modified_version) != (index.subspace_key, index.last_modified_version):
        raise BuildMismatch(index=index.name, hint="its definition was changed during the build: begin again")
    return found
