"""100,000 small stores under one key space in one file: opening one and reading a record, against 100 stores.

A store has a header, five records and their entries in one index, less than 1 kB together. Tenants are interned names,
a hundred of them; their stores are told apart by number. One operation is a transaction that opens a store drawn at
random, whose state is not remembered, and loads a record of it. The peer is the same in a file with 100 stores, in
turns with it in the same run.

The other cases are no times: bytes of a store, of them those that are neither records nor entries, and what the memory
of the process has grown by when every store was opened once, each against what it may be at most.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from google.protobuf import descriptor_pb2, message_factory

import recordlayer as rl
from bench.harness import CPU, Case, Contender, Ops, Report, Settings, bound, compare, memory
from recordlayer.blocking.database import Database
from recordlayer.keyspace import InternedDirectory, KeySpace, KeySpaceDirectory, KeySpacePath
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.store import StoreStateCache
from recordlayer.testing.counting import Counting
from recordlayer.world import World

STORES, QUICK, FEW = 100_000, 5_000, 100
TENANTS, RECORDS = 100, 5
BATCH = 200  # stores made in one transaction
FLAT = 1.5
"""Upper bound of many stores / few: what the caches of the processor and a deeper tree may cost."""
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
    """Every case on files."""
    with tempfile.TemporaryDirectory(prefix="recordlayer-bench-") as directory:
        return Report(bench="stores", engine="file:", cases=tuple(cases(settings, Path(directory))))


def cases(settings: Settings, directory: Path) -> Iterator[Case]:
    many = QUICK if settings.quick else STORES
    times = 100 if settings.quick else 500
    with ExitStack() as stack:
        files = {}
        for count in (many, FEW):
            settings.say(f"making {count:,} stores")
            engine = open_engine(f"file:{directory / str(count)}.rl", durability="relaxed")
            stack.callback(engine.close)
            files[count] = engine
            _fill(Database(engine, world=World()), count)
        counting = Counting(files[many])
        counted = _unremembered(counting)
        with counting.measured() as counts:
            _look(counted, random.Random(2), many)
        databases = {count: _unremembered(engine) for count, engine in files.items()}
        yield compare(
            f"open one of {many:,} stores and load a record",
            ours=Contender(run=_repeated(databases[many], many, times), operations=times),
            peers={f"of {FEW} stores": Contender(run=_repeated(databases[FEW], FEW, times), operations=times)},
            settings=settings,
            target={f"of {FEW} stores": FLAT},
            ops=Ops(reads=counts.reads, writes=counts.writes, round_trips=counts.round_trips),
            timer=CPU,
        )
        settings.say("bytes of a store")
        statistics = databases[many].tenant(SPACE.path("application")).statistics(ITEMS)
        yield bound("bytes of a store", "bytes", statistics.total.bytes / statistics.stores, LARGEST_STORE)
        yield bound("of them neither records nor entries", "bytes", statistics.overhead, LARGEST_OVERHEAD)
        settings.say("memory when every store was opened")
        before = memory()
        remembering = Database(files[many], world=World())
        for number in range(many):
            with remembering.transaction() as tx:
                tx.store(ITEMS, path=path_of(number))
        yield bound("memory when every store was opened", "MiB", max(0.0, memory() - before), MOST_MEMORY)


def _fill(db: Database, count: int) -> None:
    for start in range(0, count, BATCH):
        with db.transaction() as tx:
            for number in range(start, min(count, start + BATCH)):
                store = tx.store(ITEMS, path=path_of(number))
                store.save_many([Item(id=one, owner=f"owner {one}", text="x" * 60) for one in range(RECORDS)])


def _unremembered(engine: Engine) -> Database:
    """A database that knows the tenants' names and no store."""
    db = Database(engine, world=World(), store_states=StoreStateCache(stores=0))
    for number in range(TENANTS):
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
