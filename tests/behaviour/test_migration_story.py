"""The life of a schema, on the demo's cities and from the command line: what is added, renamed, dropped, refused and
made unique; each time planned, applied by a process that is killed under way, resumed and verified."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory

import recordlayer as rl
from bench.demo import City
from recordlayer.blocking.database import Database
from recordlayer.store.metadata_store import StoredMetaData
from tests.behaviour.conftest import clear
from tests.conftest import CLUSTER_FILE
from tests.support.command_line import CommandLine, killed

METADATA, PATH = ("shop", "metadata"), ("shop", "cities")
CITIES = 600
TWICE = 3
"""Names that two cities have."""

SCHEMA = """
import recordlayer as rl
from bench.demo import FILE
from google.protobuf import descriptor_pb2, descriptor_pool

made = descriptor_pb2.FileDescriptorProto.FromString(FILE.serialized_pb)
city = made.message_type[0]
fields = {{field.name: field for field in city.field}}
{fields}
pool = descriptor_pool.DescriptorPool()
pool.Add(made)
SHOP = rl.RecordMetaDataBuilder(pool.FindFileByName(made.name)).primary_key("City", "id")
SHOP.index(None, "cities", rl.count())
{indexes}
"""
MAYOR = 'city.field.add(name="mayor", number=7, type=9, label=1)'
RENAMED = 'fields["population"].name = "inhabitants"; fields["population"].ClearField("json_name")'
BY_COUNTRY = 'SHOP.index("City", "by_country", rl.concat("country", "name"))'
ONE_NAME = 'SHOP.index("City", "one_name", "name", unique=True)'

ENGINES = ["file", pytest.param("cluster", marks=pytest.mark.fdb)]


class Story:
    """A project in a folder, its database, and what is in it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.run = CommandLine(folder)
        self.folder = folder
        self.url = url if url.startswith("fdb:") else f"file:{folder / 'shop.rl'}"
        self.fields: list[str] = []
        self.indexes: list[str] = []
        self.write()
        self.done("init", "--builder", "the_schema:SHOP", "--url", url, "--path", "/".join(PATH))

    def write(self) -> None:
        """The schema, as it is wanted now."""
        self.run.schema(text=SCHEMA.format(fields="\n".join(self.fields), indexes="\n".join(self.indexes)))

    def done(self, *arguments: str, status: int = 0) -> str:
        said = self.run(*arguments)
        assert self.run.status == status, f"{arguments}\n{said}{self.run.complained}"
        return said

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def change(self, *allow: str) -> dict[str, Any]:
        """Lock what the schema is now; the plan to bring the store there."""
        self.write()
        self.done("schema", "lock", "--yes", *allow)
        plan: dict[str, Any] = self.json("migrate", "plan", *allow)
        assert (self.run.status, bool(plan["steps"])) == (0, True)
        return plan

    def killed(self, behind: int, *allow: str) -> None:
        """Apply in a process that is killed behind so many commits."""
        killed(self.folder, behind, "migrate", "apply", "--yes", "--lease", "0.5", "--wait", "30", *allow)
        status = self.json("migrate", "status", *allow)
        assert (self.run.status, status["run_finished"]) == (1, False)
        assert status["left"], "something is left to do"

    def resumed(self, *allow: str) -> None:
        """Go on, and see that all is well."""
        self.done("migrate", "resume", "--yes", "--lease", "0.5", "--wait", "60", *allow)
        self.verified(*allow)

    def verified(self, *allow: str) -> None:
        assert self.json("migrate", "status", *allow)["left"] == []
        self.done("store", "check")
        self.done("migrate", "apply", "--yes", *allow)  # once more does nothing
        rows = [(row["step"], row["index"], row["to_version"]) for row in self.json("migrate", "history")["history"]]
        assert len(rows) == len(set(rows)), "no step was done twice"

    def open(self) -> Database:
        return rl.open(self.url)

    def store(self, tx: Any) -> Any:
        return tx.store(StoredMetaData(path=METADATA), path=PATH)


@pytest.fixture(params=ENGINES)
def story(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Story]:
    if request.param == "file":
        yield Story(tmp_path, "file:shop.rl")
        return
    url = f"fdb:{CLUSTER_FILE}"
    with rl.open(url) as database:
        clear(database)
        yield Story(tmp_path, url)
        clear(database)


def city(number: int) -> Any:
    name = f"Town {number % (CITIES - TWICE)}"
    return City(id=number, name=name, country="NO" if number % 3 else "SE", population=number * 1_000)


def test_a_schema_grows_is_renamed_shrinks_and_becomes_unique_through_kills(story: Story) -> None:
    story.done("migrate", "apply", "--yes")
    with story.open() as db:
        for at in range(0, CITIES, 200):
            with db.transaction() as tx:
                story.store(tx).save_many([city(number) for number in range(at, at + 200)])

    # a field: nothing is built; killed when the metadata is stored and the store has not seen them
    story.fields.append(MAYOR)
    plan = story.change()
    assert [step["step"] for step in plan["steps"]] == ["store metadata", "open store"]
    story.killed(3)
    story.resumed()
    with story.open() as db, db.transaction() as tx:
        store = story.store(tx)
        store.save(_city(store, id=7, name="Town 7", country="NO", population=7_000, mayor="ana"))
        assert store.load(7).mayor == "ana"
        assert store.load(8).mayor == ""

    # an index: killed twice in the middle of its build
    story.indexes.append(BY_COUNTRY)
    plan = story.change()
    assert (plan["price"]["keys_scanned"], plan["price"]["exact"]) == (CITIES, True)
    story.killed(7)
    built = {one["name"]: one for one in story.json("index", "list")["indexes"]}["by_country"]
    assert 0 < built["build"]["scanned"] < CITIES
    story.killed(3)
    story.resumed()
    with story.open() as db, db.transaction() as tx:
        found = story.store(tx).query(rl.query("City").where(rl.q.country == "SE").use_indexes("by_country")).all()
    assert [one.id for one in sorted(found, key=lambda one: one.id)] == list(range(0, CITIES, 3))

    # another name: refused, until it is allowed; killed before anything was stored
    story.fields.append(RENAMED)
    story.write()
    assert "--allow field-renames would let it pass" in story.done("schema", "diff", status=1)
    allow = ("--allow", "field-renames")
    assert story.change(*allow)["price"]["keys_scanned"] == 0
    story.killed(2, *allow)
    story.resumed(*allow)
    with story.open() as db, db.transaction() as tx:
        assert story.store(tx).load(9).inhabitants == 9_000

    # an index less: nothing of it is left
    story.indexes.remove(BY_COUNTRY)
    story.change()
    story.killed(3)
    story.resumed()
    with story.open() as db, db.transaction() as tx:
        assert "by_country" not in story.store(tx).metadata.indexes

    # another type: refused, whichever way it comes
    lock = story.folder / "schema.lock"
    kept = lock.read_text()
    story.fields.append('fields["population"].type = 9')
    story.write()
    story.done("schema", "lock", "--yes", status=1)
    assert lock.read_text() == kept
    lock.unlink()
    story.done("schema", "lock", "--yes")
    before = story.json("migrate", "history")
    for command in ("plan", "apply"):
        refused = story.json("migrate", command, *(["--yes"] if command == "apply" else []))
        assert story.run.status == 1
        assert [one["verdict"] for one in refused["changes"]].count("refused") == 1
    assert story.json("migrate", "history") == before
    lock.write_text(kept)
    del story.fields[-1]

    # unique names: killed in the build, listed, resolved, finished
    story.indexes.append(ONE_NAME)
    story.change()
    story.killed(7)
    said = story.done("migrate", "resume", "--yes", "--lease", "0.5", "--wait", "60", status=1)
    assert "recordlayer index violations one_name" in said
    found = story.json("index", "violations", "one_name")["violations"]
    assert story.run.status == 1
    assert [one["value"] for one in found] == [[f"Town {number}"] for number in range(TWICE)]
    for one in found:
        story.done("index", "resolve", "one_name", json.dumps(one["primary_keys"][0]), "--yes")
    story.done("index", "violations", "one_name")
    story.resumed()
    with story.open() as db, db.transaction() as tx:
        store = story.store(tx)
        assert store.record_count() == CITIES - TWICE
        assert store.index_state("one_name") is rl.IndexState.READABLE
        with pytest.raises(rl.errors.UniquenessViolation):
            store.save(_city(store, id=9_999, name="Town 1"))


def _city(store: Any, **fields: Any) -> Any:
    """A city as the store's schema has it now."""
    return message_factory.GetMessageClass(store.metadata.record_types["City"].descriptor)(**fields)
