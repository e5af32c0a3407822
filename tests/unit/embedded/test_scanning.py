"""Scans of a tree, in Python and in C: the same pairs, whatever the bounds and the limit."""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import lmdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recordlayer.core import twins
from tests.support.both_ways import WAYS, needs_core, outcome

NUMBERS = range(0, 3000, 2)


def key(number: int) -> bytes:
    return b"%05d" % number


@pytest.fixture(scope="module")
def cursor() -> Iterator[Any]:
    with (
        tempfile.TemporaryDirectory() as directory,
        lmdb.open(directory, map_size=1 << 24) as env,
        env.begin(write=True) as txn,
    ):
        for number in NUMBERS:
            txn.put(key(number), b"v" * (number % 7))
        with txn.cursor() as opened:
            yield opened


def scan(name: str, way: int, *arguments: Any) -> list[tuple[bytes, bytes]]:
    function = twins[name][way]
    assert function is not None
    rows: list[tuple[bytes, bytes]] = function(*arguments)
    return rows


bounds = st.integers(-2, 3100).map(lambda number: b"" if number == -2 else key(max(number, 0))) | st.just(b"\xff")
limits = st.sampled_from([1, 2, 15, 16, 17, 80, 1104, 1105, 1 << 40]) | st.integers(1, 3000)


@pytest.mark.parametrize("way", WAYS)
@given(data=st.data())
def test_a_scan_gives_the_pairs_of_its_range_up_to_its_limit(cursor: Any, way: int, data: st.DataObject) -> None:
    begin, end = sorted((data.draw(bounds), data.draw(bounds)))
    limit = data.draw(limits)
    there = [(key(number), b"v" * (number % 7)) for number in NUMBERS if begin <= key(number) < end]
    assert scan("forward", way, cursor, begin, end, limit) == there[:limit]
    if end:
        assert scan("backward", way, cursor, begin, end, limit) == there[::-1][:limit]


@pytest.mark.parametrize("way", WAYS)
@given(data=st.data())
def test_chunks_of_several_ranges_end_at_their_limit_or_their_bytes(cursor: Any, way: int, data: st.DataObject) -> None:
    some = st.tuples(bounds, bounds).map(lambda pair: tuple(sorted(pair)))
    ranges = data.draw(st.lists(some, max_size=4)) if data.draw(st.booleans()) else ((key(7), key(80)),)
    limit, wanted, reverse = (
        data.draw(limits),
        data.draw(st.integers(1, 400) | st.just(1 << 40)),
        data.draw(st.booleans()),
    )
    expected: list[tuple[list[tuple[bytes, bytes]], bool]] = []
    for begin, end in ranges:
        there = [(key(number), b"v" * (number % 7)) for number in NUMBERS if begin <= key(number) < end]
        rows: list[tuple[bytes, bytes]] = []
        size = 0
        for row in reversed(there) if reverse else there:
            if len(rows) < limit and size < wanted:
                rows.append(row)
                size += len(row[0]) + len(row[1])
        expected.append((rows, len(rows) >= limit or size >= wanted))
    function = twins["each_chunk"][way]
    assert function is not None
    unusual = any(not key for each in ranges for key in each)
    assert function(cursor, ranges, 5, limit, wanted, reverse) == (None if unusual else expected)
    if ranges and not unusual:
        assert function(cursor, ranges, 0, limit, wanted, reverse) is None


@pytest.mark.parametrize("way", WAYS)
@given(st.lists(st.binary(max_size=5) | st.binary(max_size=2).map(b"\xff".__add__), max_size=4), st.integers(0, 5))
def test_keys_that_are_neither_empty_nor_long_nor_of_the_system(way: int, keys: list[bytes], longest: int) -> None:
    function = twins["usual_keys"][way]
    assert function is not None
    assert function(keys, longest) is all(key != b"" and len(key) <= longest and key[0] != 0xFF for key in keys)
    assert function([*keys, bytearray(b"a")], 9) is False


@pytest.mark.parametrize("way", WAYS)
def test_a_tree_without_keys_has_no_pairs(way: int, tmp_path: Any) -> None:
    with lmdb.open(str(tmp_path), map_size=1 << 20) as env, env.begin() as txn, txn.cursor() as cursor:
        for name in ("forward", "backward"):
            for begin in (b"", b"a"):
                assert scan(name, way, cursor, begin, b"\xff", 10) == []
        for reverse in (False, True):
            assert scan("each_chunk", way, cursor, [(b"a", b"\xff")], 9, 10, 10, reverse) == [([], False)]


@pytest.mark.parametrize("way", WAYS)
@given(st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=9), st.integers(-5, 120))
@example([(b"", b"")], 0)
def test_how_many_pairs_have_so_many_bytes(way: int, rows: list[tuple[bytes, bytes]], wanted: int) -> None:
    sizes = [sum(len(key) + len(value) for key, value in rows[:count]) for count in range(len(rows) + 1)]
    enough = next((count for count in range(1, len(sizes)) if sizes[count] >= wanted), 0)
    assert scan("bytes_until", way, rows, wanted) == (enough, sizes[-1])


@needs_core
def test_calls_that_are_none_fail_alike(cursor: Any) -> None:
    for name in ("forward", "backward"):
        for arguments in [(), (cursor,), (cursor, "a", b"b", 1), (cursor, b"a", None, 2), (None, b"a", b"b", 2)]:
            in_python, in_c = (outcome(function, *arguments) for function in twins[name])
            assert in_c == in_python
    for arguments in [
        (),
        (cursor, [], 9, 1, 1),
        (cursor, None, 9, 1, 1, True),
        (cursor, [("a", b"b")], 9, 1, 1, True),
        (cursor, [(b"a", b"b", b"c")], 9, 1, 1, False),
        (cursor, [(b"a", None)], 9, 1, 1, False),
        (None, [(b"a", b"b")], 9, 1, 1, False),
    ]:
        in_python, in_c = (outcome(function, *arguments) for function in twins["each_chunk"])
        assert in_c == in_python
    for arguments in [(), (None, 1), ([None], 1), ([b"a"], None), ([b"a"], 1 << 70), ((b"a",), 1)]:
        in_python, in_c = (outcome(function, *arguments) for function in twins["usual_keys"])
        assert in_c == in_python
    for arguments in [
        (),
        (None, 1),
        ([1], 1),
        ([(b"a",)], 1),
        ([(b"a", b"b")], None),
        ([("ab", "c")], 2),
        ([(b"a", b"")], 1 << 70),
    ]:
        in_python, in_c = (outcome(function, *arguments) for function in twins["bytes_until"])
        assert in_c == in_python


class Strange:
    """A cursor that gives other things than pairs, or fails after some."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def set_range(self, key: bytes) -> bool:
        return True

    first = last = prev = lambda self: True

    def key(self) -> Any:
        return b"b"

    def iternext(self) -> Any:
        for row in self.rows:
            if isinstance(row, Exception):
                raise row
            yield row

    iterprev = iternext


@needs_core
@pytest.mark.parametrize("name", ["forward", "backward"])
def test_what_a_cursor_raises_is_raised(name: str) -> None:
    function = twins[name][1]
    gone = lmdb.Error("the map has moved")
    for rows in ([gone], [(b"b", b""), gone]):
        with pytest.raises(lmdb.Error, match="moved"):
            scan(name, 1, Strange(rows), b"a", b"c", 10)
    for row in (None, [b"b", b""], (b"b",), ("b", b""), (None, None)):
        assert outcome(function, Strange([(b"b", b""), row]), b"a", b"c", 10)[:2] == ("raises", TypeError)
        several = twins["each_chunk"][1], Strange([(b"b", b""), row]), [(b"a", b"c")], 9, 10, 10, name == "backward"
        assert outcome(*several)[:2] == ("raises", TypeError)


@needs_core
def test_scans_leave_nothing_behind(cursor: Any) -> None:
    """References that leaked would show as blocks that grow."""

    def work() -> None:
        for _ in range(20):
            rows = scan("forward", 1, cursor, b"", key(400), 1000)
            scan("backward", 1, cursor, key(400), b"\xff", 100)
            scan("bytes_until", 1, rows, 1000)
            scan("each_chunk", 1, cursor, [(key(100), key(300)), (b"a", b"b")], 9, 50, 1000, False)
            scan("each_chunk", 1, cursor, [(key(100), b"")], 9, 50, 1000, True)
            scan("usual_keys", 1, [b"a", b"bb"], 1)
            outcome(twins["forward"][1], Strange([(b"b", b""), None]), b"a", b"c", 10)

    work()
    gc.collect()
    before = sys.getallocatedblocks()
    work()
    gc.collect()
    assert sys.getallocatedblocks() - before < 50


class Transaction:
    """Stands for one of LMDB's, on the cursor of another."""

    def __init__(self, cursor: Any, fails_at_end: bool = False) -> None:
        self._cursor = cursor
        self.fails_at_end = fails_at_end
        self.ended = 0

    def cursor(self) -> Any:
        if self._cursor is None:
            raise OSError("no cursor")
        return self._cursor

    def abort(self) -> None:
        self.ended += 1
        if self.fails_at_end:
            raise OSError("no end")


@pytest.mark.parametrize("way", WAYS)
@given(begin=bounds.filter(bool), end=bounds, limit=st.integers(1, 10))
def test_a_look_gives_few_pairs_and_ends_its_transaction(
    cursor: Any, way: int, begin: bytes, end: bytes, limit: int
) -> None:
    transaction = Transaction(cursor)
    there = [(key(number), b"v" * (number % 7)) for number in NUMBERS if begin <= key(number) < end]
    assert scan("look", way, lambda tree: transaction, "tree", begin, end, limit) == there[:limit]
    assert transaction.ended == 1


class Odd:
    """Stands for a cursor that is at a key that is none."""

    def set_range(self, key: bytes) -> bool:
        return True

    def key(self) -> int:
        return 7


@pytest.mark.parametrize("way", WAYS)
def test_what_goes_wrong_in_a_look_ends_its_transaction_too(cursor: Any, way: int) -> None:
    for transaction, raised in (
        (Transaction(None), OSError),
        (Transaction(Odd()), TypeError),
        (Transaction(None, fails_at_end=True), OSError),
        (Transaction(cursor, fails_at_end=True), OSError),
    ):
        with pytest.raises(raised):
            scan("look", way, lambda tree, given=transaction: given, "tree", key(2), b"\xff", 3)
        assert transaction.ended == 1
    with pytest.raises(ZeroDivisionError):
        scan("look", way, lambda tree: 1 // 0, "tree", key(2), b"\xff", 3)
