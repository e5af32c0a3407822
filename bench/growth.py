"""What operations cost as a store grows: in one of 1,000,000 records, and of sizes between, against one of 1,000.

The records are those of `peers`: six fields, three indexes, a count of each group, whose size stays as it is: there are
more groups, not larger ones. One operation is

    get       one record by its key, of 50 in a transaction
    query     the first 10 records of a city by an index, of 20 queries in a transaction
    insert    one new record in a transaction of its own
    update    one record with another price, of 20 in a transaction

Every size has a file of its own; all are open at once, and take turns. First each store is read from one end to the
other, as it would have been in a process that has run for a while: what of a file this process has touched, the system
need not map for it again. The last cases are no times: what the memory of the process has grown by meanwhile, and bytes
of the file for each record, against what they may be at most.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import recordlayer as rl
from bench.ground import Ground, ground_for
from bench.harness import Case, Contender, Report, Settings, bound, compare, memory
from bench.peers_ours import METADATA, Item
from recordlayer import q, query
from recordlayer.testing.clock import ManualClock

ENGINES = ("file", "memory", "fdb")
SMALL, LARGE, QUICK = 1_000, 1_000_000, 50_000
FLAT = 1.5
"""Upper bound of large / small."""
OF_A_CITY = 100
MOST_MEMORY, MOST_BYTES = 32, 1_000  # MiB, bytes of the file a record


class Store:
    """One store of so many records, in a file of its own where there are files."""

    def __init__(self, ground: Ground, records: int) -> None:
        self.records = records
        self._path = ground.path(records)
        self._chance = random.Random(records)
        self._next = records
        world = ManualClock().world()  # transactions stay young however long the machine does something else
        self._db = rl.Database(ground.engine(str(records), world=world), world=world)
        for first in range(0, records, 1_000):
            with self._db.transaction() as tx:
                made = [self._item(number) for number in range(first, min(records, first + 1_000))]
                tx.store(METADATA, path=self._path).save_many(made)

    def _item(self, number: int) -> Any:
        return Item(
            id=number,
            name=f"owner {number * 7919 % self.records:07d}",
            city=f"city {number // OF_A_CITY:06d}",
            price=self._chance.uniform(0, 100),
            count=number % 300,
            active=number % 2 == 0,
        )

    def get(self) -> None:
        with self._db.transaction() as tx:
            store = tx.store(METADATA, path=self._path)
            for _ in range(50):
                assert store.load(self._chance.randrange(self.records)).price >= 0

    def query(self) -> None:
        with self._db.transaction() as tx:
            store = tx.store(METADATA, path=self._path)
            for _ in range(20):
                city = f"city {self._chance.randrange(self.records // OF_A_CITY):06d}"
                assert len(list(store.query(query("Item").where(q.city == city), limit=10))) == 10

    def insert(self) -> None:
        for _ in range(20):
            with self._db.transaction() as tx:
                tx.store(METADATA, path=self._path).save(self._item(self._next))
            self._next += 1

    def update(self) -> None:
        with self._db.transaction() as tx:
            store = tx.store(METADATA, path=self._path)
            for _ in range(20):
                store.save(self._item(self._chance.randrange(self.records)))

    def read_all(self) -> int:
        found, token = 0, None
        while True:
            with self._db.transaction() as tx:
                page = tx.store(METADATA, path=self._path).scan(limit=5_000, resume=token)
                found += sum(1 for _ in page)
                token = page.continuation
            if token is None:
                return found


JOBS: dict[str, tuple[Callable[[Store], None], int]] = {
    "get": (Store.get, 50),
    "query": (Store.query, 20),
    "insert": (Store.insert, 20),
    "update": (Store.update, 20),
}
"""What is done, and how many operations that is."""


def run(settings: Settings) -> Report:
    with ground_for(settings, "growth", ENGINES[0]) as ground:
        return Report(bench="growth", engine=ground.kind, cases=tuple(_cases(settings, ground)))


def _cases(settings: Settings, ground: Ground) -> Iterator[Case]:
    stores: list[Store] = []
    sizes: list[Case] = []
    for records in (SMALL, 10_000, QUICK) if settings.quick else (SMALL, 10_000, 100_000, LARGE):
        settings.say(f"making {records:,} records, and reading them")
        store = Store(ground, records)
        before = memory()
        assert store.read_all() == records
        grown = max(0.0, memory() - before)
        sizes.append(bound(f"memory that reading takes, {records:,} records", "MiB", grown, MOST_MEMORY))
        if ground.scheme == "file":
            size = ground.file(str(records)).stat().st_size / records
            sizes.append(bound(f"bytes of the file for a record, {records:,} records", "bytes", size, MOST_BYTES))
        stores.append(store)
    small, *larger = stores
    for job, (work, operations) in JOBS.items():
        for store in larger:
            yield compare(
                f"{job}, {store.records:,} records",
                ours=_contender(work, store, operations),
                peers={f"{SMALL:,} records": _contender(work, small, operations)},
                settings=settings,
                target={f"{SMALL:,} records": FLAT},
                timer=ground.timer,
            )
    yield from sizes


def _contender(work: Callable[[Store], None], store: Store, operations: int) -> Contender:
    return Contender(run=lambda: work(store), operations=operations)
