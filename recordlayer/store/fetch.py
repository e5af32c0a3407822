"""From the entries of an index to their records, many reads under way together.

Cost  1 range read a record; a batch costs about one round trip
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from recordlayer.cursor.limits import Budget
from recordlayer.cursor.pipeline import WIDTH
from recordlayer.cursor.step import Batch, Cursor
from recordlayer.index.entry import IndexEntry
from recordlayer.index.page import primary_keys_of
from recordlayer.store.reading import Reading
from recordlayer.store.record import StoredRecord
from recordlayer.store.record_page import RecordPage
from recordlayer.store.records import Records

PORTION = 32
"""Records that are read before a budget is looked at again."""


class FetchRecords(Cursor[StoredRecord]):
    """The record of each entry, in the order of the entries.

    missing  makes the error for an entry without a record; None for one that is to be passed over
    keep     whether to give the record at this entry; None for always
    budget   records count as what scans read does. Bytes and time stop between two portions of records; a bound of keys
             has stopped the entries already, and is passed by as many records at most
    """

    __slots__ = ("_at", "_batch", "_budget", "_keep", "_missing", "_records", "_snapshot", "_source")

    def __init__(
        self,
        records: Records,
        source: Cursor[IndexEntry],
        missing: Callable[[IndexEntry], Exception | None],
        keep: Callable[[IndexEntry, StoredRecord], bool] | None,
        *,
        snapshot: bool,
        budget: Budget | None = None,
    ) -> None:
        self._records = records
        self._source = source
        self._missing = missing
        self._keep = keep
        self._snapshot = snapshot
        self._budget = budget
        self._batch: Batch[IndexEntry] | None = None
        self._at = 0

    def start(self) -> None:
        if self._batch is None:
            self._source.start()

    async def batch(self) -> Batch[StoredRecord]:
        if self._batch is None:
            self._batch, self._at = await self._source.batch(), 0
        batch, first, budget = self._batch, self._at, self._budget
        entries: Sequence[IndexEntry] = batch.values
        if budget is not None and len(entries) - first > PORTION:
            entries = entries[first : first + PORTION]
        elif first:
            entries = entries[first:]
        keys = primary_keys_of(entries)
        found = await fetched(self._records, keys, snapshot=self._snapshot, budget=budget)
        all_there = self._keep is None and isinstance(found, RecordPage)
        places = range(len(entries)) if all_there else self._kept(entries, found)
        self._at = last = first + len(entries)
        resume = batch.resume
        stop, end = batch.stop, batch.end_when_asked
        if last < len(batch.values):
            stop = None if budget is None else budget.spent(keys=False)
            end = lambda: resume(last - 1)  # noqa: E731  (a place that is worked out when somebody asks)
        else:
            self._batch = None
        kept = cast("Sequence[StoredRecord]", found)
        if len(places) == len(entries):
            return Batch(kept, resume if not first else lambda index: resume(first + index), stop, end)
        kept = [kept[place] for place in places]
        return Batch(kept, lambda index: resume(first + places[index]), stop, end)

    def _kept(self, entries: Sequence[IndexEntry], found: Sequence[StoredRecord | None]) -> list[int]:
        """The places of the records that are given."""
        keep = self._keep
        places: list[int] = []
        for place, record in enumerate(found):
            if record is None:
                error = self._missing(entries[place])
                if error is not None:
                    raise error
            elif keep is None or keep(entries[place], record):
                places.append(place)
        return places


async def fetched(
    records: Records, keys: Sequence[bytes], *, snapshot: bool, budget: Budget | None = None
) -> Sequence[StoredRecord | None]:
    """The records with these packed primary keys, None where there is none; what they cost is spent."""
    counters = records.counters
    rows, size = counters.rows_read, counters.bytes_read
    found = await _loaded(records, keys, snapshot=snapshot)
    if budget is not None:
        budget.charge(counters.rows_read - rows, counters.bytes_read - size)
    return found


async def _loaded(records: Records, keys: Sequence[bytes], *, snapshot: bool) -> Sequence[StoredRecord | None]:
    if records.points:
        return await records.load_points(keys, snapshot=snapshot, width=WIDTH)
    ahead = min(WIDTH, len(keys))
    under_way: deque[Reading] = deque(records.begin(key, snapshot=snapshot) for key in keys[:ahead])
    found: list[StoredRecord | None] = []
    try:
        for key in keys:
            raw = await records.finish(under_way.popleft())
            if ahead < len(keys):
                under_way.append(records.begin(keys[ahead], snapshot=snapshot))
                ahead += 1
            found.append(None if raw is None else records.stored(key, raw))
    finally:
        for reading in under_way:
            reading.cancel()
    return found
