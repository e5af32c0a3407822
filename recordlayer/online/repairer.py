"""Records looked at one by one while others use them: those that are none any more are found in words, and deleted
where that is asked for, with the entries that indexes have of them.

    pairs without a key that anybody writes; parts that do not make a record; versions without one; bytes that cannot be
    read as the record's type; a record under another primary key than its own; a record of a type that is gone

What cannot be read says not what its entries are. So when something was deleted, all indexes are scrubbed.

Nothing is noted in the database: the report of a repair that ended early says where to go on.

Cost    every pair of the records is read; for what is deleted 1 clear range, and a scrub of the indexes at the end
Source  Record Layer: RecordRepair, RecordRepairValidateRunner
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from recordlayer.errors import MalformedTuple, UsageError
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.engine import KeyValue
from recordlayer.metadata import RecordMetaData
from recordlayer.observe.events import ScrubAdvanced, ScrubFinished
from recordlayer.online.options import WorkLimits
from recordlayer.online.scrub_report import ScrubFinding, ScrubReport
from recordlayer.online.scrubber import DEFAULT_LIMITS, IndexScrubber
from recordlayer.online.work import Limits, LongWork
from recordlayer.options import TransactionOptions
from recordlayer.store.check_records import UNKNOWN_KEY, UNKNOWN_TYPE, Found, RecordCheck
from recordlayer.store.explain_conflict import describe
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import DEFAULT_OPEN, OpenOptions, Path
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack, unpack

_MOST_COUNTED = 10_000
"""Records that are counted again in one transaction where a counter of the store may be off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairReport(ScrubReport):
    """How a repair of records went, or goes.

    resume  where the next one has to go on; None if all records were looked at
    scrub   of the indexes, where something was deleted and all records were looked at
    """

    resume: bytes | None = None
    scrub: ScrubReport | None = None


class RecordRepairer:
    """One look at the records of a store.

    delete         what is no record, or cannot be read
    delete_types   records of types that are not in the metadata: they may be of newer metadata
    add_versions   give records without a version a new one, where the metadata keep versions
    resume         where an earlier report says
    stop_after     so many pairs; None for all
    most_findings  that are kept in the report; all are counted
    told           called after each transaction with the report so far
    """

    def __init__(
        self,
        beginning: Beginning,
        metadata: RecordMetaData | StoredMetaData,
        path: Path,
        *,
        delete: bool = False,
        delete_types: bool = False,
        add_versions: bool = False,
        resume: bytes | None = None,
        stop_after: int | None = None,
        most_findings: int = 1000,
        limits: Limits | None = None,
        opening: OpenOptions = DEFAULT_OPEN,
        options: TransactionOptions | None = None,
        told: Callable[[RepairReport], object] | None = None,
    ) -> None:
        if resume is not None and not isinstance(resume, bytes):
            raise UsageError(resume=resume, hint="give the `resume` of a report")
        limits = DEFAULT_LIMITS if limits is None else limits
        self._work = LongWork(
            beginning, metadata, path, name="record repair", limits=limits, opening=opening, options=options
        )
        self._scrubber = IndexScrubber(
            beginning,
            metadata,
            path,
            repair=True,
            anew=True,
            most_findings=most_findings,
            limits=limits,
            opening=opening,
            options=options,
        )
        self._delete, self._delete_types, self._add_versions = delete, delete_types, add_versions
        self._at: bytes | None = resume or b""
        self._next: bytes | None = self._at
        self._stop_after, self._most_findings = stop_after, most_findings
        self.told = told
        self._found: list[ScrubFinding] = []
        self._report = RepairReport(resume=self._at)

    def stop(self) -> None:
        """Have the repair end after the transaction under way. May be called from anywhere."""
        self._work.stopped = True
        self._scrubber.stop()

    async def repair(self) -> RepairReport:
        """Look at all records, or those that are left.  Raises  StoreMissing, StoreLocked."""
        work = self._work
        work.begin()
        finished = await work.pieces(self._piece, self._advanced) or self._at is None
        report = self._report
        if finished and report.repaired and (self._delete or self._delete_types):
            scrubbed = await self._scrubber.scrub()
            await work.run(self._count_again)
            report = replace(report, scrub=scrubbed)
        self._report = replace(report, finished=finished, took=work.took, retries=work.retries)
        error = "" if finished else "stopped"
        work.emit(ScrubFinished, "", found=report.found, repaired=report.repaired, error=error)
        return self._report

    async def leave(self) -> None:
        """Behind an interruption: take away what the scrub of the indexes has there."""
        await self._scrubber.leave()

    async def _piece(self, store: RecordStore, limits: WorkLimits) -> int | None:
        """Look at some pairs, record by record. How many; None if there are no more."""
        self._found = []
        if self._at is None:
            return None
        if self._delete or self._delete_types or self._add_versions:
            store.header.check_may_write()
        rows, self._next = await self._rows(store, self._at, self._work.records)
        check = RecordCheck(store)
        records = check.read(rows)
        if store.records.has_old_versions:
            prefix = store.layout.old_versions
            low = self._at or b"\x00"
            high = b"\xff" if self._next is None else self._next
            check.old_versions(await store.context.read_all(prefix + low, prefix + high, snapshot=True))
        for found in check.found:
            self._settle(store, found)
        if store.metadata.store_record_versions:
            for record in records:
                if record.version is None:
                    await self._without_version(store, record)
        return len(rows)

    async def _rows(self, store: RecordStore, begin: bytes, most: int) -> tuple[list[KeyValue], bytes | None]:
        """The next pairs, no record's parted, and where others begin: behind the prefix of all records."""
        base = store.layout.records
        first = base + (begin or b"\x00")
        chunk = await store.context.get_range(first, base + b"\xff", limit=most, snapshot=True)
        rows = list(chunk.rows)
        if not chunk.more and len(rows) < most:
            return rows, None
        if not rows:
            return rows, None
        last = _base_of(store, rows[-1][0])
        whole = [row for row in rows if not row[0].startswith(last)]
        if whole:
            return whole, last[len(base) :]
        rest = await store.context.read_all(rows[-1][0] + b"\x00", last + b"\xff", snapshot=True)
        return rows + rest, last[len(base) :] + b"\xff"

    def _settle(self, store: RecordStore, found: Found) -> None:
        context = store.context
        where = describe(context, found.key, found.key + b"\x00")
        wanted = self._delete_types if found.what == UNKNOWN_TYPE else self._delete
        trouble = ""
        if found.what == UNKNOWN_KEY:
            wanted, trouble = False, "open the store with that key" if self._delete else ""
        if wanted and found.base is not None:
            context.add_read_conflict_range(found.base, found.base + b"\xff")
            store.records.splitting.remove(context, found.base)
            context.clear(store.layout.old_versions + found.base[len(store.layout.records) :])
        elif wanted:
            context.add_read_conflict_key(found.key)
            context.clear(found.key)
        self._found.append(
            ScrubFinding(where=where, what=found.what, detail=found.detail, repaired=wanted, trouble=trouble)
        )

    async def _without_version(self, store: RecordStore, record: StoredRecord) -> None:
        if self._add_versions:
            await store.save(record.message)
        self._found.append(
            ScrubFinding(
                where=f"record {record.primary_key!r}", what="a record has no version", repaired=self._add_versions
            )
        )

    async def _count_again(self, store: RecordStore) -> None:
        """Counters of records, which nobody can tell what a deleted record counted for."""
        if store.counts is None:
            return
        cursor, records = store.scan(), list[StoredRecord]()
        while True:
            batch = await cursor.batch()
            records += batch.values
            if batch.stop is not None:
                break
            if len(records) > _MOST_COUNTED:
                return
        for key, _, expected in await store.counts.differences(records):
            store.context.set(key, expected.to_bytes(8, "little"))

    def _advanced(self, number: int, took: timedelta) -> None:
        work, before = self._work, self._report
        self._at = self._next
        found: Sequence[ScrubFinding] = self._found
        repaired = sum(finding.repaired for finding in found)
        room = max(0, self._most_findings - len(before.findings))
        self._report = report = replace(
            before,
            records=before.records + number,
            found=before.found + len(found),
            repaired=before.repaired + repaired,
            findings=(*before.findings, *found[:room]),
            transactions=work.transactions,
            retries=work.retries,
            took=work.took,
            resume=self._at,
        )
        work.emit(ScrubAdvanced, "", looked_at=number, found=len(found), repaired=repaired, took=took)
        if self.told is not None:
            self.told(report)
        if self._stop_after is not None and report.records >= self._stop_after:
            work.stopped = True


def _base_of(store: RecordStore, key: bytes) -> bytes:
    """The key of a record's pair without its suffix; of what is no such key the key itself."""
    if not store.records.splitting.has_suffixes:
        return key
    try:
        items = unpack(key, len(store.layout.records))
    except MalformedTuple:
        return key
    return key[: -len(pack(items[-1:]))] if len(items) > 1 else key
