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
        for service in services(databases):
            service.add(self._methods)

    def channel(self) -> Channel:
        async def send(asked: Asked) -> bytes:
            return await asyncio.create_task(self.answered(asked))

        return Channel(send, self)

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

    send    takes calls with one request and one reply
    server  the one that streams go to
    """

    def __init__(self, send: Send, server: InProcess | None = None) -> None:
        self._send = send
        self._server = server

    def unary_unary(self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any) -> Any:
        async def answered(asked: Asked) -> Any:
            return response_deserializer(await self._send(asked))

        def call(request: Any, *, timeout: float | None = None, metadata: Metadata = ()) -> Any:
            return answered(Asked(method, request_serializer(request), timeout, metadata))

        return call

    def unary_stream(self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any) -> Any:
        def call(request: Any, *, timeout: float | None = None, metadata: Metadata = ()) -> Stream:
            return Stream(self._streams(method), request_serializer(request), timeout, metadata, response_deserializer)

        return call

    def stream_stream(self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any) -> Any:
        def call(*, timeout: float | None = None, metadata: Metadata = ()) -> Stream:
            handler = self._streams(method)
            parse = lambda request: handler.request_deserializer(request_serializer(request))  # noqa: E731
            return Stream(handler, None, timeout, metadata, response_deserializer, parse)

        return call

    stream_unary = stream_stream  # its one reply is read like those of others

    def _streams(self, method: str) -> Any:
        assert self._server is not None, "streams need a channel of one server"
        return self._server.handler(method)


class Stream:
    """A call with many replies, and perhaps many requests."""

    def __init__(
        self, handler: Any, request: Any, timeout: float | None, metadata: Metadata, show: Any, parse: Any = None
    ) -> None:
        self._requests: asyncio.Queue[Any] = asyncio.Queue()
        self._replies: asyncio.Queue[Any] = asyncio.Queue()
        self._context = _Context(timeout, metadata, self._reply)
        self._show = lambda reply: show(handler.response_serializer(reply))
        self._parse = parse
        behaviour = handler.unary_stream or handler.stream_stream or handler.stream_unary
        self._task = asyncio.create_task(self._run(behaviour, request if parse is None else self._coming()))
        self._task.add_done_callback(self._ended)

    async def _run(self, behaviour: Any, request: Any) -> None:
        only = await behaviour(request, self._context)
        if only is not None:
            self._reply(only)

    async def _coming(self) -> AsyncIterator[Any]:
        while (request := await self._requests.get()) is not None:
            yield request

    def _ended(self, task: asyncio.Future[Any]) -> None:
        failed = None if task.cancelled() else task.exception()
        if isinstance(failed, grpc_aio.AbortError):
            failed = self._context.error()
        self._replies.put_nowait(grpc_aio.EOF if failed is None else failed)

    def _reply(self, reply: Any) -> None:
        self._replies.put_nowait(self._show(reply))

    async def write(self, request: Any) -> None:
        self._requests.put_nowait(self._parse(request))

    async def done_writing(self) -> None:
        self._requests.put_nowait(None)

    async def read(self) -> Any:
        """The next reply, grpc's EOF behind the last.  Raises  AioRpcError."""
        found = await self._replies.get()
        if isinstance(found, BaseException) or found is grpc_aio.EOF:
            self._replies.put_nowait(found)  # it stays the last word
        if isinstance(found, BaseException):
            raise found
        return found

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (reply := await self.read()) is not grpc_aio.EOF:
            yield reply

    def cancel(self) -> bool:
        return self._task.cancel()


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
