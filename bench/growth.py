"""What operations cost as a store grows: in one of 1,000,000 records, and of sizes between, against one of 1,000.

The records are those of `peers`: six fields, three indexes, a count of each group, whose size stays as it is: there are
more groups, not larger ones. One operation is

    get       one record by its key, of 50 in a transaction
    query     the first 10 records of a city by an index, of 20 queries in a transaction
    insert    one new record in a transaction of its own
    update    one record with another price, of 20 in a transaction

Every size has a file of its own; all are open at once, and take turns. The last cases are no times: what the memory of
the process has grown by while the largest store was read from one end to the other, and bytes of the file for each
record, against what they may be at most.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import recordlayer as rl
from bench.harness import CPU, Case, Contender, Report, Settings, bound, compare, memory
from bench.peers_ours import METADATA, PATH, Item
from recordlayer import q, query
from recordlayer.testing.clock import ManualClock

SMALL, LARGE, QUICK = 1_000, 1_000_000, 50_000
FLAT = 1.5
"""Upper bound of large / small."""
OF_A_CITY = 100
MOST_MEMORY, MOST_BYTES = 32, 1_000  # MiB, bytes of the file a record


class Store:
    """One store of so many records in a file."""

    def __init__(self, directory: Path, records: int) -> None:
        self.records = records
        self.file = directory / f"{records}.rl"
        self._chance = random.Random(records)
        self._next = records
        self.db = rl.open(f"file:{self.file}", durability="relaxed", world=ManualClock().world())
        for first in range(0, records, 1_000):
            with self.db.transaction() as tx:
                made = [self._item(number) for number in range(first, min(records, first + 1_000))]
                tx.store(METADATA, path=PATH).save_many(made)

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
        with self.db.transaction() as tx:
            store = tx.store(METADATA, path=PATH)
            for _ in range(50):
                assert store.load(self._chance.randrange(self.records)).price >= 0

    def query(self) -> None:
        with self.db.transaction() as tx:
            store = tx.store(METADATA, path=PATH)
            for _ in range(20):
                city = f"city {self._chance.randrange(self.records // OF_A_CITY):06d}"
                assert len(list(store.query(query("Item").where(q.city == city), limit=10))) == 10

    def insert(self) -> None:
        for _ in range(20):
            with self.db.transaction() as tx:
                tx.store(METADATA, path=PATH).save(self._item(self._next))
            self._next += 1

    def update(self) -> None:
        with self.db.transaction() as tx:
            store = tx.store(METADATA, path=PATH)
            for _ in range(20):
                store.save(self._item(self._chance.randrange(self.records)))

    def read_all(self) -> int:
        found, token = 0, None
        while True:
            with self.db.transaction() as tx:
                page = tx.store(METADATA, path=PATH).scan(limit=5_000, resume=token)
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
    with tempfile.TemporaryDirectory(prefix="recordlayer-bench-") as directory, ExitStack() as opened:
        return Report(bench="growth", engine="file:", cases=tuple(_cases(settings, Path(directory), opened)))


def _cases(settings: Settings, directory: Path, opened: ExitStack) -> Iterator[Case]:
    sizes = (SMALL, 10_000, QUICK) if settings.quick else (SMALL, 10_000, 100_000, LARGE)
    stores: list[Store] = []
    for size in sizes:
        settings.say(f"making {size:,} records")
        stores.append(Store(directory, size))
        opened.callback(stores[-1].db.close)
    small, *larger = stores
    for job, (work, operations) in JOBS.items():
        for store in larger:
            yield compare(
                f"{job}, {store.records:,} records",
                ours=_contender(work, store, operations),
                peers={f"{SMALL:,} records": _contender(work, small, operations)},
                settings=settings,
                target={f"{SMALL:,} records": FLAT},
                timer=CPU,
            )
    before = memory()
    read = larger[-1].read_all()
    assert read >= larger[-1].records, read
    yield bound("memory that reading all of it takes", "MiB", max(0.0, memory() - before), MOST_MEMORY)
    yield bound("bytes of the file, a record", "bytes", larger[-1].file.stat().st_size / read, MOST_BYTES)


def _contender(work: Callable[[Store], None], store: Store, operations: int) -> Contender:
    return Contender(run=lambda: work(store), operations=operations)
