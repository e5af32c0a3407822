"""Builds, scrubs, repairs and drops that operators let be done: each by a client, over a port."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from recordlayer.client.pb import admin_pb2
from recordlayer.store.layout import Keyspace
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_asyncio
from recordlayer_server import statuses
from recordlayer_server.admin import journal
from recordlayer_server.admin.doing import Doing
from recordlayer_server.admin.running import forget_old_operations
from recordlayer_server.databases import Databases
from recordlayer_server.limits import Limits
from recordlayer_server.places import DEVELOPMENT, PUBLIC, Tenant
from tests.server.test_admin import refusal
from tests.server.test_guarded import Bearer
from tests.support.admin import READ_ONLY, Operator, security, working
from tests.support.photos import CONTAINER
from tests.support.service import Caller, calling, operation, photos, run

Operation, Status = admin_pb2.AdminOperation, admin_pb2.IndexStatus
State = Operation.State
HERE = Tenant(CONTAINER, DEVELOPMENT, PUBLIC, "")


def running(seen: Any) -> bool:
    return bool(seen.state == Operation.RUNNING)


def begun(seen: Any) -> bool:
    return bool(seen.progress.records)


async def filled(caller: Caller, records: int) -> None:
    for first in range(0, records, 100):
        some = [
            operation("CREATE", f"{n:04}", title=f"t{n}", rating=n) for n in range(first, min(records, first + 100))
        ]
        await caller.modify(*some)


async def broken(databases: Databases, index: str) -> None:
    """Some entries of an index are gone, by no writer of ours."""

    async def work(tx: Any) -> None:
        store = await databases.records(tx, HERE)
        assert store is not None
        prefix = store.core.layout.of(Keyspace.INDEXES) + pack((index,))
        for key, _ in (await run_asyncio(tx.context.read_all(prefix, prefix + b"\xff")))[:3]:
            tx.context.clear(key)

    await databases.database.run(work)


def test_operations_are_started_done_and_told() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel, working(databases):
            operator, caller = Operator(channel), Caller(channel)
            await filled(caller, 120)
            started = (await operator.ask("DropIndexes", drop={"indexes": ["by_rating", "by_title"]})).operation
            assert started.state == Operation.WAITING
            dropped = (await operator.ask("WaitOperation", name=started.name)).operation
            assert dropped.state == Operation.SUCCEEDED
            assert dict(dropped.index_states) == {"by_rating": Status.DISABLED, "by_title": Status.DISABLED}

            started = await operator.ask("BuildIndexes", name="mine", build={"indexes": ["by_rating", "by_title"]})
            again = await operator.ask("BuildIndexes", name="mine", build={"indexes": ["by_rating", "by_title"]})
            assert again.operation.created == started.operation.created, "the same request is one operation"
            other = operator.ask("BuildIndexes", name="mine", build={"indexes": ["by_rating"]})
            assert await refusal(other) == ("ALREADY_EXISTS", "EXISTS")
            built = (await operator.ask("WaitOperation", name="mine")).operation
            assert built.state == Operation.SUCCEEDED
            assert dict(built.index_states) == {"by_rating": Status.READABLE, "by_title": Status.READABLE}
            assert (built.progress.records, built.progress.records_total, built.starts) == (120, 120, 1)
            assert built.HasField("started")
            assert built.HasField("ended")
            assert not built.server

            await broken(databases, "by_rating")
            found = await _done(operator, "ScrubIndexes", scrub={"indexes": ["by_rating"], "anew": True})
            assert (found.progress.found, found.progress.repaired) == (3, 0)
            assert len(found.progress.findings) == 3
            assert "by_rating" in found.progress.findings[0].where
            mended = await _done(operator, "ScrubIndexes", scrub={"repair": True, "anew": True})
            assert (mended.progress.found, mended.progress.repaired) == (3, 3)
            assert mended.progress.records > 120
            looked = await _done(operator, "RepairRecords", repair={"delete_unreadable": True})
            assert looked.progress.found == 0
            assert looked.progress.records > 0

            pages, said = [], {}  # type: list[str], dict[str, bytes]
            while True:
                page = await operator.ask("ListOperations", limit=2, **said)
                pages += [one.name for one in page.operations]
                if not page.continuation:
                    break
                said = {"continuation": page.continuation}
            assert len(pages) == 5
            assert pages == sorted(pages, reverse=True)
            await Caller(channel, user="alice").create("a", title="t")
            theirs = Operator(channel, user="alice")
            await _done(theirs, "ScrubIndexes", name="hers")
            assert [one.name for one in (await theirs.ask("ListOperations")).operations] == ["hers"]
            assert len((await operator.ask("ListOperations")).operations) == 6

            later = databases.instance.now + databases.limits.operations_kept.total_seconds() + 1
            databases.instance._clock = lambda: later
            assert await forget_old_operations(databases) == 6
            assert not (await operator.ask("ListOperations")).operations
            assert await refusal(operator.ask("GetOperation", name="mine")) == ("NOT_FOUND", "NOT_FOUND")

    run(scenario())


async def _done(operator: Operator, method: str, **said: Any) -> Any:
    """An operation that was started, and succeeded."""
    name = (await operator.ask(method, **said)).operation.name
    done = (await operator.ask("WaitOperation", name=name)).operation
    assert done.state == Operation.SUCCEEDED, done
    return done


def test_operations_are_paused_throttled_resumed_and_cancelled() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel, working(databases):
            operator, caller = Operator(channel), Caller(channel)
            await filled(caller, 500)
            await _done(operator, "DropIndexes", drop={"indexes": ["by_rating", "by_title"]})
            slow = {"name": "slow", "build": {"indexes": ["by_rating"]}, "records_per_second": 20}
            await operator.ask("BuildIndexes", **slow)
            seen = await operator.until("slow", begun)
            assert seen.state == Operation.RUNNING
            assert seen.server == databases.instance.id
            # Nobody else's is about the same index meanwhile.
            for method, said in (
                ("BuildIndexes", {"build": {"indexes": ["by_title", "by_rating"]}}),
                ("DropIndexes", {"drop": {"indexes": ["by_rating"]}}),
                ("ScrubIndexes", {}),
                ("RepairRecords", {}),
            ):
                assert await refusal(operator.ask(method, **said)) == ("FAILED_PRECONDITION", "OPERATION_RUNNING")
            assert await refusal(operator.ask("PauseOperation", name="none")) == ("NOT_FOUND", "NOT_FOUND")
            paused = (await operator.ask("PauseOperation", name="slow")).operation
            assert paused.state == Operation.PAUSED
            assert not paused.server
            await asyncio.sleep(0.1)
            still = (await operator.ask("WaitOperation", name="slow", within=2)).operation
            assert (still.state, still.progress.records) == (Operation.PAUSED, paused.progress.records)
            assert 0 < still.progress.records < 500
            await operator.ask("ThrottleOperation", name="slow", records_per_second=1_000_000)
            await operator.ask("ResumeOperation", name="slow")
            done = (await operator.ask("WaitOperation", name="slow")).operation
            assert (done.state, done.starts, done.progress.records) == (Operation.SUCCEEDED, 2, 500)
            for method in ("PauseOperation", "ResumeOperation", "ThrottleOperation"):
                assert await refusal(operator.ask(method, name="slow")) == ("FAILED_PRECONDITION", "OPERATION_OVER")
            assert (await operator.ask("CancelOperation", name="slow")).operation == done

            slow |= {"name": "other", "build": {"indexes": ["by_title"]}}
            await operator.ask("BuildIndexes", **slow)
            await operator.until("other", running)
            cancelled = (await operator.ask("CancelOperation", name="other")).operation
            assert cancelled.state == Operation.CANCELLED
            [left] = [one for one in (await operator.ask("ListIndexes")).indexes if one.name == "by_title"]
            assert left.state == Status.WRITE_ONLY
            await _done(operator, "BuildIndexes", build={"indexes": ["by_title"]})

    run(scenario())


def test_what_cannot_be_done_now_waits_and_what_cannot_be_done_has_failed() -> None:
    async def scenario() -> None:
        limits = Limits(operations_per_database=2)
        async with photos(limits=limits) as (server, databases), calling(server) as channel, working(databases):
            operator, caller = Operator(channel), Caller(channel)
            await filled(caller, 10)
            for method, said in (
                ("BuildIndexes", {}),
                ("BuildIndexes", {"build": {"indexes": ["none"]}}),
                ("BuildIndexes", {"build": {"indexes": ["by_title", "by_title"]}}),
                ("BuildIndexes", {"build": {"indexes": ["by_title"]}, "name": "a b"}),
                ("BuildIndexes", {"build": {"indexes": ["by_title"]}, "records_per_second": 0}),
                ("DropIndexes", {}),
                ("GetOperation", {"name": ""}),
            ):
                assert (await refusal(operator.ask(method, **said)))[1] == "BAD_REQUEST", (method, said)
            # By an index that does not have the records of the other.
            await _done(operator, "DropIndexes", drop={"indexes": ["by_code"]})
            wrong = await operator.ask("BuildIndexes", build={"indexes": ["by_code"], "source": "by_rating"})
            failed = (await operator.ask("WaitOperation", name=wrong.operation.name)).operation
            assert failed.state == Operation.FAILED
            assert "by_rating" in failed.status.message
            # A database that is locked is unlocked again.
            await operator.ask("LockDatabase", kind=READ_ONLY, reason="moving house")
            await operator.ask("BuildIndexes", name="patient", build={"indexes": ["by_code"]})
            waiting = await operator.until("patient", lambda seen: seen.HasField("status"))
            assert waiting.state == Operation.WAITING
            assert "locked" in waiting.status.message
            await operator.ask("UnlockDatabase")
            late = databases.instance.now + 60
            databases.instance._clock = lambda: late
            await databases.instance.renew()
            assert (await operator.ask("WaitOperation", name="patient")).operation.state == Operation.SUCCEEDED
            # Not more than a database may have.
            for index in ("by_tag", "by_size"):
                said = {"build": {"indexes": [index], "anew": True}, "records_per_second": 1}
                await operator.ask("BuildIndexes", name=index, **said)
                await operator.ask("PauseOperation", name=index)
            call = operator.ask("BuildIndexes", build={"indexes": ["by_title"]})
            assert await refusal(call) == ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")

    run(scenario())


def test_a_unique_index_over_equal_values_is_built_and_says_where_they_are() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel, working(databases):
            operator, caller = Operator(channel), Caller(channel)
            await caller.create("a", record_type="Album", code="x")
            await _done(operator, "DropIndexes", drop={"indexes": ["by_code"]})
            for name in ("b", "c"):
                await caller.create(name, record_type="Album", code="x")
            built = await _done(operator, "BuildIndexes", build={"indexes": ["by_code"]})
            assert dict(built.index_states) == {"by_code": Status.READABLE_UNIQUE_PENDING}
            [violation] = (await operator.ask("ListViolations", index="by_code")).violations
            assert sorted(record.name for record in violation.records) == ["a", "b", "c"]
            assert "'x'" in violation.value
            assert (await refusal(operator.ask("ListViolations", index="none")))[1] == "BAD_REQUEST"
            for name in ("b", "c"):
                await caller.modify(operation("FORCE_DELETE", name))
            assert not (await operator.ask("ListViolations", index="by_code")).violations
            finished = await _done(operator, "BuildIndexes", build={"indexes": ["by_code"]})
            assert dict(finished.index_states) == {"by_code": Status.READABLE}

    run(scenario())


def test_an_error_of_the_servers_own_fails_an_operation_and_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def bad(self: Doing) -> None:
        raise ValueError("secret")

    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel, working(databases):
            operator = Operator(channel)
            await filled(Caller(channel), 5)
            with monkeypatch.context() as patched:
                patched.setattr(Doing, "do", bad)
                await operator.ask("ScrubIndexes", name="bad")
                failed = (await operator.ask("WaitOperation", name="bad")).operation
            assert failed.state == Operation.FAILED
            assert statuses.reason_of(failed.status) == "INTERNAL"
            assert "secret" not in str(failed)
            await _done(operator, "ScrubIndexes")  # the next one is done

    run(scenario())


def test_another_server_goes_on_where_one_has_left_or_fallen_silent() -> None:
    """Two servers of one database; what one of them was at, the other brings to its end."""

    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            operator, caller = Operator(channel), Caller(channel)
            await filled(caller, 200)
            other = Databases(databases.database)
            said = {"build": {"indexes": ["by_rating"], "anew": True}, "records_per_second": 5}
            async with working(databases):
                await operator.ask("BuildIndexes", name="left", **said)
                await operator.until("left", begun)
            left = (await operator.ask("GetOperation", name="left")).operation
            assert (left.state, left.server) == (Operation.WAITING, "")
            assert 0 < left.progress.records < 200
            # An owner that lives keeps it; one whose lease has run out has lost it, and writes nothing more.
            await databases.instance.renew()
            owned = await databases.database.run(journal.claim(KEY, databases.instance.id, (), databases.instance.now))
            assert owned is not None
            async with working(other) as runner:
                await asyncio.sleep(0.1)
                assert not runner.running
                later = other.instance.now + databases.instance.lease.total_seconds() + 1
                other.instance._clock = lambda: later
                await other.instance.renew()
                await operator.until("left", lambda seen: seen.starts == 3)
                assert await databases.database.run(journal.note(KEY, databases.instance.id, _spoil)) is None
                await operator.ask("ThrottleOperation", name="left", records_per_second=1_000_000)
                done = (await operator.ask("WaitOperation", name="left")).operation
            assert (done.state, done.starts, done.progress.records) == (Operation.SUCCEEDED, 3, 200)

    run(scenario())


KEY = (CONTAINER, DEVELOPMENT, "left")


def _spoil(entry: journal.Entry) -> None:
    entry.shown.progress.records = -1


def test_an_operation_is_its_databases_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with photos(security=security(tmp_path)) as (server, _):
            async with (
                Bearer.calling(server, "writer") as writer,
                Bearer.calling(server, "writer", user="alice") as hers,
            ):
                await writer.create("a", title="t")
                await hers.create("a", title="t")
            async with Bearer.calling(server, "operator") as operator:
                await Operator(operator.channel, user="alice").ask("ScrubIndexes", name="hers")
                everywhere = Operator(operator.channel)
                await everywhere.ask("ScrubIndexes", name="all")
                assert len((await everywhere.ask("ListOperations")).operations) == 2
                assert (await everywhere.ask("GetOperation", name="hers")).operation.database.user == "alice"
            async with Bearer.calling(server, "owner") as owner:
                mine = Operator(owner.channel)
                assert (await mine.ask("GetOperation", name="all")).operation.name == "all"
                for name in ("hers", "none"):
                    for method in ("GetOperation", "WaitOperation", "CancelOperation", "ResumeOperation"):
                        assert await refusal(mine.ask(method, name=name)) == ("PERMISSION_DENIED", "FORBIDDEN")
                assert await refusal(mine.ask("ListOperations")) == ("PERMISSION_DENIED", "FORBIDDEN")
                mine.context.database.scope = "PUBLIC"
                assert [one.name for one in (await mine.ask("ListOperations")).operations] == ["all"]
                assert (await mine.ask("CancelOperation", name="all")).operation.state == Operation.CANCELLED

    run(scenario())
