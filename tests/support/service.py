"""A server of the service inside the test's own event loop, on a free port, and databases that go away when told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

from grpc import aio as grpc_aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from recordlayer.aio import Database
from recordlayer.errors import ProcessBehind
from recordlayer.kv.engine import Engine, Transaction
from recordlayer.kv.registry import open_engine
from recordlayer.waiting.waitable import Failed, Promise, Waitable
from recordlayer.world import World
from recordlayer_server.config import Address, Config, Health
from recordlayer_server.serving import Service, Serving

T = TypeVar("T")

BY_HAND = Health(interval=timedelta(days=1), timeout=timedelta(milliseconds=20), failures=3, successes=2)
"""One look when the server starts, and then only those of the test."""

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario to its end; one that hangs is an error."""

    async def bounded() -> T:
        async with asyncio.timeout(60):
            return await scenario

    return asyncio.run(bounded())


class Unsteady:
    """A database in memory that is there, fails every look, or does not answer at all."""

    def __init__(self) -> None:
        self.engine = open_engine("memory:")
        self.state = "there"

    def begin(self) -> Transaction:
        return cast("Transaction", _UnsteadyTransaction(self, self.engine.begin()))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def database(self) -> Database:
        return Database(cast("Engine", self), world=World())


class _UnsteadyTransaction:
    def __init__(self, owner: Unsteady, transaction: Transaction) -> None:
        self._owner = owner
        self._transaction = transaction

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)

    def read_version(self) -> Waitable[int]:
        if self._owner.state == "fails":
            return Failed(ProcessBehind())
        if self._owner.state == "silent":
            return Promise()
        return self._transaction.read_version()


@asynccontextmanager
async def serving(*services: Service, database: Database | None = None, **settings: Any) -> AsyncIterator[Serving]:
    """A server that has looked at its database once; stopped at the end if the test has not done it."""
    settings = {"health": BY_HAND, "listen": Address("127.0.0.1", 0), "grace": timedelta(0), **settings}
    config = Config(db="memory:", **settings)
    async with database if database is not None else Database(open_engine("memory:"), world=World()) as opened:
        server = Serving(config, opened, services=services)
        await server.start()
        try:
            yield server
        finally:
            await server.drain()


@asynccontextmanager
async def calling(server: Serving) -> AsyncIterator[grpc_aio.Channel]:
    """A channel to a server."""
    async with grpc_aio.insecure_channel(str(server.address), options=[("grpc.enable_http_proxy", 0)]) as channel:
        yield channel


async def health(channel: grpc_aio.Channel, name: str = "") -> int:
    """What the health service answers for a name."""
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name))
    return int(answer.status)
