"""Databases as a whole: what they use and may use, exports and imports, and having them deleted and moved.

An export is a stream to the caller, an import one from there; deleting and moving are operations, done by `moving`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from google.rpc import code_pb2

from recordlayer import aio
from recordlayer.aio import Transaction
from recordlayer.client.pb import admin_pb2
from recordlayer.errors import NameNotInterned, StaleMetaData, UsageError
from recordlayer.tenant import ExportReport, Guard, TenantLimits
from recordlayer.tenant.limits import RESOURCES
from recordlayer_server import places, statuses
from recordlayer_server.admin.moving import target_of
from recordlayer_server.admin.operations import Operations
from recordlayer_server.admin.operations import Reply as OperationReply
from recordlayer_server.admin.part import absent
from recordlayer_server.call import current
from recordlayer_server.places import Tenant
from recordlayer_server.replies import reply_context
from recordlayer_server.webhooks.registering import silence

_GUARDS = {
    admin_pb2.ExportDatabaseRequest.GUARD_UNSPECIFIED: Guard.PROVE,
    admin_pb2.ExportDatabaseRequest.PROVE: Guard.PROVE,
    admin_pb2.ExportDatabaseRequest.FREEZE: Guard.FREEZE,
}
_PIECE = 1 << 20
_LONGEST_TOLD = 255
_LONGEST_BURST = 86_400 * 365


class Tenants(Operations):
    """The methods about databases as a whole."""

    async def GetUsage(self, request: admin_pb2.GetUsageRequest, _: Any) -> admin_pb2.GetUsageReply:
        call, databases = current(), self._databases
        tenant = await self._there(call.permit())
        limits, used = await tenant.limits(), await tenant.usage()
        reply = admin_pb2.GetUsageReply(
            context=reply_context(call),
            counted=databases.counted,
            keys_read=used.keys_read,
            bytes_read=used.bytes_read,
            keys_written=used.keys_written,
            bytes_written=used.bytes_written,
            transactions=used.transactions,
            refused=used.refused,
            bytes=await tenant.size(),
            bytes_allowed=databases.storage.most,
        )
        if limits is not None:
            for name in RESOURCES:
                if (value := getattr(limits, name)) is not None:
                    setattr(reply.limits, name, value)
            reply.limits.burst.FromTimedelta(limits.burst)
        return reply

    async def SetLimits(self, request: admin_pb2.SetLimitsRequest, _: Any) -> admin_pb2.SetLimitsReply:
        call, said, limits = current(), request.limits, None
        which = call.permit()
        if request.HasField("limits"):
            given: dict[str, Any] = {name: getattr(said, name) for name in RESOURCES if said.HasField(name)}
            if said.HasField("burst"):
                if not 0 <= said.burst.seconds <= _LONGEST_BURST:
                    raise statuses.bad_request("limits.burst", f"0 to {_LONGEST_BURST} seconds")
                given["burst"] = timedelta(seconds=said.burst.seconds, microseconds=said.burst.nanos // 1_000)
            try:
                limits = TenantLimits(**given)
            except UsageError as error:
                raise statuses.bad_request(f"limits.{error.fields.get('limit')}", error.hint) from error
        tenant = await self._there(which)
        await tenant.set_limits(limits)
        return admin_pb2.SetLimitsReply(context=reply_context(call), counted=self._databases.counted)

    # -- exports and imports

    def ExportDatabase(
        self, request: admin_pb2.ExportDatabaseRequest, _: Any
    ) -> AsyncIterator[admin_pb2.ExportDatabaseReply]:
        guard = _GUARDS.get(request.guard)
        if guard is None:
            raise statuses.bad_request("guard", "PROVE or FREEZE")
        return self._exported(current().permit(), guard, request.resume)

    async def _exported(
        self, which: Tenant, guard: Guard, resume: bytes
    ) -> AsyncIterator[admin_pb2.ExportDatabaseReply]:
        call, tenant = current(), await self._there(which)
        export = tenant.export(guard=guard, resume=resume or None)
        before: admin_pb2.ExportDatabaseReply | None = None
        finished = False
        try:
            async for data in export:
                if before is not None:
                    yield before
                before = _piece(data, export.token, export.report)
            finished = True
        finally:
            if not finished and guard is Guard.FREEZE:  # nobody is kept out because a caller has gone away
                await asyncio.shield(tenant.thaw())
        last = before or admin_pb2.ExportDatabaseReply()
        last.finished = True
        last.context.CopyFrom(reply_context(call))
        yield last

    async def ImportDatabase(
        self, requests: AsyncIterator[admin_pb2.ImportDatabaseRequest], _: Any
    ) -> admin_pb2.ImportDatabaseReply:
        call, databases, coming = current(), self._databases, aiter(requests)
        first = await anext(coming, None)
        if first is None or first.WhichOneof("kind") != "open":
            raise statuses.bad_request("open", "the first message opens the stream")
        call.bind(first.open.context)
        which = call.permit()

        async def known(tx: Transaction) -> None:
            if await databases.metadata(tx, which) is None:
                raise statuses.forbidden()

        await self._run(call, known, reads_only=True)
        tenant = databases.database.tenant(places.of_database(which))
        report = await tenant.import_from(_pieces(coming))
        await self._check_fits(tenant, which)
        webhooks = await silence(databases, which)
        return admin_pb2.ImportDatabaseReply(
            context=reply_context(call), stores=report.stores, rows=report.rows, bytes=report.bytes, webhooks=webhooks
        )

    async def _check_fits(self, tenant: aio.Tenant, which: Tenant) -> None:
        """What was just imported goes again if its records are of a schema that is not known here: nobody could open
        them.  Raises  Refusal."""

        async def work(tx: Transaction) -> None:
            await self._databases.records(tx, which)

        try:
            await self._databases.database.run(work)
        except StaleMetaData as error:
            await tenant.delete()
            text = "its records are of a version of the schema that is not active here: apply that first"
            raise statuses.refusal(code_pb2.FAILED_PRECONDITION, "SCHEMA_REFUSED", text) from error

    # -- operations

    async def DeleteDatabase(self, request: admin_pb2.DeleteDatabaseRequest, _: Any) -> OperationReply:
        return await self._start(request, "delete", opened=False)

    async def MoveDatabase(self, request: admin_pb2.MoveDatabaseRequest, _: Any) -> OperationReply:
        call, said = current(), request.move
        which = call.permit()
        if len(said.told.encode()) > _LONGEST_TOLD:
            raise statuses.bad_request("move.told", f"at most {_LONGEST_TOLD} bytes")
        there, target = target_of(self._databases, which, said)
        if said.HasField("to"):
            call.permit(at=target)
            call.permit(at=which)
        if there is self._databases and target == which:
            raise statuses.bad_request("move", "it is there: name another cluster, or another database")
        return await self._start(request, "move", opened=False)

    async def _there(self, which: Tenant) -> aio.Tenant:
        """A database of this server.  Raises  Refusal where nothing was ever written to it."""

        async def work(tx: Transaction) -> None:
            await self._placed(tx, which)

        await self._run(current(), work, reads_only=True)
        tenant = self._databases.database.tenant(places.of_database(which))
        try:
            found = await tenant.stores(limit=1)
        except NameNotInterned:
            raise absent(which) from None
        if not found.stores:
            raise absent(which)
        return tenant


def _piece(data: bytes, token: bytes, report: ExportReport) -> admin_pb2.ExportDatabaseReply:
    return admin_pb2.ExportDatabaseReply(
        data=data, token=token, stores=report.stores, rows=report.rows, bytes=report.bytes
    )


async def _pieces(coming: AsyncIterator[admin_pb2.ImportDatabaseRequest]) -> AsyncIterator[bytes]:
    async for request in coming:
        if request.WhichOneof("kind") != "data":
            raise statuses.bad_request("data", "behind the first message all have data")
        yield request.data
