"""Subscriptions: each method by a client, over a port; what is told, told again, and not passed by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer.client.pb import subscriptions_pb2 as pb
from recordlayer.client.pb import subscriptions_pb2_grpc, types_pb2
from recordlayer_server.config import Security
from recordlayer_server.limits import Limits
from recordlayer_server.places import DEVELOPMENT, PRIVATE, Tenant
from tests.server.test_guarded import Bearer, security
from tests.support.photos import CONTAINER
from tests.support.receivers import shown
from tests.support.service import Caller, calling, operation, photos, reason, run, serving_over, where

__all__ = ["security"]  # a fixture

ANA = Tenant(CONTAINER, DEVELOPMENT, PRIVATE, "ana")
Said = pb.Subscription


def of_zone(name: str, zone: str = "") -> Said:
    return Said(id=name, zone=Said.OfZone(zone=types_pb2.ZoneName(name=zone)))


class Subscriber:
    """Who subscribes to a database."""

    def __init__(self, caller: Caller, *, token: str = "") -> None:
        self.caller = caller
        self.shown = [("authorization", f"Bearer {token}")] if token else []
        self.stub = subscriptions_pb2_grpc.SubscriptionsStub(caller.channel)

    async def create(self, said: Said) -> Any:
        request = pb.CreateSubscriptionRequest(context=self.caller.context, subscription=said)
        return (await self.stub.Create(request)).subscription

    async def ids(self) -> list[str]:
        found = await self.stub.List(pb.ListSubscriptionsRequest(context=self.caller.context))
        return [one.id for one in found.subscriptions]

    async def delete(self, name: str) -> None:
        await self.stub.Delete(pb.DeleteSubscriptionRequest(context=self.caller.context, id=name))

    @asynccontextmanager
    async def receiving(self, name: str) -> AsyncIterator[Any]:
        stream = self.stub.Receive(metadata=self.shown)
        await stream.write(pb.ReceiveRequest(open=pb.ReceiveRequest.Open(context=self.caller.context, id=name)))
        try:
            yield stream
        finally:
            stream.cancel()

    async def told(self, stream: Any, *, count: int) -> list[str]:
        """So many events, each notification acknowledged; a deletion has a "-" before its name, who left a "<"."""
        found: list[str] = []
        while len(found) < count:
            reply = await stream.read()
            if reply.number:
                found += [shown(event) for event in reply.events]
                await stream.write(pb.ReceiveRequest(acknowledge=reply.number))
        return found


def test_each_kind_tells_what_it_is_about_and_goes_on_where_it_was_acknowledged() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            caller = Caller(channel, user="ana")
            ana = Subscriber(caller)
            await caller.zone("trip")
            await caller.create("before", title="t")
            query = Said(id="query", query=Said.Query(record_type="Photo", filter=where("rating", "GREATER_THAN", 3)))
            made = await ana.create(query)
            assert made.created.seconds > 0
            assert await ana.create(query) == made, "the same again is well"
            await ana.create(of_zone("zone", "trip"))
            await ana.create(Said(id="all", database=Said.OfDatabase()))
            assert await ana.ids() == ["all", "query", "zone"]
            await caller.create("good", rating=5)
            await caller.create("bad", rating=1)
            await caller.create("far", zone="trip", rating=5)
            await caller.modify(operation("FORCE_DELETE", "before"))
            async with (
                ana.receiving("query") as of_query,
                ana.receiving("zone") as of_trip,
                ana.receiving("all") as of_all,
            ):
                assert await ana.told(of_query, count=1) == ["good"], "before, which is deleted, never matched"
                assert await ana.told(of_trip, count=1) == ["far"]
                assert await ana.told(of_all, count=4) == ["good", "bad", "far", "-before"]
                await caller.create("live", zone="trip")  # while they listen
                assert await ana.told(of_trip, count=1) == ["live"]
                assert await ana.told(of_all, count=1) == ["live"]
                async with serving_over(databases) as other, calling(other) as second:
                    await Caller(second, user="ana").zone("trip", "DELETE")
                assert "all of trip" in await ana.told(of_trip, count=1)

    run(scenario())


@pytest.mark.parametrize("page", [200, 2, 1])
def test_a_query_tells_of_records_that_leave_its_result_and_of_no_others(page: int) -> None:
    """With small pages, the records are looked through over several transactions before anything is told."""

    async def scenario() -> None:
        async with photos(limits=Limits(records_per_page=page)) as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            ana = Subscriber(caller)
            for name, rating in {"a": 5, "b": 5, "c": 1, "d": 5, "e": 5, "f": 1}.items():
                await caller.create(name, rating=rating)
            query = where("rating", "GREATER_THAN", 3)
            await ana.create(Said(id="q", query=Said.Query(record_type="Photo", filter=query)))
            async with ana.receiving("q") as stream:
                assert (await stream.read()).number == 0, "it is open, and the records were looked through"
                for name, rating in {"a": 1, "c": 2, "d": 4, "x": 1, "y": 5}.items():
                    await caller.modify(operation("FORCE_UPDATE", name, rating=rating))
                assert await ana.told(stream, count=3) == ["<a", "d", "y"]
                await caller.modify(*[operation("FORCE_DELETE", name) for name in ("a", "b", "c", "y")])
                assert await ana.told(stream, count=2) == ["-b", "-y"], "a had left, and c was never there"
                await caller.create("z", record_type="Album")
                await caller.modify(operation("FORCE_DELETE", "z"))
                await caller.modify(operation("FORCE_UPDATE", "a", rating=5))
                assert await ana.told(stream, count=1) == ["a"]
            everything = Said(id="type", query=Said.Query(record_type="Photo"))
            await ana.create(everything)
            await ana.create(Said(id="late", query=Said.Query(record_type="Photo", filter=query)))
            async with ana.receiving("late") as stream:
                assert (await stream.read()).number == 0
            for name, rating in (("new", 5), ("new", 1), ("e", 1), ("f", 2)):
                await caller.modify(operation("FORCE_UPDATE", name, rating=rating))
            await caller.modify(operation("FORCE_DELETE", "f"))
            async with ana.receiving("late") as stream:
                told = await ana.told(stream, count=2)
                assert told[:2] == ["<new", "<e"], "whoever read the query in between has new"
            async with ana.receiving("type") as stream:
                assert "-f" in await ana.told(stream, count=4 if page == 1 else 3)

    run(scenario())


def test_what_is_not_acknowledged_is_told_again_by_any_server() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            caller = Caller(channel, user="ana")
            ana = Subscriber(caller)
            await ana.create(of_zone("z"))
            await caller.create("p")
            async with ana.receiving("z") as stream:
                assert [shown(one) for one in (await stream.read()).events] == ["p"]
            async with serving_over(databases) as other, calling(other) as second:
                elsewhere = Subscriber(Caller(second, user="ana"))
                async with elsewhere.receiving("z") as stream, ana.receiving("z") as late:
                    slow = await late.read()
                    assert await elsewhere.told(stream, count=1) == ["p"]
                    await caller.create("q")
                    assert await elsewhere.told(stream, count=1) == ["q"]
                    await late.write(pb.ReceiveRequest(acknowledge=slow.number))
                    with pytest.raises(grpc_aio.AioRpcError) as caught:
                        await late.read()
                    assert reason(caught.value) == "CONFLICT", "it does not take the place back"

    run(scenario())


@pytest.mark.parametrize(
    "said",
    [of_zone("z"), Said(id="z", query=Said.Query(record_type="Photo", filter=where("rating", "IS_NULL")))],
    ids=["zone", "query"],
)
def test_changes_that_were_forgotten_are_told_as_lost(said: Said) -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            caller = Caller(channel, user="ana")
            ana = Subscriber(caller)
            await ana.create(said)
            await caller.create("p")
            async with databases.database.transaction() as tx:
                store = await databases.records(tx, ANA)
                assert store is not None
                await store.feed.disable()
            await caller.create("q")  # lets the changes be kept anew
            async with ana.receiving("z") as stream:
                reply = await stream.read()
                assert (reply.lost, list(reply.events)) == (True, [])
                await stream.write(pb.ReceiveRequest(acknowledge=reply.number))
                await caller.create("r")
                assert await ana.told(stream, count=1) == ["r"]
                await caller.modify(operation("FORCE_DELETE", "q"))
                assert await ana.told(stream, count=1) == ["-q"], "what is there was looked through again"

    run(scenario())


def test_what_cannot_be_subscribed_to_is_refused_and_says_why() -> None:
    async def scenario() -> None:
        async with photos(limits=Limits(subscriptions_per_database=2)) as (server, _), calling(server) as channel:
            ana = Subscriber(Caller(channel, user="ana"))
            bad = [
                Said(id="x"),
                Said(id="no spaces", database=Said.OfDatabase()),
                Said(id="x", query=Said.Query()),
                Said(id="x", query=Said.Query(record_type="Nothing")),
                Said(id="x", query=Said.Query(record_type="Photo", filter=where("nothing", "EQUALS", 1))),
            ]
            for said in bad:
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await ana.create(said)
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            outcomes = [
                (of_zone("x", "nowhere"), "ZONE_NOT_FOUND"),
                (of_zone("x"), ""),
                (Said(id="x", database=Said.OfDatabase()), "EXISTS"),
                (of_zone("y"), ""),
                (of_zone("z"), "QUOTA_EXCEEDED"),
            ]
            for said, expected in outcomes:
                if expected:
                    with pytest.raises(grpc_aio.AioRpcError) as caught:
                        await ana.create(said)
                    assert reason(caught.value) == expected
                else:
                    await ana.create(said)
            async with ana.receiving("x") as stream:
                assert (await stream.read()).number == 0, "it is open"
                await stream.write(pb.ReceiveRequest(acknowledge=7))
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await stream.read()
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            async with ana.receiving("x") as stream:
                assert (await stream.read()).number == 0
                await ana.delete("x")
                await ana.caller.create("p")
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await stream.read()
                assert caught.value.code() is grpc.StatusCode.NOT_FOUND
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await ana.delete("x")
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
            assert await ana.ids() == ["y"]

    run(scenario())


def test_rights_are_asked_by_method_and_zone(security: Security) -> None:
    async def scenario() -> None:
        async with (
            photos(security=security) as (server, _),
            Bearer.calling(server, "writer") as writer,
            Bearer.calling(server, "reader") as reader,
        ):
            await writer.zone("open")
            await writer.zone("secret")
            owner, guest = Subscriber(writer), Subscriber(reader, token="reader")
            await owner.create(of_zone("o", "open"))
            await owner.create(of_zone("s", "secret"))
            await writer.create("p", zone="open")
            async with guest.receiving("o") as stream:
                assert await guest.told(stream, count=1) == ["p"]
            refused = [guest.create(of_zone("n", "open")), guest.delete("o"), guest.delete("nothing")]
            for attempt in refused:
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await attempt
                assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            for name in ("s", "nothing"):
                async with guest.receiving(name) as stream:
                    with pytest.raises(grpc_aio.AioRpcError) as caught:
                        await stream.read()
                    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED, "there or not, it says the same"

    run(scenario())
