"""Servers are replaced one after the other while callers go on: every error says that trying again is worth it, and
streams go on behind what they gave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from datetime import timedelta
from typing import Any

from google.rpc import status_pb2
from grpc import aio as grpc_aio

from recordlayer.client.pb import records_pb2
from recordlayer_server import statuses
from recordlayer_server.config import Address, Config
from recordlayer_server.services import services
from recordlayer_server.serving import Serving
from tests.support.service import STEADY, Caller, operation, photos, retries, run

LONG = os.environ.get("RECORDLAYER_LONG_TESTS") == "1"
RESTARTS, CALLERS, RECORDS = (40, 16, 900) if LONG else (6, 6, 450)
SERVICE = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config", json.dumps(SERVICE)),
    ("grpc.use_local_subchannel_pool", 1),
]


class Fleet:
    """Two servers of one database, on fixed ports."""

    def __init__(self, databases: Any) -> None:
        self._databases = databases
        self._servers: list[Serving] = []
        self.replaced = 0

    async def begin(self) -> None:
        self._servers = [await self._start(Address("127.0.0.1", 0)) for _ in range(2)]

    @property
    def target(self) -> str:
        return "ipv4:" + ",".join(str(server.address) for server in self._servers)

    async def _start(self, listen: Address) -> Serving:
        config = Config(
            db="memory:", health=STEADY, listen=listen, grace=timedelta(seconds=20), drain_delay=timedelta(seconds=0.3)
        )
        server = Serving(config, self._databases.database, services=services(self._databases))
        await server.start()
        return server

    async def replace(self, place: int) -> None:
        """A new server on the port of an old one, which is drained."""
        old = self._servers[place]
        assert old.address is not None
        assert await old.drain() == 0, "its calls had their answers"
        self._servers[place] = await self._start(old.address)
        self.replaced += 1

    async def end(self) -> None:
        for server in self._servers:
            await server.drain()


def may_be_tried_again(error: grpc_aio.AioRpcError) -> bool:
    """Whether the server said so; or gRPC itself, of a call that no server has seen."""
    details = dict(error.trailing_metadata() or ()).get(statuses.DETAILS)
    if details is None:
        return error.code().name == "UNAVAILABLE"
    return retries(status_pb2.Status.FromString(details))


def test_a_rolling_restart_under_load_shows_no_error_that_is_not_to_be_tried_again() -> None:
    final: list[str] = []

    def note(name: str, error: grpc_aio.AioRpcError) -> None:
        if not may_be_tried_again(error):
            final.append(f"{name}: {error}")

    async def until_done(call: Any, name: str) -> Any:
        while True:
            try:
                return await call()
            except grpc_aio.AioRpcError as error:
                note(name, error)
                await asyncio.sleep(0.02)

    async def writer(caller: Caller, number: int, stop: asyncio.Event) -> int:
        count = 0
        while not stop.is_set():
            name = f"w{number}-{count}"

            async def save(name: str = name) -> Any:
                # The same key however often it is sent: whether it was applied is the server's business.
                return await caller.modify(operation("CREATE", name, rating=1), idempotency_key=name)

            await until_done(save, "Modify")
            found = await until_done(lambda name=name: caller.lookup(name), "Lookup")
            assert found[0].record.name.name == name, "what was answered is there, whichever server is asked"
            count += 1
        return count

    async def stream(caller: Caller) -> list[str]:
        """All records of a zone, some pages of them; cut streams go on behind the last message."""
        names: list[str] = []
        continuation = b""
        while True:
            request = records_pb2.QueryRequest(
                context=caller.context, record_types=["Photo"], continuation=continuation
            )
            request.zone.name = "read"
            try:
                async for reply in caller.records.QueryStream(request):
                    names += [record.name.name for record in reply.records]
                    continuation = reply.continuation or continuation
                return names
            except grpc_aio.AioRpcError as error:
                note("QueryStream", error)
                await asyncio.sleep(0.02)

    async def reader(caller: Caller, stop: asyncio.Event) -> int:
        count = 0
        while not stop.is_set():
            assert await stream(caller) == sorted(f"r{number:04d}" for number in range(RECORDS))
            count += 1
        return count

    async def scenario() -> None:
        async with photos() as (_, databases):
            fleet = Fleet(databases)
            await fleet.begin()
            async with contextlib.AsyncExitStack() as stack:
                channels = [
                    await stack.enter_async_context(grpc_aio.insecure_channel(fleet.target, options=OPTIONS))
                    for _ in range(CALLERS)
                ]
                callers = [Caller(channel) for channel in channels]
                await callers[0].zone("read")
                for start in range(0, RECORDS, 150):
                    new = [
                        operation("CREATE", f"r{n:04d}", zone="read") for n in range(start, min(start + 150, RECORDS))
                    ]
                    await callers[0].modify(*new)
                stop = asyncio.Event()
                tasks = [
                    asyncio.create_task(reader(caller, stop) if place % 3 == 0 else writer(caller, place, stop))
                    for place, caller in enumerate(callers)
                ]
                for number in range(RESTARTS):
                    await asyncio.sleep(0.05)
                    await fleet.replace(number % 2)
                stop.set()
                done = await asyncio.gather(*tasks)
            await fleet.end()
            assert fleet.replaced == RESTARTS
            assert all(done), "each of them got something done"
            assert final == []

    run(scenario())
