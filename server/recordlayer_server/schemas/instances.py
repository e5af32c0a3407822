"""The servers of a database that live, each with a lease that it renews.

A server that ends gives its lease back; one that dies is waited for until its lease has run out. Leases are told by the
wall clock: clocks that differ make others wait longer, or not wait; nothing else hangs on it, since a server that was
not waited for reads the newer metadata when it meets them.

Cost  of a look 1 range read; each third of a lease 1 write
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import version

from recordlayer.aio import Database, Transaction
from recordlayer.errors import RecordLayerError
from recordlayer_server import logs
from recordlayer_server.pb import schemas_pb2 as stored
from recordlayer_server.schemas import rollout

LEASE = timedelta(seconds=15)
LOOK = timedelta(seconds=2)


class Instance:
    """This server among those of the database.

    release   what others call it, beside its id
    lease     how long others wait for it when it has fallen silent
    clock     seconds since 1970
    webhooks  whether it serves webhooks
    """

    def __init__(
        self,
        database: Database,
        *,
        release: str = "",
        lease: timedelta = LEASE,
        clock: Callable[[], float] = time.time,
        webhooks: bool = False,
    ) -> None:
        self.id = secrets.token_hex(8)
        self._database = database
        self._release = release or version("recordlayer")
        self.lease = lease
        self._clock = clock
        self._webhooks = webhooks
        self._expires = 0.0
        self._known: set[str] = set()

    @property
    def now(self) -> float:
        return self._clock()

    @property
    def lives(self) -> bool:
        """Whether others wait for it."""
        return self._clock() < self._expires

    async def renew(self) -> None:
        """Take the lease, or go on with it.  Cost  1 write, and 1 range read where it has run out."""
        now, returns = self._clock(), not self.lives
        expires = now + self.lease.total_seconds()
        row = stored.Instance(id=self.id, release=self._release, expires_at=int(expires * 1e6), webhooks=self._webhooks)

        async def work(tx: Transaction) -> None:
            store = await rollout.opened(tx)
            if returns:
                for gone in await rollout.instances(store, before=now - 10 * self.lease.total_seconds()):
                    await store.delete(rollout.instance_key(gone.id))
            await store.save(row)

        await self._database.run(work)
        self._expires = expires

    async def leave(self) -> None:
        """Give the lease back: nobody waits for this server any more."""
        self._expires = 0.0

        async def work(tx: Transaction) -> None:
            await (await rollout.opened(tx)).delete(rollout.instance_key(self.id))

        await self._database.run(work)

    async def look(self) -> None:
        """Read what is staged, say that it is known, and let become active what all know."""
        for row in await self._database.run(rollout.staged_everywhere):
            ready = row.id in self._known or await self._learn(row)
            await self._database.run(rollout.forward(row, self.now, by=self.id if ready and self.lives else ""))

    async def _learn(self, row: stored.Rollout) -> bool:
        """Whether this server can go by what is staged."""
        content = await self._database.run(rollout.content_of(row.id))
        if content is None:
            return False
        try:
            await asyncio.to_thread(rollout.usable, content.metadata)
        except RecordLayerError as error:
            logs.write(
                logs.server,
                logging.ERROR,
                "a staged schema cannot be used here",
                container=row.container,
                version=row.origin.version,
                error=error.code,
            )
            return False
        self._known.add(row.id)
        return True

    async def run(self, *, every: timedelta = LOOK) -> None:
        """Renew the lease and look, until it is cancelled. A database that is away is tried again at the next turn."""
        every = min(every, self.lease / 5)
        while True:
            try:
                if self._expires - self._clock() < 2 / 3 * self.lease.total_seconds():
                    await self.renew()
                await self.look()
            except RecordLayerError as error:
                logs.write(logs.server, logging.WARNING, "roll-outs wait for the database", error=error.code)
            await asyncio.sleep(every.total_seconds())
