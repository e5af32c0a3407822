"""Every cursor stops behind every element and whenever a limit stops its source, and goes on as if nothing had been."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer.cursor.aggregate import Aggregate, Folding
from recordlayer.cursor.chain import Concat, OrElse
from recordlayer.cursor.gather import Gather, Gathering
from recordlayer.cursor.merge import Intersection, Union
from recordlayer.cursor.pipeline import FlatMap, Prefetch, ReadEach
from recordlayer.cursor.sort import Sort, Sorting
from recordlayer.cursor.step import Batch, Cursor, Stop, drain
from recordlayer.cursor.transform import Distinct, Empty, Filter, Limit, ListCursor, Map, Skip
from recordlayer.errors import BadContinuation
from recordlayer.waiting.drivers import run_blocking
from recordlayer.waiting.waitable import Ready

EXAMPLES = 300 if os.environ.get("RECORDLAYER_LONG_TESTS") else 25

Make = Callable[[bytes | None], Cursor[Any]]


class Stuttering(Cursor[int]):
    """A list in batches of a few, some of them empty; after so many values it stops as a scan with a limit does."""

    __slots__ = ("_from", "_left", "_sizes", "_values")

    def __init__(self, values: list[int], sizes: list[int], stop_after: int, continuation: bytes | None) -> None:
        self._values = values
        self._sizes = iter(sizes)
        self._from = 0 if continuation is None else int.from_bytes(continuation, "big")
        self._left = stop_after or len(values) + 1

    async def batch(self) -> Batch[int]:
        first = self._from
        size = min(next(self._sizes, len(self._values)), self._left)
        values = self._values[first : first + size]
        self._from += len(values)
        self._left -= len(values)
        stop = Stop.EXHAUSTED if self._from >= len(self._values) else None
        if stop is None and not self._left:
            stop = Stop.SCAN_LIMIT
        end = self._from.to_bytes(4, "big") if stop is Stop.SCAN_LIMIT else None
        return Batch(values, lambda index: (first + index + 1).to_bytes(4, "big"), stop, end)


SIZES = st.lists(st.integers(0, 3), max_size=10)
NUMBERS = st.lists(st.integers(0, 9), max_size=10)
SORTED = st.lists(st.integers(0, 9), max_size=9, unique=True).map(sorted)


def by_size(size: int, *, reverse: bool = False, memory: int | None = None) -> Sorting[int]:
    """Numbers sorted, so many of them held; in memory each takes a thousand bytes."""

    async def load(names: Sequence[bytes]) -> list[int | None]:
        return [name[0] for name in names]

    return Sorting(
        keys=lambda values: [bytes([v]) for v in values],
        name=lambda v: bytes([v]),
        load=load,
        size=size,
        reverse=reverse,
        memory=memory,
        weight=lambda v: 599,
    )


def cursors(lists: list[list[int]], sizes: list[int], stop_after: int) -> dict[str, tuple[Make, list[Any]]]:
    """Each cursor over such sources, with what it gives."""
    one, two, three = lists

    def of(values: list[int]) -> Make:
        return lambda continuation: Stuttering(values, sizes, stop_after, continuation)

    def same(value: int) -> int:
        return value

    runs = sorted(value for values in lists for value in values)
    summing = Folding(key=lambda value: (value // 3,), initial=(0, 0), fold=lambda s, v: (s[0] + 1, s[1] + v))
    total = Folding(key=lambda value: (), initial=(0,), fold=lambda s, v: (s[0] + v,), always=True)
    gathering = Gathering(
        key=lambda value: bytes([value % 4]), initial=(0, ""), fold=lambda s, v: (s[0] + v, s[1] + str(v)), size=9
    )
    gathered = [
        (bytes([key]), (sum(found), "".join(map(str, found))))
        for key in range(4)
        if (found := [value for values in lists for value in values if value % 4 == key])
    ]
    all_of = of([value for values in lists for value in values])
    groups = {key: [value for value in runs if value // 3 == key] for key in sorted({value // 3 for value in runs})}
    backwards = [sorted(values, reverse=True) for values in lists]
    return {
        "source": (of(one), one),
        "map": (lambda c: Map(of(one)(c), lambda value: value * 2), [value * 2 for value in one]),
        "filter": (lambda c: Filter(of(one)(c), lambda value: value % 2 == 0), [v for v in one if v % 2 == 0]),
        "skip": (lambda c: Skip(of(one), 3, c), one[3:]),
        "skip all": (lambda c: Skip(of(one), 99, c), []),
        "distinct": (lambda c: Distinct(of(runs), lambda value: bytes([value]), c), sorted(set(runs))),
        "concat": (lambda c: Concat([of(one), of(two), of([]), of(three)], c), one + two + three),
        "or else": (lambda c: OrElse(of(one), of(two), c), one or two),
        "or else after a filter": (
            lambda c: OrElse(lambda i: Filter(of(one)(i), lambda value: value > 8), of(two), c),
            [value for value in one if value > 8] or two,
        ),
        "union": (lambda c: Union([of(one), of(two), of(three)], same, c), sorted({*one, *two, *three})),
        "union in reverse": (
            lambda c: Union([of(values) for values in backwards], same, c, reverse=True),
            sorted({*one, *two, *three}, reverse=True),
        ),
        "union of one": (lambda c: Union([of(one)], same, c), one),
        "intersection": (lambda c: Intersection([of(one), of(two)], same, c), sorted({*one} & {*two})),
        "intersection in reverse": (
            lambda c: Intersection([of(values) for values in backwards], same, c, reverse=True),
            sorted({*one} & {*two} & {*three}, reverse=True),
        ),
        "union of an intersection": (
            lambda c: Union([lambda i: Intersection([of(one), of(two)], same, i), of(three)], same, c),
            sorted({*one} & {*two} | {*three}),
        ),
        "aggregate": (
            lambda c: Aggregate(of(runs), summing, c),
            [((key,), (len(values), sum(values))) for key, values in groups.items()],
        ),
        "total": (lambda c: Aggregate(of(runs), total, c), [((), (sum(runs),))]),
        "sort": (lambda c: Sort(of(backwards[0]), by_size(3), c), sorted(one)),
        "sort in reverse": (lambda c: Sort(of(one), by_size(2, reverse=True), c), sorted(one, reverse=True)),
        "sort of more than there is": (lambda c: Sort(of(backwards[0]), by_size(99), c), sorted(one)),
        "sort in little memory": (lambda c: Sort(of(backwards[0]), by_size(99, memory=3_500), c), sorted(one)),
        "sort in no memory": (
            lambda c: Sort(of(one), by_size(99, reverse=True, memory=1), c),
            sorted(one, reverse=True),
        ),
        "gather": (lambda c: Gather(all_of, gathering, c), gathered),
        "gather a few": (lambda c: Gather(all_of, replace(gathering, size=2), c), gathered),
        "gather in little memory": (lambda c: Gather(all_of, replace(gathering, memory=400), c), gathered),
        "gather in no memory": (lambda c: Gather(all_of, replace(gathering, memory=1), c), gathered),
        "flat map": (
            lambda c: FlatMap(of(one), lambda value, i: of(list(range(value % 3)))(i), c),
            [within for value in one for within in range(value % 3)],
        ),
        "prefetch": (lambda c: Prefetch(of(one)(c)), one),
        "read each": (
            lambda c: ReadEach(of(one)(c), Ready, lambda value, read: None if value == 3 else value + read, width=2),
            [value * 2 for value in one if value != 3],
        ),
    }


def one_by_one(make: Make) -> list[Any]:
    """All values, each taken by a cursor of its own that resumes behind the one before."""
    found: list[Any] = []
    continuation: bytes | None = None
    for _ in range(500):
        step = run_blocking(make(continuation).next())
        if step.has_value:
            found.append(step.value)
            assert step.continuation is not None
        elif step.stop is Stop.EXHAUSTED:
            assert step.continuation is None
            return found
        assert step.continuation is not None, "a limit lets at least one value of the source be read"
        continuation = step.continuation
    raise AssertionError("it does not come to its end")


def in_pages(make: Make) -> list[Any]:
    """All values, page by page, as a limit stops them."""
    found: list[Any] = []
    continuation: bytes | None = None
    for _ in range(500):
        cursor = make(continuation)
        while (batch := run_blocking(cursor.batch())).stop is None:
            found += batch.values
        found += batch.values
        if batch.stop is Stop.EXHAUSTED:
            assert batch.end is None
            return found
        assert batch.end is not None
        continuation = batch.end
    raise AssertionError("it does not come to its end")


@pytest.mark.parametrize("name", cursors([[], [], []], [], 0))
@settings(max_examples=EXAMPLES)
@given(st.tuples(SORTED, SORTED, SORTED).map(list), SIZES, st.integers(0, 3))
def test_stopping_anywhere_and_resuming_gives_the_same_values(
    name: str, lists: list[list[int]], sizes: list[int], stop_after: int
) -> None:
    make, expected = cursors(lists, sizes, stop_after)[name]
    whole, _ = cursors(lists, sizes, 0)[name]
    assert run_blocking(drain(whole(None))) == expected
    assert one_by_one(make) == expected
    assert in_pages(make) == expected


@pytest.mark.parametrize("name", [name for name in cursors([[], [], []], [], 0) if name != "source"])
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_continuation_that_was_tampered_with_is_refused_or_stays_among_the_values(
    name: str, data: st.DataObject
) -> None:
    lists = [[0, 1, 2, 4, 8], [1, 2, 4, 9], [2, 4, 5]]
    make, expected = cursors(lists, [2, 1], 0)[name]
    given = [run_blocking(make(None).next()).continuation or b""]
    good = data.draw(st.sampled_from(given))
    kind = data.draw(st.sampled_from(["cut", "flip", "any"]))
    if kind == "cut":
        bad = good[: data.draw(st.integers(0, max(0, len(good) - 1)))]
    elif kind == "flip" and good:
        place = data.draw(st.integers(0, len(good) - 1))
        bad = good[:place] + bytes([good[place] ^ data.draw(st.integers(1, 255))]) + good[place + 1 :]
    else:
        bad = data.draw(st.binary(max_size=24))
    try:
        found = run_blocking(drain(make(bad)))
    except BadContinuation:
        return
    if name in ("aggregate", "total", "sort", "sort in reverse", "sort of more than there is"):
        return  # what was folded or held so far is in the continuation: only a checksum around it can tell
    others = {"or else": lists[1], "or else after a filter": lists[1], "skip": lists[0], "skip all": lists[0]}
    assert set(found) <= set(expected) | set(others.get(name, ()))


@pytest.mark.parametrize(
    "make",
    [
        lambda c: Concat([lambda i: Empty(), lambda i: Empty()], c),
        lambda c: OrElse(lambda i: Empty(), lambda i: Empty(), c),
        lambda c: Union([lambda i: Empty(), lambda i: Empty()], lambda value: value, c),
        lambda c: Skip(lambda i: Empty(), 3, c),
        lambda c: Distinct(lambda i: Empty(), bytes, c),
        lambda c: FlatMap(lambda i: Empty(), lambda value, i: Empty(), c),
        lambda c: Aggregate(lambda i: Empty(), Folding(key=tuple, initial=(), fold=lambda s, v: s), c),
        lambda c: ListCursor([1], c),
    ],
)
@pytest.mark.parametrize(
    "continuation", [b"\x08", b"\x0a\x05ab", b"\x0d\x00\x00\x00\x00", b"\xff" * 12, b"\x08\x80\x00", b"\x30\x01", 7]
)
def test_bytes_that_no_cursor_wrote_are_refused(make: Any, continuation: Any) -> None:
    with pytest.raises(BadContinuation):
        make(continuation)


@pytest.mark.parametrize(
    ("make", "continuation"),
    [
        (lambda c: Concat([lambda i: Empty()], c), b"\x08\x01"),
        (lambda c: OrElse(lambda i: Empty(), lambda i: Empty(), c), b"\x08\x01"),
        (lambda c: OrElse(lambda i: Empty(), lambda i: Empty(), c), b"\x08\x03"),
        (lambda c: Union([lambda i: Empty()], lambda value: value, c), b""),
        (lambda c: Union([lambda i: Empty()], lambda value: value, c), b"\x0a\x00"),
        (lambda c: Union([lambda i: Empty()], lambda value: value, c), b"\x0a\x05\x0a\x01a\x10\x01"),
        (lambda c: Skip(lambda i: Empty(), 3, c), b"\x08\x04\x12\x00"),
        (lambda c: Skip(lambda i: Empty(), 3, c), b"\x08\x02"),
        (lambda c: Distinct(lambda i: Empty(), bytes, c), b"\x0a\x00"),
        (lambda c: Aggregate(lambda i: Empty(), Folding(key=tuple, initial=(), fold=lambda s, v: s), c), b""),
        (lambda c: Aggregate(lambda i: Empty(), Folding(key=tuple, initial=(), fold=lambda s, v: s), c), b"\x12\x00"),
        (
            lambda c: Aggregate(lambda i: Empty(), Folding(key=tuple, initial=(), fold=lambda s, v: s), c),
            b"\x12\x01\xee\x1a\x00",
        ),
    ],
)
def test_fields_that_contradict_each_other_are_refused(make: Any, continuation: bytes) -> None:
    with pytest.raises(BadContinuation):
        make(continuation)


def test_sources_of_a_merge_begin_their_reads_before_any_is_waited_for() -> None:
    begun: list[int] = []

    class Slow(Cursor[int]):
        def __init__(self, number: int) -> None:
            self.number = number

        def start(self) -> None:
            begun.append(self.number)

        async def batch(self) -> Batch[int]:
            assert begun == [0, 1, 2]
            return Batch([self.number], lambda index: b"x", Stop.EXHAUSTED)

    def source(number: int) -> Make:
        return lambda continuation: Slow(number)

    union = Union([source(number) for number in range(3)], lambda value: value)
    assert run_blocking(drain(union)) == [0, 1, 2]


def test_a_prefetching_cursor_begins_the_next_read_while_values_are_used() -> None:
    begun: list[str] = []

    class Slow(Cursor[int]):
        def __init__(self) -> None:
            self.number = 0

        def start(self) -> None:
            begun.append(f"read {self.number}")

        async def batch(self) -> Batch[int]:
            self.number += 1
            return Batch([self.number], lambda index: b"x", Stop.EXHAUSTED if self.number == 2 else None)

    cursor = Prefetch(Slow())
    run_blocking(cursor.batch())
    assert begun == ["read 1"]
    run_blocking(cursor.batch())
    assert begun == ["read 1"], "nothing follows the last batch"


@pytest.mark.parametrize(("gone", "expected"), [(3, [1, 2, 5, 7, 9]), (5, [1, 2, 3, 7, 9]), (7, [1, 2, 3, 5, 7, 9])])
def test_a_value_that_is_gone_when_a_sort_goes_on_is_left_out(gone: int, expected: list[int]) -> None:
    values = [5, 3, 9, 1, 7, 2]

    async def load(names: Sequence[bytes]) -> list[int | None]:
        return [None if name[0] == gone else name[0] for name in names]

    def make(continuation: bytes | None, stop_after: int) -> Sort[int]:
        sorting = Sorting(
            keys=lambda values: [bytes([v]) for v in values], name=lambda v: bytes([v]), load=load, size=3
        )
        return Sort(lambda c: Stuttering(values, [], stop_after, c), sorting, continuation)

    batch = run_blocking(make(None, 5).batch())
    assert (batch.values, batch.stop) == ([], Stop.SCAN_LIMIT)
    assert run_blocking(drain(make(batch.end, 0))) == expected, "7 was not among the three that were held"


def test_a_limit_in_front_of_a_union_stops_and_goes_on() -> None:
    lists = [list(range(0, 40, 2)), list(range(0, 40, 3))]
    expected = sorted({*lists[0], *lists[1]})

    def make(continuation: bytes | None) -> Cursor[int]:
        union = Union([lambda i, values=v: ListCursor(values, i) for v in lists], lambda value: value, continuation)
        return Limit(union, 4)

    found: list[int] = []
    continuation: bytes | None = None
    while True:
        cursor = make(continuation)
        batch = run_blocking(cursor.batch())
        found += batch.values
        if batch.stop is Stop.EXHAUSTED:
            break
        assert batch.stop is Stop.LIMIT_REACHED
        continuation = batch.end
    assert found == expected
