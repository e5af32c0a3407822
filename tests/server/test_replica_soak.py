"""Replicas that are edited offline, at random, hold what the server holds when all is said; and nothing that was done
on any of them is lost or done twice.

The server is killed while they sync, and comes back over the same file; their tokens are lost; zones are deleted and
made again; they are cut off in the middle of a sync and opened anew. RECORDLAYER_LONG_TESTS=1 goes on for longer.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recordlayer import aio
from recordlayer.client.aio import Client, Replica
from recordlayer.client.merging import Conflict, keep_mine, keep_theirs
from recordlayer.client.pb.replica_pb2 import State
from recordlayer.client.testing.fake import FakeServer, fake
from recordlayer.errors import CallRefused, NoAnswer
from recordlayer_server.databases import Databases
from recordlayer_server.places import DEVELOPMENT, PRIVATE, Tenant
from tests.support.clients import Photo
from tests.support.photos import CONTAINER, description
from tests.support.service import run

LONG = os.environ.get("RECORDLAYER_LONG_TESTS") == "1"
EVENTS = ("kill", "delete", "remake", "lose", "cut", "remake", "lose", "nothing") * (20 if LONG else 1)
LISTS = ("l0", "l1")
"""Records of the default zone that are never deleted: every edit of one adds a tag of its own to it."""


class Machine:
    """A local database with replicas of two zones, and a hand that edits them."""

    def __init__(self, number: int, client: Client, database: aio.Database, chance: random.Random) -> None:
        self.client = client
        self.added: Counter[str] = Counter()
        self.database = database
        self._number = number
        self._chance = chance
        self.replicas: dict[str, Replica] = {}

    async def open(self) -> None:
        """Anew over the same database, as a program that has started again."""

        def resolve(conflict: Conflict) -> Any:
            return self._chance.choice((keep_mine, keep_theirs))(conflict)

        self.replicas = {
            zone: await Replica.open(self.client.zone(zone), self.database, [Photo], resolve=resolve)
            for zone in ("", "z")
        }

    async def edit(self) -> None:
        """A few edits; without asking the server anything."""
        for _ in range(self._chance.randrange(5)):
            replica = self.replicas[self._chance.choice(("", "z"))]
            name = f"p{self._chance.randrange(8)}"
            if self._chance.random() < 0.25:
                await replica.delete(name)
                continue
            there = await replica.load(Photo, name)
            photo = Photo() if there is None else there.message
            photo.title = f"t{self._chance.random()}"
            if self._chance.random() < 0.5:
                photo.rating = self._chance.randrange(9)
            photo.labels[f"k{self._chance.randrange(3)}"] = f"{self._chance.random()}"
            await replica.save(photo, name)
        name, tag = self._chance.choice(LISTS), f"{self._number}-{sum(self.added.values())}"
        there = await self.replicas[""].load(Photo, name)
        photo = Photo(title=name) if there is None else there.message
        photo.tags.append(tag)
        await self.replicas[""].save(photo, name)
        self.added[f"{name} {tag}"] += 1

    async def sync(self) -> None:
        """As far as it goes: the server may not be there."""
        for replica in self.replicas.values():
            with suppress(CallRefused):
                await replica.sync()

    async def lose(self) -> None:
        """The token of a zone is one of another database."""
        replica = self._chance.choice(list(self.replicas.values()))

        async def lose(stores: Any) -> None:
            state: State = stores.state
            state.token = b"of another database"
            await stores.keep_state()

        await replica._local._run(lose)


async def held(replica: Replica) -> dict[str, tuple[bytes, bytes]]:
    """Change tags and contents by name."""
    return {
        one.name: (one.change_tag, one.message.SerializeToString(deterministic=True))
        async for one in replica.query(Photo)
    }


async def truth(client: Client, zone: str) -> dict[str, tuple[bytes, bytes]]:
    return {
        one.name: (one.change_tag, one.message.SerializeToString(deterministic=True))
        async for one in client.zone(zone).query(Photo)
    }


async def soak(seed: int, server: FakeServer, folder: Path) -> None:
    chance = random.Random(seed)
    async with AsyncExitStack() as stack:
        machines = []
        for number in range(3):
            said = {"user": "ana", "timeout": timedelta(seconds=2)}
            client = await stack.enter_async_context(server.aio_client(**said))
            url = f"file:{folder / f'local-{number}.rl'}" if number == 0 else "memory:"
            machines.append(Machine(number, client, await stack.enter_async_context(aio.open(url)), chance))
        for machine in machines:
            await machine.open()
        patient = await patient_client(server, stack)
        await patient.create_zone("z")
        for event in chance.sample(EVENTS, len(EVENTS)):
            for machine in machines:
                await machine.edit()
            if event == "kill":
                syncing = asyncio.gather(*(machine.sync() for machine in machines))
                await asyncio.sleep(chance.random() * 0.1)
                server.stop()
                await machines[0].edit()
                await syncing
                server.start()
                patient = await patient_client(server, stack)
            elif event in ("delete", "remake"):
                with suppress(CallRefused):  # it may have gone before
                    await patient.delete_zone("z")
                if event == "remake":
                    await patient.create_zone("z")
            elif event == "lose":
                await chance.choice(machines).lose()
            elif event == "cut":  # ends in the middle of it
                machine = chance.choice(machines)
                cut = asyncio.create_task(machine.sync())
                await asyncio.sleep(chance.random() * 0.05)
                cut.cancel()
                await asyncio.wait([cut])
                await machine.open()
            await asyncio.gather(*(machine.sync() for machine in chance.sample(machines, 2)))
        await patient.create_zone("z")
        await agree(machines, patient)
        for machine in machines:
            for replica in machine.replicas.values():
                async with machine.database.transaction() as tx:
                    stores = await replica._local._stores(tx)
                    assert await stores.records.check() == []
                    assert await stores.edits.check() == []


async def patient_client(server: FakeServer, stack: AsyncExitStack) -> Client:
    """A client that has not used up its retries, when the server answers."""
    client = await stack.enter_async_context(server.aio_client(user="ana", timeout=timedelta(minutes=2)))
    while True:  # the test's own time bounds it
        try:
            await client.zone_names()
        except NoAnswer:
            await asyncio.sleep(0.1)
        else:
            return client


async def agree(machines: list[Machine], patient: Client) -> None:
    """Once each has sent what it has, and once more for what the others have sent."""
    for machine in [*machines, *machines]:
        await machine.open()
        machine.client = patient
        await machine.open()
        for zone, replica in machine.replicas.items():
            for _ in range(2):
                await replica.sync()
            assert await replica.waiting() == [], zone
    for zone in ("", "z"):
        there = await truth(patient, zone)
        for machine in machines:
            assert await held(machine.replicas[zone]) == there
    added = Counter[str]()
    for machine in machines:
        added += machine.added
    tags: Counter[str] = Counter()
    for name in LISTS:
        found = await patient.zone().load(Photo, name)
        tags.update(f"{name} {tag}" for tag in ([] if found is None else found.message.tags))
    assert tags == added, "each edit is there, and once"


async def check_server(path: Path) -> None:
    async with aio.open(f"file:{path}") as database:
        databases = Databases(database)
        async with database.transaction() as tx:
            store = await databases.records(tx, Tenant(CONTAINER, DEVELOPMENT, PRIVATE, "ana"))
            assert store is not None
            assert await store.check() == []


@pytest.mark.parametrize("seed", range(6 if LONG else 1))
def test_replicas_that_are_edited_offline_hold_what_the_server_holds(seed: int, tmp_path: Path) -> None:
    with fake({CONTAINER: description()}, db=f"file:{tmp_path / 'server.rl'}") as server:
        run(soak(seed, server, tmp_path), seconds=900 if LONG else 110)
    run(check_server(tmp_path / "server.rl"))
