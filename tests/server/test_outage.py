"""A server on a cluster that goes away and comes back: it says so, and needs no restart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from recordlayer import aio
from recordlayer_server.config import Health
from tests.support.own_cluster import SERVER, OwnCluster
from tests.support.service import NOT_SERVING, SERVING, calling, health, run, serving

pytestmark = [
    pytest.mark.fdb,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not SERVER, reason="kills a process of its own: RECORDLAYER_TEST_FDBSERVER names the program"),
]

LOOKS = Health(interval=timedelta(days=1), timeout=timedelta(seconds=0.5), failures=3, successes=2)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[OwnCluster]:
    cluster = OwnCluster(tmp_path)
    yield cluster
    cluster.kill()


def test_health_follows_a_cluster_that_is_killed_and_comes_back(cluster: OwnCluster) -> None:
    async def scenario() -> None:
        database = aio.open(f"fdb:{cluster.file}")
        async with serving(database=database, health=LOOKS) as server, calling(server) as channel:
            while not await server.monitor.look():  # a slow machine may take longer than one look to connect
                assert await health(channel) == NOT_SERVING
            assert await health(channel) == SERVING
            cluster.kill()
            assert [await server.monitor.look() for _ in range(3)] == [True, True, False]
            assert await health(channel) == NOT_SERVING
            assert await health(channel, "live") == SERVING
            cluster.start()
            while not await server.monitor.look():
                assert await health(channel) == NOT_SERVING
            assert await health(channel) == SERVING

    run(scenario())


def test_a_server_may_start_before_its_cluster(cluster: OwnCluster) -> None:
    cluster.kill()

    async def scenario() -> None:
        database = aio.open(f"fdb:{cluster.file}", connect_timeout=0)
        async with serving(database=database, health=LOOKS) as server, calling(server) as channel:
            assert await health(channel) == NOT_SERVING
            cluster.start()
            while not await server.monitor.look():
                assert await health(channel) == NOT_SERVING
            assert await health(channel) == SERVING

    run(scenario())
