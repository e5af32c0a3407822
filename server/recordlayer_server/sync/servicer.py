"""The service Sync: takes requests apart, asks who may, and puts replies together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from recordlayer.aio import Transaction
from recordlayer.client.pb import context_pb2, sync_pb2, sync_pb2_grpc
from recordlayer_server import statuses
from recordlayer_server.call import current
from recordlayer_server.contents import shape_of, zone_of
from recordlayer_server.databases import Databases
from recordlayer_server.paging import read_limits
from recordlayer_server.places import Tenant
from recordlayer_server.replies import reading, reply_context
from recordlayer_server.sync.database_changes import database_changes
from recordlayer_server.sync.pulses import Pulses
from recordlayer_server.sync.tokens import Tokens
from recordlayer_server.sync.watching import Stream
from recordlayer_server.sync.zone_changes import REASONS, Room, ZoneReader
from recordlayer_server.writing import cost_of
from recordlayer_server.zone_catalog import incarnations

NAME = "recordlayer.v1.Sync"
_ROOM = 64 << 10
_A_ZONE = 2_000  # bytes of a reply for what is not records of it


class Sync(sync_pb2_grpc.SyncServicer):  # type: ignore[misc]  # generated, without types
    """The changes of all databases."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._limits = databases.limits
        self.pulses = Pulses(databases)

    async def DatabaseChanges(self, request: sync_pb2.DatabaseChangesRequest, _: Any) -> sync_pb2.DatabaseChangesReply:
        call = current()
        tenant = call.permit()
        tokens = Tokens(await self._databases.token_seal(), tenant)
        token = tokens.of_database(request.token)

        async def work(tx: Transaction) -> sync_pb2.DatabaseChangesReply:
            await self._check_container(tx, tenant)
            reply = await database_changes(self._databases, tx, tenant, tokens, token)
            reply.context.CopyFrom(reply_context(call, read_version=await tx.read_version(), cost=cost_of(tx)))
            return reply

        return await reading(self._databases, call, work)

    async def ZoneChanges(self, request: sync_pb2.ZoneChangesRequest, _: Any) -> sync_pb2.ZoneChangesReply:
        call, limits = current(), self._limits
        if not 1 <= len(request.zones) <= limits.zones_per_sync:
            raise statuses.bad_request("zones", f"1 to {limits.zones_per_sync}")
        if request.limit < 0:
            raise statuses.bad_request("limit", "0 or more")
        names = [zone_of(one.zone, f"zones[{place}].zone", limits) for place, one in enumerate(request.zones)]
        if len(set(names)) < len(names):
            raise statuses.bad_request("zones", "each zone once")
        bounds = read_limits(request.limits, limits, call.time_left)
        reader = ZoneReader(shape_of(request, limits), frozenset(request.record_types), bounds)
        tenant = call.permit(set(names))
        tokens = Tokens(await self._databases.token_seal(), tenant)
        most = min(request.limit or limits.records_per_page, limits.records_per_page)

        ends: list[tuple[int, bool]] = []

        async def work(tx: Transaction) -> sync_pb2.ZoneChangesReply:
            await self._check_container(tx, tenant)
            store = await self._databases.records(tx, tenant)
            known = await incarnations(self._databases, tx, tenant, names)
            room = Room(most, limits.message_bytes - _ROOM - _A_ZONE * len(names))
            reply, ends[:] = sync_pb2.ZoneChangesReply(), ()
            for name, asked in zip(names, request.zones, strict=True):
                one = reply.zones.add()
                one.zone.name = name
                try:
                    if (incarnation := known[name]) is None:
                        raise statuses.not_found("zone", name)
                    token = tokens.of_zone(asked.token, name)
                    if room.records < 1 or room.size < _A_ZONE or tx.counters.rows_read >= (bounds.keys or 0):
                        one.status.SetInParent()  # the reply is full: this zone's turn comes with the next one
                        one.token, one.more_coming, one.end_reason = asked.token, True, context_pb2.RECORD_LIMIT
                        continue
                    page = await reader.page(store, name, incarnation, token, room)
                except statuses.Refusal as refused:
                    one.status.CopyFrom(refused.status)
                    continue
                one.status.SetInParent()
                one.records.extend(page.records)
                one.token = tokens.zone(page.token)
                one.more_coming, one.end_reason = page.more, REASONS[page.stopped]
                ends.append((one.end_reason, page.full))
            reply.context.CopyFrom(reply_context(call, read_version=await tx.read_version(), cost=cost_of(tx)))
            return reply

        reply = await reading(self._databases, call, work)
        for end_reason, full in ends:
            call.page_ended(end_reason, full=full)
        return reply

    async def Watch(self, requests: AsyncIterator[sync_pb2.WatchRequest], _: Any) -> AsyncIterator[sync_pb2.WatchReply]:
        call, coming = current(), aiter(requests)
        first = await anext(coming, None)
        if first is None or first.WhichOneof("kind") != "open":
            raise statuses.bad_request("open", "the first message opens the stream")
        call.bind(first.open.context)
        if (tenant := call.tenant) is None:
            raise statuses.bad_request("context.container", "name the container")

        tokens = Tokens(await self._databases.token_seal(), tenant)
        stream = Stream(self._databases, self.pulses, call, tenant, tokens)
        listening = asyncio.create_task(stream.read(coming))
        try:
            async for reply in stream.replies():
                yield reply
        finally:
            stream.close()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _check_container(self, tx: Transaction, tenant: Tenant) -> None:
        if await self._databases.metadata(tx, tenant) is None:
            raise statuses.forbidden()
