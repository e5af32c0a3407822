"""Bunched maps: their bytes, and that they hold what was put into them, whoever writes at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recordlayer.errors import Conflict, CorruptIndexEntry
from recordlayer.index.bunched import (
    MAX_VALUE,
    Change,
    bunch_bytes,
    bunch_keys,
    bunch_of,
    bunch_parts,
    length_prefix,
    packed_positions,
    unpacked_positions,
)
from recordlayer.index.bunched_check import look_at, rebunch
from recordlayer.index.entry import EntryLayout
from recordlayer.index.text_entry import TextLayout
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.tuples import pack, unpack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World

PREFIX = b"\x15\x02index\x00"
LAYOUT = TextLayout(EntryLayout("index", 1, None), 0, PREFIX)
MAP = pack(("token",), PREFIX)
FEW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    opened = open_engine("memory:")
    yield opened
    opened.close()


def check_maps(context: Context, size: int) -> tuple[list[tuple[str, Any]], dict[bytes, bytes]]:
    """What is wrong with all maps, and their entries by prefix + map key."""
    rows = run_blocking(context.read_all(PREFIX, PREFIX + b"\xff"))
    wrong, entries = look_at(LAYOUT, rows, size)
    values: dict[bytes, bytes] = {}
    for signpost, stored in rows:
        if signpost in entries.values():
            length = LAYOUT.map_length(signpost)
            keys, found = bunch_of(signpost[length:], stored)
            values.update(zip([signpost[:length] + key for key in keys], found, strict=True))
    return [(what, detail) for _, what, detail in wrong], values


class Map:
    """One map in one transaction."""

    def __init__(self, engine: Engine, *, size: int = 20, prefix: bytes = MAP) -> None:
        self.context = Context(engine.begin(), world=World())
        self.size = size
        self.prefix = prefix

    def put(self, number: int, value: bytes | None = b"") -> None:
        change = Change(self.context, self.prefix, pack((number,)), value, bunch_size=self.size)
        run_blocking(change.apply())

    def bunches(self) -> list[list[int]]:
        rows = run_blocking(self.context.read_all(self.prefix, self.prefix + b"\xff"))
        return [[unpack(one)[0] for one in bunch_of(key[len(self.prefix) :], value)[0]] for key, value in rows]

    def entries(self) -> dict[int, bytes]:
        findings, there = check_maps(self.context, self.size)
        assert findings == []
        return {unpack(key, len(self.prefix))[0]: value for key, value in there.items()}

    def commit(self) -> None:
        run_blocking(self.context.commit())
        self.context.close()

    def clear(self) -> None:
        self.context.clear_range(PREFIX, PREFIX + b"\xff")


@pytest.fixture
def empty(engine: Engine) -> Engine:
    cleared = Map(engine)
    cleared.clear()
    cleared.commit()
    return engine


# -- bytes -----------------------------------------------------------------------------------------------------------


def test_the_bytes_are_those_of_the_format() -> None:
    assert [length_prefix(number).hex() for number in (0, 127, 128, 600, 1 << 21)] == [
        *("00", "7f", "8100", "8458", "81808000")
    ]
    keys = [pack((1066,)), pack((1415,))]
    values = [packed_positions([1, 3, 5, 8]), packed_positions([0, 600, 605])]
    assert bunch_bytes(keys, values).hex() == "200401020203" + "03160587" + "0400845805"
    assert bunch_bytes([pack((10,)), pack((300,))], [packed_positions([0, 4]), packed_positions([130])]).hex() == (
        "20020004" + "0316012c" + "028102"
    )


@given(st.lists(st.integers(0, 1 << 30), unique=True))
def test_positions_come_back(numbers: list[int]) -> None:
    assert unpacked_positions(packed_positions(sorted(numbers))) == sorted(numbers)


@given(st.lists(st.tuples(st.binary(max_size=200), st.binary(max_size=200)), min_size=1, max_size=25))
def test_a_bunch_comes_back(entries: list[tuple[bytes, bytes]]) -> None:
    keys, values = [key for key, _ in entries], [value for _, value in entries]
    stored = bunch_bytes(keys, values)
    assert bunch_of(keys[0], stored) == (keys, values)
    assert bunch_keys(keys[0], stored) == bunch_parts(keys[0], stored)[::2]


@pytest.mark.parametrize("value", ["", "21", "20", "2005", "200100ff", "20010003", "2001000316", "20ff"])
def test_what_is_no_bunch_is_refused(value: str) -> None:
    with pytest.raises(CorruptIndexEntry):
        bunch_of(b"", bytes.fromhex(value))
    with pytest.raises(CorruptIndexEntry):
        bunch_keys(b"", bytes.fromhex(value))


@pytest.mark.parametrize("length", [1, 127, 128, 129, 300])
def test_without_its_first_entry_a_bunch_begins_with_the_second(empty: Engine, length: int) -> None:
    keys = [b"", b"a" * length, b"b"]
    values = [b"one", b"two", b"three"]
    context = Context(empty.begin(), world=World())
    context.set(MAP, bunch_bytes(keys, values))
    run_blocking(Change(context, MAP, b"", None).apply())
    assert run_blocking(context.read_all(PREFIX, PREFIX + b"\xff")) == [
        (MAP + keys[1], bunch_bytes(keys[1:], values[1:]))
    ]
    context.close()


def test_places_that_are_cut_off_are_refused() -> None:
    with pytest.raises(IndexError):
        unpacked_positions(b"\x01\x84")


# -- one writer ------------------------------------------------------------------------------------------------------


def test_full_bunches_are_cut_and_neighbours_take_what_is_before_them(empty: Engine) -> None:
    small = Map(empty, size=4)
    for number in (10, 20, 30, 40, 50, 25, 5, 60, 70, 80, 90, 35):
        small.put(number)
    assert small.bunches() == [[5, 10, 20], [25, 30, 35, 40], [50, 60, 70, 80], [90]]
    small.put(5, None)
    assert small.bunches() == [[10, 20], [25, 30, 35, 40], [50, 60, 70, 80], [90]]
    small.put(90, None)
    small.put(91, None)
    assert small.bunches() == [[10, 20], [25, 30, 35, 40], [50, 60, 70, 80]]


@FEW
@given(
    st.lists(st.tuples(st.integers(-9, 30), st.none() | st.integers(0, 9) | st.just(4_000)), max_size=60),
    st.sampled_from([1, 2, 4, 20]),
)
def test_a_map_holds_what_was_put_into_it_last(empty: Engine, steps: list[Any], size: int) -> None:
    changed = Map(empty, size=size)
    changed.clear()
    model: dict[int, bytes] = {}
    for number, length in steps:
        value = None if length is None else b"v" * length
        changed.put(number, value)
        model.pop(number, None)
        if value is not None:
            model[number] = value
        assert changed.entries() == model
    for key, value in run_blocking(changed.context.read_all(PREFIX, PREFIX + b"\xff")):
        assert len(value) <= 3 * MAX_VALUE, key  # a half of a long bunch may still be long


def test_a_value_that_is_longer_than_a_bunch_may_be_stands_alone(empty: Engine) -> None:
    long = Map(empty)
    for number in (1, 3, 2, 0, 4):
        long.put(number, b"v" * (4_000 if number in (1, 3) else MAX_VALUE + 1))
    assert sorted(long.entries()) == [0, 1, 2, 3, 4]
    assert long.bunches() == [[0], [1], [2, 3], [4]]


# -- many writers ----------------------------------------------------------------------------------------------------


@FEW
@given(st.data())
def test_writers_of_one_map_conflict_or_leave_it_whole(empty: Engine, data: Any) -> None:
    """Each reads before the others have committed. Who does not conflict has its changes kept, and the map is whole."""
    start = Map(empty, size=3)
    start.clear()
    model = {}
    for number in data.draw(st.lists(st.integers(0, 20), unique=True)):
        start.put(number, b"at first")
        model[number] = b"at first"
    start.commit()
    writers = []
    for name in range(8):
        writer = Map(empty, size=3)
        changes = data.draw(st.lists(st.tuples(st.integers(0, 20), st.sampled_from([None, b"%d" % name])), max_size=2))
        for number, value in changes:
            writer.put(number, value)
        writers.append((writer, changes))
    for writer, changes in data.draw(st.permutations(writers)):
        try:
            writer.commit()
        except Conflict:
            writer.context.close()
            continue
        if not writer.context.counters.writes:
            continue  # it took away what was not there when it looked: it comes before the others
        for number, value in changes:
            model.pop(number, None)
            if value is not None:
                model[number] = value
    last = Map(empty, size=3)
    assert last.entries() == model
    last.context.close()


def test_writers_at_different_ends_of_a_map_do_not_conflict(empty: Engine) -> None:
    start = Map(empty, size=3)
    for number in (10, 11, 12, 20, 21, 22, 30):
        start.put(number)
    start.commit()
    first, second = Map(empty, size=3), Map(empty, size=3)
    first.put(11, b"changed")
    second.put(31, b"new")
    first.commit()
    second.commit()
    last = Map(empty, size=3)
    assert (last.entries()[11], last.entries()[31]) == (b"changed", b"new")
    last.context.close()


# -- putting bunches together ----------------------------------------------------------------------------------------


@FEW
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60)), max_size=80),
    st.sampled_from([0, 2, 3, 7]),
)
def test_bunches_that_were_put_together_are_full_and_hold_the_same(empty: Engine, puts: list[Any], limit: int) -> None:
    start = Map(empty, size=4)
    start.clear()
    for token, number in puts:
        start.prefix = pack((token,), PREFIX)
        start.put(number, b"%d" % number)
    before = check_maps(start.context, 4)
    resume = None
    for _ in range(500):
        resume = run_blocking(rebunch(start.context, LAYOUT, 4, limit=limit, resume=resume))
        if resume is None:
            break
    assert resume is None
    after = check_maps(start.context, 4)
    assert after == before
    assert after[0] == []
    for token in "abc":
        start.prefix = pack((token,), PREFIX)
        assert all(len(bunch) == 4 for bunch in start.bunches()[:-1])
    writes = start.context.counters.writes
    assert run_blocking(rebunch(start.context, LAYOUT, 4)) is None
    assert start.context.counters.writes == writes, "what is full already is left alone"


def test_who_puts_bunches_together_conflicts_with_who_changes_them(empty: Engine) -> None:
    start = Map(empty, size=4)
    for number in (1, 2, 3, 4, 5, 6):
        start.put(number)
    for number in (2, 3, 6):
        start.put(number, None)
    start.commit()
    tidy, writer = Map(empty, size=4), Map(empty, size=4)
    run_blocking(rebunch(tidy.context, LAYOUT, 4))
    writer.put(2, b"between")
    writer.commit()
    with pytest.raises(Conflict):
        tidy.commit()
    tidy.context.close()
    last = Map(empty, size=4)
    assert sorted(last.entries()) == [1, 2, 4, 5]
    last.context.close()


def test_bunches_out_of_order_are_refused_and_found(empty: Engine) -> None:
    broken = Map(empty)
    value = bunch_bytes([pack((1,)), pack((9,))], [b"", b""])
    broken.context.set(MAP + pack((1,)), value)
    broken.context.set(MAP + pack((5,)), bunch_bytes([pack((5,))], [b""]))
    with pytest.raises(CorruptIndexEntry):
        run_blocking(rebunch(broken.context, LAYOUT, 20))
    findings, _ = check_maps(broken.context, 1)
    assert [what for what, _ in findings] == ["a bunch has too many entries", "a bunch is out of order"]
    broken.context.set(MAP + pack((7,)), b"nonsense")
    findings, _ = check_maps(broken.context, 20)
    assert "a bunch cannot be read" in [what for what, _ in findings]


@FEW
@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from([None, 0, 3, 3_000])), max_size=40),
    st.sampled_from([2, 4, 20]),
)
def test_replacing_leaves_what_removing_and_putting_leaves(empty: Engine, steps: list[Any], size: int) -> None:
    both = Map(empty, size=size)
    both.clear()
    one, other = pack(("one",), PREFIX), pack(("other",), PREFIX)
    known: set[int] = set()
    for number, length in steps:
        value = None if length is None else b"v" * length
        key = pack((number,))
        replaces = number in known and value is not None
        run_blocking(Change(both.context, one, key, value, replaces=replaces, bunch_size=size).apply())
        if replaces:
            run_blocking(Change(both.context, other, key, None, bunch_size=size).apply())
        run_blocking(Change(both.context, other, key, value, bunch_size=size).apply())
        known = known - {number} if value is None else known | {number}
        rows = [run_blocking(both.context.read_all(prefix, prefix + b"\xff")) for prefix in (one, other)]
        assert [(key[len(one) :], value) for key, value in rows[0]] == [
            (key[len(other) :], value) for key, value in rows[1]
        ]
