"""What the parts of the service have in common: the databases, and how their work is run.

The work of an operator counts for no tenant: one that is over its limits can still be looked at, and mended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from recordlayer.aio import RecordStore, Transaction
from recordlayer_server import places, statuses
from recordlayer_server.call import Call
from recordlayer_server.databases import Databases, Place
from recordlayer_server.places import Tenant
from recordlayer_server.replies import retry_of

T = TypeVar("T")


class Part:
    """Some methods of the service."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    async def _run(self, call: Call, work: Callable[[Transaction], Awaitable[T]], *, reads_only: bool = False) -> T:
        """The result of work that may be done twice, tried until the call's deadline."""
        options = call.options(reads_only=reads_only)
        return await self._databases.database.run(work, retry=retry_of(call, idempotent=True), options=options)

    async def _placed(self, tx: Transaction, tenant: Tenant) -> Place:
        """Where a database lies, whose stores may be missing yet.  Raises  Refusal."""
        if await self._databases.metadata(tx, tenant) is None:
            raise statuses.forbidden()
        place = await self._databases.place(tx, tenant)
        if place is None:
            raise absent(tenant)
        return place

    async def _opened(self, tx: Transaction, tenant: Tenant) -> RecordStore:
        """The records of a database.  Raises  Refusal: NOT_FOUND where nothing was ever written to it; StoreLocked."""
        await self._placed(tx, tenant)
        store = await self._databases.records(tx, tenant)
        if store is None:
            raise absent(tenant)
        return store

    def _most(self, asked: int) -> int:
        """How many a page may have.  Raises  Refusal."""
        if asked < 0:
            raise statuses.bad_request("limit", "0 or more")
        most = self._databases.limits.records_per_page
        return min(asked or most, most)


def absent(tenant: Tenant) -> statuses.Refusal:
    return statuses.not_found("database", places.label(tenant))
