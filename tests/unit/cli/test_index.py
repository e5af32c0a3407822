"""`recordlayer index` and `recordlayer store` where something is in the way: Ctrl-C, another operator, damage."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory

import recordlayer as rl
from recordlayer.blocking.online import IndexScrubber
from recordlayer.cli import building
from recordlayer.index.build_notes import HEARTBEATS
from recordlayer.migrate.lockfile import from_text
from recordlayer.online.stamp import build_prefix
from recordlayer.pb.index_build_pb2 import IndexBuildHeartbeat
from recordlayer.store.layout import Keyspace
from recordlayer.store.metadata_store import StoredMetaData
from tests.support.command_line import CommandLine

INDEXES = 'SHOP.index(None, "records", rl.count())\nSHOP.index("Order", "by_total", "total")'


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    """A shop with 400 orders, in which by_total is to be built."""
    made = CommandLine(tmp_path)
    made.schema(INDEXES)
    made("init", "--builder", "the_schema:SHOP", "--url", "file:shop.rl", "--path", "shop/acme")
    made("migrate", "apply", "--yes")
    locked = from_text((tmp_path / "schema.lock").read_text())
    order: Any = message_factory.GetMessageClass(locked.record_types["Order"].descriptor)
    with database(made) as db, db.transaction() as tx:
        opened(tx).save_many([order(id=number, customer="ana", total=number) for number in range(400)])
    made("index", "drop", "by_total", "--yes")
    assert made.status == 0, made.complained
    return made


def database(run: CommandLine) -> Any:
    return rl.open(f"file:{run.folder / 'shop.rl'}")


def opened(tx: Any) -> Any:
    return tx.store(StoredMetaData(path=("shop", "metadata")), path=("shop", "acme"))


def by_total(run: CommandLine) -> Any:
    return {one["name"]: one for one in run.json("index", "list")["indexes"]}["by_total"]


class Interrupted(building.ProgressBar):
    """Ctrl-C behind the first transaction."""

    def __call__(self, report: Any) -> None:
        raise KeyboardInterrupt


@pytest.fixture
def begun(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The same with a build that was interrupted."""
    with monkeypatch.context() as patch:
        patch.setattr(building, "ProgressBar", Interrupted)
        run("index", "build", "by_total", "--yes")
    assert (run.status, "`recordlayer index build by_total` goes on" in run.complained) == (1, True)
    return run


def test_ctrl_c_leaves_a_build_that_goes_on_where_it_was(begun: CommandLine) -> None:
    found = by_total(begun)
    assert (found["state"], found["build"]["scanned"], found["build"]["builders"]) == ("WRITE_ONLY", 100, [])
    built = begun.json("index", "build", "by_total", "--yes")
    assert (begun.status, built["finished"], built["records"]) == (0, True, 300)
    assert (by_total(begun)["state"], by_total(begun)["build"]) == ("READABLE", None)


def test_a_pause_and_a_rate_are_seen_and_kept_until_they_are_lifted(begun: CommandLine) -> None:
    begun("index", "pause", "by_total", "--reason", "the sale", "--yes")
    begun("index", "throttle", "by_total", "1000", "--yes")
    build = by_total(begun)["build"]
    assert (build["paused"], build["paused_by"], build["rate"]) == (True, "the sale", 1_000)
    begun("index", "build", "by_total", "--yes")
    assert (begun.status, "paused by the sale" in begun.complained) == (1, True)
    begun("index", "resume", "by_total", "--lift-only", "--yes")
    assert begun("index", "resume", "by_total", "--yes").splitlines()[1] == "it was not paused"
    assert (begun.status, by_total(begun)["state"]) == (0, "READABLE")


def test_who_builds_is_named_and_waited_for_when_that_is_asked(begun: CommandLine) -> None:
    with database(begun) as db, db.transaction() as tx:
        store = opened(tx).core
        prefix = build_prefix(store, store.metadata.index("by_total")) + HEARTBEATS
        now = int(store.context.world.clock.wall() * 1000)
        beat = IndexBuildHeartbeat(info="BY_RECORDS by bo@desk", heartbeatTimeMilliseconds=now - 8_000)
        store.context.set(rl.tuples.pack((uuid.uuid4(),), prefix), beat.SerializeToString())
    assert by_total(begun)["build"]["builders"][0]["name"] == "bo@desk"
    begun("index", "build", "by_total", "--yes")
    assert (begun.status, "by bo@desk" in begun.complained) == (1, True)
    begun("index", "build", "by_total", "--yes", "--wait", "60")
    assert (begun.status, by_total(begun)["state"]) == (0, "READABLE")


def test_damage_is_found_and_put_right(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    run("index", "build", "--all", "--yes")
    with database(run) as db, db.transaction() as tx:
        store = opened(tx).core
        entries = store.layout.of(Keyspace.INDEXES) + rl.tuples.pack((store.metadata.index("by_total").subspace_key,))
        tx.context.clear(entries + rl.tuples.pack((7, 7)))
    found = run.json("store", "check")
    assert (run.status, found["found"], found["repaired"]) == (1, 1, 0)
    found = run.json("index", "scrub", "by_total", "--anew")
    assert (run.status, found["found"]) == (1, 1)

    def interrupts(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(IndexScrubber, "scrub", interrupts)
        run("index", "scrub")
        assert (run.status, "stopped: `recordlayer index scrub` goes on" in run.complained) == (1, True)
    assert "repaired" in run("store", "repair", "--yes")
    assert run.status == 0
    assert run.json("store", "check")["found"] == 0


def test_an_index_is_built_to_its_end_when_its_values_have_become_unique(run: CommandLine) -> None:
    run.schema(INDEXES + '\nSHOP.index("Order", "one_total", "total", unique=True)')
    with database(run) as db, db.transaction() as tx:
        store = opened(tx)
        twin = store.load(7)
        twin.total = 8
        store.save(twin)
    run("schema", "lock", "--yes")
    run("migrate", "apply", "--yes")
    assert (run.status, "recordlayer index violations one_total" in run.said) == (1, True), run.said + run.complained
    with database(run) as db, db.transaction() as tx:
        opened(tx).delete(7)
    run("index", "build", "one_total", "--yes")
    assert (run.status, "one_total is built" in run.said) == (0, True), run.complained
    assert {one["name"]: one for one in run.json("index", "list")["indexes"]}["one_total"]["state"] == "READABLE"


def test_of_many_stores_one_has_to_be_named(run: CommandLine) -> None:
    project = run.folder / "recordlayer.toml"
    project.write_text(project.read_text().replace('store = ["shop", "acme"]', 'below = ["shop"]'))
    run("index", "list")
    assert (run.status, "say which with --store" in run.complained) == (2, True)
    run("store", "delete", "--yes")
    assert run.status == 2, "never all of them by an oversight"
    run("index", "list", "--store", "shop/acme")
    assert run.status == 0
    assert [one["path"] for one in run.json("store", "list")["stores"]] == [["shop", "acme"]]
    run("store", "info", "--store", "shop/nobody")
    assert (run.status, "there is no record store here" in run.complained) == (1, True)
