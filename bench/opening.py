"""Opening a store of 6 indexes: known by its read version, known by the metadata version stamp, and not known.

One operation is a transaction that opens the store and does nothing else. Peers, on the same engine:

    two ranges  a transaction that reads the two ranges of an unknown store, as bytes
    nothing     a transaction that does nothing

Times are processor time, except on a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from google.protobuf import descriptor_pb2

import recordlayer as rl
from bench.ground import Ground, ground_for
from bench.harness import Case, Contender, Ops, Report, Settings, compare
from recordlayer.blocking.database import Database
from recordlayer.kv.context import Context
from recordlayer.store import Cacheable, StoreStateCache
from recordlayer.testing.counting import Counting
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World

ENGINES = ("memory", "file", "fdb")
FIELDS = ("id", "a", "b", "c", "d", "e", "f")

CACHES = {
    "known by its read version": StoreStateCache(),
    "known by the stamp": StoreStateCache(by_read_version=False),
    "not known": StoreStateCache(stores=0),
}
TARGETS = {"known by its read version": 1.0, "known by the stamp": 1.3, "not known": 2.2}
"""Upper bounds of ours / two ranges."""


def metadata() -> rl.RecordMetaData:
    """A record of numbers with an index on each."""
    file = descriptor_pb2.FileDescriptorProto(name="bench_opening.proto", package="bench_opening", syntax="proto2")
    message = file.message_type.add(name="Item")
    kinds = descriptor_pb2.FieldDescriptorProto
    for number, name in enumerate(FIELDS, 1):
        message.field.add(name=name, number=number, type=kinds.TYPE_INT64, label=kinds.LABEL_OPTIONAL)
    files = descriptor_pb2.FileDescriptorSet(file=[file])
    builder = rl.RecordMetaDataBuilder.from_descriptor_set(files).primary_key("Item", "id")
    for name in FIELDS[1:]:
        builder.index("Item", f"by_{name}", name)
    return builder.build()


def run(settings: Settings) -> Report:
    """Every case on one engine."""
    with ground_for(settings, "opening", ENGINES[0]) as place:
        return Report(bench="opening", engine=place.kind, cases=tuple(cases(settings, place)))


def cases(settings: Settings, ground: Ground) -> Iterator[Case]:
    shop = metadata()
    times = 20 if settings.quick else 200
    engine, path, prefix = Counting(ground.engine("stores")), ground.path(), ground.prefix()
    for name, cache in CACHES.items():
        counted = Database(engine, world=World(), store_states=cache)
        db = Database(engine.engine, world=World(), store_states=cache)

        def opening(db: Database = db) -> None:
            with db.transaction() as tx:
                tx.store(shop, path=path, cacheable=Cacheable.YES)

        def ranges(db: Database = db) -> None:
            with db.transaction() as tx:
                run_blocking(_two_ranges(tx.context, prefix))

        def nothing(db: Database = db) -> None:
            with db.transaction():
                pass

        opening()
        opening()
        with engine.measured() as counts:
            opening(counted)
        yield compare(
            name,
            ours=Contender(run=_repeated(opening, times), operations=times),
            peers={
                "two ranges": Contender(run=_repeated(ranges, times), operations=times),
                "nothing": Contender(run=_repeated(nothing, times), operations=times),
            },
            settings=settings,
            target={"two ranges": TARGETS[name]},
            ops=Ops(reads=counts.reads, writes=counts.writes, round_trips=counts.round_trips),
            timer=ground.timer,
        )


async def _two_ranges(context: Context, prefix: bytes) -> None:
    first = context.get_range(prefix + b"\x00", prefix + b"\xff", limit=1)
    states = context.get_range(prefix + b"\x15\x05\x00", prefix + b"\x15\x05\xff", snapshot=True)
    await first
    await states


def _repeated(work: Callable[[], None], times: int) -> Callable[[], None]:
    def repeat() -> None:
        for _ in range(times):
            work()

    return repeat
