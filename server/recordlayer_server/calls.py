"""What happens around every call: a request id, a log line, a count of those that run, no stack trace for callers.

The id is the caller's `x-request-id`, if that is a plain word of at most 64 characters, else a new one; it comes back
in the trailing metadata. An error that a handler did not foresee ends the call with INTERNAL and the id, and the log
has the rest.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
from grpc import aio

from recordlayer_server import logs

REQUEST_ID = "x-request-id"

Parse = Callable[[bytes], Any]

_WORD = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_HEALTH = "/grpc.health.v1.Health/"
_ENDLESS = {_HEALTH + "Watch"}  # streams that last as long as the connection: nobody waits for them
_MAKERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Calls(aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """The calls of one server."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._cutting = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running(self) -> int:
        """How many calls run, without those that only watch."""
        return len(self._tasks)

    def cut_off(self) -> int:
        """End all that run with UNAVAILABLE; how many."""
        self._cutting = True
        for task in self._tasks:
            task.cancel()
        return len(self._tasks)

    async def idle(self) -> None:
        """Come back when no call runs."""
        await self._idle.wait()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        handler = await continuation(details)
        if handler is None:  # there is no such method; grpc says so
            return None
        method, request_id = details.method, _request_id(details.invocation_metadata)
        parse, kept = handler.request_deserializer, None
        if handler.request_streaming:  # a handler of a stream may read by itself: grpc parses for it
            parse, kept = None, parse
        if handler.response_streaming:
            behaviour = self._streaming(handler.stream_stream or handler.unary_stream, method, request_id, parse)
        else:
            behaviour = self._single(handler.stream_unary or handler.unary_unary, method, request_id, parse)
        make = _MAKERS[handler.request_streaming, handler.response_streaming]
        return make(behaviour, kept, handler.response_serializer)

    def _single(
        self, behaviour: Callable[..., Any], method: str, request_id: str, parse: Parse | None
    ) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: aio.ServicerContext) -> Any:
            async with self._around(method, request_id, context):
                return await behaviour(await _parsed(request, parse, context), context)

        return call

    def _streaming(
        self, behaviour: Callable[..., Any], method: str, request_id: str, parse: Parse | None
    ) -> Callable[..., Awaitable[None]]:
        async def call(request: Any, context: aio.ServicerContext) -> None:
            async with self._around(method, request_id, context):
                answer = behaviour(await _parsed(request, parse, context), context)
                if not hasattr(answer, "__aiter__"):  # a handler that writes by itself
                    await answer
                    return
                async with aclosing(answer):
                    async for response in answer:
                        await context.write(response)

        return call

    @asynccontextmanager
    async def _around(self, method: str, request_id: str, context: aio.ServicerContext) -> AsyncIterator[None]:
        began = time.monotonic()
        task = asyncio.current_task()
        if task is not None and method not in _ENDLESS:
            self._tasks.add(task)
            self._idle.clear()
        context.set_trailing_metadata(((REQUEST_ID, request_id),))
        unforeseen: Exception | None = None
        code = ""
        try:
            yield
        except aio.AbortError:
            raise
        except asyncio.CancelledError:
            if task is None or task not in self._tasks or not self._cutting:
                code = grpc.StatusCode.CANCELLED.name
                raise
            task.uncancel()
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the server stops")
        except Exception as error:
            unforeseen = error
            await context.abort(grpc.StatusCode.INTERNAL, f"the server met an error of its own; request {request_id}")
        finally:
            self._tasks.discard(task)
            if not self._tasks:
                self._idle.set()
            level = logging.ERROR if unforeseen else logging.DEBUG if method.startswith(_HEALTH) else logging.INFO
            logs.write(
                logs.calls,
                level,
                "call failed" if unforeseen else "call",
                traceback_of=unforeseen,
                request=request_id,
                method=method,
                code=code or _name(context.code()),
                milliseconds=round((time.monotonic() - began) * 1_000, 3),
                peer=context.peer(),
            )


async def _parsed(request: Any, parse: Parse | None, context: aio.ServicerContext) -> Any:
    """The request as a message. Left to grpc, bytes that are none would be answered with the parser's own words."""
    if parse is None:
        return request
    try:
        return parse(request)
    except Exception:  # whatever a parser raises, the caller sent it
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "these bytes are not a message of this method")


def _name(code: Any) -> str:
    """The name of a status, which a context knows as a member, as a number, or as nothing, which is OK."""
    known = code if isinstance(code, grpc.StatusCode) else _CODES.get(code or 0, grpc.StatusCode.UNKNOWN)
    return str(known.name)


def _request_id(metadata: Any) -> str:
    for name, value in metadata or ():
        if name == REQUEST_ID and isinstance(value, str) and _WORD.fullmatch(value):
            return value
    return uuid.uuid4().hex
