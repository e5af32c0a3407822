"""Databases that earlier releases wrote, and what programs kept of them, with the code of today.

If a file of an earlier release does not read any more, the code is wrong and not the file. `recorded_release.py` says
how a release records its own.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import aio
from recordlayer.migrate.fleet import FleetRules
from recordlayer_server import paging
from tests.golden.recorded_release import (
    FLEET,
    FOLDER,
    HALF,
    LATER,
    ORDERS,
    SHOP,
    STORES,
    change,
    digest,
    kept,
    order,
    record,
    shown,
    space,
    ways,
)
from tests.support.service import Caller, calling, operation, photos, where

FILES = sorted(FOLDER.glob("*.rl.gz"))
RELEASES = sorted(path.name.removesuffix(".rl.gz") for path in FILES)


class Recorded:
    """A release: its database, unpacked, and what it kept elsewhere."""

    def __init__(self, name: str, scratch: Path, folder: Path = FOLDER) -> None:
        path = scratch / "release.rl"
        path.write_bytes(gzip.decompress((folder / f"{name}.rl.gz").read_bytes()))
        self.url = f"file:{path}"
        self.said: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))

    def part(self, name: str) -> Any:
        """What it kept of a part. Where it had none, there is nothing to be read."""
        assert (name in self.said) is not (name in self.said["missing"])
        return self.said.get(name)


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest, tmp_path: Path) -> Recorded:
    return Recorded(request.param, tmp_path)


def test_the_store_of_a_release_is_read_checked_and_written_and_its_continuations_resume(release: Recorded) -> None:
    judge_shop(release)


def judge_shop(release: Recorded) -> None:
    with rl.open(release.url) as db:
        with db.transaction() as tx:
            store = tx.store(kept(SHOP), path=SHOP, mode=rl.OpenMode.OPEN)
            assert store.check() == []
            found = {str(list(one.primary_key)): digest(one.message) for one in store.scan().records()}
            assert found == release.part("shop")["records"]
            pages = ways(store)
            for name in pages.keys() - set(release.said["missing"]):
                recorded = release.said["pages"][name]
                page = pages[name](resume=bytes.fromhex(recorded["continuation"]))
                assert [shown(one) for one in page.all()] == recorded["rest"], name
                assert [shown(one) for one in pages[name]().all()] == recorded["first"] + recorded["rest"], name
        if release.part("feed"):
            judge_feed(db, release.said["feed"])
        with db.transaction() as tx:
            store = tx.store(kept(SHOP), path=SHOP)
            for key in range(ORDERS):
                if key % 3:
                    store.save(order(key + 1))
                else:
                    store.delete(key)
            assert store.check() == []
        with db.transaction() as tx:
            store = tx.store(kept(SHOP), path=SHOP)
            assert store.check() == []
            store.delete_all()
            assert store.check() == []


def judge_feed(db: Any, said: dict[str, Any]) -> None:
    """Tokens go on where they were given, and so does the consumer."""
    now = bytes.fromhex(said["now"])
    with db.transaction() as tx:
        store = tx.store(kept(SHOP), path=SHOP)
        assert [change(one) for one in store.feed.changes(since=bytes.fromhex(said["token"]))] == said["rest"]
        assert list(store.feed.changes(since=now)) == []
        changes = store.version_feed("changed").changes(since=bytes.fromhex(said["by version"]))
        assert [list(one.primary_key) for one in changes] == said["rest by version"]
        assert [change(one) for one in store.feed.consume("replica", limit=5)] == said["consumed next"]
    with db.transaction() as tx:
        tx.store(kept(SHOP), path=SHOP).save(order(7))
    with db.transaction() as tx:
        assert [change(one) for one in tx.store(kept(SHOP), path=SHOP).feed.changes(since=now)] == [["UPDATE", [7]]]


def test_a_build_of_a_release_that_was_stopped_half_way_is_finished(release: Recorded) -> None:
    judge_half(release)


def judge_half(release: Recorded) -> None:
    assert release.part("half") == {}
    with rl.open(release.url) as db:
        report = db.online_indexer(kept(HALF), path=HALF, indexes=["by_total"]).build()
        assert 0 < report.records < ORDERS - 9, "what was built is not built again"
        with db.transaction() as tx:
            store = tx.store(kept(HALF), path=HALF)
            assert store.index_state("by_total") is rl.IndexState.READABLE
            assert store.check() == []
            assert len(store.scan_index("by_total").all()) == ORDERS


def test_a_migration_of_a_release_that_stopped_behind_its_canaries_is_resumed(release: Recorded) -> None:
    judge_fleet(release)


def judge_fleet(release: Recorded) -> None:
    if (said := release.part("fleet")) is None:
        return
    with rl.open(release.url) as db:
        rollout = db.migration(LATER, metadata=("metadata", *FLEET), below=FLEET, rules=FleetRules(canary=0.5))
        report = rollout.apply(resume=True)
        assert (report.run, report.finished) == (said["run"], True)
        assert (report.done, report.skipped) == (STORES - said["done"], said["done"])
        for number in range(STORES):
            with db.transaction() as tx:
                store = tx.store(kept(FLEET), path=(*FLEET, number))
                assert store.check() == []
                assert len(store.scan_index("by_total").all()) == 10


def test_a_tenant_that_a_release_exported_is_imported_and_names_stay_where_they_are(release: Recorded) -> None:
    judge_tenant(release)


def judge_tenant(release: Recorded) -> None:
    names = release.part("names")
    with rl.open(release.url) as db, db.transaction() as tx:
        for name, key in names["users"].items():
            path = space().path("app").add("user", name)
            assert tx.key_space(space()).resolve(path, create=False).subspace.key().hex() == key
        assert tx.directories().open(("a", "b")).prefix.hex() == names["directory"]
    if (said := release.part("tenant")) is None:
        return
    with rl.open(release.url) as db, rl.open("memory:") as other:
        rest = db.tenant(("shop",)).stores(continuation=bytes.fromhex(said["token"])).stores
        assert [one.prefix.hex() for one in rest] == said["rest"]
        stream = gzip.decompress(base64.b64decode(said["stream"]))
        other.tenant(("copy",)).import_from(io.BytesIO(stream))
        with db.transaction() as tx:
            metadata = tx.metadata_store(kept(SHOP)).load()
        with other.transaction() as tx:
            store = tx.store(metadata, path=("copy",), mode=rl.OpenMode.OPEN)
            assert store.check() == []
            found = {str(list(one.primary_key)): digest(one.message) for one in store.scan().records()}
            assert found == release.said["shop"]["records"]


def test_the_database_of_a_service_of_a_release_is_served(release: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    if (said := release.part("service")) is not None:
        monkeypatch.setattr(paging, "time", SimpleNamespace(time=lambda: said["time"]))  # continuations last a week
        asyncio.run(judge_service(release.url, said))


async def judge_service(url: str, said: dict[str, Any]) -> None:
    async with photos(database=aio.open(url)) as (server, _), calling(server) as channel:
        caller = Caller(channel, user="ana")
        once = operation("CREATE", "once", title="once", rating=9)
        again = await caller.modify(once, idempotency_key="golden key")
        assert again.replayed
        assert [one.record.change_tag.hex() for one in again.results] == said["once"]
        asked = where("rating", "GREATER_THAN", 1)
        rest = await caller.names(asked, continuation=bytes.fromhex(said["continuation"]))
        assert rest == said["rest"]
        assert await caller.names(asked) == said["first"] + said["rest"]
        if "zone token" in said:
            await caller.create("new", zone="trip", title="t")
            told, token, more = list[str](), bytes.fromhex(said["zone token"]), True
            while more:
                changes = (await caller.zone_changes({"trip": token})).zones[0]
                told += [record.name.name for record in changes.records]
                token, more = changes.token, changes.more_coming
            assert told == [*(f"q{number:02}" for number in range(len(said["zone first"]), 12)), "new"]
            zones = (await caller.database_changes(bytes.fromhex(said["database token"]))).zones
            assert [zone.name.name for zone in zones] == ["trip"]


def test_what_is_recorded_now_has_every_part_and_is_read_again(tmp_path: Path) -> None:
    record("now", tmp_path, is_whole=True)
    recorded = Recorded("now", tmp_path, tmp_path)
    assert recorded.said["missing"] == []
    for judge in (judge_shop, judge_half, judge_fleet, judge_tenant):
        judge(recorded)
    asyncio.run(judge_service(recorded.url, recorded.said["service"]))
