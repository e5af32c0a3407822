"""Building indexes online, relative to a bare scan of the same records; and the memory it takes for few and for many.

One operation is one record. The peer scans all records in transactions of as many records as the build takes, reads
what the index is on, and writes nothing.

    one VALUE index    transactions of 100 records, as usual
    three at once      VALUE, COUNT and SUM in one pass
    memory             peak of the Python heap while building, for 10 times as many records / for these (target 1.5)
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence

from google.protobuf import descriptor_pb2

import recordlayer as rl
from bench.ground import Ground, ground_for
from bench.harness import Case, Contender, Ops, Report, Settings, Spread, compare
from recordlayer.index.state import IndexState
from recordlayer.online.options import BuildLimits
from recordlayer.store.marking import mark_disabled
from recordlayer.testing.counting import Counting
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World

ENGINES = ("memory", "file", "fdb")
AT_ONCE = 100
NAMES = ("by_city", "per_city", "total")
LIMITS = BuildLimits(records=AT_ONCE, records_per_second=None)


def run(settings: Settings) -> Report:
    """Every case on the engine in memory."""
    records = 1_000 if settings.quick else 4_000
    with ground_for(settings, "build", ENGINES[0]) as place:
        return Report(bench="build", engine=place.kind, cases=tuple(cases(settings, place, records)))


def metadata(*, indexes: bool) -> rl.RecordMetaData:
    file = descriptor_pb2.FileDescriptorProto(name="bench_build.proto", package="bench_build", syntax="proto2")
    message = file.message_type.add(name="Item")
    kinds = descriptor_pb2.FieldDescriptorProto
    for number, (name, kind) in enumerate(
        {
            "id": kinds.TYPE_INT64,
            "city": kinds.TYPE_STRING,
            "size": kinds.TYPE_INT64,
            "text": kinds.TYPE_STRING,
        }.items(),
        1,
    ):
        message.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    files = descriptor_pb2.FileDescriptorSet(file=[file])
    builder = rl.RecordMetaDataBuilder.from_descriptor_set(files).primary_key("Item", "id")
    if indexes:
        builder.index("Item", "by_city", "city")
        builder.index("Item", "per_city", rl.count(group_by="city"))
        builder.index("Item", "total", rl.sum_of("size", group_by="city"))
    return builder.build()


class Store:
    """A store of so many records whose indexes wait to be built."""

    def __init__(self, ground: Ground, name: str, records: int) -> None:
        self.records = records
        self.path = ground.path(name)
        self.engine = Counting(ground.engine(name))
        self.db = rl.Database(self.engine.engine, world=World())
        self.counted = rl.Database(self.engine, world=World())
        self.metadata = metadata(indexes=True)
        plain = metadata(indexes=False)
        item = plain.record_type("Item").message_class
        for first in range(0, records, 1_000):
            with self.db.transaction() as tx:
                store = tx.store(plain, path=self.path)
                for number in range(first, min(records, first + 1_000)):
                    store.save(item(id=number, city=f"city {number % 97}", size=number % 1000, text="x" * 100))
        with self.db.transaction() as tx:
            tx.store(self.metadata, path=self.path, new_index_state=lambda _: IndexState.DISABLED)

    def build(self, names: Sequence[str], db: rl.Database | None = None) -> None:
        indexer = (db or self.db).online_indexer(self.metadata, path=self.path, indexes=names, limits=LIMITS)
        assert indexer.build().finished

    def disable(self, names: Sequence[str]) -> None:
        """Have indexes wait to be built, with nothing in them."""
        with self.db.transaction() as tx:
            store = tx.store(self.metadata, path=self.path)
            for name in names:
                run_blocking(mark_disabled(store.core, self.metadata.index(name)))

    def scan(self) -> None:
        """What any build has to do at least: read all records, in transactions as short."""
        continuation: bytes | None = None
        while True:
            with self.db.transaction() as tx:
                page = tx.store(self.metadata, path=self.path).scan(limit=AT_ONCE, resume=continuation)
                for record in page:
                    _ = record.city
                continuation = page.continuation
            if continuation is None:
                return


def cases(settings: Settings, ground: Ground, records: int) -> Iterator[Case]:
    store = Store(ground, "times", records)
    for case, names, target in (("one VALUE index", NAMES[:1], 1 / 0.3), ("three at once", NAMES, None)):
        store.build(names)
        store.disable(names)
        with store.engine.measured() as counts:
            store.build(names, store.counted)
        yield compare(
            case,
            ours=Contender(
                run=lambda names=names: store.build(names),
                operations=records,
                prepare=lambda names=names: store.disable(names),
            ),
            peers={"bare scan": Contender(run=store.scan, operations=records)},
            settings=settings,
            target={} if target is None else {"bare scan": target},
            ops=Ops(
                reads=round(counts.reads / records, 2),
                writes=round(counts.writes / records, 2),
                round_trips=round(counts.round_trips / records, 2),
            ),
            timer=ground.timer,
        )
    few, many = (_peak(Store(ground, f"memory of {count}", count)) for count in (records, 10 * records))
    yield Case(
        case="memory",
        unit="bytes",
        ours=Spread(many, many, many),
        peers={"a tenth of the records": Spread(few, few, few)},
        ratio={"a tenth of the records": many / few},
        target={"a tenth of the records": 1.5},
        ops=Ops(),
    )


def _peak(store: Store) -> float:
    """Bytes of Python objects at most while the records of this store are indexed."""
    tracemalloc.start()
    store.build(NAMES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return float(peak)
