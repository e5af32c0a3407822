"""Calls end when their time is up, and one timer sees to all of them."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer_server.deadlines import Deadlines
from recordlayer_server.methods import Methods
from recordlayer_server.serving import Service
from tests.support.service import calling, run, serving

NAME = "test.Slow"


def test_each_task_is_cancelled_in_its_turn_and_no_other() -> None:
    async def scenario() -> None:
        deadlines, ended = Deadlines(), []
        now = asyncio.get_running_loop().time()

        async def wait(name: str) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append(name)
                raise

        tasks = {name: asyncio.create_task(wait(name)) for name in ("endless", "late", "soon", "over")}
        await asyncio.sleep(0)  # they have begun
        for name, at in (("endless", 3_600.0), ("late", 0.05), ("soon", 0.01), ("over", -1.0)):
            deadlines.add(tasks[name], now + at)
        await asyncio.wait([tasks["late"], tasks["soon"], tasks["over"]])
        assert ended == ["over", "soon", "late"]
        assert deadlines.take_back(tasks["late"]), "its time was up"
        assert not deadlines.take_back(tasks["endless"])
        assert not len(deadlines)
        tasks["endless"].cancel()
        await asyncio.wait([tasks["endless"]])

    run(scenario())


def test_a_call_ends_at_its_deadline_and_those_beside_it_go_on() -> None:
    async def wait(request: bytes, context: grpc_aio.ServicerContext) -> bytes:
        if request == b"for ever":
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
        await release.wait()
        return request

    ended, release = asyncio.Event(), asyncio.Event()
    handlers = {"Wait": grpc.unary_unary_rpc_method_handler(wait)}
    generic = grpc.method_handlers_generic_handler(NAME, handlers)
    service = Service(NAME, lambda server: server.add_generic_rpc_handlers([generic]))

    async def scenario() -> None:
        async with serving(service) as server, calling(server) as channel:
            patient = channel.unary_unary(f"/{NAME}/Wait")(b"patient")
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await channel.unary_unary(f"/{NAME}/Wait")(b"for ever", timeout=0.1)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            await ended.wait()
            release.set()
            assert await patient == b"patient"
            await server.calls.idle()

    run(scenario())


def test_a_method_is_wrapped_once_however_often_it_is_called() -> None:
    wrapped: list[str] = []

    def wrap(handler: grpc.RpcMethodHandler, method: str) -> grpc.RpcMethodHandler:
        wrapped.append(method)
        return handler

    class Details:
        def __init__(self, method: str) -> None:
            self.method = method

    def asked(method: str) -> Any:
        return methods.service(Details(method))

    methods = Methods(wrap)
    for name in ("a.A", "b.B"):
        handler = grpc.unary_unary_rpc_method_handler(lambda request, _: request)
        methods.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, {"Call": handler})])
    assert asked("/b.B/Call") is asked("/b.B/Call")
    assert asked("/a.A/Call") is not asked("/b.B/Call")
    assert asked("/a.A/Nothing") is None
    assert wrapped == ["/b.B/Call", "/a.A/Call"]
