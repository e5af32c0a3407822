"""How a server stops: told first, refused then, finished with what runs, and cut off only after the grace."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from grpc import aio as grpc_aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from recordlayer_server.serving import Service
from tests.support.service import NOT_SERVING, SERVING, calling, health, run, serving

NAME = "test.Slow"
LONG = timedelta(hours=1)


class Slow:
    """A service whose calls wait until they may go on."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.may_go_on = asyncio.Event()
        handlers = {"Call": grpc.unary_unary_rpc_method_handler(self.call)}
        generic = grpc.method_handlers_generic_handler(NAME, handlers)
        self.service = Service(NAME, lambda server: server.add_generic_rpc_handlers([generic]))

    async def call(self, request: bytes, _: Any) -> bytes:
        self.entered.set()
        await self.may_go_on.wait()
        return request


async def first_refusal(channel: grpc_aio.Channel) -> grpc_aio.AioRpcError:
    """What callers get as soon as the server takes no more calls."""
    while True:
        try:
            await health(channel)
        except grpc_aio.AioRpcError as error:
            return error


def test_a_running_call_finishes_while_new_ones_are_refused() -> None:
    async def scenario() -> None:
        slow = Slow()
        async with serving(slow.service, grace=LONG) as server, calling(server) as channel:
            running = channel.unary_unary(f"/{NAME}/Call")(b"a")
            await slow.entered.wait()
            draining = asyncio.create_task(server.drain())
            refused = await first_refusal(channel)
            assert refused.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
            assert not draining.done()
            slow.may_go_on.set()
            assert await running == b"a"
            assert await draining == 0

    run(scenario())


def test_a_call_that_outlasts_the_grace_is_cut_off_and_counted() -> None:
    async def scenario() -> None:
        slow = Slow()
        async with serving(slow.service, grace=timedelta(0)) as server, calling(server) as channel:
            running = channel.unary_unary(f"/{NAME}/Call")(b"a")
            await slow.entered.wait()
            assert await server.drain() == 1
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await running
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert caught.value.details() == "the server stops"

    run(scenario())


def test_hurry_cuts_the_delay_and_the_grace_short() -> None:
    async def scenario() -> None:
        slow, hurry = Slow(), asyncio.Event()
        async with serving(slow.service, grace=LONG, drain_delay=LONG) as server, calling(server) as channel:
            running = channel.unary_unary(f"/{NAME}/Call")(b"a")
            await slow.entered.wait()
            draining = asyncio.create_task(server.drain(hurry))
            hurry.set()
            assert await draining == 1
            with pytest.raises(grpc_aio.AioRpcError):
                await running

    run(scenario())


def test_balancers_hear_of_the_end_while_calls_are_still_taken() -> None:
    async def scenario() -> None:
        hurry = asyncio.Event()
        async with serving(grace=LONG, drain_delay=LONG) as server, calling(server) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == SERVING
            draining = asyncio.create_task(server.drain(hurry))
            assert (await watch.read()).status == NOT_SERVING
            assert await health(channel) == NOT_SERVING
            assert await health(channel, "live") == SERVING
            await server.monitor.look()  # a good look does not bring it back
            assert await health(channel) == NOT_SERVING
            hurry.set()
            assert await draining == 0

    run(scenario())


def test_who_watches_the_health_does_not_hold_up_the_end() -> None:
    async def scenario() -> None:
        async with serving(grace=LONG) as server, calling(server) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == SERVING
            assert await server.drain() == 0
            assert (await watch.read()).status == NOT_SERVING

    run(scenario())


def test_a_server_that_is_stopped_twice_has_stopped() -> None:
    async def scenario() -> None:
        async with serving(grace=LONG) as server:
            assert await server.drain() == 0
            assert await server.drain() == 0

    run(scenario())
