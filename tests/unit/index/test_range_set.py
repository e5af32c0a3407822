"""Range sets: what is covered, what is missing, and who conflicts with whom."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer.errors import Conflict, CorruptRangeSet, UsageError
from recordlayer.index.range_set import FIRST, LAST, RangeSet
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World

PREFIX = pack(("ranges",))


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = open_engine("memory:")
    yield engine
    engine.close()


def begin(engine: Engine) -> tuple[Context, RangeSet]:
    context = Context(engine.begin(), world=World())
    return context, RangeSet(context, PREFIX)


def rows(context: Context) -> dict[str, str]:
    found = run_blocking(context.read_all(PREFIX, PREFIX + b"\xff"))
    return {key[len(PREFIX) :].hex(): value.hex() for key, value in found}


def test_the_bytes_are_those_of_the_specification(engine: Engine) -> None:
    context, ranges = begin(engine)
    points = [FIRST, pack((1066,)), pack((2000,)), pack((3000,)), LAST]
    assert run_blocking(ranges.insert(points[0], points[1], require_empty=True))
    assert run_blocking(ranges.insert(points[1], points[2], require_empty=True))
    assert rows(context) == {"0100ff00": "1607d0"}
    assert run_blocking(ranges.insert(points[3], points[4]))
    assert run_blocking(ranges.insert(points[0], points[4]))
    assert rows(context) == {"0100ff00": "1607d0", "011607d000": "160bb8", "01160bb800": "ff"}
    assert not run_blocking(ranges.insert(FIRST, LAST))


points = st.binary(min_size=1, max_size=2).filter(lambda point: point < LAST)


@settings(max_examples=100)
@given(
    inserts=st.lists(st.tuples(points, points | st.just(LAST), st.booleans()), max_size=12),
    asked=st.lists(points, max_size=10),
)
def test_a_range_set_is_a_set_of_points(inserts: list[tuple[bytes, bytes, bool]], asked: list[bytes]) -> None:
    engine = open_engine("memory:")
    context, ranges = begin(engine)
    covered: list[tuple[bytes, bytes]] = []

    def is_covered(point: bytes) -> bool:
        return any(low <= point < high for low, high in covered)

    for low, high, require_empty in inserts:
        if low > high:
            low, high = high, low
        overlaps = any(low < other_high and other_low < high for other_low, other_high in covered)
        gaps = run_blocking(ranges.missing(low, high))
        changed = run_blocking(ranges.insert(low, high, require_empty=require_empty))
        if low == high or (require_empty and overlaps):
            assert not changed
        else:
            assert changed == bool(gaps)
            covered.append((low, high))
    for point in asked:
        assert run_blocking(ranges.contains(point)) == is_covered(point)
    missing = run_blocking(ranges.missing())
    assert missing == sorted(missing)
    assert all(gap.begin < gap.end for gap in missing)
    assert not any(is_covered(gap.begin) for gap in missing)
    for point in asked:
        assert any(gap.begin <= point < gap.end for gap in missing) != is_covered(point)
    assert run_blocking(ranges.missing(limit=1)) == missing[:1]
    assert run_blocking(ranges.is_empty()) == (not covered)
    context.close()
    engine.close()


def test_who_asks_about_a_point_conflicts_with_who_covers_it(engine: Engine) -> None:
    for point, conflicts in ((b"\x15\x05", True), (b"\x15\x20", False)):
        asking, asked = begin(engine)
        covering, covered = begin(engine)
        assert not run_blocking(asked.contains(point))
        assert run_blocking(covered.insert(b"\x15\x01", b"\x15\x10", require_empty=True))
        run_blocking(covering.commit())
        asking.set(b"another", b"")
        if conflicts:
            with pytest.raises(Conflict):
                run_blocking(asking.commit())
        else:
            run_blocking(asking.commit())
        clearing, _ = begin(engine)
        clearing.clear_range(PREFIX, PREFIX + b"\xff")
        run_blocking(clearing.commit())


def test_of_two_who_cover_the_same_only_one_commits(engine: Engine) -> None:
    one, first = begin(engine)
    other, second = begin(engine)
    apart, third = begin(engine)
    assert run_blocking(first.insert(b"\x10", b"\x20", require_empty=True))
    assert run_blocking(second.insert(b"\x18", b"\x28", require_empty=True))
    assert run_blocking(third.insert(b"\x30", b"\x40", require_empty=True))
    run_blocking(one.commit())
    with pytest.raises(Conflict):
        run_blocking(other.commit())
    run_blocking(apart.commit())


def test_bad_points_and_foreign_keys_are_told(engine: Engine) -> None:
    context, ranges = begin(engine)
    for low, high in ((b"\x20", b"\x10"), (b"", b"\x10"), (b"\x10", b"\xff\x00")):
        with pytest.raises(UsageError):
            run_blocking(ranges.insert(low, high))
    for key in (pack((b"a", b"b"), PREFIX), PREFIX + b"\x01a", PREFIX + b"\x01a\x00\x02"):
        context.set(key, b"")
        with pytest.raises(CorruptRangeSet):
            run_blocking(ranges.missing())
        context.clear(key)


@settings(max_examples=100)
@given(
    inserts=st.lists(st.tuples(points, points | st.just(LAST), st.booleans()), max_size=12),
    within=st.tuples(points, points | st.just(LAST)),
    end=points | st.just(LAST),
)
def test_filling_a_gap_that_was_found_is_inserting_where_it_is_empty(
    inserts: list[tuple[bytes, bytes, bool]], within: tuple[bytes, bytes], end: bytes
) -> None:
    engine = open_engine("memory:")
    context, ranges = begin(engine)
    for low, high, require_empty in inserts:
        run_blocking(ranges.insert(min(low, high), max(low, high), require_empty=require_empty))
    low, high = min(within), max(within)
    gap = run_blocking(ranges.first_gap(low, high))
    missing = run_blocking(ranges.missing(low, high, limit=1))
    assert (None if gap is None else (gap.begin, gap.end)) == (tuple(missing[0]) if missing else None)
    if gap is not None:
        end = max(gap.begin, min(gap.end, end))
        run_blocking(context.commit())
        context.close()
        wanted, other = begin(engine)
        run_blocking(other.insert(gap.begin, end, require_empty=True))
        context, ranges = begin(engine)
        found = run_blocking(ranges.first_gap(low, high))
        assert found == gap
        ranges.fill(found, end)
        assert rows(context) == rows(wanted)
        wanted.close()
    context.close()
    engine.close()


def test_of_two_who_fill_the_same_gap_only_one_commits(engine: Engine) -> None:
    start, ranges = begin(engine)
    assert run_blocking(ranges.insert(FIRST, b"\x10", require_empty=True))
    run_blocking(start.commit())
    one, first = begin(engine)
    other, second = begin(engine)
    for ranges, end in ((first, b"\x20"), (second, b"\x30")):
        gap = run_blocking(ranges.first_gap())
        assert gap is not None
        ranges.fill(gap, end)
        with pytest.raises(UsageError):
            ranges.fill(gap, b"\x08")
    run_blocking(one.commit())
    with pytest.raises(Conflict):
        run_blocking(other.commit())
