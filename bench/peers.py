"""The headline: the whole layer on a file against raw sqlite3, SQLAlchemy and peewee, doing the same job.

A record of six fields with a primary key, three indexes and a count of each group. Every contender has a file of its
own with the same 20,000 records, and one connection. One operation is one record in `insert` and `update`, one look-up
in `get`, and one query of 100 rows in `range` and `covering`. Whoever reads also looks at what was read: the counts of
all rows are added up, and all contenders must come to the same sum.

Each case comes twice: relaxed (nobody waits for the disk; sqlite3 with `synchronous=OFF`, and `NORMAL` beside it) and
durable (every commit is on disk; `synchronous=FULL` everywhere).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Protocol

from bench import peers_orm, peers_ours, peers_sqlite
from bench.ground import Ground, ground_for
from bench.harness import Case, Contender, Report, Settings, compare
from bench.peers_rows import CITIES, RECORDS, Row, changed_rows, new_rows, stored_rows

ENGINES = ("file", "memory", "fdb")
DURABLE = {"file": (False, True), "memory": (False,), "fdb": (True,)}
"""Whether commits wait for a disk, or in turn. What is in memory never does, and a cluster always."""
TARGETS = {"insert_100": 0.8, "insert_1": 1.3, "get": 2.0, "range_100": 2.5, "covering_100": 1.2, "update": 1.8}
"""Upper bounds of ours / sqlite3, relaxed."""
SLOWER = ("SQLAlchemy ORM", "peewee")
"""Who is to be slower than ours in every case."""


class Peer(Protocol):
    """One way to keep the records. Reading answers with a number, so that nobody can leave the reading out."""

    def insert(self, rows: Sequence[Row]) -> None:
        """New records, in a transaction."""

    def update(self, rows: Sequence[Row]) -> None:
        """Other values for records that are there, one after the other in a transaction."""

    def get(self, ids: Sequence[int]) -> int:
        """Records by their keys, one after the other in a transaction: their counts added up."""

    def range(self, cities: Sequence[str]) -> int:
        """The records of each city, a query each, in a transaction: the same."""

    def covering(self, cities: Sequence[str]) -> int:
        """City, count and id of the records of each city, which an index has: the same, from the index alone."""

    def close(self) -> None: ...


def run(settings: Settings) -> Report:
    """Every case, relaxed and durable, or what of it the engine is."""
    cases: list[Case] = []
    with ground_for(settings, "peers", ENGINES[0]) as ground, ExitStack() as opened:
        for durable in DURABLE[ground.scheme]:
            contenders = _contenders(ground, durable=durable)
            for peer in contenders.values():
                opened.callback(peer.close)
                rows = stored_rows()
                for start in range(0, RECORDS, 1_000):
                    peer.insert(rows[start : start + 1_000])
            cases += _cases(contenders, settings, durable=durable)
        return Report(bench="peers", engine=ground.kind, cases=tuple(cases))


def _contenders(ground: Ground, *, durable: bool) -> dict[str, Peer]:
    mode = "full" if durable else "off"
    directory = ground.directory / mode
    directory.mkdir()
    peers: dict[str, Peer] = {"ours": peers_ours.Ours(ground, durable=durable)}
    peers["sqlite3"] = peers_sqlite.Sqlite(directory / "sqlite3", mode)
    if not durable:
        peers["sqlite3 NORMAL"] = peers_sqlite.Sqlite(directory / "normal", "normal")
    peers["SQLAlchemy Core"] = peers_orm.Core(directory / "core", mode)
    peers["SQLAlchemy ORM"] = peers_orm.Orm(directory / "orm", mode)
    peers["peewee"] = peers_orm.Peewee(directory / "peewee", mode)
    return peers


def _cases(contenders: dict[str, Peer], settings: Settings, *, durable: bool) -> Iterator[Case]:
    chance = random.Random(2)
    ids = [chance.randrange(RECORDS) for _ in range(100 if settings.quick else 300)]
    cities = [f"city {chance.randrange(CITIES):04d}" for _ in range(5 if settings.quick else 20)]
    singles = 5 if durable else 20
    first = contenders["ours"]
    assert isinstance(first, peers_ours.Ours), "it knows what an operation costs"
    counted = first.counted

    def case(name: str, contender: Callable[[Peer], Contender]) -> Case:
        ours, *others = [contender(peer) for peer in contenders.values()]
        target = dict.fromkeys(SLOWER, 1.0)
        if not durable:
            target["sqlite3"] = TARGETS[name]
        return compare(
            f"{name}, {'durable' if durable else 'relaxed'}",
            ours=ours,
            peers=dict(zip(list(contenders)[1:], others, strict=True)),
            settings=settings,
            target=target,
            ops=counted(ours),
        )

    def reading(name: str, job: Callable[[Peer], int], operations: int) -> Case:
        sums = {who: job(peer) for who, peer in contenders.items()}
        assert len(set(sums.values())) == 1, (name, sums)
        return case(name, lambda peer: Contender(run=lambda: job(peer), operations=operations))

    yield case("insert_100", lambda peer: _writing(peer.insert, new_rows(100), 1, 100))
    yield case("insert_1", lambda peer: _writing(peer.insert, new_rows(1), singles, singles))
    yield reading("get", lambda peer: peer.get(ids), len(ids))
    yield reading("range_100", lambda peer: peer.range(cities), len(cities))
    yield reading("covering_100", lambda peer: peer.covering(cities), len(cities))
    yield case("update", lambda peer: _writing(peer.update, changed_rows(100), 1, 100))


def _writing(
    write: Callable[[Sequence[Row]], None], made: Iterator[list[Row]], transactions: int, operations: int
) -> Contender:
    """Some transactions; their rows are made before the clock runs."""
    ready: list[list[Row]] = []

    def run() -> None:
        for rows in ready:
            write(rows)

    def prepare() -> None:
        ready[:] = [next(made) for _ in range(transactions)]

    return Contender(run=run, prepare=prepare, operations=operations)
