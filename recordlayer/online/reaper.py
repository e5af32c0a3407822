"""Deleting records whose time has passed, a few in each transaction, at a set rate, while others use the store.

What has expired stands at the beginning of the index that says so, and is gone from there once it is deleted: a reaper
that was stopped, or killed, has nothing to resume. Several may run: who meets another looks further on in the index.
Every record is read again before it is deleted, so one that was given more time meanwhile stays. Readers of the change
feed see a deletion with the reason "expired".

Cost    1 range read of the index a transaction, and what deleting its records costs
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta

from recordlayer.cursor.scan import ScanOptions
from recordlayer.errors import CorruptIndexEntry, UsageError
from recordlayer.index.bounds import Bounds, End
from recordlayer.index.entry import IndexEntry
from recordlayer.kv.beginning import Beginning
from recordlayer.metadata import Index, RecordMetaData
from recordlayer.metadata.expiry import Expiry, expiry_of
from recordlayer.online.options import WorkLimits
from recordlayer.online.work import Limits, LongWork
from recordlayer.options import TransactionOptions
from recordlayer.store import version_times
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import DEFAULT_OPEN, OpenOptions, Path
from recordlayer.store.store import RecordStore
from recordlayer.tuples import Versionstamp

EXPIRED = "expired"
"""The reason that the change feed gives."""
_AHEAD = 8
"""Among so many times the records of a transaction a reaper chooses its own, once it has met another."""
_NOTES = 32
"""So many times in a time to live the version of the database is noted: so much later than it is due a record goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReapReport:
    """How a reaper did.

    finished  whether nothing was left that had expired; otherwise it was stopped, or its time was over
    """

    finished: bool
    records: int = 0
    transactions: int = 0
    retries: int = 0
    took: timedelta = timedelta(0)


class Reaper:
    """One reaper of one store.

    types  names of record types; None for all that expire
    told   called after each transaction with the report so far
    """

    def __init__(
        self,
        beginning: Beginning,
        metadata: RecordMetaData | StoredMetaData,
        path: Path,
        *,
        types: Collection[str] | None = None,
        limits: Limits | None = None,
        opening: OpenOptions = DEFAULT_OPEN,
        options: TransactionOptions | None = None,
        told: Callable[[ReapReport], object] | None = None,
    ) -> None:
        if isinstance(types, str):
            raise UsageError(types=types, hint="give a list of names")
        self._types = types
        self._told = told
        self._report = ReapReport(finished=False)
        self._work = LongWork(
            beginning,
            metadata,
            path,
            name="reaper",
            limits=WorkLimits() if limits is None else limits,
            opening=opening,
            options=options,
        )

    def stop(self) -> None:
        """Have it end after the transaction under way. May be called from anywhere."""
        self._work.stopped = True

    async def reap(self) -> ReapReport:
        """Delete what has expired by now.

        Raises  StoreMissing, StoreLocked, UnknownRecordType, IndexNotReadable; UsageError if nothing ever expires.
        """
        self._work.begin()
        self._report = ReapReport(finished=False)
        finished = await self._work.pieces(self._piece, self._done)
        self._count(0, finished=finished)
        return self._report

    def _done(self, records: int, took: timedelta) -> None:
        self._count(records)
        if self._told is not None:
            self._told(self._report)

    def _count(self, records: int, *, finished: bool = False) -> None:
        work = self._work
        self._report = replace(
            self._report,
            finished=finished,
            records=self._report.records + records,
            transactions=work.transactions,
            retries=work.retries,
            took=work.took,
        )

    async def _piece(self, store: RecordStore, limits: WorkLimits) -> int | None:
        store.header.check_may_write()
        indexes = expiring(store.metadata, self._types)
        await self._note(store, [expiry for _, expiry in indexes])
        for index, expiry in indexes:
            bounds = await _expired(store, expiry)
            found = [] if bounds is None else await self._some(store, index, bounds)
            if found:
                return await self._delete(store, found, limits)
        return None

    async def _note(self, store: RecordStore, expiries: list[Expiry]) -> None:
        ages = [expiry.ttl for expiry in expiries if expiry.unit is None]
        if ages and await version_times.note(store, interval=min(ages) / _NOTES):
            version_times.forget(store, 2 * max(ages))

    async def _some(self, store: RecordStore, index: Index, bounds: Bounds) -> list[IndexEntry]:
        """Records to delete now: the first ones, or some further on if another reaper was in the way."""
        wanted = self._work.records
        met = self._work.retries > 0
        limit = wanted * _AHEAD if met else wanted
        batch = await store.scan_index(index.name, bounds, ScanOptions(snapshot=True, limit=limit)).batch()
        entries: list[IndexEntry] = list(batch.values)
        if met and len(entries) > wanted:
            start = self._work.world.random.randrange(len(entries) - wanted + 1)
            return entries[start : start + wanted]
        return entries[:wanted]

    async def _delete(self, store: RecordStore, entries: list[IndexEntry], limits: WorkLimits) -> int:
        counters, clock = store.context.counters, store.context.world.clock
        written, began = counters.bytes_written, clock.monotonic()
        await store.preload([entry.primary_key for entry in entries])
        for number, entry in enumerate(entries, 1):
            if not await store.delete_packed(entry.primary_key_bytes, reason=EXPIRED):
                raise CorruptIndexEntry(index=entry.index_name, key=entry.items, found="its record is missing")
            enough = counters.bytes_written - written >= limits.bytes
            if enough or clock.monotonic() - began >= limits.time.total_seconds():
                return number
        return len(entries)


def expiring(metadata: RecordMetaData, types: Collection[str] | None = None) -> list[tuple[Index, Expiry]]:
    """The indexes by which records expire.

    Raises  UnknownRecordType; UsageError if there is none, or one is about types that are not among the named ones too.
    """
    wanted = None if types is None else {metadata.record_type(name).name for name in types}
    found: list[tuple[Index, Expiry]] = []
    for index in metadata.indexes.values():
        expiry = expiry_of(index)
        about = {each.name for each in metadata.record_types_of(index)}
        if expiry is None or (wanted is not None and not wanted & about):
            continue
        if wanted is not None and not about <= wanted:
            hint = "all records of the index expire together: name all its types"
            raise UsageError(index=index.name, types=sorted(wanted), record_types=sorted(about), hint=hint)
        found.append((index, expiry))
    if not found:
        hint = 'say when records expire: RecordMetaDataBuilder.expires("Order", "expires_at")'
        raise UsageError(types=None if types is None else sorted(types), hint=hint)
    return found


async def _expired(store: RecordStore, expiry: Expiry) -> Bounds | None:
    """Where in its index the entries are whose records have expired; None if that is nowhere."""
    if expiry.unit is not None:
        latest = expiry.latest(store.context.world.clock.wall())
        return Bounds.between((None,), (latest,), low_end=End.EXCLUSIVE, high_end=End.INCLUSIVE)
    version = await version_times.version_at(store, expiry.ttl)
    if version is None:
        return None
    last = Versionstamp(version.to_bytes(8, "big") + b"\xff\xff", 0xFFFF)
    return Bounds.between((None,), (last,), low_end=End.EXCLUSIVE, high_end=End.INCLUSIVE)
