"""Deleting and moving databases, as operations do it: whoever begins again goes on where the last one ended.

Before a database is moved all the stores that it may have are made, so that each of them can be closed for good: nobody
begins a part of it anew where it was. Webhooks go along: they are served where it is then.
"""

from __future__ import annotations

from collections.abc import Callable

from google.rpc import code_pb2

from recordlayer.aio import Transaction
from recordlayer.client.pb import admin_pb2
from recordlayer.errors import StoreMoved
from recordlayer.tenant import MoveReport, MoveStage, RemovalReport
from recordlayer_server import places, statuses
from recordlayer_server.admin.journal import Shown
from recordlayer_server.databases import Databases
from recordlayer_server.places import Tenant
from recordlayer_server.webhooks.registering import register, unregister

_LONGEST_USER = 255


class Interrupted(Exception):
    """The operation is to end here, and what is half done is taken back."""


def target_of(databases: Databases, tenant: Tenant, said: admin_pb2.AdminOperation.Move) -> tuple[Databases, Tenant]:
    """Where a database is to be moved: the databases of which cluster, and which of them.  Raises  Refusal."""
    there = databases
    if said.cluster:
        known = databases.clusters.get(said.cluster)
        if known is None:
            raise statuses.bad_request("move.cluster", "the settings of this server name no such cluster")
        there = known
    target = tenant
    if said.HasField("to"):
        scope, user = said.to.scope or places.PUBLIC, said.to.user
        if scope not in (places.PUBLIC, places.PRIVATE) or (scope == places.PRIVATE) != bool(user):
            raise statuses.bad_request("move.to", "PUBLIC, or PRIVATE with a user")
        if len(user.encode()) > _LONGEST_USER or "\0" in user:
            raise statuses.bad_request("move.to.user", f"at most {_LONGEST_USER} bytes")
        target = Tenant(tenant.container, tenant.environment, scope, user)
    return there, target


async def delete(databases: Databases, tenant: Tenant, progress: Shown.Progress, noted: Callable[[], bool]) -> None:
    """Delete all of a database. `noted` is called whenever it is further, and says whether to end here.

    Raises  Interrupted
    """

    def told(report: RemovalReport) -> None:
        progress.transactions, progress.bytes_left = report.transactions, report.estimated_left
        if noted():
            raise Interrupted

    await unregister(databases, tenant)
    await databases.database.tenant(places.of_database(tenant)).delete(told=told)
    progress.bytes_left = 0
    noted()


async def move(
    databases: Databases,
    tenant: Tenant,
    said: admin_pb2.AdminOperation.Move,
    progress: Shown.Progress,
    noted: Callable[[], bool],
) -> None:
    """Move a database. `noted` as in `delete`; behind the copy it is not heeded any more.

    Raises  Interrupted, Refusal; what the library says to it.
    """
    there, target = target_of(databases, tenant, said)
    words = said.told or places.label(target) + (f" of cluster {said.cluster}" if said.cluster else "")
    await _check_schemas(databases, tenant, there, target)
    try:
        await _make_all(databases, tenant)
    except StoreMoved as error:
        if error.fields.get("to") != words:
            raise  # it goes on where this operation has ended

    def told(report: MoveReport) -> None:
        progress.stage, progress.bytes_left = report.stage.value, report.estimated_left
        if report.copied is not None:
            progress.rows, progress.bytes = report.copied.rows, report.copied.bytes
        if noted() and report.stage is MoveStage.COPYING:
            raise Interrupted

    source = databases.database.tenant(places.of_database(tenant))
    await source.move_to(there.database.tenant(places.of_database(target)), to=words, told=told)
    await unregister(databases, tenant)
    await register(there, target)


async def _check_schemas(databases: Databases, tenant: Tenant, there: Databases, target: Tenant) -> None:
    """Raises  Refusal unless the same version of the schema is active on both sides."""

    async def version(side: Databases, which: Tenant) -> int:
        async def work(tx: Transaction) -> int:
            metadata = await side.metadata(tx, which)
            return 0 if metadata is None else metadata.version

        return await side.database.run(work)

    ours, theirs = await version(databases, tenant), await version(there, target)
    if ours != theirs:
        text = f"version {ours} of the schema is active here, and {theirs} where it is to go: apply the same first"
        raise statuses.refusal(code_pb2.FAILED_PRECONDITION, "SCHEMA_REFUSED", text)


async def _make_all(databases: Databases, tenant: Tenant) -> None:
    """Let every store be there that a database may have."""

    async def work(tx: Transaction) -> None:
        for opened in (
            databases.records,
            databases.zones,
            databases.subscriptions,
            databases.matches,
            databases.assets,
            databases.deliveries,
        ):
            await opened(tx, tenant, create=True)

    await databases.database.run(work)
