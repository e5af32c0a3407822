"""FoundationDB's directory layer: names in a tree, each with a short prefix that a move does not change."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from recordlayer.errors import (
    DirectoryExists,
    NewerDirectoryLayer,
    NoSuchDirectory,
    PrefixTaken,
    UsageError,
    WrongDirectoryLayer,
    WrongType,
)
from recordlayer.keyspace import Directory, DirectoryLayer
from recordlayer.keyspace.allocation import window_size
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World

LAYER = DirectoryLayer()
VERSION_KEY = bytes.fromhex("fe01fe000176657273696f6e00")


class Database:
    def __init__(self) -> None:
        self.engine: Engine = open_engine("memory:")
        self.world = World(random=random.Random(3))

    def run(self, work: Callable[[Context], Any]) -> Any:
        context = Context(self.engine.begin(), world=self.world)
        try:
            result = run_blocking(work(context))
            run_blocking(context.commit())
            return result
        finally:
            context.close()

    def rows(self) -> dict[bytes, bytes]:
        async def everything(context: Context) -> dict[bytes, bytes]:
            return dict(await context.read_all(b"", b"\xff"))

        rows: dict[bytes, bytes] = self.run(everything)
        return rows


@pytest.fixture
def database() -> Iterator[Database]:
    made = Database()
    yield made
    made.engine.close()


def test_a_directory_is_made_with_its_parents_and_found_again(database: Database) -> None:
    made: Directory = database.run(lambda c: LAYER.create_or_open(c, ("app", "users"), layer=b"mine"))
    assert made.path == ("app", "users")
    assert made.subspace.key() == made.prefix
    assert len(made.prefix) <= 3
    assert database.run(lambda c: LAYER.open(c, ("app", "users"))) == made
    assert database.run(lambda c: LAYER.create_or_open(c, ("app", "users"), layer=b"mine")) == made
    assert database.run(lambda c: LAYER.list(c)) == ["app"]
    assert database.run(lambda c: LAYER.list(c, "app")) == ["users"]
    assert database.run(lambda c: LAYER.exists(c, "app"))
    assert not database.run(lambda c: LAYER.exists(c, ("app", "other")))
    assert database.rows()[VERSION_KEY] == struct.pack("<III", 1, 0, 0)


def test_what_is_wrong_with_a_path_is_told(database: Database) -> None:
    database.run(lambda c: LAYER.create(c, "app", layer=b"mine"))
    for work, error in (
        (lambda c: LAYER.create(c, "app"), DirectoryExists),
        (lambda c: LAYER.open(c, "other"), NoSuchDirectory),
        (lambda c: LAYER.open(c, ("app", "other")), NoSuchDirectory),
        (lambda c: LAYER.open(c, "app", layer=b"another"), WrongDirectoryLayer),
        (lambda c: LAYER.list(c, "other"), NoSuchDirectory),
        (lambda c: LAYER.remove(c, "other"), NoSuchDirectory),
        (lambda c: LAYER.remove(c, ()), UsageError),
        (lambda c: LAYER.open(c, ()), UsageError),
        (lambda c: LAYER.create(c, "new", prefix=b"x"), UsageError),
        (lambda c: LAYER.open(c, 7), WrongType),
        (lambda c: LAYER.open(c, ("app", 7)), WrongType),
        (lambda c: LAYER.move(c, (), "new"), UsageError),
        (lambda c: LAYER.move(c, "app", ("app", "in itself")), UsageError),
        (lambda c: LAYER.move(c, "other", "new"), NoSuchDirectory),
        (lambda c: LAYER.move(c, "app", ("no", "parent")), NoSuchDirectory),
    ):
        before = database.rows()
        with pytest.raises(error):
            database.run(work)
        assert database.rows() == before


def test_removing_takes_everything_below_with_it(database: Database) -> None:
    for path in ("a", ("a", "b"), ("a", "b", "c"), "z"):
        made = database.run(lambda c, path=path: LAYER.create_or_open(c, path))

        async def fill(context: Context, prefix: bytes = made.prefix) -> None:
            context.set(prefix + b"key", b"value")

        database.run(fill)
    before = len(database.rows())
    database.run(lambda c: LAYER.remove(c, "a"))
    assert not database.run(lambda c: LAYER.remove_if_exists(c, "a"))
    assert database.run(lambda c: LAYER.list(c)) == ["z"]
    assert len(database.rows()) == before - 3 * 3, "content, node and name of each"


def test_a_move_keeps_prefix_layer_and_content(database: Database) -> None:
    made = database.run(lambda c: LAYER.create(c, ("a", "b"), layer=b"mine"))
    below = database.run(lambda c: LAYER.create(c, ("a", "b", "c")))
    database.run(lambda c: LAYER.create(c, "z"))
    moved = database.run(lambda c: LAYER.move(c, ("a", "b"), ("z", "b")))
    assert moved == Directory(("z", "b"), made.prefix, b"mine")
    assert database.run(lambda c: LAYER.open(c, ("z", "b", "c"))).prefix == below.prefix
    assert database.run(lambda c: LAYER.list(c, "a")) == []
    with pytest.raises(DirectoryExists):
        database.run(lambda c: LAYER.move(c, "a", ("z", "b")))


def test_a_partition_is_a_layer_of_its_own(database: Database) -> None:
    partition = database.run(lambda c: LAYER.create(c, ("p",), layer=b"partition"))
    with pytest.raises(UsageError, match="partition"):
        _ = partition.subspace
    inside = database.run(lambda c: LAYER.create(c, ("p", "a", "b"), layer=b"mine"))
    assert inside.path == ("p", "a", "b")
    assert inside.prefix.startswith(partition.prefix)
    assert database.run(lambda c: LAYER.open(c, ("p", "a", "b"))) == inside
    assert database.run(lambda c: LAYER.list(c, "p")) == ["a"]
    assert database.run(lambda c: LAYER.exists(c, ("p", "a")))
    moved = database.run(lambda c: LAYER.move(c, ("p", "a", "b"), ("p", "b")))
    assert moved.path == ("p", "b")
    database.run(lambda c: LAYER.create(c, "outside"))
    for source, target in ((("p", "b"), "b"), ("outside", ("p", "outside"))):
        with pytest.raises(UsageError, match="partition"):
            database.run(lambda c, source=source, target=target: LAYER.move(c, source, target))
    database.run(lambda c: LAYER.remove(c, ("p", "b")))
    assert database.run(lambda c: LAYER.list(c, "p")) == ["a"]
    database.run(lambda c: LAYER.remove(c, "p"))
    assert database.run(lambda c: LAYER.list(c)) == ["outside"]
    assert not [key for key in database.rows() if key.startswith(partition.prefix)]


def test_prefixes_may_be_given_where_that_is_meant(database: Database) -> None:
    layer = DirectoryLayer(manual_prefixes=True)
    made = database.run(lambda c: layer.create(c, "mine", prefix=b"\x01mine"))
    assert made.prefix == b"\x01mine"
    for taken in (b"\x01mine", b"\x01mine and more", b"\x01m", b"", b"\xfe\x01"):
        with pytest.raises(PrefixTaken):
            database.run(lambda c, taken=taken: layer.create(c, "other", prefix=taken))
    with pytest.raises(WrongType):
        database.run(lambda c: layer.create(c, "other", prefix="text"))
    assert database.run(lambda c: layer.create(c, "other", prefix=b"\x01n")).prefix == b"\x01n"


def test_a_prefix_below_which_there_are_keys_is_not_given_out(database: Database) -> None:
    async def occupy(context: Context) -> None:
        for number in range(64):
            context.set(pack((number,)), b"")

    database.run(occupy)
    with pytest.raises(PrefixTaken):
        database.run(lambda c: LAYER.create(c, "app"))


@pytest.mark.parametrize(
    ("stored", "may_read"),
    [(struct.pack("<III", 1, 1, 0), True), (struct.pack("<III", 2, 0, 0), False), (b"short", False)],
)
def test_a_newer_layer_is_read_if_its_minor_version_is_newer_and_never_written(
    database: Database, stored: bytes, may_read: bool
) -> None:
    database.run(lambda c: LAYER.create(c, "app"))

    async def raise_version(context: Context) -> None:
        context.set(VERSION_KEY, stored)

    database.run(raise_version)
    if may_read:
        assert database.run(lambda c: LAYER.list(c)) == ["app"]
    else:
        with pytest.raises(NewerDirectoryLayer):
            database.run(lambda c: LAYER.list(c))
    with pytest.raises(NewerDirectoryLayer):
        database.run(lambda c: LAYER.create(c, "new"))


def test_many_directories_get_prefixes_of_which_none_begins_another(database: Database) -> None:
    prefixes = [database.run(lambda c, n=number: LAYER.create(c, f"{n}")).prefix for number in range(300)]
    assert len(set(prefixes)) == 300
    assert max(map(len, prefixes)) <= 3
    assert not any(other.startswith(prefix) for prefix in prefixes for other in prefixes if other is not prefix)


def test_windows_grow_as_they_are_used_up() -> None:
    assert [window_size(start, 8192) for start in (0, 254, 255, 65_534, 65_535)] == [64, 64, 1024, 1024, 8192]
    assert window_size(65_535, 4096) == 4096


class Tree(RuleBasedStateMachine):
    """The layer against a dict of paths."""

    paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple)

    def __init__(self) -> None:
        super().__init__()
        self.database = Database()
        self.model: dict[tuple[str, ...], bytes] = {}

    @rule(path=paths)
    def create_or_open(self, path: tuple[str, ...]) -> None:
        made = self.database.run(lambda c: LAYER.create_or_open(c, path))
        assert self.model.setdefault(path, made.prefix) == made.prefix
        for depth in range(1, len(path)):
            above = self.database.run(lambda c, depth=depth: LAYER.open(c, path[:depth]))
            assert self.model.setdefault(path[:depth], above.prefix) == above.prefix

    @precondition(lambda self: self.model)
    @rule(source=paths, goal=paths)
    def move(self, source: tuple[str, ...], goal: tuple[str, ...]) -> None:
        allowed = (
            source in self.model
            and goal not in self.model
            and goal[: len(source)] != source
            and (len(goal) == 1 or goal[:-1] in self.model)
        )
        try:
            self.database.run(lambda c: LAYER.move(c, source, goal))
            assert allowed
        except (NoSuchDirectory, DirectoryExists, UsageError):
            assert not allowed
            return
        self.model = {
            (goal + path[len(source) :] if path[: len(source)] == source else path): prefix
            for path, prefix in self.model.items()
        }

    @rule(path=paths)
    def remove(self, path: tuple[str, ...]) -> None:
        assert self.database.run(lambda c: LAYER.remove_if_exists(c, path)) == (path in self.model)
        self.model = {kept: prefix for kept, prefix in self.model.items() if kept[: len(path)] != path}

    @invariant()
    def the_tree_is_that_of_the_model(self) -> None:
        for path in [(), *self.model]:
            below = sorted(other[-1] for other in self.model if other[:-1] == path)
            assert self.database.run(lambda c, path=path: LAYER.list(c, path)) == below
            if path:
                assert self.database.run(lambda c, path=path: LAYER.open(c, path)).prefix == self.model[path]
        assert len(set(self.model.values())) == len(self.model)

    def teardown(self) -> None:
        self.database.engine.close()


TestTree = Tree.TestCase
TestTree.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
