"""Rows of what the service owes its clients and operators that no other test shows: see `test_service_audit`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import logging
import random
import time
from collections.abc import Awaitable
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict, ParseError
from google.rpc import status_pb2
from grpc import aio as grpc_aio
from prometheus_client.parser import text_string_to_metric_families

from recordlayer import __version__, aio
from recordlayer.aio import Database, Transaction
from recordlayer.client.aio import connect
from recordlayer.client.pb import (
    admin_pb2,
    assets_pb2,
    context_pb2,
    records_pb2,
    server_pb2,
    sync_pb2,
    types_pb2,
    zones_pb2,
)
from recordlayer.kv.embedded.transaction import EmbeddedTransaction
from recordlayer.kv.engine import TransactionOption
from recordlayer.kv.registry import open_engine
from recordlayer.observe.events import TransactionEnded
from recordlayer.online.options import BuildLimits
from recordlayer.world import World
from recordlayer_server import statuses
from recordlayer_server.config import Address, Config, Security, Showing, StoreFormats
from recordlayer_server.databases import Databases
from recordlayer_server.deprecations import Going
from recordlayer_server.limits import Limits
from recordlayer_server.operation.around import around_of
from recordlayer_server.places import DEVELOPMENT, PUBLIC, Tenant
from tests.server.test_bad_input import METHODS
from tests.server.test_guarded import Bearer, security, shown_by
from tests.server.test_subscriptions import Said, Subscriber, of_zone
from tests.support.admin import Operator
from tests.support.assets import Keeper
from tests.support.photos import CONTAINER, description
from tests.support.recording import Recording
from tests.support.service import (
    BY_HAND,
    NOT_SERVING,
    SERVING,
    Caller,
    Unsteady,
    calling,
    health,
    operation,
    photos,
    reason,
    record_name,
    run,
    serving_over,
    status_of,
    where,
)
from tests.support.transacting import Transact
from tests.support.watching import Watch
from tests.support.wire import answers_on_the_wire

__all__ = ["security"]  # a fixture

PHOTOS = Tenant(CONTAINER, DEVELOPMENT, PUBLIC, "")


async def refused(call: Awaitable[Any]) -> grpc_aio.AioRpcError:
    with pytest.raises(grpc_aio.AioRpcError) as caught:
        await call
    return caught.value


class Numbers:
    """What a scraper has got: `numbers["name", {"label": "value"}]`, summed over all other labels."""

    def __init__(self, text: str) -> None:
        families = text_string_to_metric_families(text)
        self._samples = [sample for family in families for sample in family.samples]

    def of(self, name: str, **labels: str) -> float:
        found = [one.value for one in self._samples if one.name == name and labels.items() <= one.labels.items()]
        assert found, f"nothing is shown of {name} {labels}"
        return sum(found)

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """The same by the values of a label."""
        return {
            one.labels[label]: one.value
            for one in self._samples
            if one.name == name and labels.items() <= one.labels.items()
        }


def test_o11_a_scraper_sees_the_layer_and_the_engine_beneath_the_calls() -> None:
    """The numbers by method and tenant are shown by `test_guarded` and `operation.test_metrics`."""
    showing = Showing(metrics=Address("127.0.0.1", 0))
    around = around_of(Config(db="memory:", showing=showing))

    async def scenario() -> None:
        async with aio.open("memory:", observer=around.observers()) as database:
            databases = Databases(database, limits=Limits(record_bytes=300_000))
            await databases.put_containers({CONTAINER: description()})
            async with serving_over(databases, around=around, showing=showing) as server, calling(server) as channel:
                caller = Caller(channel)
                for number in range(5):
                    await caller.create(f"p{number}", rating=number, tags=["a", "b"])
                await caller.create("large", hash=bytes(250_000))
                for least in (0, 1, 2):
                    await caller.names(where("rating", "GREATER_THAN", least), limit=2)
                await caller.query(limits=context_pb2.ReadLimits(keys=2))
                await disturbed(databases, caller)
                await half_built(databases, "by_title")
                async with Watch(caller) as watch:
                    for target in (1, 2):
                        await watch.add(target)
                    seen = Numbers(await asyncio.to_thread(shown_by, server))

            assert seen.of("recordlayer_read_version_seconds_count") > 10
            assert seen.of("recordlayer_commit_seconds_count", outcome="committed") > 6
            assert seen.of("recordlayer_errors_total", code="conflict") >= 1
            assert seen.of("recordlayer_retries_total", code="conflict") >= 1
            assert seen.of("recordlayer_read_bytes_total") > 250_000
            assert seen.of("recordlayer_written_bytes_total", part="records") > 250_000

            assert seen.of("recordlayer_stores_opened_total", cached="true") > 5
            assert seen.of("recordlayer_plans_total", cached="false") >= 1
            assert seen.of("recordlayer_plans_total", cached="true") >= 1
            assert seen.of("recordlayer_writes_total", part="index", index="by_tag") >= 10, (
                "two entries for each record"
            )
            assert seen.of("recordlayer_split_records_total") == 1
            assert seen.of("recordlayer_pages_total", stopped="limit_reached") >= 3
            assert seen.of("recordlayer_pages_total", stopped="exhausted") >= 1
            assert seen.of("recordlayer_pages_total", stopped="scan_limit") >= 1

            assert seen.of("recordlayer_built_records_total", index="by_title") == 3
            assert seen.of("recordlayer_build_seconds_count", index="by_title") >= 1

            assert seen.of("recordlayer_server_watches") == 2
            assert seen.of("recordlayer_server_watch_streams") == 1
            assert seen.of("recordlayer_server_loop_lag_seconds_count") >= 0

    run(scenario())


def test_o11_pages_are_counted_by_what_ended_them_a_full_reply_too() -> None:
    """A caller is told of RECORD_LIMIT where a reply has no room: an operator sees which of both it was."""
    showing = Showing(metrics=Address("127.0.0.1", 0))

    async def scenario() -> None:
        small = Limits(message_bytes=200_000)
        async with photos(limits=small, showing=showing) as (server, _), calling(server) as channel:
            caller = Caller(channel)
            for number in range(4):
                await caller.create(f"p{number}", hash=bytes(50_000))
            assert (await caller.query()).end_reason == context_pb2.RECORD_LIMIT, "two have room"
            assert (await caller.query(limit=1)).end_reason == context_pb2.RECORD_LIMIT
            assert (await caller.query(limits=context_pb2.ReadLimits(keys=1))).end_reason == context_pb2.SCAN_LIMIT
            stream = caller.records.QueryStream(records_pb2.QueryRequest(context=caller.context))
            assert len([reply async for reply in stream]) == 2
            copied = (await caller.zone_changes({"": b""})).zones[0]
            assert (len(copied.records), copied.more_coming) == (2, True)
            async with Transact(caller) as tx:
                await tx.step(query=records_pb2.QueryRequest())
            await refused(caller.create("p0"))
            async with connect(f"grpc://{server.address}", container=CONTAINER) as client:
                await client.zone_names()
            await server.calls.idle()
            seen = Numbers(await asyncio.to_thread(shown_by, server))

        def pages(service: str, method: str) -> dict[str, float]:
            labels = {"method": f"/recordlayer.v1.{service}/{method}"}
            return seen.by("recordlayer_server_pages_total", "ended", **labels)

        assert seen.of("recordlayer_server_client_calls_total", client=f"recordlayer/{__version__}") >= 1
        assert seen.of("recordlayer_server_refusals_total", reason="EXISTS") == 1
        assert seen.of("recordlayer_server_refusals_total") == 1, "the others are there, and 0"
        assert pages("Records", "Query") == {"reply_full": 1, "record_limit": 1, "scan_limit": 1}
        assert pages("Records", "QueryStream") == {"reply_full": 1, "exhausted": 1}
        assert pages("Sync", "ZoneChanges") == {"reply_full": 1}
        assert pages("Transactions", "Transact") == {"reply_full": 1}

    run(scenario())


async def disturbed(databases: Databases, caller: Caller) -> None:
    """Change a record that a caller changes meanwhile."""
    attempts: list[int] = []

    async def work(tx: Transaction) -> None:
        store = await databases.records(tx, PHOTOS)
        assert store is not None
        stored: Any = await store.load_record(("", "p0"))
        if not attempts:
            await caller.modify(operation("FORCE_UPDATE", "p0", rating=9))
        attempts.append(1)
        await store.save(stored.message)

    await databases.database.run(work)
    assert len(attempts) == 2


async def half_built(databases: Databases, index: str) -> None:
    """Begin to build an index again, and stop after three records."""

    async def disable(tx: Transaction) -> Any:
        store = await databases.records(tx, PHOTOS)
        assert store is not None
        await store.disable_index(index)
        return store.metadata, await databases.place(tx, PHOTOS)

    metadata, place = await databases.database.run(disable)
    build = databases.database.online_indexer(
        metadata, path=place.records, indexes=[index], limits=BuildLimits(records=3), told=lambda _: build.stop()
    )
    assert not (await build.build()).finished


def test_c7_a_zone_that_was_deleted_once_is_not_deleted_again_by_the_same_request() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            ana = Caller(channel, user="ana")

            async def ask(kind: str, key: str, *names: str) -> Any:
                operations = [zones_pb2.ZoneOperation(type=kind, name=types_pb2.ZoneName(name=name)) for name in names]
                request = zones_pb2.ModifyZonesRequest(context=ana.context, operations=operations, idempotency_key=key)
                return await ana.zones.Modify(request)

            made = await ask("CREATE", "k1", "z", "y")
            await ana.create("old", zone="z")
            gone = await ask("DELETE", "k2", "z", "none")
            assert [statuses.reason_of(one.status) for one in gone.results] == ["", "ZONE_NOT_FOUND"]
            await ask("CREATE", "k3", "z")  # by somebody else
            await ana.create("new", zone="z")
            async with serving_over(Databases(databases.database)) as second, calling(second) as other:
                ana.zones = Caller(other, user="ana").zones  # the answer was lost: another server is asked
                for first, again in (
                    (made, await ask("CREATE", "k1", "z", "y")),
                    (gone, await ask("DELETE", "k2", "z", "none")),
                ):
                    assert again.replayed
                    assert [one.zone for one in again.results] == [one.zone for one in first.results]
                    assert [one.status.code for one in again.results] == [one.status.code for one in first.results]
                    assert again.context.commit_version == first.context.commit_version
                assert (await ana.lookup("new", zone="z"))[0].record.name.name == "new"
                assert reason(await refused(ask("DELETE", "k1", "z"))) == "KEY_REUSED"
                assert reason(await refused(ask("DELETE", "x" * 65, "z"))) == "BAD_REQUEST"

    run(scenario())


def test_c10_a_page_goes_on_at_a_server_that_never_saw_the_query(tmp_path: Path) -> None:
    """Another one of the same database, and one that was started over its file afterwards."""
    url = f"file:{tmp_path / 'photos.rl'}"

    async def scenario() -> None:
        async with photos(database=aio.open(url)) as (server, databases), calling(server) as channel:
            caller = Caller(channel)
            await caller.modify(*(operation("CREATE", f"p{number}", rating=number) for number in range(6)))
            asked = where("rating", "GREATER_THAN", 0)
            first = await caller.query(asked, limit=2)
            async with serving_over(Databases(databases.database)) as other, calling(other) as elsewhere:
                second = await Caller(elsewhere).query(asked, limit=2, continuation=first.continuation)
        async with photos(database=aio.open(url)) as (server, _), calling(server) as channel:
            third = await Caller(channel).query(asked, limit=2, continuation=second.continuation)
        found = [record.name.name for page in (first, second, third) for record in page.records]
        assert found == [f"p{number}" for number in range(1, 6)]

    run(scenario())


def test_c12_a_reader_that_does_not_read_holds_the_server_back() -> None:
    """It reads ahead by what gRPC's windows hold, and not to the end."""
    pages = Recording(TransactionEnded)  # one for each page
    records, size = 40, 500_000

    async def scenario() -> None:
        database = Database(open_engine("memory:"), world=World(), observer=pages)
        limits = Limits(message_bytes=700_000)
        async with photos(database=database, limits=limits, compress_from=0) as (server, _), calling(server) as channel:
            caller = Caller(channel)
            for number in range(records):
                await caller.create(f"p{number:02}", hash=bytes(size))
            pages.events.clear()
            stream = caller.records.QueryStream(records_pb2.QueryRequest(context=caller.context))
            found = [record.name.name for record in (await stream.read()).records]
            before = -1
            while len(pages.events) > before:  # it goes on for a while
                before = len(pages.events)
                await asyncio.sleep(0.2)
            assert before < records / 2
            while (reply := await stream.read()) is not grpc_aio.EOF:
                found += [record.name.name for record in reply.records]
            assert found == [f"p{number:02}" for number in range(records)]
            assert len(pages.events) >= records

    run(scenario())


def test_c14_every_reply_says_who_asked_when_and_at_which_version() -> None:
    for name, method in METHODS.items():
        assert "context" in method.output_type.fields_by_name, name

    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel)
            caller.context.request_id = "mine"
            began = time.time()
            wrote = [
                await caller.modify(operation("CREATE", "p", title="t")),
                await caller.zones.Modify(
                    zones_pb2.ModifyZonesRequest(
                        context=caller.context,
                        operations=[zones_pb2.ZoneOperation(type="CREATE", name=types_pb2.ZoneName(name="z"))],
                    )
                ),
            ]
            read = [
                await caller.query(),
                await caller.records.Lookup(
                    records_pb2.LookupRequest(context=caller.context, names=[record_name("p")])
                ),
                await caller.records.Aggregate(
                    records_pb2.AggregateRequest(context=caller.context, record_type="Photo", function="COUNT")
                ),
                await caller.zones.List(zones_pb2.ListZonesRequest(context=caller.context)),
                await caller.zone_changes({"": b""}),
                await caller.database_changes(),
            ]
            committed = [reply.context.commit_version for reply in wrote]
            assert 0 < committed[0] < committed[1]
            assert all(reply.context.read_version >= committed[1] for reply in read), "it reads its own writes"
            for reply in (*wrote, *read):
                assert reply.context.request_id == "mine"
                assert began - 1 <= reply.context.server_time.ToSeconds() <= time.time() + 1
                assert reply.context.cost.keys_read + reply.context.cost.keys_written > 0

    run(scenario())


def test_c16_o24_a_server_tells_its_limits_and_what_it_is() -> None:
    limits = Limits(**{field.name: field_value(field.name) for field in server_pb2.Limits.DESCRIPTOR.fields})

    async def scenario() -> None:
        async with photos(limits=limits) as (server, _), calling(server) as channel:
            info = await Caller(channel).server.GetServerInfo(server_pb2.GetServerInfoRequest())
            for field in server_pb2.Limits.DESCRIPTOR.fields:
                told = getattr(info.limits, field.name)
                told = told.ToTimedelta() if field.message_type is not None else told
                assert told == getattr(limits, field.name), field.name
            assert info.version == version("recordlayer")
            assert info.engine == "memory"
            assert {"python", "grpcio", "protobuf"} <= info.libraries.keys()
            assert {"sync", "watch", "transactions", "transforms"} <= set(info.features)

    run(scenario())


def field_value(name: str) -> Any:
    """A limit that is none of the defaults."""
    default = getattr(Limits(), name)
    return default + (timedelta(seconds=1) if isinstance(default, timedelta) else 1)


def test_o1_each_service_has_a_health_of_its_own() -> None:
    unsteady = Unsteady()

    async def scenario() -> None:
        async with photos(database=unsteady.database(), health=BY_HAND) as (server, _), calling(server) as channel:
            services = {f"recordlayer.v1.{name.partition('/')[0]}" for name in METHODS}
            assert {await health(channel, name) for name in services} == {SERVING}
            unsteady.state = "fails"
            for _ in range(3):
                await server.monitor.look()
            assert {await health(channel, name) for name in services} == {NOT_SERVING}
            unsteady.state = "there"

    run(scenario())


def test_o4_connections_grow_old_and_calls_on_them_do_not_notice() -> None:
    """A connection that is old is followed by another one; what runs on it comes to its end."""

    async def scenario() -> None:
        ages = {"max_connection_age": timedelta(milliseconds=100), "grace": timedelta(seconds=20)}
        async with photos(**ages) as (server, _), calling(server) as channel:
            caller = Caller(channel)
            await caller.create("p")
            peers = set[str]()
            while len(peers) < 2:
                reply = await Operator(channel).ask("ListCalls")
                peers |= {one.peer for one in reply.calls}
                assert (await caller.lookup("p"))[0].record.name.name == "p"
                await asyncio.sleep(0.02)
        async with photos(max_concurrent_streams=1) as (server, _), calling(server) as channel:
            watch = Caller(channel).sync.Watch()
            opened = sync_pb2.WatchRequest.Open(context=Caller(channel).context)
            await watch.write(sync_pb2.WatchRequest(open=opened))
            second = Caller(channel).lookup("p")
            waiting = asyncio.ensure_future(second)
            await asyncio.wait([waiting], timeout=0.2)
            assert not waiting.done(), "one stream at once on a connection"
            watch.cancel()
            await waiting

    run(scenario())


def test_o7_who_was_refused_what_is_in_the_log(security: Security, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with photos(security=security) as (server, _), Bearer.calling(server, "reader") as reader:
            await reader.lookup("a")
            assert reason(await refused(reader.create("a"))) == "FORBIDDEN"

    caplog.set_level(logging.DEBUG, "recordlayer.server")
    run(scenario())
    said = [vars(one)["recordlayer"] for one in caplog.records if one.msg in ("granted", "refused")]
    assert [(one["event"], one["identity"], one["method"].rpartition("/")[2], one["rule"]) for one in said] == [
        ("granted", "token:reader", "Lookup", "allow 2"),
        ("refused", "token:reader", "Modify", "no rule"),
    ]


def test_o18_a_store_keeps_its_format_until_the_operator_raises_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that know formats up to 9 only go on with what newer servers write to."""
    rated = where("rating", "GREATER_THAN", 0)

    async def formats(operator: Operator) -> dict[str, int]:
        found = await operator.ask("GetDatabase")
        return {admin_pb2.StoreInfo.Kind.Name(one.kind): one.format_version for one in found.stores}

    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as running:
            _, plain = await running.enter_async_context(photos())

            async def served(**how: Any) -> tuple[Caller, Operator]:
                databases = Databases(plain.database, formats=StoreFormats(**how))
                server = await running.enter_async_context(serving_over(databases))
                channel = await running.enter_async_context(calling(server))
                return Caller(channel), Operator(channel)

            old, operator = await served(new=9)
            await old.create("p", rating=1)
            new, newer_operator = await served()
            await new.modify(operation("FORCE_UPDATE", "p", rating=2))
            assert await new.names(rated) == ["p"]
            assert (await new.zone_changes({"": b""})).zones[0].records
            with monkeypatch.context() as before:
                before.setattr("recordlayer.store.header.NEWEST_FORMAT", 9)
                await old.create("q", rating=1)
                assert await old.names(rated) == ["q", "p"]
            assert await formats(operator) == {"RECORDS": 9}

            await new.zone("z")
            assert await formats(operator) == {"RECORDS": 9, "ZONES": 13}, "what is new begins as the server says"
            lock = newer_operator.ask("LockDatabase", kind="READ_ONLY", reason="moving house")
            assert "this lock needs format 12, a store has 9" in str((await refused(lock)).details())
            assert await formats(operator) == {"RECORDS": 9, "ZONES": 13}

            raising, _ = await served(new=12, raising=True)
            assert await raising.names(rated) == ["q", "p"]
            assert (await formats(operator))["RECORDS"] == 9, "who reads raises nothing"
            await raising.create("r")
            assert await formats(operator) == {"RECORDS": 12, "ZONES": 13}
            await newer_operator.ask("LockDatabase", kind="READ_ONLY", reason="moving house")
            assert await formats(operator) == {"RECORDS": 12, "ZONES": 13, "ASSETS": 13}

    run(scenario())


def test_o18_a_store_of_a_format_without_changes_says_so_to_who_would_copy_it() -> None:
    """And takes everything else; it keeps changes from the write on that raises it."""

    async def scenario() -> None:
        async with photos() as (first, databases), calling(first) as channel:
            caller = Caller(channel)
            databases.formats = StoreFormats(new=7)
            await caller.create("p", rating=1)
            databases.formats = StoreFormats()
            await caller.modify(operation("FORCE_UPDATE", "p", rating=2))
            assert await caller.names(where("rating", "EQUALS", 2)) == ["p"]
            page = await caller.zone_changes({"": b""})
            told = [page.zones[0].status]
            told += [status_of(await refused(caller.database_changes()))]
            told += [status_of(await refused(Subscriber(caller).create(of_zone("first"))))]
            async with Watch(caller) as watch:
                told += [await watch.refused(1), await watch.refused(2, content=True)]
            assert [statuses.reason_of(one) for one in told] == ["NOT_SYNCED"] * 5
            assert all("format before 8" in one.message for one in (told[0], told[1], told[3]))

            databases.formats = StoreFormats(raising=True)
            await caller.create("q")
            page = await caller.zone_changes({"": b""})
            assert [record.name.name for record in page.zones[0].records] == ["p", "q"]
            assert (await caller.database_changes()).token
            async with Watch(caller) as watch:
                await watch.add(1)

    run(scenario())


def test_s2_a_batch_that_fails_is_in_no_list_of_changes() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel)
            for zone in ("one", "two"):
                await caller.zone(zone)
            await caller.create("there", zone="two", title="old")
            before = await caller.zone_changes({"one": b"", "two": b""})
            tokens = {one.zone.name: one.token for one in before.zones}
            database = (await caller.database_changes()).token
            batch = [
                operation("CREATE", "new", zone="one", title="t", tags=["x"]),
                operation("FORCE_DELETE", "there", zone="two"),
                operation("UPDATE", "missing", zone="two", tag=bytes(12), title="fails"),
            ]
            assert reason(await refused(caller.modify(*batch))) == "NOT_FOUND"
            after = await caller.zone_changes(tokens)
            assert [list(one.records) for one in after.zones] == [[], []]
            assert not (await caller.database_changes(database)).zones
            await caller.modify(*batch[:2])
            after = await caller.zone_changes(tokens)
            names = [[(record.name.name, record.deleted) for record in one.records] for one in after.zones]
            assert names == [[("new", False)], [("there", True)]]

    run(scenario())


def test_trap_7_wanted_fields_are_the_same_from_an_index_as_from_the_records() -> None:
    chance = random.Random(7)
    values = {
        "title": [None, "", "t", "x" * 600, "\0", "é"],
        "rating": [None, 0, -1, 1 << 40],
        "tags": [[], ["a"], ["a", "b", "a"]],
        "place": [None, (1.0, -2.0), (0.0, 0.0)],
        "kind": [None, "PICTURE", "PANORAMA"],
    }
    some = [["title"], ["rating"], ["tags"], ["place.latitude"], ["kind", "rating"], ["title", "hash"], []]
    asked = [
        None,
        where("rating", "GREATER_THAN", -5),
        where("title", "BEGINS_WITH", ""),
        where("tags", "LIST_CONTAINS", "a"),
        where("kind", "EQUALS", "PICTURE"),
        where("rating", "IS_NULL"),
    ]

    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel)
            for number in range(30):
                made = {name: chance.choice(each) for name, each in values.items()}
                await caller.create(f"p{number:02}", **{name: one for name, one in made.items() if one is not None})
            for condition in asked:
                whole = {one.name.name: one for one in (await caller.query(condition)).records}
                for fields in some:
                    keys = types_pb2.DesiredKeys(fields=fields)
                    page = await caller.query(condition, desired_keys=keys)
                    looked = await caller.lookup(*(one.name.name for one in page.records), desired_keys=keys)
                    assert [one.record for one in looked] == list(page.records), (condition, fields)
                    assert {one.name.name for one in page.records} == whole.keys()
                    for one in page.records:
                        full = whole[one.name.name].fields.fields
                        for field in fields:
                            if "." not in field:
                                assert (field in one.fields.fields) == (field in full)
                                assert one.fields.fields.get(field) == full.get(field)

    run(scenario())


def test_trap_10_a_query_without_a_limit_has_one() -> None:
    async def scenario() -> None:
        async with photos(limits=Limits(records_per_page=20)) as (server, _), calling(server) as channel:
            caller = Caller(channel)
            await caller.modify(*(operation("CREATE", f"p{number:02}") for number in range(30)))
            for said in ({}, {"limit": 1_000_000}):
                page = await caller.query(**said)
                assert (len(page.records), page.end_reason) == (20, context_pb2.RECORD_LIMIT)
                assert page.continuation

    run(scenario())


def test_trap_12_writing_costs_the_same_however_many_subscribe() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel)
            subscriber = Subscriber(caller)
            await caller.create("p", rating=5, title="t")  # what is made once is there

            async def cost(name: str) -> Any:
                reply = await caller.modify(operation("CREATE", name, rating=5, title="t"))
                return reply.context.cost.keys_read, reply.context.cost.keys_written

            await subscriber.create(of_zone("first"))
            before = await cost("a")
            for number in range(50):
                query = Said.Query(record_type="Photo", filter=where("rating", "GREATER_THAN", number % 9))
                await subscriber.create(Said(id=f"q{number}", query=query))
            assert await cost("b") == before

    run(scenario())


def test_trap_14_changes_without_a_tag_are_counted_for_each_tenant() -> None:
    showing = Showing(metrics=Address("127.0.0.1", 0))

    async def scenario() -> None:
        async with photos(showing=showing) as (server, _), calling(server) as channel:
            ana, bo = Caller(channel, user="ana"), Caller(channel, user="bo")
            for number in range(3):
                await ana.modify(operation("FORCE_UPDATE", "p", rating=number), operation("FORCE_DELETE", "q"))
            async with Transact(ana) as tx:
                await tx.modify(operation("FORCE_REPLACE", "p", rating=7))
                await tx.commit()
            tag = (await bo.create("p")).change_tag
            await bo.modify(operation("UPDATE", "p", tag=tag, rating=1))
            await server.calls.idle()
            text = await asyncio.to_thread(shown_by, server)
            name = f"{CONTAINER}/development/private/"
            assert Numbers(text).of("recordlayer_server_tenant_forced_total", tenant=f"{name}ana") == 7
            assert not [line for line in text.splitlines() if "tenant_forced" in line and f"{name}bo" in line]

    run(scenario())


OF_A_ROW = {f"Admin/{name}Operation" for name in ("Get", "Wait", "Cancel", "Pause", "Resume", "Throttle")}
"""Methods that have to look at one row to know which database they are about, of whatever container."""
WELL_FORMED: dict[str, Any] = {
    "names": [{"name": "p"}],
    "operations": [{"type": "CREATE", "name": {"name": "z"}, "record": {"name": {"name": "p"}, "recordType": "Photo"}}],
    "zones": [{"zone": {"name": "z"}}],
    "recordType": "Photo",
    "query": {"recordType": "Photo"},
    "function": "COUNT",
    "parts": 2,
    "id": "x",
    "name": "x",
    "subscription": {"id": "x", "zone": {"zone": {"name": "z"}}},
    "size": "3",
    "digest": base64.b64encode(bytes(32)).decode(),
    "kind": "READ_ONLY",
    "reason": "r",
    "index": "by_title",
    "build": {"indexes": ["by_title"]},
    "scrub": {"indexes": ["by_title"]},
    "drop": {"indexes": ["by_title"]},
    "move": {"user": "x"},
    "recordsPerSecond": "5",
    "description": base64.b64encode(b"x").decode(),
    "target": 1,
}


def asked_of(method: str, container: str) -> Any:
    """A request that is fine, as far as this goes, but for the caller; the first one of a stream."""
    kind: Any = METHODS[method].input_type
    request = kind._concrete_class()
    inner = request
    if METHODS[method].client_streaming:
        (first,) = [name for name in ("open", "begin") if name in kind.fields_by_name]
        inner = getattr(request, first)
    for field in inner.DESCRIPTOR.fields:
        if field.json_name in WELL_FORMED:
            with contextlib.suppress(ParseError):  # a field of that name is something else there
                ParseDict({field.json_name: WELL_FORMED[field.json_name]}, inner, ignore_unknown_fields=True)
    context = inner.context if hasattr(inner, "context") else inner.query.context
    context.container = container
    return request


def test_trap_18_who_has_no_right_is_refused_without_a_look_whether_it_is_there_or_not(security: Security) -> None:
    """How long it takes tells nobody what is there who has no right to know it."""
    looks = Recording(TransactionEnded)

    async def refused_of(channel: grpc_aio.Channel, method: str, container: str) -> tuple[str, str]:
        kind, request = METHODS[method], asked_of(method, container)
        shape = "stream" if kind.client_streaming else "unary", "stream" if kind.server_streaming else "unary"
        stub = getattr(channel, "_".join(shape))(f"/recordlayer.v1.{method}", lambda one: one.SerializeToString())
        metadata = [("authorization", "Bearer nobody")]
        said = [request]
        if method == "Sync/Watch":
            said.append(sync_pb2.WatchRequest(add=sync_pb2.WatchRequest.Add(target=1)))
        call = stub(iter(said) if kind.client_streaming else request, metadata=metadata)
        with contextlib.suppress(grpc_aio.AioRpcError):
            replies = [one async for one in call] if kind.server_streaming else await call
        status = status_pb2.Status()
        if method == "Sync/Watch":
            status = sync_pb2.WatchReply.FromString(replies[0]).removed.status
        for name, value in await call.trailing_metadata():
            if name == "grpc-status-details-bin":
                status = status_pb2.Status.FromString(value)
        return statuses.reason_of(status), status.message

    async def scenario() -> None:
        database = Database(open_engine("memory:"), world=World(), observer=looks)
        async with photos(database=database, security=security) as (server, _), calling(server) as channel:
            async with Bearer.calling(server, "writer") as writer:
                await writer.zone("z")
                await writer.create("p", title="t")
            for method in ("Sync/Watch", "Admin/GetOperation", "Admin/GetOperation"):
                await refused_of(channel, method, CONTAINER)  # what is made or opened once is there then
            told: dict[str, tuple[str, str]] = {}
            for method in METHODS:
                if method.startswith("Server/"):
                    continue
                answers, read = [], []
                for container in (CONTAINER, "none"):
                    looks.events.clear()
                    answers.append(await refused_of(channel, method, container))
                    read.append([event.counts for event in looks.of(TransactionEnded)])
                assert answers[0] == answers[1], method
                assert read[0] == read[1], method
                assert method in OF_A_ROW or not read[0], method
                told[method] = answers[0]
            assert {method: said for method, said in told.items() if said[0] != "FORBIDDEN"} == {}
            assert len(set(told.values())) == 1

    run(scenario())


def test_e19_a_page_that_takes_long_ends_early_and_goes_on() -> None:
    """Long before the engine would call its read version too old."""

    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel)
            names = [f"p{number:03}" for number in range(800)]
            for at in range(0, len(names), 200):
                await caller.modify(*(operation("CREATE", name) for name in names[at : at + 200]))
            limits = context_pb2.ReadLimits()
            limits.time.FromMicroseconds(1)
            page = await caller.query(where("small", "NOT_NULL"), limits=limits)
            assert (page.end_reason, len(page.records)) == (context_pb2.TIME_LIMIT, 0)
            assert page.continuation
            assert await caller.names(where("small", "IS_NULL"), limits=limits) == names

    run(scenario())


def test_c26_replies_are_compressed_for_those_who_accept_it_from_a_size_on() -> None:
    """Small ones are not, nor the largest, which would hold up the event loop, nor the bytes of assets."""

    async def scenario() -> None:
        async with photos(compress_from=10_000, max_message_bytes=16 << 20) as (server, _), calling(server) as channel:
            caller = Caller(channel)
            for name, size in (("small", 9_000), ("some", 100_000), ("large", 700_000)):
                await caller.create(name, hash=b"words " * (size // 6))
            keeper = Keeper(caller)
            await keeper.upload("a", b"words " * 20_000)
            lookup, download = "/recordlayer.v1.Records/Lookup", "/recordlayer.v1.Assets/Download"

            async def answered(method: str, request: Any, accepts: str) -> list[tuple[bool, bytes]]:
                return await answers_on_the_wire(server.address, method, request.SerializeToString(), accepts=accepts)

            for name, accepts, compressed in (
                ("some", "identity,deflate,gzip", True),
                ("some", "gzip", True),
                ("some", "identity", False),
                ("small", "gzip", False),
                ("large", "gzip", False),
            ):
                request = records_pb2.LookupRequest(context=caller.context, names=[record_name(name)])
                ((marked, data),) = await answered(lookup, request, accepts)
                assert marked == compressed, (name, accepts)
                reply = records_pb2.LookupReply.FromString(gzip.decompress(data) if marked else data)
                assert reply.results[0].record == (await caller.lookup(name))[0].record
                assert not marked or len(data) < 2_000
            request = assets_pb2.DownloadRequest(context=caller.context, zone=types_pb2.ZoneName(), id="a")
            parts = await answered(download, request, "gzip")
            assert not any(marked for marked, _ in parts)
            assert sum(len(data) for _, data in parts) > 100_000

        async with photos(compress_from=0) as (server, _), calling(server) as channel:
            caller = Caller(channel)
            await caller.create("some", hash=b"words " * 20_000)
            request = records_pb2.LookupRequest(context=caller.context, names=[record_name("some")])
            assert (await answered(lookup, request, "gzip"))[0][0] is False, "it was switched off"

    run(scenario())


def test_c25_who_uses_what_will_go_is_told_until_when_and_what_takes_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listing, zone = "/recordlayer.v1.Zones/List", "recordlayer.v1.RecordName.zone"
    table = {
        listing: Going(sunset=date(2031, 2, 1), instead="/recordlayer.v1.Zones/Search"),
        zone: Going(sunset=date(2030, 1, 31), instead="zones"),
        "recordlayer.v1.Filter.comparison": Going(sunset=date(2032, 1, 1), instead="compare"),
    }
    monkeypatch.setattr("recordlayer_server.deprecations.SOON", table)
    of_zone = [("deprecated", f"{zone}; sunset=2030-01-31; instead=zones"), ("sunset", "Thu, 31 Jan 2030 00:00:00 GMT")]

    async def told(call: Any) -> list[tuple[str, str]]:
        trailing = await call.trailing_metadata()
        return [(name, value) for name, value in trailing if name in ("deprecated", "sunset")]

    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel)
            call = caller.zones.List(zones_pb2.ListZonesRequest(context=caller.context))
            await call
            assert await told(call) == [
                ("deprecated", f"{listing}; sunset=2031-02-01; instead=/recordlayer.v1.Zones/Search"),
                ("sunset", "Sat, 01 Feb 2031 00:00:00 GMT"),
            ]
            for name, expected in ((types_pb2.RecordName(name="p"), []), (record_name("p", "nowhere"), of_zone)):
                call = caller.records.Lookup(records_pb2.LookupRequest(context=caller.context, names=[name]))
                with contextlib.suppress(grpc_aio.AioRpcError):
                    await call
                assert await told(call) == expected, "also where the call fails"
            condition = where("rating", "GREATER_THAN", 1)
            request = records_pb2.QueryRequest(context=caller.context, record_types=["Photo"], filter=condition)
            stream = caller.records.QueryStream(request)
            _ = [reply async for reply in stream]
            assert [name for name, _ in await told(stream)] == ["deprecated", "sunset"]
            kind = records_pb2.ModifyStreamRequest
            said = [kind(open=kind.Open(context=caller.context))]
            for number, name in enumerate(("", "nowhere", "")):
                batch = kind.Batch(sequence=number + 1, operations=[operation("FORCE_UPDATE", "p", zone=name)])
                said.append(kind(batch=batch))
            changes = caller.records.ModifyStream(iter(said))
            assert len([reply async for reply in changes]) == 3
            assert await told(changes) == of_zone, "of one message of a stream"

    run(scenario())


def test_c15_what_a_caller_says_of_consistency_reaches_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """How stale and how new a state may be is shown by `test_query`, reading beside writers by `test_transactions`."""
    noted: list[TransactionOption] = []
    plain = EmbeddedTransaction.set_option

    def noting(self: EmbeddedTransaction, option: Any, value: Any = None) -> None:
        noted.append(option)
        plain(self, option, value)

    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel)
            await caller.create("p")
            monkeypatch.setattr(EmbeddedTransaction, "set_option", noting)
            await caller.query()
            assert TransactionOption.CAUSAL_READ_RISKY not in noted
            caller.context.consistency.causal_read_risky = True
            await caller.query()
            assert TransactionOption.CAUSAL_READ_RISKY in noted
            noted.clear()
            await caller.modify(operation("FORCE_UPDATE", "p", rating=1))
            assert TransactionOption.CAUSAL_READ_RISKY not in noted, "who writes sees the newest"

    run(scenario())
