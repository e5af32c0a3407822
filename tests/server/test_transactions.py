"""Transactions of several steps on one stream: what they see, how they commit, and how they end otherwise."""

from __future__ import annotations

from datetime import timedelta

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer.client.pb import records_pb2
from recordlayer_server import statuses
from recordlayer_server.call import Asked
from recordlayer_server.limits import Limits
from recordlayer_server.operation.around import Around
from tests.support.service import (
    Caller,
    calling,
    operation,
    photos,
    reason,
    retries,
    run,
    serving_over,
    status_of,
    where,
)
from tests.support.transacting import Reply, Transact


def test_steps_see_what_was_written_before_and_nobody_else_does_until_the_commit() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("old", rating=1)
            async with Transact(caller) as tx:
                assert tx.begun.begun.operations == 1_000
                made = await tx.modify(operation("CREATE", "new", rating=1), operation("FORCE_DELETE", "old"))
                assert [result.status.code for result in made.modify.results] == [0, 0]
                assert made.context.cost.keys_written
                old, new = await tx.look_up("old", "new")
                assert old is None
                assert new is not None
                again = await tx.modify(operation("UPDATE", "new", tag=new.change_tag, title="t"))
                assert not again.modify.results[0].status.code, (
                    "a tag from before the commit is good in the transaction"
                )
                query = records_pb2.QueryRequest(record_types=["Photo"], filter=where("rating", "EQUALS", 1))
                assert [each.name.name for each in (await tx.step(query=query)).query.records] == ["new"]
                assert await caller.names() == ["old"]
                done = await tx.commit()
                assert await tx.end() == []
            found = (await caller.lookup("new"))[0].record
            told = {record.name.name: record for record in done.committed.records}
            assert told["new"].change_tag == found.change_tag
            assert told["old"].deleted
            assert done.context.commit_version
            assert await caller.names() == ["new"]
            [changed] = (await caller.zone_changes({"": b""})).zones
            assert [record.name.name for record in changed.records] == ["new"], "changes are told as those of Modify"

    run(scenario())


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_transaction_that_read_what_has_changed_is_told_to_begin_again(*, snapshot: bool) -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("p", rating=1)
            caller.context.consistency.snapshot = snapshot
            async with Transact(caller) as tx:
                query = records_pb2.QueryRequest(record_types=["Photo"], filter=where("rating", "EQUALS", 1))
                await tx.step(query=query)
                await tx.look_up("p")
                await caller.modify(operation("FORCE_UPDATE", "p", rating=1, title="other"))
                await tx.modify(operation("CREATE", "q", rating=5))
                if snapshot:
                    assert (await tx.commit()).WhichOneof("kind") == "committed"
                    return
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await tx.commit()
            assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.ABORTED, "CONTENTION")
            assert retries(status_of(caught.value))
            assert "record ('', 'p') of Photo" in str(caught.value.details())
            assert " in /" not in str(caught.value.details())  # where the store lies is not told
            assert await caller.names() == ["p"]

    run(scenario())


def test_steps_that_are_refused_leave_the_transaction_and_a_failed_atomic_one_ends_it() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("p", title="t")
            async with Transact(caller) as tx:
                refused = (await tx.step(lookup=records_pb2.LookupRequest())).refused
                assert statuses.reason_of(refused) == "BAD_REQUEST"
                query = records_pb2.QueryRequest(record_types=["Photo"], filter=where("nosuch", "EQUALS", 1))
                assert statuses.reason_of((await tx.step(query=query)).refused) == "BAD_REQUEST"
                both = (operation("CREATE", "p"), operation("CREATE", "q", title="t"))
                each = (await tx.modify(*both, atomic=False)).modify.results
                assert [statuses.reason_of(result.status) for result in each] == ["EXISTS", ""]
                assert (await tx.commit()).WhichOneof("kind") == "committed"
            assert await caller.names() == ["p", "q"]
            async with Transact(caller) as tx:
                await tx.modify(operation("CREATE", "r"))
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await tx.modify(operation("CREATE", "s"), operation("CREATE", "p"))
            assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.ALREADY_EXISTS, "EXISTS")
            assert await caller.names() == ["p", "q"]

    run(scenario())


@pytest.mark.parametrize("how", ["rollback", "half-closed", "cancelled"])
def test_who_leaves_without_a_commit_has_rolled_back_and_his_place_is_free(how: str) -> None:
    async def scenario() -> None:
        limits = Limits(transactions_per_database=1)
        async with photos(limits=limits) as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            async with Transact(caller) as tx:
                await tx.modify(operation("CREATE", "p"))
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    async with Transact(caller):
                        pass
                assert (caught.value.code(), reason(caught.value)) == (
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "THROTTLED",
                )
                assert retries(status_of(caught.value))
                async with Transact(Caller(channel, user="bob")) as other:
                    await other.step(rollback={})
                if how == "rollback":
                    assert (await tx.step(rollback={})).WhichOneof("kind") == "rolled_back"
                elif how == "half-closed":
                    await tx.done_writing()
                    assert [reply.WhichOneof("kind") for reply in await tx.end()] == ["rolled_back"]
            await server.calls.idle()  # a cancelled call is on its way out
            async with Transact(caller) as tx:
                assert await tx.look_up("p") == [None]
                await tx.modify(operation("CREATE", "p"))
                await tx.commit()

    run(scenario())


@pytest.mark.parametrize("why", ["time", "idle"])
def test_a_transaction_warns_before_its_time_is_over_and_is_gone_then(why: str) -> None:
    async def scenario() -> None:
        short, long = timedelta(milliseconds=700), timedelta(seconds=4)
        idle = short if why == "idle" else long
        async with photos(limits=Limits(transaction_idle=idle)) as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            async with Transact(caller, time=short if why == "time" else long) as tx:
                await tx.modify(operation("CREATE", "p"))
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await tx.end()
                assert tx.warned == [Reply.TIME if why == "time" else Reply.IDLE]
            assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.ABORTED, "TRANSACTION_ENDED")
            assert {"time": "took too long", "idle": "no step came"}[why] in caught.value.details()
            assert retries(status_of(caught.value))
            assert await caller.names() == []

    run(scenario())


def test_operations_and_bytes_are_bounded_and_what_was_done_can_still_be_committed() -> None:
    async def scenario() -> None:
        limits = Limits(transaction_operations=10, transaction_bytes=40_000)
        async with photos(limits=limits) as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            async with Transact(caller) as tx:
                await tx.modify(*(operation("CREATE", f"p{number}") for number in range(9)))
                refused = (await tx.modify(operation("CREATE", "x"), operation("CREATE", "y"))).refused
                assert statuses.reason_of(refused) == "BATCH_TOO_LARGE"
                assert tx.warned == [Reply.OPERATIONS]
                await tx.commit()
            assert len(await caller.names()) == 9
            async with Transact(caller) as tx:
                await tx.modify(operation("CREATE", "large", hash=b"x" * 50_000))
                refused = (await tx.modify(operation("CREATE", "more"))).refused
                assert statuses.reason_of(refused) == "BATCH_TOO_LARGE"
                assert tx.warned == [Reply.BYTES]
                await tx.commit()
            assert len(await caller.names()) == 10

    run(scenario())


def test_a_transaction_with_a_key_is_applied_once() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            caller = Caller(channel, user="ana")
            async with Transact(caller, idempotency_key="k") as tx:
                await tx.modify(operation("CREATE", "p"))
                first = await tx.commit()
            async with serving_over(databases) as other, calling(other) as another:
                async with Transact(Caller(another, user="ana"), idempotency_key="k") as tx:
                    assert tx.begun.committed.replayed
                    assert tx.begun.context.commit_version == first.context.commit_version
                    assert await tx.end() == []
                async with Transact(Caller(another, user="bob"), idempotency_key="k") as tx:
                    assert tx.begun.WhichOneof("kind") == "begun", "the key of another database"

    run(scenario())


def test_each_step_needs_the_right_that_it_would_need_alone() -> None:
    class Readers:
        def check(self, asked: Asked) -> None:
            if asked.method.endswith("/Modify") or "secret" in asked.zones:
                raise statuses.forbidden()

    async def scenario() -> None:
        async with photos() as (_, databases):
            around = Around(authority=Readers())
            async with serving_over(databases, around=around) as server, calling(server) as channel:
                async with Transact(Caller(channel, user="ana")) as tx:
                    assert await tx.look_up("p") == [None]
                    refused = (await tx.modify(operation("CREATE", "p"))).refused
                    assert statuses.reason_of(refused) == "FORBIDDEN"
                    secret = records_pb2.QueryRequest(zone={"name": "secret"}, record_types=["Photo"])
                    assert statuses.reason_of((await tx.step(query=secret)).refused) == "FORBIDDEN"
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    async with Transact(Caller(channel, container="com.example.nothing")):
                        pass
                assert reason(caught.value) == "FORBIDDEN"

    run(scenario())


def test_a_transaction_that_only_reads_is_held_to_it_by_the_server() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("old")
            async with Transact(caller, read_only=True) as tx:
                refused = (await tx.modify(operation("CREATE", "new"))).refused
                assert (statuses.reason_of(refused), "read_only" in refused.message) == ("BAD_REQUEST", True)
                assert [record is not None for record in await tx.look_up("old", "new")] == [True, False]
                await tx.commit()
            assert await caller.names() == ["old"]

    run(scenario())


def test_what_is_no_transaction_is_refused() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            async with Transact(caller) as tx:
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await tx.step()
                assert reason(caught.value) == "BAD_REQUEST"
            for said in ({"time": timedelta(seconds=-1)}, {"idempotency_key": "x" * 65}):
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    async with Transact(caller, **said):
                        pass
                assert reason(caught.value) == "BAD_REQUEST"
            caller.context.consistency.minimum_version = 1 << 60
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                async with Transact(caller):
                    pass
            assert (reason(caught.value), retries(status_of(caught.value))) == ("TOO_OLD", True)

    run(scenario())
