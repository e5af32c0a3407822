"""The two structures over ranges of keys against naive models on a small key space."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from recordlayer.kv.embedded.range_set import NO_RANGES, RangeSet
from recordlayer.kv.embedded.range_versions import RangeVersions

# Every key and every place between two keys that a range of these bounds can tell apart.
POINTS = [b"", *sorted(bytes([a]) + rest for a in b"abcdef" for rest in (b"", b"\0", b"m"))]
POINT = st.sampled_from(POINTS)
RANGE = st.tuples(POINT, POINT).map(lambda pair: (min(pair), max(pair))).filter(lambda pair: pair[0] < pair[1])


def between(begin: bytes, end: bytes) -> set[bytes]:
    return {point for point in POINTS if begin <= point < end}


@given(st.lists(st.tuples(st.sampled_from(["add", "remove"]), RANGE), max_size=30), RANGE)
def test_a_range_set_is_a_set_of_keys(
    operations: list[tuple[str, tuple[bytes, bytes]]], asked: tuple[bytes, bytes]
) -> None:
    ranges, model = RangeSet(), set()
    for kind, (begin, end) in operations:
        if kind == "add":
            ranges.add(begin, end)
            model |= between(begin, end)
        else:
            ranges.remove(begin, end)
            model -= between(begin, end)
        assert {point for point in POINTS if ranges.covers(point)} == model
        assert bool(ranges) == bool(model)
        pairs = list(ranges)
        assert all(begin < end for begin, end in pairs)
        assert all(left[1] < right[0] for left, right in pairwise(pairs)), "merged where they touch"
    parts = ranges.overlapping(*asked)
    assert set().union(*(between(*part) for part in parts)) == model & between(*asked)
    assert all(asked[0] <= begin < end <= asked[1] for begin, end in parts)


@given(st.lists(st.lists(RANGE, max_size=5) | st.lists(RANGE, max_size=5).map(sorted), max_size=5), st.booleans())
@example([[(b"a", b"b"), (b"c", b"d")], [(b"e", b"f")]], True)
@example([[(b"a", b"b")], [(b"b", b"c"), (b"c", b"d")]], True)
def test_several_ranges_at_once_are_as_one_after_the_other(
    batches: list[list[tuple[bytes, bytes]]], fresh: bool
) -> None:
    ranges = NO_RANGES if fresh else RangeSet()
    one_by_one = RangeSet()
    for batch in batches:
        ranges = ranges.including_all([begin for begin, _ in batch], [end for _, end in batch])
        for begin, end in batch:
            one_by_one.add(begin, end)
        assert list(ranges) == list(one_by_one)
    assert not NO_RANGES


@given(
    st.lists(st.tuples(RANGE, st.integers(0, 3), st.booleans()), max_size=30),
    st.lists(st.tuples(RANGE, st.integers(0, 40)), max_size=10),
)
def test_range_versions_know_the_last_version_written_over_each_key(
    writes: list[tuple[tuple[bytes, bytes], int, bool]], questions: list[tuple[tuple[bytes, bytes], int]]
) -> None:
    versions, model, version, floor = RangeVersions(), dict.fromkeys(POINTS, 0), 1, 0
    for (begin, end), step, prune in writes:
        version += step
        versions.write(begin, end, version)
        model.update(dict.fromkeys(between(begin, end), version))
        if prune:
            floor = version - 2
            versions.prune(floor)
    for (begin, end), since in questions:
        since = max(since, floor)  # what is older was forgotten on request
        assert versions.written_in(begin, end, since) == any(model[key] > since for key in between(begin, end))
    assert versions.newest in (0, version)


def test_pruning_many_ranges_keeps_what_is_newer_and_shrinks() -> None:
    versions = RangeVersions()
    for number in range(3000):
        key = b"%06d" % (number * 7 % 3000)
        versions.write(key, key + b"\0", number + 1)
    before = len(versions)
    versions.prune(2500)
    assert len(versions) < before / 3
    for number in range(3000):
        key = b"%06d" % (number * 7 % 3000)
        assert versions.written_in(key, key + b"\0", 2500) == (number + 1 > 2500)
        assert not versions.written_in(key + b"\0", key + b"\x01", 2500)
    versions.prune(3000)
    assert len(versions) == 1
    assert not versions.written_in(b"", b"\xff", 3000)
