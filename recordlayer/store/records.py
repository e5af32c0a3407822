"""The records of a store: reading and writing them in whichever way its format keeps them.

Cost    load: 1 range read (a point read where records have no suffix; + 1 read for versions of old formats)
        scan: 1 range read a chunk
Source  Record Layer, FDBRecordStore.loadRawRecord, SplitHelper, FDBRecordStore.scanTypedRecords
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recordlayer.cursor.pipeline import ReadEach
from recordlayer.cursor.scan import FORWARD, KeyRange, ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.errors import CorruptRecord
from recordlayer.kv.context import Context
from recordlayer.kv.counters import Counters
from recordlayer.kv.engine import Chunk, KeyValue, StreamingMode
from recordlayer.kv.mutations import SET, Write
from recordlayer.store.layout import StoreLayout
from recordlayer.store.reading import Reading, ReadingMany
from recordlayer.store.record import Codec, StoredRecord
from recordlayer.store.record_page import RecordPage
from recordlayer.store.record_scan import RecordScan
from recordlayer.store.split import (
    PART,
    SURE_OF_SIZE,
    UNSPLIT,
    VERSION,
    RawRecord,
    Shape,
    Splitting,
    broken,
    in_words,
    pending_version,
    write_version,
)
from recordlayer.tuples import Versionstamp
from recordlayer.waiting.waitable import Waitable

_OLD_PLACEHOLDER = bytes(4)


class Records:
    """The records keyspace of one store in one transaction.

    old_versions  versions lie in their own keyspace (formats before 6, and stores that omit suffixes)
    _preloaded    what `preload` read, until somebody changes it: raw records by primary key, None for absent ones; the
                  load itself as long as it is under way
    points        a record is one pair: its metadata has neither versions nor long records. A point read will do then,
                  which engines answer several times faster than a range
    """

    __slots__ = (
        "_codec",
        "_context",
        "_is_plain",
        "_layout",
        "_old_versions",
        "_preloaded",
        "_stores_versions",
        "points",
        "splitting",
    )

    def __init__(
        self,
        context: Context,
        layout: StoreLayout,
        codec: Codec,
        splitting: Splitting,
        *,
        old_versions: bool,
    ) -> None:
        self._context = context
        self._layout = layout
        self._codec = codec
        self.splitting = splitting
        self._old_versions = old_versions
        self._stores_versions = codec.metadata.store_record_versions
        self._preloaded: dict[bytes, RawRecord | ReadingMany | None] = {}
        self._is_plain = splitting.has_suffixes and not old_versions
        self.points = splitting.has_suffixes and not splitting.splits and not self._stores_versions

    @property
    def counters(self) -> Counters:
        """What the transaction has read so far."""
        return self._context.counters

    @property
    def has_old_versions(self) -> bool:
        return self._old_versions

    @property
    def is_plain(self) -> bool:
        """Whether all of a record lies side by side, and nothing of it was loaded before."""
        return self._is_plain and not self._preloaded

    # -- one record ------------------------------------------------------------------------------------

    def begin(self, primary_key: bytes, *, snapshot: bool = False, exact: bool = False) -> Reading:
        """Start to load a record. `exact`: with everything that may lie there, for who is going to replace it: versions
        that the metadata does not ask for as well."""
        context = self._context
        base = self._layout.records + primary_key
        if self._preloaded and primary_key in self._preloaded:
            ready = self._preloaded[primary_key]
            if not isinstance(ready, ReadingMany):
                return Reading(base, None, None, None, snapshot, ready)
        if self.points and not exact:
            return Reading(base, None, context.get(base + UNSPLIT, snapshot=snapshot), None, snapshot)
        old_version = None
        if self._old_versions and self._stores_versions:
            old_version = context.get(self._layout.old_versions + primary_key, snapshot=snapshot)
        if not self.splitting.has_suffixes:
            return Reading(base, None, context.get(base, snapshot=snapshot), old_version, snapshot)
        pairs = context.get_range(base + b"\x00", base + b"\xff", snapshot=snapshot, mode=StreamingMode.WANT_ALL)
        return Reading(base, pairs, None, old_version, snapshot)

    async def finish(self, reading: Reading) -> RawRecord | None:
        """The record whose load is under way, None if there is none.  Raises  CorruptRecord."""
        base = reading.base
        if reading.value is not None:
            value = await reading.value
            raw = None
            if value is not None:
                length = len(base) + 1 if self.splitting.has_suffixes else len(base)
                raw = RawRecord(value, None, Shape(0, False, length, len(value)))
                self._context.counters.rows_read += 1
                self._context.counters.bytes_read += len(value)
        elif reading.pairs is None:
            return reading.ready
        else:
            raw = await self._assembled(base, await reading.pairs, snapshot=reading.snapshot)
        if raw is not None:
            if reading.old_version is not None:
                raw.version = await self._old_version(base, reading.old_version)
            elif (version := pending_version(self._context, base)) is not None:
                raw.version = version
        return raw

    async def load(self, primary_key: bytes, *, snapshot: bool = False) -> StoredRecord | None:
        """The record with a packed primary key, None if there is none.  Raises  CorruptRecord."""
        if not self.points or self._preloaded:
            ready = self._preloaded.get(primary_key)
            if ready is not None and not isinstance(ready, ReadingMany):
                return self.stored(primary_key, ready)
            raw = await self.finish(self.begin(primary_key, snapshot=snapshot))
            return None if raw is None else self.stored(primary_key, raw)
        # The usual case, in as few steps as it can be: see `begin` and `finish`.
        context = self._context
        base = self._layout.records + primary_key
        value = await context.get(base + UNSPLIT, snapshot=snapshot)
        if value is None:
            return None
        counters = context.counters
        counters.rows_read += 1
        counters.bytes_read += len(value)
        shape = Shape(0, False, len(base) + 1, len(value))
        return StoredRecord(self._codec, primary_key, value, pending_version(context, base), shape)

    async def replaced(self, base: bytes) -> RawRecord | None:
        """What is to be replaced at `base`, where `is_plain`: as `begin` and `finish`, `exact`."""
        context = self._context
        chunk = await context.get_range(base + b"\x00", base + b"\xff", mode=StreamingMode.WANT_ALL)
        rows = chunk.rows
        if not rows:
            return None
        raw: RawRecord | None
        if len(rows) == 1 and not chunk.more and rows[0][0] == base + UNSPLIT:
            value = rows[0][1]
            length = len(base) + 1
            counters = context.counters
            counters.rows_read += 1
            counters.bytes_read += length + len(value)
            return RawRecord(value, pending_version(context, base), Shape(0, False, length, len(value)))
        raw = await self._assembled(base, chunk, snapshot=False)
        if raw is not None and (version := pending_version(context, base)) is not None:
            raw.version = version
        return raw

    async def _assembled(self, base: bytes, chunk: Chunk, *, snapshot: bool) -> RawRecord | None:
        return self.assemble(base, await self._rest(base, chunk, snapshot=snapshot) if chunk.more else chunk.rows)

    async def _rest(self, base: bytes, chunk: Chunk, *, snapshot: bool) -> list[KeyValue]:
        """All pairs below `base`, of which there are more than the first chunk has."""
        rows = chunk.rows
        more = self._context.read_all(rows[-1][0] + b"\x00", base + b"\xff", snapshot=snapshot) if rows else None
        return rows if more is None else rows + await more

    def _found(self, base: bytes, rows: list[KeyValue]) -> RawRecord | None:
        """The record in all pairs below `base`, with the version that this transaction has given it.

        Raises  CorruptRecord.
        """
        raw = self.assemble(base, rows) if rows else None
        if raw is not None and (version := pending_version(self._context, base)) is not None:
            raw.version = version
        return raw

    def assemble(self, base: bytes, rows: list[KeyValue]) -> RawRecord | None:
        """The record in the pairs below `base`.  Raises  CorruptRecord."""
        counters = self._context.counters
        counters.rows_read += len(rows)
        if len(rows) == 1:
            key, value = rows[0]
            counters.bytes_read += len(key) + len(value)
            if key[len(base) :] == UNSPLIT:
                return RawRecord(value, None, Shape(0, False, len(key), len(value)))
        else:
            counters.bytes_read += sum(len(key) + len(value) for key, value in rows)
        try:
            return self.splitting.assemble(base, rows)
        except CorruptRecord as error:
            raise in_words(error, self._context) from error.__cause__

    def begin_all(self, primary_keys: Sequence[bytes], *, snapshot: bool = False, exact: bool = False) -> ReadingMany:
        """Start to load several records, as `begin` does."""
        layout = self._layout
        if not self.splitting.has_suffixes or self._old_versions or self._preloaded or (self.points and not exact):
            each = [self.begin(key, snapshot=snapshot, exact=exact) for key in primary_keys]
            return ReadingMany(primary_keys, None, each, snapshot)
        prefix = layout.records
        ranges = [(prefix + key + b"\x00", prefix + key + b"\xff") for key in primary_keys]
        return ReadingMany(primary_keys, self._context.get_ranges(ranges, snapshot=snapshot), (), snapshot)

    async def finish_all(self, reading: ReadingMany) -> list[RawRecord | None]:
        """The records whose load is under way, None for those that are not there.  Raises  CorruptRecord."""
        if reading.chunks is None:
            return [await self.finish(one) for one in reading.each]
        found: list[RawRecord | None] = []
        for key, chunk in zip(reading.primary_keys, await reading.chunks, strict=True):
            base = self._layout.records + key
            rows = await self._rest(base, chunk, snapshot=reading.snapshot) if chunk.more else chunk.rows
            found.append(self._found(base, rows))
        return found

    async def _old_version(self, base: bytes, read: Waitable[bytes | None]) -> Versionstamp | None:
        key = self._old_version_key(base)
        pending = self._context.stamped_value(key)
        if pending is not None:
            return Versionstamp.from_bytes(pending[:12])
        value = await read
        return None if value is None else self._read_old_version(key, value)

    def _read_old_version(self, key: bytes, value: bytes) -> Versionstamp:
        if len(value) != 12:
            raise in_words(broken(key, "a version has 12 bytes", value=value), self._context)
        return Versionstamp.from_bytes(value)

    def _old_version_key(self, base: bytes) -> bytes:
        return self._layout.old_versions + base[len(self._layout.records) :]

    def check_size(self, record: StoredRecord, data: bytes) -> None:
        """Raises  RecordTooLarge."""
        self.splitting.check_size(self._layout.records + record.primary_key_bytes, len(data))

    def shape(self, record: StoredRecord, data: bytes) -> Shape:
        """What a record takes when it is written."""
        base = self._layout.records + record.primary_key_bytes
        return self.splitting.shape(base, len(data), versioned=record.version is not None and not self._old_versions)

    def write(self, record: StoredRecord, data: bytes, old: RawRecord | None) -> None:
        """Store a record and its version in place of `old`.  Cost  1 write (+ 1 with a version; see `split`)."""
        base = self._layout.records + record.primary_key_bytes
        if self._preloaded:
            self._preloaded.pop(record.primary_key_bytes, None)
        versioned = record.version is not None and not self._old_versions
        record.shape = self.splitting.shape(base, len(data), versioned=versioned)
        self.splitting.write(self._context, base, data, None if old is None else old.shape)
        self._write_version(base, record.version, had_version=old is not None and old.version is not None)

    def one_pair(self, record: StoredRecord, data: bytes, old: RawRecord | None) -> Write | None:
        """What `write` does but for the write of the record itself, where that is one pair in place of none or one: it
        is the caller's to perform then. None where there is more to it, or something to refuse.  Cost  as `write`."""
        version = record.version
        if (
            len(data) > PART
            or not self._is_plain
            or (old is not None and (old.shape.parts or (version is None and old.version is not None)))
            or len(key := self._layout.records + record.primary_key_bytes + UNSPLIT) > SURE_OF_SIZE
        ):
            return None
        self._preloaded.pop(record.primary_key_bytes, None)
        record.shape = self.splitting.shape(key[:-1], len(data), versioned=version is not None)
        if version is not None:
            write_version(self._context, key[:-1], version)
        return SET, key, data

    def _write_version(self, base: bytes, version: Versionstamp | None, *, had_version: bool) -> None:
        context = self._context
        if not self._old_versions:
            if version is not None:
                write_version(context, base, version)
            elif had_version:
                context.clear(base + VERSION)
            return
        key = self._old_version_key(base)
        if version is None:
            if had_version:
                context.clear(key)
        elif version.is_complete:
            context.drop_stamped_value(key)
            context.set(key, version.to_bytes())
        else:
            context.set_stamped_value(key, version.to_bytes() + _OLD_PLACEHOLDER)

    def remove(self, primary_key: bytes, old: RawRecord) -> None:
        """Clear a record and its version.  Cost  1 clear (+ 1 for a version of an old format)."""
        base = self._layout.records + primary_key
        if self._preloaded:
            self._preloaded.pop(primary_key, None)
        self.splitting.remove(self._context, base)
        if self._old_versions and old.version is not None:
            self._context.clear(self._old_version_key(base))

    def stored(self, primary_key: bytes, raw: RawRecord) -> StoredRecord:
        return StoredRecord(self._codec, primary_key, raw.data, raw.version, raw.shape)

    async def load_points(
        self, primary_keys: Sequence[bytes], *, snapshot: bool, width: int
    ) -> Sequence[StoredRecord | None]:
        """Records that are one pair each, None where there is none; `width` reads are under way together."""
        context, prefix = self._context, self._layout.records
        data: list[bytes | None] = []
        for start in range(0, len(primary_keys), width):
            part = primary_keys[start : start + width]
            data += await context.get_many([prefix + key + UNSPLIT for key in part], snapshot=snapshot)
        there = [value for value in data if value is not None]
        context.counters.rows_read += len(primary_keys)
        context.counters.bytes_read += sum(map(len, there))
        codec = self._codec
        if len(there) == len(data):
            return RecordPage(codec, primary_keys, there)
        return [
            None if value is None else StoredRecord(codec, key, value)
            for key, value in zip(primary_keys, data, strict=True)
        ]

    # -- loaded before they are asked for --------------------------------------------------------------

    async def preload(self, primary_keys: Iterable[bytes]) -> None:
        """Load records, to be answered from memory when they are loaded or saved later in this transaction.

        Cost    1 range read each, in 1 round trip.
        Raises  CorruptRecord.
        """
        preloaded = self._preloaded
        keys = [key for key in dict.fromkeys(primary_keys) if key not in preloaded]
        if not keys:
            return
        reading = self.begin_all(keys, exact=True)
        preloaded.update(dict.fromkeys(keys, reading))
        try:
            chunks = None if reading.chunks is None else await reading.chunks
            for place, key in enumerate(keys):
                try:
                    if chunks is None:
                        raw = await self.finish(reading.each[place])
                    else:
                        base, chunk = self._layout.records + key, chunks[place]
                        rows = await self._rest(base, chunk, snapshot=False) if chunk.more else chunk.rows
                        raw = self._found(base, rows)
                except CorruptRecord:
                    if preloaded.get(key) is reading:
                        raise
                    continue  # it was changed between two chunks
                if preloaded.get(key) is reading:  # nobody has changed it since
                    preloaded[key] = raw
        finally:
            for key in keys:
                if preloaded.get(key) is reading:
                    del preloaded[key]

    def forget_preloaded(self) -> None:
        """Records were changed that nobody names."""
        self._preloaded.clear()

    # -- many ------------------------------------------------------------------------------------------

    def scan(self, keys: KeyRange, options: ScanOptions = FORWARD) -> Cursor[StoredRecord]:
        """The records of a range of primary keys, in order of their keys."""
        scan = RecordScan(self._context, self._layout.records, self._codec, self.splitting, keys, options)
        if not (self._old_versions and self._stores_versions):
            return scan
        old_versions = self._layout.old_versions

        def read(record: StoredRecord) -> Waitable[bytes | None]:
            return self._context.get(old_versions + record.primary_key_bytes, snapshot=options.snapshot)

        def finish(record: StoredRecord, value: bytes | None) -> StoredRecord:
            key = old_versions + record.primary_key_bytes
            pending = self._context.stamped_value(key)
            if pending is not None:
                record.version = Versionstamp.from_bytes(pending[:12])
            elif value is not None:
                record.version = self._read_old_version(key, value)
            return record

        return ReadEach(scan, read, finish)
