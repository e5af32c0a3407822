"""Scrubbing readable indexes while others use them: whether records and indexes agree, and putting right what does not.

Each transaction looks at some pairs of an index, or at some records, as they are at one moment, so that nobody's
writing is taken for a fault. How far a scrub is, it notes in range sets; any process may go on, and the next scrub
begins anew when all was looked at. Aggregates are counted again (`online.recount`).

Layout  `index.build_notes`, 3 to 7 and 10
Cost    every pair of the index is read, and its record; every record is read, and its entries
Source  Record Layer: OnlineIndexScrubber, IndexScrubbing. There entries without a record and records without an entry
        are found, of VALUE and VERSION indexes; here what an entry says too
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from recordlayer.cursor.scan import KeyRange, KeyValueScan, ScanOptions
from recordlayer.errors import (
    CorruptRecord,
    IndexNotSupported,
    TransactionError,
    UsageError,
)
from recordlayer.index.judging import Judging, Recounting
from recordlayer.index.maintainer import IndexedRecord
from recordlayer.index.range_set import FIRST, LAST
from recordlayer.index.tidying import Tidying
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.engine import KeyValue
from recordlayer.metadata import Index, RecordMetaData
from recordlayer.observe.events import ScrubAdvanced, ScrubFinished
from recordlayer.online.heartbeat import Heartbeat
from recordlayer.online.mending import Judge, Judgement
from recordlayer.online.options import WorkLimits
from recordlayer.online.recount import Recount, Recounted
from recordlayer.online.scrub_parts import Part, forget, judging, parts_of, ranges_of
from recordlayer.online.scrub_report import ScrubFinding, ScrubReport
from recordlayer.online.stamp import Method
from recordlayer.online.taking import take
from recordlayer.online.work import Limits, LongWork
from recordlayer.options import TransactionOptions
from recordlayer.store.evidence import Lookup
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import DEFAULT_OPEN, OpenOptions, Path
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore
from recordlayer.store.synthesis import indexed_records

DEFAULT_LIMITS = WorkLimits(records=500)
_TIDIED_AT_ONCE = 200  # pairs


class IndexScrubber:
    """One scrub of some indexes of one store.

    names          the indexes; None for all that are readable and can be judged part by part
    repair         put right what does not agree
    scrub_id       scrubs with other ids do not know how far this one is
    anew           begin anew, whatever a scrub before has looked at
    stop_after     so many records and pairs, to be continued; None for all
    most_findings  that are kept in the report; all are counted
    tidy           put together what lies scattered in indexes of types that can (TEXT)
    told           called after each transaction with the report so far
    """

    def __init__(
        self,
        beginning: Beginning,
        metadata: RecordMetaData | StoredMetaData,
        path: Path,
        names: Sequence[str] | None = None,
        *,
        repair: bool = False,
        scrub_id: int = 0,
        anew: bool = False,
        stop_after: int | None = None,
        most_findings: int = 1000,
        tidy: bool = False,
        limits: Limits | None = None,
        opening: OpenOptions = DEFAULT_OPEN,
        options: TransactionOptions | None = None,
        told: Callable[[ScrubReport], object] | None = None,
    ) -> None:
        if isinstance(names, str) or (names is not None and (not names or len(set(names)) != len(names))):
            raise UsageError(indexes=names, hint="give the names of one or more indexes, each once; None for all")
        for option, value, least in (
            ("scrub_id", scrub_id, 0),
            ("stop_after", 1 if stop_after is None else stop_after, 1),
            ("most_findings", most_findings, 0),
        ):
            if type(value) is not int or value < least:
                raise UsageError(option=option, got=value, hint=f"give a whole number of at least {least}")
        self._work = LongWork(
            beginning,
            metadata,
            path,
            name="index scrub",
            limits=DEFAULT_LIMITS if limits is None else limits,
            opening=opening,
            options=options,
        )
        self._names = None if names is None else tuple(names)
        self._repair, self._id, self._anew, self._tidy = repair, scrub_id, anew, tidy
        self._stop_after, self._most_findings = stop_after, most_findings
        self.told = told
        self._heart: Heartbeat | None = None
        self._report = ScrubReport()
        self._found: list[ScrubFinding] = []
        self._complete = False

    def stop(self) -> None:
        """Have the scrub end after the transaction under way. May be called from anywhere."""
        self._work.stopped = True

    async def scrub(self) -> ScrubReport:
        """Look at what was not looked at since the last scrub came to its end, or at everything.

        The report says whether it came to the end.

        Raises  UnknownIndex, StoreMissing, IndexNotReadable; IndexNotSupported for an index that cannot be judged so;
                CorruptRecord where pairs are no record: repair the records first.
        """
        work = self._work
        work.begin()
        names, others = await work.run(self._begin)
        self._heart = Heartbeat(
            uuid.UUID(int=work.world.random.getrandbits(128), version=4),
            Method.SCRUB_REPAIR.value,
            int(work.world.clock.wall() * 1000),
            0,
        )
        self._report = ScrubReport(indexes=names, not_judged=others)
        error = "stopped"
        try:
            finished = True
            for name in names:
                finished = finished and await self._scrub(name, self._heart)
            if finished:
                await work.run(self._finish)
            self._report = replace(self._report, finished=finished)
            error = "" if finished else error
        except Exception as failure:
            error = type(failure).__name__
            if isinstance(failure, CorruptRecord):
                failure.add(repair="pairs that are no record stop a scrub: repair the records first (record_repairer)")
            raise
        finally:
            self._report = replace(self._report, took=work.took, retries=work.retries)
            for name in names:
                work.emit(ScrubFinished, name, found=self._report.found, repaired=self._report.repaired, error=error)
        await self.leave()
        return self._report

    async def leave(self) -> None:
        """Take the heartbeats away, where there are any.  Cost  1 clear an index, in 1 transaction."""
        heart, self._heart = self._heart, None
        if heart is None:
            return

        async def leave(store: RecordStore) -> None:
            for name in self._report.indexes:
                if name in store.metadata.indexes:
                    heart.take_leave(store, store.metadata.indexes[name])

        try:
            await self._work.run(leave)
        except TransactionError:
            pass

    # -- beginning

    async def _begin(self, store: RecordStore) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Which indexes are to be scrubbed, and which of all cannot be. With `anew`, forgets what was looked at."""
        metadata = store.metadata
        wanted = [metadata.index(name) for name in self._names or ()]
        others: list[str] = []
        if self._names is None:
            wanted += [index for index in metadata.indexes.values() if store.states.of(index).is_readable]
        chosen = []
        for index in wanted:
            try:
                judging(store, index)
                chosen.append(index)
            except IndexNotSupported:
                if self._names is not None:
                    raise
                others.append(index.name)
        if self._anew:
            forget(store, chosen, self._id)
        return tuple(index.name for index in chosen), tuple(others)

    # -- one index

    async def _scrub(self, name: str, heart: Heartbeat) -> bool:
        """Whether all of it was looked at."""

        async def look(store: RecordStore) -> tuple[list[Part], bool, bool]:
            maintainer = judging(store, store.metadata.index(name))
            parts = parts_of(store, store.metadata.index(name), self._id)
            return parts, isinstance(maintainer, Judging), isinstance(maintainer, Tidying)

        parts, by_parts, can_tidy = await self._work.run(look)
        for part in parts:
            self._complete = False
            if by_parts:
                done = partial(self._advanced, name, records=part.prefix is None)
                came_to_the_end = await self._work.pieces(partial(self._piece, name, part, heart), done)
                if not (came_to_the_end or self._complete):
                    return False
            elif not await self._count(name, part, heart):
                return False
        return not (self._tidy and can_tidy) or await self._tidy_up(name)

    async def _finish(self, store: RecordStore) -> None:
        forget(store, [store.metadata.index(name) for name in self._report.indexes], self._id)

    async def _piece(
        self, name: str, part: Part, heart: Heartbeat, store: RecordStore, limits: WorkLimits
    ) -> int | None:
        """One transaction's share of a part. How much it looked at; None if all of it was looked at before."""
        self._found = []
        index = store.metadata.index(name)
        maintainer = judging(store, index)
        assert isinstance(maintainer, Judging), "its parts were made so"
        ranges = ranges_of(store, index, part)
        gap = await ranges.first_gap()
        if gap is None:
            return None
        lookup = Lookup(store, index)
        judgement = Judgement(store, lookup, index.name, repair=self._repair)
        most = self._work.records
        scan = ScanOptions(snapshot=True, limit=most + 1)
        if part.prefix is None:
            base = store.layout.records
            begin = base + b"\x00" if gap.begin == FIRST else base + gap.begin
            cursor = store.records.scan(KeyRange(begin, base + gap.end, len(base)), scan)

            async def records(some: list[StoredRecord]) -> None:
                about = await indexed_records(store, index, _readable(some, judgement))
                await judgement.of(self._records_judge(maintainer, about, lookup))

            taken = await take(store.context, cursor, records, most=most, limits=limits)
            reached = gap.end if taken.left is None else taken.left.primary_key_bytes
        else:
            prefix = part.prefix
            begin = prefix if gap.begin == FIRST else prefix + gap.begin
            pairs_there = KeyValueScan(store.context, KeyRange(begin, prefix + gap.end, len(prefix)), scan)

            async def pairs(some: list[KeyValue]) -> None:
                await judgement.of(self._pairs_judge(maintainer, some, lookup))

            taken = await take(store.context, pairs_there, pairs, most=most, limits=limits)
            reached = gap.end if taken.left is None else taken.left[0][len(prefix) :]
        ranges.fill(gap, reached)
        heart.beat(store, index)
        self._complete = reached == LAST
        self._found = judgement.findings
        return taken.number

    @staticmethod
    def _records_judge(maintainer: Judging, about: Sequence[IndexedRecord], lookup: Lookup) -> Judge:
        return lambda: maintainer.judge_records(about, lookup)

    @staticmethod
    def _pairs_judge(maintainer: Judging, some: list[KeyValue], lookup: Lookup) -> Judge:
        first, last = some[0][0], some[-1][0]
        known: list[list[KeyValue]] = [some]  # as they were read; later, when something was mended, as they are then

        async def judge() -> Any:
            rows = known.pop() if known else await lookup.rows(first, last + b"\x00")
            return await maintainer.judge_pairs(rows, lookup)

        return judge

    # -- aggregates

    async def _count(self, name: str, part: Part, heart: Heartbeat) -> bool:
        """Count the groups again that no recount was at. Whether all of them are done."""

        def find(store: RecordStore) -> tuple[Index, Recounting]:
            index = store.metadata.index(name)
            maintainer = judging(store, index)
            assert isinstance(maintainer, Recounting), "its parts were made so"
            return index, maintainer

        async def gap(store: RecordStore) -> bytes | None:
            found = await ranges_of(store, store.metadata.index(name), part).first_gap()
            return None if found is None else found.begin

        while (begin := await self._work.run(gap)) is not None:
            low = b"" if begin == FIRST else begin
            recount = Recount(
                self._work,
                low,
                find=find,
                mark=lambda store: heart.beat(store, store.metadata.index(name)),
                done=partial(self._advanced, name, records=True),
            )
            self._found = []
            counted = await recount.count()
            if counted is None:
                return False
            await self._work.run(partial(self._settle, name, part, begin, counted))
            what, repaired = "an aggregate is off", self._repair
            self._found = [
                ScrubFinding(where=f"index {name}", what=what, detail=off.detail, repaired=repaired)
                for off in counted.wrong
            ]
            self._advanced(name, 0, timedelta(0), records=True)
        return True

    async def _settle(self, name: str, part: Part, begin: bytes, counted: Recounted, store: RecordStore) -> None:
        """Note the groups from `begin` on as done, and add what some lack: once, although who commits may not
        learn of it."""
        index = store.metadata.index(name)
        counting = judging(store, index)
        assert isinstance(counting, Recounting), "it was counted so"
        ranges = ranges_of(store, index, part)
        gap = await ranges.first_gap()
        if gap is None or gap.begin != begin:
            return  # it was committed, or somebody else did the same
        for off in counted.wrong if self._repair else ():
            counting.add(off.group, off.wanted - off.there)
        ranges.fill(gap, min(gap.end, counted.high))

    # -- tidying

    async def _tidy_up(self, name: str) -> bool:
        """Put together what lies scattered. Whether all of it was looked at; it is not noted how far this is."""
        resume: bytes | None = b""
        reached: bytes | None = None

        async def piece(store: RecordStore, limits: WorkLimits) -> int | None:
            nonlocal reached
            if resume is None:
                return None
            maintainer = judging(store, store.metadata.index(name))
            assert isinstance(maintainer, Tidying), "it was asked before"
            reached = await maintainer.tidy(limit=_TIDIED_AT_ONCE, resume=resume or None)
            return _TIDIED_AT_ONCE

        def done(records: int, took: timedelta) -> None:
            nonlocal resume
            resume = reached

        return await self._work.pieces(piece, done)

    # -- telling

    def _advanced(self, name: str, number: int, took: timedelta, *, records: bool) -> None:
        """One transaction is committed, and what it found is true."""
        work, before = self._work, self._report
        room = max(0, self._most_findings - len(before.findings))
        found, self._found = self._found, []
        repaired = sum(finding.repaired for finding in found)
        self._report = report = replace(
            before,
            records=before.records + (number if records else 0),
            entries=before.entries + (0 if records else number),
            found=before.found + len(found),
            repaired=before.repaired + repaired,
            findings=(*before.findings, *found[:room]),
            transactions=work.transactions,
            retries=work.retries,
            took=work.took,
        )
        work.emit(ScrubAdvanced, name, looked_at=number, found=len(found), repaired=repaired, took=took)
        if self.told is not None:
            self.told(report)
        if self._stop_after is not None and report.records + report.entries >= self._stop_after:
            work.stopped = True


def _readable(records: Sequence[StoredRecord], judgement: Judgement) -> list[StoredRecord]:
    """Those that can be read; the others are findings."""
    found = []
    for record in records:
        try:
            _ = record.message
        except CorruptRecord as error:
            judgement.note("a record cannot be read", (record.primary_key, str(error)))
        else:
            found.append(record)
    return found
