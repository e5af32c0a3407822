"""Sync: what has changed since a token, of a zone and of a database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer.client.pb import records_pb2, sync_pb2, types_pb2
from recordlayer_server import statuses
from recordlayer_server.databases import Databases
from recordlayer_server.limits import Limits
from recordlayer_server.places import DEVELOPMENT, PRIVATE, Tenant
from recordlayer_server.sync.trimming import forget_old_changes
from tests.support.photos import CONTAINER, descriptor_set
from tests.support.service import Caller, calling, operation, photos, reason, run, serving_over

ANA = Tenant(CONTAINER, DEVELOPMENT, PRIVATE, "ana")


class Copy:
    """A copy of one zone that is made of ZoneChanges alone."""

    def __init__(self, caller: Caller, zone: str = "", **said: Any) -> None:
        self.caller = caller
        self.zone = zone
        self.said = said
        self.token = b""
        self.records: dict[str, types_pb2.Record] = {}
        self.pages = 0
        self.reset = 0

    async def page(self) -> sync_pb2.ZoneChanges:
        reply = await self.caller.zone_changes({self.zone: self.token}, **self.said)
        return reply.zones[0]

    async def catch_up(self) -> list[str]:
        """Ask until there is no more; the names in the order in which they came, deleted ones with a dash."""
        told: list[str] = []
        while True:
            self.pages += 1
            page = await self.page()
            if statuses.reason_of(page.status) in ("TOKEN_EXPIRED", "ZONE_NOT_FOUND"):
                self.records, self.token, told = {}, b"", []
                self.reset += 1
                if statuses.reason_of(page.status) == "ZONE_NOT_FOUND":
                    return told
                continue
            assert not page.status.code, page.status
            for record in page.records:
                name = record.name.name
                told.append("-" * record.deleted + name)
                if record.deleted:
                    self.records.pop(name, None)
                else:
                    self.records[name] = record
            self.token = page.token
            if not page.more_coming:
                return told


async def contents(caller: Caller, zone: str = "") -> dict[str, types_pb2.Record]:
    """All records of a zone, by a query."""
    found: dict[str, types_pb2.Record] = {}
    continuation = b""
    while True:
        page = await caller.query(None, record_types=[], zone=types_pb2.ZoneName(name=zone), continuation=continuation)
        found.update({record.name.name: record for record in page.records})
        if not (continuation := page.continuation):
            return found


def test_a_copy_is_made_page_by_page_and_followed_deletions_included() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            for number in range(7):
                await caller.create(f"p{number}", title=f"t{number}")
            copy = Copy(caller, limit=3)
            assert await copy.catch_up() == [f"p{number}" for number in range(7)]
            assert copy.pages == 4, "the last one has what changed meanwhile"
            await caller.modify(operation("FORCE_DELETE", "p3"), operation("FORCE_UPDATE", "p1", title="other"))
            await caller.modify(operation("FORCE_UPDATE", "p1", title="last"))
            assert await copy.catch_up() == ["-p3", "p1"]
            assert copy.records["p1"].fields.fields["title"].string_value == "last"
            assert copy.records == await contents(caller)
            assert await copy.catch_up() == []

    run(scenario())


def test_changes_of_one_batch_come_in_the_order_of_its_operations() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("gone", title="t")
            copy = Copy(caller)
            await copy.catch_up()
            names = ["m", "z", "a", "q", "b"]
            await caller.modify(
                *(operation("CREATE", name, title="t") for name in names),
                operation("FORCE_DELETE", "gone"),
                operation("CREATE", "c", title="t"),
            )
            assert await copy.catch_up() == [*names, "-gone", "c"]

    run(scenario())


def test_changes_while_it_copies_are_not_missed() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            for number in range(6):
                await caller.create(f"p{number}", title="t")
            copy = Copy(caller, limit=2)
            page = await copy.page()
            copy.records, copy.token = {one.name.name: one for one in page.records}, page.token
            await caller.modify(
                operation("FORCE_DELETE", "p0"), operation("CREATE", "o", title="t"), operation("FORCE_DELETE", "p5")
            )
            await copy.catch_up()
            assert copy.records == await contents(caller)
            assert set(copy.records) == {"o", "p1", "p2", "p3", "p4"}

    run(scenario())


def test_several_zones_share_a_reply_and_a_full_one_leaves_the_rest_for_the_next() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.zone("z")
            for zone in ("", "z"):
                for number in range(3):
                    await caller.create(f"{zone}{number}", zone=zone, title="t")
            reply = await caller.zone_changes({"": b"", "z": b"", "nowhere": b""}, limit=3)
            first, second, third = reply.zones
            assert [record.name.name for record in first.records] == ["0", "1", "2"]
            assert (len(second.records), second.more_coming) == (0, True)
            assert statuses.reason_of(third.status) == "ZONE_NOT_FOUND"
            reply = await caller.zone_changes({"": first.token, "z": second.token}, limit=3)
            assert [record.name.name for record in reply.zones[1].records] == ["z0", "z1", "z2"]
            assert not reply.zones[0].records
            assert reply.context.read_version > 0

    run(scenario())


def test_wanted_fields_types_and_contents_as_messages() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("p", title="t", rating=3)
            await caller.create("a", record_type="Album", name="n")
            copy = Copy(caller, record_types=["Photo"], desired_keys=types_pb2.DesiredKeys(fields=["rating"]))
            assert await copy.catch_up() == ["p"]
            assert list(copy.records["p"].fields.fields) == ["rating"]
            await caller.modify(operation("FORCE_REPLACE", "p", record_type="Album", name="m"))
            await caller.modify(operation("FORCE_UPDATE", "a", record_type="Album", name="o"))
            assert await copy.catch_up() == ["-p"], "a record that became of another type has gone from the copy"
            messages = Copy(caller, form=types_pb2.MESSAGE)
            await messages.catch_up()
            assert messages.records["a"].message

    run(scenario())


def test_a_zone_that_is_deleted_and_made_again_resets_its_readers() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.zone("z")
            await caller.create("old", zone="z", title="t")
            copy = Copy(caller, "z")
            await copy.catch_up()
            await caller.zone("z", "DELETE")
            page = await copy.page()
            assert (page.status.code, statuses.reason_of(page.status)) == (5, "ZONE_NOT_FOUND")
            await caller.zone("z")
            await caller.create("new", zone="z", title="t")
            page = await copy.page()
            assert (page.status.code, statuses.reason_of(page.status)) == (11, "TOKEN_EXPIRED")
            assert "made again" in page.status.message
            assert await copy.catch_up() == ["new"]
            assert copy.reset == 1

    run(scenario())


def test_a_database_tells_which_zones_have_changed() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            reply = await caller.database_changes()
            assert reply.complete
            assert [zone.name.name for zone in reply.zones] == [""]
            early = reply.token
            for zone in ("y", "z"):
                await caller.zone(zone)
            await caller.create("p", zone="z", title="t")
            assert {zone.name.name for zone in (await caller.database_changes(early)).zones} == {"", "y", "z"}
            token = (await caller.database_changes()).token
            assert not (await caller.database_changes(token)).zones
            await caller.create("q", zone="z", title="t")
            reply = await caller.database_changes(token)
            assert [(zone.name.name, zone.incarnation) for zone in reply.zones] == [("z", 1)]
            assert not reply.complete
            await caller.zone("y", "DELETE")
            await caller.zone("x")
            reply = await caller.database_changes(reply.token)
            assert [(zone.name.name, zone.deleted) for zone in reply.zones] == [("x", False), ("y", True)]
            whole = await caller.database_changes()
            assert [zone.name.name for zone in whole.zones] == ["", "x", "z"]

    run(scenario())


def test_tokens_outlive_the_server_and_changes_of_the_schema() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("p", title="t")
            copy = Copy(caller)
            await copy.catch_up()
            await databases.put_container(CONTAINER, descriptor_set(), DEVELOPMENT)
            other = Databases(databases.database)
            async with serving_over(other) as second, calling(second) as elsewhere:
                copy.caller = Caller(elsewhere, user="ana")
                await copy.caller.modify(operation("FORCE_DELETE", "p"), operation("CREATE", "q", title="t"))
                assert await copy.catch_up() == ["-p", "q"]
                assert not copy.reset

    run(scenario())


def test_a_token_goes_with_a_database_that_is_moved() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("p", title="t")
            copy = Copy(caller)
            await copy.catch_up()

            async def moved(tx: Any) -> None:
                store = await databases.records(tx, ANA, create=True)
                assert store is not None
                await store.header.raise_incarnation()

            await databases.database.run(moved)
            await caller.create("q", title="t")
            assert await copy.catch_up() == ["q"]
            assert not copy.reset

    run(scenario())


def test_tokens_that_are_foreign_forged_or_cut_off_are_refused() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            ana, bo = Caller(channel, user="ana"), Caller(channel, user="bo")
            await ana.zone("z")
            for caller in (ana, bo):
                await caller.create("p", title="t")
            copy = Copy(ana)
            await copy.catch_up()
            token, whole = copy.token, (await ana.database_changes()).token
            changed = token[:-1] + bytes([token[-1] ^ 1])
            for caller, zone, shown in (
                (bo, "", token),
                (ana, "z", token),
                (ana, "", changed),
                (ana, "", token[:-3]),
                (ana, "", b"x"),
                (ana, "", whole),
            ):
                one = (await caller.zone_changes({zone: shown})).zones[0]
                assert statuses.reason_of(one.status) == "TOKEN_MISMATCH"
                assert one.status.code == 3
            for caller, shown in ((bo, whole), (ana, token), (ana, whole[1:])):
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await caller.database_changes(shown)
                assert (caught.value.code(), reason(caught.value)) == (
                    grpc.StatusCode.INVALID_ARGUMENT,
                    "TOKEN_MISMATCH",
                )

    run(scenario())


def test_deletions_whose_time_is_over_are_forgotten_and_readers_begin_anew() -> None:
    async def scenario() -> None:
        async with (
            photos(limits=Limits(deletions_kept=timedelta(0))) as (server, databases),
            calling(server) as channel,
        ):
            caller = Caller(channel, user="ana")
            await caller.create("p", title="t")
            await caller.create("q", title="t")
            copy = Copy(caller)
            await copy.catch_up()
            whole = (await caller.database_changes()).token
            await caller.modify(operation("FORCE_DELETE", "p"))
            assert await forget_old_changes(databases) == 3
            assert await copy.catch_up() == ["q"]
            assert copy.reset == 1
            assert set(copy.records) == {"q"}
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await caller.database_changes(whole)
            assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.OUT_OF_RANGE, "TOKEN_EXPIRED")

    run(scenario())


def test_every_database_is_trimmed_and_changes_that_are_young_stay() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            for user in ("", "ana", "bo"):
                await Caller(channel, user=user).create("p", title="t")
            await Caller(channel, user="bo").zone("z")
            assert await forget_old_changes(databases) == 0
            fresh = Databases(databases.database, limits=Limits(deletions_kept=timedelta(0)))
            assert await forget_old_changes(fresh) == 4, "three records and a zone, by a server that knew none of them"

    run(scenario())


def test_a_database_of_before_keeps_its_changes_from_its_next_write_on() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("p", title="t")

            async def as_before(tx: Any) -> None:
                store = await databases.records(tx, ANA)
                assert store is not None
                await store.feed.disable()

            await databases.database.run(as_before)
            copy = Copy(caller)
            assert await copy.catch_up() == ["p"]
            assert await copy.catch_up() == []
            await caller.create("q", title="t")
            assert await copy.catch_up() == ["p", "q"]
            assert copy.reset == 1
            await caller.modify(operation("FORCE_DELETE", "p"))
            assert await copy.catch_up() == ["-p"]

    run(scenario())


def test_a_page_may_end_early_with_nothing_in_it() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            for number in range(20):
                await caller.create(f"a{number:02}", record_type="Album", name="n")
            await caller.create("p", title="t")
            copy = Copy(caller, record_types=["Photo"])
            copy.said["limits"] = {"keys": 3}
            page = await copy.page()
            assert (len(page.records), page.more_coming) == (0, True)
            assert await copy.catch_up() == ["p"]
            for number in range(20):
                await caller.modify(operation("FORCE_DELETE", f"a{number:02}"))
            await caller.modify(operation("FORCE_DELETE", "p"))
            assert await copy.catch_up() == ["-p"]

    run(scenario())


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"zones": []}, "zones"),
        ({"zones": ["", ""]}, "zones"),
        ({"zones": [f"z{number}" for number in range(101)]}, "zones"),
        ({"zones": ["$z"]}, "zones[0].zone.name"),
        ({"zones": [""], "limit": -1}, "limit"),
        ({"zones": [""], "limits": {"keys": -1}}, "limits"),
        ({"zones": [""], "form": 9}, "form"),
    ],
)
def test_requests_that_will_not_do_are_refused_by_name(said: dict[str, Any], field: str) -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            zones: Sequence[str] = said.pop("zones")
            asked = [sync_pb2.ZoneCursor(zone=types_pb2.ZoneName(name=name)) for name in zones]
            request = sync_pb2.ZoneChangesRequest(context=caller.context, zones=asked, **said)
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await caller.sync.ZoneChanges(request)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert (caught.value.details() or "").startswith(f"{field}:")

    run(scenario())


def test_records_that_are_gone_say_when_and_of_which_type() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            made = await caller.create("p", title="t")
            copy = Copy(caller)
            await copy.catch_up()
            await caller.modify(records_pb2.Operation(type="FORCE_DELETE", record=types_pb2.Record(name=made.name)))
            [gone] = (await copy.page()).records
            assert (gone.deleted, gone.record_type, gone.name) == (True, "Photo", made.name)
            assert gone.modified.time.ToMilliseconds() >= made.modified.time.ToMilliseconds() - 1

    run(scenario())
