"""What a scrub looks up for its judgements: pairs and records of a store, as they are in its transaction.

Cost    1 read a pair, 1 range read a record; those of one question in one round trip
"""

from __future__ import annotations

from collections.abc import Sequence

from recordlayer.errors import CorruptRecord, MalformedTuple
from recordlayer.index.maintainer import IndexedRecord
from recordlayer.kv.engine import KeyValue, StreamingMode
from recordlayer.metadata import Index
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack, unpack


class Lookup:
    """Evidence about one index in one transaction. All reads are snapshots: who changes something by it declares what
    it depends on.

    broken  primary keys of records that cannot be read, by which nothing can be judged
    """

    def __init__(self, store: RecordStore, index: Index) -> None:
        self._store = store
        self._unnested = store.metadata.unnested_of(index)
        self._types = {known.name for known in store.metadata.stored_types_of(index)}
        self.broken: set[bytes] = set()

    async def values(self, keys: Sequence[bytes]) -> list[bytes | None]:
        reads = [self._store.context.get(key, snapshot=True) for key in keys]
        return [await read for read in reads]

    async def rows(self, begin: bytes, end: bytes, *, limit: int = 0, reverse: bool = False) -> list[KeyValue]:
        context = self._store.context
        if not limit:
            found = await context.read_all(begin, end, snapshot=True)
            return found[::-1] if reverse else found
        mode = StreamingMode.EXACT
        chunk = await context.get_range(begin, end, limit=limit, reverse=reverse, snapshot=True, mode=mode)
        return chunk.rows

    async def records(self, primary_keys: Sequence[bytes]) -> list[IndexedRecord | None]:
        records = self._store.records
        readings = [
            None if (packed := self.stored_key(key)) is None else (packed, records.begin(packed, snapshot=True))
            for key in primary_keys
        ]
        found: list[IndexedRecord | None] = []
        for key, reading in zip(primary_keys, readings, strict=True):
            record: IndexedRecord | None = None
            try:
                raw = None if reading is None else await records.finish(reading[1])
                stored = None if raw is None or reading is None else records.stored(reading[0], raw)
                if stored is not None and stored.record_type.name in self._types and stored.message is not None:
                    record = stored
                    if self._unnested is not None:
                        record = self._unnested.by_key(stored.message, stored.primary_key).get(key)
            except CorruptRecord:
                self.broken.add(key)
            found.append(record)
        return found

    def stored_key(self, primary_key: bytes) -> bytes | None:
        """The packed primary key of the stored record that a record is, or is made from; None if it is no such key."""
        if self._unnested is None:
            return primary_key
        try:
            found = unpack(primary_key)[1 + self._unnested.names.index(self._unnested.parent)]
            return pack(found)
        except (MalformedTuple, IndexError, TypeError):
            return None
