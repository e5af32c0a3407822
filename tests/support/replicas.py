"""A copy of a database of the service that is fed by change lists alone, and what it has to hold."""

from __future__ import annotations

import random
from typing import Any

from grpc import aio as grpc_aio

from recordlayer.client.pb import sync_pb2, types_pb2
from recordlayer_server import statuses
from recordlayer_server.databases import Databases
from recordlayer_server.places import Tenant
from tests.support.service import Caller, reason


class Replica:
    """Copies of all zones of a database, as a client keeps them."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.whole = b""
        self.tokens: dict[str, bytes] = {}
        self.records: dict[str, dict[str, types_pb2.Record]] = {}
        self.stale: set[str] = set()
        self.resets = 0

    async def sync(self, caller: Caller) -> None:
        """Ask which zones have changed, and what has changed in them, until nothing more comes."""
        more = True
        while more or self.stale:
            more = await self._zones(caller)
            while self.stale:
                await self._changes(caller)

    async def _zones(self, caller: Caller) -> bool:
        try:
            reply = await caller.database_changes(self.whole)
        except grpc_aio.AioRpcError as error:
            if reason(error) != "TOKEN_EXPIRED":
                raise
            self.whole = b""
            return True
        if reply.complete:
            known = {zone.name.name for zone in reply.zones}
            for zone in self.records.keys() - known:
                self._drop(zone)
        self.whole = reply.token
        for zone in reply.zones:
            if zone.deleted:
                self._drop(zone.name.name)
            else:
                self.stale.add(zone.name.name)
        return reply.more_coming

    async def _changes(self, caller: Caller) -> None:
        said: dict[str, Any] = {"limit": self._chance.choice([0, 1, 3])}
        if self._chance.random() < 0.3:
            said["limits"] = {"keys": self._chance.randrange(1, 6)}
        reply = await caller.zone_changes({zone: self.tokens.get(zone, b"") for zone in sorted(self.stale)}, **said)
        for one in reply.zones:
            self._take(one)

    def _take(self, one: sync_pb2.ZoneChanges) -> None:
        zone = one.zone.name
        if one.status.code:
            self._drop(zone)
            if statuses.reason_of(one.status) == "TOKEN_EXPIRED":
                self.resets += 1
                self.stale.add(zone)
            else:
                assert statuses.reason_of(one.status) == "ZONE_NOT_FOUND"
            return
        held = self.records.setdefault(zone, {})
        for record in one.records:
            if record.deleted:
                held.pop(record.name.name, None)
            else:
                held[record.name.name] = record
        self.tokens[zone] = one.token
        if not one.more_coming:
            self.stale.discard(zone)

    def _drop(self, zone: str) -> None:
        self.records.pop(zone, None)
        self.tokens.pop(zone, None)
        self.stale.discard(zone)

    def lose(self) -> None:
        """Some of its tokens are gone."""
        if self._chance.random() < 0.5:
            self.whole = b""
        for zone in [zone for zone in self.tokens if self._chance.random() < 0.5]:
            self._drop(zone)
            self.stale.add(zone)


async def truth(databases: Databases, tenant: Tenant) -> dict[str, dict[str, bytes]]:
    """What the store holds, by zone and name: change tags."""
    async with databases.database.transaction() as tx:
        store, zones = await databases.records(tx, tenant), await databases.zones(tx, tenant)
        found: dict[str, dict[str, bytes]] = {"": {}}
        for zone in [] if zones is None else await zones.scan().all():
            if not zone.HasField("deleted_at"):
                found[zone.name] = {}
        if store is not None:
            async for stored in store.scan().records():
                assert stored.version is not None
                found[stored.primary_key[0]][stored.primary_key[1]] = stored.version.to_bytes()
        return found


def held(replica: Replica) -> dict[str, dict[str, bytes]]:
    return {zone: {name: one.change_tag for name, one in records.items()} for zone, records in replica.records.items()}
