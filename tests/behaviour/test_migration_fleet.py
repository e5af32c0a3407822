"""A fleet of stores migrated from the command line: a few go first, the process is killed half way, another goes on; no
store is left out, and none is done twice. RECORDLAYER_LONG_TESTS=1 for 1,000 stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory

import recordlayer as rl
from recordlayer.migrate.lockfile import from_text
from recordlayer.store.metadata_store import StoredMetaData
from tests.behaviour.conftest import clear
from tests.conftest import CLUSTER_FILE
from tests.support.command_line import CommandLine, killed
from tests.support.embedded import LONG

STORES = 1_000 if LONG else 200
CANARIES = STORES // 100
RECORDS = 3
METADATA, FLEET = ("shop", "metadata"), ("shop", "fleet")
PROJECT = """
[schema]
builder = "the_schema:SHOP"
[databases.all]
url = "{url}"
metadata = ["shop", "metadata"]
below = ["shop", "fleet"]
"""


@pytest.fixture(params=["file", pytest.param("cluster", marks=pytest.mark.fdb)])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "file":
        yield "file:shop.rl"
        return
    with rl.open(f"fdb:{CLUSTER_FILE}") as database:
        clear(database)
        yield database.url
        clear(database)


def founded(database: Any, schema: rl.RecordMetaData) -> None:
    order: Any = message_factory.GetMessageClass(schema.record_types["Order"].descriptor)
    for at in range(0, STORES, 50):
        with database.transaction() as tx:
            for number in range(at, at + 50):
                store = tx.store(StoredMetaData(path=METADATA, seed=schema), path=(*FLEET, number))
                store.save_many([order(id=one, customer=f"c{number}", total=one) for one in range(RECORDS)])


@pytest.mark.timeout(1800 if LONG else 120)
def test_a_fleet_that_was_killed_half_way_is_finished_with_none_left_out_and_none_done_twice(
    tmp_path: Path, url: str
) -> None:
    where = url if url.startswith("fdb:") else f"file:{tmp_path / 'shop.rl'}"
    run = CommandLine(tmp_path)
    (tmp_path / "recordlayer.toml").write_text(PROJECT.format(url=url))
    run.schema()
    run("schema", "lock", "--yes")
    with rl.open(where) as database:
        founded(database, from_text((tmp_path / "schema.lock").read_text()))
    run.schema('SHOP.index("Order", "by_total", "total")')
    run("schema", "lock", "--yes")
    plan = run.json("migrate", "plan")
    assert (plan["stores"], plan["price"]["keys_scanned"]) == (STORES, STORES * RECORDS)

    canary = ("--canary", "1%", "--lease", "0.5")
    first = run.json("migrate", "apply", "--yes", "--only-canary", *canary)
    assert (run.status, first["done"], first["stopped"]) == (1, CANARIES, "only canaries were asked for")
    killed(tmp_path, STORES // 2, "migrate", "apply", "--yes", *canary)
    status = run.json("migrate", "status")
    assert (run.status, status["run_finished"]) == (1, False)
    assert CANARIES < status["done"] < STORES

    report = run.json("migrate", "resume", "--yes", "--wait", "60", *canary)
    assert (run.status, report["finished"], report["failed"]) == (0, True, {})
    assert report["run"] == first["run"]
    assert (report["skipped"], report["done"]) == (status["done"], STORES - status["done"])
    rows = run.json("migrate", "history", "--limit", str(2 * STORES))["history"]
    opened = Counter(row["store"] for row in rows if row["step"] == "store opened")
    assert opened == {f"/shop/fleet/{number}": 1 for number in range(STORES)}
    with rl.open(where) as database:
        for at in range(0, STORES, 50):
            with database.transaction() as tx:
                for number in range(at, at + 50):
                    store = tx.store(StoredMetaData(path=METADATA), path=(*FLEET, number))
                    assert store.index_state("by_total") is rl.IndexState.READABLE
                    assert [entry.key for entry in store.scan_index("by_total")] == [(one,) for one in range(RECORDS)]
