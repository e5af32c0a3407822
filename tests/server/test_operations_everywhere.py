"""Builds in all databases of an environment: by an operator, and by whoever applies a schema."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recordlayer.client.pb import admin_pb2, schemas_pb2
from recordlayer.index.state import IndexState
from recordlayer.store import upgrade
from recordlayer_server import statuses
from recordlayer_server.admin import everywhere, running
from recordlayer_server.admin.doing import Doing
from recordlayer_server.databases import Databases
from recordlayer_server.places import DEVELOPMENT, PRIVATE, PUBLIC, Tenant
from recordlayer_server.schemas.instances import Instance
from tests.server.test_admin import refusal
from tests.server.test_guarded import Bearer
from tests.server.test_operations import filled
from tests.server.test_schemas import Owner, Version, changed, with_ratio
from tests.support.admin import READ_ONLY, Operator, security, working
from tests.support.photos import CONTAINER
from tests.support.service import Caller, calling, photos, run

Operation = admin_pb2.AdminOperation
USERS = ("alice", "bob", "carol")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that some records are many."""
    monkeypatch.setattr(upgrade, "MOST_RECORDS_FOR_INLINE_BUILD", 5)
    monkeypatch.setattr(everywhere, "USERS_A_PAGE", 2)


async def state(databases: Databases, user: str, index: str) -> IndexState:
    tenant = Tenant(CONTAINER, DEVELOPMENT, PRIVATE if user else PUBLIC, user)

    async def look(tx: Any) -> IndexState:
        store = await databases.records(tx, tenant)
        assert store is not None
        return store.index_state(index)

    return await databases.database.run(look)


async def people(channel: Any) -> None:
    """The public database and those of users, with records."""
    for user in ("", *USERS):
        await filled(Caller(channel, user=user), 12)


def test_a_schema_starts_the_builds_that_it_needs_in_all_databases() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel, working(databases):
            owner, operator = Owner(channel), Operator(channel)
            owner.building = True
            await people(channel)
            await Operator(channel, user="bob").ask("LockDatabase", kind=READ_ONLY, reason="moving house")
            made = await owner.apply(with_ratio())
            assert made.version.state == Version.ACTIVE
            assert made.operation == f"schema-{made.version.version}"
            done = (await operator.ask("WaitOperation", name=made.operation)).operation
            assert not done.HasField("database")
            assert (done.state, reason_of(done)) == (Operation.FAILED, "BUILD_INCOMPLETE")
            assert (done.progress.databases, done.progress.databases_failed, done.progress.records) == (4, 1, 36)
            [failure] = done.progress.failures
            assert failure.database.user == "bob"
            assert "moving house" in failure.status.message
            for user in ("", "alice", "carol"):
                assert await state(databases, user, "by_ratio") is IndexState.READABLE
            # The same again does what was left, under another name.
            await Operator(channel, user="bob").ask("UnlockDatabase")
            again = await owner.apply(with_ratio())
            assert again.unchanged
            assert again.operation.startswith(f"{made.operation}-")
            done = (await operator.ask("WaitOperation", name=again.operation)).operation
            assert (done.state, done.progress.databases, done.progress.records) == (Operation.SUCCEEDED, 4, 12)
            assert await state(databases, "bob", "by_ratio") is IndexState.READABLE
            assert not (await owner.apply(with_ratio())).operation, "nothing is left"
            # An operator lets the same be done without a schema.
            for user in ("alice", "carol"):
                dropped = await Operator(channel, user=user).ask("DropIndexes", drop={"indexes": ["by_ratio"]})
                await operator.ask("WaitOperation", name=dropped.operation.name)
            build = {"build": {"indexes": ["by_ratio"]}, "everywhere": True}
            started = await operator.ask("BuildIndexes", **build)
            done = (await operator.ask("WaitOperation", name=started.operation.name)).operation
            assert (done.state, done.progress.records) == (Operation.SUCCEEDED, 24)
            assert await state(databases, "carol", "by_ratio") is IndexState.READABLE
            build["build"] = {"indexes": ["by_ratio"], "anew": True}
            assert (await refusal(operator.ask("BuildIndexes", **build)))[1] == "BAD_REQUEST"

    run(scenario())


def reason_of(done: Any) -> str:
    return statuses.reason_of(done.status)


async def staged(operator: Operator, number: int) -> Any:
    """The newest operation, once there are so many and that one has met something to wait for."""
    while True:
        found = (await operator.ask("ListOperations")).operations
        if len(found) >= number:
            break
        await asyncio.sleep(0.01)
    newest = max(found, key=lambda one: one.build.schema_version)
    return await operator.until(newest.name, lambda seen: seen.HasField("status"))


def test_builds_wait_for_the_version_and_end_with_it() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel, working(databases):
            owner, operator = Owner(channel), Operator(channel)
            owner.building = True
            await people(channel)
            other = Instance(databases.database)
            await other.renew()  # it lives, and does not look
            applying = asyncio.ensure_future(owner.apply(with_ratio(), within=60))
            waiting = await staged(operator, 1)
            assert (waiting.state, reason_of(waiting)) == (Operation.WAITING, "SCHEMA_STAGED")
            await other.look()
            made = await applying
            assert (made.version.state, made.operation) == (Version.ACTIVE, waiting.name)
            done = (await operator.ask("WaitOperation", name=made.operation)).operation
            assert (done.state, done.progress.records) == (Operation.SUCCEEDED, 48)
            later = changed(
                lambda builder: (builder.index("Photo", "by_ratio", "ratio"), builder.index("Photo", "by_w", "weight"))
            )
            applying = asyncio.ensure_future(owner.apply(later, within=60))
            waiting = await staged(operator, 2)
            await owner.withdraw(int(waiting.build.schema_version))
            assert (await refusal(applying))[1] == "CONFLICT"
            done = (await operator.ask("WaitOperation", name=waiting.name)).operation
            assert (done.state, reason_of(done)) == (Operation.FAILED, "CONFLICT")

    run(scenario())


def test_a_walk_through_all_databases_goes_on_at_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    build_in = Doing._build_in

    async def stuck(self: Doing, *about: Any, **how: Any) -> bool:
        """It gets no further than to the end of the first page of users."""
        if self._shown.progress.databases == 3:
            await asyncio.Event().wait()
        return await build_in(self, *about, **how)

    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            operator = Operator(channel)
            await people(channel)
            seen: list[str] = []
            async with working(databases):
                build = {"build": {"indexes": ["by_rating"]}, "everywhere": True, "name": "walk"}
                for user in ("", *USERS):
                    one = await Operator(channel, user=user).ask("DropIndexes", drop={"indexes": ["by_rating"]})
                    await operator.ask("WaitOperation", name=one.operation.name)
                monkeypatch.setattr(running, "_PARTING", timedelta(milliseconds=50))
                monkeypatch.setattr(Doing, "_build_in", stuck)
                await operator.ask("BuildIndexes", **build)
                await operator.until("walk", lambda seen: seen.progress.databases == 3)
            monkeypatch.setattr(Doing, "_build_in", build_in)
            left = (await operator.ask("GetOperation", name="walk")).operation
            assert left.state == Operation.WAITING
            other = Databases(databases.database)
            opened = other.records

            async def noted(tx: Any, tenant: Tenant, **how: Any) -> Any:
                seen.append(tenant.user)
                return await opened(tx, tenant, **how)

            other.records = noted  # type: ignore[method-assign]
            async with working(other):
                done = (await operator.ask("WaitOperation", name="walk")).operation
            assert (done.state, done.starts, done.progress.databases) == (Operation.SUCCEEDED, 2, 4)
            assert len(set(seen)) == 1, "databases of earlier pages were not looked at again"
            for user in ("", *USERS):
                assert await state(databases, user, "by_rating") is IndexState.READABLE

    run(scenario())


async def dropped(channel: Any, index: str, *users: str) -> None:
    for user in users:
        one = await Operator(channel, user=user).ask("DropIndexes", drop={"indexes": [index]})
        await Operator(channel).ask("WaitOperation", name=one.operation.name)


@pytest.mark.parametrize(("failed", "stops"), [(28, False), (29, False), (30, True)])
def test_as_large_a_share_as_may_fail_may_fail(failed: int, stops: bool) -> None:
    progress, build = Operation.Progress(), Operation.Build(most_failed=0.29)
    unused: Any = None
    walk = everywhere.Walk(
        unused, CONTAINER, DEVELOPMENT, place=b"", progress=progress, build=build, moved=unused, held=unused
    )
    progress.databases, progress.databases_failed = 100, failed
    with pytest.raises(statuses.Refusal, match=f"{failed} of 100") if stops else contextlib.nullcontext():
        walk._stop_if_need_be()


def test_canaries_whose_pause_was_not_put_down_are_paused_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """How far it is may be noted, and then the server dies before it says that it has paused."""
    settle = running.Runner._settle
    lost: list[str] = []

    def forgetful(self: Any, doing: Any, status: Any, entry: Any) -> None:
        if not lost:
            lost.append("" if status is None else statuses.reason_of(status))
            doing.note(entry)
        else:
            settle(self, doing, status, entry)

    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel, working(databases):
            operator = Operator(channel)
            await people(channel)
            await dropped(channel, "by_title", "", *USERS)
            monkeypatch.setattr(running.Runner, "_settle", forgetful)
            build = {"indexes": ["by_title"], "canaries": 2}
            started = await operator.ask("BuildIndexes", build=build, everywhere=True)
            seen = await operator.until(
                started.operation.name, lambda seen: seen.state in (Operation.PAUSED, Operation.SUCCEEDED)
            )
            assert lost == ["CANARIES_DONE"]
            assert (seen.state, reason_of(seen), seen.progress.databases) == (Operation.PAUSED, "CANARIES_DONE", 2)
            await operator.ask("ResumeOperation", name=started.operation.name)
            done = (await operator.ask("WaitOperation", name=started.operation.name)).operation
            assert (done.state, done.progress.databases) == (Operation.SUCCEEDED, 4)

    run(scenario())


def test_canaries_go_first_and_the_others_when_an_operator_lets_them() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel, working(databases):
            owner, operator = Owner(channel), Operator(channel)
            await people(channel)

            async def built() -> set[str]:
                return {user for user in ("", *USERS) if (await state(databases, user, "by_ratio")).is_readable}

            request = schemas_pb2.ApplySchemaRequest(
                context=owner.context, description=with_ratio(), start_builds=True, canaries=2
            )
            made = await owner.stub.Apply(request)
            paused = await operator.until(made.operation, lambda seen: seen.state == Operation.PAUSED)
            assert (reason_of(paused), paused.progress.databases) == ("CANARIES_DONE", 2)
            canaries = await built()
            assert len(canaries) == 2
            (canary,) = canaries - {""}
            rest = set(USERS) - canaries
            assert not paused.HasField("ended")
            await operator.ask("ResumeOperation", name=made.operation)
            done = (await operator.ask("WaitOperation", name=made.operation)).operation
            assert (done.state, done.progress.databases) == (Operation.SUCCEEDED, 4), "it paused once"
            assert await built() == {"", *USERS}

            # The stop rule, at the end of the canaries: more than a quarter of them could not be built.
            await dropped(channel, "by_ratio", "", *USERS)
            await Operator(channel, user=canary).ask("LockDatabase", kind=READ_ONLY, reason="moving house")
            build = {"indexes": ["by_ratio"], "canaries": 2, "most_failed": 0.25}
            started = await operator.ask("BuildIndexes", build=build, everywhere=True)
            done = (await operator.ask("WaitOperation", name=started.operation.name)).operation
            assert (done.state, reason_of(done)) == (Operation.FAILED, "BUILD_STOPPED")
            assert (done.progress.databases, done.progress.databases_failed) == (2, 1)
            assert await built() == {""}, "the others were left alone"
            # Half of them may: it goes on behind the canaries, and names at the end what it could not do.
            build["most_failed"] = 0.5
            started = await operator.ask("BuildIndexes", build=build, everywhere=True)
            paused = await operator.until(started.operation.name, lambda seen: seen.state == Operation.PAUSED)
            assert (reason_of(paused), paused.progress.databases_failed) == ("CANARIES_DONE", 1)
            await operator.ask("ResumeOperation", name=started.operation.name)
            done = (await operator.ask("WaitOperation", name=started.operation.name)).operation
            assert (reason_of(done), done.progress.databases_failed) == ("BUILD_INCOMPLETE", 1)
            assert await built() == {"", *rest}
            # None may: it ends at the first one.
            await dropped(channel, "by_ratio", "", *rest)
            started = await operator.ask(
                "BuildIndexes", build={"indexes": ["by_ratio"], "most_failed": 0.0}, everywhere=True
            )
            done = (await operator.ask("WaitOperation", name=started.operation.name)).operation
            assert (reason_of(done), done.progress.databases) == ("BUILD_STOPPED", 2)

            for build, everywhere_ in (
                ({"canaries": 1}, False),
                ({"most_failed": 0.5}, False),
                ({"canaries": -1}, True),
                ({"most_failed": 1.5}, True),
                ({"most_failed": float("nan")}, True),
            ):
                said = {"build": {"indexes": ["by_ratio"], **build}, "everywhere": everywhere_}
                assert (await refusal(operator.ask("BuildIndexes", **said)))[1] == "BAD_REQUEST", build
            request.canaries = -1
            assert (await refusal(owner.stub.Apply(request)))[1] == "BAD_REQUEST"

    run(scenario())


def test_who_may_not_build_everywhere_does_not_by_a_schema(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with photos(security=security(tmp_path)) as (server, _):
            async with Bearer.calling(server, "owner") as owner:
                mine = Owner(owner.channel)
                mine.building = True
                assert await refusal(mine.apply(with_ratio())) == ("PERMISSION_DENIED", "FORBIDDEN")
                mine.building = False
                await mine.apply(with_ratio())
                everywhere_ = {"build": {"indexes": ["by_ratio"]}, "everywhere": True}
                call = Operator(owner.channel).ask("BuildIndexes", **everywhere_)
                assert await refusal(call) == ("PERMISSION_DENIED", "FORBIDDEN")
            async with Bearer.calling(server, "operator") as operator:
                started = await Operator(operator.channel).ask("BuildIndexes", name="all", **everywhere_)
                assert started.operation.state == Operation.WAITING
            async with Bearer.calling(server, "owner") as owner:
                call = Operator(owner.channel).ask("GetOperation", name="all")
                assert await refusal(call) == ("PERMISSION_DENIED", "FORBIDDEN")

    run(scenario())
