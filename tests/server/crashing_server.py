"""A server of photos in a process of its own, which is killed behind a commit and before its reply.

python crashing_server.py FILE RECORD: says its port; the first commit that saves RECORD is its last deed
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from recordlayer import aio
from recordlayer_server.config import Address, Config
from recordlayer_server.databases import Databases
from recordlayer_server.modifying import Batch, Done
from recordlayer_server.services import services
from recordlayer_server.serving import Serving
from tests.support.photos import CONTAINER, description


async def main(path: str, fatal: str) -> None:
    async with aio.open(f"file:{path}") as database:
        databases = Databases(database)
        await databases.put_containers({CONTAINER: description()})
        _die_behind(fatal)
        serving = Serving(Config(db="", listen=Address("127.0.0.1", 0)), database, services=services(databases))
        address = await serving.start()
        print(address.port, flush=True)
        await asyncio.Event().wait()


def _die_behind(fatal: str) -> None:
    run = Batch.run

    async def fatally(self: Batch, databases: Databases, tx: Any) -> list[Done]:
        done = await run(self, databases, tx)
        if any(one.operation.key[1] == fatal for one in done):

            async def die() -> None:
                os._exit(9)

            tx.after_commit(die)
        return done

    Batch.run = fatally  # type: ignore[method-assign]


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
