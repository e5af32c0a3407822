"""Changing records through the service: seven operations, change tags, transforms, batches, idempotency keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from google.rpc import code_pb2
from grpc import aio as grpc_aio

from recordlayer import RecordMetaDataBuilder
from recordlayer.client.pb import errors_pb2, records_pb2, types_pb2
from recordlayer_server import places, statuses
from recordlayer_server.limits import Limits
from tests.support.photos import CONTAINER, description
from tests.support.service import (
    Caller,
    calling,
    operation,
    photos,
    reason,
    record_name,
    retries,
    run,
    status_of,
    value,
)

Transform = records_pb2.Transform
MESSAGE = types_pb2.MESSAGE


def with_caller(scenario: Callable[[Caller], Awaitable[None]], **how: Any) -> None:
    """Run a scenario with a caller of a server of photos."""

    async def run_it() -> None:
        async with photos(**how) as (server, _), calling(server) as channel:
            await scenario(Caller(channel))

    run(run_it())


def fields_of(record: types_pb2.Record) -> dict[str, Any]:
    """Scalar fields by name."""
    return {
        name: getattr(one, one.WhichOneof("kind"))
        for name, one in record.fields.fields.items()
        if one.WhichOneof("kind") not in ("list_value", "message_value")
    }


async def refused(call: Awaitable[Any]) -> grpc_aio.AioRpcError:
    with pytest.raises(grpc_aio.AioRpcError) as caught:
        await call
    return caught.value


def test_a_record_that_was_created_is_there_with_what_the_server_knows_of_it() -> None:
    async def scenario(caller: Caller) -> None:
        saved = await caller.create("a", title="first", rating=3)
        assert fields_of(saved) == {"title": "first", "rating": 3}
        assert saved.change_tag
        assert saved.created.time.seconds > 0
        found = (await caller.lookup("a"))[0].record
        assert found == saved

    with_caller(scenario)


@pytest.mark.parametrize(
    ("kind", "there", "tag", "ends"),
    [
        ("CREATE", False, "", "OK"),
        ("CREATE", True, "", "EXISTS"),
        ("UPDATE", False, "right", "NOT_FOUND"),
        ("UPDATE", True, "right", "OK"),
        ("UPDATE", True, "stale", "CONFLICT"),
        ("UPDATE", True, "", "BAD_REQUEST"),
        ("FORCE_UPDATE", False, "", "OK"),
        ("FORCE_UPDATE", True, "", "OK"),
        ("REPLACE", False, "right", "NOT_FOUND"),
        ("REPLACE", True, "right", "OK"),
        ("REPLACE", True, "stale", "CONFLICT"),
        ("FORCE_REPLACE", False, "", "OK"),
        ("FORCE_REPLACE", True, "", "OK"),
        ("DELETE", False, "right", "NOT_FOUND"),
        ("DELETE", True, "right", "OK"),
        ("DELETE", True, "stale", "CONFLICT"),
        ("FORCE_DELETE", False, "", "OK"),
        ("FORCE_DELETE", True, "", "OK"),
    ],
)
def test_the_seven_operations_on_what_is_there_and_what_is_not(kind: str, there: bool, tag: str, ends: str) -> None:
    async def scenario(caller: Caller) -> None:
        tags = {"": b"", "right": bytes(12), "stale": bytes(12)}
        if there:
            tags["right"] = (await caller.create("a", title="old", rating=1)).change_tag
        fields = {} if kind.endswith("DELETE") else {"title": "new"}
        call = caller.modify(operation(kind, "a", tag=tags[tag], **fields))
        if ends != "OK":
            assert reason(await refused(call)) == ends
            after = (await caller.lookup("a"))[0]
            assert fields_of(after.record) == ({"title": "old", "rating": 1} if there else {})
            return
        await call
        after = (await caller.lookup("a"))[0]
        kept = {"rating": 1} if there and kind.endswith("UPDATE") else {}
        assert fields_of(after.record) == ({} if kind.endswith("DELETE") else {"title": "new", **kept})
        assert (after.status.code == 0) == (not kind.endswith("DELETE"))

    with_caller(scenario)


def test_a_conflict_gives_the_record_as_it_is_and_is_not_to_be_retried() -> None:
    async def scenario(caller: Caller) -> None:
        stale = (await caller.create("a", title="first")).change_tag
        now = (await caller.modify(operation("UPDATE", "a", tag=stale, title="second"))).results[0].record
        error = await refused(caller.modify(operation("UPDATE", "a", tag=stale, title="third")))
        assert error.code() is grpc.StatusCode.ABORTED
        status = status_of(error)
        assert not retries(status)
        info = errors_pb2.ConflictInfo()
        assert any(detail.Unpack(info) for detail in status.details)
        assert info.server_record == now

    with_caller(scenario)


def test_a_conflict_with_a_record_that_has_no_room_in_a_status_says_so() -> None:
    async def scenario(caller: Caller) -> None:
        await caller.create("a", hash=b"x" * 100_000)
        error = await refused(caller.modify(operation("UPDATE", "a", tag=bytes(12), title="third")))
        info = errors_pb2.ConflictInfo()
        assert any(detail.Unpack(info) for detail in status_of(error).details)
        assert info.omitted

    with_caller(scenario)


def test_null_unset_and_default_are_three_things() -> None:
    async def scenario(caller: Caller) -> None:
        await caller.create("a", title="", rating=0, hidden=False, ratio=1.5)
        assert fields_of((await caller.lookup("a"))[0].record) == {
            "title": "",
            "rating": 0,
            "hidden": False,
            "ratio": 1.5,
        }
        await caller.modify(operation("FORCE_UPDATE", "a", title=None, rating=7))
        assert fields_of((await caller.lookup("a"))[0].record) == {"rating": 7, "hidden": False, "ratio": 1.5}

    with_caller(scenario)


def test_contents_go_and_come_as_messages_and_the_system_field_is_the_servers() -> None:
    async def run_it() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            caller = Caller(channel)
            await caller.create("a", title="first", rating=3)
            async with databases.database.transaction() as tx:
                tenant = next(iter(databases._places))
                metadata = await databases.metadata(tx, tenant)
            assert metadata is not None
            photo: Any = metadata.record_type("Photo").message_class()
            photo.title, photo.tags[:] = "second", ["x"]
            photo.recordlayer_system.zone, photo.recordlayer_system.name = "elsewhere", "forged"
            photo.recordlayer_system.created_by = "somebody else"
            raw = records_pb2.Operation(type="FORCE_UPDATE", given_fields=["title", "rating", "tags"])
            raw.record.name.CopyFrom(record_name("a"))
            raw.record.record_type, raw.record.message = "Photo", photo.SerializeToString()
            await caller.modify(raw)
            found = (await caller.lookup("a", form=MESSAGE))[0].record
            assert found.created.user == ""
            back: Any = metadata.record_type("Photo").message_class.FromString(found.message)
            assert not back.HasField("recordlayer_system")
            assert (back.title, list(back.tags), back.HasField("rating")) == ("second", ["x"], False)
            assert (await caller.lookup("forged", zone=""))[0].status.code == code_pb2.NOT_FOUND

    run(run_it())


def test_desired_keys_choose_what_comes_back() -> None:
    async def scenario(caller: Caller) -> None:
        await caller.create("a", title="first", rating=3, camera={"make": "L", "model": "M"})
        some = types_pb2.DesiredKeys(fields=["title", "camera.model"])
        found = (await caller.lookup("a", desired_keys=some))[0].record
        assert sorted(found.fields.fields) == ["camera", "title"]
        assert sorted(found.fields.fields["camera"].message_value.fields) == ["model"]
        none = (await caller.lookup("a", desired_keys=types_pb2.DesiredKeys()))[0].record
        assert not none.fields.fields
        assert none.change_tag == found.change_tag
        assert len((await caller.lookup("a"))[0].record.fields.fields) == 3

    with_caller(scenario)


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ({"views": 4}, Transform(field="views", increment=value(3)), {"views": 7}),
        ({}, Transform(field="views", increment=value(3)), {"views": 3}),
        ({"views": 4}, Transform(field="views", minimum=value(3)), {"views": 3}),
        ({"views": 4}, Transform(field="views", maximum=value(3)), {"views": 4}),
        ({}, Transform(field="views", maximum=value(-3)), {"views": -3}),
        ({"ratio": 0.5}, Transform(field="ratio", increment=value(1)), {"ratio": 1.5}),
    ],
)
def test_numbers_change_by_what_they_are(before: dict[str, Any], change: Transform, after: dict[str, Any]) -> None:
    async def scenario(caller: Caller) -> None:
        await caller.create("a", **before)
        changed = operation("FORCE_UPDATE", "a")
        changed.transforms.append(change)
        assert fields_of((await caller.modify(changed)).results[0].record) == after

    with_caller(scenario)


def test_lists_are_united_and_reduced_and_the_servers_time_is_put_in() -> None:
    async def scenario(caller: Caller) -> None:
        await caller.create("a", tags=["x", "y", "x"])
        changed = operation("FORCE_UPDATE", "a")
        changed.transforms.append(Transform(field="tags", add_to_list=value(["y", "z", "z"]).list_value))
        changed.transforms.append(Transform(field="tags", remove_from_list=value(["x"]).list_value))
        changed.transforms.append(Transform(field="taken", server_time=empty_pb2.Empty()))
        found = (await caller.modify(changed)).results[0].record
        assert [one.string_value for one in found.fields.fields["tags"].list_value.values] == ["y", "z"]
        assert found.fields.fields["taken"].timestamp_value == found.modified.time

    with_caller(scenario)


def test_many_increments_at_once_lose_none() -> None:
    async def scenario(caller: Caller) -> None:
        await caller.create("a")
        one = operation("FORCE_UPDATE", "a")
        one.transforms.append(Transform(field="views", increment=value(1)))
        await asyncio.gather(*(caller.modify(one) for _ in range(20)))
        assert fields_of((await caller.lookup("a"))[0].record) == {"views": 20}

    with_caller(scenario)


def test_a_number_that_would_not_fit_is_refused() -> None:
    async def scenario(caller: Caller) -> None:
        await caller.create("a", views=(1 << 63) - 1, small=5)
        for field, by in (("views", 1), ("small", 1 << 31), ("title", 1), ("tags", 1), ("recordlayer_system", 1)):
            changed = operation("FORCE_UPDATE", "a")
            changed.transforms.append(Transform(field=field, increment=value(by)))
            assert reason(await refused(caller.modify(changed))) == "BAD_REQUEST"

    with_caller(scenario)


# -- batches ---------------------------------------------------------------------------------------------------------


def test_an_atomic_batch_over_two_zones_that_fails_leaves_no_trace() -> None:
    """S2: not in records, indexes, counters."""

    async def run_it() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel)
            await caller.zone("one")
            await caller.zone("two")
            await caller.create("there", zone="two", title="old", rating=1, tags=["x"])
            count = records_pb2.AggregateRequest(context=caller.context, record_type="Photo", function="COUNT")
            count.zone.name = "one"
            names = [await caller.names(zone_wide=True), (await caller.records.Aggregate(count)).value]
            batch = [
                operation("CREATE", "new", zone="one", title="t", rating=5, tags=["x", "y"]),
                operation("FORCE_REPLACE", "there", zone="two", title="changed", rating=9),
                operation("CREATE", "there", zone="one", title="fine"),
                operation("UPDATE", "missing", zone="two", tag=bytes(12), title="fails"),
            ]
            error = await refused(caller.modify(*batch))
            assert error.code() is grpc.StatusCode.NOT_FOUND
            failure = errors_pb2.BatchFailure()
            assert any(detail.Unpack(failure) for detail in status_of(error).details)
            assert failure.operation == 3
            assert names == [await caller.names(zone_wide=True), (await caller.records.Aggregate(count)).value]
            assert fields_of((await caller.lookup("there", zone="two"))[0].record) == {"title": "old", "rating": 1}
            batch[3] = operation("FORCE_UPDATE", "missing", zone="two", title="works")
            done = await caller.modify(*batch)
            assert len({result.record.change_tag[:10] for result in done.results}) == 1, "one commit"
            assert (await caller.records.Aggregate(count)).value == value(2)

    run(run_it())


def test_a_batch_that_is_not_atomic_says_of_each_what_became_of_it() -> None:
    async def scenario(caller: Caller) -> None:
        await caller.create("there", title="old")
        await caller.create("album", record_type="Album", code="c1")
        reply = await caller.modify(
            operation("CREATE", "new", title="t"),
            operation("CREATE", "there", title="t"),
            operation("CREATE", "second", record_type="Album", code="c1"),
            operation("FORCE_UPDATE", "nowhere", zone="missing", title="t"),
            operation("FORCE_DELETE", "album"),
            atomic=False,
        )
        assert [statuses.reason_of(result.status) for result in reply.results] == [
            "",
            "EXISTS",
            "UNIQUE",
            "ZONE_NOT_FOUND",
            "",
        ]
        assert reply.results[4].record.deleted
        assert await caller.names() == ["new", "there"]

    with_caller(scenario)


def test_the_same_key_again_gives_the_same_results_and_applies_nothing_twice() -> None:
    async def scenario(caller: Caller) -> None:
        increment = operation("FORCE_UPDATE", "a", title="t")
        increment.transforms.append(Transform(field="views", increment=value(1)))
        unnamed = operation("CREATE", "")
        first = await caller.modify(increment, unnamed, idempotency_key="k1")
        again = await caller.modify(increment, unnamed, idempotency_key="k1")
        assert (first.replayed, again.replayed) == (False, True)
        assert [one.record.change_tag for one in again.results] == [one.record.change_tag for one in first.results]
        assert [one.record.name for one in again.results] == [one.record.name for one in first.results]
        assert again.context.commit_version == first.context.commit_version
        assert fields_of((await caller.lookup("a"))[0].record)["views"] == 1
        assert len(await caller.names()) == 2
        error = await refused(caller.modify(operation("FORCE_UPDATE", "a", title="other"), idempotency_key="k1"))
        assert reason(error) == "KEY_REUSED"

    with_caller(scenario)


def test_keys_of_different_databases_never_meet() -> None:
    async def run_it() -> None:
        async with photos() as (server, _), calling(server) as channel:
            for caller in (Caller(channel), Caller(channel, user="ana"), Caller(channel, user="bo")):
                reply = await caller.modify(operation("CREATE", "a", title="t"), idempotency_key="same")
                assert not reply.replayed

    run(run_it())


def test_operations_with_keys_of_their_own_are_tried_again_one_by_one() -> None:
    async def scenario(caller: Caller) -> None:
        def batch(name: str) -> list[records_pb2.Operation]:
            made = [operation("FORCE_UPDATE", one) for one in ("a", name)]
            for place, one in enumerate(made):
                one.transforms.append(Transform(field="views", increment=value(1)))
                one.idempotency_key = f"{one.record.name.name}-{place}"
            return made

        await caller.modify(*batch("b"), atomic=False)
        reply = await caller.modify(*batch("c"), atomic=False)
        assert not reply.replayed
        assert [fields_of(one.record)["views"] for one in await caller.lookup("a", "b", "c")] == [1, 1, 1]
        assert (await caller.modify(*batch("c"), atomic=False)).replayed

    with_caller(scenario)


def referring(name: str, target: str, action: str, *, form: int = types_pb2.FIELDS) -> records_pb2.Operation:
    """A photo that refers to a record."""
    reference = types_pb2.Reference(target=record_name(target), action=action)
    if form == types_pb2.FIELDS:
        return operation("FORCE_UPDATE", name, album=types_pb2.Value(reference_value=reference))
    made = operation("FORCE_UPDATE", name)
    metadata = RecordMetaDataBuilder.from_proto(description()).build()
    photo: Any = metadata.record_type("Photo").message_class()
    photo.album.ParseFromString(reference.SerializeToString())
    made.record.message = photo.SerializeToString()
    return made


@pytest.mark.parametrize("form", [types_pb2.FIELDS, MESSAGE], ids=["fields", "message"])
@pytest.mark.parametrize("action", ["VALIDATE", "DELETE_SELF"])
def test_a_reference_that_is_to_be_validated_needs_its_target(action: str, form: int) -> None:
    async def scenario(caller: Caller) -> None:
        assert (
            reason(await refused(caller.modify(referring("a", "holidays", action, form=form)))) == "INVALID_REFERENCE"
        )
        await caller.modify(referring("a", "holidays", "NONE", form=form))
        await caller.create("holidays", record_type="Album", code="h")
        await caller.modify(referring("a", "holidays", action, form=form))
        await caller.modify(operation("FORCE_UPDATE", "a", title="what it has is not looked at again"))

    with_caller(scenario)


def test_records_go_with_the_one_that_they_refer_to() -> None:
    async def scenario(caller: Caller) -> None:
        await caller.create("holidays", record_type="Album", code="h")
        for name, target in (("a", "holidays"), ("b", "a"), ("c", "b"), ("loose", "holidays"), ("own", "own")):
            await caller.modify(referring(name, target, "NONE" if name == "loose" else "DELETE_SELF"))
        await caller.modify(referring("a", "c", "DELETE_SELF"))  # a circle, and the album is left
        await caller.modify(operation("FORCE_DELETE", "holidays"))
        assert [bool(one.status.code) for one in await caller.lookup("a", "b", "c", "loose", "own")] == [False] * 5
        await caller.modify(operation("FORCE_DELETE", "b"), operation("FORCE_DELETE", "own"))
        assert [bool(one.status.code) for one in await caller.lookup("a", "b", "c", "loose", "own")] == [
            True,
            True,
            True,
            False,
            True,
        ]

    with_caller(scenario)


def test_what_goes_with_a_record_is_in_its_zone_and_has_a_bound() -> None:
    async def scenario(caller: Caller) -> None:
        await caller.create("holidays", record_type="Album", code="h")
        for name in "abcd":
            await caller.modify(referring(name, "holidays", "DELETE_SELF"))
        failed = await caller.modify(
            operation("FORCE_DELETE", "holidays"), operation("CREATE", "other", title="t"), atomic=False
        )
        assert [one.status.code for one in failed.results] == [code_pb2.INVALID_ARGUMENT, code_pb2.OK]
        assert all(not one.status.code for one in await caller.lookup("holidays", "a", "b", "c", "d", "other"))
        await caller.modify(operation("FORCE_DELETE", "d"))
        await caller.modify(operation("FORCE_DELETE", "holidays"))
        assert all(one.status.code for one in await caller.lookup("holidays", "a", "b", "c"))
        elsewhere = referring("e", "other", "DELETE_SELF")
        elsewhere.record.fields.fields["album"].reference_value.target.zone.name = "elsewhere"
        assert reason(await refused(caller.modify(elsewhere))) == "BAD_REQUEST"

    with_caller(scenario, limits=Limits(records_per_cascade=3))


def test_what_is_too_large_names_the_limit() -> None:
    limits = Limits(record_bytes=1_000, operations_per_request=3)

    async def scenario(caller: Caller) -> None:
        for call in (
            caller.modify(operation("CREATE", "a", title="x" * 2_000)),
            caller.modify(*(operation("CREATE", f"{number}") for number in range(4))),
        ):
            assert reason(await refused(call)) == "BATCH_TOO_LARGE"

    with_caller(scenario, limits=limits)


def test_another_type_cannot_take_a_records_name_by_an_update() -> None:
    async def scenario(caller: Caller) -> None:
        await caller.create("a", title="t")
        error = await refused(caller.modify(operation("FORCE_UPDATE", "a", record_type="Album", code="c")))
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        await caller.modify(operation("FORCE_REPLACE", "a", record_type="Album", code="c"))
        assert (await caller.lookup("a"))[0].record.record_type == "Album"

    with_caller(scenario)


def test_a_container_that_is_not_there_is_answered_as_one_that_is_forbidden() -> None:
    async def run_it() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            stranger = Caller(channel, container="com.example.secret")
            for call in (
                stranger.modify(operation("CREATE", "a", title="t")),
                stranger.lookup("a"),
                stranger.query(),
                stranger.zone("z"),
            ):
                error = await refused(call)
                assert error.code() is grpc.StatusCode.PERMISSION_DENIED
                assert error.details() == statuses.forbidden().status.message
            assert not databases._places

    run(run_it())


def test_a_schema_that_is_described_again_is_not_stored_again() -> None:
    async def run_it() -> None:
        async with photos() as (_, databases):
            first = await databases.put_container("other", description(), 1)
            again = await databases.put_container("other", description(), 1)
            assert first.version == again.version

    run(run_it())


def test_a_reply_that_would_be_too_large_goes_without_contents() -> None:
    """The commit has happened: to fail now would be to lie."""

    async def scenario(caller: Caller) -> None:
        reply = await caller.modify(*(operation("CREATE", f"p{number}", hash=bytes(50_000)) for number in range(7)))
        assert [result.status.code for result in reply.results] == [0] * 7
        assert all(result.record.change_tag and not result.record.fields.fields for result in reply.results)
        assert len((await caller.lookup("p6"))[0].record.fields.fields["hash"].bytes_value) == 50_000

    with_caller(scenario, limits=Limits(message_bytes=400_000))


def test_operations_of_an_atomic_batch_have_no_keys_of_their_own() -> None:
    async def scenario(caller: Caller) -> None:
        one = operation("CREATE", "a")
        one.idempotency_key = "k"
        assert reason(await refused(caller.modify(one))) == "BAD_REQUEST"

    with_caller(scenario)


def test_records_are_read_without_the_service_by_what_the_database_says_of_them() -> None:
    """As Java would: the stored metadata, the place, and nothing else."""

    async def run_it() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.zone("z")
            saved = await caller.create("a", zone="z", title="first", tags=["x"])
            tenant = next(iter(databases._places))
            async with databases.database.transaction() as tx:
                space = tx.key_space(places.SPACE)
                kept = await space.resolve(places.of_metadata(CONTAINER, places.DEVELOPMENT), create=False)
                metadata = await tx.metadata_store(kept.subspace).load(fresh=True)
                where = await space.resolve(places.of_database(tenant).add("records"), create=False)
                store = await tx.store(RecordMetaDataBuilder.from_proto(metadata.to_bytes()).build(), path=where)
                stored = await store.load_record(("z", "a"))
                assert stored is not None
                photo: Any = stored.message
                assert (photo.title, list(photo.tags)) == ("first", ["x"])
                assert stored.version is not None
                assert stored.version.to_bytes() == saved.change_tag
                system = photo.recordlayer_system
                assert (system.zone, system.name) == ("z", "a")
                assert system.created_at == saved.created.time.ToMicroseconds()
                entries = [(entry.key, entry.primary_key) async for entry in store.scan_index("by_title")]
                assert entries == [(("z", "first"), ("z", "a"))]

    run(run_it())
