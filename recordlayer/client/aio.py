"""The service's client for asyncio: records of the caller's own message types, in the zones of a database.

    async with connect("grpc://127.0.0.1:50051", container="com.example.shop") as client:
        zone = client.zone("orders")
        tag = await zone.save(Order(id=1), name="1")
        found = await zone.load(Order, "1")

A call is tried again if and only if the service says so by a RetryInfo, after its delay; where no answer came at all, a
read is sent again, and so is a write, since each one carries an idempotency key and is applied once. Both stay within
the call's deadline, and within a budget of retries that all calls of a client share.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Self, TypeVar
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import Message
from grpc import aio as grpc_aio

from recordlayer.client.pb import context_pb2, records_pb2, records_pb2_grpc, types_pb2
from recordlayer.client.refusals import no_answer, reason_of, refusal_of, retry_delay, status_of
from recordlayer.errors import UsageError

M = TypeVar("M", bound=Message)

_MOST_RETRIES = 10.0
_EARNED = 0.1  # of a retry, by each call that went well


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Generic[M]):
    """A record: its name, its message, and the change tag under which it may be replaced or deleted."""

    name: str
    message: M
    change_tag: bytes


class Client:
    """A connection, which is made on first use and again after it was lost. `connect` makes one."""

    def __init__(
        self, channel: Any, context: context_pb2.RequestContext, *, timeout: timedelta, token: Callable[[], str] | None
    ) -> None:
        self._channel = channel
        self._timeout = timeout.total_seconds()
        self._token = token
        self._budget = _MOST_RETRIES
        self.context = context
        self.records: Any = records_pb2_grpc.RecordsStub(channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()

    def zone(self, name: str = "") -> Zone:
        """A zone of the database; "" is the default one. Asks the server nothing."""
        return Zone(self, types_pb2.ZoneName(name=name))

    async def call(self, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
        """The reply to a request that may be sent more than once: a read, or a write with an idempotency key.

        Raises  CallRefused and the errors that the library shares with the service; NoAnswer.
        """
        clock = asyncio.get_running_loop().time
        end, pause = clock() + self._timeout, 0.05
        while True:
            metadata = () if self._token is None else (("authorization", f"Bearer {self._token()}"),)
            try:
                reply = await method(request, timeout=max(end - clock(), 0.001), metadata=metadata)
            except grpc_aio.AioRpcError as error:
                status = status_of(error)
                if status is not None:
                    failure: Exception = refusal_of(status)
                    delay = retry_delay(status)
                    if delay is None and reason_of(status) == "COMMIT_UNKNOWN":
                        delay = pause  # the same key finds out
                else:
                    failure = no_answer(error)
                    lost = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
                    delay = pause * (0.5 + random.random()) if lost else None
                if delay is None or self._budget < 1 or clock() + delay >= end:
                    raise failure from error
                self._budget -= 1
                pause *= 2
                await asyncio.sleep(delay)
            else:
                self._budget = min(_MOST_RETRIES, self._budget + _EARNED)
                return reply


class Zone:
    """Records of one zone."""

    def __init__(self, client: Client, name: types_pb2.ZoneName) -> None:
        self._client = client
        self._name = name

    async def save(
        self, message: Message, *, name: str = "", change_tag: bytes | None = None, create: bool = False
    ) -> Loaded[Any]:
        """The record as saved, with its new change tag and, where no name was given to a new one, the server's.

        change_tag  the record must still have it; None: replace whatever is there
        create      it must not be there yet

        Raises  ChangeTagStale, with the server's record; RecordExists; UniquenessViolation
        """
        if create and change_tag is not None:
            raise UsageError(what="create with a change tag", hint="a record that is not there has none")
        if not name and change_tag is not None:
            raise UsageError(what="a change tag without a name", hint="name the record that has it")
        kind = "CREATE" if create or not name else "FORCE_REPLACE" if change_tag is None else "REPLACE"
        operation = records_pb2.Operation(type=kind, record=self._record(name, change_tag))
        operation.record.record_type = message.DESCRIPTOR.name
        operation.record.message = message.SerializeToString()
        saved = await self._modify(operation)
        return Loaded(name=saved.name.name, message=message, change_tag=saved.change_tag)

    async def delete(self, name: str, *, change_tag: bytes | None = None) -> None:
        """Delete a record; without a change tag whatever it holds.  Raises  ChangeTagStale"""
        kind = "FORCE_DELETE" if change_tag is None else "DELETE"
        await self._modify(records_pb2.Operation(type=kind, record=self._record(name, change_tag)))

    async def load(self, kind: type[M], name: str) -> Loaded[M] | None:
        """The record with this name, None if there is none."""
        request = records_pb2.LookupRequest(
            context=self._client.context, names=[self._record(name, None).name], form=types_pb2.MESSAGE
        )
        (result,) = (await self._client.call(self._client.records.Lookup, request)).results
        if result.status.code:
            if reason_of(result.status) == "NOT_FOUND":
                return None
            raise refusal_of(result.status)
        return _loaded(kind, result.record)

    async def query(self, kind: type[M]) -> AsyncIterator[Loaded[M]]:
        """All records of a type, page after page; each page is a call of its own."""
        request = records_pb2.QueryRequest(
            context=self._client.context, zone=self._name, record_types=[kind.DESCRIPTOR.name], form=types_pb2.MESSAGE
        )
        while True:
            page = await self._client.call(self._client.records.Query, request)
            for record in page.records:
                yield _loaded(kind, record)
            if not page.continuation:  # a page without records is no end
                return
            request.continuation = page.continuation

    def _record(self, name: str, change_tag: bytes | None) -> types_pb2.Record:
        return types_pb2.Record(name=types_pb2.RecordName(zone=self._name, name=name), change_tag=change_tag or b"")

    async def _modify(self, operation: records_pb2.Operation) -> types_pb2.Record:
        request = records_pb2.ModifyRequest(
            context=self._client.context, operations=[operation], idempotency_key=uuid.uuid4().hex
        )
        (result,) = (await self._client.call(self._client.records.Modify, request)).results
        if result.status.code:
            raise refusal_of(result.status)
        record: types_pb2.Record = result.record
        return record


def _loaded(kind: type[M], record: types_pb2.Record) -> Loaded[M]:
    return Loaded(name=record.name.name, message=kind.FromString(record.message), change_tag=record.change_tag)


def connect(
    url: str,
    *,
    container: str,
    user: str | None = None,
    timeout: timedelta = timedelta(seconds=30),
    token: Callable[[], str] | None = None,
    credentials: Any = None,
) -> Client:
    """A client of one database: the container's public one, or the private one of `user` ("" is the caller).

    url          grpc://HOST:PORT, only for loopback; grpcs://HOST:PORT for TLS
    timeout      of one call with all its retries
    token        called before each attempt: a bearer token
    credentials  of the channel, for grpcs: `grpc.ssl_channel_credentials(...)`; None: the system's authorities
    """
    parts = urlsplit(url)
    if parts.scheme not in ("grpc", "grpcs") or not parts.hostname or parts.port is None:
        raise UsageError(url=url, hint="grpc://127.0.0.1:50051, or grpcs://HOST:PORT")
    options = [("grpc.enable_retries", 0), ("grpc.lb_policy_name", "round_robin")]
    if parts.scheme == "grpcs":
        channel = grpc_aio.secure_channel(parts.netloc, credentials or grpc.ssl_channel_credentials(), options=options)
    elif _loopback(parts.hostname):
        channel = grpc_aio.insecure_channel(parts.netloc, options=[*options, ("grpc.enable_http_proxy", 0)])
    else:
        raise UsageError(url=url, hint="without TLS only to this machine: use grpcs://")
    context = context_pb2.RequestContext(container=container)
    if user is not None:
        context.database.scope, context.database.user = context_pb2.Database.PRIVATE, user
    return Client(channel, context, timeout=timeout, token=token)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
