"""Taking away assets that no record refers to: in every database there is, in bounded steps, each a transaction of its
own.

Any number of servers may do it at once. Whoever changes records through the service leaves word of what may have become
free (a Release), and behind that is looked. Programs that change records without it leave none: some assets of each
database are looked at anyway in each pass, and get a Release if they have none and nobody refers to them.

In a database where an index of assets is not built nobody knows who refers to
what: nothing is taken there, and the log says so. One that cannot be opened is passed by in the same way.

Cost    of a step: 1 range read of what is due, and for each asset 1 range read, 1 for each field that holds assets, and
        what it takes to remove it
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from recordlayer.aio import RecordStore, Transaction
from recordlayer.errors import RecordLayerError, StoreMoved
from recordlayer_server import logs, places
from recordlayer_server.assets import catalog
from recordlayer_server.assets.catalog import Name
from recordlayer_server.assets.referring import in_microseconds, is_referred_to
from recordlayer_server.databases import Databases
from recordlayer_server.places import Tenant
from recordlayer_server.sync.trimming import AGAIN, all_databases

DUE_A_STEP = 50
SEARCHED_A_PASS = 200


@dataclass(frozen=True, slots=True)
class Step:
    """What one transaction did, and whether there is more to do."""

    collected: int
    more: bool


class Collector:
    """Goes through all databases, again and again, and keeps where it is in those with many assets."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._behind: dict[Tenant, Name] = {}

    async def collect(self) -> int:
        """One pass; how many assets were collected."""
        collected = 0
        async for tenant in all_databases(self._databases):
            try:
                collected += await _collected(self._databases, tenant)
                await self._search(tenant)
            except StoreMoved:
                continue  # what is elsewhere now is looked after there
            except RecordLayerError as error:
                name = places.label(tenant)
                logs.write(logs.server, logging.WARNING, "assets were not collected", tenant=name, error=error.code)
        return collected

    async def _search(self, tenant: Tenant) -> None:
        """Look for assets of a database that nobody has left word of."""
        databases, behind = self._databases, self._behind.pop(tenant, None)

        async def work(tx: Transaction) -> list[Name]:
            store, records = await databases.assets(tx, tenant), await databases.records(tx, tenant)
            if store is None or records is None:
                return []
            found = await catalog.names_behind(store, behind, limit=SEARCHED_A_PASS)
            forgotten = [name for name in found if await _is_forgotten(store, records, name)]
            if forgotten:
                due = time.time_ns() // 1_000 + in_microseconds(databases.limits.asset_kept)
                await catalog.release(store, forgotten, due)
            return found

        found = await databases.database.run(work, retry=AGAIN)
        if len(found) == SEARCHED_A_PASS:
            self._behind[tenant] = found[-1]


async def _collected(databases: Databases, tenant: Tenant) -> int:
    """Of one database, until nothing of it is due that was due at the beginning."""
    now, collected = time.time_ns() // 1_000, 0

    async def work(tx: Transaction) -> Step:
        return await step(databases, tx, tenant, now)

    while True:
        done = await databases.database.run(work, retry=AGAIN)
        collected += done.collected
        if not done.more:
            return collected


async def step(databases: Databases, tx: Transaction, tenant: Tenant, now: int) -> Step:
    """Look at some of the assets that a look is due at, in microseconds since 1970."""
    store = await databases.assets(tx, tenant)
    due = {} if store is None else await catalog.due(store, now, limit=DUE_A_STEP)
    if store is None or not due:
        return Step(0, more=False)
    records = await databases.records(tx, tenant)
    collected = 0
    for name, keys in due.items():
        if await _is_free(store, records, name, now):
            collected += await catalog.remove(store, name)
        await catalog.settle(store, keys)
    return Step(collected, more=sum(map(len, due.values())) == DUE_A_STEP)


async def _is_forgotten(store: RecordStore, records: RecordStore, name: Name) -> bool:
    """Whether nobody refers to an asset, and nobody has left word of that. Being wrong does no harm: who comes to look
    reads it again."""
    if await catalog.last_due(store, name, snapshot=True):
        return False
    return not await is_referred_to(records, name, snapshot=True)


async def _is_free(store: RecordStore, records: RecordStore | None, name: Name, now: int) -> bool:
    """Whether nobody refers to an asset, and nobody is to look at it later."""
    if await catalog.last_due(store, name) >= now:
        return False
    return records is None or not await is_referred_to(records, name)
