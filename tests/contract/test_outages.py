"""A cluster whose process is killed under load, and comes back: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from recordlayer import aio
from recordlayer.errors import EngineUnavailable, MaybeCommitted, TimedOut
from recordlayer.kv.context import Context
from recordlayer.kv.registry import open_engine
from recordlayer.options import TransactionOptions
from recordlayer.waiting.drivers import run_asyncio
from tests.support.own_cluster import SERVER, OwnCluster

pytestmark = [
    pytest.mark.fdb,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not SERVER, reason="kills a process of its own: RECORDLAYER_TEST_FDBSERVER names the program"),
]

WRITERS, BETWEEN = 8, 5
ROUNDS = 30 if os.environ.get("RECORDLAYER_LONG_TESTS") else 2


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[OwnCluster]:
    cluster = OwnCluster(tmp_path)
    yield cluster
    cluster.kill()


async def value_of(context: Context, key: bytes) -> bytes | None:
    return await context.get(key)


class Load:
    """Writers that go on until they are told to stop, each on keys of its own.

    A *teller* sets a new key each time and keeps a list of what was acknowledged, and of what nobody knows. A *counter*
    adds one to a number, with an idempotency key: it has to be done once, whatever becomes of the process meanwhile.
    """

    def __init__(self, db: aio.Database) -> None:
        self._db = db
        self.acknowledged: dict[bytes, bytes] = {}
        self.unknown: dict[bytes, bytes] = {}
        self.counted = [0] * WRITERS
        self.stopping = False
        self._progress = asyncio.Condition()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                tasks.create_task(self._tell(number))
                tasks.create_task(self._count(number))

    async def until(self, more: int) -> None:
        """Wait until every writer has come so much further."""
        told, counted = self._told(), list(self.counted)
        async with self._progress:
            await self._progress.wait_for(
                lambda: all(
                    now >= before + more
                    for now, before in zip([*self._told(), *self.counted], [*told, *counted], strict=True)
                )
            )

    def _told(self) -> list[int]:
        return [sum(key.startswith(b"told/%d/" % number) for key in self.acknowledged) for number in range(WRITERS)]

    async def _tell(self, number: int) -> None:
        turn = 0
        while not self.stopping:
            key, value = b"told/%d/%d" % (number, turn), b"%d" % turn

            async def write(tx: aio.Transaction, key: bytes = key, value: bytes = value) -> None:
                tx.context.set(key, value)

            try:
                await self._db.run(write)
            except MaybeCommitted:
                self.unknown[key] = value
            else:
                self.acknowledged[key] = value
            turn += 1
            async with self._progress:
                self._progress.notify_all()

    async def _count(self, number: int) -> None:
        key = b"counted/%d" % number

        async def add(tx: aio.Transaction) -> None:
            done = int(await run_asyncio(value_of(tx.context, key)) or b"0")
            tx.context.set(key, b"%d" % (done + 1))

        while not self.stopping:
            await self._db.run(add, idempotency_key=self._db.idempotency.generate())
            self.counted[number] += 1
            async with self._progress:
                self._progress.notify_all()


def test_a_killed_process_loses_no_acknowledged_commit_and_does_nothing_twice(cluster: OwnCluster) -> None:
    async def scenario() -> None:
        async with aio.open(f"fdb:{cluster.file}") as db:
            load = Load(db)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(load.run())
                await load.until(BETWEEN)
                for _ in range(ROUNDS):
                    cluster.kill()
                    options = TransactionOptions(timeout=timedelta(seconds=0.5))
                    with pytest.raises(TimedOut):  # who sets a limit gets an answer while the cluster is away
                        await db.run(lambda tx: tx.read_version(), options=options)
                    cluster.start()
                    await load.until(BETWEEN)
                load.stopping = True
            async with db.transaction() as tx:
                told = dict(await run_asyncio(tx.context.read_all(b"told/", b"told0")))
                counted = await run_asyncio(tx.context.read_all(b"counted/", b"counted0"))
            assert load.acknowledged.items() <= told.items()
            assert told.items() <= (load.acknowledged | load.unknown).items()
            assert [int(value) for _, value in counted] == load.counted

    asyncio.run(scenario())


def test_a_cluster_that_went_away_is_an_error_for_who_opens_it(cluster: OwnCluster) -> None:
    open_engine(f"fdb:{cluster.file}").close()
    cluster.kill()
    with pytest.raises(EngineUnavailable) as caught:
        open_engine(f"fdb:{cluster.file}", connect_timeout=1)
    assert caught.value.fields["cluster_file"] == str(cluster.file)
