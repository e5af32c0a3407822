"""Connections, calls and watches that an operator lists and ends, servers, containers, and a port of one's own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer.errors import InvalidSettings, UnsafeSettings
from recordlayer_server.config import Address, Showing
from recordlayer_server.loading import load
from recordlayer_server.schemas.instances import Instance
from tests.server.test_admin import refusal
from tests.server.test_guarded import Bearer
from tests.server.test_operations import filled
from tests.support.admin import Operator, security, working
from tests.support.photos import CONTAINER, description
from tests.support.service import SERVING, Caller, calling, health, photos, reason, retries, run, status_of
from tests.support.watching import Watch

WATCH = "/recordlayer.v1.Sync/Watch"
EVERYTHING = {"container": ""}


def test_connections_calls_and_watches_are_listed_and_ended() -> None:
    async def scenario() -> None:
        apart = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        async with (
            photos() as (server, databases),
            calling(server) as one,
            grpc_aio.insecure_channel(str(server.address), options=apart) as two,
            AsyncExitStack() as stack,
        ):
            operator, alice = Operator(one, **EVERYTHING), Caller(two, user="alice")
            await Caller(two).create("a", title="t")
            await alice.create("a", title="t")
            await alice.zone("holidays")
            alice.context.labels["app"] = "phone"
            watch = await stack.enter_async_context(Watch(alice))
            other = await stack.enter_async_context(Watch(Caller(two)))
            for number, zone in enumerate(("", "holidays"), 1):
                await watch.add(number, zone=zone)
            await other.add(1)

            calls = await operator.ask("ListCalls", method=WATCH)
            assert calls.total == 2
            assert calls.server == databases.instance.id
            first, second = calls.calls
            assert (first.database.user, first.container, first.watch_targets) == ("alice", CONTAINER, 2)
            assert (second.database.user, second.watch_targets, second.stream) == ("", 1, True)
            assert first.age.ToMilliseconds() >= second.age.ToMilliseconds()
            assert first.labels["app"] == "phone"
            assert first.identity == "anonymous"
            assert (await operator.ask("ListCalls", limit=1)).total == 3, "the call that asks is one of them"
            page = await operator.ask("ListConnections")
            streams = {found.peer: (found.streams, found.watch_targets) for found in page.connections}
            assert streams.pop(first.peer) == (2, 3)
            assert list(streams.values()) == [(0, 0)]
            # About the other environment of the container there is nothing but what asks.
            theirs = Operator(one)
            theirs.context.environment = "PRODUCTION"
            assert [found.method.rpartition("/")[2] for found in (await theirs.ask("ListCalls")).calls] == ["ListCalls"]
            assert (await theirs.ask("EndCalls", peer=first.peer)).ended == 0
            assert (await refusal(operator.ask("EndCalls")))[1] == "BAD_REQUEST"

            assert (await operator.ask("EndCalls", request_ids=[first.request_id])).ended == 1
            await ended(watch)
            again = await operator.ask("ListCalls", method=WATCH)
            assert [found.request_id for found in again.calls] == [second.request_id]
            assert (await operator.ask("EndCalls", peer=second.peer)).ended == 1
            await ended(other)
            assert len(await alice.lookup("a")) == 1, "the connection itself is as good as before"
            # One that ends all of its own connection still has its answer.
            [mine] = [found for found in (await operator.ask("ListConnections")).connections if found.calls]
            assert (await operator.ask("EndCalls", peer=mine.peer)).ended == 0

    run(scenario())


async def ended(watch: Watch) -> None:
    with pytest.raises(grpc_aio.AioRpcError) as caught:
        await watch.until_current(99)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason(caught.value) == "ENDED"
    assert retries(status_of(caught.value))


def test_servers_and_containers_are_listed() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            operator = Operator(channel, **EVERYTHING)
            await databases.instance.renew()
            other = Instance(databases.database, release="0.9")
            await other.renew()
            listed = (await operator.ask("ListServers")).servers
            assert {(one.id, one.asked) for one in listed} == {(databases.instance.id, True), (other.id, False)}
            assert {one.release for one in listed} >= {"0.9"}
            await other.leave()
            assert len((await operator.ask("ListServers")).servers) == 1
            names, said = list[str](), dict[str, bytes]()
            await databases.put_containers({f"other{n}": description() for n in range(2)})
            while True:
                page = await operator.ask("ListContainers", limit=2, **said)
                names += page.containers
                if not page.continuation:
                    break
                said = {"continuation": page.continuation}
            assert sorted(names) == [CONTAINER, "other0", "other1"]

    run(scenario())


def test_who_has_not_the_right_for_everything_sees_only_its_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with photos(security=security(tmp_path)) as (server, _):
            async with Bearer.calling(server, "owner") as owner:
                for method in ("ListServers", "ListContainers", "ListConnections", "ListCalls", "EndCalls"):
                    said = {"peer": "any"} if method == "EndCalls" else {}
                    for container in ("", CONTAINER):  # not those of its users either
                        call = Operator(owner.channel, container=container).ask(method, **said)
                        assert await refusal(call) == ("PERMISSION_DENIED", "FORBIDDEN")
            async with Bearer.calling(server, "operator") as operator:
                calls = (await Operator(operator.channel, **EVERYTHING).ask("ListCalls")).calls
                assert [one.identity for one in calls] == ["token:operator"]

    run(scenario())


def test_admin_has_a_port_of_its_own_where_that_is_said(tmp_path: Path) -> None:
    audit = tmp_path / "audit.log"

    async def scenario() -> None:
        settings = {"admin": Address("127.0.0.1", 0), "showing": Showing(audit=audit), "grace": timedelta(seconds=20)}
        async with photos(**settings) as (server, databases), calling(server) as channel, working(databases):
            assert server.admin_address is not None
            async with grpc_aio.insecure_channel(str(server.admin_address)) as own:
                await filled(Caller(channel), 5)
                assert (await Operator(own).ask("GetDatabase")).records == 5
                assert await health(own) == SERVING
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await Operator(channel).ask("GetDatabase")
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await Caller(own).lookup("a")
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
                # Who waits for an operation has an answer when the server stops.
                slow = {"build": {"indexes": ["by_rating"], "anew": True}, "records_per_second": 1}
                await Operator(own).ask("BuildIndexes", name="slow", **slow)
                waiting = asyncio.ensure_future(Operator(own).ask("WaitOperation", name="slow"))
                await Operator(own).until("slow", lambda seen: bool(seen.progress.records))
                assert await server.drain() == 0
                assert (await waiting).operation.name == "slow"

    run(scenario())
    assert '"names": ["by_rating", "slow"]' in audit.read_text()


def test_the_operators_port_is_judged_as_the_other_is() -> None:
    given = {"db": "memory:", "listen": "127.0.0.1:50051"}
    assert load(given, {}).admin is None
    assert load(given | {"admin_listen": "127.0.0.1:50052"}, {}).admin == Address("127.0.0.1", 50_052)
    for wrong in ("nowhere", "127.0.0.1:50051"):
        with pytest.raises(InvalidSettings) as caught:
            load(given | {"admin_listen": wrong}, {})
        assert any("admin_listen" in problem for problem in caught.value.problems)
    with pytest.raises(UnsafeSettings) as unsafe:
        load(given | {"admin_listen": "0.0.0.0:50052"}, {})
    assert unsafe.value.fields == {"listen": "0.0.0.0:50052", "lacks": "TLS"}
