"""Reading through the service: pages, streams, continuations, consistency, aggregates, explanations, partitions."""

from __future__ import annotations

import asyncio
import operator
import os
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Self

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc import aio as grpc_aio
from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer import RecordMetaData
from recordlayer.aio import Database, RecordStore, Transaction
from recordlayer.client.pb import context_pb2, filter_pb2, records_pb2, types_pb2, zones_pb2
from recordlayer.kv.registry import open_engine
from recordlayer.observe.events import CommitFinished, Event
from recordlayer.online.options import BuildLimits
from recordlayer.tuples import Subspace
from recordlayer.world import World
from recordlayer_server import statuses
from recordlayer_server.databases import Databases
from recordlayer_server.limits import Limits
from recordlayer_server.places import DEVELOPMENT, PUBLIC, SPACE, Tenant, of_database
from recordlayer_server.services import services
from recordlayer_server.serving import Serving
from tests.support.photos import CONTAINER
from tests.support.service import (
    Caller,
    calling,
    operation,
    photos,
    reason,
    retries,
    run,
    status_of,
    value,
    where,
)

LONG = os.environ.get("RECORDLAYER_LONG_TESTS") == "1"


def with_caller(scenario: Callable[[Caller], Awaitable[None]], **how: Any) -> None:
    async def run_it() -> None:
        async with photos(**how) as (server, _), calling(server) as channel:
            await scenario(Caller(channel))

    run(run_it())


async def refused(call: Awaitable[Any]) -> grpc_aio.AioRpcError:
    with pytest.raises(grpc_aio.AioRpcError) as caught:
        await call
    return caught.value


async def fill(caller: Caller, number: int, *, zone: str = "", **fields: Any) -> list[str]:
    names = [f"p{place:04}" for place in range(number)]
    for first in range(0, number, 100):
        some = names[first : first + 100]
        await caller.modify(
            *(operation("CREATE", name, zone=zone, rating=int(name[1:]) % 7, title=name, **fields) for name in some)
        )
    return names


def test_pages_end_for_a_reason_and_go_on() -> None:
    async def scenario(caller: Caller) -> None:
        names = await fill(caller, 30)
        page = await caller.query(limit=7)
        assert page.end_reason == context_pb2.RECORD_LIMIT
        assert [record.name.name for record in page.records] == names[:7]
        reasons, found = [], []
        said: dict[str, Any] = {"limits": context_pb2.ReadLimits(keys=4)}
        while True:
            page = await caller.query(where("rating", "EQUALS", 3), **said)
            reasons.append(page.end_reason)
            found += [record.name.name for record in page.records]
            if not page.continuation:
                break
            said["continuation"] = page.continuation
        assert found == [name for name in names if int(name[1:]) % 7 == 3]
        assert reasons[-1] == context_pb2.EXHAUSTED

    with_caller(scenario)


def test_a_page_without_records_is_not_the_end() -> None:
    async def scenario(caller: Caller) -> None:
        names = await fill(caller, 30)
        said: dict[str, Any] = {"limits": context_pb2.ReadLimits(keys=5)}
        page = await caller.query(where("small", "IS_NULL"), **said)
        assert page.records
        empty = await caller.query(where("small", "NOT_NULL"), **said)
        assert (len(empty.records), empty.end_reason) == (0, context_pb2.SCAN_LIMIT)
        assert empty.continuation
        assert await caller.names(where("small", "IS_NULL"), **said) == names

    with_caller(scenario)


def test_replies_stay_below_the_size_of_a_message() -> None:
    async def scenario(caller: Caller) -> None:
        for number in range(6):
            await caller.create(f"p{number}", hash=bytes(90_000))
        page = await caller.query()
        assert page.end_reason == context_pb2.RECORD_LIMIT
        assert len(page.records) < 6
        assert await caller.names() == [f"p{number}" for number in range(6)]
        looked = await caller.lookup(*(f"p{number}" for number in range(6)))
        ends = [result.status.code for result in looked]
        assert ends[0] == 0
        assert ends[-1] == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]

    with_caller(scenario, limits=Limits(message_bytes=400_000))


def test_records_larger_than_a_message_go_and_come_in_chunks() -> None:
    limits = Limits(record_bytes=6_000_000)

    async def scenario(caller: Caller) -> None:
        data = random.Random(1).randbytes(5_000_000)
        field = b"\x3a" + _varint(len(data))  # hash = 7
        message = field + data
        batch = records_pb2.ModifyStreamRequest.Batch(sequence=1, operations=[operation("CREATE", "large")])
        batch.operations[0].record.chunked = True
        open_ = records_pb2.ModifyStreamRequest.Open(context=caller.context, desired_keys=types_pb2.DesiredKeys())
        chunks = [message[at : at + 1_000_000] for at in range(0, len(message), 1_000_000)]
        sent = [
            records_pb2.ModifyStreamRequest(open=open_),
            *(records_pb2.ModifyStreamRequest(chunk=chunk) for chunk in chunks),
            records_pb2.ModifyStreamRequest(batch=batch),
        ]
        replies = [reply async for reply in caller.records.ModifyStream(iter(sent))]
        assert [reply.status.code for reply in replies] == [0], replies
        await caller.create("small", title="t")
        error = await refused(caller.query())
        assert reason(error) == "MESSAGE_TOO_LARGE"
        got, names = b"", []
        async for part in caller.records.QueryStream(records_pb2.QueryRequest(context=caller.context)):
            got += part.chunk
            names += [record.name.name for record in part.records]
            if part.last_chunk:
                assert part.continuation
        assert got == message
        assert names == ["large", "small"]

    with_caller(scenario, limits=limits)


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


def test_a_stream_of_changes_answers_each_batch_in_its_order() -> None:
    async def scenario(caller: Caller) -> None:
        open_ = records_pb2.ModifyStreamRequest.Open(context=caller.context, quiet=True)
        sent = [records_pb2.ModifyStreamRequest(open=open_)]
        for sequence in range(1, 11):
            batch = records_pb2.ModifyStreamRequest.Batch(sequence=sequence)
            batch.operations.append(operation("CREATE", f"p{sequence % 9}", title="t"))
            sent.append(records_pb2.ModifyStreamRequest(batch=batch))
        replies = [reply async for reply in caller.records.ModifyStream(iter(sent))]
        assert [reply.sequence for reply in replies] == list(range(1, 11))
        assert [bool(reply.status.code) for reply in replies] == [False] * 9 + [True]
        assert all(not reply.results for reply in replies)
        assert len(await caller.names()) == 9

    with_caller(scenario)


def test_a_cut_stream_goes_on_behind_its_last_message() -> None:
    async def scenario(caller: Caller) -> None:
        names = await fill(caller, 50)
        request = records_pb2.QueryRequest(context=caller.context, limits=context_pb2.ReadLimits(keys=20))
        found: list[str] = []
        while True:
            stream = caller.records.QueryStream(request)
            async for part in stream:
                found += [record.name.name for record in part.records]
                request.continuation = part.continuation
                stream.cancel()
                break
            if not request.continuation:
                break
        assert found == names
        request.continuation, request.limit = b"", 13
        whole = [record.name.name async for part in caller.records.QueryStream(request) for record in part.records]
        assert whole == names[:13]

    with_caller(scenario)


def test_orders_go_both_ways_by_an_index_or_in_memory() -> None:
    async def scenario(caller: Caller) -> None:
        for name, rating in (("a", 3), ("b", 1), ("c", 2)):
            await caller.create(name, rating=rating, ratio=float(-rating))
        by = records_pb2.QueryRequest().sort
        by.add(field="rating")
        assert await caller.names(sort=by) == ["b", "c", "a"]
        by[0].descending = True
        assert await caller.names(sort=by, limit=1) == ["a", "c", "b"]
        by[0].field = "ratio"
        error = await refused(caller.query(sort=by))
        assert (error.code(), reason(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "INDEX_REQUIRED")
        assert await caller.names(sort=by, sort_in_memory=100) == ["b", "c", "a"]

    with_caller(scenario)


def test_system_fields_can_be_asked_for_and_not_written() -> None:
    async def scenario(caller: Caller) -> None:
        first = await caller.create("a", title="t")
        await caller.create("b", title="t")
        later = types_pb2.Value(timestamp_value=first.created.time)
        assert await caller.names(where("$created_at", "GREATER_THAN", later)) == ["b"]
        assert await caller.names(where("$name", "BEGINS_WITH", "a")) == ["a"]
        assert reason(await refused(caller.query(where("recordlayer_system.zone", "EQUALS", "")))) == "BAD_REQUEST"

    with_caller(scenario)


# -- continuations ---------------------------------------------------------------------------------------------------


def test_a_continuation_works_for_its_own_query_and_database_alone() -> None:
    """S11: forged, foreign, truncated, expired."""

    async def run_it() -> None:
        async with photos() as (server, _), calling(server) as channel:
            ana, bo = Caller(channel, user="ana"), Caller(channel, user="bo")
            for caller in (ana, bo):
                await caller.zone("z")
                for zone in ("", "z"):
                    await fill(caller, 5, zone=zone)
            token = (await ana.query(limit=2)).continuation
            assert b"p0001" not in token
            zone = types_pb2.ZoneName(name="z")
            for stolen in (
                bo.query(limit=2, continuation=token),
                ana.query(limit=2, continuation=token, zone=zone),
                ana.query(where("rating", "EQUALS", 1), limit=2, continuation=token),
                ana.query(limit=2, continuation=token, record_types=["Album"]),
                ana.query(limit=2, continuation=token, zone_wide=True),
                ana.query(limit=2, continuation=token[:-1]),
                ana.query(limit=2, continuation=b"\x00" + token),
                ana.query(limit=2, partition=token),
                ana.zones.List(zones_pb2.ListZonesRequest(context=ana.context, continuation=token)),
            ):
                error = await refused(stolen)
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert reason(error) in ("CONTINUATION_MISMATCH", "BAD_REQUEST")
            assert len((await ana.query(limit=9, continuation=token)).records) == 3

    run(run_it())


def test_a_continuation_expires_with_a_word_of_its_own() -> None:
    async def scenario(caller: Caller) -> None:
        await fill(caller, 5)
        token = (await caller.query(limit=2)).continuation
        await asyncio.sleep(2.1)
        assert reason(await refused(caller.query(limit=2, continuation=token))) == "CONTINUATION_EXPIRED"

    with_caller(scenario, limits=Limits(continuation_age=timedelta(seconds=1)))


@settings(max_examples=2_000 if LONG else 20, deadline=None)
@given(data=st.data())
def test_a_continuation_that_was_changed_never_gives_data(data: st.DataObject) -> None:
    async def run_it() -> None:
        async with photos() as (server, _), calling(server) as channel:
            ana, bo = Caller(channel, user="ana"), Caller(channel, user="bo")
            await fill(ana, 3)
            await fill(bo, 3, camera={"make": "secret"})
            token = bytearray((await bo.query(limit=1)).continuation)
            for _ in range(10):
                at = data.draw(st.integers(0, len(token) - 1))
                forged = bytes(token[:at]) + data.draw(st.binary(max_size=8)) + bytes(token[at + 1 :])
                error = await refused(ana.query(limit=2, continuation=forged))
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert "secret" not in str(error)

    run(run_it())


# -- consistency -----------------------------------------------------------------------------------------------------


def test_what_one_server_wrote_another_reads_even_from_a_stale_state() -> None:
    async def run_it() -> None:
        async with photos() as (one, databases), calling(one) as first:
            again = Databases(databases.database)
            two = Serving(one._config, databases.database, services=services(again))
            await two.start()
            try:
                async with calling(two) as second:
                    writer, reader = Caller(first), Caller(second)
                    stale = reader.context.consistency
                    stale.max_staleness.CopyFrom(Duration(seconds=60))
                    await reader.lookup("a")
                    for rating in range(5):
                        reply = await writer.modify(operation("FORCE_UPDATE", "a", rating=rating))
                        assert reply.context.commit_version > 0
                        stale.minimum_version = reply.context.commit_version
                        found = (await reader.lookup("a"))[0].record
                        assert found.fields.fields["rating"] == value(rating)
                    page = await reader.query(limit=1)
                    assert page.context.read_version >= stale.minimum_version
            finally:
                await two.drain()

    run(run_it())


def test_a_version_that_nobody_has_seen_is_waited_for_by_the_caller() -> None:
    async def scenario(caller: Caller) -> None:
        await caller.create("a")
        caller.context.consistency.minimum_version = 1 << 62
        error = await refused(caller.lookup("a"))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert retries(status_of(error))

    with_caller(scenario)


def test_a_reply_says_what_the_call_cost_and_had_left() -> None:
    async def scenario(caller: Caller) -> None:
        reply = await caller.modify(operation("CREATE", "a", title="t", rating=1))
        assert reply.context.cost.keys_written >= 4
        caller.context.request_id = "mine-1"
        request = records_pb2.QueryRequest(context=caller.context)
        page = await caller.records.Query(request, timeout=30)
        assert page.context.request_id == "mine-1"
        assert page.context.read_version >= reply.context.commit_version
        assert page.context.cost.keys_read == 2  # the record and its version: the rest was known
        assert 20 <= page.context.time_left.seconds <= 30

    with_caller(scenario)


# -- deadlines -------------------------------------------------------------------------------------------------------


class Endless:
    """Lets reads of one server go on for ever: they scan again and again."""

    def __init__(self, databases: Databases) -> None:
        self.began = asyncio.Event()
        self.scans = 0
        self._databases = databases
        self._records = databases.records

    async def __aenter__(self) -> Self:
        self._databases.records = self._scanning  # type: ignore[method-assign]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._databases.records = self._records  # type: ignore[method-assign]

    async def _scanning(self, tx: Transaction, tenant: Tenant, *, create: bool = False) -> RecordStore | None:
        while True:
            self.began.set()
            store = await self._records(tx, tenant, create=create)
            assert store is not None
            await store.scan(limit=50).all()
            self.scans += 1
            await asyncio.sleep(0)


@pytest.mark.parametrize("whose", ["the caller's", "the server's"])
def test_behind_the_deadline_nothing_more_is_read(whose: str) -> None:
    """S10: the caller is answered in time, and the engine is left alone."""

    async def run_it() -> None:
        limits = Limits() if whose == "the caller's" else Limits(default_deadline=timedelta(seconds=1))
        async with photos(limits=limits) as (server, databases), calling(server) as channel:
            caller = Caller(channel)
            await fill(caller, 50)
            async with Endless(databases) as endless:
                request = records_pb2.QueryRequest(context=caller.context)
                error = await refused(caller.records.Query(request, timeout=0.2 if whose == "the caller's" else None))
                assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                await server.calls.idle()
                scans = endless.scans
                await asyncio.sleep(0.05)
                assert endless.scans == scans

    run(run_it())


def test_a_page_ends_when_it_has_read_as_many_bytes_as_it_may() -> None:
    async def scenario(caller: Caller) -> None:
        names = await fill(caller, 50, hash=bytes(400))
        said: dict[str, Any] = {"limits": context_pb2.ReadLimits(bytes=4_000)}
        page = await caller.query(**said)
        assert page.end_reason == context_pb2.BYTE_LIMIT
        assert len(page.records) < 15
        assert await caller.names(**said) == names

    with_caller(scenario)


def test_a_caller_who_leaves_takes_the_work_along() -> None:
    async def run_it() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            caller = Caller(channel)
            await fill(caller, 50)
            async with Endless(databases) as endless:
                call = caller.records.Query(records_pb2.QueryRequest(context=caller.context))
                await endless.began.wait()
                call.cancel()
                await server.calls.idle()
                scans = endless.scans
                await asyncio.sleep(0.05)
                assert endless.scans == scans

    run(run_it())


# -- aggregates, explanations, partitions ----------------------------------------------------------------------------


def test_aggregates_come_from_indexes() -> None:
    async def scenario(caller: Caller) -> None:
        for number in range(10):
            kind = "PICTURE" if number % 2 else "PANORAMA"
            await caller.create(f"p{number}", rating=number, kind=kind)

        async def ask(function: str, field: str = "", **said: Any) -> types_pb2.Value:
            request = records_pb2.AggregateRequest(
                context=caller.context, record_type="Photo", function=function, field=field, **said
            )
            return (await caller.records.Aggregate(request)).value

        pictures = [records_pb2.FieldValue(field="kind", value=value("PICTURE"))]
        hidden = [records_pb2.FieldValue(field="hidden", value=value(True))]
        assert await ask("COUNT") == value(10)
        assert await ask("COUNT", group=pictures) == value(5)
        assert await ask("SUM", "rating", group=pictures) == value(1 + 3 + 5 + 7 + 9)
        assert await ask("MIN", "rating") == value(0)
        assert await ask("MAX", "rating") == value(9)
        assert await ask("MAX", "rating", group=pictures) == value(9)
        assert await ask("MIN", "rating", group=pictures) == value(1)
        assert await ask("RANK", "rating", value=value(4)) == value(4)
        assert await ask("PERCENTILE", "rating", fraction=0.5) == value(4)
        assert await ask("COUNT", filter=where("rating", "LESS_THAN", 3)) == value(3)
        one_key = context_pb2.ReadLimits(keys=1)  # a COUNT index has it in one
        assert await ask("COUNT", filter=where("kind", "EQUALS", "PICTURE"), limits=one_key) == value(5)
        assert await ask("COUNT", filter=where("kind", "IN", ["PICTURE", "PANORAMA"]), limits=one_key) == value(10)
        for wrong in (ask("SUM", "views"), ask("COUNT", group=hidden), ask("RANK", "views", value=value(1))):
            assert reason(await refused(wrong)) == "INDEX_REQUIRED"
        few = context_pb2.ReadLimits(keys=3)
        assert reason(await refused(ask("COUNT", filter=where("views", "IS_NULL"), limits=few))) == "INDEX_REQUIRED"

    with_caller(scenario)


def test_an_index_that_is_being_built_is_named_with_how_far_it_is() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            caller = Caller(channel)
            await fill(caller, 12, kind="PICTURE")
            tenant = Tenant(CONTAINER, DEVELOPMENT, PUBLIC, "")

            async def take(tx: Transaction) -> tuple[RecordMetaData, Subspace]:
                store = await databases.records(tx, tenant)
                assert store is not None
                for index in ("by_title", "rating_by_kind"):
                    await store.disable_index(index)
                place = await tx.key_space(SPACE).resolve(of_database(tenant))
                return store.metadata, place.subspace[0]

            metadata, path = await databases.database.run(take)
            build = databases.database.online_indexer(
                metadata, path=path, indexes=["by_title"], limits=BuildLimits(records=3), told=lambda _: build.stop()
            )
            assert not (await build.build()).finished
            asked = records_pb2.AggregateRequest(
                context=caller.context,
                record_type="Photo",
                function="SUM",
                field="rating",
                group=[records_pb2.FieldValue(field="kind", value=value("PICTURE"))],
            )
            sort = [filter_pb2.Sort(field="title")]
            for index, state, call in (
                ("by_title", "WRITE_ONLY", caller.query(sort=sort)),
                ("rating_by_kind", "DISABLED", caller.records.Aggregate(asked)),
            ):
                error = await refused(call)
                assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
                info = error_details_pb2.ErrorInfo()
                assert status_of(error).details[0].Unpack(info)
                told = dict(info.metadata)
                assert (info.reason, told["index"], told["state"]) == ("INDEX_NOT_READABLE", index, state)
                assert told.get("progress") == ("0.250" if state == "WRITE_ONLY" else None)
                assert not retries(status_of(error))
            for index in ("by_title", "rating_by_kind"):
                await databases.database.online_indexer(metadata, path=path, indexes=[index]).build()
            assert len((await caller.query(sort=sort)).records) == 12
            assert (await caller.records.Aggregate(asked)).value == value(31)

    run(scenario())


def test_durations_and_lists_of_timestamps_are_compared_and_sorted_by() -> None:
    async def scenario(caller: Caller) -> None:
        spans = {"a": (0, 0), "b": (0, 500_000_000), "c": (1, 0), "d": (-1, -1)}
        for name, (seconds, nanos) in spans.items():
            visits = [Timestamp(seconds=seconds + 10, nanos=abs(nanos)), Timestamp(seconds=70)]
            await caller.create(name, exposure={"seconds": seconds, "nanos": nanos}, visits=visits)
        await caller.create("unset")
        for comparator, test in {"LESS_THAN": operator.lt, "GREATER_THAN_OR_EQUALS": operator.ge}.items():
            for span in spans.values():
                condition = where("exposure", comparator, {"seconds": span[0], "nanos": span[1]})
                assert set(await caller.names(condition)) == {key for key, one in spans.items() if test(one, span)}
        # One element has to have both.
        assert await caller.names(where("visits", "LIST_CONTAINS", Timestamp(seconds=10, nanos=500_000_000))) == ["b"]
        assert await caller.names(where("visits", "LIST_CONTAINS", Timestamp(seconds=70, nanos=500_000_000))) == []
        page = await caller.query(sort=[filter_pb2.Sort(field="exposure")], sort_in_memory=100)
        found = [record.name.name for record in page.records]
        assert found == ["a", "unset", "b", "d", "c"]  # a second of 0 sorts as one that is not there, as in an index
        for wrong in (value(7), value({"second": 1}), value({"seconds": 1, "nanos": -1}), value({"nanos": 10**9})):
            assert reason(await refused(caller.query(where("exposure", "EQUALS", wrong)))) == "BAD_REQUEST"
        times = where("taken", "LESS_THAN", Timestamp(seconds=1 << 60))
        assert reason(await refused(caller.query(times))) == "BAD_REQUEST"

    with_caller(scenario)


def test_an_explanation_says_which_index_and_what_it_took() -> None:
    async def scenario(caller: Caller) -> None:
        await fill(caller, 20)
        asked = records_pb2.QueryRequest(
            context=caller.context, record_types=["Photo"], filter=where("rating", "EQUALS", 3)
        )
        reply = await caller.records.Explain(records_pb2.ExplainRequest(query=asked, analyze=True))
        assert list(reply.indexes) == ["by_rating"]
        assert "by_rating" in reply.plan
        assert reply.analysis.records == 3
        assert reply.analysis.cost.keys_read > 0
        assert {one.index for one in reply.rejected} >= {"by_title"}
        asked.sort.add(field="views")
        none = await caller.records.Explain(records_pb2.ExplainRequest(query=asked))
        assert "views" in none.missing_index

    with_caller(scenario)


def test_partitions_are_all_of_a_zone_and_do_not_overlap() -> None:
    async def scenario(caller: Caller) -> None:
        names = await fill(caller, 300, hash=bytes(300))
        request = records_pb2.PartitionRequest(context=caller.context, parts=4)
        parts = list((await caller.records.Partition(request)).partitions)
        assert len(parts) > 1
        found = await asyncio.gather(*(caller.names(partition=part, limit=50) for part in parts))
        assert [name for part in found for name in part] == names
        assert all(found)

    with_caller(scenario)


# -- zones -----------------------------------------------------------------------------------------------------------


def test_a_zone_goes_with_its_records_and_index_entries_and_comes_back_as_another() -> None:
    async def scenario(caller: Caller) -> None:
        assert (await caller.zone("z")).zone.incarnation == 1
        await fill(caller, 20, zone="z", tags=["x"])
        await fill(caller, 3)
        zone = types_pb2.ZoneName(name="z")
        assert (await caller.zone("z", "DELETE")).zone.deleted
        assert reason(await refused(caller.query(zone=zone))) == "ZONE_NOT_FOUND"
        assert (await caller.lookup("p0000", zone="z"))[0].status.code == grpc.StatusCode.NOT_FOUND.value[0]
        assert reason(await refused(caller.create("new", zone="z"))) == "ZONE_NOT_FOUND"
        assert (await caller.zone("z")).zone.incarnation == 2
        assert await caller.names(where("tags", "LIST_CONTAINS", "x"), zone=zone) == []
        count = records_pb2.AggregateRequest(context=caller.context, zone=zone, record_type="Photo", function="COUNT")
        assert (await caller.records.Aggregate(count)).value == value(0)
        assert len(await caller.names()) == 3

    with_caller(scenario)


def test_zones_are_listed_and_looked_up() -> None:
    async def scenario(caller: Caller) -> None:
        for name in ("b", "a", "c"):
            await caller.zone(name)
        await caller.zone("b", "DELETE")
        request = zones_pb2.ListZonesRequest(context=caller.context, limit=2)
        first = await caller.zones.List(request)
        request.continuation = first.continuation
        second = await caller.zones.List(request)
        assert [zone.name.name for zone in (*first.zones, *second.zones)] == ["", "a", "c"]
        assert not second.continuation
        names = [types_pb2.ZoneName(name=name) for name in ("a", "b", "", "x")]
        looked = await caller.zones.Lookup(zones_pb2.LookupZonesRequest(context=caller.context, names=names))
        assert [result.status.code for result in looked.results] == [0, 5, 0, 5]
        assert reason_of_zone(await caller.zone("", "DELETE")) != ""

    with_caller(scenario)


def reason_of_zone(result: zones_pb2.ZoneResult) -> str:
    return statuses.reason_of(result.status)


def test_a_query_over_all_zones_gives_each_record_once_page_by_page() -> None:
    async def scenario(caller: Caller) -> None:
        for zone in ("", "a", "b", "c"):
            if zone:
                await caller.zone(zone)
            if zone != "b":
                await fill(caller, 5, zone=zone)
        for limit in (0, 1, 3, 5):
            found: list[tuple[str, str]] = []
            said: dict[str, Any] = {"zone_wide": True, "limit": limit}
            while True:
                page = await caller.query(where("title", "NOT_NULL"), **said)
                found += [(record.name.zone.name, record.name.name) for record in page.records]
                if not page.continuation:
                    break
                said["continuation"] = page.continuation
            assert found == [(zone, f"p{number:04}") for zone in ("", "a", "c") for number in range(5)]

    with_caller(scenario)


def test_databases_of_users_are_apart() -> None:
    async def run_it() -> None:
        async with photos() as (server, _), calling(server) as channel:
            ana, bo, public = Caller(channel, user="ana"), Caller(channel, user="bo"), Caller(channel)
            for caller, title in ((ana, "hers"), (bo, "his"), (public, "everybody's")):
                await caller.create("same", title=title)
            for caller, title in ((ana, "hers"), (bo, "his"), (public, "everybody's")):
                found = (await caller.lookup("same"))[0].record
                assert found.fields.fields["title"] == value(title)
                assert await caller.names() == ["same"]

    run(run_it())


def test_a_database_that_was_never_written_to_is_empty_and_stays_unknown() -> None:
    async def run_it() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            nobody = Caller(channel, user="nobody")
            assert (await nobody.lookup("a"))[0].status.code == grpc.StatusCode.NOT_FOUND.value[0]
            assert await nobody.names() == []
            assert reason(await refused(nobody.query(where("nowhere", "EQUALS", 1)))) == "BAD_REQUEST"
            assert not databases._places

    run(run_it())


def test_writers_of_different_records_of_a_zone_are_in_nobodys_way() -> None:
    """S1: no commit meets a conflict. (A RANK index has counters that its neighbours share: `rating` is left alone.)"""

    async def run_it() -> None:
        commits = Commits()
        database = Database(open_engine("memory:"), world=World(), observer=commits)
        async with photos(database=database) as (server, _), calling(server) as channel:
            caller = Caller(channel)
            await caller.zone("z")
            await caller.modify(*(operation("CREATE", f"w{writer}", zone="z") for writer in range(2)))

            async def write(writer: int) -> None:
                for number in range(5_000 if LONG else 150):
                    one = operation("FORCE_UPDATE", f"w{writer}", zone="z", title=f"{number}", tags=[f"t{number % 3}"])
                    await caller.modify(one)

            before = commits.seen, commits.conflicts
            await asyncio.gather(write(0), write(1))
            assert commits.seen - before[0] >= 150  # both writers may have shared each
            assert commits.conflicts == before[1]

    run(run_it())


class Commits:
    """Counts commits, and those that met a conflict."""

    def __init__(self) -> None:
        self.seen = self.conflicts = 0

    def wants(self, kind: type[Event]) -> bool:
        return kind is CommitFinished

    def observe(self, event: Event) -> None:
        assert isinstance(event, CommitFinished)
        self.seen += 1
        self.conflicts += event.conflict
