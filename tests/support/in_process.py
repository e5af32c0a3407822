"""A server of the service without a port: calls of one task, answered by another of the same event loop.

What stands around calls (parsing, deadlines, statuses, log lines) is the server's own; in the place of grpc's channel
is one that hands over bytes. It works on any event loop, that of a simulation among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import grpc
from grpc import aio as grpc_aio

from recordlayer_server.calls import Calls
from recordlayer_server.databases import Databases
from recordlayer_server.methods import Methods
from recordlayer_server.operation.around import Around
from recordlayer_server.services import services

Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A call of one request.

    seconds  that it may take, None for as long as the server thinks good
    """

    method: str
    request: bytes
    seconds: float | None
    metadata: Metadata


Send = Callable[[Asked], Awaitable[bytes]]
"""Gives the reply to a call.  Raises  AioRpcError."""


class InProcess:
    """A server over databases. `channel` connects to it."""

    def __init__(self, databases: Databases, *, around: Around | None = None) -> None:
        self.calls = Calls(around, limits=databases.limits)
        self._methods = Methods(self.calls.wrapped)
        for service in services(databases, busy=lambda: True):  # so that simulations see look-ups wait for each other
            service.add(self._methods)

    def channel(self) -> Channel:
        async def send(asked: Asked) -> bytes:
            return await asyncio.create_task(self.answered(asked))

        return Channel(send, lambda stream: stream.begin(self))

    async def answered(self, asked: Asked) -> bytes:
        """The reply to a call, which has this task for itself.  Raises  AioRpcError."""
        handler, context = self.handler(asked.method), _Context(asked.seconds, asked.metadata)
        try:
            return bytes(handler.response_serializer(await handler.unary_unary(asked.request, context)))
        except grpc_aio.AbortError:
            raise context.error() from None

    def handler(self, method: str) -> Any:
        found = self._methods.service(SimpleNamespace(method=method, invocation_metadata=()))
        if found is None:
            raise error_of(grpc.StatusCode.UNIMPLEMENTED, f"no method {method}")
        return found


class Channel:
    """What stubs are made of, in the place of grpc's channel.

    send     takes calls with one request and one reply
    connect  takes streams, and has a server `begin` them
    """

    def __init__(self, send: Send, connect: Callable[[Stream], None]) -> None:
        self._send = send
        self._connect = connect

    def unary_unary(self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any) -> Any:
        async def answered(asked: Asked) -> Any:
            return response_deserializer(await self._send(asked))

        def call(request: Any, *, timeout: float | None = None, metadata: Metadata = ()) -> Any:
            return answered(Asked(method, request_serializer(request), timeout, metadata))

        return call

    def unary_stream(self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any) -> Any:
        def call(request: Any, *, timeout: float | None = None, metadata: Metadata = ()) -> Stream:
            asked = Asked(method, request_serializer(request), timeout, metadata)
            return self._connected(Stream(asked, request_serializer, response_deserializer))

        return call

    def stream_stream(self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any) -> Any:
        def call(*, timeout: float | None = None, metadata: Metadata = ()) -> Stream:
            asked = Asked(method, b"", timeout, metadata)
            return self._connected(Stream(asked, request_serializer, response_deserializer))

        return call

    stream_unary = stream_stream  # its one reply is read like those of others

    def _connected(self, stream: Stream) -> Stream:
        self._connect(stream)
        return stream


class Stream:
    """A call with many replies, and perhaps many requests.

    breaks  whether the connection does, asked at every reply
    """

    def __init__(self, asked: Asked, serialize: Callable[[Any], bytes], show: Callable[[bytes], Any]) -> None:
        self.asked = asked
        self._serialize = serialize
        self._show = show
        self._requests: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._replies: asyncio.Queue[Any] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self.breaks: Callable[[], bool] = lambda: False

    def begin(self, server: InProcess) -> None:
        """Have a server answer, in a task of whoever calls this; it lives as long as that."""
        if not self._cancelled:
            self._task = asyncio.create_task(self._answered(server))
            self._task.add_done_callback(self._ended)

    async def _answered(self, server: InProcess) -> None:
        handler = server.handler(self.asked.method)
        context = _Context(
            self.asked.seconds,
            self.asked.metadata,
            lambda reply: self._replies.put_nowait(self._show(handler.response_serializer(reply))),
        )
        behaviour = handler.unary_stream or handler.stream_stream or handler.stream_unary
        request = self._coming(handler.request_deserializer) if handler.request_streaming else self.asked.request
        try:
            only = await behaviour(request, context)
        except grpc_aio.AbortError:
            raise context.error() from None
        if only is not None:
            await context.write(only)

    async def _coming(self, parse: Callable[[bytes], Any]) -> AsyncIterator[Any]:
        while (request := await self._requests.get()) is not None:
            yield parse(request)

    def _ended(self, task: asyncio.Future[Any]) -> None:
        failed = None if task.cancelled() else task.exception()
        if self._cancelled or (failed is None and not task.cancelled()):
            failed = grpc_aio.EOF
        elif not isinstance(failed, Exception):
            failed = error_of(grpc.StatusCode.UNAVAILABLE, "the server died")
        self.hang_up(failed)

    def hang_up(self, word: Any) -> None:
        """The last that the caller hears: an error, or grpc's EOF."""
        self._replies.put_nowait(word)

    async def write(self, request: Any) -> None:
        self._requests.put_nowait(self._serialize(request))

    async def done_writing(self) -> None:
        self._requests.put_nowait(None)

    async def read(self) -> Any:
        """The next reply, grpc's EOF behind the last.  Raises  AioRpcError."""
        found = await self._replies.get()
        if self.breaks():
            self.cancel()
            found = error_of(grpc.StatusCode.UNAVAILABLE, "the connection broke")
        if isinstance(found, BaseException) or found is grpc_aio.EOF:
            self._replies.put_nowait(found)  # it stays the last word
        if isinstance(found, BaseException):
            raise found
        return found

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (reply := await self.read()) is not grpc_aio.EOF:
            yield reply

    def cancel(self) -> bool:
        self._cancelled = True
        return self._task is not None and self._task.cancel()


class _Context:
    """What a handler knows of its call, and how it ends it."""

    def __init__(self, seconds: float | None, metadata: Metadata, reply: Callable[[Any], None] | None = None) -> None:
        self._until = None if seconds is None else asyncio.get_running_loop().time() + seconds
        self._metadata = metadata
        self._reply = reply
        self._trailing: Metadata = ()
        self._code: grpc.StatusCode | None = None
        self._details = ""

    def invocation_metadata(self) -> Metadata:
        return self._metadata

    def auth_context(self) -> dict[str, list[bytes]]:
        return {}

    def peer(self) -> str:
        return "in process"

    def time_remaining(self) -> float | None:
        return None if self._until is None else self._until - asyncio.get_running_loop().time()

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        self._trailing = metadata

    def disable_next_message_compression(self) -> None:
        """Nothing is compressed here."""

    def code(self) -> grpc.StatusCode | None:
        return self._code

    async def write(self, reply: Any) -> None:
        assert self._reply is not None, "a call with one reply returns it"
        self._reply(reply)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing: Metadata = ()) -> None:
        self._code, self._details, self._trailing = code, details, trailing
        raise grpc_aio.AbortError(details)

    def error(self) -> grpc_aio.AioRpcError:
        assert self._code is not None, "it was aborted"
        return error_of(self._code, self._details, self._trailing)


def error_of(code: grpc.StatusCode, details: str, trailing: Metadata = ()) -> grpc_aio.AioRpcError:
    """What a caller gets."""
    return grpc_aio.AioRpcError(code, grpc_aio.Metadata(), grpc_aio.Metadata(*trailing), details)
