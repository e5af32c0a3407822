"""An operator of the service: calls Admin on one database, and gives what comes back."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from recordlayer.client.pb import admin_pb2, admin_pb2_grpc, context_pb2
from recordlayer_server.admin.running import Runner
from recordlayer_server.config import Security
from recordlayer_server.databases import Databases
from tests.support.photos import CONTAINER

READ_ONLY, CLOSED = admin_pb2.DatabaseLock.READ_ONLY, admin_pb2.DatabaseLock.CLOSED

POLICY = f"""
[[allow]]
who = ["token:operator"]
databases = ["*"]
methods = ["*"]

[[allow]]
who = ["token:owner"]
containers = ["{CONTAINER}"]
methods = ["admin"]

[[allow]]
who = ["token:writer"]
databases = ["*"]
methods = ["read", "write"]
"""


def security(folder: Path) -> Security:
    """Tokens of an operator of everything, an owner of the container's public database, and a writer."""
    tokens, policy = folder / "tokens.toml", folder / "policy.toml"
    policy.write_text(POLICY)
    tokens.write_text(
        "".join(
            f'[[token]]\nname = "{name}"\nsha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\n'
            for name in ("operator", "owner", "writer")
        )
    )
    return Security(tokens=tokens, policy=policy)


class Operator:
    """Says a method by its name: `await operator.ask("ListStores", limit=2)`."""

    def __init__(self, channel: Any, *, user: str = "", container: str = CONTAINER) -> None:
        self.stub = admin_pb2_grpc.AdminStub(channel)
        self.context = context_pb2.RequestContext(container=container)
        if user:
            self.context.database.scope, self.context.database.user = context_pb2.Database.PRIVATE, user

    async def ask(self, method: str, /, *, within: float = 10, **said: Any) -> Any:
        request = getattr(admin_pb2, f"{method}Request")(context=self.context, **said)
        return await getattr(self.stub, method)(request, timeout=within)

    async def until(self, name: str, reached: Callable[[Any], bool]) -> Any:
        """An operation once it has come so far."""
        while True:
            operation = (await self.ask("GetOperation", name=name)).operation
            if reached(operation):
                return operation
            await asyncio.sleep(0.01)


@asynccontextmanager
async def working(databases: Databases) -> AsyncIterator[Runner]:
    """A server does operations, beside its calls, until the block ends."""
    runner = Runner(databases)
    await databases.instance.renew()
    tasks = [
        asyncio.create_task(runner.run(every=timedelta(milliseconds=20))),
        asyncio.create_task(databases.instance.run()),
    ]
    try:
        yield runner
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
