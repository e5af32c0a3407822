"""From the entries of an index to their records, many reads under way together.

Cost  1 range read a record; a batch costs about one round trip
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import cast

from recordlayer.cursor.pipeline import WIDTH
from recordlayer.cursor.step import Batch, Cursor
from recordlayer.index.entry import IndexEntry
from recordlayer.store.record import StoredRecord
from recordlayer.store.records import Reading, Records


class FetchRecords(Cursor[StoredRecord]):
    """The record of each entry, in the order of the entries.

    missing  makes the error for an entry without a record
    keep     whether to give the record at this entry; None for always
    """

    __slots__ = ("_keep", "_missing", "_records", "_snapshot", "_source")

    def __init__(
        self,
        records: Records,
        source: Cursor[IndexEntry],
        missing: Callable[[IndexEntry], Exception],
        keep: Callable[[IndexEntry, StoredRecord], bool] | None,
        *,
        snapshot: bool,
    ) -> None:
        self._records = records
        self._source = source
        self._missing = missing
        self._keep = keep
        self._snapshot = snapshot

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[StoredRecord]:
        batch = await self._source.batch()
        entries, keep = batch.values, self._keep
        found = await self._fetched([entry.primary_key_bytes for entry in entries])
        places: list[int] = []
        for place, record in enumerate(found):
            if record is None:
                raise self._missing(entries[place])
            if keep is None or keep(entries[place], record):
                places.append(place)
        resume = batch.resume
        if len(places) == len(entries):
            return Batch(cast("list[StoredRecord]", found), resume, batch.stop, batch.end)
        kept = cast("list[StoredRecord]", [found[place] for place in places])
        return Batch(kept, lambda index: resume(places[index]), batch.stop, batch.end)

    async def _fetched(self, keys: list[bytes]) -> list[StoredRecord | None]:
        """The records with these packed primary keys, None where there is none."""
        records, snapshot = self._records, self._snapshot
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
