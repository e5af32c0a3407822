"""What takes the space in a tenant: keys and bytes by record type and index.

Exactly, by reading every key in steps; or estimated, by asking the engine for sizes of ranges.

Cost    exact: every key is read once; estimated: 1 read a store, and 1 size a store for each index and 2 more
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from recordlayer.errors import CorruptRecord, MalformedTuple, UnknownEncryptionKey
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.kv.engine import KeyValue
from recordlayer.metadata import RecordMetaData
from recordlayer.options import TransactionOptions
from recordlayer.store.layout import Keyspace, StoreLayout
from recordlayer.store.open import Path
from recordlayer.store.places import StorePlaces
from recordlayer.store.record_scan import grouped_forward
from recordlayer.store.serializer import PLAIN, Serializer
from recordlayer.store.split import VERSION
from recordlayer.tenant.place import TenantPlace, tenant_place
from recordlayer.tenant.steps import StepLimits, Steps
from recordlayer.tenant.stores import HEADER, header_in, list_stores
from recordlayer.tuples import pack, unpack_element

UNKNOWN = "?"
"""Records whose type cannot be told, and indexes that the metadata do not have."""


@dataclass(slots=True)
class Size:
    """How much there is. `records`: 0 for what is no records; bytes are those of whole keys and values."""

    keys: int = 0
    bytes: int = 0
    records: int = 0

    def add(self, keys: int, size: int, records: int = 0) -> None:
        self.keys += keys
        self.bytes += size
        self.records += records


@dataclass(slots=True)
class Statistics:
    """What a tenant has.

    records  by record type; "?" for what the metadata do not know, or was not given
    indexes  by name, all their keys; by subspace key where the metadata do not know them
    other    by part: headers, index states, counters..., and "outside of stores"
    exact    every key was read; otherwise only `bytes` are there, about, and records are not told apart by type
    """

    exact: bool = True
    stores: int = 0
    records: dict[str, Size] = field(default_factory=dict)
    indexes: dict[str, Size] = field(default_factory=dict)
    other: dict[str, Size] = field(default_factory=dict)

    @property
    def total(self) -> Size:
        whole = Size()
        for sizes in (self.records, self.indexes, self.other):
            for one in sizes.values():
                whole.add(one.keys, one.bytes, one.records)
        return whole

    @property
    def overhead(self) -> int:
        """Bytes a store that are neither records nor index entries."""
        return sum(one.bytes for one in self.other.values()) // max(1, self.stores)


async def count_exactly(
    beginning: Beginning,
    path: Path,
    *,
    metadata: RecordMetaData | None = None,
    serializer: Serializer = PLAIN,
    limits: StepLimits | None = None,
    options: TransactionOptions | None = None,
    told: Callable[[Statistics], object] | None = None,
) -> Statistics:
    """Everything below a path, counted. Each step reads at a version of its own.

    Raises  NameNotInterned; UsageError.
    """
    steps = Steps(beginning, "tenant statistics", limits, options)
    place = await steps.run(lambda context: tenant_place(context, path))
    counting = _Counting(place, metadata, serializer)
    at: bytes | None = place.begin
    while at is not None:

        async def read(context: Context, at: bytes = at) -> tuple[list[KeyValue], bool]:
            chunk = await steps.read(context, at, place.end, snapshot=True)
            return chunk.rows, chunk.more

        rows, more = await steps.run(read)
        counting.take(rows)
        at = rows[-1][0] + b"\x00" if more and rows else None
        if told is not None:
            told(counting.statistics)
        await steps.pace(sum([len(key) + len(value) for key, value in rows]))
    counting.end_of_records()
    return counting.statistics


class _Counting:
    """Takes the keys of a tenant in order."""

    def __init__(self, place: TenantPlace, metadata: RecordMetaData | None, serializer: Serializer) -> None:
        self.statistics = Statistics()
        self._place = place
        self._metadata = metadata
        self._serializer = serializer
        self._layout: StoreLayout | None = None
        self._places: StorePlaces | None = None
        self._suffixed = True
        self._held: list[KeyValue] = []

    def take(self, rows: list[KeyValue]) -> None:
        records: list[KeyValue] = []
        for key, value in rows:
            layout = self._layout
            if layout is None or not _within(key, layout.prefix):
                self._end_of_some(records)
                records = []
                self.end_of_records()
                layout = self._new_store(key, value)
            if layout is not None and _within(key, layout.records):
                records.append((key, value))
            else:
                self._other(key, value)
        self._end_of_some(records)

    def _new_store(self, key: bytes, value: bytes) -> StoreLayout | None:
        header = header_in(key, value)
        self._layout = None if header is None else StoreLayout(key[: -len(HEADER)])
        if header is not None and self._layout is not None:
            self.statistics.stores += 1
            splits = self._metadata is not None and self._metadata.split_long_records
            self._suffixed = splits or not (header.omit_unsplit_record_suffix or header.formatVersion < 5)
            self._places = None if self._metadata is None else StorePlaces(self._layout.prefix, self._metadata)
        return self._layout

    def _other(self, key: bytes, value: bytes) -> None:
        size = len(key) + len(value)
        layout = self._layout
        keyspace = None if layout is None else layout.keyspace_of(key)
        if layout is None or keyspace is None:
            _at(self.statistics.other, "outside of stores").add(1, size)
        elif keyspace in (Keyspace.INDEXES, Keyspace.INDEX_SECONDARY):
            _at(self.statistics.indexes, self._index(key, layout, keyspace)).add(1, size)
        else:
            _at(self.statistics.other, keyspace.name.lower().replace("_", " ")).add(1, size)

    def _index(self, key: bytes, layout: StoreLayout, keyspace: Keyspace) -> str:
        start = len(layout.of(keyspace))
        if self._places is not None:
            index, _ = self._places.index_of(keyspace, key, start)
            if index is not None:
                return index.name
        try:
            return str(unpack_element(key, start)[0])
        except MalformedTuple:
            return UNKNOWN

    # -- records

    def _end_of_some(self, rows: list[KeyValue]) -> None:
        """Count the records that are whole."""
        if not rows:
            return
        if not self._suffixed:
            for key, value in rows:
                self._record([(key, value)], value)
            return
        layout = self._layout
        assert layout is not None, "records are in a store"
        try:
            groups, self._held = grouped_forward(self._held + rows, len(layout.records), exhausted=False)
        except CorruptRecord:
            held, self._held = self._held + rows, []
            for pair in held:
                self._record([pair], None)
            return
        for group in groups:
            parts = [value for key, value in group.pairs if key != group.base + VERSION]
            self._record(group.pairs, b"".join(parts))

    def end_of_records(self) -> None:
        """No more of a record comes."""
        held, self._held = self._held, []
        if held:
            parts = [value for key, value in held if not key.endswith(VERSION)]
            self._record(held, b"".join(parts))

    def _record(self, pairs: list[KeyValue], data: bytes | None) -> None:
        size = sum([len(key) + len(value) for key, value in pairs])
        _at(self.statistics.records, self._type(data)).add(len(pairs), size, 1)

    def _type(self, data: bytes | None) -> str:
        if self._metadata is None or data is None:
            return UNKNOWN
        try:
            return self._metadata.split_envelope(self._serializer.decode(data))[0].name
        except (CorruptRecord, UnknownEncryptionKey):
            return UNKNOWN


async def estimate(
    beginning: Beginning,
    path: Path,
    *,
    metadata: RecordMetaData | None = None,
    limits: StepLimits | None = None,
    options: TransactionOptions | None = None,
) -> Statistics:
    """The sizes of what is below a path, as the engine estimates them; poor for stores of less than some megabytes."""
    steps = Steps(beginning, "tenant statistics", limits, options)
    place = await steps.run(lambda context: tenant_place(context, path))
    found = Statistics(exact=False)
    resume: bytes | None = None
    while True:

        async def some(context: Context, resume: bytes | None = resume) -> tuple[list[_Estimate], bytes | None]:
            page = await list_stores(context, place, limit=100, continuation=resume)
            sizes = []
            for store in page.stores:
                layout = StoreLayout(store.prefix)
                sizes += [await one.asked(context) for one in _parts(layout, metadata)]
            found.stores += len(page.stores)
            return sizes, page.continuation

        stores = found.stores
        try:
            sizes, resume = await steps.run(some)
        except BaseException:
            found.stores = stores
            raise
        for one in sizes:
            _at(getattr(found, one.kind), one.name).bytes += one.bytes
        if resume is None:
            return found


@dataclass(slots=True)
class _Estimate:
    kind: str
    name: str
    begin: bytes
    end: bytes
    bytes: int = 0

    async def asked(self, context: Context) -> _Estimate:
        self.bytes = await context.transaction.estimated_range_size(self.begin, self.end)
        return self


def _parts(layout: StoreLayout, metadata: RecordMetaData | None) -> list[_Estimate]:
    records, indexes = layout.records, layout.of(Keyspace.INDEXES)
    found = [_Estimate("records", UNKNOWN, records, records + b"\xff")]
    if metadata is None:
        return [*found, _Estimate("indexes", UNKNOWN, indexes, indexes + b"\xff")]
    for index in metadata.indexes.values():
        for keyspace in (Keyspace.INDEXES, Keyspace.INDEX_SECONDARY):
            prefix = pack((index.subspace_key,), layout.of(keyspace))
            found.append(_Estimate("indexes", index.name, prefix, prefix + b"\xff"))
    return found


def _within(key: bytes, prefix: bytes) -> bool:
    return key.startswith(prefix) and key[len(prefix) : len(prefix) + 1] != b"\xff"


def _at(sizes: dict[str, Size], name: str) -> Size:
    found = sizes.get(name)
    if found is None:
        found = sizes[name] = Size()
    return found
