"""What every call gets: its request id back, a line in the log, and no word about the server's inside."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import aio as grpc_aio
from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer_server.calls import REQUEST_ID
from recordlayer_server.serving import Service
from tests.support.service import calling, run, serving

NAME = "test.Echo"


async def echo(request: bytes, _: Any) -> bytes:
    return request


async def fail(request: bytes, _: Any) -> bytes:
    raise ValueError("the secret of the house: " + request.decode())


async def refuse(_: bytes, context: grpc_aio.ServicerContext) -> bytes:
    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no index")
    raise AssertionError("abort raises")


async def repeat(request: bytes, _: Any) -> AsyncIterator[bytes]:
    for number in range(3):
        yield request + b"%d" % number


async def repeat_and_fail(request: bytes, _: Any) -> AsyncIterator[bytes]:
    yield request
    raise KeyError("secret")


async def join(requests: AsyncIterator[bytes], _: Any) -> bytes:
    return b"".join([request async for request in requests])


async def upper(requests: AsyncIterator[bytes], context: grpc_aio.ServicerContext) -> None:
    async for request in requests:
        await context.write(request.upper())


ECHO = Service(
    NAME,
    lambda server: server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                NAME,
                {
                    "Echo": grpc.unary_unary_rpc_method_handler(echo),
                    "Fail": grpc.unary_unary_rpc_method_handler(fail),
                    "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
                    "Repeat": grpc.unary_stream_rpc_method_handler(repeat),
                    "RepeatAndFail": grpc.unary_stream_rpc_method_handler(repeat_and_fail),
                    "Join": grpc.stream_unary_rpc_method_handler(join),
                    "Upper": grpc.stream_stream_rpc_method_handler(upper),
                },
            )
        ]
    ),
)


def test_all_four_kinds_of_calls_pass() -> None:
    async def scenario() -> None:
        async with serving(ECHO) as server, calling(server) as channel:
            assert await channel.unary_unary(f"/{NAME}/Echo")(b"a") == b"a"
            assert [answer async for answer in channel.unary_stream(f"/{NAME}/Repeat")(b"a")] == [b"a0", b"a1", b"a2"]
            assert await channel.stream_unary(f"/{NAME}/Join")(iter([b"a", b"b"])) == b"ab"
            assert [answer async for answer in channel.stream_stream(f"/{NAME}/Upper")(iter([b"a"]))] == [b"A"]
            await server.calls.idle()
            assert server.calls.running == 0

    run(scenario())


async def trailers(channel: grpc_aio.Channel, *metadata: tuple[str, str]) -> dict[str, str]:
    call = channel.unary_unary(f"/{NAME}/Echo")(b"", metadata=metadata)
    await call
    return dict(await call.trailing_metadata())


def test_a_call_has_the_callers_request_id_or_one_of_its_own() -> None:
    async def scenario() -> None:
        async with serving(ECHO) as server, calling(server) as channel:
            assert (await trailers(channel, (REQUEST_ID, "order-17.b_2")))[REQUEST_ID] == "order-17.b_2"
            given = [(await trailers(channel))[REQUEST_ID] for _ in range(2)]
            assert given[0] != given[1]
            assert all(len(one) == 32 for one in given)

    run(scenario())


@settings(max_examples=20)
@given(name=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=80))
def test_a_request_id_that_is_no_plain_word_is_replaced(name: str) -> None:
    """It goes into log lines and answers."""

    async def scenario() -> str:
        async with serving(ECHO) as server, calling(server) as channel:
            return (await trailers(channel, (REQUEST_ID, name)))[REQUEST_ID]

    answered = run(scenario())
    plain = 1 <= len(name) <= 64 and all(letter.isalnum() or letter in "._-" for letter in name)
    assert (answered == name) == plain


@pytest.mark.parametrize("method", ["Fail", "RepeatAndFail"])
def test_an_error_of_the_servers_own_tells_callers_nothing_but_the_request_id(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> grpc_aio.AioRpcError:
        async with serving(ECHO) as server, calling(server) as channel:
            metadata = ((REQUEST_ID, "r1"),)
            if method == "Fail":
                call = channel.unary_unary(f"/{NAME}/Fail")(b"x", metadata=metadata)
            else:
                call = channel.unary_stream(f"/{NAME}/{method}")(b"x", metadata=metadata)
                assert await call.read() == b"x"
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await (call if method == "Fail" else call.read())
            await server.calls.idle()
            assert server.calls.running == 0
            return caught.value

    with caplog.at_level(logging.INFO, "recordlayer.server"):
        error = run(scenario())
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "the server met an error of its own; request r1"
    (line,) = [record for record in caplog.records if record.msg == "call failed"]
    assert line.recordlayer["request"] == "r1"  # type: ignore[attr-defined]
    assert line.recordlayer["code"] == "INTERNAL"  # type: ignore[attr-defined]
    assert "secret" in caplog.text  # where it belongs


def test_a_status_that_a_handler_chose_reaches_the_caller_and_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with serving(ECHO) as server, calling(server) as channel:
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await channel.unary_unary(f"/{NAME}/Refuse")(b"")
            assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert caught.value.details() == "no index"
            await channel.unary_unary(f"/{NAME}/Echo")(b"")

    with caplog.at_level(logging.INFO, "recordlayer.server"):
        run(scenario())
    lines = [record.recordlayer for record in caplog.records if record.msg == "call"]  # type: ignore[attr-defined]
    assert [(line["method"], line["code"]) for line in lines] == [
        (f"/{NAME}/Refuse", "FAILED_PRECONDITION"),
        (f"/{NAME}/Echo", "OK"),
    ]


def test_a_call_of_a_method_that_is_not_there_is_unimplemented() -> None:
    async def scenario() -> None:
        async with serving(ECHO) as server, calling(server) as channel:
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await channel.unary_unary(f"/{NAME}/Nothing")(b"")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    run(scenario())


def test_a_message_above_the_limit_is_refused_and_the_server_stays() -> None:
    async def scenario() -> None:
        async with serving(ECHO, max_message_bytes=2_000) as server, calling(server) as channel:
            call = channel.unary_unary(f"/{NAME}/Echo")
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await call(b"x" * 3_000)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert await call(b"x" * 1_900) == b"x" * 1_900

    run(scenario())


def test_a_caller_that_leaves_is_no_running_call(caplog: pytest.LogCaptureFixture) -> None:
    entered = asyncio.Event()

    async def wait(_: bytes, __: Any) -> bytes:
        entered.set()
        await asyncio.Event().wait()
        return b""

    handlers = {"Wait": grpc.unary_unary_rpc_method_handler(wait)}
    service = Service(
        NAME, lambda server: server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(NAME, handlers)])
    )

    async def scenario() -> None:
        async with serving(service) as server, calling(server) as channel:
            call = channel.unary_unary(f"/{NAME}/Wait")(b"")
            await entered.wait()
            assert server.calls.running == 1
            call.cancel()
            await server.calls.idle()
            assert server.calls.running == 0

    with caplog.at_level(logging.INFO, "recordlayer.server"):
        run(scenario())
    assert [record.recordlayer["code"] for record in caplog.records if record.msg == "call"] == ["CANCELLED"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 5_000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 500, b""]
)
def test_what_is_not_grpc_does_the_server_no_harm(junk: bytes) -> None:
    async def scenario() -> None:
        async with serving(ECHO) as server, calling(server) as channel:
            assert server.address is not None
            _, writer = await asyncio.open_connection(server.address.host, server.address.port)
            writer.write(junk)
            writer.close()
            assert await channel.unary_unary(f"/{NAME}/Echo")(b"a") == b"a"

    run(scenario())


@settings(max_examples=30)
@given(request=st.binary(max_size=200))
def test_a_malformed_request_has_a_status_and_the_server_stays(request: bytes) -> None:
    async def scenario() -> None:
        async with serving(ECHO) as server, calling(server) as channel:
            call = channel.unary_unary("/grpc.health.v1.Health/Check")(request)
            assert await call.code() in {
                grpc.StatusCode.OK,  # no bytes at all, and unknown fields, are a message
                grpc.StatusCode.NOT_FOUND,
                grpc.StatusCode.INVALID_ARGUMENT,
            }
            assert "Error" not in (await call.details() or "")
            assert await channel.unary_unary(f"/{NAME}/Echo")(b"a") == b"a"

    run(scenario())
