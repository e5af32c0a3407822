"""Webhooks of databases that came from elsewhere, by an import or a move, are served from then on.

Subscriptions travel with their database; the list of all webhooks does not.

Cost  1 range read a database, 2 reads and 2 writes for each webhook that was not known
"""

from __future__ import annotations

import logging
import time
from typing import Any

from recordlayer.aio import Transaction
from recordlayer.errors import RecordLayerError, StoreMoved
from recordlayer_server import logs, places
from recordlayer_server.databases import Databases
from recordlayer_server.pb import subscriptions_pb2 as stored
from recordlayer_server.places import Tenant
from recordlayer_server.sync.trimming import all_databases
from recordlayer_server.webhooks import outbox, registry
from recordlayer_server.webhooks.registry import Hook


async def register(databases: Databases, tenant: Tenant) -> int:
    """Let the webhooks of a database be served; how many of them may be."""

    async def work(tx: Transaction) -> int:
        store = await databases.deliveries(tx, tenant)
        if store is None:
            return 0
        served = 0
        async for delivery in store.scan(limit=databases.limits.subscriptions_per_database):
            one: Any = delivery
            if not one.disabled:
                await registry.add(tx, Hook(tenant, one.subscription))
                served += 1
        return served

    return await databases.database.run(work)


async def unregister(databases: Databases, tenant: Tenant) -> None:
    """Let the webhooks of a database that goes away not be served any more."""

    async def work(tx: Transaction) -> None:
        await registry.remove_all(tx, tenant)

    await databases.database.run(work)


async def silence(databases: Databases, tenant: Tenant) -> int:
    """Disable the webhooks of a database that came by an import, until they are resumed; how many there are. Where it
    came from it may live on, and receivers know notifications by their ids: these have others from now on."""

    async def work(tx: Transaction) -> int:
        store = await databases.deliveries(tx, tenant)
        found: list[Any] = []
        if store is not None:
            found = await store.scan(limit=databases.limits.subscriptions_per_database).all()
        for one in found:
            delivery = stored.Delivery.FromString(one.SerializeToString())
            outbox.rename(delivery)
            why = "its database came by an import, and may live on where it came from"
            await outbox.disable(databases, tx, tenant, delivery, time.time(), why)
        return len(found)

    return await databases.database.run(work)


async def register_all(databases: Databases) -> None:
    """The same of all databases. One that cannot be opened is passed by, and said in the log."""
    async for tenant in all_databases(databases):
        try:
            await register(databases, tenant)
        except StoreMoved:
            continue  # what is elsewhere now is looked after there
        except RecordLayerError as error:
            name = places.label(tenant)
            logs.write(logs.server, logging.WARNING, "webhooks were not looked for", tenant=name, error=error.code)
