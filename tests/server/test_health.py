"""The standard health service: it follows the database, not too fast, and says nothing about the process by that."""

from __future__ import annotations

import logging

import grpc
import pytest
from grpc import aio as grpc_aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.aio import Database
from recordlayer_server.health import Steadied
from tests.support.service import NOT_SERVING, SERVING, Unsteady, calling, health, run, serving


@given(
    failures=st.integers(1, 5),
    successes=st.integers(1, 5),
    sights=st.lists(st.booleans(), max_size=60),
)
def test_the_state_changes_after_enough_sights_in_a_row_and_never_otherwise(
    failures: int, successes: int, sights: list[bool]
) -> None:
    state = Steadied(failures=failures, successes=successes)
    for number, sight in enumerate(sights, 1):
        before = state.good
        changed = state.see(sight)
        assert changed == (state.good != before)
        first = not any(sights[: number - 1])
        needed = failures if before else 1 if first else successes
        assert changed == (sight != before and number >= needed and set(sights[number - needed : number]) == {sight})


def test_the_server_is_ready_when_its_database_has_taken_a_transaction() -> None:
    async def scenario() -> None:
        async with serving() as server, calling(server) as channel:
            assert [await health(channel, name) for name in ("", "ready", "live")] == [SERVING] * 3
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await health(channel, "nobody")
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    run(scenario())


@pytest.mark.parametrize("trouble", ["fails", "silent"])
def test_readiness_follows_the_database_after_some_looks_in_a_row(trouble: str) -> None:
    """A database that does not answer is as bad as one that fails: the look has its own time limit."""
    unsteady = Unsteady()

    async def scenario() -> None:
        async with serving(database=unsteady.database()) as server, calling(server) as channel:
            unsteady.state = trouble
            for expected in (SERVING, SERVING, NOT_SERVING, NOT_SERVING):
                await server.monitor.look()
                assert await health(channel) == expected
                assert await health(channel, "live") == SERVING
            unsteady.state = "there"
            await server.monitor.look()
            assert await health(channel) == NOT_SERVING
            await server.monitor.look()
            assert await health(channel) == SERVING

    run(scenario())


def test_one_failed_look_in_between_changes_nothing() -> None:
    unsteady = Unsteady()

    async def scenario() -> None:
        async with serving(database=unsteady.database()) as server, calling(server) as channel:
            for state in ("fails", "fails", "there", "fails", "fails", "there"):
                unsteady.state = state
                await server.monitor.look()
                assert await health(channel) == SERVING

    run(scenario())


def test_a_server_whose_database_is_away_from_the_beginning_is_alive_and_not_ready() -> None:
    unsteady = Unsteady()
    unsteady.state = "fails"

    async def scenario() -> None:
        async with serving(database=unsteady.database()) as server, calling(server) as channel:
            assert await health(channel) == NOT_SERVING
            assert await health(channel, "live") == SERVING
            unsteady.state = "there"
            await server.monitor.look()
            assert await health(channel) == SERVING  # the first good look will do

    run(scenario())


def test_a_closed_database_is_a_failed_look_and_not_an_error_of_the_server() -> None:
    unsteady = Unsteady()

    async def scenario() -> None:
        async with serving(database=unsteady.database()) as server:
            unsteady.engine.close()
            assert [await server.monitor.look() for _ in range(4)] == [True, True, False, False]

    run(scenario())


def test_a_watcher_sees_every_change() -> None:
    unsteady = Unsteady()

    async def scenario() -> None:
        async with serving(database=unsteady.database()) as server, calling(server) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            seen = [(await watch.read()).status]
            unsteady.state = "fails"
            for _ in range(3):
                await server.monitor.look()
            seen.append((await watch.read()).status)
            unsteady.state = "there"
            for _ in range(2):
                await server.monitor.look()
            seen.append((await watch.read()).status)
            assert seen == [SERVING, NOT_SERVING, SERVING]
            watch.cancel()

    run(scenario())


def test_a_change_is_logged_once_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    unsteady = Unsteady()

    async def scenario() -> None:
        async with serving(database=unsteady.database()) as server:
            unsteady.state = "fails"
            for _ in range(6):
                await server.monitor.look()

    with caplog.at_level(logging.INFO, "recordlayer.server"):
        run(scenario())
    lines = [record.recordlayer for record in caplog.records if record.msg in {"ready", "not ready"}]  # type: ignore[attr-defined]
    assert [line["event"] for line in lines] == ["ready", "not ready"]
    assert lines[1]["cause"] == "ProcessBehind"


def test_looking_leaves_no_transaction_open() -> None:
    """A warning about a transaction that nobody closed would be an error here."""
    unsteady = Unsteady()
    database: Database = unsteady.database()

    async def scenario() -> None:
        async with serving(database=database) as server:
            for unsteady.state in ("fails", "silent", "there"):
                await server.monitor.look()

    run(scenario())


def test_services_are_listed_when_reflection_is_on_and_only_then() -> None:
    async def listed(**settings: bool) -> list[str]:
        async with serving(**settings) as server, calling(server) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            asked = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
            return [service.name async for answer in asked for service in answer.list_services_response.service]

    assert run(listed(reflection=True)) == ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"]
    with pytest.raises(grpc_aio.AioRpcError) as caught:
        run(listed())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
