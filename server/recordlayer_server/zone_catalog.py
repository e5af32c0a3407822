"""The zones of a database: records of a store beside that of its records. The default zone is always there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from recordlayer.aio import Transaction
from recordlayer_server.databases import Databases
from recordlayer_server.places import Tenant

DEFAULT_ZONE = ""


async def missing_zones(databases: Databases, tx: Transaction, tenant: Tenant, names: Iterable[str]) -> set[str]:
    """Those of these zones that are not there. The transaction conflicts with whoever makes or deletes one of them.

    Cost  1 read for each zone but the default one, in 1 round trip.
    """
    asked = sorted(name for name in set(names) if name != DEFAULT_ZONE)
    if not asked:
        return set()
    store = await databases.zones(tx, tenant)
    if store is None:
        return set(asked)
    found: list[Any] = await store.load_many(asked)
    return {name for name, zone in zip(asked, found, strict=True) if zone is None or zone.HasField("deleted_at")}


async def zone_names(databases: Databases, tx: Transaction, tenant: Tenant) -> list[str]:
    """The names of all zones of a database, in order; the default one is the first.

    Cost  1 range read a chunk.
    """
    store = await databases.zones(tx, tenant)
    found: list[Any] = [] if store is None else await store.scan(limit=databases.limits.zones_per_database).all()
    return [DEFAULT_ZONE, *(zone.name for zone in found if not zone.HasField("deleted_at"))]
