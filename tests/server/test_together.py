"""Look-ups that come while the server has no rest share a transaction, and nobody can tell but by what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer.aio import Database
from recordlayer.client.pb import records_pb2, types_pb2
from recordlayer.errors import ProcessBehind
from recordlayer.kv.registry import open_engine
from recordlayer.observe.events import TransactionBegan
from recordlayer.world import World
from recordlayer_server.databases import Databases
from recordlayer_server.places import DEVELOPMENT, PRIVATE, Tenant
from recordlayer_server.together import MOST, Rest, Together
from tests.support.in_process import InProcess
from tests.support.photos import CONTAINER, description
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
        assert waits <= 1 + (loop.time() - before) / 0.1

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


@asynccontextmanager
async def in_process(database: Database) -> AsyncIterator[Any]:
    """A channel to a server without rest; at the end every store is checked."""
    async with database:
        databases = Databases(database)
        await databases.put_containers({CONTAINER: description()})
        yield InProcess(databases).channel()
        await check_databases(databases)


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
                assert len(begun.events) - before < len(names) / 2
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
