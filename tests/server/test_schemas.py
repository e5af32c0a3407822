"""Schemas that callers look at, judge, apply and promote: each method by a client, over a port."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.rpc import error_details_pb2
from grpc import aio as grpc_aio

from recordlayer import RecordMetaDataBuilder, field
from recordlayer.client.pb import context_pb2, schemas_pb2, schemas_pb2_grpc
from recordlayer.errors import IndexNotSupported
from recordlayer_server.config import Security
from recordlayer_server.databases import Databases
from recordlayer_server.places import DEVELOPMENT, PRODUCTION, PUBLIC, Tenant
from recordlayer_server.schema import MOST_BYTES, SYSTEM
from recordlayer_server.schemas import rollout
from recordlayer_server.schemas.instances import Instance
from tests.server.test_bad_input import mutated
from tests.server.test_guarded import Bearer
from tests.support import photos as schema
from tests.support.photos import CONTAINER
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

Version, Change = schemas_pb2.SchemaVersion, schemas_pb2.SchemaChange
REFUSED = grpc.StatusCode.FAILED_PRECONDITION


class Owner:
    """Who looks after a container."""

    def __init__(self, channel: Any, *, container: str = CONTAINER, environment: int = DEVELOPMENT) -> None:
        self.stub = schemas_pb2_grpc.SchemaStub(channel)
        self.context = context_pb2.RequestContext(container=container, environment=environment)
        self.building = False
        """Let builds be started with what is applied and promoted."""

    async def get(self, version: int = 0) -> Any:
        return await self.stub.Get(schemas_pb2.GetSchemaRequest(context=self.context, version=version))

    async def validate(self, description: bytes, **allowed: bool) -> Any:
        request = schemas_pb2.ValidateSchemaRequest(
            context=self.context, description=description, allowed=schemas_pb2.Allowed(**allowed)
        )
        return await self.stub.Validate(request)

    async def apply(self, description: bytes, *, expected: int | None = None, within: float = 10, **said: bool) -> Any:
        request = schemas_pb2.ApplySchemaRequest(
            context=self.context,
            description=description,
            expected_version=expected,
            allowed=schemas_pb2.Allowed(**said),
            start_builds=self.building,
        )
        return await self.stub.Apply(request, timeout=within)

    async def promote(self, version: int = 0, **said: bool) -> Any:
        context = context_pb2.RequestContext(container=self.context.container, environment=PRODUCTION)
        request = schemas_pb2.PromoteSchemaRequest(
            context=context, version=version, allowed=schemas_pb2.Allowed(**said), start_builds=self.building
        )
        return await self.stub.Promote(request)

    async def withdraw(self, version: int) -> Any:
        return await self.stub.Withdraw(schemas_pb2.WithdrawSchemaRequest(context=self.context, version=version))

    async def versions(self, **said: int) -> Any:
        return await self.stub.ListVersions(schemas_pb2.ListSchemaVersionsRequest(context=self.context, **said))


@asynccontextmanager
async def owning(**how: Any) -> AsyncIterator[tuple[Owner, Caller, Databases]]:
    async with photos(**how) as (server, databases), calling(server) as channel:
        yield Owner(channel), Caller(channel), databases


def changed(change: Any) -> bytes:
    """The container's description, changed through a builder."""
    builder = RecordMetaDataBuilder.from_proto(schema.description())
    change(builder)
    return bytes(builder.build().to_bytes())


def with_ratio() -> bytes:
    return changed(lambda builder: builder.index("Photo", "by_ratio", "ratio"))


def redefined(builder: RecordMetaDataBuilder) -> None:
    """The index of the ratings becomes one of the views."""
    index = builder.build().indexes["by_rating"]
    builder.exchange_index(dataclasses.replace(index, root_expression=field("views")))


def with_field(monkeypatch: pytest.MonkeyPatch, name: str) -> bytes:
    monkeypatch.setitem(schema.MESSAGES, "Photo", (*schema.MESSAGES["Photo"], f"string {name}"))
    return schema.description()


async def refused(call: Any) -> grpc_aio.AioRpcError:
    with pytest.raises(grpc_aio.AioRpcError) as caught:
        await call
    return caught.value


def changes_of(reply: Any) -> dict[str, tuple[str, str]]:
    return {one.subject: (Change.Verdict.Name(one.verdict), one.allowed_by) for one in reply.changes}


def test_a_schema_is_got_as_its_owner_made_it() -> None:
    async def scenario() -> None:
        async with owning() as (owner, _, _databases):
            reply = await owner.get()
            assert reply.description == schema.description()
            assert (reply.version.state, reply.version.origin) == (Version.ACTIVE, Version.SETTINGS)
            # The files fit together by themselves, without what the service keeps in records.
            pool = descriptor_pool.DescriptorPool()
            for file in descriptor_pb2.FileDescriptorSet.FromString(reply.descriptor_set).file:
                pool.AddSerializedFile(file.SerializeToString())
            [message] = [kind.message for kind in reply.record_types if kind.name == "Photo"]
            fields = pool.FindMessageTypeByName(message).fields_by_name
            assert {text.split()[-1] for text in schema.MESSAGES["Photo"]} | {"labels"} == set(fields)
            assert SYSTEM.encode() not in reply.descriptor_set
            by_name = {index.name: index for index in reply.indexes}
            assert by_name["by_code"].unique
            assert list(by_name["by_code"].record_types) == ["Album"]
            assert by_name["words"].type == "text"
            assert (await refused(owner.get(99))).code() is grpc.StatusCode.NOT_FOUND

    run(scenario())


def test_validating_says_what_would_change_and_what_it_costs_and_changes_nothing() -> None:
    async def scenario() -> None:
        async with owning() as (owner, caller, _):
            for first in (0, 150):
                await caller.modify(*(operation("CREATE", f"p{first + n}", ratio=1.5) for n in range(150)))
            before = await owner.get()
            same = await owner.validate(schema.description())
            assert (same.accepted, list(same.changes), same.HasField("builds")) == (True, [], False)
            assert same.from_version == same.to_version == before.version.version
            more = await owner.validate(with_ratio())
            assert more.accepted
            assert changes_of(more) == {"index by_ratio": ("BUILD", "")}
            assert more.to_version > more.from_version
            builds = more.builds
            assert list(builds.indexes) == ["by_ratio"]
            assert (builds.databases, builds.databases_to_build, builds.exact) == (1, 1, True)
            assert (builds.keys_read, builds.entries_written) == (300, 300)
            other = changed(redefined)
            judged = await owner.validate(other)
            assert not judged.accepted
            assert changes_of(judged) == {"index by_rating": ("REFUSED", "index_rebuilds")}
            assert (await owner.validate(other, index_rebuilds=True)).accepted
            less = await owner.validate(schema.description().replace(b"\x0a\x05title", b"\x0a\x05other"))
            assert not less.accepted
            assert changes_of(less)["field Photo.other"] == ("REFUSED", "field_renames")
            assert (await owner.get()).SerializeToString() != b""
            assert (await owner.get()).version == before.version

    run(scenario())


def test_an_applied_schema_is_active_everywhere_at_once_and_sending_it_again_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with owning() as (owner, caller, databases):
            await caller.create("a", title="old", ratio=0.5)
            first = (await owner.get()).version.version
            monkeypatch.setitem(schema.MESSAGES, "Photo", (*schema.MESSAGES["Photo"], "string mood"))
            made = await owner.apply(with_ratio(), expected=first)
            assert (made.version.state, made.version.origin) == (Version.ACTIVE, Version.APPLIED)
            assert changes_of(made) == {"index by_ratio": ("BUILD", ""), "field Photo.mood": ("SAFE", "")}
            assert made.builds.databases_to_build == 0, "it has few records: the index is built when it is opened"
            assert not made.unchanged
            await caller.create("b", mood="fine", ratio=2.5)
            assert await caller.names(where("ratio", "GREATER_THAN", 0.1)) == ["a", "b"]
            again = await owner.apply(with_ratio())
            assert again.unchanged
            assert again.version == made.version
            stale = await refused(owner.apply(changed(lambda builder: None), expected=first))
            assert (stale.code(), reason(stale)) == (grpc.StatusCode.ABORTED, "CONFLICT")
            assert not retries(status_of(stale))
            # Whoever starts a server with the old settings does not take it back.
            newer = Databases(databases.database)
            monkeypatch.undo()
            assert (await newer.put_container(CONTAINER, schema.description(), DEVELOPMENT)).version == (
                made.version.version
            )
            assert (await caller.lookup("b"))[0].record.fields.fields["mood"].string_value == "fine"

    run(scenario())


def test_what_an_applied_schema_leaves_to_build_is_told_until_it_is_built() -> None:
    async def scenario() -> None:
        async with owning() as (owner, caller, databases):
            for first in (0, 150):
                await caller.modify(*(operation("CREATE", f"p{first + n}", ratio=1.5) for n in range(150)))
            made = await owner.apply(with_ratio())
            assert (list(made.builds.indexes), made.builds.databases_to_build) == (["by_ratio"], 1)
            await caller.create("more", ratio=2.5)  # opens it: the index is there, and disabled
            again = await owner.apply(with_ratio())
            assert again.unchanged
            assert (list(again.builds.indexes), again.builds.databases_to_build) == (["by_ratio"], 1)
            async with databases.database.transaction() as tx:
                path = await databases.where(tx, Tenant(CONTAINER, DEVELOPMENT, PUBLIC, ""))
                metadata = await rollout.current(tx, CONTAINER, DEVELOPMENT)
            assert metadata is not None
            assert path is not None
            await databases.database.online_indexer(metadata, path=path, indexes=["by_ratio"]).build()
            assert not (await owner.apply(with_ratio())).HasField("builds")
            assert await caller.names(where("ratio", "GREATER_THAN", 2.0)) == ["more"]

    run(scenario())


def test_of_owners_who_apply_at_once_one_wins_and_the_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with owning() as (owner, _, _databases):
            first = (await owner.get()).version.version
            descriptions = [with_ratio(), with_field(monkeypatch, "mood"), with_field(monkeypatch, "season")]
            results = await asyncio.gather(
                *(owner.apply(one, expected=first) for one in (*descriptions, descriptions[2])), return_exceptions=True
            )
            taken = [one for one in results if not isinstance(one, BaseException)]
            assert 1 <= len(taken) <= 2
            assert len({one.version.version for one in taken}) == 1
            lost = [one for one in results if isinstance(one, grpc_aio.AioRpcError)]
            assert len(lost) + len(taken) == 4
            assert {reason(one) for one in lost} == {"CONFLICT"}
            assert (await owner.get()).version == taken[0].version
            assert len((await owner.versions()).versions) == 2

    run(scenario())


def test_a_schema_that_stores_cannot_follow_is_refused_with_the_reasons_and_nothing_is_lost() -> None:
    async def scenario() -> None:
        async with owning() as (owner, caller, _):
            await caller.create("a", title="t")
            before = await owner.get()
            error = await refused(owner.apply(schema.description().replace(b"\x0a\x05title", b"\x0a\x05other")))
            assert (error.code(), reason(error)) == (REFUSED, "SCHEMA_REFUSED")
            assert not retries(status_of(error))
            failure = error_details_pb2.PreconditionFailure()
            [detail] = [one for one in status_of(error).details if one.Is(failure.DESCRIPTOR)]
            detail.Unpack(failure)
            assert any(one.subject == "field Photo.other" for one in failure.violations)
            assert (await owner.get()).version == before.version
            assert (await caller.lookup("a"))[0].record.fields.fields["title"].string_value == "t"

    run(scenario())


def test_a_new_container_begins_with_the_schema_that_is_applied() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            owner, caller = Owner(channel, container="new"), Caller(channel, container="new")
            assert (await refused(owner.get())).code() is grpc.StatusCode.PERMISSION_DENIED
            made = await owner.apply(schema.description(), expected=0)
            assert made.version.state == Version.ACTIVE
            await caller.create("a", title="t")
            assert await caller.names(where("title", "EQUALS", "t")) == ["a"]
            assert (await owner.versions()).versions[0] == made.version

    run(scenario())


def test_development_is_promoted_to_production_as_it_is_or_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with owning() as (owner, caller, _):
            caller.context.environment = PRODUCTION
            await caller.create("a", title="t")
            one = await owner.apply(with_field(monkeypatch, "mood"))
            two = await owner.apply(with_field(monkeypatch, "season"))
            no = await refused(caller.create("b", mood="x"))
            assert no.code() is grpc.StatusCode.INVALID_ARGUMENT, "production does not know of it yet"
            made = await owner.promote(one.version.version)
            assert made.version.state == Version.ACTIVE
            assert made.version.origin == Version.PROMOTED
            assert made.version.promoted_from == one.version.version
            await caller.create("b", mood="x")
            assert (await refused(caller.create("c", season="x"))).code() is grpc.StatusCode.INVALID_ARGUMENT
            made = await owner.promote()
            assert made.version.promoted_from == two.version.version
            await caller.create("c", season="x")
            assert (await owner.promote()).unchanged
            # Back to the first is refused: a field would be gone.
            back = await refused(owner.promote(one.version.version))
            assert (back.code(), reason(back)) == (REFUSED, "SCHEMA_REFUSED")
            owner.context.environment = PRODUCTION
            listed = await owner.versions()
            assert [row.origin for row in listed.versions] == [Version.PROMOTED, Version.PROMOTED, Version.SETTINGS]
            owner.context.environment = DEVELOPMENT
            wrong = schemas_pb2.PromoteSchemaRequest(context=owner.context)
            assert (await refused(owner.stub.Promote(wrong))).code() is grpc.StatusCode.INVALID_ARGUMENT

    run(scenario())


POLICY = f"""
[[allow]]
who = ["token:admin"]
containers = ["{CONTAINER}"]
environments = ["development"]
methods = ["read", "admin"]

[[allow]]
who = ["token:applier"]
methods = ["/recordlayer.v1.Schema/Validate", "/recordlayer.v1.Schema/Apply"]

[[allow]]
who = ["token:writer"]
methods = ["read", "write"]
"""


def test_each_method_needs_its_right_and_none_is_granted_by_default(tmp_path: Path) -> None:
    names = ("admin", "applier", "writer", "nobody")
    tokens, policy = tmp_path / "tokens.toml", tmp_path / "policy.toml"
    policy.write_text(POLICY)
    tokens.write_text(
        "".join(
            f'[[token]]\nname = "{name}"\nsha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\n' for name in names
        )
    )
    granted = {
        "Get": {"admin", "writer"},
        "Validate": {"admin", "applier"},
        "Apply": {"admin", "applier"},
        "ListVersions": {"admin"},
        "Withdraw": {"admin"},
        "Promote": set(),  # in production nobody may
    }

    async def scenario() -> None:
        async with photos(security=Security(tokens=tokens, policy=policy)) as (server, _):
            before = None
            for name in names:
                async with Bearer.calling(server, name) as caller:
                    owner = Owner(caller.channel)
                    calls = {
                        "Get": owner.get(),
                        "Validate": owner.validate(schema.description()),
                        "Apply": owner.apply(schema.description()),
                        "ListVersions": owner.versions(),
                        "Withdraw": owner.withdraw(1),
                        "Promote": owner.promote(),
                    }
                    for method, call in calls.items():
                        if name in granted[method] and method != "Withdraw":
                            reply = await call
                            before = reply.version if method == "Get" and before is None else before
                        else:
                            code = (await refused(call)).code()
                            wanted = "NOT_FOUND" if name in granted[method] else "PERMISSION_DENIED"
                            assert code.name == wanted, (name, method)
            async with Bearer.calling(server, "admin") as caller:
                owner = Owner(caller.channel)
                owner.context.database.scope, owner.context.database.user = context_pb2.Database.PRIVATE, "ana"
                assert (await refused(owner.apply(with_ratio()))).code() is grpc.StatusCode.INVALID_ARGUMENT
                owner = Owner(caller.channel, container="another")
                assert (await refused(owner.apply(with_ratio()))).code() is grpc.StatusCode.PERMISSION_DENIED
                assert (await Owner(caller.channel).get()).version == before, "who was refused has changed nothing"

    run(scenario())


def test_hostile_descriptions_are_refused_in_words_and_the_server_goes_on() -> None:
    chance = random.Random(16)
    data = [b"", b"\xff" * 50, bytes(MOST_BYTES + 1), descriptor_pb2.FileDescriptorSet().SerializeToString()]
    cyclic = descriptor_pb2.FileDescriptorSet()
    cyclic.file.add(name="a.proto", dependency=["b.proto"]).message_type.add(name="M")
    cyclic.file.add(name="b.proto", dependency=["a.proto"])
    dangling = descriptor_pb2.FileDescriptorSet()
    message = dangling.file.add(name="a.proto").message_type.add(name="M")
    kind = descriptor_pb2.FieldDescriptorProto
    message.field.add(name="a", number=1, label=kind.LABEL_OPTIONAL, type=kind.TYPE_MESSAGE, type_name=".no.Such")
    strange = changed(lambda builder: builder.index("Photo", "strange", "ratio", type="value")).replace(
        b"\x05value\x12\x07strange", b"\x05vague\x12\x07strange"
    )
    data += [cyclic.SerializeToString(), dangling.SerializeToString(), strange]
    data += [mutated(chance) for _ in range(30)]

    async def scenario() -> None:
        async with owning() as (owner, caller, _):
            await caller.create("a", title="t")
            before = await owner.get()
            codes = set()
            for one in data:
                for call in (owner.validate(one), owner.apply(one)):
                    try:
                        await call
                    except grpc_aio.AioRpcError as error:
                        codes.add(error.code())
            assert {grpc.StatusCode.INVALID_ARGUMENT} <= codes <= {grpc.StatusCode.INVALID_ARGUMENT, REFUSED}
            assert (await owner.get()).version.version >= before.version.version
            assert (await caller.lookup("a"))[0].record.name.name == "a"

    run(scenario())


def test_versions_are_listed_in_pages_the_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with owning() as (owner, _, _databases):
            made = [(await owner.get()).version.version]
            for name in ("mood", "season", "weather"):
                made.insert(0, (await owner.apply(with_field(monkeypatch, name))).version.version)
            first = await owner.versions(limit=3)
            assert [row.version for row in first.versions] == made[:3]
            assert [row.state for row in first.versions] == [Version.ACTIVE, Version.REPLACED, Version.REPLACED]
            assert first.more
            rest = await owner.versions(limit=3, before=made[2])
            assert ([row.version for row in rest.versions], rest.more) == (made[3:], False)
            old = await owner.get(made[1])
            assert old.version.state == Version.REPLACED
            assert b"weather" not in old.descriptor_set
            assert b"season" in old.descriptor_set

    run(scenario())


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_version_is_active_when_every_server_that_lives_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with owning() as (owner, caller, databases):
            here = databases.instance = Instance(databases.database, clock=clock)
            other = Instance(databases.database, release="0.9", clock=clock)
            for instance in (here, other):
                await instance.renew()
            first = (await owner.get()).version
            description = with_field(monkeypatch, "mood")
            made = await owner.apply(description, within=1)
            assert made.version.state == Version.STAGED
            assert list(made.waiting_for) == [f"{other.id} (release 0.9)"]
            assert (await owner.get()).version == first, "the old one is active until then"
            assert (await refused(caller.create("a", mood="x"))).code() is grpc.StatusCode.INVALID_ARGUMENT
            listed = await owner.versions()
            assert [row.state for row in listed.versions] == [Version.STAGED, Version.ACTIVE]
            assert list(listed.waiting_for) == list(made.waiting_for)
            # Nobody overtakes it, and who sends the same goes on waiting for it.
            error = await refused(owner.apply(with_ratio().replace(b"mood", b"wood")))
            assert (error.code(), reason(error), retries(status_of(error))) == (REFUSED, "SCHEMA_STAGED", True)
            again = await owner.apply(description, within=1)
            assert (again.unchanged, again.version) == (True, made.version)
            # Its last server says that it has it, whoever is called then.
            waiting = asyncio.create_task(owner.apply(description))
            await other.look()
            done = await waiting
            assert done.version.state == Version.ACTIVE
            assert (await owner.get()).version == done.version
            await caller.create("a", mood="x")
            # One that has died is not waited for when its lease has run out.
            staged = await owner.apply(with_field(monkeypatch, "season"), within=1)
            assert staged.version.state == Version.STAGED
            clock.now += 20
            await here.renew()
            await here.look()
            assert (await owner.get()).version.version == staged.version.version
            # One that has left neither.
            await other.renew()
            await other.leave()
            at_once = await owner.apply(with_field(monkeypatch, "weather"))
            assert at_once.version.state == Version.ACTIVE

    run(scenario())


def test_a_staged_version_is_withdrawn_before_anybody_has_used_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with owning() as (owner, _, databases):
            other = Instance(databases.database)
            await other.renew()
            first = (await owner.get()).version
            made = await owner.apply(with_field(monkeypatch, "mood"), within=1)
            assert made.version.state == Version.STAGED
            assert (await refused(owner.withdraw(first.version))).code() is grpc.StatusCode.NOT_FOUND
            await owner.withdraw(made.version.version)
            await other.look()
            assert (await owner.get()).version == first
            monkeypatch.undo()
            await other.look()
            assert (await owner.apply(schema.description())).unchanged
            assert (await refused(owner.withdraw(made.version.version))).code() is grpc.StatusCode.NOT_FOUND

    run(scenario())


def test_a_server_whose_release_cannot_use_a_version_holds_it_up_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unusable(_: bytes) -> None:
        raise IndexNotSupported(index="new", type="of a later release")

    async def scenario() -> None:
        async with owning() as (owner, _, databases):
            old = Instance(databases.database, release="0.9")
            await old.renew()
            staged = await owner.apply(with_field(monkeypatch, "mood"), within=1)
            with monkeypatch.context() as patched:
                patched.setattr(rollout, "usable", unusable)
                await old.look()
            assert (await owner.versions()).versions[0].state == Version.STAGED
            assert "cannot be used here" in caplog.text
            await old.look()  # by the next release, as it were
            assert (await owner.get()).version.version == staged.version.version

    run(scenario())


def test_two_servers_side_by_side_take_schema_after_schema_under_load_and_fail_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each with its own memory of the metadata, as two processes have; each goes along by itself."""

    async def use(caller: Caller, name: str, done: asyncio.Event) -> int:
        rounds = 0
        while not done.is_set():
            await caller.modify(operation("FORCE_UPDATE", name, title=f"t{rounds}", rating=rounds))
            await caller.names(where("rating", "GREATER_THAN_OR_EQUALS", 0))
            assert not (await caller.lookup(name))[0].status.code
            rounds += 1
        return rounds

    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            newer = Databases(databases.database)
            async with serving_over(newer) as second, calling(second) as other, asyncio.TaskGroup() as group:
                for each in (databases, newer):
                    await each.instance.renew()
                run_both = [
                    group.create_task(each.instance.run(every=timedelta(milliseconds=5))) for each in (databases, newer)
                ]
                done = asyncio.Event()
                callers = [Caller(channel), Caller(other)]
                used = [group.create_task(use(caller, f"c{n}", done)) for n, caller in enumerate(callers)]
                owners = [Owner(channel), Owner(other)]
                for number, name in enumerate(("mood", "season", "weather", "place_name")):
                    made = await owners[number % 2].apply(with_field(monkeypatch, name))
                    assert made.version.state == Version.ACTIVE
                    for caller in callers:
                        await caller.modify(operation("FORCE_UPDATE", "x", **{name: "y"}))
                        [found] = await caller.lookup("x")
                        assert found.record.fields.fields[name].string_value == "y"
                made = await owners[0].apply(with_ratio())
                assert made.version.state == Version.ACTIVE
                done.set()
                assert all(await asyncio.gather(*used))
                for task in run_both:
                    task.cancel()

    run(scenario())
