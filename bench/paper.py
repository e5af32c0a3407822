"""The shape of work that the Record Layer's paper reports of CloudKit (sections 2 and 8.2, figure 1), on a file.

Very many stores, most of them with less than 1 kB of records and a few that hold most of the bytes. A transaction opens
one, drawn by its size, and saves 8.5 records on average, each with four index keys; a query reads 11 records by an
index, at which as many keys are records and entries as in the paper's average; a look-up reads one record. No store's
state is remembered: every transaction reads the header.

Cases in `keys` count what came back from the engine, or went to it, for one operation on average; the paper's averages
stand in the place of a peer, and are upper bounds where less is better. Cases in `us` compare a transaction with raw
sqlite3 doing the same in one table of all stores with the same indexes; nobody has set a target for that.
"""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import recordlayer as rl
from bench.ground import Ground, ground_for
from bench.harness import Case, Contender, Ops, Report, Settings, Spread, compare
from bench.peers_rows import Row
from bench.record import metadata as item_metadata
from recordlayer import q, query
from recordlayer.blocking.database import Database
from recordlayer.store import StoreStateCache
from recordlayer.testing.clock import ManualClock
from recordlayer.testing.counting import Counting, Counts

ENGINES = ("file", "memory", "fdb")
STORES, QUICK = 5_000, 300
MEDIAN, WIDTH = 3.0, 1.6
"""Records of a store: the median, and the standard deviation of the logarithm."""
WRITTEN, ENTRIES = 8.5, 34.5
RECORD_BYTES = 250  # so that a transaction's keys and values come to about 7 kB
ROWS = 11
QUERY_KEYS, QUERY_OVERHEAD, GET_KEYS, GET_OVERHEAD = 38.3, 6.2, 13.3, 7.7
CITIES = 3

_FILE = item_metadata("proto3").record_types["Item"].descriptor.file
METADATA = (
    rl.RecordMetaDataBuilder(_FILE)
    .primary_key("Item", "id")
    .index("Item", "by_city", rl.concat("city", "count"))
    .index("Item", "by_name", "name")
    .index("Item", "by_price", "price")
    .index("Item", "by_count", "count")
    .build()
)
Item: Any = METADATA.record_types["Item"].message_class


class Fleet:
    """The stores and what is done to them, drawn once, so that all do the same."""

    def __init__(self, stores: int) -> None:
        chance = self._chance = random.Random(5)
        self.sizes = [max(1, round(math.exp(chance.gauss(math.log(MEDIAN), WIDTH)))) for _ in range(stores)]
        self._large = [number for number, size in enumerate(self.sizes) if size >= 2 * ROWS * CITIES]

    def rows(self, ids: Sequence[int]) -> list[Row]:
        chance = self._chance
        name = "x" * (RECORD_BYTES - 60)
        return [
            Row(number, f"{chance.random():.12f}{name}", f"city {number % CITIES}", chance.random(), number, True)
            for number in ids
        ]

    def transaction(self) -> tuple[int, list[Row]]:
        """A store, and records to be saved in it: some that are there with other values, some new."""
        (store,) = self._chance.choices(range(len(self.sizes)), weights=self.sizes)
        count = max(1, round(self._chance.expovariate(1 / WRITTEN) + 0.5))
        first = self._chance.randrange(self.sizes[store] + 1)
        return store, self.rows(range(first, first + count))

    def look_up(self) -> tuple[int, int]:
        (store,) = self._chance.choices(range(len(self.sizes)), weights=self.sizes)
        return store, self._chance.randrange(self.sizes[store])

    def large(self) -> int:
        return self._chance.choice(self._large)


class Ours:
    def __init__(self, ground: Ground) -> None:
        self._world = ManualClock().world()
        self._engine = ground.engine("ours", world=self._world)
        self._path = ground.path
        self.counting = Counting(self._engine)
        self.db = self._over(self._engine)
        self._counted = self._over(self.counting)

    def _over(self, engine: Any) -> Database:
        return Database(engine, world=self._world, store_states=StoreStateCache(stores=0))

    def save(self, store: int, rows: Sequence[Row], db: Database | None = None) -> None:
        with (db or self.db).transaction() as tx:
            tx.store(METADATA, path=self._path(store)).save_many([Item(**row._asdict()) for row in rows])

    def query(self, store: int, db: Database | None = None) -> None:
        with (db or self.db).transaction() as tx:
            items = tx.store(METADATA, path=self._path(store))
            found = list(items.query(query("Item").where(q.city == "city 1"), limit=ROWS))
            assert len(found) == ROWS, (store, len(found))

    def get(self, store: int, number: int, db: Database | None = None) -> None:
        with (db or self.db).transaction() as tx:
            assert tx.store(METADATA, path=self._path(store)).load(number) is not None

    def counts(self, work: Callable[[Database], None]) -> Counts:
        with self.counting.measured() as counts:
            work(self._counted)
        return counts


class Sqlite:
    def __init__(self, file: Path) -> None:
        self._run = sqlite3.connect(file, isolation_level=None).execute
        self._run("pragma journal_mode = wal")
        self._run("pragma synchronous = off")
        columns = "store integer, id integer, name text, city text, price real, count integer, active boolean"
        self._run(f"create table item ({columns}, primary key (store, id)) without rowid")
        for number, names in enumerate(("city, count", "name", "price", "count")):
            self._run(f"create index i{number} on item (store, {names})")

    def save(self, store: int, rows: Sequence[Row]) -> None:
        self._run("begin immediate")
        for row in rows:
            self._run("insert or replace into item values (?, ?, ?, ?, ?, ?, ?)", (store, *row))
        self._run("commit")

    def query(self, store: int) -> None:
        found = self._run("select * from item where store = ? and city = ? limit ?", (store, "city 1", ROWS)).fetchall()
        assert len(found) == ROWS

    def get(self, store: int, number: int) -> None:
        assert self._run("select * from item where store = ? and id = ?", (store, number)).fetchone() is not None


def run(settings: Settings) -> Report:
    with ground_for(settings, "paper", ENGINES[0]) as ground:
        return Report(bench="paper", engine=ground.kind, cases=tuple(_cases(settings, ground)))


def _cases(settings: Settings, ground: Ground) -> Iterator[Case]:
    fleet = Fleet(QUICK if settings.quick else STORES)
    ours, sqlite = Ours(ground), Sqlite(ground.directory / "sqlite3")
    settings.say(f"making {len(fleet.sizes):,} stores")
    for store, size in enumerate(fleet.sizes):
        rows = fleet.rows(range(size))
        for contender in (ours, sqlite):
            contender.save(store, rows)
    yield from _keys(fleet, ours, 50 if settings.quick else 500)
    jobs: dict[str, Callable[[], tuple[Any, ...]]] = {
        "save": fleet.transaction,
        "query": lambda: (fleet.large(),),
        "get": fleet.look_up,
    }
    for job, draw in jobs.items():
        yield compare(
            f"{job}, a transaction",
            ours=_contender(getattr(ours, job), draw, 20),
            peers={"sqlite3": _contender(getattr(sqlite, job), draw, 20)},
            settings=settings,
            timer=ground.timer,
        )


def _keys(fleet: Fleet, ours: Ours, times: int) -> Iterator[Case]:
    """What an operation of each kind takes, on average."""
    drawn = [fleet.transaction() for _ in range(times)]
    saved = sum(len(rows) for _, rows in drawn)
    replaced, made = 0, set[tuple[int, int]]()
    for store, rows in drawn:
        for row in rows:
            replaced += row.id < fleet.sizes[store] or (store, row.id) in made
            made.add((store, row.id))
    counts = ours.counts(lambda db: [ours.save(*one, db=db) for one in drawn].clear())
    yield _count("save: records", saved / times, WRITTEN)
    yield _count("save: index keys written or cleared", (counts.writes - saved) / times, ENTRIES)
    yield _count("save: bytes written", counts.written_bytes / times, 7_000.0)
    yield _count("save: keys read that are no records", (counts.rows - replaced) / times, QUERY_OVERHEAD, at_most=True)
    stores = [fleet.large() for _ in range(times)]
    counts = ours.counts(lambda db: [ours.query(store, db) for store in stores].clear())
    yield _count("query: keys read", counts.rows / times, QUERY_KEYS, at_most=True)
    yield _count("query: neither entries nor records", counts.rows / times - 2 * ROWS, QUERY_OVERHEAD, at_most=True)
    looks = [fleet.look_up() for _ in range(times)]
    counts = ours.counts(lambda db: [ours.get(*look, db=db) for look in looks].clear())
    yield _count("get: keys read", counts.rows / times, GET_KEYS, at_most=True)
    yield _count("get: not of the record", counts.rows / times - 1, GET_OVERHEAD, at_most=True)


def _count(case: str, value: float, paper: float, *, at_most: bool = False) -> Case:
    return Case(
        case=case,
        unit="bytes" if "bytes" in case else "keys",
        ours=Spread(value, value, value),
        peers={"the paper": Spread(paper, paper, paper)},
        ratio={"the paper": value / paper},
        target={"the paper": 1.0} if at_most else {},
        ops=Ops(),
    )


def _contender(work: Callable[..., None], draw: Callable[[], tuple[Any, ...]], times: int) -> Contender:
    ready: list[tuple[Any, ...]] = []

    def prepare() -> None:
        ready[:] = [draw() for _ in range(times)]

    def run() -> None:
        for drawn in ready:
            work(*drawn)

    return Contender(run=run, prepare=prepare, operations=times)
