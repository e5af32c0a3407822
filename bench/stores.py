"""1 to 100,000 small stores under one key space in one file, or a million with --large: opening one and reading a
record, against a single one.

A store has a header, five records and their entries in one index, less than 1 kB together. Tenants are interned names,
a hundred of them; their stores are told apart by number. One operation is a transaction that opens a store drawn at
random, whose state is not remembered, and loads a record of it. The peer is the same in a file with one store, in
turns with it in the same run. First each store is opened once, as it would have been in a process that has run for a
while.

The other cases are no times: bytes of a store, of them those that are neither records nor entries, and what the memory
of the process has grown by when each store was opened, each against what it may be at most. Tenants' names are interned
where every application of a cluster has them, so this bench does not run on one.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial

from google.protobuf import descriptor_pb2, message_factory

import recordlayer as rl
from bench.ground import Ground, ground_for
from bench.harness import CannotRun, Case, Contender, Ops, Report, Settings, bound, compare, memory
from recordlayer.blocking.database import Database
from recordlayer.keyspace import InternedDirectory, KeySpace, KeySpaceDirectory, KeySpacePath
from recordlayer.kv.engine import Engine
from recordlayer.store import StoreStateCache
from recordlayer.testing.clock import ManualClock
from recordlayer.testing.counting import Counting
from recordlayer.world import World

ENGINES = ("file", "memory")
MANY, QUICK, LARGE = 100_000, 5_000, 1_000_000
ROOM = 4 << 30
"""Bytes of the disk for a file of as many stores as the largest form has."""
TENANTS, RECORDS = 100, 5
BATCH = 200  # stores made in one transaction
FLAT = 1.5
"""Upper bound of many stores / one: what the caches of the processor and a deeper tree may cost."""
LARGEST_STORE, LARGEST_OVERHEAD, MOST_MEMORY = 1_000, 100, 32  # bytes, bytes, MiB

SPACE = KeySpace(
    KeySpaceDirectory("application", str, InternedDirectory("tenant", KeySpaceDirectory("store", int)), value="bench")
)

_FILE = descriptor_pb2.FileDescriptorProto(name="bench_stores.proto", package="bench_stores", syntax="proto2")
_MESSAGE = _FILE.message_type.add(name="Item")
for _number, (_name, _kind) in enumerate((("id", "INT64"), ("owner", "STRING"), ("text", "STRING")), 1):
    _MESSAGE.field.add(
        name=_name,
        number=_number,
        type=getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{_kind}"),
        label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
    )
ITEMS = (
    rl.RecordMetaDataBuilder.from_descriptor_set(descriptor_pb2.FileDescriptorSet(file=[_FILE]))
    .primary_key("Item", "id")
    .index("Item", "by_owner", "owner")
    .build()
)
Item = message_factory.GetMessageClass(ITEMS.record_types["Item"].descriptor)


def path_of(number: int) -> KeySpacePath:
    return SPACE.path("application").add("tenant", f"tenant {number % TENANTS}").add("store", number)


def run(settings: Settings) -> Report:
    """Every case on engines of one kind."""
    with ground_for(settings, "stores", ENGINES[0]) as ground:
        return Report(bench="stores", engine=ground.kind, cases=tuple(cases(settings, ground)))


def cases(settings: Settings, ground: Ground) -> Iterator[Case]:
    times = 100 if settings.quick else 500
    world = ManualClock().world()  # transactions stay young however long the machine does something else
    looks: dict[int, Contender] = {}
    sizes: list[Case] = []
    sizes_of = (1, 100, QUICK) if settings.quick else (1, 100, 10_000, MANY)
    if settings.large:
        _check_room(ground)
        sizes_of = (1, 100, LARGE)
    for many in sizes_of:
        settings.say(f"making {many:,} stores, and opening each")
        engine = ground.engine(str(many), world=world)
        _fill(Database(engine, world=world), many)
        before = memory()
        _open_all(Database(engine, world=world), many)
        grown = max(0.0, memory() - before)
        sizes.append(bound(f"memory when each was opened, {many:,} stores", "MiB", grown, MOST_MEMORY))
        db = _unremembered(engine, world, many)
        looks[many] = Contender(run=_repeated(db, many, times), operations=times)
    counting = Counting(engine)
    counted = _unremembered(counting, world, many)
    with counting.measured() as counts:
        _look(counted, random.Random(2), many)
    for stores in list(looks)[1:]:
        yield compare(
            f"open one and load a record, {stores:,} stores",
            ours=looks[stores],
            peers={"1 store": looks[1]},
            settings=settings,
            target={"1 store": FLAT},
            ops=Ops(reads=counts.reads, writes=counts.writes, round_trips=counts.round_trips),
            timer=ground.timer,
        )
    settings.say("bytes of a store")
    statistics = db.tenant(SPACE.path("application")).statistics(ITEMS)
    yield bound("bytes of a store", "bytes", statistics.total.bytes / statistics.stores, LARGEST_STORE)
    yield bound("of them neither records nor entries", "bytes", statistics.overhead, LARGEST_OVERHEAD)
    yield from sizes


def _check_room(ground: Ground) -> None:
    """Raises  CannotRun."""
    if ground.kind == "file:" and (free := shutil.disk_usage(tempfile.gettempdir()).free) < ROOM:
        raise CannotRun(f"{LARGE:,} stores take up to {ROOM >> 30} GiB, and {free >> 30} are free: set TMPDIR")


def _fill(db: Database, count: int) -> None:
    for start in range(0, count, BATCH):
        with db.transaction() as tx:
            for number in range(start, min(count, start + BATCH)):
                store = tx.store(ITEMS, path=path_of(number))
                store.save_many([Item(id=one, owner=f"owner {one}", text="x" * 60) for one in range(RECORDS)])


def _open_all(db: Database, count: int) -> None:
    for number in range(count):
        with db.transaction() as tx:
            tx.store(ITEMS, path=path_of(number))


def _unremembered(engine: Engine, world: World, count: int) -> Database:
    """A database that knows the tenants' names and no store."""
    db = Database(engine, world=world, store_states=StoreStateCache(stores=0))
    for number in range(min(count, TENANTS)):
        with db.transaction() as tx:
            tx.key_space(SPACE).resolve(path_of(number))
    return db


def _look(db: Database, numbers: random.Random, count: int) -> None:
    with db.transaction() as tx:
        store = tx.store(ITEMS, path=path_of(numbers.randrange(count)))
        assert store.load(numbers.randrange(RECORDS)) is not None


def _repeated(db: Database, count: int, times: int) -> partial[None]:
    return partial(_looks, db, random.Random(count), count, times)


def _looks(db: Database, numbers: random.Random, count: int, times: int) -> None:
    for _ in range(times):
        _look(db, numbers, count)
