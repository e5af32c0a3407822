"""What callers are told while a database cannot be used, because it does not answer or is locked: UNAVAILABLE with a
reason, and when to come again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer.client.pb import records_pb2, server_pb2, subscriptions_pb2, sync_pb2, transactions_pb2, zones_pb2
from recordlayer_server.config import Health
from recordlayer_server.limits import Limits
from tests.server.test_subscriptions import Subscriber
from tests.support.admin import CLOSED, READ_ONLY, Operator
from tests.support.assets import Keeper
from tests.support.service import (
    NOT_SERVING,
    Caller,
    Unsteady,
    calling,
    health,
    operation,
    photos,
    retries,
    run,
    status_of,
)
from tests.support.service import reason as reason_of
from tests.support.watching import Watch

LOOKS = Health(interval=timedelta(days=1), timeout=timedelta(seconds=0.3), failures=3, successes=2)

_LOST = "Internal error from Core"
"""What gRPC's client says when it sends a message on a stream that the server has just ended: its status is lost."""

Calls = dict[str, Callable[[], Awaitable[Any]]]


def reads(caller: Caller) -> Calls:
    """One call of each kind that only reads."""
    query = records_pb2.QueryRequest(context=caller.context, record_types=["Photo"])
    return {
        "Lookup": lambda: caller.lookup("p"),
        "Query": caller.query,
        "QueryStream": lambda: caller.records.QueryStream(query).read(),
        "Aggregate": lambda: caller.records.Aggregate(
            records_pb2.AggregateRequest(context=caller.context, record_type="Photo", function="COUNT")
        ),
        "Explain": lambda: caller.records.Explain(records_pb2.ExplainRequest(query=query)),
        "Zones.List": lambda: caller.zones.List(zones_pb2.ListZonesRequest(context=caller.context)),
        "ZoneChanges": lambda: caller.zone_changes({"": b""}),
        "DatabaseChanges": caller.database_changes,
        "Watch": lambda: watched(caller),
        "Download": lambda: Keeper(caller).download("whole"),
    }


def writes(caller: Caller) -> Calls:
    """One call of each kind that writes."""
    one = operation("FORCE_UPDATE", "p", title="t")
    keeper = Keeper(caller)
    return {
        "Modify": lambda: caller.modify(one),
        "Modify, not atomic": lambda: caller.modify(one, operation("CREATE", "q"), atomic=False),
        "Transact": lambda: transacted(caller, one),
        "Zones.Modify": lambda: caller.zone("new"),
        "BeginUpload": lambda: keeper.begin("new", b"data"),
        "Upload": lambda: keeper.send("begun", b"data"),
    }


async def watched(caller: Caller) -> Any:
    stream = caller.sync.Watch()
    await stream.write(sync_pb2.WatchRequest(open=sync_pb2.WatchRequest.Open(context=caller.context)))
    await stream.write(sync_pb2.WatchRequest(add=sync_pb2.WatchRequest.Add(target=1)))
    try:
        await stream.read()  # that the target was added
        return await stream.read()
    finally:
        stream.cancel()


async def transacted(caller: Caller, one: records_pb2.Operation) -> Any:
    stream, Request = caller.transactions.Transact(), transactions_pb2.TransactRequest
    await stream.write(Request(begin=Request.Begin(context=caller.context)))
    await stream.write(Request(modify=Request.Modify(operations=[one])))
    try:
        for _ in range(2):
            reply = await stream.read()
        return reply
    finally:
        stream.cancel()


async def told(calls: Calls) -> dict[str, tuple[grpc.StatusCode, str, bool]]:
    """How each call ends: its code, its reason, and whether it says when to come again."""
    found = {}
    for name, call in calls.items():
        while name not in found:
            try:
                reply = await call()
            except grpc_aio.AioRpcError as error:
                if error.details() == _LOST:
                    continue
                found[name] = (error.code(), reason_of(error), retries(status_of(error)))
            else:
                found[name] = (grpc.StatusCode.OK, str(reply)[:200], False)
    return found


def test_calls_to_a_database_that_is_locked_say_so() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller, operator = Caller(channel), Operator(channel)
            await caller.create("p")
            await caller.zone("there")
            await Keeper(caller).upload("whole", b"data")
            await Keeper(caller).begin("begun", b"data")
            locked = (grpc.StatusCode.UNAVAILABLE, "STORE_LOCKED", True)
            await operator.ask("LockDatabase", kind=READ_ONLY, reason="moving house")
            assert await told(writes(caller)) == dict.fromkeys(writes(caller), locked)
            assert {code for code, _, _ in (await told(reads(caller))).values()} == {grpc.StatusCode.OK}
            await operator.ask("UnlockDatabase")
            await operator.ask("LockDatabase", kind=CLOSED, reason="shut", raise_format=True)
            both = {**reads(caller), **writes(caller)}
            assert await told(both) == dict.fromkeys(both, locked)
            await operator.ask("UnlockDatabase")
            await caller.create("q")

    run(scenario())


async def ended(read: Callable[[], Awaitable[Any]]) -> None:
    """Read a stream to its end; raises what it ends with."""
    while await read() is not grpc_aio.EOF:
        pass


def test_who_follows_a_database_that_is_closed_is_told_and_goes_on_afterwards() -> None:
    limits = Limits(progress_interval=timedelta(milliseconds=50))
    said = subscriptions_pb2.Subscription(id="s", database=subscriptions_pb2.Subscription.OfDatabase())

    async def scenario() -> None:
        async with photos(limits=limits) as (server, _), calling(server) as channel:
            caller, operator, subscriber = Caller(channel), Operator(channel), Subscriber(Caller(channel))
            await caller.create("p")
            await subscriber.create(said)
            async with Watch(caller) as watch, Watch(caller) as hints, subscriber.receiving("s") as receiving:
                await watch.add(1, content=True)
                assert await watch.until_current(1) == ["p"]
                await hints.add(1, token=watch.tokens[1])
                assert await hints.until_current(1) == []
                assert not (await receiving.read()).events
                await operator.ask("LockDatabase", kind=CLOSED, reason="shut", raise_format=True)
                for ends in (watch.next, hints.next, receiving.read):
                    with pytest.raises(grpc_aio.AioRpcError) as caught:
                        await ended(ends)
                    assert (caught.value.code().name, reason_of(caught.value)) == ("UNAVAILABLE", "STORE_LOCKED")
                    assert "shut" in status_of(caught.value).message
                    assert retries(status_of(caught.value))
            await operator.ask("UnlockDatabase")
            await caller.create("q")
            async with Watch(caller) as again:
                await again.add(1, content=True, token=watch.tokens[1])
                assert await again.until_current(1) == ["q"]

    run(scenario())


@pytest.mark.parametrize("trouble", ["fails", "silent"])
def test_calls_to_a_database_that_does_not_answer_end_at_once(trouble: str) -> None:
    unsteady = Unsteady()

    async def scenario() -> None:
        async with photos(database=unsteady.database(), health=LOOKS) as (server, _), calling(server) as channel:
            while not await server.monitor.look():  # a slow machine may take longer than one look
                pass
            caller = Caller(channel)
            await caller.create("p")
            unsteady.state = trouble
            while await server.monitor.look():
                pass
            assert await health(channel) == NOT_SERVING
            both = {**reads(caller), **writes(caller)}
            assert await told(both) == dict.fromkeys(both, (grpc.StatusCode.UNAVAILABLE, "CLUSTER_UNREACHABLE", True))
            assert (await caller.server.GetServerInfo(server_pb2.GetServerInfoRequest())).version, (
                "it needs no database"
            )
            unsteady.state = "there"
            while not await server.monitor.look():
                pass
            assert (await caller.lookup("p"))[0].record.name.name == "p"

    run(scenario())
