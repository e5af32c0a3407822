"""Forgetting changes whose time is over, in every database there is: in bounded steps, each a transaction of its own.

Any number of servers may do it at once; one that finds nothing old has read a little. A database that cannot be opened
is passed by, and said in the log.

Cost    of a step: as `ChangeFeed.trim`; 1 read a container, 1 a user
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from recordlayer import Retry
from recordlayer.aio import Transaction
from recordlayer.errors import NameNotInterned, RecordLayerError, StoreMoved
from recordlayer.keyspace import KeySpacePath
from recordlayer_server import logs, places
from recordlayer_server.databases import Databases
from recordlayer_server.places import Tenant

CHANGES_A_STEP = 500
NAMES_A_PAGE = 200
AGAIN = Retry(idempotent=True)
"""Steps may be done twice, and no harm is done."""
_STORES = ("records", "zones")


@dataclass(frozen=True, slots=True)
class _Step:
    removed: int
    more: bool
    place: bytes | None


async def forget_old_changes(databases: Databases) -> int:
    """How many changes were forgotten."""
    removed = 0
    async for tenant in all_databases(databases):
        for kind in _STORES:
            try:
                removed += await _trimmed(databases, tenant, kind)
            except StoreMoved:
                continue  # what is elsewhere now is looked after there
            except RecordLayerError as error:
                name = places.label(tenant)
                logs.write(logs.server, logging.WARNING, "changes were not trimmed", tenant=name, error=error.code)
    return removed


async def _trimmed(databases: Databases, tenant: Tenant, kind: str) -> int:
    removed, place = 0, None  # type: int, bytes | None
    while True:
        step = await databases.database.run(_step_of(databases, tenant, kind, place), retry=AGAIN)
        removed, place = removed + step.removed, step.place
        if not step.more:
            return removed


def _step_of(
    databases: Databases, tenant: Tenant, kind: str, place: bytes | None
) -> Callable[[Transaction], Awaitable[_Step]]:
    async def step(tx: Transaction) -> _Step:
        store = await (databases.records if kind == "records" else databases.zones)(tx, tenant)
        if store is None or store.feed.settings is None:
            return _Step(0, more=False, place=None)
        done = await store.feed.trim(databases.limits.deletions_kept, limit=CHANGES_A_STEP, place=place)
        return _Step(done.removed, done.more, done.place)

    return step


async def all_databases(databases: Databases) -> AsyncIterator[Tenant]:
    """Every database that anybody may have written to."""
    root = places.SPACE.path("service")
    async for container in _names(databases, root, "container"):
        for environment in (places.DEVELOPMENT, places.PRODUCTION):
            yield Tenant(container, environment, places.PUBLIC, "")
            above = places.of_users(container, environment)
            async for user in _names(databases, above, "user"):
                yield Tenant(container, environment, places.PRIVATE, user)


async def _names(databases: Databases, above: KeySpacePath, directory: str) -> AsyncIterator[str]:
    continuation: bytes | None = None
    while True:

        async def page(tx: Transaction, behind: bytes | None = continuation) -> tuple[list[str], bytes | None]:
            try:
                found = await tx.key_space(places.SPACE).list(
                    above, directory, limit=NAMES_A_PAGE, snapshot=True, continuation=behind
                )
            except NameNotInterned:
                return [], None
            return [str(one.path.value) for one in found.paths], found.continuation

        names, continuation = await databases.database.run(page, retry=AGAIN)
        for name in names:
            yield name
        if continuation is None:
            return
