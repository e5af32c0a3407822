"""Replicas that are fed by Sync alone hold what the store holds, whatever happens on the way.

Several callers create, update and delete at random; zones are deleted and made again; replicas lose their tokens, ask
for pages that end early, and are answered by servers that come and go; old changes are forgotten, and the database is
moved. RECORDLAYER_LONG_TESTS=1 goes on for longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from datetime import timedelta
from typing import Any

import pytest
from grpc import aio as grpc_aio

from recordlayer.tenant.export import Guard
from recordlayer_server.databases import Databases
from recordlayer_server.limits import Limits
from recordlayer_server.places import DEVELOPMENT, PRIVATE, Tenant, of_database, of_server
from recordlayer_server.sync.trimming import forget_old_changes
from tests.support.photos import CONTAINER
from tests.support.replicas import Replica, held, truth
from tests.support.service import Caller, calling, check_databases, operation, photos, run, serving_over

LONG = os.environ.get("RECORDLAYER_LONG_TESTS") == "1"
ROUNDS = 200 if LONG else 12
ANA = Tenant(CONTAINER, DEVELOPMENT, PRIVATE, "ana")
ZONES = ("", "y", "z")


async def write(caller: Caller, chance: random.Random) -> None:
    """One batch at random; what is refused has changed nothing."""
    kinds = ["CREATE", "FORCE_UPDATE", "FORCE_REPLACE", "FORCE_DELETE"]
    names = chance.sample(range(25), chance.randrange(1, 5))
    zone = chance.choice(ZONES)
    batch = [
        operation(kind, f"p{name}", zone=zone)
        if (kind := chance.choice(kinds)) == "FORCE_DELETE"
        else operation(kind, f"p{name}", zone=zone, title=f"t{chance.random()}", rating=chance.randrange(9))
        for name in names
    ]
    with contextlib.suppress(grpc_aio.AioRpcError):
        await caller.modify(*batch, atomic=chance.random() < 0.5)


async def soak(seed: int) -> None:
    chance = random.Random(seed)
    async with photos() as (_, databases), contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving_over(databases))
        channel = await stack.enter_async_context(calling(server))
        replicas = [Replica(chance) for _ in range(3)]
        for turn in range(ROUNDS):
            callers = [Caller(channel, user="ana") for _ in range(3)]
            await asyncio.gather(*(write(caller, chance) for caller in callers for _ in range(3)))
            event = chance.random()
            if event < 0.25:
                zone = chance.choice(ZONES[1:])
                await callers[0].zone(zone, "DELETE")
                if chance.random() < 0.6:
                    await callers[0].zone(zone)
            elif event < 0.5:
                await callers[0].zone(chance.choice(ZONES[1:]))
            elif event < 0.6:
                chance.choice(replicas).lose()
            elif event < 0.75:  # another server, which knows nothing of the first one
                await server.drain()
                again = Databases(databases.database, limits=databases.limits)
                server = await stack.enter_async_context(serving_over(again))
                channel = await stack.enter_async_context(calling(server))
            elif event < 0.85:
                at_once = Databases(databases.database, limits=Limits(deletions_kept=timedelta(0)))
                await forget_old_changes(at_once)
            elif event < 0.9:
                await databases.database.run(lambda tx: moved(databases, tx))
            reader = Caller(channel, user="ana")
            for replica in chance.sample(replicas, 2):
                writing = asyncio.gather(*(write(caller, chance) for caller in callers))
                with contextlib.suppress(grpc_aio.AioRpcError):
                    await replica.sync(reader)  # while others write
                await writing
            if turn % 3 == 2:
                await _agree(replicas, reader, databases)
        caller = Caller(channel, user="ana")
        await caller.zone("z")
        await _agree(replicas, caller, databases)
        begun = [replica.resets for replica in replicas]
        for kind in ("DELETE", "CREATE"):
            await caller.zone("z", kind)
        await caller.create("new", zone="z", title="t")
        await _agree(replicas, caller, databases)
        assert [replica.resets for replica in replicas] == [before + 1 for before in begun]


async def _agree(replicas: list[Replica], reader: Caller, databases: Databases) -> None:
    there = await truth(databases, ANA)
    for replica in replicas:
        await replica.sync(reader)
        assert held(replica) == there


async def moved(databases: Databases, tx: Any) -> None:
    for store in (await databases.records(tx, ANA), await databases.zones(tx, ANA)):
        if store is not None:
            await store.header.raise_incarnation()


@pytest.mark.parametrize("seed", range(6 if LONG else 2))
def test_a_replica_that_is_fed_by_change_lists_alone_holds_what_the_store_holds(seed: int) -> None:
    run(soak(seed), seconds=900 if LONG else 120)


def test_a_replica_follows_a_database_that_moves_to_another_cluster_and_copies_nothing_again() -> None:
    """The keys that seal tokens move first, so those from here are good there. Versions begin anew, and may be lower
    than those that were given before; what is told stays in order all the same."""

    async def scenario() -> None:
        chance = random.Random(7)
        async with photos() as (server, databases), photos() as (_, elsewhere), contextlib.AsyncExitStack() as stack:
            caller = Caller(await stack.enter_async_context(calling(server)), user="ana")
            for zone in ZONES[1:]:
                await caller.zone(zone)
            for _ in range(30):  # so that versions here are ahead
                await write(caller, chance)
            replica, behind = Replica(chance), Replica(chance)
            await replica.sync(caller)
            await behind.sync(caller)
            await write(caller, chance)
            await caller.modify(operation("FORCE_UPDATE", "kept", title="t"), operation("FORCE_DELETE", "p1"))
            await replica.sync(caller)
            source, target = databases.database, elsewhere.database
            await source.tenant(of_server()).copy_to(target.tenant(of_server()))
            moving = source.tenant(of_database(ANA))
            await moving.copy_to(target.tenant(of_database(ANA)), guard=Guard.FREEZE)
            fresh = Databases(target)
            moved_to = await stack.enter_async_context(serving_over(fresh))
            there = Caller(await stack.enter_async_context(calling(moved_to)), user="ana")
            await there.modify(operation("FORCE_UPDATE", "kept", title="new"), operation("FORCE_DELETE", "p2"))
            for _ in range(3):
                await write(there, chance)
            await _agree([replica, behind], there, fresh)
            assert (replica.resets, behind.resets) == (0, 0)
            await check_databases(fresh)

    run(scenario())
