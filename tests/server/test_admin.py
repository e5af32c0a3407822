"""What an operator sees and does through Admin: each method by a client, over a port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2
from grpc import aio as grpc_aio

from recordlayer.client.pb import admin_pb2
from recordlayer.online.options import BuildLimits
from recordlayer_server.databases import Databases
from recordlayer_server.places import DEVELOPMENT, PUBLIC, Tenant
from recordlayer_server.security.authority import RIGHTS, is_audited
from recordlayer_server.security.policy import Right
from tests.server.test_guarded import Bearer
from tests.support.admin import CLOSED, READ_ONLY, Operator, security
from tests.support.assets import Keeper
from tests.support.photos import CONTAINER
from tests.support.service import Caller, calling, photos, reason, run

Info, Status = admin_pb2.StoreInfo, admin_pb2.IndexStatus


async def refusal(call: Any) -> tuple[str, str]:
    with pytest.raises(grpc_aio.AioRpcError) as caught:
        await call
    return caught.value.code().name, reason(caught.value)


def test_stores_are_listed_looked_at_locked_and_unlocked() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            operator, caller = Operator(channel), Caller(channel)
            for method in ("GetDatabase", "UnlockDatabase", "ListIndexes"):
                assert await refusal(operator.ask(method)) == ("NOT_FOUND", "NOT_FOUND")
            assert (await refusal(operator.ask("LockDatabase", kind=READ_ONLY, reason="x")))[1] == "NOT_FOUND"
            await caller.create("a", title="one")
            await caller.create("b", title="two")
            for user in ("alice", "bob"):
                await Caller(channel, user=user).create("mine", title="t")
            await Caller(channel, user="bob").zone("holidays")
            await _listed(operator)
            await _looked_at(operator, databases)
            await _locked(operator, caller)
            missing = Operator(channel, container="com.example.none")
            for method in ("ListStores", "GetDatabase", "UnlockDatabase", "ListIndexes"):
                assert await refusal(missing.ask(method)) == ("PERMISSION_DENIED", "FORBIDDEN")

    run(scenario())


async def _listed(operator: Operator) -> None:
    found, said, pages = [], {}, 0  # type: list[tuple[str, str]], dict[str, bytes], int
    while True:
        page = await operator.ask("ListStores", limit=2, **said)
        assert len(page.stores) <= 2
        found += [(one.database.user, Info.Kind.Name(one.kind)) for one in page.stores]
        assert all(one.format_version == 13 and one.HasField("updated") for one in page.stores)
        pages += 1
        if not page.continuation:
            break
        assert b"alice" not in page.continuation
        said = {"continuation": page.continuation}
    assert found[0] == ("", "RECORDS")
    assert sorted(found[1:]) == [("alice", "RECORDS"), ("bob", "RECORDS"), ("bob", "ZONES")]
    assert pages >= 2
    forged = said["continuation"][:-1] + bytes([said["continuation"][-1] ^ 1])
    assert (await refusal(operator.ask("ListStores", continuation=forged)))[1] == "CONTINUATION_MISMATCH"
    assert (await refusal(operator.ask("ListStores", limit=-1)))[1] == "BAD_REQUEST"
    assert len((await operator.ask("ListStores", limit=1_000_000)).stores) == 4


async def _looked_at(operator: Operator, databases: Databases) -> None:
    reply = await operator.ask("GetDatabase")
    assert [one.kind for one in reply.stores] == [Info.RECORDS]
    assert reply.records == 2
    assert not reply.HasField("not_opened")
    tenant = Tenant(CONTAINER, DEVELOPMENT, PUBLIC, "")
    metadata = await databases.database.run(lambda tx: databases.metadata(tx, tenant))
    assert metadata is not None
    assert dict(reply.index_states) == {"READABLE": len(metadata.indexes)}


async def _locked(operator: Operator, caller: Caller) -> None:
    assert (await refusal(operator.ask("LockDatabase", reason="x")))[1] == "BAD_REQUEST"
    assert (await refusal(operator.ask("LockDatabase", kind=READ_ONLY)))[1] == "BAD_REQUEST"
    await operator.ask("LockDatabase", kind=READ_ONLY, reason="moving house")
    assert len(await caller.lookup("a")) == 1
    for write in (caller.create("c", title="t"), caller.zone("new"), Keeper(caller).begin("a", b"a")):
        with pytest.raises(grpc_aio.AioRpcError) as caught:
            await write
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert reason(caught.value) == "STORE_LOCKED"
        assert "moving house" in str(caught.value.details())
    assert not (await operator.ask("UnlockDatabase", reason="another")).unlocked
    assert (await operator.ask("UnlockDatabase", reason="moving house")).unlocked
    await caller.create("c", title="t")
    # Closing it needs a newer format, which is raised only if that is said.
    assert (await refusal(operator.ask("LockDatabase", kind=CLOSED, reason="shut")))[1] == "BAD_REQUEST"
    await operator.ask("LockDatabase", kind=CLOSED, reason="shut", raise_format=True)
    assert (await refusal(caller.lookup("a")))[1] == "STORE_LOCKED"
    closed = await operator.ask("GetDatabase")
    kinds = (Info.RECORDS, Info.ZONES, Info.ASSETS)
    assert {one.kind: one.lock.reason for one in closed.stores} == dict.fromkeys(kinds, "shut")
    assert all(one.lock.kind == CLOSED and one.format_version == 14 for one in closed.stores)
    assert closed.not_opened.code == code_pb2.UNAVAILABLE
    assert not closed.index_states
    assert not closed.HasField("records")
    assert (await operator.ask("UnlockDatabase")).unlocked
    assert not (await operator.ask("UnlockDatabase")).unlocked
    assert len(await caller.lookup("a")) == 1


def test_indexes_are_listed_with_their_states_and_builds() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            operator, caller = Operator(channel), Caller(channel)
            for number in range(6):
                await caller.create(str(number), title="t", rating=number)
            await _stopped_build(databases, "by_rating", after=2)
            names, after = [], ""  # type: list[str], str
            while True:
                page = await operator.ask("ListIndexes", limit=5, after=after)
                names += [one.name for one in page.indexes]
                if not page.more:
                    break
                after = page.indexes[-1].name
            assert names == sorted(names)
            everything = {one.name: one for one in (await operator.ask("ListIndexes")).indexes}
            assert list(everything) == names
            assert everything["by_code"].unique
            assert everything["words"].type == "text"
            assert everything["by_title"].state == Status.READABLE
            assert not everything["by_title"].HasField("build")
            half = everything["by_rating"]
            assert half.state == Status.WRITE_ONLY
            assert (half.build.method, half.build.records_scanned, half.build.records_total) == ("BY_RECORDS", 2, 6)
            assert half.build.parts_missing == 1
            assert half.build.records_per_second == 7
            assert half.build.paused
            assert half.build.paused_by == "lunch"

    run(scenario())


async def _stopped_build(databases: Databases, index: str, *, after: int) -> None:
    """Build an index of the public database anew, and stop after some records; paused and throttled."""
    tenant, database = Tenant(CONTAINER, DEVELOPMENT, PUBLIC, ""), databases.database

    async def drop(tx: Any) -> Any:
        place, store = await databases.place(tx, tenant), await databases.records(tx, tenant)
        assert store is not None
        await store.disable_index(index)
        return place

    place = await database.run(drop)
    indexer = database.online_indexer(
        place.metadata,
        path=place.records,
        indexes=[index],
        limits=BuildLimits(records=after),
        told=lambda report: indexer.stop(),
    )
    assert not (await indexer.build()).finished

    async def note(tx: Any) -> None:
        store = await databases.records(tx, tenant)
        assert store is not None
        await store.build_of(index).block(id="lunch")
        await store.build_of(index).throttle(7)

    await database.run(note)


def _least(method: str) -> dict[str, Any]:
    """What a request has to have to be looked at."""
    fields = admin_pb2.DESCRIPTOR.message_types_by_name[f"{method}Request"].fields_by_name
    said: dict[str, Any] = {"name": "any"} if "name" in fields else {}
    for work in ("build", "drop"):
        if work in fields:
            said[work] = {"indexes": ["by_title"]}
    return said


def test_each_method_needs_the_right_and_is_audited(tmp_path: Path) -> None:
    service = admin_pb2.DESCRIPTOR.services_by_name["Admin"]
    methods = [f"/recordlayer.v1.Admin/{one.name}" for one in service.methods]
    streams = {one.name for one in service.methods if one.client_streaming or one.server_streaming}
    assert {RIGHTS.get(method) for method in methods} == {Right.ADMIN}
    assert all(is_audited(method) for method in methods)

    async def scenario() -> None:
        async with photos(security=security(tmp_path)) as (server, _):
            async with Bearer.calling(server, "writer") as writer:
                await writer.create("a", title="t")
                for method in methods:
                    name = method.rpartition("/")[2]
                    if name in streams:
                        continue  # tests/server/test_tenants.py
                    call = Operator(writer.channel).ask(name, **_least(name))
                    assert await refusal(call) == ("PERMISSION_DENIED", "FORBIDDEN"), method
            async with Bearer.calling(server, "owner") as owner:
                # An owner of the public database does not see those of users.
                assert (await Operator(owner.channel).ask("GetDatabase")).records == 1
                for call in (
                    Operator(owner.channel).ask("ListStores"),
                    Operator(owner.channel, user="alice").ask("GetDatabase"),
                ):
                    assert await refusal(call) == ("PERMISSION_DENIED", "FORBIDDEN")
            async with Bearer.calling(server, "operator") as operator:
                assert len((await Operator(operator.channel).ask("ListStores")).stores) == 1
                whose = Operator(operator.channel, user="alice")
                assert (await refusal(whose.ask("GetDatabase")))[0] == "NOT_FOUND"
                assert (await refusal(whose.ask("ListStores")))[1] == "BAD_REQUEST"

    run(scenario())
