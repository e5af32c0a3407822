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
    asked = [name for name in names if name != DEFAULT_ZONE]
    if not asked:
        return set()
    found = await incarnations(databases, tx, tenant, asked)
    return {name for name, incarnation in found.items() if incarnation is None}


async def incarnations(
    databases: Databases, tx: Transaction, tenant: Tenant, names: Iterable[str]
) -> dict[str, int | None]:
    """How often each of these zones was made, None for one that is not there; 0 for the default one.

    Cost  as `missing_zones`.
    """
    known: dict[str, int | None] = {name: None if name else 0 for name in names}
    asked = sorted(name for name in known if name != DEFAULT_ZONE)
    store = await databases.zones(tx, tenant) if asked else None
    if store is not None:
        found: list[Any] = await store.load_many(asked)
        for name, zone in zip(asked, found, strict=True):
            if zone is not None and not zone.HasField("deleted_at"):
                known[name] = zone.incarnation
    return known


async def zone_names(databases: Databases, tx: Transaction, tenant: Tenant) -> list[str]:
    """The names of all zones of a database, in order; the default one is the first.

    Cost  1 range read a chunk.
    """
    store = await databases.zones(tx, tenant)
    found: list[Any] = [] if store is None else await store.scan(limit=databases.limits.zones_per_database).all()
    return [DEFAULT_ZONE, *(zone.name for zone in found if not zone.HasField("deleted_at"))]
