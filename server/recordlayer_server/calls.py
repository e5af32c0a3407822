"""What happens around every call: who calls, a request id, a deadline, a log line, a count of those that run, and no
stack trace for callers.

The id is the one in the request's context, or the caller's `x-request-id`, if that is a plain word of at most 64
characters, else a new one; it comes back in the trailing metadata. Errors become statuses by the table in `statuses`.
One that is not there ends the call with INTERNAL and the id, and the log has the rest.

While the database is known not to answer, calls that need it are sent away at once: they would wait for it until their
time is up, and pile up.

A call without a deadline gets one; for streams that is the caller's business. Behind it, and when the caller has left,
the handler is cancelled where it waits, and its transaction with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any, NamedTuple

import grpc
from google.rpc import code_pb2, status_pb2
from grpc import aio

from recordlayer.client.pb import context_pb2
from recordlayer.errors import Overloaded
from recordlayer_server import call_lines, compressing, deprecations, statuses, wire
from recordlayer_server.call import WORD, Call, ahead_of, context_of, enter
from recordlayer_server.deadlines import Deadlines
from recordlayer_server.limits import DEFAULT, Limits
from recordlayer_server.operation.admission import Priority
from recordlayer_server.operation.around import Around
from recordlayer_server.operation.late import LARGE
from recordlayer_server.operation.repeated import Repeated
from recordlayer_server.operation.tenant_calls import REASON, Throttled
from recordlayer_server.request_ids import new_id
from recordlayer_server.running_calls import Running, RunningCalls
from recordlayer_server.security.authority import is_audited
from recordlayer_server.security.identity import ANONYMOUS

REQUEST_ID = "x-request-id"


_HEALTH = "/grpc.health.v1.Health/"
_OURS, _SERVER = "/recordlayer.v1.", "/recordlayer.v1.Server/"
_ENDLESS = {_HEALTH + "Watch"}  # streams that last as long as the connection: nobody waits for them
_ADMIN = "/recordlayer.v1.Admin/"
_SHARED = tuple(_OURS + name for name in ("Records/", "Sync/", "Zones/"))
"""Methods whose calls always count for the tenant that their context names."""
_PATIENT = {_ADMIN + name for name in ("WaitOperation", "CancelOperation", "PauseOperation")}
"""Methods that mostly wait for something: they take no place of calls that work."""
_MAKERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
_FOREVER = 365 * 86_400.0


class _About(NamedTuple):
    """What is known of a method before it is called.

    endless         a stream: it may last as long as its caller wants
    counted         whether its calls are among those that run
    needs_database  it has no answer while the database has none
    level           of the log lines of its calls
    """

    method: str
    endless: bool
    health: bool
    counted: bool
    needs_database: bool
    level: int


def _about(method: str, *, endless: bool = False) -> _About:
    health = method.startswith(_HEALTH)
    return _About(
        method,
        endless,
        health,
        counted=method not in _ENDLESS,
        needs_database=method.startswith(_OURS) and not method.startswith(_SERVER),
        level=logging.DEBUG if health else logging.INFO,
    )


class Calls:
    """The calls of one server.

    around     who may call, how many, and what is shown of them
    limits     what calls are held to
    reachable  whether the database answers, as far as is known
    compress_from  bytes of a message from which on it is compressed; 0: none is
    """

    def __init__(
        self,
        around: Around | None = None,
        *,
        limits: Limits = DEFAULT,
        reachable: Callable[[], bool] = lambda: True,
        compress_from: int = 0,
    ) -> None:
        self._reachable = reachable
        self._asks = around if around is not None else Around()
        self._limits = limits
        self._compress_from = compress_from
        self._usual_time = limits.default_deadline.total_seconds()
        self._most_time = limits.max_deadline.total_seconds()
        self._streams = 0
        self._deadlines = Deadlines()
        self._running = RunningCalls()
        self._repeated = Repeated()
        self._cutting = self._refusing = False
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()  # set when the last one ends

    @property
    def running(self) -> int:
        """How many calls run, without those that only watch the health."""
        return len(self._running)

    def following(self) -> list[int]:
        """How many zones each of the calls that watch any does."""
        return [one.call.follows for one in self._running if one.call.follows]

    def refuse(self) -> None:
        """Answer new calls with UNAVAILABLE and when to try again, but for those that ask for the health; those that
        would go on for ever end by themselves."""
        self._refusing = True
        self._stopping.set()
        if self._asks.late is not None:
            self._asks.late.let_go()

    def cut_off(self) -> int:
        """End all that run with UNAVAILABLE; how many."""
        self._cutting = True
        self._repeated.end()
        return self._running.end(lambda _: True)

    async def idle(self) -> None:
        """Come back when no call runs."""
        while len(self._running):
            self._idle.clear()
            await self._idle.wait()

    def wrapped(self, handler: grpc.RpcMethodHandler, method: str) -> grpc.RpcMethodHandler:
        """The handler of a method with what happens around its calls."""
        parse, kept = deprecations.noticing(wire.strict(handler.request_deserializer), method), None
        if handler.request_streaming:  # a handler of a stream may read by itself: grpc parses for it
            parse, kept = None, parse
        if handler.unary_unary is None:
            streaming = handler.stream_stream or handler.unary_stream or handler.stream_unary
            behaviour = self._streaming(streaming, method, parse)
        else:
            behaviour = self._single(handler.unary_unary, method, parse)
        make = _MAKERS[handler.request_streaming, handler.response_streaming]
        serialize = wire.or_bytes(handler.response_serializer)
        if self._compress_from:
            serialize = compressing.choosing(serialize, method, self._compress_from)
        return make(behaviour, kept, serialize)

    def _single(
        self, behaviour: Callable[..., Any], method: str, parse: wire.Parse | None
    ) -> Callable[..., Awaitable[Any]]:
        about, identify = _about(method), self._asks.identify
        admission = None if about.health or method in _PATIENT else self._asks.admission
        audit = self._asks.audit if is_audited(method) else None
        late = self._asks.late if method.startswith(_SHARED) else None
        if about.health:  # who asks for it has nothing to show
            identify = None

        async def call(request: Any, context: aio.ServicerContext) -> Any:
            one = self._begin(about, context)
            made = one.call
            try:
                self._check(about)
                if identify is not None:
                    made.identity = await identify(one.shown, context.auth_context())
                if late is not None and len(request) > LARGE and late.pressed:
                    made.bind(ahead_of(request))
                    await late.check(made, context.peer(), len(request))
                parsed, priority, since = _parsed(request, parse, made), Priority.INTERACTIVE, None
                if late is not None:
                    await late.check(made, context.peer(), len(request))
                if admission is not None:
                    if made.priority == context_pb2.BATCH:
                        priority = Priority.BATCH
                    since = admission.at_once(priority)
                    if since is None:
                        since = await admission.enter(priority, time_left=made.time_left, tenant=made.line)
                try:
                    answer = behaviour(parsed, context)
                    result = await (answer if audit is None else audit.around(made, parsed, answer))
                finally:
                    if admission is not None and since is not None:
                        admission.leave(priority, since)
                context.set_trailing_metadata(((REQUEST_ID, made.request_id), *made.announces))
                return result
            except BaseException as error:
                status = self._status(one, error)
                if status is None:
                    raise
                await _abort(context, made, status, error)
            finally:
                self._end(about, one)

        return call

    def _streaming(
        self, behaviour: Callable[..., Any], method: str, parse: wire.Parse | None
    ) -> Callable[..., Awaitable[Any]]:
        about, identify = _about(method, endless=True), self._asks.identify
        audit = self._asks.audit if is_audited(method) else None
        late = self._asks.late if method.startswith(_SHARED) and parse is not None else None
        if about.health:
            identify = None

        async def answered(made: Call, request: Any, context: aio.ServicerContext) -> Any:
            parsed = _parsed(request, parse, made)
            if late is not None:
                await late.check(made, context.peer(), len(request))
            answer = behaviour(parsed, context)
            if not hasattr(answer, "__aiter__"):  # a handler that writes by itself, or has one reply to a stream
                return await answer
            async with aclosing(answer):
                async for response in answer:
                    await context.write(response)
            return None

        async def call(request: Any, context: aio.ServicerContext) -> Any:
            one = self._begin(about, context)
            made = one.call
            try:
                self._check(about)
                if identify is not None:
                    made.identity = await identify(one.shown, context.auth_context())
                if self._streams > self._asks.streams:
                    raise Overloaded(why="too many streams are open", retry_after=timedelta(seconds=1))
                answer = answered(made, request, context)
                result = await (answer if audit is None else audit.around(made, request, answer))
                context.set_trailing_metadata(((REQUEST_ID, made.request_id), *made.announces))
                return result
            except BaseException as error:
                status = self._status(one, error)
                if status is None:
                    raise
                await _abort(context, made, status, error)
            finally:
                self._end(about, one)

        return call

    # -- around one call ---------------------------------------------------------------------------------------

    def _begin(self, about: _About, context: aio.ServicerContext) -> Running:
        """Take notice of a call that comes."""
        began, asks, endless = time.monotonic(), self._asks, about.endless
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "grpc runs handlers in tasks"
        shown, given = context.invocation_metadata() or (), context.time_remaining()
        if endless:
            seconds = _FOREVER if given is None else max(0.0, given)
        elif given is None or given > _FOREVER:
            seconds = self._usual_time
        else:
            seconds = min(max(given, 0.0), self._most_time)
        call = Call(
            about.method,
            _request_id(shown),
            ANONYMOUS,
            deadline=loop.time() + seconds,
            limits=self._limits,
            authority=asks.authority,
            tenants=asks.tenants,
            stopping=self._stopping,
            beside=self._running,
            paged=None if asks.metrics is None else asks.metrics.page,
            send_as_it_is=context.disable_next_message_compression,
        )
        one = Running(call, context, task, began, endless, shown)
        if about.counted:
            self._running.add(one)
        if endless:
            self._streams += 1
        else:
            self._deadlines.add(task, call.deadline)
        enter(call)
        if asks.tracing is not None and not about.health:
            one.span = asks.tracing.begin(about.method, shown)
        return one

    def _check(self, about: _About) -> None:
        """Raises  Refusal if no such call is taken now."""
        if self._refusing and not about.health:
            raise statuses.stopping()
        if about.needs_database and not self._reachable():
            raise statuses.unreachable()

    def _status(self, one: Running, error: BaseException) -> status_pb2.Status | None:
        """What the caller of a call that has failed is told; None if nothing: it is over, or nobody is there."""
        task, refusal = one.task, None
        late = self._deadlines.take_back(task) and not one.stream
        if isinstance(error, asyncio.CancelledError):
            if late and not task.uncancel():
                refusal = statuses.refusal(code_pb2.DEADLINE_EXCEEDED, "DEADLINE", "the call's time is up")
            elif task in self._running and (self._cutting or one.ended):
                task.uncancel()
                refusal = statuses.stopping() if self._cutting else statuses.ended()
            else:
                one.code = grpc.StatusCode.CANCELLED.name
                return None
        elif isinstance(error, aio.AbortError) or not isinstance(error, Exception):
            return None
        elif isinstance(error, Throttled):
            one.reason, one.call.refused = REASON, True
            return error.status
        status = statuses.known(error) if refusal is None else refusal.status
        if status is None:
            one.unforeseen = error if isinstance(error, Exception) else None
            message = f"the server met an error of its own; request {one.call.request_id}"
            status = statuses.refusal(code_pb2.INTERNAL, "INTERNAL", message).status
        one.reason = statuses.reason_of(status)
        return status

    def _end(self, about: _About, one: Running) -> None:
        """Forget a call that is over, once it is counted and in the log."""
        call, asks = one.call, self._asks
        if one.stream:
            self._streams -= 1
        else:
            self._deadlines.take_back(one.task)
        if self._running.discard(one.task):
            self._idle.set()
        code, took = one.code or _name(one.context.code()), time.monotonic() - one.began
        if call.begun is not None:
            call.ended()
        if asks.metrics is not None and not about.health:
            asks.metrics.call(call, code, one.reason, took)
            asks.metrics.client(one.shown)
        if one.span is not None and asks.tracing is not None:
            asks.tracing.end(one.span, code, call.request_id)
        if not (call.refused and self._repeated.add(call)):
            call_lines.write(about.level, one, code, took)


async def _abort(context: aio.ServicerContext, call: Call, status: status_pb2.Status, error: BaseException) -> None:
    """End the call with a status and its details.  Raises  AbortError."""
    details = error.trailing if isinstance(error, Throttled) else statuses.trailing(status)
    trailing = ((REQUEST_ID, call.request_id), details, *call.announces)
    await context.abort(statuses.CODES[status.code], status.message, trailing)


def _parsed(request: Any, parse: wire.Parse | None, call: Call) -> Any:
    """The request as a message, and the call bound to what it says of itself.  Raises  Refusal."""
    if parse is None:
        return request
    parsed = parse(request)
    said = context_of(parsed)
    if said is not None:
        call.bind(said)
    return parsed


def _name(code: Any) -> str:
    """The name of a status, which a context knows as a member, as a number, or as nothing, which is OK."""
    if not code:
        return "OK"
    known = code if isinstance(code, grpc.StatusCode) else statuses.CODES.get(code, grpc.StatusCode.UNKNOWN)
    return str(known.name)


def _request_id(metadata: Any) -> str:
    for name, value in metadata:
        if name == REQUEST_ID and isinstance(value, str) and WORD.fullmatch(value):
            return value
    return new_id()
