"""Look-ups and saves that come while the server has no rest share a transaction: callers can tell by the cost only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer import RecordMetaDataBuilder, field
from recordlayer.aio import Database
from recordlayer.client.pb import records_pb2, types_pb2
from recordlayer.errors import MaybeCommitted, ProcessBehind
from recordlayer.kv.registry import open_engine
from recordlayer.observe.events import TransactionBegan
from recordlayer.world import World
from recordlayer_server.databases import Databases
from recordlayer_server.places import DEVELOPMENT, PRIVATE, Tenant
from recordlayer_server.together import MOST, PAUSE, Rest, Together, _Group, worked
from tests.support.in_process import InProcess
from tests.support.photos import CONTAINER, descriptor_set
from tests.support.recording import Recording
from tests.support.service import Caller, check_databases, operation, record_name, run

ONE, OTHER = (Tenant("shop", DEVELOPMENT, PRIVATE, user) for user in ("one", "other"))


class Reads:
    """Reads that take a turn of the loop, and double what is asked."""

    def __init__(self) -> None:
        self.made: list[tuple[Tenant, list[int]]] = []
        self.fails = False

    async def __call__(self, tenant: Tenant, asked: Sequence[int]) -> list[int]:
        self.made.append((tenant, list(asked)))
        await asyncio.sleep(0)
        if self.fails:
            raise ProcessBehind
        return [2 * one for one in asked]

    @property
    def sizes(self) -> list[int]:
        return [len(asked) for _, asked in self.made]


def test_a_read_is_done_at_once_while_there_is_rest() -> None:
    async def scenario() -> None:
        reads = Reads()
        together = Together(reads, busy=lambda: False)
        assert await asyncio.gather(*(together.ask(ONE, number) for number in range(20))) == list(range(0, 40, 2))
        assert reads.sizes == [1] * 20

    run(scenario())


def test_those_that_come_without_rest_wait_for_each_other_and_each_gets_its_own() -> None:
    async def scenario() -> None:
        reads = Reads()
        together = Together(reads, busy=lambda: True)

        async def caller(first: int) -> None:
            for number in range(first, first + 60):
                assert await together.ask(ONE, number) == 2 * number

        await asyncio.gather(*(caller(1_000 * each) for each in range(2 * MOST)))
        assert sorted(number for _, asked in reads.made for number in asked) == sorted(
            1_000 * each + number for each in range(2 * MOST) for number in range(60)
        )
        assert 2 < max(reads.sizes) <= MOST
        assert len(reads.made) < 2 * MOST * 60 * 0.75

    run(scenario())


def test_more_than_come_are_expected_ever_less_often() -> None:
    async def scenario() -> None:
        reads = Reads()
        together = Together(reads, busy=lambda: True)

        async def caller(first: int) -> None:
            for number in range(first, first + 150):
                await together.ask(ONE, number)

        async def rounds(callers: int, growing: range) -> _Group[int, int]:
            for _ in range(50):
                await asyncio.gather(*(caller(1_000 * each) for each in range(callers)))
                group = together._groups[ONE]
                if group.growing in growing:
                    return group
                group.alone_until = float("-inf")  # the last of a round may have waited in vain
            raise AssertionError(f"{group.growing} rounds of {callers}, and then more are waited for")

        usual = (await rounds(1, range(100))).growing
        patient = await rounds(5, range(usual + 1, 100))  # more than five were waited for in vain
        assert max(reads.sizes) == 5
        patient.alone_until = float("-inf")
        await rounds(2 * MOST, range(usual, usual + 1))  # they came
        assert max(reads.sizes) == MOST

    run(scenario())


def test_databases_do_not_share_a_read() -> None:
    async def scenario() -> None:
        reads = Reads()
        together = Together(reads, busy=lambda: True)
        asked = [(tenant, number) for number in range(10) for tenant in (ONE, OTHER)]
        await asyncio.gather(*(together.ask(tenant, number) for tenant, number in asked))
        assert sorted((tenant, number) for tenant, numbers in reads.made for number in numbers) == sorted(asked)
        assert len(reads.made) < len(asked)

    run(scenario())


def test_who_has_waited_in_vain_does_not_wait_again_soon() -> None:
    async def scenario() -> None:
        reads = Reads()
        together = Together(reads, busy=lambda: True)
        loop = asyncio.get_running_loop()
        for number in range(3):
            await together.ask(ONE, number)
        assert reads.sizes == [1, 1, 1]  # the second one waited, by itself
        before = loop.time()
        waits = 0
        for number in range(50):
            asking = asyncio.ensure_future(together.ask(ONE, number))
            for _ in range(5):
                await asyncio.sleep(0)
            waits += not asking.done()
            await asking
        assert waits <= 1 + (loop.time() - before) / 0.03

    run(scenario())


def test_several_who_come_where_one_has_waited_in_vain_wait_for_each_other() -> None:
    async def scenario() -> None:
        reads = Reads()
        together = Together(reads, busy=lambda: True)
        for number in range(2):
            await together.ask(ONE, number)  # the second one waits in vain
        await asyncio.gather(*(together.ask(ONE, number) for number in range(6)))
        assert reads.sizes == [1, 1, 1, 1, 2, 2]

    run(scenario())


def test_who_comes_while_the_loop_has_other_work_is_waited_for() -> None:
    async def scenario() -> None:
        reads = Reads()
        together = Together(reads, busy=lambda: True)
        await together.ask(ONE, 0)
        first = asyncio.ensure_future(together.ask(ONE, 1))
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        came = loop.create_future()
        loop.call_soon(time.sleep, 2 * PAUSE)
        loop.call_soon(came.set_result, None)  # somebody comes meanwhile, who is behind the timer in the loop's line
        await came
        assert await asyncio.gather(first, together.ask(ONE, 2)) == [2, 4]
        assert reads.sizes == [1, 2]

    run(scenario())


def test_one_that_leaves_takes_nobody_along() -> None:
    async def scenario() -> None:
        reads = Reads()
        together = Together(reads, busy=lambda: True)
        await together.ask(ONE, 0)
        asking = [asyncio.ensure_future(together.ask(ONE, number)) for number in range(1, 4)]
        await asyncio.sleep(0)
        asking[0].cancel()
        assert await asyncio.gather(*asking[1:]) == [4, 6]
        with pytest.raises(asyncio.CancelledError):
            await asking[0]

    run(scenario())


def test_an_error_is_told_to_all_who_share_the_read() -> None:
    async def scenario() -> None:
        reads = Reads()
        together = Together(reads, busy=lambda: True)
        await together.ask(ONE, 0)
        reads.fails = True
        found = await asyncio.gather(*(together.ask(ONE, number) for number in range(4)), return_exceptions=True)
        assert [type(one) for one in found] == [ProcessBehind] * 4
        assert max(reads.sizes) > 1
        reads.fails = False
        assert await together.ask(ONE, 7) == 14

    run(scenario())


def test_a_thread_is_busy_when_it_has_worked_most_of_the_time() -> None:
    wall = used = 0.0
    rest = Rest(wall=lambda: wall, used=lambda: used)

    def share(worked: float) -> bool:
        nonlocal wall, used
        wall, used = wall + 1.0, used + worked
        return [rest.is_busy() for _ in range(16)][-1]

    assert [share(part) for part in (0.1, 0.7, 0.9, 0.7, 0.5, 0.7)] == [False, False, True, True, False, False]


def described() -> bytes:
    """Photos and albums with indexes whose entries of different records do not meet, so that their writers do not."""
    return (
        RecordMetaDataBuilder.from_descriptor_set(descriptor_set(), file="photos.proto")
        .primary_key("Photo", field("title"))
        .primary_key("Album", field("name"))
        .index("Photo", "by_rating", "rating")
        .index("Album", "by_code", "code", unique=True)
        .build()
        .to_bytes()
    )


@asynccontextmanager
async def in_process(database: Database) -> AsyncIterator[Any]:
    """A channel to a server without rest; at the end every store is checked."""
    async with database:
        databases = Databases(database)
        await databases.put_containers({CONTAINER: described()})
        yield InProcess(databases).channel()
        await check_databases(databases)


def test_a_thread_that_computes_works_and_one_that_sleeps_does_not() -> None:
    before, end = worked(), time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
    assert worked() - before >= 0.019
    before, began = worked(), time.monotonic()
    while time.monotonic() < began + 0.02:
        time.sleep(0.02)
    assert worked() - before <= time.monotonic() - began  # it worked a little, or waited, but not longer than that


def test_callers_at_once_get_what_each_has_asked_for_and_pay_together() -> None:
    begun = Recording(TransactionBegan)

    async def one(caller: Caller, name: str, **said: Any) -> records_pb2.LookupReply:
        asked = [record_name(name, said.pop("zone", ""))]
        request = records_pb2.LookupRequest(context=caller.context, names=asked, **said)
        return await caller.records.Lookup(request)  # type: ignore[no-any-return]

    async def scenario() -> None:
        async with in_process(Database(open_engine("memory:"), world=World(), observer=begun)) as channel:
            caller, nobody = Caller(channel), Caller(channel, container="nothing.here")
            for number in range(10):
                await caller.create(f"photo {number}", rating=number)
            alone = await one(caller, "photo 0")
            for _ in range(3):
                names = [f"photo {number % 12}" for number in range(60)]
                before = len(begun.events)
                replies = await asyncio.gather(*(one(caller, name) for name in names))
                assert len(begun.events) - before < len(names) * 0.75
                for name, reply in zip(names, replies, strict=True):
                    (result,) = reply.results
                    if int(name.split()[1]) < 10:
                        assert result.record.name.name == name
                        assert result.record.fields.fields["rating"].integer_value == int(name.split()[1])
                    else:
                        assert result.status.code == grpc.StatusCode.NOT_FOUND.value[0]
                read = sum(reply.context.cost.keys_read for reply in replies)
                assert read <= alone.context.cost.keys_read * 50  # those that are there
                assert read >= 50
            mixed = await asyncio.gather(
                one(caller, "photo 1", zone="nowhere"),
                one(caller, "photo 1", desired_keys=types_pb2.DesiredKeys(fields=["title"])),
                one(caller, "photo 1", form="MESSAGE"),
                one(nobody, "photo 1"),
                return_exceptions=True,
            )
            assert mixed[0].results[0].status.code == grpc.StatusCode.NOT_FOUND.value[0]
            assert "rating" not in mixed[1].results[0].record.fields.fields
            assert mixed[2].results[0].record.message
            assert isinstance(mixed[3], grpc_aio.AioRpcError)
            assert mixed[3].code() is grpc.StatusCode.PERMISSION_DENIED

    run(scenario())


def test_a_look_up_sees_what_was_saved_before_it_came() -> None:
    async def scenario() -> None:
        async with in_process(Database(open_engine("memory:"), world=World())) as channel:
            caller, stop = Caller(channel), asyncio.Event()

            async def others() -> None:
                while not stop.is_set():
                    await caller.records.Lookup(
                        records_pb2.LookupRequest(context=caller.context, names=[record_name("photo")])
                    )

            crowd = [asyncio.create_task(others()) for _ in range(6)]
            for rating in range(40):
                saved = await caller.modify(operation("FORCE_REPLACE", "photo", rating=rating))
                request = records_pb2.LookupRequest(context=caller.context, names=[record_name("photo")])
                reply = await caller.records.Lookup(request)
                assert reply.context.read_version >= saved.context.commit_version
                assert reply.results[0].record.fields.fields["rating"].integer_value == rating
            stop.set()
            await asyncio.gather(*crowd)

    run(scenario())


def test_saves_at_once_share_a_commit_and_each_is_told_of_its_own() -> None:
    async def scenario() -> None:
        async with in_process(Database(open_engine("memory:"), world=World())) as channel:
            caller = Caller(channel)
            names = [f"photo {number}" for number in range(40)]
            await caller.create("photo 0")  # the database comes into being
            for rating in range(2):
                replies = await asyncio.gather(
                    *(caller.modify(operation("FORCE_REPLACE", name, rating=rating)) for name in names)
                )
                records = [reply.results[0].record for reply in replies]
                assert [record.name.name for record in records] == names
                assert len({record.change_tag for record in records}) == len(names)
                assert len({reply.context.commit_version for reply in replies}) < len(names) * 0.75
                assert min(reply.context.cost.keys_written for reply in replies) > 0
            found = await caller.lookup(*names)
            assert [one.record.change_tag for one in found] == [record.change_tag for record in records]
            changed = await asyncio.gather(
                *(caller.modify(operation("UPDATE", one.name.name, tag=one.change_tag, rating=7)) for one in records)
            )
            assert all(reply.results[0].record.fields.fields["rating"].integer_value == 7 for reply in changed)

    run(scenario())


def test_what_is_refused_is_refused_alone() -> None:
    async def scenario() -> None:
        async with in_process(Database(open_engine("memory:"), world=World())) as channel:
            caller = Caller(channel)
            await caller.create("there", rating=1)
            await caller.create("album", record_type="Album", code="taken")
            good = [operation("CREATE", f"new {number}", rating=number) for number in range(20)]
            bad = [
                operation("CREATE", "there", rating=2),
                operation("UPDATE", "nobody", tag=b"x" * 12, rating=2),
                operation("UPDATE", "there", tag=b"x" * 12, rating=2),
                operation("CREATE", "second album", record_type="Album", code="taken"),
                operation("CREATE", "of no type", record_type="Nothing"),
                operation("CREATE", "no zone", zone="nowhere", rating=2),
            ]
            both = [one for pair in zip(bad, good, strict=False) for one in pair] + good[len(bad) :]
            results = await asyncio.gather(*(caller.modify(one) for one in both), return_exceptions=True)
            told = {
                one.record.name.name: result.code().name
                for one, result in zip(both, results, strict=True)
                if isinstance(result, grpc_aio.AioRpcError)
            }
            assert told == {
                "there": "ABORTED",  # the second of the two
                "nobody": "NOT_FOUND",
                "second album": "ALREADY_EXISTS",
                "of no type": "INVALID_ARGUMENT",
                "no zone": "NOT_FOUND",
            }
            assert isinstance(results[0], grpc_aio.AioRpcError)
            assert results[0].code() is grpc.StatusCode.ALREADY_EXISTS
            names = sorted(await caller.names())
            assert names == sorted(["there", *(f"new {number}" for number in range(20))])

    run(scenario())


def test_saves_of_one_record_at_once_come_one_behind_the_other() -> None:
    async def scenario() -> None:
        async with in_process(Database(open_engine("memory:"), world=World())) as channel:
            caller = Caller(channel)
            await caller.create("counted", rating=0)
            change = records_pb2.Operation(type="FORCE_UPDATE")
            change.record.name.CopyFrom(record_name("counted"))
            change.record.record_type = "Photo"
            change.transforms.add(field="rating").increment.integer_value = 1
            replies = await asyncio.gather(*(caller.modify(change) for _ in range(30)))
            ratings = [reply.results[0].record.fields.fields["rating"].integer_value for reply in replies]
            assert sorted(ratings) == list(range(1, 31))
            assert len({reply.results[0].record.change_tag for reply in replies}) == 30

    run(scenario())


def test_a_commit_that_may_have_happened_is_told_to_all_and_not_made_again() -> None:
    async def scenario() -> None:
        database = Database(open_engine("memory:"), world=World())
        async with in_process(database) as channel:
            caller = Caller(channel)
            await caller.create("first")
            run_before, made = database.run, 0

            async def unsure(function: Any, **said: Any) -> Any:
                nonlocal made
                made += 1
                await run_before(function, **said)
                raise MaybeCommitted

            database.run = unsure  # type: ignore[method-assign]
            changes = (operation("FORCE_UPDATE", f"photo {number}", rating=1) for number in range(8))
            results = await asyncio.gather(*(caller.modify(one) for one in changes), return_exceptions=True)
            del database.run
            assert {result.code() for result in results if isinstance(result, grpc_aio.AioRpcError)} == {
                grpc.StatusCode.UNKNOWN
            }
            assert len([one for one in results if isinstance(one, grpc_aio.AioRpcError)]) == 8
            assert made < 8  # some shared a transaction
            assert len(await caller.names()) == 9

    run(scenario())
