"""A server of the service inside the test's own event loop, on a free port, and databases that go away when told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar, cast

from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from grpc import aio as grpc_aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from recordlayer.aio import Database
from recordlayer.client.pb import (
    context_pb2,
    filter_pb2,
    records_pb2,
    records_pb2_grpc,
    server_pb2_grpc,
    sync_pb2,
    sync_pb2_grpc,
    transactions_pb2_grpc,
    types_pb2,
    zones_pb2,
    zones_pb2_grpc,
)
from recordlayer.errors import ProcessBehind, StoreMoved
from recordlayer.kv.engine import Engine, Transaction
from recordlayer.kv.idempotency import DEFAULT_PREFIX
from recordlayer.kv.registry import open_engine
from recordlayer.tenant.marks import KEPT
from recordlayer.tuples import pack
from recordlayer.waiting.waitable import Failed, Promise, Waitable
from recordlayer.world import World
from recordlayer_server import statuses
from recordlayer_server.config import Address, Config, Health, Hooks
from recordlayer_server.databases import Databases
from recordlayer_server.limits import DEFAULT, Limits
from recordlayer_server.operation.around import Around
from recordlayer_server.places import SPACE
from recordlayer_server.services import services
from recordlayer_server.serving import Service, Serving
from tests.support.photos import CONTAINER, description

T = TypeVar("T")

ENGINE = "memory:"
"""What servers of tests lie on, where a test gives no database: here, or on a cluster (tests/server/conftest.py), where
what they kept goes with them."""

BY_HAND = Health(interval=timedelta(days=1), timeout=timedelta(milliseconds=20), failures=3, successes=2)
"""One look when the server starts, and then only those of the test."""

STEADY = replace(BY_HAND, timeout=timedelta(seconds=30))
"""The same of a database that answers, however busy the machine is."""

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def run(scenario: Coroutine[Any, Any, T], *, seconds: float = 60) -> T:
    """Run a scenario to its end; one that hangs is an error."""

    async def bounded() -> T:
        async with asyncio.timeout(seconds if ENGINE == "memory:" else 5 * seconds):
            return await scenario

    return asyncio.run(bounded())


class Unsteady:
    """A database in memory that is there, fails every look, or does not answer at all."""

    def __init__(self) -> None:
        self.engine = open_engine("memory:")
        self.state = "there"

    def begin(self) -> Transaction:
        return cast("Transaction", _UnsteadyTransaction(self, self.engine.begin()))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def database(self) -> Database:
        return Database(cast("Engine", self), world=World())


class _UnsteadyTransaction:
    def __init__(self, owner: Unsteady, transaction: Transaction) -> None:
        self._owner = owner
        self._transaction = transaction

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)

    def read_version(self) -> Waitable[int]:
        if self._owner.state == "fails":
            return Failed(ProcessBehind())
        if self._owner.state == "silent":
            return Promise()
        return self._transaction.read_version()


@asynccontextmanager
async def serving(*services: Service, database: Database | None = None, **settings: Any) -> AsyncIterator[Serving]:
    """A server that has looked at its database once; stopped at the end if the test has not done it."""
    settings = {"health": BY_HAND, "listen": Address("127.0.0.1", 0), "grace": timedelta(0), **settings}
    config = Config(db="memory:", **settings)
    async with database if database is not None else Database(open_engine("memory:"), world=World()) as opened:
        server = Serving(config, opened, services=services)
        await server.start()
        try:
            yield server
        finally:
            await server.drain()


@asynccontextmanager
async def calling(server: Serving) -> AsyncIterator[grpc_aio.Channel]:
    """A channel to a server."""
    async with grpc_aio.insecure_channel(str(server.address), options=[("grpc.enable_http_proxy", 0)]) as channel:
        yield channel


async def health(channel: grpc_aio.Channel, name: str = "") -> int:
    """What the health service answers for a name."""
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name))
    return int(answer.status)


@asynccontextmanager
async def photos(
    *, database: Database | None = None, limits: Limits = DEFAULT, hooks: Hooks | None = None, **settings: Any
) -> AsyncIterator[tuple[Serving, Databases]]:
    """A server of the container of `tests.support.photos`; at the end every store of it is checked."""
    async with database if database is not None else Database(open_engine(ENGINE), world=World()) as opened:
        config = Config(
            db="memory:", **{"health": STEADY, "listen": Address("127.0.0.1", 0), "grace": timedelta(0), **settings}
        )
        load = config.load
        databases = Databases(
            opened, limits=limits, counted=load.tenant_limits, storage=load.tenant_storage, hooks=hooks
        )
        lasting = database is None and ENGINE != "memory:"
        if lasting:
            await forget(opened)
        await databases.put_containers({CONTAINER: description()})
        server = Serving(config, opened, services=services(databases), limits=limits)
        await server.start()
        try:
            yield server, databases
        finally:
            await server.drain()
        await check_databases(databases)
        if lasting:
            await forget(opened)


@asynccontextmanager
async def serving_over(
    databases: Databases, *, around: Around | None = None, **settings: Any
) -> AsyncIterator[Serving]:
    """Another server over the database that some databases lie in."""
    config = Config(
        db="memory:", **{"health": STEADY, "listen": Address("127.0.0.1", 0), "grace": timedelta(0), **settings}
    )
    server = Serving(config, databases.database, services=services(databases), around=around, limits=databases.limits)
    await server.start()
    try:
        yield server
    finally:
        await server.drain()


async def forget(database: Database) -> None:
    """All that servers have kept in it, the idempotency keys of their callers, and the limits of tenants."""
    async with database.transaction() as tx:
        for prefix in (pack((SPACE.path("service").value,)), DEFAULT_PREFIX, KEPT):
            tx.context.clear_range(prefix, prefix + b"\xff")


async def check_databases(databases: Databases) -> None:
    """Every database that this server knows of agrees with its indexes."""
    for tenant in list(databases._places):
        async with databases.database.transaction() as tx:
            known = await databases.metadata(tx, tenant)
            try:
                store = None if known is None else await databases.records(tx, tenant)
            except StoreMoved:
                continue
            assets = None if known is None else await databases.assets(tx, tenant)
            for each in (store, assets):
                assert each is None or await each.check() == []


class Caller:
    """Calls a server on one database, and gives what comes back."""

    def __init__(self, channel: grpc_aio.Channel, *, user: str = "", container: str = CONTAINER) -> None:
        self.channel = channel
        self.records = records_pb2_grpc.RecordsStub(channel)
        self.zones = zones_pb2_grpc.ZonesStub(channel)
        self.server = server_pb2_grpc.ServerStub(channel)
        self.sync = sync_pb2_grpc.SyncStub(channel)
        self.transactions = transactions_pb2_grpc.TransactionsStub(channel)
        self.context = context_pb2.RequestContext(container=container)
        if user:
            self.context.database.scope, self.context.database.user = context_pb2.Database.PRIVATE, user

    async def modify(self, *operations: records_pb2.Operation, **said: Any) -> records_pb2.ModifyReply:
        request = records_pb2.ModifyRequest(context=self.context, operations=operations, **said)
        return cast("records_pb2.ModifyReply", await self.records.Modify(request))

    async def create(
        self, name: str, /, *, zone: str = "", record_type: str = "Photo", **fields: Any
    ) -> types_pb2.Record:
        """The record, created; raises what came instead."""
        reply = await self.modify(operation("CREATE", name, zone=zone, record_type=record_type, **fields))
        return reply.results[0].record

    async def lookup(self, *names: str, zone: str = "", **said: Any) -> list[records_pb2.RecordResult]:
        asked = [record_name(name, zone) for name in names]
        reply = await self.records.Lookup(records_pb2.LookupRequest(context=self.context, names=asked, **said))
        return list(reply.results)

    async def query(self, condition: filter_pb2.Filter | None = None, **said: Any) -> records_pb2.QueryReply:
        said.setdefault("record_types", ["Photo"])
        request = records_pb2.QueryRequest(context=self.context, filter=condition, **said)
        return cast("records_pb2.QueryReply", await self.records.Query(request))

    async def names(self, condition: filter_pb2.Filter | None = None, **said: Any) -> list[str]:
        """The names of all records of a query, over all its pages."""
        found: list[str] = []
        while True:
            page = await self.query(condition, **said)
            found += [record.name.name for record in page.records]
            if not page.continuation:
                return found
            said["continuation"] = page.continuation

    async def zone_changes(self, tokens: Mapping[str, bytes], **said: Any) -> sync_pb2.ZoneChangesReply:
        """What has changed behind the tokens of zones."""
        zones = [sync_pb2.ZoneCursor(zone=types_pb2.ZoneName(name=name), token=token) for name, token in tokens.items()]
        request = sync_pb2.ZoneChangesRequest(context=self.context, zones=zones, **said)
        return cast("sync_pb2.ZoneChangesReply", await self.sync.ZoneChanges(request))

    async def database_changes(self, token: bytes = b"") -> sync_pb2.DatabaseChangesReply:
        """Which zones have changed behind a token."""
        request = sync_pb2.DatabaseChangesRequest(context=self.context, token=token)
        return cast("sync_pb2.DatabaseChangesReply", await self.sync.DatabaseChanges(request))

    async def zone(self, name: str, kind: str = "CREATE") -> zones_pb2.ZoneResult:
        one = zones_pb2.ZoneOperation(type=kind, name=types_pb2.ZoneName(name=name))
        reply = await self.zones.Modify(zones_pb2.ModifyZonesRequest(context=self.context, operations=[one]))
        return reply.results[0]


def record_name(name: str, zone: str = "") -> types_pb2.RecordName:
    return types_pb2.RecordName(zone=types_pb2.ZoneName(name=zone), name=name)


def value(given: Any) -> types_pb2.Value:
    """A Python value as one of the service."""
    if isinstance(given, types_pb2.Value):
        return given
    if given is None:
        return types_pb2.Value(null_value="NULL_VALUE")
    if isinstance(given, list):
        return types_pb2.Value(list_value=types_pb2.ListValue(values=[value(one) for one in given]))
    if isinstance(given, dict):
        made = types_pb2.Value()
        made.message_value.SetInParent()
        for key, one in given.items():
            made.message_value.fields[key].CopyFrom(value(one))
        return made
    if isinstance(given, tuple):
        return types_pb2.Value(location_value=types_pb2.GeoPoint(latitude=given[0], longitude=given[1]))
    if isinstance(given, Timestamp):
        return types_pb2.Value(timestamp_value=given)
    kinds = {bool: "bool_value", int: "integer_value", float: "double_value", str: "string_value", bytes: "bytes_value"}
    return types_pb2.Value(**{kinds[type(given)]: given})


def operation(
    kind: str, name: str, /, *, zone: str = "", record_type: str = "Photo", tag: bytes = b"", **fields: Any
) -> records_pb2.Operation:
    """One operation; fields by name."""
    made = records_pb2.Operation(type=kind)
    made.record.name.CopyFrom(record_name(name, zone))
    made.record.change_tag = tag
    if not kind.endswith("DELETE"):
        made.record.record_type = record_type
        made.record.fields.SetInParent()
        for key, one in fields.items():
            made.record.fields.fields[key].CopyFrom(value(one))
    return made


def where(field: str, comparator: str, given: Any = None, *, distance: float = 0.0) -> filter_pb2.Filter:
    """One comparison."""
    made = filter_pb2.Filter()
    made.comparison.field, made.comparison.distance = field, distance
    made.comparison.comparator = filter_pb2.Comparison.Comparator.Value(comparator)
    if given is not None:
        made.comparison.value.CopyFrom(value(given))
    return made


def reason(error: grpc_aio.AioRpcError) -> str:
    """The reason in an error's details; empty where nobody has answered."""
    if statuses.DETAILS not in dict(error.trailing_metadata() or ()):
        return ""
    return statuses.reason_of(status_of(error))


def status_of(error: grpc_aio.AioRpcError) -> status_pb2.Status:
    """The status with its details."""
    metadata = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(metadata[statuses.DETAILS])
    assert status.code == error.code().value[0]
    return status


def retries(status: status_pb2.Status) -> bool:
    """Whether a status says that trying again is worth it."""
    return any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)
