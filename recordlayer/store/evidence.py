"""What a scrub looks up for its judgements: pairs and records of a store, as they are in its transaction.

Cost    1 read a pair, 1 range read a record; those of one question in one round trip; for joined records with a missing
        constituent the look for one that fits
"""

from __future__ import annotations

from collections.abc import Sequence

from recordlayer.errors import CorruptRecord, MalformedTuple, UsageError
from recordlayer.index.maintainer import IndexedRecord
from recordlayer.kv.engine import KeyValue, StreamingMode
from recordlayer.metadata import Index
from recordlayer.store.store import RecordStore
from recordlayer.store.synthesis import indexed_records_of
from recordlayer.tuples import pack, unpack


class Lookup:
    """Evidence about one index in one transaction. Reads are snapshots: who changes something by it declares what it
    depends on. That no partner is there for a joined record cannot be declared by its key: that is no snapshot.

    broken  primary keys of records that cannot be read, by which nothing can be judged
    """

    def __init__(self, store: RecordStore, index: Index) -> None:
        self._store = store
        self._index = index
        self._synthetic = bool(store.metadata.synthetic_of(index))
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
        if self._synthetic:
            return [await self._made(key) for key in primary_keys]
        records = self._store.records
        readings = [records.begin(key, snapshot=True) for key in primary_keys]
        found: list[IndexedRecord | None] = []
        for key, reading in zip(primary_keys, readings, strict=True):
            record: IndexedRecord | None = None
            try:
                raw = await records.finish(reading)
                stored = None if raw is None else records.stored(key, raw)
                if stored is not None and stored.record_type.name in self._types and stored.message is not None:
                    record = stored
            except CorruptRecord:
                self.broken.add(key)
            found.append(record)
        return found

    async def _made(self, primary_key: bytes) -> IndexedRecord | None:
        """A record of a synthetic type, if it is one still."""
        try:
            (record,) = await indexed_records_of(self._store, self._index, [primary_key], snapshot=True)
        except (MalformedTuple, UsageError):
            return None
        except CorruptRecord:
            self.broken.add(primary_key)
            return None
        return record

    def stored_keys(self, primary_key: bytes) -> list[bytes]:
        """The packed primary keys of the stored records that a record is, or is made from."""
        if not self._synthetic:
            return [primary_key]
        try:
            return [pack(part) for part in unpack(primary_key)[1:] if isinstance(part, tuple)]
        except MalformedTuple:
            return []
