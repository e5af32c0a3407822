"""No tenant of the service reaches another, whatever it presents.

Four parties use every method on databases with the same names in them. What each of them sent, with the tokens, tags,
ids and keys that it was given, is then sent by the others: as their own request, about the database of whom it is from,
and with parts exchanged. Nothing that comes back tells anything of another party, nothing outside the sender's own
database changes, and every refusal is a typed one. A method that is new must be used here, or the test fails.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.message import Message
from google.rpc import code_pb2, status_pb2
from grpc import aio as grpc_aio

from recordlayer import aio
from recordlayer.client.pb import (
    admin_pb2,
    assets_pb2,
    context_pb2,
    records_pb2,
    schemas_pb2,
    server_pb2,
    subscriptions_pb2,
    sync_pb2,
    transactions_pb2,
    types_pb2,
    zones_pb2,
)
from recordlayer.waiting.drivers import run_asyncio
from recordlayer_server import places, statuses
from recordlayer_server.databases import Databases
from recordlayer_server.operation.around import Around
from recordlayer_server.places import DEVELOPMENT, PRIVATE, PUBLIC, Tenant
from recordlayer_server.security.authority import ByPolicy
from recordlayer_server.security.identity import Identity
from recordlayer_server.security.policy import read_policy
from tests.support.in_process import InProcess
from tests.support.photos import CONTAINER, description
from tests.support.service import check_databases, operation, record_name, run, status_of

OTHER, THIRD = "com.example.other", "com.example.third"
POLICY = f"""
[[allow]]
who = ["user:ana", "user:bo"]
containers = ["{CONTAINER}"]
databases = ["private:own"]
methods = ["read", "write"]

[[allow]]
who = ["user:cy"]
containers = ["{OTHER}"]
databases = ["private:own"]
methods = ["read", "write", "admin"]

[[allow]]
who = ["user:di"]
containers = ["{THIRD}"]
databases = ["*"]
methods = ["read", "write", "admin"]
"""
_SERVICES = (
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
METHODS: dict[str, Any] = {
    f"/{service.full_name}/{method.name}": method
    for module in _SERVICES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
_CONTEXT = (context_pb2.RequestContext, context_pb2.Database)
SEALED = frozenset({"continuation", "partition", "token"})
"""Fields with what only its owner may use."""


@dataclass
class Outcome:
    """What came back: replies, and the status with which the call ended, None if that is OK."""

    replies: list[Message]
    status: status_pb2.Status | None

    @property
    def only(self) -> Any:
        assert self.status is None, self.status
        return self.replies[-1]

    def refusals(self) -> list[status_pb2.Status]:
        found = [] if self.status is None else [self.status]
        for reply in self.replies:
            found += [one for one in parts(reply) if isinstance(one, status_pb2.Status) and one.code]
        return found

    def text(self) -> bytes:
        """All of it as bytes."""
        said = b"" if self.status is None else self.status.SerializeToString()
        return said + b"".join(reply.SerializeToString() for reply in self.replies)


@dataclass
class Party:
    """A tenant, what its records tell, and what it has sent."""

    tenant: Tenant
    name: str
    secret: str
    sent: list[tuple[str, list[Message]]] = field(default_factory=list)

    def context(self) -> context_pb2.RequestContext:
        tenant = self.tenant
        database = context_pb2.Database(scope=tenant.scope, user=tenant.user)
        return context_pb2.RequestContext(container=tenant.container, environment=tenant.environment, database=database)

    @property
    def may_operate(self) -> bool:
        """Whether the policy gives this one `admin`, on its own database at least."""
        return self.name in ("cy", "di")


PARTIES = (
    (Tenant(CONTAINER, DEVELOPMENT, PRIVATE, "ana"), "ana"),
    (Tenant(CONTAINER, DEVELOPMENT, PRIVATE, "bo"), "bo"),
    (Tenant(OTHER, DEVELOPMENT, PRIVATE, "cy"), "cy"),
    (Tenant(THIRD, DEVELOPMENT, PUBLIC, ""), "di"),
)


def parts(message: Message) -> Iterator[Message]:
    """A message and all that it holds."""
    yield message
    for kind, value in message.ListFields():
        if kind.message_type is None:
            continue
        if kind.message_type.GetOptions().map_entry:
            value = [] if kind.message_type.fields_by_name["value"].message_type is None else value.values()
        for one in value if kind.is_repeated else [value]:
            yield from parts(one)


def leaves(message: Message) -> Iterator[tuple[Message, str, Any]]:
    """The texts and bytes in a request, the context apart."""
    for part in parts(message):
        for kind, value in part.ListFields():
            if isinstance(value, str | bytes) and not isinstance(
                part, context_pb2.RequestContext | context_pb2.Database
            ):
                yield part, kind.name, value


ENOUGH = {"/recordlayer.v1.Sync/Watch": 3, "/recordlayer.v1.Subscriptions/Receive": 1}
"""Replies of streams that would go on for ever."""


class World:
    """A server, and those who call it."""

    def __init__(self, databases: Databases) -> None:
        self.databases = databases
        policy = read_policy([POLICY.encode()])
        self.server = InProcess(databases, around=Around(identify=self._identify, authority=ByPolicy(lambda: policy)))
        self.parties = [Party(tenant, name, f"secret of {name}") for tenant, name in PARTIES]

    async def _identify(self, shown: Any, _: Any) -> Identity:
        name = dict(shown)["who"]
        return Identity(f"token:{name}", name)

    async def call(self, party: Party, method: str, *requests: Message, seconds: float | None = None) -> Outcome:
        """What a call gives."""
        known = METHODS[method]
        reply = message_factory.GetMessageClass(known.output_type)
        channel, metadata = self.server.channel(), (("who", party.name),)
        how = (type(requests[0]).SerializeToString, reply.FromString)
        if not known.client_streaming and not known.server_streaming:
            try:
                return Outcome(
                    [await channel.unary_unary(method, *how)(requests[0], metadata=metadata, timeout=seconds)], None
                )
            except grpc_aio.AioRpcError as error:
                return Outcome([], status_of(error))
        stream = (
            channel.stream_stream(method, *how)(metadata=metadata, timeout=seconds)
            if known.client_streaming
            else channel.unary_stream(method, *how)(requests[0], metadata=metadata, timeout=seconds)
        )
        found: list[Message] = []
        try:
            if known.client_streaming:
                for request in requests:
                    await stream.write(request)
                await stream.done_writing()
            while len(found) < ENOUGH.get(method, 1_000) and (one := await stream.read()) is not grpc_aio.EOF:
                found.append(one)
        except grpc_aio.AioRpcError as error:
            return Outcome(found, status_of(error))
        finally:
            stream.cancel()
        return Outcome(found, None)

    async def sends(self, party: Party, method: str, *requests: Message) -> Any:
        """The last reply to what a party sends by itself, and others will send too."""
        party.sent.append((method, list(requests)))
        return (await self.call(party, method, *requests)).only

    async def everything(self) -> dict[str, dict[bytes, bytes]]:
        """What is in the database of each party."""
        found: dict[str, dict[bytes, bytes]] = {}
        async with self.databases.database.transaction() as tx:
            for party in self.parties:
                place = await tx.key_space(places.SPACE).resolve(places.of_database(party.tenant), create=False)
                begin = place.subspace.key()
                found[party.name] = dict(await run_asyncio(tx.context.read_all(begin, begin + b"\xff")))
        return found


# -- what a party does by itself


async def session(world: World, party: Party) -> None:
    """Every method, with what its replies give."""
    context = party.context()

    def send(method: str, *requests: Message) -> Awaitable[Any]:
        return world.sends(party, f"/recordlayer.v1.{method}", *requests)

    trip = types_pb2.ZoneName(name="trip")
    one = zones_pb2.ZoneOperation(type="CREATE", name=trip)
    await send("Zones/Modify", zones_pb2.ModifyZonesRequest(context=context, operations=[one]))
    await send("Zones/Lookup", zones_pb2.LookupZonesRequest(context=context, names=[trip]))
    listed = await send("Zones/List", zones_pb2.ListZonesRequest(context=context, limit=1))
    await send("Zones/List", zones_pb2.ListZonesRequest(context=context, continuation=listed.continuation))
    made = [
        operation("CREATE", f"p{number}", zone=zone, title=party.secret, rating=number, caption="one two")
        for number in range(5)
        for zone in ("", "trip")
    ]
    created = await send(
        "Records/Modify", records_pb2.ModifyRequest(context=context, operations=made, idempotency_key="once")
    )
    tag = created.results[0].record.change_tag
    update = operation("UPDATE", "p0", tag=tag, title=party.secret, rating=9)
    await send("Records/Modify", records_pb2.ModifyRequest(context=context, operations=[update]))
    await send(
        "Records/ModifyStream",
        records_pb2.ModifyStreamRequest(open=records_pb2.ModifyStreamRequest.Open(context=context)),
        records_pb2.ModifyStreamRequest(
            batch=records_pb2.ModifyStreamRequest.Batch(
                sequence=1,
                operations=[operation("FORCE_UPDATE", "s", title=party.secret)],
                idempotency_key="once in a stream",
            )
        ),
    )
    names = [record_name("p0"), record_name("p1", "trip")]
    await send("Records/Lookup", records_pb2.LookupRequest(context=context, names=names))
    asked = records_pb2.QueryRequest(context=context, record_types=["Photo"], limit=2)
    page = await send("Records/Query", asked)
    asked.continuation = page.continuation
    await send("Records/Query", asked)
    await send("Records/QueryStream", asked)
    await send("Records/Explain", records_pb2.ExplainRequest(query=asked, analyze=True))
    parted = await send("Records/Partition", records_pb2.PartitionRequest(context=context, parts=2))
    for partition in parted.partitions:
        await send("Records/Query", records_pb2.QueryRequest(context=context, partition=partition))
    await send(
        "Records/Aggregate",
        records_pb2.AggregateRequest(context=context, record_type="Photo", function="SUM", field="rating"),
    )
    await syncing(send, context, trip)
    transact = transactions_pb2.TransactRequest
    await send(
        "Transactions/Transact",
        transact(sequence=1, begin=transact.Begin(context=context, idempotency_key="in a transaction")),
        transact(sequence=2, lookup=records_pb2.LookupRequest(names=names)),
        transact(sequence=3, query=asked),
        transact(sequence=4, modify=transact.Modify(operations=[operation("FORCE_UPDATE", "t", title=party.secret)])),
        transact(sequence=5, commit={}),
    )
    await send("Server/GetServerInfo", server_pb2.GetServerInfoRequest())
    await keeping(send, context, party.secret.encode())
    if party.may_operate:
        await operating(send, party)
    if party.tenant.scope == PUBLIC:
        await governing(send, party)
    await leaving(send, party)


Send = Callable[..., Awaitable[Any]]


async def syncing(send: Send, context: context_pb2.RequestContext, trip: types_pb2.ZoneName) -> None:
    """Change lists, watches, subscriptions, assets."""
    cursors = [sync_pb2.ZoneCursor(), sync_pb2.ZoneCursor(zone=trip)]
    changes = await send("Sync/ZoneChanges", sync_pb2.ZoneChangesRequest(context=context, zones=cursors, limit=3))
    for cursor, one in zip(cursors, changes.zones, strict=True):
        cursor.token = one.token
    await send("Sync/ZoneChanges", sync_pb2.ZoneChangesRequest(context=context, zones=cursors))
    whole = await send("Sync/DatabaseChanges", sync_pb2.DatabaseChangesRequest(context=context))
    await send("Sync/DatabaseChanges", sync_pb2.DatabaseChangesRequest(context=context, token=whole.token))
    watch = sync_pb2.WatchRequest
    await send(
        "Sync/Watch",
        watch(open=watch.Open(context=context)),
        watch(add=watch.Add(target=1, zone=trip, token=cursors[1].token, content=True)),
    )
    kinds = {"zone": subscriptions_pb2.Subscription.OfZone(zone=trip)}
    subscription = subscriptions_pb2.Subscription(id="told", **kinds)
    await send(
        "Subscriptions/Create", subscriptions_pb2.CreateSubscriptionRequest(context=context, subscription=subscription)
    )
    await send("Subscriptions/List", subscriptions_pb2.ListSubscriptionsRequest(context=context))
    receive = subscriptions_pb2.ReceiveRequest
    await send("Subscriptions/Receive", receive(open=receive.Open(context=context, id="told")))


async def keeping(send: Send, context: context_pb2.RequestContext, data: bytes) -> None:
    """Assets."""
    begun = assets_pb2.BeginUploadRequest(
        context=context, id="asset", size=len(data), digest=hashlib.sha256(data).digest(), content_type="text/plain"
    )
    await send("Assets/BeginUpload", begun)
    upload = assets_pb2.UploadRequest
    await send("Assets/Upload", upload(open=upload.Open(context=context, id="asset")), upload(data=data))
    await send("Assets/Download", assets_pb2.DownloadRequest(context=context, id="asset"))


async def operating(send: Send, party: Party) -> None:
    """What an operator of one database does."""
    context, name = party.context(), f"of-{party.name}"
    await send("Admin/GetDatabase", admin_pb2.GetDatabaseRequest(context=context))
    await send("Admin/ListIndexes", admin_pb2.ListIndexesRequest(context=context))
    await send("Admin/GetUsage", admin_pb2.GetUsageRequest(context=context))
    limits = admin_pb2.DatabaseLimits(keys_read=1 << 40)
    await send("Admin/SetLimits", admin_pb2.SetLimitsRequest(context=context, limits=limits))
    await send("Admin/SetLimits", admin_pb2.SetLimitsRequest(context=context))
    exported = await send("Admin/ExportDatabase", admin_pb2.ExportDatabaseRequest(context=context, guard="PROVE"))
    assert exported.finished
    lock = admin_pb2.LockDatabaseRequest(context=context, kind="READ_ONLY", reason=party.secret)
    await send("Admin/LockDatabase", lock)
    await send("Admin/UnlockDatabase", admin_pb2.UnlockDatabaseRequest(context=context))
    build = admin_pb2.AdminOperation.Build(indexes=["by_rating"])
    await send("Admin/BuildIndexes", admin_pb2.BuildIndexesRequest(context=context, name=f"{name}-build", build=build))
    scrub = admin_pb2.AdminOperation.Scrub(indexes=["by_title"])
    await send("Admin/ScrubIndexes", admin_pb2.ScrubIndexesRequest(context=context, name=f"{name}-scrub", scrub=scrub))
    drop = admin_pb2.AdminOperation.Drop(indexes=["by_tag"])
    await send("Admin/DropIndexes", admin_pb2.DropIndexesRequest(context=context, name=f"{name}-drop", drop=drop))
    named = {"context": context, "name": f"{name}-build"}
    await send("Admin/GetOperation", admin_pb2.GetOperationRequest(**named))
    await send("Admin/PauseOperation", admin_pb2.PauseOperationRequest(**named))
    await send("Admin/ResumeOperation", admin_pb2.ResumeOperationRequest(**named))
    await send("Admin/ThrottleOperation", admin_pb2.ThrottleOperationRequest(**named, records_per_second=5))
    listed = await send("Admin/ListOperations", admin_pb2.ListOperationsRequest(context=context, limit=1))
    await send(
        "Admin/ListOperations", admin_pb2.ListOperationsRequest(context=context, continuation=listed.continuation)
    )
    for kind in ("build", "scrub", "drop"):
        await send("Admin/CancelOperation", admin_pb2.CancelOperationRequest(context=context, name=f"{name}-{kind}"))
    await send("Admin/WaitOperation", admin_pb2.WaitOperationRequest(**named))
    await send("Admin/RepairRecords", admin_pb2.RepairRecordsRequest(context=context, name=f"{name}-repair"))


async def governing(send: Send, party: Party) -> None:
    """What an operator of a whole container does."""
    context = party.context()
    context.ClearField("database")
    await send("Admin/ListStores", admin_pb2.ListStoresRequest(context=context, limit=1))
    await send("Admin/ListConnections", admin_pb2.ListConnectionsRequest(context=context))
    await send("Admin/ListCalls", admin_pb2.ListCallsRequest(context=context))
    await send("Admin/EndCalls", admin_pb2.EndCallsRequest(context=context, request_ids=["none"]))
    await send("Schema/Get", schemas_pb2.GetSchemaRequest(context=context))
    schema = {"context": context, "description": description()}
    await send("Schema/Validate", schemas_pb2.ValidateSchemaRequest(**schema))
    await send("Schema/Apply", schemas_pb2.ApplySchemaRequest(**schema))
    await send("Schema/ListVersions", schemas_pb2.ListSchemaVersionsRequest(context=context))
    production = context_pb2.RequestContext(container=context.container, environment="PRODUCTION")
    await send("Schema/Promote", schemas_pb2.PromoteSchemaRequest(context=production))


async def leaving(send: Send, party: Party) -> None:
    """What a party does last."""
    context = party.context()
    for method, request in (
        ("Subscriptions/Resume", subscriptions_pb2.ResumeSubscriptionRequest(context=context, id="told")),
        ("Schema/Withdraw", schemas_pb2.WithdrawSchemaRequest(context=context)),
        ("Subscriptions/Delete", subscriptions_pb2.DeleteSubscriptionRequest(context=context, id="told")),
        ("Admin/ListViolations", admin_pb2.ListViolationsRequest(context=context, index="by_code")),
        ("Admin/ImportDatabase", admin_pb2.ImportDatabaseRequest(open={"context": context})),
        ("Admin/MoveDatabase", admin_pb2.MoveDatabaseRequest(context=context, name=f"of-{party.name}-move")),
        ("Admin/DeleteDatabase", admin_pb2.DeleteDatabaseRequest(context=context, name=f"of-{party.name}-delete")),
        ("Admin/ListContainers", admin_pb2.ListContainersRequest(context=context)),
        ("Admin/ListServers", admin_pb2.ListServersRequest(context=context)),
        ("Admin/ListConnections", admin_pb2.ListConnectionsRequest(context=context)),
        ("Admin/ListCalls", admin_pb2.ListCallsRequest(context=context)),
        ("Admin/EndCalls", admin_pb2.EndCallsRequest(context=context, request_ids=[party.secret])),
    ):
        party_sends_only(party, f"/recordlayer.v1.{method}", request)


def party_sends_only(party: Party, method: str, request: Message) -> None:
    """For the others to send: what would be refused, or take away what they shall try to reach."""
    party.sent.append((method, [request]))


# -- what others make of it


def forged(
    chance: random.Random, requests: list[Message], sender: Party, owner: Party, *, as_owner: bool
) -> list[Message]:
    """What the owner sent, for somebody else to send: as his own or as the owner's, with parts exchanged."""
    pool: dict[str, list[Any]] = {}
    for _, sent in owner.sent:
        for one in sent:
            for _, name, value in leaves(one):
                pool.setdefault(name, []).append(value)
    made = []
    for request in requests:
        copy = type(request).FromString(request.SerializeToString())
        for part in parts(copy):
            if isinstance(part, context_pb2.RequestContext) and not as_owner:
                environment, has_database = part.environment, part.HasField("database")
                part.CopyFrom(sender.context())
                part.environment = environment
                if not has_database:
                    part.ClearField("database")
        for part, name, value in list(leaves(copy)):
            if chance.random() < 0.15:
                value = chance.choice(pool[name])
            secret, own = (
                (owner.secret, sender.secret)
                if isinstance(value, str)
                else (owner.secret.encode(), sender.secret.encode())
            )
            if getattr(part, name, None) is not None and not isinstance(getattr(part, name), str | bytes):
                continue  # one of a list of texts
            setattr(part, name, value.replace(secret, own))
        made.append(copy)
    return made


def is_replayed(outcome: Outcome) -> bool:
    """Whether the sender had done that before, by a key of his own: then nothing of it is looked at."""
    return any(getattr(one, "replayed", False) for reply in outcome.replies for one in parts(reply))


async def tried(world: World, seed: int, times: int) -> Counter[str]:
    """So many forged calls; how they were refused."""
    chance, reasons, before = random.Random(seed), Counter[str](), await world.everything()
    for _ in range(times):
        sender, owner = chance.sample(world.parties, 2)
        method, sent = chance.choice(owner.sent)
        as_owner = chance.random() < 0.4
        requests = forged(chance, sent, sender, owner, as_owner=as_owner)
        # Nobody works on operations here: who waits for one shall not wait long.
        outcome = await world.call(sender, method, *requests, seconds=0.6 if "Operation" in method else None)
        what = f"{sender.name} sent what {owner.name} did, {as_owner=}: {method} {requests}\n{outcome}"
        after = await world.everything()
        assert {name for name in after if after[name] != before[name]} <= {sender.name}, what
        before = after
        said = outcome.text()
        assert not any(other.secret.encode() in said for other in world.parties if other is not sender), what
        refusals = outcome.refusals()
        for status in refusals:
            reasons[statuses.reason_of(status)] += 1
            assert status.code not in (code_pb2.INTERNAL, code_pb2.UNKNOWN), what
            assert statuses.reason_of(status), what
        own = {value for _, mine in sender.sent for one in mine for _, name, value in leaves(one) if name in SEALED}
        foreign = [
            value for one in requests for _, name, value in leaves(one) if name in SEALED and value and value not in own
        ]
        if (as_owner or foreign) and not method.endswith("/GetServerInfo") and not is_replayed(outcome):
            assert refusals, what
    return reasons


@pytest.mark.parametrize("seed", range(int(os.environ.get("RECORDLAYER_SEEDS", "2"))))
def test_nobody_reaches_another_with_what_he_was_given(seed: int) -> None:
    async def scenario() -> None:
        async with aio.open("memory:") as database:
            databases = Databases(database)
            await databases.put_containers({name: description() for name in (CONTAINER, OTHER, THIRD)})
            world = World(databases)
            for party in world.parties:
                await session(world, party)
            sent = {method for party in world.parties for method, _ in party.sent}
            assert sent == METHODS.keys(), "a method that is new is used in `session`"
            reasons = await tried(world, seed, 150)
            assert reasons["FORBIDDEN"] > 20, reasons
            await check_databases(databases)

    run(scenario())
