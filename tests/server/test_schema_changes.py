"""A schema changes while two servers of the same database serve: no caller is told of metadata that is out of date."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer_server.databases import Databases
from recordlayer_server.places import DEVELOPMENT
from tests.support import photos as schema
from tests.support.service import Caller, calling, operation, photos, run, serving_over
from tests.support.transacting import Transact


async def written(caller: Caller, change: Any) -> None:
    """Change a record. The callers share an index in which they conflict, and are told to come again: they do."""
    while True:
        try:
            await caller.modify(change)
            return
        except grpc_aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.ABORTED:
                raise


async def committed(caller: Caller, change: Any) -> None:
    """The same in a transaction."""
    while True:
        try:
            async with Transact(caller) as tx:
                await tx.modify(change)
                await tx.commit()
            return
        except grpc_aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.ABORTED:
                raise


def test_servers_that_do_not_know_of_a_new_schema_yet_learn_of_it_and_fail_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def use(caller: Caller, name: str, done: asyncio.Event) -> int:
        """Every kind of call, again and again; raises what comes instead of an answer."""
        rounds, token = 0, b""
        while not done.is_set():
            await written(caller, operation("FORCE_UPDATE", name, title=f"t{rounds}", rating=rounds))
            await caller.names()
            assert not (await caller.lookup(name))[0].status.code
            [changes] = (await caller.zone_changes({"": token})).zones
            assert not changes.status.code
            token = changes.token
            rounds += 1
        return rounds

    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            newer = Databases(databases.database)
            async with serving_over(newer) as second, calling(second) as other:
                done = asyncio.Event()
                old, new = Caller(channel, user="ana"), Caller(other, user="ana")
                async with asyncio.TaskGroup() as group:
                    used = [group.create_task(use(old, "a", done)), group.create_task(use(new, "b", done))]
                    for field in ("mood", "place_name", "season"):
                        monkeypatch.setitem(schema.MESSAGES, "Photo", (*schema.MESSAGES["Photo"], f"string {field}"))
                        await newer.put_container(schema.CONTAINER, schema.description(), DEVELOPMENT)
                        await written(new, operation("FORCE_UPDATE", "c", **{field: "x"}))
                        [found] = await old.lookup("c")
                        assert found.record.fields.fields[field].string_value == "x"
                        await written(old, operation("FORCE_UPDATE", "d", **{field: "y"}))
                        await committed(old, operation("FORCE_UPDATE", "e", **{field: "z"}))
                    done.set()
                assert all(task.result() for task in used)
                fields = (await old.lookup("c"))[0].record.fields.fields
                assert {"mood", "place_name", "season"} <= set(fields)

    run(scenario())
