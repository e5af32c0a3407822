"""Queries against raw sqlite3 on the same records: one by key, 100 in a range, 100 covered, unions, counts, sorts,
groups, joins; and what planning is of running a query.

One operation is one query, in a transaction and store that are open already; sqlite3 has one connection, prepared
statements and the indexes that it needs. Ours gives parsed messages, sqlite3 gives rows of all six columns.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf import descriptor_pb2, message_factory

import recordlayer as rl
from bench.ground import Ground, ground_for
from bench.harness import Case, Contender, Ops, Report, Settings, compare
from bench.record import FIELDS
from recordlayer import agg, q, query
from recordlayer.query.execute import planned
from recordlayer.testing.clock import ManualClock

ENGINES = ("file", "memory", "fdb")
RECORDS = 20_000
CITIES = 200
"""Records of one city: RECORDS / CITIES = 100."""
OWNERS = 2_000

TARGETS = {
    "get by key": 2.0,
    "range of 100 with fetch": 2.5,
    "covering range of 100": 1.2,
    "covering range of 100, as tuples": 1.2,
    "union of 2 x 10": 3.0,
    "intersection of 100 and 10": 3.0,
    "intersection of 100 and 67, 33 in both": 3.0,
    "in of 20 keys": 3.0,
    "in of 5 names": 3.0,
}
"""Upper bounds of ours / sqlite3."""
PLANNING = 0.05
"""Upper bound of planning / running the same query: values that were not planned with yet, of a shape that was."""

Field = descriptor_pb2.FieldDescriptorProto


def metadata() -> rl.RecordMetaData:
    """The record of six fields with the indexes of these queries."""
    file = descriptor_pb2.FileDescriptorProto(name="bench_query.proto", package="bench_query", syntax="proto2")
    message = file.message_type.add(name="Item")
    for number, (name, kind) in enumerate(FIELDS.items(), 1):
        message.field.add(name=name, number=number, type=kind, label=Field.LABEL_OPTIONAL)
    return (
        rl.RecordMetaDataBuilder.from_descriptor_set(descriptor_pb2.FileDescriptorSet(file=[file]))
        .primary_key("Item", "id")
        .index("Item", "by_city", rl.concat("city", "count"))
        .index("Item", "in_city", "city")
        .index("Item", "by_name", "name")
        .index("Item", "by_price", "price")
        .index("Item", "by_count", "count")
        .index("Item", "per_city", rl.count(group_by="city"))
        .build()
    )


def rows() -> Iterator[tuple[Any, ...]]:
    """The records, the same in every run: id, name, city, price, count, active."""
    chance = random.Random(1)
    for number in range(RECORDS):
        owner, city = number * 7919 % OWNERS, number * 31 % CITIES
        yield number, f"owner {owner:05d}", f"city {city:04d}", chance.uniform(0, 100), number % 300, number % 2 == 0


def run(settings: Settings) -> Report:
    """Every case on one engine."""
    with ground_for(settings, "query", ENGINES[0]) as ground:
        bench = Bench(ground, settings)
        cases = tuple(bench.cases())
        bench.close()
        return Report(bench="query", engine=ground.kind, cases=cases)


class Bench:
    def __init__(self, ground: Ground, settings: Settings) -> None:
        world = ManualClock().world()  # transactions stay young however long the rounds take
        self._db = rl.Database(ground.engine("query", world=world), world=world)
        self._path = ground.path()
        self._timer = ground.timer
        self._shorter = 10 if ground.scheme == "fdb" else 1  # there are no worlds in which its transactions stay young
        self._settings = settings
        self._metadata = metadata()
        self._sqlite = sqlite3.connect(ground.directory / "query.sqlite", isolation_level=None)
        self._fill()

    def close(self) -> None:
        self._sqlite.close()

    def _fill(self) -> None:
        item: Any = message_factory.GetMessageClass(self._metadata.record_type("Item").descriptor)
        everything = list(rows())
        for start in range(0, RECORDS, 2_000):
            with self._db.transaction() as tx:
                store = tx.store(self._metadata, path=self._path)
                made = everything[start : start + 2_000]
                store.save_many([item(**dict(zip(FIELDS, row, strict=True))) for row in made])
        run = self._sqlite.execute
        run("pragma journal_mode = wal")
        run("pragma synchronous = off")
        run("create table item (id integer primary key, name text, city text, price real, count integer, active)")
        run("begin")
        self._sqlite.executemany("insert into item values (?, ?, ?, ?, ?, ?)", everything)
        run("commit")
        run("create index by_city on item (city, count)")
        run("create index in_city on item (city)")
        run("create index by_name on item (name)")
        run("create index by_price on item (price)")
        run("create index by_count on item (count)")

    def cases(self) -> Iterator[Case]:
        names = [f"owner {number:05d}" for number in range(OWNERS)]
        cities = [f"city {number:04d}" for number in range(CITIES)]
        numbers = list(range(0, RECORDS, 37))
        chance = random.Random(2)
        items = query("Item")
        yield self._case(
            "get by key",
            lambda store, n: store.load(numbers[n % len(numbers)]),
            "select * from item where id = ?",
            lambda n: (numbers[n % len(numbers)],),
            Ops(reads=1, round_trips=1),
            times=500,
        )
        yield self._query(
            "range of 100 with fetch",
            lambda n: items.where(q.city == cities[n % CITIES]),
            "select * from item where city = ?",
            lambda n: (cities[n % CITIES],),
            Ops(reads=101, round_trips=2),
        )
        yield self._query(
            "covering range of 100",
            lambda n: items.where(q.city == cities[n % CITIES]).select("city", "count", "id"),
            "select city, count, id from item where city = ?",
            lambda n: (cities[n % CITIES],),
            Ops(reads=1, round_trips=1),
        )
        yield self._case(
            "covering range of 100, as tuples",
            lambda store, n: store.query(
                items.where(q.city == cities[n % CITIES]).select("city", "count", "id"), snapshot=True
            ).values(),
            "select city, count, id from item where city = ?",
            lambda n: (cities[n % CITIES],),
            Ops(reads=1, round_trips=1),
        )
        yield self._query(
            "union of 2 x 10",
            lambda n: items.where((q.name == names[n % OWNERS]) | (q.name == names[(n + 1) % OWNERS])),
            "select * from item where name = ? or name = ?",
            lambda n: (names[n % OWNERS], names[(n + 1) % OWNERS]),
            Ops(reads=22, round_trips=2),
        )
        yield self._query(
            "intersection of 100 and 10",
            lambda n: items.where(q.city == cities[n % CITIES], q.name == names[n % OWNERS]),
            "select * from item where city = ? and name = ?",
            lambda n: (cities[n % CITIES], names[n % OWNERS]),
            Ops(reads=3, round_trips=2),
        )
        yield self._query(
            "intersection of 100 and 67, 33 in both",
            lambda n: items.where(q.city == cities[n * 31 % CITIES], q.count == n % 300).use_indexes(
                "in_city", "by_count"
            ),
            "select * from item indexed by by_count where city = ? and count = ?",
            lambda n: (cities[n * 31 % CITIES], n % 300),
            Ops(reads=35, round_trips=2),
        )
        yield self._query(
            "in of 20 keys",
            lambda n: items.where(q.id.in_(chance.sample(range(RECORDS), 20))),  # never the same
            f"select * from item where id in ({', '.join('?' * 20)})",
            lambda n: tuple(chance.sample(range(RECORDS), 20)),
            Ops(reads=20, round_trips=3),
        )
        yield self._query(
            "in of 5 names",
            lambda n: items.where(q.name.in_(chance.sample(names, 5))),
            "select * from item where name in (?, ?, ?, ?, ?)",
            lambda n: tuple(chance.sample(names, 5)),
            Ops(reads=55, round_trips=2),
        )
        yield self._case(
            "count of 100 from an index",
            lambda store, n: store.count(items.where(q.city == cities[n % CITIES])),
            "select count(*) from item where city = ?",
            lambda n: (cities[n % CITIES],),
            Ops(reads=1, round_trips=1),
        )

        yield self._query(
            "top 10 of 100 sorted in memory",
            lambda n: items.where(q.city == cities[n % CITIES]).order_by("price", in_memory=100),
            "select * from item where city = ? order by price limit 10",
            lambda n: (cities[n % CITIES],),
            Ops(reads=101, round_trips=2),
            limit=10,
        )
        yield self._query(
            "top 10 by an index",
            lambda n: items.where(q.price > float(n % 90)).order_by("price"),
            "select * from item where price > ? order by price limit 10",
            lambda n: (float(n % 90),),
            Ops(reads=11, round_trips=2),
            limit=10,
        )
        groups = items.group_by("city").aggregate(items=agg.count(), most=agg.max("count"))
        yield self._query(
            "200 groups of 20,000 entries",
            lambda n: groups,
            "select city, count(*), max(count) from item group by city",
            lambda n: (),
            Ops(reads=20, round_trips=20),
            limit=None,
            times=2,
        )
        yield self._query(
            "groups of 100 in memory",
            lambda n: (
                items.where(q.city == cities[n % CITIES])
                .group_by("active", in_memory=10)
                .aggregate(items=agg.count(), mean=agg.avg("price"))
            ),
            "select active, count(*), avg(price) from item where city = ? group by active",
            lambda n: (cities[n % CITIES],),
            Ops(reads=101, round_trips=2),
        )
        yield self._query(
            "join of 10 with 100 each",
            lambda n: items.where(q.name == names[n % OWNERS]).join(
                items.select("city", "count", "id"), on={"city": "city"}
            ),
            "select * from item a join item b on a.city = b.city where a.name = ?",
            lambda n: (names[n % OWNERS],),
            Ops(reads=21, round_trips=3),
            limit=None,
            times=10,
        )

        yield self._planning("planning for other values, 10 by an index", lambda n: items.where(q.name == names[n]))
        yield self._planning(
            "planning for other values, 10 of a filter",
            lambda n: items.where(q.name == names[n], q.active == (n % 2 == 0), q.price < 10.0 + n),
        )

    def _planning(self, name: str, asked: Callable[[int], Any], *, times: int = 200) -> Case:
        """Planning queries of one shape, each with values of its own, against running them."""
        times //= self._shorter
        made: list[Any] = []

        def make() -> None:
            made[:] = [asked(number) for number in range(times)]  # a query keeps its plan

        def run_planning() -> None:
            with self._db.transaction() as tx:
                core = tx.store(self._metadata, path=self._path).core
                for one in made:
                    planned(core, one)

        def run_whole() -> None:
            with self._db.transaction() as tx:
                store = tx.store(self._metadata, path=self._path)
                for one in made:
                    store.query(one, snapshot=True).all()

        return compare(
            name,
            ours=Contender(run=run_planning, operations=times, prepare=make),
            peers={"running it": Contender(run=run_whole, operations=times, prepare=make)},
            settings=self._settings,
            target={"running it": PLANNING},
            timer=self._timer,
        )

    def _query(
        self,
        name: str,
        asked: Callable[[int], Any],
        statement: str,
        arguments: Callable[[int], tuple[Any, ...]],
        ops: Ops,
        *,
        limit: int | None = 100,
        times: int = 40,
    ) -> Case:
        def ours(store: rl.RecordStore, number: int) -> list[Any]:
            return store.query(asked(number), limit=limit, snapshot=True).all()

        with self._db.transaction() as tx:
            store = tx.store(self._metadata, path=self._path)
            same = len(ours(store, 5)), len(self._sqlite.execute(statement, arguments(5)).fetchall())
            assert same[0] == same[1], (name, same)
        return self._case(name, ours, statement, arguments, ops, times=times)

    def _case(
        self,
        name: str,
        ours: Callable[[rl.RecordStore, int], Any],
        statement: str,
        arguments: Callable[[int], tuple[Any, ...]],
        ops: Ops,
        *,
        times: int = 40,
    ) -> Case:
        times = max(1, times // self._shorter)

        def run_ours() -> None:
            with self._db.transaction() as tx:
                store = tx.store(self._metadata, path=self._path)
                for number in range(times):
                    ours(store, number)

        def run_sqlite() -> None:
            execute = self._sqlite.execute
            for number in range(times):
                execute(statement, arguments(number)).fetchall()

        return compare(
            name,
            ours=Contender(run=run_ours, operations=times),
            peers={"sqlite3": Contender(run=run_sqlite, operations=times)},
            settings=self._settings,
            target={"sqlite3": TARGETS[name]} if name in TARGETS else None,
            ops=ops,
            timer=self._timer,
        )
