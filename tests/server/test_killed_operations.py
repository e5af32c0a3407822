"""A build that an operator lets be done survives the server that does it: processes of their own, and kill -9."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grpc import aio as grpc_aio

from recordlayer import aio
from recordlayer.client.pb import admin_pb2
from recordlayer.client.testing.fake import fake
from recordlayer_server.databases import Databases
from recordlayer_server.places import DEVELOPMENT, PUBLIC, Tenant
from tests.server.test_operations import begun, filled
from tests.support.admin import Operator
from tests.support.photos import CONTAINER, description
from tests.support.service import Caller, run, where

Operation = admin_pb2.AdminOperation
RECORDS = 200


def test_a_build_goes_on_on_the_next_server_when_its_server_is_killed(tmp_path: Path) -> None:
    async def before(address: str) -> int:
        async with grpc_aio.insecure_channel(address) as channel:
            operator, caller = Operator(channel), Caller(channel)
            await filled(caller, RECORDS)
            await operator.ask("DropIndexes", name="drop", drop={"indexes": ["by_rating"]})
            dropped = (await operator.ask("WaitOperation", name="drop")).operation
            assert dropped.state == Operation.SUCCEEDED
            await operator.ask("BuildIndexes", name="build", build={"indexes": ["by_rating"]}, records_per_second=10)
            return int((await operator.until("build", begun)).progress.records)

    async def behind(address: str) -> None:
        async with grpc_aio.insecure_channel(address) as channel:
            operator, caller = Operator(channel), Caller(channel)
            seen = (await operator.ask("GetOperation", name="build")).operation
            assert seen.state == Operation.RUNNING, "nobody had time to say otherwise"
            await operator.ask("ThrottleOperation", name="build", records_per_second=100_000)
            done = (await operator.ask("WaitOperation", name="build", within=30)).operation
            assert (done.state, done.starts) == (Operation.SUCCEEDED, 2), done
            assert done.progress.records == RECORDS, "each is looked at once, before the kill or behind it"
            assert await caller.names(where("rating", "GREATER_THAN_OR_EQUALS", RECORDS - 2)) == ["0198", "0199"]

    file = tmp_path / "photos.rl"
    with fake({CONTAINER: description()}, db=f"file:{file}", flags=["--lease", "1"]) as server:
        built = run(before(server.url.removeprefix("grpc://")))
        server.stop()  # by kill -9
        assert 0 < built < RECORDS
        server.start()
        run(behind(server.url.removeprefix("grpc://")))
    run(_checked(file))


async def _checked(file: Path) -> None:
    async with aio.open(f"file:{file}") as database:
        databases = Databases(database)

        async def check(tx: Any) -> None:
            store = await databases.records(tx, Tenant(CONTAINER, DEVELOPMENT, PUBLIC, ""))
            assert store is not None
            assert await store.check() == []

        await database.run(check)
