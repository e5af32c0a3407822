"""The service Zones: list, look up, make, delete."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from recordlayer.aio import RecordStore, Transaction
from recordlayer.client.pb import context_pb2, types_pb2, zones_pb2, zones_pb2_grpc
from recordlayer.errors import AlreadyApplied
from recordlayer_server import statuses
from recordlayer_server.applying import check_key, found_again, scoped
from recordlayer_server.assets import catalog
from recordlayer_server.call import current
from recordlayer_server.contents import zone_of
from recordlayer_server.databases import Databases
from recordlayer_server.paging import Sealing
from recordlayer_server.places import Tenant
from recordlayer_server.replies import reading, reply_context
from recordlayer_server.schema import SYSTEM
from recordlayer_server.values import timestamp
from recordlayer_server.writing import cost_of, writing
from recordlayer_server.zone_catalog import DEFAULT_ZONE

NAME = "recordlayer.v1.Zones"

Operation = zones_pb2.ZoneOperation
_PURPOSE = b"zones"


class Zones(zones_pb2_grpc.ZonesServicer):  # type: ignore[misc]  # generated, without types
    """The zones of all databases."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._limits = databases.limits

    async def List(self, request: zones_pb2.ListZonesRequest, _: Any) -> zones_pb2.ListZonesReply:
        call, limits = current(), self._limits
        tenant = call.permit()
        if request.limit < 0:
            raise statuses.bad_request("limit", "0 or more")
        most = min(request.limit or limits.records_per_page, limits.records_per_page)
        seal = await self._databases.seal()

        async def work(tx: Transaction) -> zones_pb2.ListZonesReply:
            await self._check_container(tx, tenant)
            sealing = Sealing(seal, await self._databases.prefix(tx, tenant), b"zones")
            after = sealing.open(request.continuation)[0] if request.continuation else None
            reply = zones_pb2.ListZonesReply(end_reason=context_pb2.EXHAUSTED)
            store = await self._databases.zones(tx, tenant)
            found: list[Any] = [] if store is None else await store.scan(limit=2 * limits.zones_per_database).all()
            names = [(DEFAULT_ZONE, None), *((zone.name, zone) for zone in found if not zone.HasField("deleted_at"))]
            rest = [(name, zone) for name, zone in names if after is None or name > after]
            reply.zones.extend(zone_reply(name, zone) for name, zone in rest[:most])
            if len(rest) > most:
                reply.continuation = sealing.close(rest[most - 1][0])
                reply.end_reason = context_pb2.RECORD_LIMIT
            reply.context.CopyFrom(reply_context(call, read_version=await tx.read_version(), cost=cost_of(tx)))
            return reply

        return await reading(self._databases, call, work)

    async def Lookup(self, request: zones_pb2.LookupZonesRequest, _: Any) -> zones_pb2.ZonesReply:
        call, limits = current(), self._limits
        if not 1 <= len(request.names) <= limits.names_per_request:
            raise statuses.bad_request("names", f"1 to {limits.names_per_request}")
        names = [zone_of(name, f"names[{place}]", limits) for place, name in enumerate(request.names)]
        tenant = call.permit(set(names))

        async def work(tx: Transaction) -> zones_pb2.ZonesReply:
            await self._check_container(tx, tenant)
            store = await self._databases.zones(tx, tenant)
            known = [] if store is None else await store.load_many(names)
            reply = zones_pb2.ZonesReply()
            for place, name in enumerate(names):
                zone: Any = known[place] if known else None
                result = reply.results.add()
                if name != DEFAULT_ZONE and (zone is None or zone.HasField("deleted_at")):
                    result.status.CopyFrom(statuses.not_found("zone", name).status)
                else:
                    result.status.SetInParent()
                    result.zone.CopyFrom(zone_reply(name, None if name == DEFAULT_ZONE else zone))
            reply.context.CopyFrom(reply_context(call, read_version=await tx.read_version(), cost=cost_of(tx)))
            return reply

        return await reading(self._databases, call, work)

    async def Modify(self, request: zones_pb2.ModifyZonesRequest, _: Any) -> zones_pb2.ZonesReply:
        """Operations run in their order, in one transaction; one that is refused has a status, and the others go on."""
        call, limits = current(), self._limits
        if not 1 <= len(request.operations) <= limits.operations_per_request:
            raise statuses.bad_request("operations", f"1 to {limits.operations_per_request}")
        names = []
        for place, one in enumerate(request.operations):
            if one.type not in (Operation.CREATE, Operation.DELETE):
                raise statuses.bad_request(f"operations[{place}].type", "CREATE or DELETE")
            names.append(zone_of(one.name, f"operations[{place}].name", limits))
        if len(set(names)) < len(names):
            raise statuses.bad_request("operations", "one operation for each zone")
        key = request.idempotency_key
        check_key(key, "idempotency_key")
        told = _fingerprint(request) if key else b""
        tenant = call.permit(set(names))

        async def work(tx: Transaction) -> zones_pb2.ZonesReply:
            await self._check_container(tx, tenant)
            zones = await self._databases.zones(tx, tenant, create=True)
            records = await self._databases.records(tx, tenant, create=True)
            assets = await self._databases.assets(tx, tenant)
            assert zones is not None, "stores are created"
            assert records is not None, "stores are created"
            reply = zones_pb2.ZonesReply()
            there = len(await zones.scan(limit=limits.zones_per_database + 1, snapshot=True).all())
            for name, one in zip(names, request.operations, strict=True):
                result = reply.results.add()
                try:
                    zone: Any = await zones.load(name)
                    if one.type == Operation.CREATE:
                        there += zone is None
                        if there > limits.zones_per_database:
                            raise statuses.too_large("operations", limit=limits.zones_per_database, size=there)
                        zone = await _create(zones, name, zone, call.identity.user)
                    else:
                        zone = await _delete(zones, records, name, zone)
                        if assets is not None:
                            await catalog.remove_zone(assets, name)
                    result.status.SetInParent()
                    result.zone.CopyFrom(zone_reply(name, zone))
                except statuses.Refusal as refused:
                    result.status.CopyFrom(refused.status)
            if key:
                tx.record_result(told + _recorded(reply))
            return reply

        keyed = scoped(tenant, call, key, purpose=_PURPOSE) if key else None
        try:
            reply, written = await writing(self._databases, call, work, key=keyed)
        except AlreadyApplied:
            assert keyed is not None, "who has no key cannot be told"
            return await self._replayed(keyed, told, names)
        reply.context.CopyFrom(reply_context(call, commit_version=written.version, cost=written.cost))
        return reply

    async def _replayed(self, keyed: bytes, told: bytes, names: list[str]) -> zones_pb2.ZonesReply:
        """What was recorded when the operations were applied.  Raises  Refusal."""
        applied = await found_again(self._databases, keyed, told)
        reply = zones_pb2.ZonesReply.FromString(applied.result[len(told) :])
        for name, result in zip(names, reply.results, strict=True):
            result.status.SetInParent()
            if not result.status.code:
                result.zone.name.name = name
        reply.replayed = True
        reply.context.CopyFrom(reply_context(current(), commit_version=applied.version))
        return reply

    async def _check_container(self, tx: Transaction, tenant: Tenant) -> None:
        if await self._databases.metadata(tx, tenant) is None:
            raise statuses.forbidden()


def _fingerprint(request: zones_pb2.ModifyZonesRequest) -> bytes:
    only = zones_pb2.ModifyZonesRequest(operations=request.operations)
    return hashlib.blake2b(only.SerializeToString(deterministic=True), digest_size=16).digest()


def _recorded(reply: zones_pb2.ZonesReply) -> bytes:
    """What is kept of results: not the names, which whoever asks again says again."""
    kept = zones_pb2.ZonesReply(results=reply.results)
    for result in kept.results:
        result.zone.ClearField("name")
        del result.status.details[1:]  # the reason stays
    return kept.SerializeToString()


async def _create(zones: RecordStore, name: str, zone: Any, user: str) -> Any:
    if name == DEFAULT_ZONE or (zone is not None and not zone.HasField("deleted_at")):
        return zone
    made: Any = zones.metadata.record_type("Zone").message_class()
    made.name, made.created_at, made.created_by = name, time.time_ns() // 1_000, user
    made.incarnation = 1 if zone is None else zone.incarnation + 1
    await zones.save(made)
    return made


async def _delete(zones: RecordStore, records: RecordStore, name: str, zone: Any) -> Any:
    """A zone that is deleted stays known, with its incarnation: made again it is another one."""
    if name == DEFAULT_ZONE:
        raise statuses.bad_request("operations", "the default zone stays: delete its records")
    if zone is None or zone.HasField("deleted_at"):
        raise statuses.not_found("zone", name)
    await records.delete_where(None, {f"{SYSTEM}.zone": name})
    zone.deleted_at = time.time_ns() // 1_000
    await zones.save(zone)
    return zone


def zone_reply(name: str, zone: Any) -> zones_pb2.Zone:
    """A zone as callers get it; None is the default zone."""
    made = zones_pb2.Zone(name=types_pb2.ZoneName(name=name))
    if zone is not None:
        made.created.CopyFrom(types_pb2.Change(time=timestamp(zone.created_at), user=zone.created_by))
        made.incarnation = zone.incarnation
        made.deleted = zone.HasField("deleted_at")
    return made
