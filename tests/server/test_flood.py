"""A tenant that asks far too much: what it is told, when, and what of it is in the log."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import timedelta
from typing import Any

import grpc
import pytest
from grpc import aio as grpc_aio
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.client.pb import context_pb2, records_pb2
from recordlayer_server.call import ahead_of
from recordlayer_server.config import Load
from recordlayer_server.operation.late import LARGE
from tests.support.photos import CONTAINER
from tests.support.service import Caller, calling, photos, reason, retries, run, status_of

MODIFY = "/recordlayer.v1.Records/Modify"
ONCE = 1e-6
"""Calls a second: one at the beginning, and then none for days."""


async def outcome(call: Any) -> str:
    """ "" for an answer, else the reason."""
    (error,) = await asyncio.gather(call, return_exceptions=True)
    if not isinstance(error, grpc_aio.AioRpcError):
        return ""
    if reason(error) == "THROTTLED":
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert retries(status_of(error))
        assert dict(error.trailing_metadata() or ())["x-request-id"]
    return reason(error)


def test_a_flood_waits_for_its_refusals_and_a_server_that_stops_tells_them_all() -> None:
    async def scenario() -> None:
        load = Load(tenant_rate=ONCE, tenant_delay=3_600)
        async with photos(load=load, grace=timedelta(seconds=50)) as (server, _), calling(server) as channel:
            late = server.around.late
            assert late is not None
            greedy = Caller(channel, user="greedy")
            flood = [asyncio.create_task(outcome(greedy.lookup("x"))) for _ in range(150)]
            async with asyncio.timeout(40):
                while late.kept < 50:  # noqa: ASYNC110 - nothing in the server is set when one more is kept back
                    await asyncio.sleep(0.01)
            others = [asyncio.create_task(outcome(Caller(channel, user=f"u{one}").lookup("x"))) for one in range(30)]
            assert await asyncio.gather(*others) == [""] * 30, "on the same connection, beside all that wait there"
            assert not all(task.done() for task in flood)
            assert await server.drain() == 0
            told = Counter(await asyncio.gather(*flood))
            assert told.pop("") == 1
            assert set(told) <= {"THROTTLED", "STOPPING"}
            assert told["THROTTLED"] >= 50
            assert late.kept == 0

    run(scenario())


def test_a_large_request_of_who_was_refused_a_moment_ago_is_not_even_read() -> None:
    async def scenario() -> None:
        async with photos(load=Load(tenant_rate=ONCE)) as (server, _), calling(server) as channel:
            greedy, other = Caller(channel, user="greedy"), Caller(channel, user="other")

            def broken(caller: Caller) -> Any:
                beginning = records_pb2.ModifyRequest(context=caller.context).SerializeToString()
                return channel.unary_unary(MODIFY)(beginning + b"\xff" * LARGE)

            assert await outcome(broken(greedy)) == "BAD_REQUEST"
            assert await outcome(greedy.create("a")) == ""
            assert await outcome(greedy.create("b")) == "THROTTLED"
            assert await outcome(broken(greedy)) == "THROTTLED"
            assert await outcome(broken(other)) == "BAD_REQUEST"
            assert await outcome(greedy.lookup("a")) == "THROTTLED"

    run(scenario())


def test_streams_of_who_was_refused_a_moment_ago_wait_for_their_refusal_too() -> None:
    async def scenario() -> None:
        async with photos(load=Load(tenant_rate=ONCE, tenant_delay=3_600)) as (server, _), calling(server) as channel:
            late = server.around.late
            assert late is not None
            greedy = Caller(channel, user="greedy")

            async def stream() -> Any:
                request = records_pb2.QueryRequest(context=greedy.context, record_types=["Photo"])
                return [reply async for reply in greedy.records.QueryStream(request)]

            assert await outcome(stream()) == ""
            flood = [asyncio.create_task(outcome(stream())) for _ in range(60)]
            async with asyncio.timeout(40):
                while late.kept < 20:  # noqa: ASYNC110 - nothing in the server is set when one more is kept back
                    await asyncio.sleep(0.01)
            late.let_go()
            await server.drain()
            assert "THROTTLED" in Counter(await asyncio.gather(*flood))

    run(scenario())


@given(st.binary(max_size=40), st.text(max_size=200), st.text(max_size=20))
def test_what_a_request_says_of_itself_is_found_at_its_beginning(rest: bytes, container: str, device: str) -> None:
    context = context_pb2.RequestContext(container=container)
    context.database.user = device
    request = records_pb2.LookupRequest(context=context).SerializeToString()
    assert ahead_of(request + rest) == context
    ahead_of(rest), ahead_of(b"\x0a" + rest), ahead_of(request[:-1])  # never raise


def test_refusals_that_repeat_themselves_are_one_line_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        load = Load(tenant_rate=ONCE, tenant_delay=0)
        async with photos(load=load) as (server, _), calling(server) as channel:
            server.calls._repeated._every = 3_600
            greedy = Caller(channel, user="greedy")
            found = Counter([await outcome(greedy.lookup("x")) for _ in range(40)])
            assert found == {"": 1, "THROTTLED": 39}
            await outcome(greedy.create("x"))

    caplog.set_level(logging.INFO, "recordlayer")
    run(scenario())
    lines = [vars(record)["recordlayer"] for record in caplog.records if record.name == "recordlayer.server.call"]
    refused = [line for line in lines if line.get("reason") == "THROTTLED"]
    assert {line["tenant"] for line in refused} == {f"{CONTAINER}/development/private/greedy"}
    assert {line["code"] for line in refused} == {"RESOURCE_EXHAUSTED"}
    told = [(line["event"], line["method"].rsplit("/")[-1], line.get("calls", 1)) for line in refused]
    assert told == [("call", "Lookup", 1), ("call", "Modify", 1), ("calls refused", "Lookup", 38)]
    assert len([line for line in lines if line["code"] == "OK"]) == 1
