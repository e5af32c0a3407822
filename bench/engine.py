"""The embedded engine against raw sqlite3: transactions of ten reads and ten writes, relaxed and durable.

One operation is one transaction over 100,000 keys of 16 bytes with values of 100 bytes, keys drawn at random.
sqlite3 is as fast as it gets: one connection, WAL, one table `WITHOUT ROWID`, prepared statements, no layer. It has one
writer at a time and no conflicts; ours checks every read. NORMAL survives a power cut without the last transactions;
OFF and our relaxed mode may not survive it.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.ground import ground_for
from bench.harness import Case, Contender, Ops, Report, Settings, compare
from recordlayer.errors import TransactionError
from recordlayer.kv.engine import Engine, StreamingMode
from recordlayer.kv.registry import open_engine
from recordlayer.waiting.drivers import run_asyncio, run_blocking

ENGINES = ("file",)
KEYS = 100_000
READS = WRITES = 10
TASKS = 100
VALUE = bytes(range(100))

# Upper bounds of ours / sqlite3.
RELAXED, DURABLE_TASKS, DURABLE_ONE = 1 / 1.5, 1 / 1.5, 1 / 0.45


def key(number: int) -> bytes:
    return b"k%015d" % (number * 7919 % KEYS)


def run(settings: Settings) -> Report:
    """Every case in one directory."""
    with ground_for(settings, "engine", ENGINES[0]) as ground, ExitStack() as stack:
        bench = Bench(ground.directory, stack, settings)
        return Report(bench="engine", engine=ground.kind, cases=tuple(bench.cases()))


class Bench:
    def __init__(self, directory: Path, stack: ExitStack, settings: Settings) -> None:
        self._directory = directory
        self._stack = stack
        self._settings = settings
        self._chance = random.Random(1)
        self._loop = asyncio.new_event_loop()
        stack.callback(self._loop.close)
        self._drawn: list[list[bytes]] = []

    def cases(self) -> Iterator[Case]:
        quick = self._settings.quick
        relaxed, durable = self._ours("relaxed"), self._ours("commit")
        normal, off, full = (self._sqlite(mode) for mode in ("NORMAL", "OFF", "FULL"))
        ten = Ops(reads=READS, writes=WRITES, round_trips=1 + READS)
        times = 100 if quick else 300
        yield compare(
            "10 reads + 10 writes, relaxed",
            ours=Contender(run=lambda: self._blocking(relaxed, times), operations=times, prepare=self._draw),
            peers={
                "sqlite3 NORMAL": Contender(
                    run=lambda: self._repeat(normal, times), operations=times, prepare=self._draw
                ),
                "sqlite3 OFF": Contender(run=lambda: self._repeat(off, times), operations=times, prepare=self._draw),
            },
            target={"sqlite3 NORMAL": RELAXED},
            settings=self._settings,
            ops=ten,
        )
        times = 10 if quick else 30
        yield compare(
            "10 reads + 10 writes, durable, one caller",
            ours=Contender(run=lambda: self._blocking(durable, times), operations=times, prepare=self._draw),
            peers={
                "sqlite3 FULL": Contender(run=lambda: self._repeat(full, times), operations=times, prepare=self._draw)
            },
            target={"sqlite3 FULL": DURABLE_ONE},
            settings=self._settings,
            ops=ten,
        )
        each = 3 if quick else 10
        yield compare(
            f"10 reads + 10 writes, durable, {TASKS} asyncio tasks (sqlite3: one caller)",
            ours=Contender(run=lambda: self._tasks(durable, each), operations=TASKS * each, prepare=self._draw),
            peers={
                "sqlite3 FULL": Contender(run=lambda: self._repeat(full, times), operations=times, prepare=self._draw)
            },
            target={"sqlite3 FULL": DURABLE_TASKS},
            settings=self._settings,
            ops=ten,
        )
        yield self._reading("one get in a transaction of its own", relaxed, normal, self._get, _sqlite_get, 1000)
        yield self._reading(
            "a range of 100 in a transaction of its own", relaxed, normal, self._scan, _sqlite_scan, 200
        )

    def _reading(
        self,
        name: str,
        engine: Engine,
        connection: sqlite3.Connection,
        ours: Callable[[Engine], Coroutine[Any, Any, None]],
        peer: Callable[[sqlite3.Connection, bytes], None],
        times: int,
    ) -> Case:
        def read_ours() -> None:
            for _ in range(times):
                run_blocking(ours(engine))

        def read_peer() -> None:
            for _ in range(times):
                peer(connection, key(self._chance.randrange(KEYS)))

        return compare(
            name,
            ours=Contender(run=read_ours, operations=times),
            peers={"sqlite3": Contender(run=read_peer, operations=times)},
            settings=self._settings,
            ops=Ops(reads=1, round_trips=2),
        )

    # -- ours

    def _ours(self, durability: str) -> Engine:
        engine = open_engine(f"file:{self._directory / durability}.rl", durability=durability)
        self._stack.callback(engine.close)

        async def fill(numbers: range) -> None:
            transaction = engine.begin()
            for number in numbers:
                transaction.set(key(number), VALUE)
            await transaction.commit()

        for start in range(0, KEYS, 10_000):
            run_blocking(fill(range(start, start + 10_000)))
        return engine

    async def _ten(self, engine: Engine, keys: list[bytes]) -> None:
        transaction = engine.begin()
        while True:
            try:
                for one in keys[:READS]:
                    await transaction.get(one)
                for one in keys[READS:]:
                    transaction.set(one, VALUE)
                await transaction.commit()
            except TransactionError as error:  # a conflict: tasks meet on a key now and then, and try again
                await transaction.on_error(error)
            else:
                return

    def _blocking(self, engine: Engine, times: int) -> None:
        for _ in range(times):
            run_blocking(self._ten(engine, self._keys()))

    def _tasks(self, engine: Engine, each: int) -> None:
        async def task() -> None:
            for _ in range(each):
                await run_asyncio(self._ten(engine, self._keys()))

        async def everyone() -> None:
            await asyncio.gather(*(task() for _ in range(TASKS)))

        self._loop.run_until_complete(everyone())

    async def _get(self, engine: Engine) -> None:
        transaction = engine.begin()
        assert await transaction.get(key(self._chance.randrange(KEYS))) is not None
        transaction.close()

    async def _scan(self, engine: Engine) -> None:
        transaction = engine.begin()
        begin = b"k%015d" % self._chance.randrange(KEYS - 100)
        chunk = await transaction.get_range(begin, b"l", limit=100, mode=StreamingMode.WANT_ALL)
        assert len(chunk.rows) == 100
        transaction.close()

    # -- sqlite3

    def _sqlite(self, synchronous: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self._directory / f"{synchronous}.sqlite", isolation_level=None)
        self._stack.callback(connection.close)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("CREATE TABLE pairs (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO pairs VALUES (?, ?)", ((key(number), VALUE) for number in range(KEYS)))
        connection.execute("COMMIT")
        return connection

    def _repeat(self, connection: sqlite3.Connection, times: int) -> None:
        execute = connection.execute
        for _ in range(times):
            keys = self._keys()
            execute("BEGIN IMMEDIATE")
            for one in keys[:READS]:
                execute("SELECT v FROM pairs WHERE k = ?", (one,)).fetchone()
            for one in keys[READS:]:
                execute("INSERT OR REPLACE INTO pairs VALUES (?, ?)", (one, VALUE))
            execute("COMMIT")

    def _draw(self) -> None:
        """Draw the keys of a round, before the clock runs."""
        chance, most = self._chance, TASKS * 10
        self._drawn = [[key(number) for number in chance.sample(range(KEYS), READS + WRITES)] for _ in range(most)]

    def _keys(self) -> list[bytes]:
        return self._drawn.pop()


def _sqlite_get(connection: sqlite3.Connection, one: bytes) -> None:
    assert connection.execute("SELECT v FROM pairs WHERE k = ?", (one,)).fetchone() is not None


def _sqlite_scan(connection: sqlite3.Connection, begin: bytes) -> None:
    rows = connection.execute("SELECT k, v FROM pairs WHERE k >= ? LIMIT 100", (begin,)).fetchall()
    assert len(rows) > 0
