"""What the indexes of a schema cost that have to be built, told from some of the databases of a container.

Cost  2 pages of users, and for each database that is looked at 2 range reads and what counting its records costs
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from recordlayer import RecordMetaData
from recordlayer.aio import Transaction
from recordlayer.client.pb import schemas_pb2
from recordlayer.errors import NameNotInterned, RecordLayerError
from recordlayer.migrate.changes import SchemaChange, SchemaDiff, Verdict
from recordlayer.migrate.plan import Price, needs_of, price_of
from recordlayer.store.upgrade import MOST_RECORDS_FOR_INLINE_BUILD
from recordlayer.waiting.drivers import run_asyncio
from recordlayer_server import places
from recordlayer_server.places import Tenant

if TYPE_CHECKING:
    from recordlayer_server.databases import Databases

MOST_COUNTED = 1_000
MOST_LOOKED_AT = 20


async def builds_of(
    databases: Databases, container: str, environment: int, diff: SchemaDiff
) -> schemas_pb2.SchemaBuilds | None:
    """What there is to build in the databases of an environment for a schema, and what was left to build before; None
    for nothing."""
    if diff.target is None:
        return None
    indexes = {change.subject.removeprefix("index ") for change in diff.changes if _is_build(change)}
    users, more = await _users(databases, container, environment)
    tenants = [Tenant(container, environment, places.PUBLIC, "")]
    tenants += [Tenant(container, environment, places.PRIVATE, user) for user in users]
    price, large, there, looked_at = Price(), 0, 0, 0
    for tenant in tenants[:MOST_LOOKED_AT]:
        looked_at += 1
        found = await _needs(databases, tenant, diff.current, diff.target)
        if found is not None:
            names, cost = found
            indexes |= names
            there += 1
            price += cost
            large += cost.keys > MOST_RECORDS_FOR_INLINE_BUILD
    if not indexes:
        return None
    share = len(tenants) / looked_at
    whole = price.times(share)
    made = schemas_pb2.SchemaBuilds(
        indexes=sorted(indexes),
        databases=round(there * share),
        more_databases=more,
        databases_looked_at=looked_at,
        databases_to_build=round(large * share),
        keys_read=whole.keys,
        entries_written=whole.entries,
        exact=whole.exact and not more,
    )
    duration = Duration()
    duration.FromTimedelta(whole.time())
    made.time.CopyFrom(duration)
    return made


def _is_build(change: SchemaChange) -> bool:
    return change.verdict is Verdict.BUILD or change.allowed_by == "allow_index_rebuilds"


async def _users(databases: Databases, container: str, environment: int) -> tuple[list[str], bool]:
    """The first users that have a database of their own, and whether there are more."""

    async def work(tx: Transaction) -> tuple[list[str], bool]:
        above = places.of_users(container, environment)
        try:
            page = await tx.key_space(places.SPACE).list(above, "user", limit=MOST_COUNTED, snapshot=True)
        except NameNotInterned:
            return [], False
        return [str(one.path.value) for one in page.paths], page.continuation is not None

    return await databases.database.run(work)


async def _needs(
    databases: Databases, tenant: Tenant, current: RecordMetaData | None, target: RecordMetaData
) -> tuple[set[str], Price] | None:
    """What a database needs to be built, and what that costs; None if it is not there. One that cannot be read is not
    priced here."""

    async def work(tx: Transaction) -> tuple[set[str], Price] | None:
        place = await databases.where(tx, tenant)
        if place is None:
            return None
        needs = await run_asyncio(needs_of(tx.context, place.key(), target))
        if needs is None:
            return None
        return {index.name for index in needs.builds}, await run_asyncio(price_of(tx.context, needs, current))

    try:
        return await databases.database.run(work)
    except RecordLayerError:
        return set(), Price(exact=False)
