"""Cursors over lists and over keys: they stop anywhere, and go on there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recordlayer.core import twins
from recordlayer.cursor.continuation import (
    bytes_field,
    decode_fields,
    encode_fields,
    unwrap_key,
    wrap_key,
)
from recordlayer.cursor.limits import Budget, Limits
from recordlayer.cursor.pipeline import FlatMap, ReadEach
from recordlayer.cursor.scan import KeyRange, KeyValueScan, ScanOptions
from recordlayer.cursor.step import Batch, Cursor, Stop, drain
from recordlayer.cursor.transform import Empty, Filter, Limit, ListCursor, Map
from recordlayer.errors import BadContinuation, UsageError
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.waiting.drivers import run_blocking
from recordlayer.waiting.waitable import Failed, Ready
from recordlayer.world import World
from tests.support.both_ways import needs_core, outcome

Make = Callable[[bytes | None], Cursor[Any]]


def everything(cursor: Cursor[Any]) -> list[Any]:
    return run_blocking(drain(cursor))


def one_by_one(make: Make) -> list[Any]:
    """All values, each taken by a cursor of its own that resumes behind the one before."""
    found: list[Any] = []
    continuation: bytes | None = None
    while True:
        step = run_blocking(make(continuation).next())
        if not step.has_value:
            assert step.stop is Stop.EXHAUSTED
            assert step.continuation is None
            return found
        found.append(step.value)
        assert step.continuation is not None
        continuation = step.continuation


class Chunked(Cursor[int]):
    """A list in batches of a few, some of them empty, as a scan in chunks gives them."""

    __slots__ = ("_from", "_sizes", "_values")

    def __init__(self, values: list[int], sizes: list[int], continuation: bytes | None = None) -> None:
        self._values = values
        self._sizes = iter(sizes)
        self._from = 0 if continuation is None else int.from_bytes(continuation, "big")

    async def batch(self) -> Batch[int]:
        first = self._from
        size = next(self._sizes, len(self._values))
        values = self._values[first : first + size]
        self._from += len(values)
        stop = Stop.EXHAUSTED if self._from >= len(self._values) else None
        return Batch(values, lambda index: (first + index + 1).to_bytes(4, "big"), stop)


SIZES = st.lists(st.integers(0, 3), max_size=20)
NUMBERS = st.lists(st.integers(0, 9), max_size=12)


@given(NUMBERS, SIZES)
def test_transformed_cursors_give_what_the_list_functions_give(values: list[int], sizes: list[int]) -> None:
    def source(continuation: bytes | None = None) -> Cursor[int]:
        return Chunked(values, sizes, continuation)

    cursors: dict[str, tuple[Make, list[Any]]] = {
        "list": (lambda c: ListCursor(values, c), values),
        "chunked": (source, values),
        "map": (lambda c: Map(source(c), lambda value: value * 2), [value * 2 for value in values]),
        "filter": (lambda c: Filter(source(c), lambda value: value % 2 == 0), [v for v in values if v % 2 == 0]),
        "read each": (
            lambda c: ReadEach(source(c), Ready, lambda value, read: None if value == 3 else value + read, width=2),
            [value * 2 for value in values if value != 3],
        ),
        "empty": (lambda c: Empty(), []),
        "flat map": (
            lambda c: FlatMap(source, lambda value, inner: Chunked(list(range(value % 3)), sizes, inner), c),
            [inner for value in values for inner in range(value % 3)],
        ),
    }
    for name, (make, expected) in cursors.items():
        assert everything(make(None)) == expected, name
        assert one_by_one(make) == expected, name


@given(NUMBERS, SIZES, st.integers(1, 5))
def test_a_limit_counts_across_batches(values: list[int], sizes: list[int], limit: int) -> None:
    assert everything(Limit(Chunked(values, sizes), limit)) == values[:limit]


def test_a_limit_that_is_reached_says_so_and_where_to_go_on() -> None:
    cursor = Limit(ListCursor([1, 2, 3]), 2)
    steps = [run_blocking(cursor.next()) for _ in range(4)]
    assert [step.value for step in steps[:2]] == [1, 2]
    assert steps[2].stop is Stop.LIMIT_REACHED
    assert steps[2].continuation == steps[1].continuation
    assert steps[3] == steps[2], "asked again, the same answer"
    assert everything(ListCursor([1, 2, 3], steps[2].continuation)) == [3]


def test_an_outer_value_that_changed_begins_its_inner_cursor_anew() -> None:
    def make(values: list[int], continuation: bytes | None = None) -> FlatMap[int, int]:
        return FlatMap(
            lambda c: ListCursor(values, c),
            lambda value, inner: ListCursor([value * 10, value * 10 + 1], inner),
            continuation,
            check=lambda value: bytes([value]),
        )

    step = run_blocking(make([1, 2]).next())
    assert everything(make([1, 2], step.continuation)) == [11, 20, 21]
    assert everything(make([5, 2], step.continuation)) == [50, 51, 20, 21]


def test_a_failed_read_cancels_those_under_way() -> None:
    cancelled = []

    class Watched(Ready[int]):
        def cancel(self) -> None:
            cancelled.append(self.value)

    def start(value: int) -> Any:
        return Failed(ValueError("gone")) if value == 1 else Watched(value)

    cursor = ReadEach(ListCursor([0, 1, 2, 3]), start, lambda value, read: read)
    with pytest.raises(ValueError, match="gone"):
        everything(cursor)
    assert cancelled == [2, 3]


# -- scans -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = open_engine("memory:")
    context = Context(engine.begin(), world=World())
    for number in range(500):
        context.set(b"k" + number.to_bytes(2, "big"), bytes(number % 50))
    run_blocking(context.commit())
    yield engine
    engine.close()


KEYS = KeyRange(b"k", b"l", 1)
ALL = [b"k" + number.to_bytes(2, "big") for number in range(500)]


def scanned(engine: Engine, options: ScanOptions, keys: KeyRange = KEYS) -> tuple[list[bytes], Batch[Any]]:
    context = Context(engine.begin(), world=World())
    cursor = KeyValueScan(context, keys, options)

    async def read() -> tuple[list[bytes], Batch[Any]]:
        found: list[bytes] = []
        while True:
            batch = await cursor.batch()
            found += [key for key, _ in batch.values]
            if batch.stop is not None:
                return found, batch

    try:
        return run_blocking(read())
    finally:
        context.close()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("limit", [0, 1, 3, 499, 500, 501])
@pytest.mark.parametrize("expect", [0, 7])
def test_a_scan_gives_every_key_once_in_order(engine: Engine, reverse: bool, limit: int, expect: int) -> None:
    whole = ALL[::-1] if reverse else ALL
    found, last = scanned(engine, ScanOptions(reverse=reverse, limit=limit, expect=expect))
    assert found == (whole[:limit] if limit else whole)
    if 0 < limit <= 500:
        assert last.stop is Stop.LIMIT_REACHED
        rest, _ = scanned(engine, ScanOptions(reverse=reverse, continuation=last.end))
        assert found + rest == whole
    else:
        assert (last.stop, last.end) == (Stop.EXHAUSTED, None)


@given(st.integers(1, 40), st.integers(1, 3000), st.booleans())
def test_pages_with_budgets_give_every_key_once(keys: int, size: int, reverse: bool) -> None:
    engine = open_engine("memory:")
    context = Context(engine.begin(), world=World())
    for number in range(60):
        context.set(b"k" + bytes([number]), bytes(number))
    run_blocking(context.commit())
    whole = [b"k" + bytes([number]) for number in range(60)]
    found: list[bytes] = []
    continuation = None
    while True:
        budget = Budget(World().clock, Limits(keys=keys, bytes=size))
        options = ScanOptions(reverse=reverse, budget=budget, continuation=continuation)
        part, last = scanned(engine, options)
        found += part
        assert len(part) <= keys
        if last.stop is Stop.EXHAUSTED:
            break
        assert part, "every page makes progress"
        assert last.stop in (Stop.SCAN_LIMIT, Stop.BYTE_LIMIT)
        continuation = last.end
    assert found == (whole[::-1] if reverse else whole)
    engine.close()


def test_a_scan_stops_when_its_time_is_up_after_one_chunk(engine: Engine) -> None:
    budget = Budget(World().clock, Limits(time=timedelta(0)))
    found, last = scanned(engine, ScanOptions(budget=budget))
    assert found
    assert last.stop in (Stop.TIME_LIMIT, Stop.EXHAUSTED)


def test_another_scan_may_have_spent_the_budget(engine: Engine) -> None:
    budget = Budget(World().clock, Limits(keys=10))
    first, _ = scanned(engine, ScanOptions(budget=budget))
    second, last = scanned(engine, ScanOptions(budget=budget))
    assert len(first) == 10
    assert len(second) == 1, "every scan reads one pair at least"
    assert last.stop is Stop.SCAN_LIMIT


@pytest.mark.parametrize("continuation", ["text", 7, [1]])
def test_what_is_not_bytes_is_no_continuation(engine: Engine, continuation: Any) -> None:
    with pytest.raises(BadContinuation):
        scanned(engine, ScanOptions(continuation=continuation))


def test_a_continuation_of_another_range_is_refused(engine: Engine) -> None:
    with pytest.raises(BadContinuation):
        scanned(engine, ScanOptions(continuation=wrap_key(b"\xff\xff")), KeyRange(b"ka", b"kb", 1))


# -- continuations as bytes ------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_the_key_of_a_scan_comes_back_from_both_forms(key: bytes) -> None:
    assert unwrap_key(wrap_key(key)) == key
    if not key.endswith(b"\xac\xcd\x73\x98\xdd\x42\x00\x5e"):
        assert unwrap_key(key) == key


def test_the_wrapped_form_is_that_of_java() -> None:
    assert wrap_key(bytes.fromhex("16042a14")).hex() == "0a0416042a1411accd7398dd42005e"


@given(st.dictionaries(st.integers(1, 40), st.one_of(st.binary(max_size=200), st.integers(0, 2**60)), max_size=5))
def test_fields_come_back(fields: dict[int, bytes | int]) -> None:
    assert decode_fields(encode_fields(dict(fields))) == fields


@needs_core
@given(
    st.dictionaries(
        st.integers(-1, 40) | st.sampled_from([True, (1 << 29) - 1, 1 << 29, 1 << 70]),
        st.none() | st.binary(max_size=200) | st.integers(0, 2**65) | st.booleans() | st.builds(bytearray),
        max_size=5,
    )
)
@example({2: b"", 1: 5})
@example({1: b"x" * 600, 2: (1 << 64) - 1, 3: b"y" * 20_000})
def test_fields_have_the_same_bytes_in_python_and_in_c(fields: dict[Any, Any]) -> None:
    in_python, in_c = (outcome(function, fields) for function in twins["encode_fields"])
    assert in_c == in_python


def test_combinators_have_the_bytes_of_java() -> None:
    assert encode_fields({1: 0, 3: b"\x01"}).hex() == "08001a0101"
    assert encode_fields({1: b"\x01", 2: b"\x02"}).hex() == "0a0101120102"


@given(st.binary(max_size=60))
def test_any_bytes_are_fields_or_refused(data: bytes) -> None:
    try:
        fields = decode_fields(data)
    except BadContinuation:
        return
    assert all(isinstance(value, (bytes, int)) for value in fields.values())


def test_a_field_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(BadContinuation):
        bytes_field({1: 7}, 1)
    with pytest.raises(BadContinuation):
        ListCursor([1], b"abc")


def test_asking_an_empty_batch_for_a_continuation_is_a_mistake() -> None:
    batch = run_blocking(Empty[int]().batch())
    with pytest.raises(UsageError):
        batch.resume(0)


def test_reasons_outside_of_the_values_are_told_apart() -> None:
    assert [stop for stop in Stop if stop.out_of_band] == [Stop.TIME_LIMIT, Stop.SCAN_LIMIT, Stop.BYTE_LIMIT]
