"""Requests of the service, handed to what wraps every handler as grpc would: each is answered, or ends with a status
that says what was wrong with it; never as an error of the server's own, and never without an end.

Layout of an input: which method (1 byte), what about (1 byte: see AIMED), then a message; on a stream: lengths
(2 bytes) and messages.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Iterable
from functools import cache
from typing import Any

import grpc
from google.protobuf import message_factory
from grpc import aio as grpc_aio

from recordlayer.aio import Database
from recordlayer.client.pb import (
    admin_pb2,
    assets_pb2,
    context_pb2,
    filter_pb2,
    records_pb2,
    schemas_pb2,
    server_pb2,
    subscriptions_pb2,
    sync_pb2,
    transactions_pb2,
    types_pb2,
    zones_pb2,
)
from recordlayer.kv.registry import open_engine
from recordlayer.testing.clock import ManualClock
from recordlayer_server.calls import Calls
from recordlayer_server.databases import Databases
from recordlayer_server.methods import Methods
from recordlayer_server.services import services
from tests.fuzz import wire
from tests.fuzz.harness import Target
from tests.support.photos import CONTAINER, description
from tests.support.service import operation, record_name, value, where

AIMED, CONTAINER_ONLY = 1, 2
"""Bits of the second byte: have the context say a container that is there, and a database in it or none."""

_FILES = (
    admin_pb2,
    assets_pb2,
    records_pb2,
    schemas_pb2,
    server_pb2,
    subscriptions_pb2,
    sync_pb2,
    transactions_pb2,
    zones_pb2,
)
METHODS = tuple(
    method
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if method.client_streaming or not method.server_streaming or method.name in ("QueryStream", "Download")
)
"""All but those that go on until the caller leaves."""

BROKEN = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.OK}


class Refused(Exception):
    """A status that says what was wrong."""


class Context:
    """What a handler knows of its call."""

    def __init__(self, seconds: float, requests: Iterable[Any] = ()) -> None:
        self._seconds = seconds
        self._requests = iter(requests)
        self._code: grpc.StatusCode | None = None

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing: Any = ()) -> None:
        self._code = code
        if code in BROKEN:
            raise AssertionError(f"{code.name}: {details}") from sys.exception()
        assert details
        assert len(details) < 5_000
        assert 'File "' not in details
        raise grpc_aio.AbortError(f"{code.name}: {details}")

    async def read(self) -> Any:
        return next(self._requests, grpc_aio.EOF)

    async def write(self, message: Any) -> None:
        if not isinstance(message, bytes):
            message.SerializeToString()

    def disable_next_message_compression(self) -> None:
        """Nothing is compressed here."""

    async def send_initial_metadata(self, metadata: Any) -> None:
        pass

    def set_trailing_metadata(self, metadata: Any) -> None:
        pass

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def auth_context(self) -> dict[str, Any]:
        return {}

    def time_remaining(self) -> float:
        return self._seconds

    def peer(self) -> str:
        return "fuzz"

    def code(self) -> grpc.StatusCode | None:
        return self._code


class Server:
    """The service over a database in memory, which is as it was before each request."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._database = Database(open_engine("memory:"), world=ManualClock().world())
        self._serve()
        self._loop.run_until_complete(self._fill())
        self._rows = self._loop.run_until_complete(self._read())
        self._serve()

    def _serve(self) -> None:
        """Know nothing of the database yet."""
        self._databases = Databases(self._database)
        self._methods = Methods(Calls().wrapped)
        for service in services(self._databases):
            service.add(self._methods)

    async def _fill(self) -> None:
        await self._databases.put_containers({CONTAINER: description()})
        for name in ("p0", "p1"):
            made = operation("CREATE", name, title=name, rating=3, tags=["a"], place=(1.0, 2.0), caption="a red fox")
            request = records_pb2.ModifyRequest(context=aim(context_pb2.RequestContext()), operations=[made])
            await self._call("/recordlayer.v1.Records/Modify", request.SerializeToString())

    async def _read(self) -> list[tuple[bytes, bytes]]:
        async with self._database.transaction() as tx:
            return await tx.context.read_all(b"", b"\xff")

    async def _call(self, method: str, data: bytes) -> None:
        handler = self._handler(method)
        context = Context(0.1 if "/Wait" in method else 20.0)
        if handler.unary_unary is not None:
            answer = await handler.unary_unary(data, context)
            handler.response_serializer(answer)
        else:
            await handler.unary_stream(data, context)

    async def _stream(self, method: str, messages: list[Any]) -> None:
        handler = self._handler(method)

        async def requests() -> AsyncIterator[Any]:
            for each in messages:
                yield each

        behaviour = handler.stream_stream or handler.stream_unary
        await behaviour(requests(), Context(20.0, messages))

    def _handler(self, method: str) -> Any:
        class Details:
            pass

        details: Any = Details()
        details.method = method
        handler = self._methods.service(details)
        assert handler is not None, method
        return handler

    def ask(self, method: str, messages: list[Any] | bytes) -> None:
        """Have a request answered.  Raises  Refused; AssertionError for what is no answer."""
        try:
            self._loop.run_until_complete(asyncio.wait_for(self._asked(method, messages), 20))
        except grpc_aio.AbortError as error:
            raise Refused(str(error)) from error
        finally:
            self._loop.run_until_complete(self._restore())

    async def _asked(self, method: str, messages: list[Any] | bytes) -> None:
        if isinstance(messages, bytes):
            await self._call(method, messages)
        else:
            await self._stream(method, messages)

    async def _restore(self) -> None:
        own = asyncio.current_task()
        for task in (left := [task for task in asyncio.all_tasks() if task is not own]):
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if await self._read() == self._rows:
            return
        async with self._database.transaction() as tx:
            tx.context.clear_range(b"", b"\xff")
            tx.context.stores_changed = True
            for key, value in self._rows:
                tx.context.set(key, value)
        self._serve()


@cache
def server() -> Server:
    return Server()


def aim(context: context_pb2.RequestContext, about: int = AIMED) -> context_pb2.RequestContext:
    """Be about a container and a database that are there."""
    context.container = CONTAINER
    context.environment = context_pb2.DEVELOPMENT
    if about & CONTAINER_ONLY:
        context.ClearField("database")
        return context
    context.database.scope, context.database.user = context_pb2.Database.PRIVATE, "ana"
    return context


def aimed(data: bytes, kind: Any, about: int) -> Any:
    """A message of a type, about what it shall be about; None for bytes that are none."""
    message = kind()
    try:
        message.ParseFromString(data)
    except Exception:  # protobuf's, of whichever implementation
        return None
    for inner in ("", "query", "open", "begin"):
        held = getattr(message, inner, None) if inner else message
        if held is not None and hasattr(held, "context") and (not inner or message.HasField(inner)):
            aim(held.context, about)
    return message


def check(data: bytes) -> None:
    method = METHODS[data[0] % len(METHODS)] if data else METHODS[0]
    about, body = data[1] if len(data) > 1 else 0, data[2:]
    name = f"/{method.containing_service.full_name}/{method.name}"
    kind = message_factory.GetMessageClass(method.input_type)
    if method.client_streaming:
        messages = [aimed(part, kind, about) for part in parts(body)]
        server().ask(name, [one for one in messages if one is not None])
        return
    message = aimed(body, kind, about) if about & AIMED else None
    server().ask(name, body if message is None else message.SerializeToString())


def parts(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at + 2 <= len(data) and len(found) < 20:
        size = int.from_bytes(data[at : at + 2], "big")
        found.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return found


def joined(messages: Iterable[bytes]) -> bytes:
    return b"".join(len(one).to_bytes(2, "big") + one for one in messages)


def change(data: bytes, chance: random.Random) -> bytes:
    """Another request for the same method; sometimes the same for another one."""
    if len(data) < 2 or chance.random() < 0.05:
        return bytes((chance.randrange(256), AIMED)) + data[2:]
    if not METHODS[data[0] % len(METHODS)].client_streaming:
        return data[:2] + wire.changed(data[2:], chance)
    messages = parts(data[2:])
    if messages:
        at = chance.randrange(len(messages))
        messages[at] = wire.changed(messages[at], chance)
    return data[:2] + joined(messages)


def seeds() -> Iterable[bytes]:
    asked = _requests()
    for place, method in enumerate(METHODS):
        of_all = method.containing_service.name == "Schema" or method.name == "ListStores"
        about = AIMED | CONTAINER_ONLY if of_all else AIMED
        head = bytes((place, about))
        for request in asked.get(method.full_name.removeprefix("recordlayer.v1."), ()):
            if isinstance(request, list):
                yield head + joined(one.SerializeToString() for one in request)
            else:
                yield head + request.SerializeToString()


def _requests() -> dict[str, list[Any]]:
    """Requests that are answered, by method."""
    rated = where("rating", "GREATER_THAN", 1)
    near = where("place", "NEAR", (1.0, 2.0), distance=5_000.0)
    query = records_pb2.QueryRequest(record_types=["Photo"], filter=rated, sort=[filter_pb2.Sort(field="rating")])
    words = records_pb2.QueryRequest(record_types=["Photo"], filter=where("caption", "CONTAINS_ALL_TOKENS", "red fox"))
    both = filter_pb2.Filter()
    both.all.filters.extend((rated, near))
    create = operation("CREATE", "p9", title="t", sizes=[1, 2], labels={"a": "b"})
    zone = zones_pb2.ZoneOperation(type="CREATE", name=types_pb2.ZoneName(name="z"))
    stream = records_pb2.ModifyStreamRequest
    transact = transactions_pb2.TransactRequest
    begin, commit = transact(sequence=1), transact(sequence=4)
    begin.begin.SetInParent()
    commit.commit.SetInParent()
    opening = stream()
    opening.open.SetInParent()
    subscription = subscriptions_pb2.Subscription(id="s")
    subscription.query.record_type = "Photo"
    subscription.query.filter.CopyFrom(rated)
    build = admin_pb2.BuildIndexesRequest(name="b")
    build.build.indexes.append("by_title")
    return {
        "Records.Lookup": [records_pb2.LookupRequest(names=[record_name("p0"), record_name("none")])],
        "Records.Modify": [
            records_pb2.ModifyRequest(operations=[create]),
            records_pb2.ModifyRequest(operations=[create, operation("FORCE_DELETE", "p1")], atomic=True),
        ],
        "Records.ModifyStream": [[opening, stream(batch=stream.Batch(sequence=1, operations=[create]))]],
        "Records.Query": [query, words, records_pb2.QueryRequest(record_types=["Photo"], filter=both)],
        "Records.QueryStream": [query],
        "Records.Explain": [records_pb2.ExplainRequest(query=query)],
        "Records.Partition": [records_pb2.PartitionRequest(parts=2)],
        "Records.Aggregate": [
            records_pb2.AggregateRequest(record_type="Photo", function="COUNT", filter=rated),
            records_pb2.AggregateRequest(record_type="Photo", function="RANK", field="rating", value=value(2)),
        ],
        "Zones.List": [zones_pb2.ListZonesRequest()],
        "Zones.Lookup": [zones_pb2.LookupZonesRequest(names=[types_pb2.ZoneName(name="z")])],
        "Zones.Modify": [zones_pb2.ModifyZonesRequest(operations=[zone])],
        "Sync.DatabaseChanges": [sync_pb2.DatabaseChangesRequest()],
        "Sync.ZoneChanges": [
            sync_pb2.ZoneChangesRequest(zones=[sync_pb2.ZoneCursor(zone=types_pb2.ZoneName(name=""))])
        ],
        "Schema.Get": [schemas_pb2.GetSchemaRequest()],
        "Schema.Validate": [schemas_pb2.ValidateSchemaRequest(description=description())],
        "Schema.Apply": [schemas_pb2.ApplySchemaRequest(description=description())],
        "Schema.ListVersions": [schemas_pb2.ListSchemaVersionsRequest()],
        "Server.GetServerInfo": [server_pb2.GetServerInfoRequest()],
        "Subscriptions.Create": [subscriptions_pb2.CreateSubscriptionRequest(subscription=subscription)],
        "Subscriptions.List": [subscriptions_pb2.ListSubscriptionsRequest()],
        "Transactions.Transact": [[begin, transact(sequence=2, query=query), commit]],
        "Assets.BeginUpload": [assets_pb2.BeginUploadRequest(id="a", size=3, digest=bytes(32))],
        "Admin.ListStores": [admin_pb2.ListStoresRequest(limit=3)],
        "Admin.GetDatabase": [admin_pb2.GetDatabaseRequest()],
        "Admin.LockDatabase": [admin_pb2.LockDatabaseRequest(kind=1, reason="moving", raise_format=True)],
        "Admin.UnlockDatabase": [admin_pb2.UnlockDatabaseRequest(reason="moving")],
        "Admin.ListIndexes": [admin_pb2.ListIndexesRequest(limit=2)],
        "Admin.BuildIndexes": [build],
        "Admin.ListOperations": [admin_pb2.ListOperationsRequest()],
    }


def hints() -> Iterable[bytes]:
    """Of methods whose requests need more than is there: empty ones."""
    asked = _requests()
    for place, method in enumerate(METHODS):
        if method.full_name.removeprefix("recordlayer.v1.") not in asked:
            yield bytes((place, AIMED))


TARGET = Target("service_requests", check, (Refused,), seeds, hints, change)
