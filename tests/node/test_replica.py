"""The protos outside Python: a replica and a watch in Node's stock gRPC packages, against a server over a port.

Needs node and npm, and on its first run a registry that npm reaches: the packages of package-lock.json are kept in
pytest's cache.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from google.rpc import code_pb2

from tests.node.conftest import GOOGLE, HERE, PROTOS
from tests.support.photos import CONTAINER
from tests.support.service import Caller, calling, operation, photos, run


class Node:
    """The program while it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: list[dict[str, Any]] = []

    async def until(self, event: str, **values: Any) -> dict[str, Any]:
        """The next line of an event with these values; raises if the program ends before."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told: dict[str, Any] = json.loads(line)
            self.said.append(told)
            if told["event"] == event and all(told[name] == value for name, value in values.items()):
                return told
        assert self._process.stderr is not None
        raise AssertionError(f"node ended: {self.said}\n{(await self._process.stderr.read()).decode()}")

    async def holds(self, **records: str) -> None:
        """It holds these records, by name with their titles."""
        await self.until("holds", records={name.replace("_", " "): title for name, title in sorted(records.items())})

    async def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def wait(self) -> int:
        return await self._process.wait()


@asynccontextmanager
async def replica(modules: Path, *arguments: object) -> AsyncIterator[Node]:
    process = await asyncio.create_subprocess_exec(
        "node",
        str(HERE / "replica.js"),
        *map(str, arguments),
        str(PROTOS),
        str(GOOGLE),
        env={**os.environ, "NODE_PATH": str(modules)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Node(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def test_a_replica_in_node_copies_follows_and_begins_anew_when_it_is_told(modules: Path) -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.zone("z")
            for name in ("a", "b", "c"):
                await caller.create(name, zone="z", title=f"of {name}")
            async with replica(modules, server.address, CONTAINER, "ana", "z") as node:
                await node.holds(a="of a", b="of b", c="of c")
                await node.until("watching")
                await caller.modify(operation("FORCE_UPDATE", "a", zone="z", title="new"))
                await node.holds(a="new", b="of b", c="of c")
                await caller.modify(operation("FORCE_DELETE", "b", zone="z"))
                await node.holds(a="new", c="of c")
                await node.tell("write")
                await node.holds(a="new", c="of c", by_node="written")
                [result] = await caller.lookup("by node", zone="z")
                assert result.record.fields.fields["title"].string_value == "written"
                await caller.zone("z", "DELETE")
                await node.until("removed", reason="ZONE_NOT_FOUND")
                await caller.zone("z")
                await caller.create("d", zone="z", title="of d")
                await node.tell("watch")
                await node.until("refused", reason="TOKEN_EXPIRED")
                await node.holds(d="of d")
                await server.drain()
                assert (await node.until("ended"))["code"] == code_pb2.UNAVAILABLE
                assert await node.wait() == 0

    run(scenario())
