"""R-trees against a list of points: what is in a box, what is near, how the tree looks; the curve; stored nodes."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer import errors
from recordlayer.index.hilbert import hilbert_value
from recordlayer.index.rtree import RTree, RTreeOptions
from recordlayer.index.rtree_audit import audit_tree
from recordlayer.index.rtree_nodes import ROOT, NodeLayout, NodeStorage
from recordlayer.index.rtree_scan import Box, Leaves, Nearest
from recordlayer.index.rtree_slots import Child, Item, _decoded, _decoded_slowly, encode, slot_key, slot_of, slot_value
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.tuples import pack, unpack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World

LONG = bool(os.environ.get("RECORDLAYER_LONG_TESTS"))
MANY = 5_000 if LONG else 250

# -- the curve -------------------------------------------------------------------------------------------------------


def test_the_curve_is_that_of_java() -> None:
    middle = 2**127
    assert [hilbert_value(point) - middle for point in ((0, 0), (0, 1), (1, 1), (1, 0), (5, 7))] == [0, 1, 2, 3, 0x26]
    assert hilbert_value((-1, -1)) == int("2a" + "aa" * 15, 16)


def by_definition(point: tuple[int | None, ...]) -> int:
    """Skilling's algorithm bit by bit."""
    size, top = len(point), 1 << 63
    axes = [0 if number is None else number + top for number in point]
    bit = top
    while bit > 1:
        below = bit - 1
        for place in range(size):
            if axes[place] & bit:
                axes[0] ^= below
            else:
                exchange = (axes[0] ^ axes[place]) & below
                axes[0] ^= exchange
                axes[place] ^= exchange
        bit >>= 1
    for place in range(1, size):
        axes[place] ^= axes[place - 1]
    turn = 0
    bit = top
    while bit > 1:
        if axes[-1] & bit:
            turn ^= bit - 1
        bit >>= 1
    found = 0
    for shift in range(63, -1, -1):
        for axis in axes:
            found = found << 1 | ((axis ^ turn) >> shift & 1)
    return found


COORDINATES = st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9)


@given(point=st.lists(COORDINATES, min_size=1, max_size=6).map(tuple))
def test_the_curve_by_states_is_the_curve_by_definition(point: tuple[int | None, ...]) -> None:
    assert hilbert_value(point) == by_definition(point)


def test_neighbours_on_the_curve_are_neighbours_in_space() -> None:
    points = sorted(itertools.product(range(16), repeat=2), key=hilbert_value)
    for one, other in itertools.pairwise(points):
        assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) == 1


# -- stored nodes ----------------------------------------------------------------------------------------------------

ELEMENTS = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.booleans(),
    st.floats(allow_nan=False),
    st.uuids(),
    st.tuples(st.none() | st.integers(-3, 3), st.text(max_size=2)),
)
ITEMS = st.builds(
    Item.of,
    st.tuples(COORDINATES, COORDINATES),
    st.lists(ELEMENTS, max_size=3).map(tuple),
    st.lists(ELEMENTS, max_size=2).map(tuple),
)


@given(items=st.lists(ITEMS, min_size=1, max_size=5), stores_hilbert=st.booleans())
def test_a_stored_leaf_is_read_as_it_was_written(items: list[Item], stores_hilbert: bool) -> None:
    items.sort(key=lambda item: item.order)
    value = encode(items, leaf=True, stores_hilbert=stores_hilbert)
    kind, slots = unpack(value)
    assert kind == 0
    assert value == pack((0, slots)), "it is a packed tuple"
    for decode in (_decoded, _decoded_slowly):
        leaf, read = decode(value)
        assert leaf
        assert [(one.order, one.value) for one in read] == [(one.order, one.value) for one in items]
    for item, slot in zip(items, slots, strict=True):
        assert slot[0] == (item.hilbert if stores_hilbert else None)
        assert pack(slot[1:]) == pack((item.key, item.columns))
        again = slot_of(slot_key(item, stores_hilbert=stores_hilbert), slot_value(item))
        assert isinstance(again, Item)
        assert (again.order, again.value) == (item.order, item.value)


@given(pairs=st.lists(st.tuples(ITEMS, ITEMS, st.binary(min_size=16, max_size=16)), min_size=1, max_size=4))
def test_a_stored_inner_node_is_read_as_it_was_written(pairs: list[tuple[Item, Item, bytes]]) -> None:
    children = [Child.of(one.order, other.order, node_id, (-5, 2**62), (7, 2**63 - 1)) for one, other, node_id in pairs]
    value = encode(children, leaf=False, stores_hilbert=True)
    for decode in (_decoded, _decoded_slowly):
        leaf, read = decode(value)
        assert not leaf
        assert [(one.first, one.last, one.id, one.sides) for one in read] == [
            (one.first, one.last, one.id, one.sides) for one in children
        ]
    for child in children:
        again = slot_of(slot_key(child, stores_hilbert=True), slot_value(child))
        assert isinstance(again, Child)
        assert (again.same(child), again.id) == (True, child.id)


# -- trees -----------------------------------------------------------------------------------------------------------

LAYOUTS = {
    "by node": NodeLayout(by_slot=False, stores_hilbert=True, indexes_slots=False),
    "by node, no Hilbert values, slots indexed": NodeLayout(by_slot=False, stores_hilbert=False, indexes_slots=True),
    "by slot": NodeLayout(by_slot=True, stores_hilbert=True, indexes_slots=False),
    "by slot, no Hilbert values, slots indexed": NodeLayout(by_slot=True, stores_hilbert=False, indexes_slots=True),
}
SHAPES = {"2 of 4": (2, 4, 2), "2 of 5, three share": (2, 5, 3), "2 of 3": (2, 3, 2), "16 of 32": (16, 32, 2)}


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = open_engine("memory:")
    yield engine
    engine.close()


class Tree:
    """One tree in one transaction."""

    def __init__(self, engine: Engine, layout: NodeLayout, shape: tuple[int, int, int] = (2, 4, 2)) -> None:
        self.context = Context(engine.begin(), world=World())
        self.options = RTreeOptions(*shape, layout)
        self.storage = NodeStorage(self.context, "by_place", b"tree\x00", b"slots\x00", layout)
        bits = self.context.world.random.getrandbits
        self.tree = RTree(self.storage, self.options, lambda: bits(128).to_bytes(16, "big"))

    def insert(self, point: Any, suffix: Any, value: Any = ()) -> None:
        run_blocking(self.tree.insert(point, suffix, value))

    def delete(self, point: Any, suffix: Any) -> bool:
        return run_blocking(self.tree.delete(point, suffix))

    def box(self, *sides: Any, behind: bytes | None = None) -> list[Item]:
        async def all_of() -> list[Item]:
            leaves = Leaves(self.storage, Box(sides), behind, snapshot=False)
            found: list[Item] = []
            while (leaf := await leaves.next()) is not None:
                found += leaf[0]
            return found

        return run_blocking(all_of())

    def nearest(self, point: Any, count: int) -> list[tuple[int, Any]]:
        async def some() -> list[tuple[int, Any]]:
            nearest = Nearest(self.storage, point, None, snapshot=False)
            found = []
            while len(found) < count and (one := await nearest.next()) is not None:
                found.append((one[0], one[1].key))
            return found

        return run_blocking(some())

    def audit(self) -> list[Any]:
        """The keys of all items in order; the tree must be right."""
        items, wrong = run_blocking(audit_tree(self.storage, self.options))
        assert wrong == []
        return [item.key for item in items]

    def commit(self) -> None:
        run_blocking(self.context.commit())
        self.context.close()


def along_the_curve(keys: Any) -> list[Any]:
    return sorted(keys, key=lambda key: (hilbert_value(key[0]), pack(key)))


SMALL = st.none() | st.integers(-4, 4) | st.sampled_from([-(2**63), 2**63 - 1])
CHANGES = st.lists(st.tuples(st.booleans(), st.tuples(SMALL, SMALL), st.integers(0, 2)), max_size=60)


@pytest.mark.parametrize("shape", ["2 of 4", "2 of 5, three share", "2 of 3"])
@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=200 if LONG else 10)
@given(changes=CHANGES, cut=st.integers(0, 60))
def test_a_tree_holds_what_was_put_in_and_not_taken_out(layout: str, shape: str, changes: Any, cut: int) -> None:
    engine = open_engine("memory:")
    expected: dict[Any, Any] = {}
    for part in (changes[:cut], changes[cut:]):
        tree = Tree(engine, LAYOUTS[layout], SHAPES[shape])
        for number, (inserts, point, suffix) in enumerate(part):
            key = point, (suffix,)
            if inserts:
                tree.insert(*key, (number,))
                expected[key] = (number,)
            else:
                assert tree.delete(*key) is (expected.pop(key, None) is not None)
        assert tree.audit() == along_the_curve(expected)
        assert {item.key: item.columns for item in tree.box((None, None), (None, None))} == expected
        tree.commit()
    left = Tree(engine, LAYOUTS[layout], SHAPES[shape])
    for key in expected:
        assert left.delete(*key)
    assert left.audit() == []
    assert run_blocking(left.context.read_all(b"\x00", b"\xff")) == [], "an empty tree leaves nothing behind"
    left.context.close()
    engine.close()


POINTS: dict[str, Callable[[int], Any]] = {
    "random": lambda n: [(random.Random(i).randrange(-500, 500), random.Random(-i).randrange(500)) for i in range(n)],
    "ascending": lambda n: [(i, i) for i in range(n)],
    "one place": lambda n: [(3, 4)] * n,
    "a line": lambda n: [(0, -i) for i in range(n)],
}


@pytest.mark.parametrize("points", POINTS)
@pytest.mark.parametrize("layout", ["by node", "by slot, no Hilbert values, slots indexed"])
def test_many_points_are_found_by_box_and_by_distance(engine: Engine, layout: str, points: str) -> None:
    keys = [(point, (number,)) for number, point in enumerate(POINTS[points](MANY))]
    tree = Tree(engine, LAYOUTS[layout], SHAPES["16 of 32"])
    for key in keys:
        tree.insert(*key)
    tree.commit()
    tree = Tree(engine, LAYOUTS[layout], SHAPES["16 of 32"])
    assert tree.audit() == along_the_curve(keys)
    chance = random.Random(1)
    for _ in range(12):
        x, y = chance.randrange(-600, 600), chance.randrange(-300, 600)
        wide, high = chance.randrange(300), chance.randrange(300)
        found = [item.key for item in tree.box((x, x + wide), (y, y + high))]
        assert found == along_the_curve(k for k in keys if x <= k[0][0] < x + wide and y <= k[0][1] < y + high)
        by_distance = sorted(((k[0][0] - x) ** 2 + (k[0][1] - y) ** 2, pack(k), k) for k in keys)
        assert tree.nearest((x, y), 7) == [(distance, key) for distance, _, key in by_distance[:7]]
    for key in keys[::2]:
        assert tree.delete(*key)
    assert tree.audit() == along_the_curve(keys[1::2])


def test_a_scan_goes_on_behind_any_place(engine: Engine) -> None:
    tree = Tree(engine, LAYOUTS["by node"])
    for number in range(40):
        tree.insert((number % 7, number), (number,))
    whole = tree.box((1, 6), (None, 30))
    for place, item in enumerate(whole):
        assert [one.key for one in tree.box((1, 6), (None, 30), behind=item.order)] == [
            one.key for one in whole[place + 1 :]
        ]


def test_nulls_come_before_all_numbers_and_are_near_to_nothing(engine: Engine) -> None:
    tree = Tree(engine, LAYOUTS["by node"])
    for number, point in enumerate([(None, 1), (-(2**63), 1), (5, None), (5, 1), (None, None)]):
        tree.insert(point, (number,))
    assert {item.suffix for item in tree.box((None, 0), (None, None))} == {(0,), (1,), (4,)}
    assert {item.suffix for item in tree.box((-(2**63), None), (None, None))} == {(1,), (2,), (3,)}
    assert [key[1] for _, key in tree.nearest((0, 0), 9)] == [(3,), (1,)]


# -- costs and conflicts ---------------------------------------------------------------------------------------------


def test_a_change_reads_one_node_a_level_and_writes_what_has_changed(engine: Engine) -> None:
    tree = Tree(engine, LAYOUTS["by node"], SHAPES["16 of 32"])
    for number in range(200):
        tree.insert((number * 37 % 200, number * 91 % 200), (number,))
    tree.commit()
    tree = Tree(engine, LAYOUTS["by node"], SHAPES["16 of 32"])
    tree.insert((100, 100), (999,))
    assert tree.context.counters.reads == 3, "root, leaf, and the leaf's neighbour, because the leaf is full"
    assert tree.context.counters.writes == 3
    tree.box((100, 101), (100, 101))
    assert tree.context.counters.reads <= 6
    tree.nearest((3, 3), 1)
    assert tree.context.counters.reads <= 12


def test_two_transactions_that_change_one_leaf_conflict(engine: Engine) -> None:
    one, other = Tree(engine, LAYOUTS["by node"]), Tree(engine, LAYOUTS["by node"])
    one.insert((1, 1), (1,))
    other.insert((9, 9), (2,))
    one.commit()
    with pytest.raises(errors.Conflict):
        other.commit()
    tree = Tree(engine, LAYOUTS["by node"])
    assert tree.audit() == [((1, 1), (1,))]


# -- what is broken --------------------------------------------------------------------------------------------------


@pytest.fixture
def grown(engine: Engine) -> Engine:
    tree = Tree(engine, LAYOUTS["by node"])
    for number in range(12):
        tree.insert((number, number), (number,))
    tree.commit()
    return engine


def test_nodes_that_are_broken_or_missing_are_told(grown: Engine) -> None:
    tree = Tree(grown, LAYOUTS["by node"])
    rows = run_blocking(tree.context.read_all(b"tree\x00", b"tree\x01"))
    (root,) = [key for key, _ in rows if key.endswith(bytes([0, 255] * 16 + [0]))]
    others = [key for key, _ in rows if key != root]
    tree.context.clear(others[0])
    with pytest.raises(errors.CorruptIndexEntry):
        tree.box((None, None), (None, None))
    with pytest.raises(errors.CorruptIndexEntry):
        tree.nearest((0, 0), 50)
    _, wrong = run_blocking(audit_tree(tree.storage, tree.options))
    assert any("is missing" in one for one in wrong)
    for value in (
        b"",
        b"\xff",
        b"\x14",
        pack((7, ())),
        pack((0, ((1, 2),))),
        pack((1, ((1, 2, 3),))),
        pack((0,)),
        pack((0, ())),
    ):
        tree.context.set(root, value)
        with pytest.raises(errors.CorruptIndexEntry):
            tree.insert((0, 0), (0,))


def test_the_audit_sees_what_does_not_fit(grown: Engine) -> None:
    tree = Tree(grown, LAYOUTS["by node"])
    root = run_blocking(tree.storage.fetch(ROOT))
    assert root is not None
    leaf = run_blocking(tree.storage.fetch(root.slots[0].id))
    assert leaf is not None
    del leaf.slots[0]
    tree.storage.write([leaf])
    _, wrong = run_blocking(audit_tree(tree.storage, tree.options))
    assert any("not what the node above says" in one for one in wrong)
    leaf.slots.reverse()
    tree.storage.write([leaf])
    _, wrong = run_blocking(audit_tree(tree.storage, tree.options))
    assert any("out of order" in one for one in wrong)


def test_a_node_that_is_larger_than_a_value_may_be_is_refused(engine: Engine) -> None:
    tree = Tree(engine, LAYOUTS["by node"])
    for number in range(2):
        tree.insert((number, 0), (number,), (b"x" * 40_000,))
    with pytest.raises(errors.IndexEntryTooLarge):
        tree.insert((2, 0), (2,), (b"x" * 40_000,))


@pytest.mark.parametrize("sides", [((1, 2, 3),), ((1.5, 2),), ((True, 2),), (("a", "b"),), (1,)])
def test_sides_that_are_no_sides_are_refused(sides: Any) -> None:
    with pytest.raises(errors.UsageError):
        Box(sides)
