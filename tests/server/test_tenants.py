"""Databases as a whole, for operators: limits, exports, imports, deleting and moving, each by a client, over a port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer import aio
from recordlayer.client.pb import admin_pb2, context_pb2
from recordlayer.tenant import Guard
from recordlayer_server import places
from recordlayer_server.admin import moving
from recordlayer_server.config import Hooks, Load, Showing
from recordlayer_server.databases import Databases
from recordlayer_server.places import Tenant
from recordlayer_server.webhooks import registry
from tests.server.test_admin import refusal
from tests.server.test_guarded import Bearer
from tests.server.test_subscriptions import Said, of_zone
from tests.server.test_webhooks import Owner, until
from tests.support.admin import Operator, security, working
from tests.support.photos import CONTAINER, description
from tests.support.service import Caller, calling, operation, photos, reason, run, serving_over, status_of
from tests.support.watching import Watch

State = admin_pb2.AdminOperation.State
MOVED = ("FAILED_PRECONDITION", "MOVED")


async def exported(operator: Operator, **how: Any) -> tuple[list[bytes], Any]:
    """The pieces of an export, and its last word."""
    pieces, last = [], None
    async for last in operator.stub.ExportDatabase(admin_pb2.ExportDatabaseRequest(context=operator.context, **how)):
        pieces.append(last.data)
    return pieces, last


async def imported(operator: Operator, pieces: list[bytes]) -> Any:
    async def requests() -> AsyncIterator[admin_pb2.ImportDatabaseRequest]:
        opening = admin_pb2.ImportDatabaseRequest.Open(context=operator.context)
        yield admin_pb2.ImportDatabaseRequest(open=opening)
        for piece in pieces:
            yield admin_pb2.ImportDatabaseRequest(data=piece)

    return await operator.stub.ImportDatabase(requests())


async def done(operator: Operator, method: str, **said: Any) -> Any:
    """An operation that was started, once it is over."""
    name = (await operator.ask(method, **said)).operation.name
    return (await operator.ask("WaitOperation", name=name, within=30)).operation


async def filled(caller: Caller, count: int = 30) -> None:
    await caller.modify(*[operation("CREATE", f"p{number:03}", title="t" * 500) for number in range(count)])


def private(user: str) -> context_pb2.Database:
    return context_pb2.Database(scope=context_pb2.Database.PRIVATE, user=user)


def test_limits_are_set_and_usage_is_told() -> None:
    async def scenario() -> None:
        load = Load(tenant_limits=True, tenant_storage=1 << 30)
        async with photos(load=load) as (server, _), calling(server) as channel:
            operator, caller = Operator(channel, user="ana"), Caller(channel, user="ana")
            assert await refusal(operator.ask("GetUsage")) == ("NOT_FOUND", "NOT_FOUND")
            await filled(caller)
            await caller.create("first")  # from the second one on its place is known
            await caller.create("counted")
            before = await operator.ask("GetUsage")
            assert not before.HasField("limits")
            assert before.counted
            assert before.keys_written > 0
            assert before.transactions > 0
            assert before.bytes_allowed == 1 << 30
            limits = admin_pb2.DatabaseLimits(keys_written=20)
            limits.burst.FromTimedelta(timedelta(seconds=1))
            await operator.ask("SetLimits", limits=limits)
            assert (await operator.ask("GetUsage")).limits == limits
            bad = operator.ask("SetLimits", limits=admin_pb2.DatabaseLimits(keys_read=0))
            assert await refusal(bad) == ("INVALID_ARGUMENT", "BAD_REQUEST")
            await operator.ask("SetLimits")
            assert not (await operator.ask("GetUsage")).HasField("limits")

    run(scenario())


def test_an_export_is_imported_as_another_database() -> None:
    async def scenario() -> None:
        async with photos(hooks=Hooks()) as (server, databases), calling(server) as channel:
            ana, caller = Operator(channel, user="ana"), Caller(channel, user="ana")

            async def created(name: str) -> bool:
                try:
                    await caller.create(name)
                except grpc_aio.AioRpcError as error:
                    return reason(error) != "STORE_LOCKED"
                return True

            await filled(caller)
            await Owner(caller).hook(of_zone("z"), "https://hooks.example.com/z")
            pieces, last = await exported(ana, guard="FREEZE")
            assert last.finished
            assert last.rows > 30
            await caller.create("later")
            bo = Operator(channel, user="bo")
            reply = await imported(bo, pieces)
            assert (reply.rows, reply.webhooks) == (last.rows, 1)
            copied = Caller(channel, user="bo")
            assert await copied.names() == [f"p{number:03}" for number in range(30)]
            state = await Owner(copied).state("z")
            assert state.state == Said.Delivery.DISABLED
            assert "import" in state.reason
            assert len(await registry.all_hooks(databases.database)) == 1, "the copy's is not served before Resume"
            again = imported(bo, pieces)
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await again
            assert reason(caught.value) == "EXISTS"
            whole = bytearray(b"".join(pieces))
            whole[len(whole) // 2] ^= 1
            damaged = [bytes(whole)]
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await imported(Operator(channel, user="cy"), damaged)
            assert reason(caught.value) == "BAD_REQUEST"
            assert await refusal(Operator(channel, user="cy").ask("GetUsage")) == ("NOT_FOUND", "NOT_FOUND")
            stream = ana.stub.ExportDatabase(admin_pb2.ExportDatabaseRequest(context=ana.context, guard="FREEZE"))
            await stream.read()
            stream.cancel()
            await until(lambda: created("free"))  # who goes away does not keep others out

    run(scenario())


def test_a_database_is_deleted_by_an_operation_and_begins_anew() -> None:
    async def scenario() -> None:
        async with photos(hooks=Hooks()) as (server, databases), calling(server) as channel, working(databases):
            operator, caller = Operator(channel, user="ana"), Caller(channel, user="ana")
            await filled(caller)
            await Owner(caller).hook(of_zone("z"), "https://hooks.example.com/z")
            await operator.ask("LockDatabase", kind="CLOSED", reason="it goes", raise_format=True)
            assert (await done(operator, "DeleteDatabase", name="gone")).state == State.SUCCEEDED
            assert await refusal(operator.ask("GetUsage")) == ("NOT_FOUND", "NOT_FOUND")
            assert await registry.all_hooks(databases.database) == {}
            assert await caller.names() == []
            await caller.create("new")
            assert await caller.names() == ["new"]

    run(scenario())


def test_a_database_is_moved_and_late_callers_are_told_where() -> None:
    """To another cluster, and to another name; from then on nothing is read or written where it was."""

    async def scenario() -> None:
        async with aio.open("memory:") as second, photos(hooks=Hooks()) as (server, databases):
            other = Databases(second, hooks=Hooks())
            databases.clusters = {"two": other}
            async with calling(server) as channel, working(databases), serving_over(other) as its, calling(its) as far:
                operator, caller = Operator(channel, user="ana"), Caller(channel, user="ana")
                await filled(caller)
                await Owner(caller).hook(of_zone("z"), "https://hooks.example.com/z")
                failed = await done(operator, "MoveDatabase", move={"cluster": "two"})
                assert failed.state == State.FAILED
                assert "schema" in failed.status.message
                await caller.create("still here")
                await other.put_containers({CONTAINER: description()})
                async with Watch(caller) as watch:
                    await watch.add(1, content=True)
                    assert len(await watch.until_current(1)) == 31
                    moved = await done(operator, "MoveDatabase", move={"cluster": "two"})
                    with pytest.raises(grpc_aio.AioRpcError) as caught:
                        await watch.next()
                    assert (caught.value.code().name, reason(caught.value)) == MOVED, "who follows it is told, too"
                assert moved.state == State.SUCCEEDED, moved
                assert (moved.progress.stage, moved.progress.bytes_left) == ("finished", 0)
                assert moved.progress.rows > 30
                assert len(await Caller(far, user="ana").names()) == 31
                for late in (
                    caller.create("late"),
                    caller.names(),
                    caller.zone("late"),
                    Owner(caller).create(of_zone("late")),
                    operator.ask("MoveDatabase", move={"cluster": "three"}),
                ):
                    with pytest.raises(grpc_aio.AioRpcError) as caught:
                        await late
                    if reason(caught.value) != "BAD_REQUEST":
                        assert (caught.value.code().name, reason(caught.value)) == MOVED
                        assert "cluster two" in status_of(caught.value).message
                for reason_given in ("", "recordlayer: moved, ana of cluster two"):
                    with pytest.raises(grpc_aio.AioRpcError) as caught:
                        await operator.ask("UnlockDatabase", reason=reason_given)
                    assert (caught.value.code().name, reason(caught.value)) == MOVED, "what was moved stays closed"
                    assert "cluster two" in status_of(caught.value).message
                assert await refusal(caller.names()) == MOVED
                assert await registry.all_hooks(databases.database) == {}
                assert len(await registry.all_hooks(second)) == 1
                again = await done(operator, "MoveDatabase", name="again", move={"cluster": "two"})
                assert again.state == State.SUCCEEDED

                bo = Caller(channel, user="bo")
                await filled(bo, 3)
                here = Operator(channel, user="bo")
                moved = await done(here, "MoveDatabase", move={"to": private("bea"), "told": "ask for bea"})
                assert moved.state == State.SUCCEEDED, moved
                assert len(await Caller(channel, user="bea").names()) == 3
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await bo.create("late")
                assert "ask for bea" in status_of(caught.value).message
                assert (await done(here, "DeleteDatabase")).state == State.SUCCEEDED
                await bo.create("new")
                full = await done(here, "MoveDatabase", move={"to": private("bea")})
                assert full.state == State.FAILED
                await bo.create("newer")
                for wrong in ({}, {"to": private("bo")}, {"to": private("")}, {"cluster": "nowhere"}):
                    assert await refusal(here.ask("MoveDatabase", move=wrong)) == ("INVALID_ARGUMENT", "BAD_REQUEST")

    run(scenario())


def test_rights_are_asked_on_both_sides_and_everything_is_audited(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"

    async def scenario() -> None:
        settings = {"security": security(tmp_path), "showing": Showing(audit=log)}
        async with (
            photos(**settings) as (server, _),
            Bearer.calling(server, "owner") as owner,
            Bearer.calling(server, "writer") as writer,
        ):
            await writer.create("p")
            public = Operator(owner.channel)
            assert (await public.ask("GetUsage")).bytes >= 0
            assert await refusal(public.ask("MoveDatabase", move={"to": private("ana")})) == (
                "PERMISSION_DENIED",
                "FORBIDDEN",
            )
            for method in ("GetUsage", "SetLimits", "DeleteDatabase", "MoveDatabase"):
                assert (await refusal(Operator(writer.channel).ask(method)))[0] == "PERMISSION_DENIED"
            shown = [("authorization", "Bearer writer")]
            request = admin_pb2.ExportDatabaseRequest(context=public.context)
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await public.stub.ExportDatabase(request, metadata=shown).read()
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED

    run(scenario())
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    seen = {(line["who"], line["action"].rpartition("/")[2], line["outcome"]) for line in lines}
    assert ("token:owner", "GetUsage", "OK") in seen
    assert ("token:owner", "MoveDatabase", "FORBIDDEN") in seen
    assert ("token:writer", "ExportDatabase", "FORBIDDEN") in seen


def held(monkeypatch: pytest.MonkeyPatch, name: str) -> tuple[asyncio.Event, asyncio.Event]:
    """The next move waits before it calls a function of its module: whether it has come there, and lets it go on."""
    real, reached, go_on = getattr(moving, name), asyncio.Event(), asyncio.Event()

    async def wait(*arguments: Any) -> Any:
        monkeypatch.setattr(moving, name, real)
        reached.set()
        await go_on.wait()
        return await real(*arguments)

    monkeypatch.setattr(moving, name, wait)
    return reached, go_on


def test_a_move_is_cancelled_before_its_end_or_ended_by_the_next_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with photos(hooks=Hooks()) as (server, databases), calling(server) as channel:
            operator, caller = Operator(channel, user="ana"), Caller(channel, user="ana")
            await filled(caller)
            await Owner(caller).hook(of_zone("z"), "https://hooks.example.com/z")
            async with working(databases) as runner:
                reached, go_on = held(monkeypatch, "_make_all")
                name = (await operator.ask("MoveDatabase", move={"to": private("bea")})).operation.name
                await reached.wait()
                assert await refusal(operator.ask("DeleteDatabase")) == ("FAILED_PRECONDITION", "OPERATION_RUNNING")
                cancelling = asyncio.create_task(operator.ask("CancelOperation", name=name))
                await until(lambda: all(doing._stopped for doing, _ in runner._running.values()))
                go_on.set()
                assert (await cancelling).operation.state == State.CANCELLED
                await caller.create("as before")
                assert await Caller(channel, user="bea").names() == []
                reached, _ = held(monkeypatch, "register")
                name = (await operator.ask("MoveDatabase", move={"to": private("bea")})).operation.name
                await reached.wait()
            second = Databases(databases.database, hooks=Hooks())
            async with working(second):
                moved = (await operator.ask("WaitOperation", name=name, within=30)).operation
                assert (moved.state, moved.starts) == (State.SUCCEEDED, 2)
            assert len(await Caller(channel, user="bea").names()) == 31
            [hook] = await registry.all_hooks(databases.database)
            assert hook.tenant.user == "bea"
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await caller.create("late")
            assert reason(caught.value) == "MOVED"

    run(scenario())


def test_a_database_that_a_dead_export_has_frozen_is_unlocked() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            operator, caller = Operator(channel, user="ana"), Caller(channel, user="ana")
            await filled(caller)
            ana = Tenant(CONTAINER, places.DEVELOPMENT, places.PRIVATE, "ana")
            tenant = databases.database.tenant(places.of_database(ana))
            async for _ in tenant.export(guard=Guard.FREEZE):
                break  # and its server is no more
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await caller.create("late")
            assert reason(caught.value) == "STORE_LOCKED"
            assert (await operator.ask("UnlockDatabase")).unlocked
            await caller.create("late")

    run(scenario())
