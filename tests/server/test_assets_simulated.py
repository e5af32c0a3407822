"""Assets under concurrent writers, collectors, faults and deaths: nothing dangles at any time, and what is left in the
end is what records refer to. Who refers to what is read from the records themselves, and not from the indexes that the
service goes by."""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from recordlayer import Retry
from recordlayer.aio import Database
from recordlayer.client.pb import assets_pb2 as pb
from recordlayer.client.pb import context_pb2, records_pb2, types_pb2, zones_pb2
from recordlayer.errors import RecordLayerError
from recordlayer.testing import seeds, simulate
from recordlayer_server.assets import collecting
from recordlayer_server.assets.collecting import Collector
from recordlayer_server.assets.servicer import Assets
from recordlayer_server.call import Call, Everybody, enter
from recordlayer_server.databases import Databases
from recordlayer_server.limits import Limits
from recordlayer_server.places import DEVELOPMENT, PUBLIC, Tenant
from recordlayer_server.records import Records
from recordlayer_server.security.identity import ANONYMOUS
from recordlayer_server.statuses import Refusal, reason_of
from recordlayer_server.zones import Zones
from tests.support.assets import asset, kept
from tests.support.photos import CONTAINER, descriptor_set
from tests.support.service import operation, record_name

TENANT = Tenant(CONTAINER, DEVELOPMENT, PUBLIC, "")
CONTEXT = context_pb2.RequestContext(container=CONTAINER)
WRITERS, STEPS = 3, 25
RECORDS, ZONES = ("p", "q", "r", "s", "t"), ("", "", "", "trip")
AGAIN = Retry(attempts=100_000, idempotent=True)
KINDS = ("publish", "publish", "publish", "save", "save", "plain", "delete", "move", "follow", "album", "zone")


def content(name: str) -> bytes:
    return name.encode() * (70_000 // len(name) if name.endswith("7") else 10)


class Caller:
    """Calls the services of a process, without a port between.

    uploaded  names of assets, by all processes
    """

    def __init__(self, database: Database, limits: Limits, uploaded: list[str]) -> None:
        self.uploaded = uploaded
        self.databases = Databases(database, limits=limits)
        self.records, self.assets, self.zones = (kind(self.databases) for kind in (Records, Assets, Zones))

    async def call(self, method: Any, request: Any) -> Any:
        ends = asyncio.get_running_loop().time() + 1_000
        call = Call("m", "id", ANONYMOUS, deadline=ends, limits=self.databases.limits, authority=Everybody())
        enter(call)
        if hasattr(request, "context"):
            call.bind(request.context)
        return await method(request, None)

    async def upload(self, zone: str, name: str) -> None:
        data = content(name)
        place = {"zone": types_pb2.ZoneName(name=zone), "id": name}
        digest = hashlib.sha256(data).digest()
        begin = pb.BeginUploadRequest(context=CONTEXT, **place, size=len(data), digest=digest)
        state = (await self.call(self.assets.BeginUpload, begin)).state
        if not state.whole:

            async def requests() -> AsyncIterator[pb.UploadRequest]:
                yield pb.UploadRequest(open=pb.UploadRequest.Open(context=CONTEXT, **place, offset=state.received))
                yield pb.UploadRequest(data=data[state.received :])

            await self.call(self.assets.Upload, requests())

    async def modify(self, *operations: records_pb2.Operation) -> None:
        await self.call(self.records.Modify, records_pb2.ModifyRequest(context=CONTEXT, operations=operations))

    async def zone(self, kind: str) -> None:
        one = zones_pb2.ZoneOperation(type=kind, name=types_pb2.ZoneName(name="trip"))
        await self.call(self.zones.Modify, zones_pb2.ModifyZonesRequest(context=CONTEXT, operations=[one]))


async def begins(database: Database) -> None:
    databases = Databases(database)
    await databases.put_container(CONTAINER, descriptor_set(), DEVELOPMENT)
    await Caller(database, databases.limits, []).zone("CREATE")


async def writes(
    database: Database, chance: random.Random, left: list[int], limits: Limits, seen: Counter[str], uploaded: list[str]
) -> None:
    caller = Caller(database, limits, uploaded)
    while left:
        left.pop()
        try:
            seen[await _one(caller, chance)] += 1
        except Refusal as refused:
            seen[reason_of(refused.status)] += 1
        except RecordLayerError as error:
            seen[error.code] += 1


async def _one(caller: Caller, chance: random.Random) -> str:
    """One change, drawn; what it was."""
    zone, (record, other) = chance.choice(ZONES), chance.sample(RECORDS, 2)
    kind = chance.choice(KINDS)
    names = caller.uploaded[-4:]
    fields: dict[str, Any] = {"image": asset(chance.choice(names))}
    if chance.random() < 0.5:
        fields = {"prints": [asset(each) for each in chance.choices(names, k=2)]}
    if kind == "publish":
        # Mostly another one: one that is made again under its name would hide that it was missed.
        name = f"a{len(caller.uploaded)}" if chance.random() < 0.8 else chance.choice(names)
        caller.uploaded.append(name)
        await caller.upload(zone, name)
        await caller.modify(operation("FORCE_UPDATE", record, zone=zone, image=asset(name)))
    elif kind == "save":
        await caller.modify(operation("FORCE_REPLACE", record, zone=zone, **fields))
    elif kind == "plain":
        await caller.modify(operation("FORCE_REPLACE", record, zone=zone))
    elif kind == "delete":
        await caller.modify(operation("FORCE_DELETE", record, zone=zone))
    elif kind == "move":
        gone = operation("FORCE_DELETE", record, zone=zone)
        await caller.modify(gone, operation("FORCE_REPLACE", other, zone=zone, **fields))
    elif kind == "follow":
        made = operation("FORCE_REPLACE", record, zone=zone, **fields)
        reference = made.record.fields.fields["album"].reference_value
        reference.action = types_pb2.Reference.DELETE_SELF
        reference.target.CopyFrom(record_name("album", zone))
        await caller.modify(operation("FORCE_REPLACE", "album", zone=zone, record_type="Album"), made)
    elif kind == "album":
        await caller.modify(operation("FORCE_DELETE", "album", zone=zone))
    elif chance.random() < 0.3:
        await caller.zone("DELETE")
        await caller.zone("CREATE")
    return kind


async def collects(database: Database, limits: Limits, writing: list[list[int]]) -> None:
    databases = Databases(database, limits=limits)

    async def step(tx: Any) -> collecting.Step:
        return await collecting.step(databases, tx, TENANT, time.time_ns() // 1_000)

    while any(writing):
        await database.run(step, retry=AGAIN)  # without looking for databases in between: as often as can be


async def referred_to(databases: Databases) -> set[tuple[str, str]]:
    """What records refer to, each of which has to be there in the same moment, with all its bytes."""

    async def look(tx: Any) -> set[tuple[str, str]]:
        records, assets = await databases.records(tx, TENANT), await databases.assets(tx, TENANT)
        found: list[Any] = [] if records is None else await records.scan().all()
        there: list[Any] = [] if assets is None else await assets.scan().all()
        whole = {(one.zone, one.id): one.size for one in there if one.DESCRIPTOR.name == "Asset" and one.whole}
        held = Counter[tuple[str, str]]()
        for one in there:
            if one.DESCRIPTOR.name == "Chunk":
                held[one.zone, one.asset] += len(one.data)
        wanted = set()
        for one in found:
            if one.DESCRIPTOR.name == "Photo":
                for each in (*([one.image] if one.HasField("image") else []), *one.prints):
                    wanted.add((one.recordlayer_system.zone, each.id))
        for name in wanted:
            assert name in whole, f"{name} dangles"
            assert held[name] == whole[name] == len(content(name[1]))
        return wanted

    return await databases.database.run(look, retry=AGAIN)


async def looks(database: Database, writing: list[list[int]]) -> None:
    while any(writing):
        await referred_to(Databases(database))


async def judged(database: Database, limits: Limits) -> None:
    """Nothing is left but what records refer to."""
    databases = Databases(database, limits=limits)
    wanted = await referred_to(databases)
    await Collector(databases).collect()
    assert await kept(databases, TENANT) == {name: len(content(name[1])) for name in wanted}
    async with database.transaction() as tx:
        for store in (await databases.records(tx, TENANT), await databases.assets(tx, TENANT)):
            assert store is not None
            assert await store.check() == []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A wall clock that goes on by a millisecond whenever it is looked at, and chance that can be had again."""
    now, chance = [time.time_ns()], random.Random(0)

    def tick() -> int:
        now[0] += 1_000_000
        return now[0]

    monkeypatch.setattr(time, "time_ns", tick)
    monkeypatch.setattr(secrets, "token_bytes", chance.randbytes)
    return now


@pytest.mark.parametrize("seed", seeds(6))
def test_nothing_dangles_and_nothing_is_left_over(seed: int, clock: list[int]) -> None:
    limits = Limits(asset_kept=timedelta(milliseconds=seed % 3 * 40))
    seen, uploaded = Counter[str](), ["a0"]
    with simulate(seed) as sim:
        sim.run(begins(sim.database))
        writing = [[0] * STEPS for _ in range(WRITERS)]
        for writer, left in enumerate(writing):
            sim.process(writes, random.Random(seed << 8 | writer), left, limits, seen, uploaded)
        for _ in range(2):
            sim.process(collects, limits, writing)
        sim.process(looks, writing)
        sim.run_processes()
        clock[0] += 10**12
        sim.run(judged(sim.database, limits))
    assert {"publish", "save", "INVALID_ASSET"} <= seen.keys(), "it has been about something"
