"""The asyncio facade against the blocking one, doing the same job on the same store.

One operation is a record saved in a transaction of its own, a record got by its key, or a query of 100 records, by an
index with their records or from the index alone. The jobs of asyncio run in one task of a loop that has nothing else
to do: what is left is what a call takes longer there. Times are processor time, except on a cluster.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from typing import Any

from bench.ground import Ground, ground_for
from bench.harness import Case, Contender, Report, Settings, compare
from bench.peers_ours import METADATA, Item
from bench.peers_rows import CITIES, RECORDS, new_rows, stored_rows
from recordlayer import aio, q, query
from recordlayer.blocking.database import Database
from recordlayer.testing.clock import ManualClock

ENGINES = ("file", "memory", "fdb")
TARGET = 1.3
"""Upper bound of asyncio / blocking."""


def run(settings: Settings) -> Report:
    """Every case on one engine."""
    with ground_for(settings, "facades", ENGINES[0]) as place, closing(asyncio.new_event_loop()) as loop:
        bench = Bench(place, loop, settings)
        return Report(bench="facades", engine=place.kind, cases=tuple(bench.cases()))


class Bench:
    def __init__(self, ground: Ground, loop: asyncio.AbstractEventLoop, settings: Settings) -> None:
        world = ManualClock().world()  # transactions stay young however long the rounds take
        engine = ground.engine("facades", world=world)
        self._blocking = Database(engine, world=world)
        self._aio = aio.Database(engine, world=world)
        self._path = ground.path()
        self._loop = loop
        self._timer = ground.timer
        self._settings = settings
        rows = stored_rows()
        for start in range(0, RECORDS, 1_000):
            with self._blocking.transaction() as tx:
                tx.store(METADATA, path=self._path).save_many(
                    [Item(**row._asdict()) for row in rows[start : start + 1_000]]
                )

    def cases(self) -> Iterator[Case]:
        times = 20 if self._settings.quick else 100
        chance = random.Random(5)
        ids = [chance.randrange(RECORDS) for _ in range(10 * times)]
        cities = [f"city {chance.randrange(CITIES):04d}" for _ in range(times)]
        made = new_rows(times)
        messages: list[Any] = []

        def make() -> None:
            messages[:] = [Item(**row._asdict()) for row in next(made)]

        def save() -> None:
            for message in messages:
                with self._blocking.transaction() as tx:
                    tx.store(METADATA, path=self._path).save(message)

        async def save_async() -> None:
            for message in messages:
                async with self._aio.transaction() as tx:
                    store = await tx.store(METADATA, path=self._path)
                    await store.save(message)

        def get() -> None:
            with self._blocking.transaction() as tx:
                store = tx.store(METADATA, path=self._path)
                for number in ids:
                    store.load(number)

        async def get_async() -> None:
            async with self._aio.transaction() as tx:
                store = await tx.store(METADATA, path=self._path)
                for number in ids:
                    await store.load(number)

        def asked(city: str, covering: bool) -> Any:
            items = query("Item").where(q.city == city)
            return items.select("city", "count", "id") if covering else items

        def reading(covering: bool) -> Callable[[], object]:
            def read() -> None:
                with self._blocking.transaction() as tx:
                    store = tx.store(METADATA, path=self._path)
                    for city in cities:
                        store.query(asked(city, covering)).all()

            return read

        def reading_async(covering: bool) -> Callable[[], Coroutine[Any, Any, object]]:
            async def read() -> None:
                async with self._aio.transaction() as tx:
                    store = await tx.store(METADATA, path=self._path)
                    for city in cities:
                        await store.query(asked(city, covering)).all()

            return read

        yield self._case("save", save, save_async, times, prepare=make)
        yield self._case("get", get, get_async, len(ids))
        yield self._case("range_100", reading(False), reading_async(False), times)
        yield self._case("covering_100", reading(True), reading_async(True), times)

    def _case(
        self,
        name: str,
        blocking: Callable[[], object],
        asynchronous: Callable[[], Coroutine[Any, Any, object]],
        operations: int,
        *,
        prepare: Callable[[], object] | None = None,
    ) -> Case:
        def run() -> None:
            self._loop.run_until_complete(asynchronous())

        return compare(
            name,
            ours=Contender(run=run, operations=operations, prepare=prepare),
            peers={"blocking": Contender(run=blocking, operations=operations, prepare=prepare)},
            settings=self._settings,
            target={"blocking": TARGET},
            timer=self._timer,
        )
