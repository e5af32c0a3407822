"""A server of photos with webhooks in a process of its own, to be killed.

python webhook_server.py FILE CA: says its port; receivers have certificates of CA and are on this machine
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from recordlayer import aio
from recordlayer_server.config import Address, Config, Hooks
from recordlayer_server.databases import Databases
from recordlayer_server.schemas.instances import Instance
from recordlayer_server.services import services
from recordlayer_server.serving import Serving
from recordlayer_server.webhooks.dispatch import Dispatch, poster_of
from tests.support.photos import CONTAINER, description

OFTEN = timedelta(milliseconds=50)


async def main(path: str, ca: str) -> None:
    hooks = Hooks(private=True, ca=Path(ca), retry=OFTEN)
    async with aio.open(f"file:{path}") as database:
        databases = Databases(database, hooks=hooks)
        databases.instance = Instance(database, lease=timedelta(seconds=1), webhooks=True)
        await databases.put_containers({CONTAINER: description()})
        serving = Serving(Config(db="", listen=Address("127.0.0.1", 0)), database, services=services(databases))
        address = await serving.start()
        print(address.port, flush=True)
        dispatch = Dispatch(databases, hooks, poster_of(hooks))
        await asyncio.gather(databases.instance.run(every=OFTEN), dispatch.run(every=OFTEN))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
