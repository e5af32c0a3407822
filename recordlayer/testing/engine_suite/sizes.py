"""What an engine says about sizes: of ranges, where to cut them, of a transaction. Loose bounds: they are estimates."""

from __future__ import annotations

from collections.abc import Callable

from recordlayer.kv.engine import ConflictKind, MutationType, Transaction
from recordlayer.testing.engine_suite.harness import Harness

ROWS, ROW_BYTES = 300, 10_000
TOTAL = ROWS * ROW_BYTES


class Sizes(Harness):
    def put_three_megabytes(self) -> None:
        for start in range(0, ROWS, 100):
            self.put_numbered(range(start, start + 100), lambda number: bytes([number % 256]) * ROW_BYTES)

    def test_the_estimate_of_a_large_range_is_within_a_factor_of_two(self) -> None:
        self.put_three_megabytes()
        estimate = self.do(self.begin().estimated_range_size(self.prefix, self.behind))
        assert TOTAL / 2 < estimate < TOTAL * 2
        half = self.do(self.begin().estimated_range_size(self.key(0), self.key(ROWS // 2)))
        assert TOTAL / 4 < half < TOTAL

    def test_the_estimate_of_an_empty_range_is_zero(self) -> None:
        assert self.do(self.begin().estimated_range_size(self.key(b"a"), self.key(b"b"))) == 0

    def test_an_inverted_range_has_no_size_and_no_split_points(self) -> None:
        self.refused(2005, self.begin().estimated_range_size(self.key(b"b"), self.key(b"a")))
        self.refused(2005, self.begin().range_split_points(self.key(b"b"), self.key(b"a"), 1000))

    def test_split_points_cut_a_range_into_parts_of_about_the_size_asked_for(self) -> None:
        self.put_three_megabytes()
        points = self.do(self.begin().range_split_points(self.prefix, self.behind, TOTAL // 10))
        assert points[0] == self.prefix
        assert points[-1] == self.behind
        assert points == sorted(set(points))
        assert 5 <= len(points) - 1 <= 20

    def test_a_chunk_larger_than_the_range_leaves_it_whole(self) -> None:
        self.put_numbered(range(10))
        points = self.do(self.begin().range_split_points(self.prefix, self.behind, 100_000_000))
        assert points == [self.prefix, self.behind]

    def test_split_points_and_estimates_read_nothing_that_conflicts(self) -> None:
        def measure(tr: Transaction) -> None:
            self.do(tr.estimated_range_size(self.prefix, self.behind))
            self.do(tr.range_split_points(self.prefix, self.behind, 1000))

        assert not self.conflict(measure, lambda tr: tr.clear_range(self.prefix, self.behind))

    def test_boundary_keys_lie_in_their_range_and_ascend(self) -> None:
        self.put_numbered(range(10))
        boundaries = list(self.do(self.engine.boundary_keys(self.prefix, self.behind)))
        assert boundaries == sorted(set(boundaries))
        assert all(self.prefix <= key < self.behind for key in boundaries)

    def test_approximate_size_grows_with_all_that_a_commit_sends(self) -> None:
        tr = self.begin()
        sizes = [self.do(tr.approximate_size())]
        assert sizes[0] == 0
        key = self.key(b"x" * 100)
        steps: tuple[Callable[[], object], ...] = (
            lambda: tr.set(key, b"v" * 1000),
            lambda: tr.clear(key),
            lambda: tr.clear_range(self.prefix, self.behind),
            lambda: tr.atomic(MutationType.ADD, key, b"\x01" * 8),
            lambda: tr.add_conflict_range(ConflictKind.WRITE, self.prefix, self.behind),
            lambda: tr.add_conflict_range(ConflictKind.READ, b"a", b"b"),
            lambda: self.do(tr.get(b"read")),
        )
        for step in steps:
            step()
            sizes.append(self.do(tr.approximate_size()))
        assert sizes == sorted(set(sizes))
        assert 1100 < sizes[1] < 1600

    def test_approximate_size_counts_as_the_cluster_does(self) -> None:
        key = self.key(b"a")
        writes: tuple[tuple[Callable[[Transaction], object], int], ...] = (
            (lambda tr: tr.set(key, b"value"), 44 + len(key) + 5 + 24 + 2 * len(key) + 1),
            (lambda tr: tr.clear(key), 24 + 2 * len(key) + 1 + 24 + 2 * len(key) + 1),
            (lambda tr: tr.clear_range(key, key + b"z"), 44 + 2 * len(key) + 1 + 24 + 2 * len(key) + 1),
            (lambda tr: tr.atomic(MutationType.ADD, key, b"\x01"), 44 + len(key) + 1 + 24 + 2 * len(key) + 1),
            (lambda tr: self.do(tr.get(key)), 24 + 2 * len(key) + 1),
        )
        for write, expected in writes:
            tr = self.begin()
            write(tr)
            assert self.do(tr.approximate_size()) == expected

    def test_approximate_size_begins_anew_with_a_reset(self) -> None:
        tr = self.begin()
        tr.set(self.key(b"a"), b"x" * 1000)
        tr.reset()
        assert self.do(tr.approximate_size()) == 0
