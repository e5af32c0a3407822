"""The error table row by row, over a port: code, reason, details, and whether the caller is told to try again."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc import aio as grpc_aio

from recordlayer import errors
from recordlayer.aio import Database, RecordStore, Transaction
from recordlayer.client.pb import errors_pb2, filter_pb2, records_pb2, types_pb2
from recordlayer.kv.registry import open_engine
from recordlayer.testing.faults import Fault, Faulty
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_asyncio
from recordlayer.world import World
from recordlayer_server import statuses
from recordlayer_server.config import Load
from recordlayer_server.limits import Limits
from recordlayer_server.places import Tenant
from tests.support.service import Caller, calling, operation, photos, record_name, retries, run, status_of, where

Told = tuple[str, str, bool]
"""Code, reason, and whether trying again is worth it."""


async def refused(call: Awaitable[Any]) -> status_pb2.Status:
    with pytest.raises(grpc_aio.AioRpcError) as caught:
        await call
    return status_of(caught.value)


def told(status: status_pb2.Status) -> Told:
    return code_pb2.Code.Name(status.code), statuses.reason_of(status), retries(status)


def detail(status: status_pb2.Status, kind: Any) -> Any:
    """The detail of a class; fails if there is none."""
    found = kind()
    assert any(one.Unpack(found) for one in status.details), kind.__name__
    return found


def metadata(status: status_pb2.Status) -> dict[str, str]:
    return dict(detail(status, error_details_pb2.ErrorInfo).metadata)


def test_what_callers_do_wrong_is_named_with_what_would_mend_it() -> None:
    limits = Limits(record_bytes=20_000, operations_per_request=5)

    async def scenario() -> None:
        async with photos(limits=limits) as (server, _), calling(server) as channel:
            ana = Caller(channel, user="ana")
            await ana.create("p", title="t", rating=1)
            await ana.create("album", record_type="Album", code="c1")

            for call, field in (
                (ana.query(where("nowhere", "EQUALS", 1)), ""),
                (ana.query(where("rating", "EQUALS", "text")), "filter"),
                (ana.query(where("rating", "BEGINS_WITH", "1")), "filter"),
                (ana.modify(operation("CREATE", "q", nowhere=1)), "operations[0].record.fields"),
                (ana.modify(operation("UPDATE", "p")), "operations[0].record.change_tag"),
                (ana.lookup("\0"), "names[0]"),
                (ana.query(limit=-1), "limit"),
            ):
                status = await refused(call)
                assert told(status) == ("INVALID_ARGUMENT", "BAD_REQUEST", False)
                (violation,) = detail(status, error_details_pb2.BadRequest).field_violations
                assert violation.field.startswith(field)
                assert violation.field, "it is said which one"
                assert violation.description, "and what is wanted"

            for call, limit in (
                (ana.modify(operation("CREATE", "q", title="x" * 30_000)), "20000"),
                (ana.modify(*(operation("CREATE", f"q{number}") for number in range(6))), "5"),
            ):
                status = await refused(call)
                assert told(status) == ("INVALID_ARGUMENT", "BATCH_TOO_LARGE", False)
                assert metadata(status)["limit"] == limit
                assert int(metadata(status)["size"]) > int(limit)

            status = await refused(ana.query(sort=[filter_pb2.Sort(field="views")]))
            assert told(status) == ("FAILED_PRECONDITION", "INDEX_REQUIRED", False)
            assert "views" in metadata(status)["definition"]
            sum_of_views = records_pb2.AggregateRequest(
                context=ana.context, record_type="Photo", function="SUM", field="views"
            )
            status = await refused(ana.records.Aggregate(sum_of_views))
            assert told(status) == ("FAILED_PRECONDITION", "INDEX_REQUIRED", False)
            assert "views" in metadata(status)["definition"]

            status = await refused(ana.create("p"))
            assert told(status) == ("ALREADY_EXISTS", "EXISTS", False)
            status = await refused(ana.create("second", record_type="Album", code="c1"))
            assert told(status) == ("ALREADY_EXISTS", "UNIQUE", False)
            assert metadata(status) == {"index": "by_code", "record_name": "album"}

            missing = [
                await refused(ana.modify(operation("UPDATE", "gone", tag=bytes(12)))),
                (await ana.lookup("gone"))[0].status,
            ]
            for status in missing:
                assert told(status) == ("NOT_FOUND", "NOT_FOUND", False)
                resource = detail(status, error_details_pb2.ResourceInfo)
                assert (resource.resource_type, resource.resource_name) == ("record", "gone")
            elsewhere = types_pb2.ZoneName(name="nowhere")
            for status in (await refused(ana.create("q", zone="nowhere")), await refused(ana.query(zone=elsewhere))):
                assert told(status) == ("NOT_FOUND", "ZONE_NOT_FOUND", False)
                assert detail(status, error_details_pb2.ResourceInfo).resource_name == "nowhere"

            stale = await refused(ana.modify(operation("UPDATE", "p", tag=bytes(12), title="u")))
            assert told(stale) == ("ABORTED", "CONFLICT", False)
            assert detail(stale, errors_pb2.ConflictInfo).server_record == (await ana.lookup("p"))[0].record

            failing = [operation("CREATE", "new"), operation("CREATE", "p"), operation("CREATE", "newer")]
            status = await refused(ana.modify(*failing))
            assert told(status) == ("ALREADY_EXISTS", "EXISTS", False), "the call ends with the cause"
            failure = detail(status, errors_pb2.BatchFailure)
            assert (failure.operation, statuses.reason_of(failure.status)) == (1, "EXISTS")
            assert (failure.operations, failure.others.message) == (3, "undone because of operation 1")
            assert told(failure.others) == ("ABORTED", "ATOMIC", False), "each of the others, however many"
            assert metadata(failure.others) == {"operation": "1"}

            broken = operation("CREATE", "q")
            reference = types_pb2.Reference(target=record_name("gone"), action="VALIDATE")
            broken.record.fields.fields["album"].reference_value.CopyFrom(reference)
            status = await refused(ana.modify(broken))
            assert told(status) == ("FAILED_PRECONDITION", "INVALID_REFERENCE", False)
            (violation,) = detail(status, error_details_pb2.PreconditionFailure).violations
            assert (violation.type, violation.subject) == ("INVALID_REFERENCE", "gone")

            assert told(await refused(Caller(channel, container="none").lookup("p")))[:2] == (
                "PERMISSION_DENIED",
                "FORBIDDEN",
            )
            assert await ana.names() == ["p"]

    run(scenario())


def test_a_full_database_says_so_and_that_waiting_is_no_use() -> None:
    async def scenario() -> None:
        async with photos(load=Load(tenant_storage=1)) as (server, databases), calling(server) as channel:
            caller = Caller(channel)
            await caller.create("a", hash=b"x" * 50_000)
            databases.storage._sizes.clear()  # as if ten seconds had gone by
            status = await refused(caller.create("b"))
            assert told(status) == ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", False)
            assert detail(status, error_details_pb2.QuotaFailure).violations[0].description

    run(scenario())


# -- what the database does ------------------------------------------------------------------------------------------


ROWS: dict[type[errors.RecordLayerError], Told] = {
    errors.TransactionTooLarge: ("INVALID_ARGUMENT", "BATCH_TOO_LARGE", False),
    errors.KeyTooLarge: ("INVALID_ARGUMENT", "BATCH_TOO_LARGE", False),
    errors.ValueTooLarge: ("INVALID_ARGUMENT", "BATCH_TOO_LARGE", False),
    errors.TagThrottled: ("RESOURCE_EXHAUSTED", "THROTTLED", True),
    errors.ProxyTagThrottled: ("RESOURCE_EXHAUSTED", "THROTTLED", True),
    errors.ProcessBehind: ("UNAVAILABLE", "OVERLOADED", True),
    errors.CommitProxyMemoryLimit: ("UNAVAILABLE", "OVERLOADED", True),
    errors.GrvProxyMemoryLimit: ("UNAVAILABLE", "OVERLOADED", True),
    errors.BatchThrottled: ("UNAVAILABLE", "OVERLOADED", True),
    errors.Conflict: ("ABORTED", "CONTENTION", True),
    errors.TooOld: ("ABORTED", "TOO_OLD", True),
    errors.FutureVersion: ("UNAVAILABLE", "TOO_OLD", True),
    errors.MaybeCommitted: ("UNKNOWN", "COMMIT_UNKNOWN", False),
    errors.DatabaseLocked: ("UNAVAILABLE", "CLUSTER_UNREACHABLE", True),
    errors.EngineUnavailable: ("UNAVAILABLE", "CLUSTER_UNREACHABLE", True),
    errors.StoreLocked: ("UNAVAILABLE", "STORE_LOCKED", True),
    errors.StaleMetaData: ("UNAVAILABLE", "STALE_METADATA", True),
    errors.CorruptRecord: ("DATA_LOSS", "CORRUPT", False),
    errors.CorruptIndexEntry: ("DATA_LOSS", "CORRUPT", False),
    errors.CorruptHeader: ("DATA_LOSS", "CORRUPT", False),
}
"""Errors of the library and the engine, and how a call ends with which they stay whatever the server does first."""


def test_what_the_database_does_is_told_by_the_table_and_never_with_a_trace() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            caller = Caller(channel)
            await caller.create("p")
            found = {}
            for kind in (*ROWS, errors.RecordLayerError, ZeroDivisionError):

                async def fails(*_: Any, kind: Any = kind, **__: Any) -> RecordStore | None:
                    raise kind("what only the log may have") if kind is ZeroDivisionError else kind()

                records, databases.records = databases.records, fails  # type: ignore[method-assign, assignment]
                status = await refused(
                    caller.records.Query(records_pb2.QueryRequest(context=caller.context), timeout=0.8)
                )
                databases.records = records  # type: ignore[method-assign]
                found[kind] = told(status)
                assert not any(word in str(status) for word in ("Traceback", "only the log", ".py"))
            internal = ("INTERNAL", "INTERNAL", False)
            assert found == {**ROWS, errors.RecordLayerError: internal, ZeroDivisionError: internal}
            assert (await caller.lookup("p"))[0].record.name.name == "p", "the server goes on"

    run(scenario())


def test_a_conflict_is_tried_again_and_told_when_the_time_is_up() -> None:
    short = Limits(max_deadline=timedelta(seconds=1.5))  # the server's; a caller that waited no longer might just leave

    async def scenario() -> None:
        async with photos(limits=short) as (server, databases), calling(server) as channel:
            caller = Caller(channel)
            await caller.create("p", rating=1)
            records = databases.records
            attempts = 0

            async def disturbed(tx: Transaction, tenant: Tenant, *, create: bool = False) -> RecordStore | None:
                """Somebody else changes the record in the middle of each attempt."""
                nonlocal attempts
                store = await records(tx, tenant, create=create)
                assert store is not None
                if create:
                    attempts += 1
                    await store.load_record(("", "p"))
                    async with databases.database.transaction() as other:
                        theirs = await records(other, tenant)
                        assert theirs is not None
                        stored: Any = await theirs.load_record(("", "p"))
                        stored.message.rating += 1
                        await theirs.save(stored.message)
                return store

            databases.records = disturbed  # type: ignore[method-assign]
            request = records_pb2.ModifyRequest(context=caller.context)
            request.operations.append(operation("FORCE_UPDATE", "p", title="t"))
            status = await refused(caller.records.Modify(request, timeout=30))
            databases.records = records  # type: ignore[method-assign]
            assert told(status) == ("ABORTED", "CONTENTION", True)
            assert attempts > 1, "the server has tried again itself"
            assert "p" in metadata(status)["conflicts"]
            assert "/" not in metadata(status)["conflicts"], "where it lies is nobody's business"

    run(scenario())


@pytest.mark.parametrize("fault", [Fault.APPLIED, Fault.NOT_APPLIED])
def test_a_commit_of_unknown_outcome_is_resolved_with_a_key_and_told_without(fault: Fault) -> None:
    faults: list[Any] = []

    def next_fault() -> Any:
        while True:
            yield faults.pop() if faults else None

    database = Database(Faulty(open_engine("memory:"), next_fault()), world=World())
    increment = operation("FORCE_UPDATE", "p")
    increment.transforms.append(records_pb2.Transform(field="views", increment=types_pb2.Value(integer_value=1)))

    async def scenario() -> None:
        async with photos(database=database) as (server, _), calling(server) as channel:
            caller = Caller(channel)
            await caller.create("p")
            faults.append(fault)
            await caller.modify(increment, idempotency_key="once")
            views = (await caller.lookup("p"))[0].record.fields.fields["views"].integer_value
            assert views == 1, "whatever the first commit did"
            faults.append(fault)
            status = await refused(caller.modify(increment))
            assert told(status) == ("UNKNOWN", "COMMIT_UNKNOWN", False)

    run(scenario())


def test_damage_is_told_with_where_it_is() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("whole")
            await caller.create("broken")
            [tenant] = databases._places

            async def put(tx: Transaction, data: bytes | None = None) -> bytes:
                """Let the bytes of a record be others; what they were."""
                place = await databases.place(tx, tenant)
                assert place is not None
                key = place.records.key() + pack((1, "", "broken", 0))
                before = dict(await run_asyncio(tx.context.read_all(key, key + b"\0")))[key]
                tx.context.set(key, b"\xff\xff\xff" if data is None else data)
                return bytes(before)

            whole = await databases.database.run(put)
            for names in (("broken",), ("whole", "broken", "none")):
                found = await caller.lookup(*names)
                said = {name: told(one.status) for name, one in zip(names, found, strict=True) if one.status.code}
                assert said.pop("broken") == ("DATA_LOSS", "CORRUPT", False)
                assert said == ({} if len(names) == 1 else {"none": ("NOT_FOUND", "NOT_FOUND", False)})
            assert found[0].record.name.name == "whole", "what is damaged is that one only"
            status = await refused(caller.query())
            assert told(status) == ("DATA_LOSS", "CORRUPT", False)
            assert metadata(status)["record_name"] == "broken"
            await databases.database.run(lambda tx: put(tx, whole))

    run(scenario())
