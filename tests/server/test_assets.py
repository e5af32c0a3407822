"""Assets: each method by a client, over a port; what comes and goes, and who may refer to what."""

from __future__ import annotations

import hashlib
import time
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc import aio as grpc_aio

from recordlayer.client.pb import assets_pb2 as pb
from recordlayer.client.pb import server_pb2, types_pb2
from recordlayer.errors import Conflict
from recordlayer_server.assets import collecting
from recordlayer_server.assets.catalog import CHUNK
from recordlayer_server.assets.collecting import Collector
from recordlayer_server.config import Load, Security
from recordlayer_server.limits import Limits
from recordlayer_server.modifying import Batch
from recordlayer_server.operations import Author, Names, checked
from recordlayer_server.places import DEVELOPMENT, PRIVATE, PUBLIC, Tenant
from tests.server.test_guarded import Bearer, security
from tests.support.assets import Keeper, asset, kept
from tests.support.photos import CONTAINER, descriptor_set
from tests.support.service import Caller, calling, operation, photos, reason, run, status_of

__all__ = ["security"]  # a fixture

ANA = Tenant(CONTAINER, DEVELOPMENT, PRIVATE, "ana")
DATA = bytes(range(256)) * 10_000  # 2.5 MB: three transactions, the last chunk a short one
SHORT = Limits(asset_kept=timedelta(0))
"""What nobody refers to may go at once."""


async def refused(call: Any) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    with pytest.raises(grpc_aio.AioRpcError) as caught:
        await call
    info = error_details_pb2.ErrorInfo()
    for detail in status_of(caught.value).details:
        detail.Unpack(info)
    return caught.value.code(), reason(caught.value), dict(info.metadata)


def test_bytes_come_in_pieces_and_go_out_in_ranges() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            ana = Keeper(Caller(channel, user="ana"))
            state = await ana.begin("a", DATA, content_type="image/png")
            assert (state.received, state.whole) == (0, False)
            first = await ana.send("a", DATA[:200_000], message=70_001)
            assert (first.received, first.whole) == (3 * CHUNK, False), (
                "whole chunks are kept of a stream that ends early"
            )
            assert (await ana.begin("a", DATA, content_type="image/png")) == first, "where to go on"
            assert (await refused(ana.download("a")))[:2] == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
            for offset in (0, 1, len(DATA)):
                wrong = await refused(ana.send("a", DATA[offset:], offset=offset))
                assert wrong == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_OFFSET", {"received": str(3 * CHUNK)})
            whole = await ana.send("a", DATA[3 * CHUNK :], offset=3 * CHUNK)
            assert whole.whole
            assert whole.asset == types_pb2.Asset(
                id="a", size=len(DATA), digest=hashlib.sha256(DATA).digest(), content_type="image/png"
            )
            assert await kept(databases, ANA) == {("", "a"): len(DATA)}
            assert await ana.download("a") == DATA
            for offset, length in ((0, 1), (CHUNK - 1, 2), (1_000_000, 1_200_000), (len(DATA) - 5, 0), (len(DATA), 0)):
                wanted = DATA[offset : offset + length if length else None]
                assert await ana.download("a", offset=offset, length=length) == wanted
            assert await ana.download("a", offset=len(DATA) - 5, length=100) == DATA[-5:]
            made_up = await ana.begin("", b"")
            assert made_up.whole
            assert len(made_up.asset.id) == 32
            assert await ana.download(made_up.asset.id) == b""

    run(scenario())


def test_what_will_not_do_is_refused_and_says_why() -> None:
    async def scenario() -> None:
        limits = Limits(asset_bytes=1_000, asset_message_bytes=600, assets_per_record=2)
        async with photos(limits=limits) as (server, databases), calling(server) as channel:
            ana = Keeper(Caller(channel, user="ana"))
            bad = grpc.StatusCode.INVALID_ARGUMENT
            data = b"x" * 700
            assert await refused(ana.begin("a", b"x" * 1_001)) == (
                bad, "BATCH_TOO_LARGE", {"limit": "1000", "size": "1001"},
            )  # fmt: skip
            for said in ({"size": -1}, {"digest": b"short"}, {"content_type": "x" * 300}, {"zone": "$"}):
                assert (await refused(ana.begin("a", data, **said)))[0] is bad
            assert (await refused(ana.begin("no spaces", data)))[0] is bad
            assert (await refused(ana.begin("a", data, zone="nowhere")))[1] == "ZONE_NOT_FOUND"
            assert (await refused(ana.begin("a", b"", digest=bytes(32))))[1] == "DIGEST_MISMATCH"
            stranger = Keeper(Caller(channel, user="ana", container="com.example.other"))
            for call in (stranger.begin("a", data), stranger.send("a", data), stranger.download("a")):
                assert (await refused(call))[1] == "FORBIDDEN"
            assert (await refused(ana.send("a", data)))[1] == "NOT_FOUND"
            await ana.begin("a", data)
            assert (await refused(ana.begin("a", data + b"x")))[1] == "EXISTS"
            assert (await refused(ana.send("a", data)))[1] == "BATCH_TOO_LARGE"
            assert (await refused(ana.send("a", data + b"x", message=600)))[0] is bad, "more than was said"
            for requests in ([], [pb.UploadRequest(data=b"x")]):
                assert (await refused(ana.stub.Upload(iter(requests))))[0] is bad
            assert (await ana.send("a", b"y" * 699, message=600)).received == 0, "what is no whole chunk is not kept"
            assert (await refused(ana.send("a", b"y" * 700, message=600)))[1] == "DIGEST_MISMATCH"
            assert await kept(databases, ANA) == {}, "the wrong bytes are gone"
            await ana.begin("a", data)
            await ana.send("a", data, message=600)
            for offset, length in ((-1, 0), (0, -1), (701, 0)):
                assert (await refused(ana.download("a", offset=offset, length=length)))[0] is bad

    run(scenario())


def test_a_record_refers_to_assets_of_its_zone_that_are_whole() -> None:
    async def scenario() -> None:
        async with photos(limits=Limits(assets_per_record=3)) as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            ana, bo = Keeper(caller), Keeper(Caller(channel, user="bo"))
            await caller.zone("trip")
            whole = await ana.upload("whole", DATA[:1_000])
            await ana.begin("begun", b"xyz")
            await ana.upload("there", b"xyz", zone="trip")
            await bo.upload("his", b"xyz")
            made = await caller.create("p", image=asset("whole"), prints=[asset("whole"), asset("whole")])
            assert made.fields.fields["image"].asset_value == whole, "what is known of it stands in the record"
            assert [one.asset_value for one in made.fields.fields["prints"].list_value.values] == [whole, whole]
            failed = grpc.StatusCode.FAILED_PRECONDITION
            for name in ("nothing", "begun", "there", "his"):
                for fields in ({"image": asset(name)}, {"prints": [asset("whole"), asset(name)]}):
                    assert await refused(caller.create("q", **fields)) == (failed, "INVALID_ASSET", {"asset": name})
            for said in ({"size": 7}, {"digest": bytes(32)}, {"content_type": "text/plain"}):
                lie = types_pb2.Value(asset_value=types_pb2.Asset(id="whole", **said))
                assert (await refused(caller.create("q", image=lie)))[1] == "INVALID_ASSET"
                told = operation("FORCE_UPDATE", "p", image=lie)
                assert (await refused(caller.modify(told)))[1] == "INVALID_ASSET", "nor of one that it has"
            far = types_pb2.Asset(url="https://example.com/a.mov", size=1 << 40, digest=bytes(32))
            away = await caller.create("away", image=types_pb2.Value(asset_value=far))
            assert away.fields.fields["image"].asset_value == far
            for wrong in (
                types_pb2.Asset(),
                types_pb2.Asset(url="nowhere"),
                types_pb2.Asset(url="https://example.com/" + "x" * 2_100),
                types_pb2.Asset(url="https://example.com/a", digest=b"short"),
                types_pb2.Asset(url="https://example.com/a", size=-1),
            ):
                call = caller.create("q", image=types_pb2.Value(asset_value=wrong))
                assert (await refused(call))[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
            for name in ("a", "b", "c", "d"):
                await ana.upload(name, name.encode())
            many = [asset(name) for name in ("a", "b", "c", "d")]
            assert (await refused(caller.create("q", prints=many)))[1] == "BATCH_TOO_LARGE"
            await caller.create("r", zone="trip", image=asset("there"))
            assert (await caller.lookup("q"))[0].status.code, "nothing of what was refused is there"

    run(scenario())


def test_an_asset_goes_when_nobody_refers_to_it_and_not_before() -> None:
    async def scenario() -> None:
        async with photos(limits=SHORT) as (server, databases), calling(server) as channel:
            caller = Caller(channel, user="ana")
            ana = Keeper(caller)
            await caller.zone("trip")

            async def left() -> set[str]:
                await Collector(databases).collect()
                found = await kept(databases, ANA)
                return {name for _, name in found}

            await ana.begin("begun", DATA)
            await ana.send("begun", DATA[: 2 * CHUNK])
            await ana.upload("unused", b"unused")
            assert len(await kept(databases, ANA)) == 2
            assert await left() == set(), "begun and whole ones alike"
            assert (await refused(ana.send("begun", b"", offset=2 * CHUNK)))[1] == "NOT_FOUND"

            for name in ("one", "two", "moved", "zone"):
                zone = "trip" if name == "zone" else ""
                await ana.upload(name, name.encode(), zone=zone)
                await caller.create(f"of {name}", zone=zone, image=asset(name))
            await caller.create("too", prints=[asset("one"), asset("two"), asset("two")])
            assert await left() == {"one", "two", "moved", "zone"}
            await caller.modify(operation("FORCE_DELETE", "of one"))
            await caller.modify(operation("FORCE_UPDATE", "of two", image=None))
            # from one record to another: in a batch it is never without one
            await caller.modify(operation("FORCE_DELETE", "of moved"), operation("CREATE", "new", image=asset("moved")))
            assert await left() == {"one", "two", "moved", "zone"}, "others refer to them still"
            await caller.modify(operation("FORCE_REPLACE", "too", prints=[asset("two")]))
            assert await left() == {"two", "moved", "zone"}
            await caller.modify(operation("FORCE_UPDATE", "new", record_type="Photo", image=asset("two")))
            await caller.modify(operation("FORCE_DELETE", "too"))
            assert await left() == {"two", "zone"}
            # with its target
            await caller.create("album", record_type="Album", name="n")
            reference = types_pb2.Reference(action="DELETE_SELF")
            reference.target.name = "album"
            follower = operation("CREATE", "follower", image=asset("two"))
            follower.record.fields.fields["album"].reference_value.CopyFrom(reference)
            await caller.modify(follower, operation("FORCE_DELETE", "new"))
            assert await left() == {"two", "zone"}
            await caller.modify(operation("FORCE_DELETE", "album"))
            assert (await caller.lookup("follower"))[0].status.code
            assert await left() == {"zone"}
            await caller.zone("trip", "DELETE")
            assert await kept(databases, ANA) == {}, "a zone takes its assets along"
            await caller.zone("trip")
            assert (await refused(caller.create("p", zone="trip", image=asset("zone"))))[1] == "INVALID_ASSET"
            assert await left() == set()
            async with databases.database.transaction() as tx:
                store = await databases.assets(tx, ANA)
                assert store is not None
                assert await store.scan().all() == [], "and no word of anything is left"

    run(scenario())


def test_who_refers_and_who_collects_meet_in_whichever_order_they_commit() -> None:
    async def scenario() -> None:
        async with photos(limits=SHORT) as (server, databases), calling(server) as channel:
            await databases.put_container("bare", descriptor_set(), DEVELOPMENT)  # its own indexes meet nobody
            caller, bare = Caller(channel, container="bare"), Tenant("bare", DEVELOPMENT, PUBLIC, "")
            ana = Keeper(caller)

            async def saving(tx: Any, name: str) -> None:
                said = [operation("FORCE_UPDATE", name, image=asset("a"))]
                author = Author("ana", "", time.time_ns() // 1_000)
                await Batch(bare, checked(said, databases.limits, Names(b"")), author, True, databases.limits).run(
                    databases, tx
                )

            async def collecting_between() -> None:
                async with databases.database.transaction() as tx:
                    await saving(tx, "p")
                    assert await Collector(databases).collect() == 1

            async def saving_between() -> None:
                async with databases.database.transaction() as tx:
                    step = await collecting.step(databases, tx, bare, time.time_ns() // 1_000)
                    assert step.collected == 1
                    await caller.create("p", image=asset("a"))

            await ana.upload("a", b"a")
            await caller.create("first")  # what is made once is there
            async with databases.database.transaction() as tx:
                await saving(tx, "p")
                async with databases.database.transaction() as other:
                    await saving(other, "q")  # writers who share an asset do not meet
            await caller.modify(operation("FORCE_DELETE", "p"), operation("FORCE_DELETE", "q"))
            with pytest.raises(Conflict):
                await collecting_between()
            await ana.upload("a", b"a")
            with pytest.raises(Conflict):
                await saving_between()
            assert (await caller.lookup("p"))[0].record.fields.fields["image"].asset_value.id == "a"
            assert await Collector(databases).collect() == 0

    run(scenario())


def test_an_asset_stays_for_a_time_after_each_thing_that_happens_to_it() -> None:
    async def scenario() -> None:
        async with photos() as (server, databases), calling(server) as channel:
            caller = Caller(channel, user="ana")
            ana = Keeper(caller)
            await ana.upload("a", b"a")
            await caller.create("p", image=asset("a"))
            await caller.modify(operation("FORCE_UPDATE", "p", title="other"))
            await caller.modify(operation("FORCE_DELETE", "p"))
            assert await Collector(databases).collect() == 0
            assert await ana.download("a") == b"a"
            await caller.create("again", image=asset("a"))
            async with databases.database.transaction() as tx:
                store = await databases.assets(tx, ANA)
                assert store is not None
                due = [one async for one in store.scan_index("by_due")]
            assert len(due) == 3, "it was begun, whole, and left once: an update that keeps it is nothing"

    run(scenario())


def test_what_is_let_go_without_the_service_is_found_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "SEARCHED_A_PASS", 3)

    async def scenario() -> None:
        async with photos(limits=SHORT) as (server, databases), calling(server) as channel:
            caller = Caller(channel, user="ana")
            ana, collector = Keeper(caller), Collector(databases)
            for number in range(8):
                await ana.upload(f"a{number}", b"data")
                await caller.create(f"p{number}", image=asset(f"a{number}"))
            assert await collector.collect() == 0
            async with databases.database.transaction() as tx:
                records = await databases.records(tx, ANA)
                assert records is not None
                for number in (1, 6):
                    await records.delete(("", f"p{number}"))  # as a reaper does, or Java
            assert sum([await collector.collect() for _ in range(6)]) == 2
            assert await kept(databases, ANA) == {("", f"a{number}"): 4 for number in (0, 2, 3, 4, 5, 7)}

    run(scenario())


def test_rights_are_asked_by_method_and_zone(security: Security) -> None:
    async def scenario() -> None:
        async with (
            photos(security=security) as (server, _),
            Bearer.calling(server, "writer") as writer,
            Bearer.calling(server, "reader") as reader,
        ):
            for zone in ("open", "secret"):
                await writer.zone(zone)
                await Keeper(writer, token="writer").upload("a", b"data", zone=zone)
            guest = Keeper(reader, token="reader")
            assert await guest.download("a", zone="open") == b"data"
            nobody = Keeper(reader)
            refusals = [
                guest.begin("b", b"data", zone="open"),
                guest.send("a", b"data", zone="open"),
                guest.download("a", zone="secret"),
                guest.download("nothing", zone="secret"),
            ]
            for attempt in refusals:
                assert (await refused(attempt))[:2] == (grpc.StatusCode.PERMISSION_DENIED, "FORBIDDEN")
            assert (await refused(nobody.download("a", zone="open")))[0] is grpc.StatusCode.UNAUTHENTICATED

    run(scenario())


def test_a_full_database_takes_no_more_bytes() -> None:
    async def scenario() -> None:
        async with photos(load=Load(tenant_storage=1)) as (server, databases), calling(server) as channel:
            caller = Caller(channel, user="ana")
            ana = Keeper(caller)
            await ana.begin("a", DATA)
            await caller.create("p", hash=b"x" * 50_000)
            databases.storage._sizes.clear()  # as if ten seconds had gone by
            for call in (ana.begin("b", DATA), ana.send("a", DATA)):
                assert (await refused(call))[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
            assert await ana.begin("a", DATA), "how far it is can be asked all the same"

    run(scenario())


def test_limits_are_told() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            info = await Caller(channel).server.GetServerInfo(server_pb2.GetServerInfoRequest())
            assert "assets" in info.features
            assert (info.limits.asset_bytes, info.limits.asset_message_bytes) == (16 << 20, 1 << 20)
            assert (info.limits.asset_kept.seconds, info.limits.assets_per_record) == (86_400, 100)

    run(scenario())
