"""The base and its long keys against a sorted dict."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sortedcontainers import SortedDict

from recordlayer.kv.embedded.base import Base
from recordlayer.kv.embedded.long_keys import HEAD, MARKER, PART
from recordlayer.kv.embedded.sizes import estimated_size, split_points

# Where keys change their form: at LMDB's limit, and at every full part behind it.
LENGTHS = (
    *(0, 1, 2, HEAD - 1, HEAD, HEAD + 1, HEAD + 2),
    *(HEAD + PART - 1, HEAD + PART, HEAD + PART + 1, HEAD + PART + 2, HEAD + PART + 14),
    *(HEAD + 2 * PART, HEAD + 2 * PART + 1, 10_000),
)


@contextmanager
def open_base(**options: object) -> Iterator[Base]:
    with tempfile.TemporaryDirectory() as directory:
        base = Base(f"{directory}/data", **{"map_size": 1 << 30, "durable": False, **options})
        try:
            yield base
        finally:
            base.close()


@st.composite
def keys(draw: st.DrawFn) -> bytes:
    """Keys that share long prefixes and differ where their stored form changes."""
    length = draw(st.sampled_from(LENGTHS))
    key = bytearray(draw(st.sampled_from([b"\0", b"a"])) * length)
    places = (0, HEAD - 1, HEAD, HEAD + 1, HEAD + PART - 1, HEAD + PART, length - 1)
    for place in draw(st.lists(st.sampled_from(places), max_size=2)):
        if 0 <= place < length:
            key[place] = draw(st.sampled_from([0, 1, ord("a"), ord("b"), 254]))
    return bytes(key)


KEY = keys()
END = st.one_of(KEY, st.just(b"\xff"))
OPERATION = st.one_of(
    st.tuples(st.just("put"), KEY, st.binary(max_size=6)),
    st.tuples(st.just("put"), KEY, st.binary(max_size=6)),
    st.tuples(st.just("pop"), KEY),
    st.tuples(st.just("pop_range"), KEY, END),
    st.tuples(st.just("get"), KEY),
    st.tuples(st.just("scan"), KEY, END, st.sampled_from([1, 2, 3, 17, 1000]), st.booleans()),
)


def do(base: Base, model: SortedDict[bytes, bytes], operation: tuple, version: int) -> None:
    kind, *args = operation
    if kind == "get":
        assert base.get(args[0]) == model.get(args[0])
    elif kind == "scan":
        begin, end, limit, reverse = args
        wanted = [(key, model[key]) for key in model.irange(begin, end, (True, False), reverse)]
        assert base.scan(begin, end, limit, reverse=reverse) == wanted[:limit]
    else:
        writing = base.begin_write()
        if kind == "put":
            assert writing.put(*args) == model.get(args[0])
            assert writing.get(args[0]) == args[1]
            model[args[0]] = args[1]
        elif kind == "pop":
            assert writing.pop(*args) == model.pop(args[0], None)
        else:
            wanted = [(key, model[key]) for key in model.irange(args[0], args[1], (True, False))]
            assert list(writing.pop_range(*args)) == wanted
            for key, _ in wanted:
                del model[key]
        writing.commit(version)


def entries(base: Base) -> tuple[int, int]:
    """How many entries the two trees have, the number of the highest bucket left out."""
    with base._env.begin() as txn:
        counted = txn.stat(base.data)["entries"], txn.stat(base.long_tree)["entries"]
    return counted[0], max(0, counted[1] - 1)


@given(st.lists(OPERATION, max_size=40))
@settings(max_examples=150)
def test_the_base_is_a_sorted_dict_for_keys_of_every_length(operations: list[tuple]) -> None:
    with open_base() as base:
        model: SortedDict[bytes, bytes] = SortedDict()
        for version, operation in enumerate(operations, 1):
            do(base, model, operation, version)
        assert base.scan(b"", b"\xff", 10_000) == list(model.items())
        assert base.scan(b"", b"\xff", 10_000, reverse=True) == list(reversed(model.items()))


@given(st.lists(KEY, max_size=30, unique=True), st.data())
@settings(max_examples=60)
def test_clearing_every_key_leaves_no_marker_behind(written: list[bytes], data: st.DataObject) -> None:
    with open_base() as base:
        writing = base.begin_write()
        for key in written:
            writing.put(key, b"v")
        writing.commit(1)
        writing = base.begin_write()
        for key in data.draw(st.permutations(written)):
            assert writing.pop(key) == b"v"
        writing.commit(2)
        assert entries(base) == (0, 0)


@given(st.lists(KEY, max_size=30, unique=True), st.lists(st.tuples(KEY, END), max_size=4))
@settings(max_examples=60)
def test_clearing_ranges_leaves_exactly_the_markers_of_the_keys_that_are_left(
    written: list[bytes], ranges: list[tuple[bytes, bytes]]
) -> None:
    left = [key for key in written if not any(begin <= key < end for begin, end in ranges)]
    with open_base() as base, open_base() as fresh:
        writing = base.begin_write()
        for key in written:
            writing.put(key, b"v")
        for begin, end in ranges:
            list(writing.pop_range(begin, end))
        writing.commit(1)
        writing = fresh.begin_write()
        for key in left:
            writing.put(key, b"v")
        writing.commit(1)
        assert entries(base) == entries(fresh)


@given(st.lists(st.tuples(KEY, st.binary(max_size=300)), max_size=40), KEY, END, st.integers(1, 4000))
@settings(max_examples=60)
def test_split_points_cut_a_range_into_pieces_of_about_the_size(
    pairs: list[tuple[bytes, bytes]], begin: bytes, end: bytes, size: int
) -> None:
    if begin > end:
        begin, end = end, begin
    with open_base() as base:
        writing = base.begin_write()
        for key, value in pairs:
            writing.put(key, value)
        writing.commit(1)
        points = split_points(base, begin, end, size)
        assert points[0] == begin
        assert points[-1] == end
        assert points == sorted(set(points))
        sizes = [estimated_size(base, low, high) for low, high in pairwise(points)]
        rows = [len(key) + len(value) for key, value in base.scan(begin, end, 1000)]
        assert sum(sizes) == sum(rows)
        assert all(size <= piece < size + max(rows) for piece in sizes[:-1])


def test_everything_is_there_after_reopening() -> None:
    written = [b"", b"a", b"b" * HEAD, b"c" * MARKER, b"d" * 1011, b"e" * 10_000]
    with tempfile.TemporaryDirectory() as directory:
        base = Base(f"{directory}/data", map_size=1 << 20, durable=True)
        writing = base.begin_write()
        for key in written:
            writing.put(key, key[:3])
        writing.commit(77)
        base.close()
        base = Base(f"{directory}/data", map_size=1 << 20, durable=True)
        assert base.version == 77
        assert base.has_long
        assert base.has_empty
        assert base.scan(b"", b"\xff", 100) == [(key, key[:3]) for key in written]
        base.close()


def test_an_aborted_write_changes_nothing() -> None:
    with open_base() as base:
        writing = base.begin_write()
        writing.put(b"kept", b"1")
        writing.put(b"k" * 600, b"1")
        writing.commit(1)
        writing = base.begin_write()
        writing.put(b"kept", b"2")
        writing.put(b"", b"2")
        writing.put(b"n" * 2000, b"2")
        list(writing.pop_range(b"k", b"l"))
        writing.abort()
        assert base.version == 1
        assert base.scan(b"", b"\xff", 10) == [(b"kept", b"1"), (b"k" * 600, b"1")]
        assert entries(base) == (2, 1)


@pytest.mark.parametrize("limit", [1, 15, 16, 17, 80, 81, 100, 1106, 1107, 5000])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_limit_at_any_batch_border_gives_exactly_so_many_rows(limit: int, reverse: bool) -> None:
    with open_base() as base:
        writing = base.begin_write()
        for number in range(3000):
            writing.put(b"%05d" % number, b"")
        writing.commit(1)
        numbers = range(100, 2900)
        wanted = [b"%05d" % number for number in (reversed(numbers) if reverse else numbers)]
        rows = base.scan(b"00100", b"02900", limit, reverse=reverse)
        assert [key for key, _ in rows] == list(islice(wanted, limit))


def test_the_cost_of_a_long_key_does_not_grow_with_its_neighbours() -> None:
    """100,000 keys that share their first 600 bytes: a write touches as many pages as with the first thousand."""
    prefix = b"shared/" * 90

    def pages_of_one_write(number: int) -> int:
        """Pages that one write copies: an open snapshot keeps it from reusing old ones, so that the file grows."""
        with base._env.begin():
            before = base._env.info()["last_pgno"]
            writing = base.begin_write()
            writing.put(prefix + b"%06d" % number, b"x" * 20)
            writing.commit(base.version + 1)
            return int(base._env.info()["last_pgno"]) - before

    with open_base() as base:
        costs = {}
        for step in range(100):
            writing = base.begin_write()
            for number in range(step * 1000, (step + 1) * 1000):
                writing.put(prefix + b"%06d" % number, b"x" * 20)
            writing.commit(base.version + 1)
            if step in (0, 99):
                costs[step] = max(pages_of_one_write(step * 1000 + 7 * i) for i in range(20))
        assert len(base.scan(prefix, prefix + b"\xff", 200_000)) == 100_000
        assert costs[99] <= costs[0] + 1  # one level more in the tree of long keys
