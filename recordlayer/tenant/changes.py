"""What has changed in a tenant since an earlier export, as a stream; and bringing a copy up to date with it.

The stream has every primary key of every store, in order, with the version of its record; the records themselves only
where the version is newer than the earlier export, or is not known. So whoever takes it finds out what was deleted, and
notices when his copy is not what the earlier export made: a record that is said to be unchanged must be there with the
same version. It takes record versions (`store_record_versions` in the metadata), and the metadata themselves, because
records are saved again, with their versions, by the rules of the target's indexes.

Layout  RECORDS: 1 if these are the last of the store, else 0 (1 byte), then pairs as in ROWS: the packed primary key,
        and flags (1: a version, 2: the record), the version (12 bytes), the record in its union
Cost    export: every record is read once; import: every record of the copy is read once, what changed is saved
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from recordlayer.cursor.limits import Limits, budget_of
from recordlayer.cursor.scan import KeyRange, ScanOptions
from recordlayer.cursor.step import Stop
from recordlayer.errors import (
    CorruptRecord,
    ImportRefused,
    IncrementalRefused,
    MalformedTuple,
    StreamDamaged,
    UsageError,
    WrongType,
)
from recordlayer.index.bounds import Bounds
from recordlayer.keyspace.space import BEHIND
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.kv.engine import KeyValue
from recordlayer.metadata import RecordMetaData
from recordlayer.metadata.envelope import parse
from recordlayer.options import TransactionOptions
from recordlayer.store.expect import VersionBehavior
from recordlayer.store.open import OpenMode, OpenOptions, Path, open_store
from recordlayer.store.record import StoredRecord
from recordlayer.store.serializer import PLAIN, Serializer
from recordlayer.store.store import RecordStore
from recordlayer.tenant.export import Exporter, Guard
from recordlayer.tenant.place import TenantPlace, tenant_place
from recordlayer.tenant.spots import Spot, Spots
from recordlayer.tenant.steps import StepLimits, Steps
from recordlayer.tenant.stores import list_stores, token_of
from recordlayer.tenant.stream import Frame, Kind, Reader, rows_as_bytes, rows_in
from recordlayer.tuples import Versionstamp, unpack

_VERSION, _RECORD = 1, 2
_VERSION_BYTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesReport:
    """What bringing a copy up to date has done."""

    finished: bool = False
    stores: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    transactions: int = 0


class ChangeExporter(Exporter):
    """An export of what has changed since a version of the same database.

    Raises  IncrementalRefused for metadata that store no versions.
    """

    def __init__(
        self,
        beginning: Beginning,
        path: Path,
        *,
        since: int,
        metadata: RecordMetaData,
        serializer: Serializer = PLAIN,
        guard: Guard = Guard.PROVE,
        limits: StepLimits | None = None,
        options: TransactionOptions | None = None,
    ) -> None:
        super().__init__(beginning, path, guard=guard, limits=limits, options=options)
        if type(since) is not int or since < 1:
            raise UsageError(since=since, hint="give the version in the report of an earlier export")
        _check(metadata)
        self._contents = ("changes", since, None)
        self._since = since
        self._metadata = metadata
        self._opening = OpenOptions(mode=OpenMode.OPEN, format_version=1, serializer=serializer)
        self._behind: bytes | None = None

    async def _piece(self, place: TenantPlace, spots: Spots, context: Context) -> tuple[list[tuple[Kind, bytes]], bool]:
        frames: list[tuple[Kind, bytes]] = []
        if self._store is None:
            page = await list_stores(context, place, limit=1, continuation=token_of(place, self._at))
            if not page.stores:
                return [], page.continuation is None
            self._store, self._behind = page.stores[0].prefix, None
            spot = await spots.spot_of(context, self._store, is_store=True)
            frames.append((Kind.PLACE, spot.packed()))
            self._stores += 1
        store = await open_store(context, self._metadata, self._store, self._opening)
        options = ScanOptions(
            snapshot=True,
            limit=self._steps.keys,
            continuation=self._behind,
            budget=budget_of(context, Limits(bytes=self._steps.limits.bytes)),
        )
        cursor = store.scan(Bounds.ALL, options)
        rows: list[KeyValue] = []
        while True:
            batch = await cursor.batch()
            rows += [self._entry(record) for record in batch.values]
            if batch.stop is not None:
                break
        last = batch.stop is Stop.EXHAUSTED
        frames.append((Kind.RECORDS, bytes((last,)) + rows_as_bytes(rows)))
        self._rows += len(rows)
        self._bytes += sum([len(key) + len(value) for key, value in rows])
        if last:
            self._at, self._store = self._store + BEHIND, None
        else:
            self._behind = batch.end
        return frames, False

    def _entry(self, record: StoredRecord) -> KeyValue:
        version = record.version
        if version is None:
            return record.primary_key_bytes, bytes((_RECORD,)) + self._metadata.envelope(record.message)
        stamp = version.to_bytes()
        if int.from_bytes(stamp[:8], "big") <= self._since:
            return record.primary_key_bytes, bytes((_VERSION,)) + stamp
        return record.primary_key_bytes, bytes((_VERSION | _RECORD,)) + stamp + self._metadata.envelope(record.message)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One record as the stream has it. `data` is None if it is unchanged."""

    key: bytes
    version: Versionstamp | None
    data: bytes | None

    @classmethod
    def of(cls, key: bytes, value: bytes) -> _Entry:
        """Raises  StreamDamaged."""
        flags = value[0] if value else 0
        at = 1 + _VERSION_BYTES if flags & _VERSION else 1
        if not 1 <= flags <= 3 or len(value) < at or (not flags & _RECORD and len(value) != at):
            raise StreamDamaged(found="an entry that is none")
        version = Versionstamp.from_bytes(value[1:at]) if flags & _VERSION else None
        return cls(key, version, value[at:] if flags & _RECORD else None)


class ChangeImporter:
    """Brings a copy up to date. The stream must have been read once to its end before: what is fed is applied."""

    def __init__(
        self,
        beginning: Beginning,
        path: Path,
        *,
        metadata: RecordMetaData,
        serializer: Serializer = PLAIN,
        limits: StepLimits | None = None,
        options: TransactionOptions | None = None,
    ) -> None:
        _check(metadata)
        self._steps = Steps(beginning, "tenant import", limits, options)
        self._path = path
        self._metadata = metadata
        self._opening = OpenOptions(serializer=serializer)
        self._reader = Reader()
        self._place: TenantPlace | None = None
        self._spots: Spots | None = None
        self._prefix: bytes | None = None
        self._low: bytes | None = None  # the last primary key that was dealt with
        self._report = ChangesReport()

    @property
    def report(self) -> ChangesReport:
        return replace(self._report, transactions=self._steps.transactions)

    async def feed(self, data: bytes) -> None:
        """Apply some bytes of the stream.

        Raises  IncrementalRefused if the copy is not what the earlier export made; ImportRefused, StreamDamaged.
        """
        for frame in self._reader.feed(data):
            await self._take(frame)
        await self._steps.pace(len(data))

    async def finish(self) -> ChangesReport:
        """The stream is at its end.  Raises  StreamTruncated."""
        self._reader.finish()
        self._report = replace(self._report, finished=True)
        return self.report

    async def _take(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.BEGIN:
                await self._begin(frame)
            case Kind.PLACE:
                spot = Spot.of(frame.content)
                self._prefix = await self._steps.run(lambda context: self._prefix_of(context, spot))
                self._low = None
                self._report = replace(self._report, stores=self._report.stores + 1)
            case Kind.RECORDS:
                await self._records(frame)
            case Kind.ROWS:
                raise StreamDamaged(at=frame.end, found="rows in an export of changes")

    async def _begin(self, frame: Frame) -> None:
        try:
            what = unpack(frame.content)[2]
        except (MalformedTuple, IndexError) as error:
            raise StreamDamaged(at=frame.end, found="a beginning that is none") from error
        if what != "changes":
            raise ImportRefused(has=what, hint="this is an export of everything: import_from takes it")

        async def learn(context: Context) -> tuple[TenantPlace, Spots]:
            place = await tenant_place(context, self._path)
            return place, await Spots.of(context, place)

        self._place, self._spots = await self._steps.run(learn)

    async def _prefix_of(self, context: Context, spot: Spot) -> bytes:
        place, spots = self._place, self._spots
        if place is None or spots is None:
            raise StreamDamaged(found="a place before the beginning")
        prefix = await spots.prefix_of(context, spot)
        if not place.has(prefix):
            raise StreamDamaged(found="a key outside of the tenant")
        return prefix

    async def _records(self, frame: Frame) -> None:
        if self._prefix is None or not frame.content:
            raise StreamDamaged(at=frame.end, found="records without a place")
        entries = [_Entry.of(key, value) for key, value in rows_in(frame.content[1:])]
        last = bool(frame.content[0])
        while entries or last:
            part = entries[: self._steps.keys]
            whole = last and len(part) == len(entries)
            high = None if whole else part[-1].key
            cut, counts = await self._steps.run(lambda context, part=part, high=high: self._apply(context, part, high))  # type: ignore[misc]
            changed, unchanged, deleted = counts
            self._report = replace(
                self._report,
                changed=self._report.changed + changed,
                unchanged=self._report.unchanged + unchanged,
                deleted=self._report.deleted + deleted,
            )
            if cut is None:
                return
            self._low = cut
            entries = [entry for entry in entries if entry.key > cut]

    async def _apply(
        self, context: Context, entries: Sequence[_Entry], high: bytes | None
    ) -> tuple[bytes | None, tuple[int, int, int]]:
        """Make the records behind the last one that was dealt with, up to `high`, be these. How far it came: None for
        the end of the store."""
        assert self._prefix is not None, "there is a place"
        store = await open_store(context, self._metadata, self._prefix, self._opening)
        there, cut = await self._there(store, high)
        changed = unchanged = 0
        for entry in entries:
            if cut is not None and entry.key > cut:
                break
            known = entry.key in there
            old = there.pop(entry.key, None)
            if entry.data is not None:
                await self._save(store, entry, entry.data)
                changed += 1
            elif not known or old != entry.version:
                raise IncrementalRefused(
                    store=str(self._place),
                    primary_key=_columns(entry.key),
                    there=old,
                    expected=entry.version,
                    hint="the copy is not what the earlier export made: import everything anew",
                )
            else:
                unchanged += 1
        for key in there:
            await store.delete_packed(key)
        return cut, (changed, unchanged, len(there))

    async def _there(
        self, store: RecordStore, high: bytes | None
    ) -> tuple[dict[bytes, Versionstamp | None], bytes | None]:
        """The records that the copy has in between, and how far they were looked at."""
        records = store.layout.records
        begin = records + (b"\x00" if self._low is None else self._low + BEHIND)
        end = records + (BEHIND if high is None else high + BEHIND)
        keys = KeyRange(begin, end, len(records), None)
        budget = budget_of(store.context, Limits(bytes=self._steps.limits.bytes))
        cursor = store.records.scan(keys, ScanOptions(limit=self._steps.keys, budget=budget))
        found: dict[bytes, Versionstamp | None] = {}
        last = b""
        while True:
            batch = await cursor.batch()
            for record in batch.values:
                last = record.primary_key_bytes
                found[last] = record.version
            if batch.stop is not None:
                return found, high if batch.stop is Stop.EXHAUSTED else last

    async def _save(self, store: RecordStore, entry: _Entry, data: bytes) -> None:
        try:
            message = parse(*self._metadata.split_envelope(data))
        except CorruptRecord as error:
            raise ImportRefused(primary_key=entry.key, hint="the metadata are other ones than the export's") from error
        if store.identify(message).primary_key_bytes != entry.key:
            raise StreamDamaged(primary_key=entry.key, found="a record with another primary key")
        await store.save(message, version=entry.version, version_behavior=VersionBehavior.IF_PRESENT)


def _columns(key: bytes) -> tuple[object, ...]:
    try:
        return unpack(key)
    except MalformedTuple as error:
        raise StreamDamaged(key=key, found="a primary key that is none") from error


def _check(metadata: RecordMetaData) -> None:
    if not isinstance(metadata, RecordMetaData):
        raise WrongType(metadata=metadata, hint="changes of records take the metadata of their stores")
    if not metadata.store_record_versions:
        raise IncrementalRefused(
            store_record_versions=False,
            hint="only records with versions tell when they changed",
        )
