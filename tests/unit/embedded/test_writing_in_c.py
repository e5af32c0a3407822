"""Writes on their way into a transaction and into the base, in Python and in C: the same, whatever the writes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recordlayer.core import twins
from recordlayer.kv.embedded.writes import WriteMap
from recordlayer.kv.engine import MutationType
from recordlayer.kv.mutations import CLEAR, SET, STAMP, STAMP_VALUE, UNSTAMP
from tests.support.both_ways import WAYS, needs_core, outcome

KEYS = [b"", b"a", b"b", b"\xfe", b"\xff", b"\xff/", b"k" * 510, b"k" * 511, b"k" * 10_000, b"k" * 10_001]
VALUES = [b"", b"v", b"v" * 300, b"v" * 100_000, b"v" * 100_001]
KINDS = [SET, CLEAR, MutationType.ADD, int(MutationType.MAX), MutationType.SET_VERSIONSTAMPED_VALUE, 99]
ADD = MutationType.ADD

keys, values = st.sampled_from(KEYS), st.sampled_from(VALUES)
writes = st.lists(st.tuples(st.sampled_from([*KINDS, STAMP, UNSTAMP, STAMP_VALUE]), keys, values), max_size=8)
strange = st.sampled_from([(SET, "a", b""), (SET, b"a", None), (1.5, b"a", b""), (1 << 70, b"a", b""), (SET, b"a"), 7])
any_writes = st.lists(st.tuples(st.sampled_from(KINDS), keys, values) | strange, max_size=4)


def both(name: str, *arguments: Any) -> tuple[Any, Any]:
    """What each makes of the arguments, and what it has made of those that change."""
    found = []
    for function in twins[name]:
        mine = copy.deepcopy(arguments)
        found.append((outcome(function, *mine), mine))
    return found[0], found[1]


@needs_core
@given(writes=writes | any_writes, kept=st.dictionaries(keys, values, max_size=2))
@example(writes=[(CLEAR, b"a", b"")], kept={b"a": b""})
@example(writes=((SET, b"a", b""),), kept={})
def test_writes_are_counted_alike(writes: Any, kept: dict[bytes, bytes]) -> None:
    in_python, in_c = both("counted", writes, kept)
    assert in_c == in_python


entries = st.none() | values | st.just([(ADD, b"\1")])


@needs_core
@given(read=st.lists(keys | st.just("a"), max_size=6), own=st.lists(keys, max_size=2), known=st.lists(keys, max_size=2))
@example(read=[b"a", b"b", b"a"], own=[], known=[b"b"])
@example(read=[b"k" * 9_999], own=[b"a"], known=[])
def test_keys_are_taken_for_read_alike(read: list[Any], own: list[bytes], known: list[bytes]) -> None:
    in_python, in_c = both("note_reads", read, dict.fromkeys(own, b""), dict.fromkeys(known))
    assert in_c == in_python
    assert list(in_c[1][2]) == list(in_python[1][2])


@needs_core
@given(writes=writes, at=st.integers(0, 9), known=st.dictionaries(keys, entries, max_size=3), cleared=st.booleans())
@example(writes=[(SET, b"a", b"v"), (ADD, b"c", b"\1"), (ADD, b"c", b"\1")], at=0, known={}, cleared=False)
@example(writes=[(ADD, b"a", b"\1")], at=0, known={}, cleared=True)
@example(writes=[(ADD, b"a", b"\1")], at=0, known={b"a": b"v"}, cleared=False)
def test_writes_are_taken_into_a_transaction_alike(
    writes: list[Any], at: int, known: dict[bytes, Any], cleared: bool
) -> None:
    write_map = WriteMap()
    write_map.entries.update(known)
    if cleared:
        write_map.cleared = write_map.cleared.including(b"b", b"c")
    in_python, in_c = both("lay", writes, at, write_map.entries, write_map.atomic, cleared)
    assert in_c[0] == in_python[0]
    assert in_c[1][2] == in_python[1][2]
    assert list(in_c[1][2]) == list(in_python[1][2]), "a write map goes by the order in which keys came"
    for stack in in_c[1][2].values():
        if isinstance(stack, list):
            assert all(type(kind) is MutationType for kind, _ in stack)


class Tree:
    """Stands for LMDB's tree, and for the base beside it."""

    def __init__(self, stored: dict[bytes, bytes], fails_at: int) -> None:
        self.stored = stored
        self.calls: list[tuple[Any, ...]] = []
        self.fails_at = fails_at

    def _called(self, *call: Any) -> None:
        if len(self.calls) == self.fails_at:
            raise OSError("the disk is full")
        self.calls.append(call)

    def replace(self, key: bytes, value: bytes, tree: str) -> bytes | None:
        self._called("replace", key, tree)
        old, self.stored[key] = self.stored.get(key), value
        return old

    def pop(self, key: bytes, tree: str) -> bytes | None:
        self._called("pop", key, tree)
        return self.stored.pop(key, None)

    def get(self, key: bytes, default: None, tree: str) -> bytes | None:
        self._called("get", key, tree)
        return self.stored.get(key, default)

    def put_other(self, key: bytes, value: bytes) -> bytes | None:
        self._called("put", key)
        old, self.stored[key] = self.stored.get(key), value
        return old

    def pop_other(self, key: bytes) -> bytes | None:
        self._called("pop other", key)
        return self.stored.pop(key, None)

    def resolved(self, key: bytes, entry: list[Any]) -> bytes | None:
        self._called("resolve", key, tuple(entry))
        return value_of(entry, self.stored.get(key))


def value_of(entry: Any, stored: bytes | None) -> bytes | None:
    return WriteMap().resolve(entry, stored)


stacks = st.lists(
    st.tuples(
        st.sampled_from([ADD, ADD, MutationType.COMPARE_AND_CLEAR, MutationType.APPEND_IF_FITS]),
        st.sampled_from([b"", b"\1", b"\xff\xff", b"\xff" * 8, b"\xff" * 9]),
    ),
    min_size=1,
    max_size=2,
)


@pytest.mark.parametrize("way", WAYS)
@given(
    entries=st.dictionaries(keys, entries | stacks, max_size=6),
    stored=st.dictionaries(keys, values | st.sampled_from([b"\1", b"\xff" * 3, b"\xff" * 8]), max_size=4),
    fails_at=st.sampled_from([-1, -1, -1, 0, 2]),
)
def test_what_entries_replace_is_noted_and_an_error_comes_out(
    way: int, entries: dict[bytes, Any], stored: dict[bytes, bytes], fails_at: int
) -> None:
    replace_each = twins["replace_each"][way]
    assert replace_each is not None
    tree, undo = Tree(dict(stored), fails_at), {b"before": b""}
    order = sorted(entries)
    ways = (tree.replace, tree.pop, "data", tree.get), (tree.put_other, tree.pop_other)
    values = {key: value_of(entry, stored.get(key)) for key, entry in entries.items()}
    try:
        size = replace_each(order, entries, undo, *ways, tree.resolved)
    except OSError:
        assert len(tree.calls) == fails_at
        return
    assert tree.stored == {key: value for key, value in {**stored, **values}.items() if value is not None}
    assert undo == {b"before": b"", **{key: stored.get(key) for key in entries}}
    assert list(undo) == [b"before", *order]
    assert size == sum(len(key) + len(stored.get(key, b"")) for key in entries)
    usual = {key for key in entries if 0 < len(key) <= 510}
    assert {call[1] for call in tree.calls if call[0] in ("put", "pop other")} == set(entries) - usual
    assert all(call[2] == "data" for call in tree.calls if call[0] in ("replace", "pop", "get"))


@needs_core
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("replace_each", ([b"a"], {}, {}, (None, None, None, None), (None, None), None)),
        ("replace_each", ([b"a"], {b"a": b""}, {}, (lambda *_: 7, None, None, None), (None, None), None)),
        ("replace_each", ([b"a"], {b"a": b""}, {}, (None,), (None, None), None)),
        ("replace_each", ([b"a"], {b"a": [(ADD, b"\1")]}, {}, (None, None, None, lambda *_: 7), (None, None), None)),
        ("note_reads", (7, {}, {})),
        ("lay", ([], "0", {}, None, False)),
        ("lay", ([(SET, b"a", b"")], -1, {}, None, False)),
        ("lay", ([(ADD, b"a", b"\1")], 0, {b"a": b""}, lambda *_: 1 / 0, False)),
        ("counted", (7, {})),
    ],
)
def test_what_makes_no_sense_is_refused_in_both(name: str, arguments: tuple[Any, ...]) -> None:
    in_python, in_c = both(name, *arguments)
    assert in_c[0][:2] == in_python[0][:2]


some = st.binary(max_size=2)


@needs_core
@given(order=st.lists(some, unique=True, max_size=80), known=st.integers(0, 80), begin=some | st.just("a"), end=some)
@example(order=[b"%02d" % (7 * number % 99) for number in range(99)], known=3, begin=b"1", end=b"7")
def test_the_keys_of_a_range_are_found_alike(order: list[bytes], known: int, begin: Any, end: bytes) -> None:
    in_python, in_c = both("keys_between", dict.fromkeys(order), sorted(order[:known]), begin, end)
    assert in_c[0][:2] == in_python[0][:2]
    if in_c[0][0] == "gives":
        assert in_c[1] == in_python[1]
        assert in_c[1][1] == sorted(order)
        assert in_c[0][1] == [key for key in sorted(order) if begin <= key < end]


@needs_core
@given(ranges=st.lists(st.tuples(some, some).map(sorted).filter(lambda pair: pair[0] < pair[1]), max_size=12))
def test_ranges_are_added_alike(ranges: list[list[bytes]]) -> None:
    starts: list[bytes] = []
    ends: list[bytes] = []
    for begin, end in ranges:
        in_python, in_c = both("add_range", starts, ends, begin, end)
        assert in_c == in_python
        starts, ends = in_c[1][:2]
    assert starts == sorted(starts)
    assert all(begin < end for begin, end in zip(starts, ends, strict=True))


@needs_core
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("keys_between", ({b"a": b"", "b": b""}, [b"a"], b"a", b"b")),
        ("keys_between", ({b"a": b""}, ["b"], b"a", b"b")),
        ("add_range", ([b"a"], ["b"], b"a", b"b")),
        ("add_range", (["a"], [b"b"], b"a", b"b")),
    ],
)
def test_keys_that_are_no_bytes_are_refused_in_both(name: str, arguments: tuple[Any, ...]) -> None:
    in_python, in_c = both(name, *arguments)
    assert in_c[0][:2] == in_python[0][:2] == ("raises", TypeError)
