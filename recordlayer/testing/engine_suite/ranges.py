"""Reading ranges between two keys: order, limits, chunks."""

from __future__ import annotations

from recordlayer.kv.engine import StreamingMode
from recordlayer.testing.engine_suite.harness import Harness, each

MODES: dict[str, object] = {mode.name.lower(): mode for mode in StreamingMode if mode is not StreamingMode.EXACT}


class Ranges(Harness):
    def test_a_range_holds_its_begin_and_not_its_end(self) -> None:
        self.put_numbered(range(10))
        assert self.names(self.begin(), self.key(3), self.key(7)) == [b"%06d" % n for n in range(3, 7)]

    def test_bounds_need_not_be_keys(self) -> None:
        self.put_numbered(range(0, 100, 10))
        found = self.rows(self.begin(), self.key(15), self.key(55))
        assert found == [(b"%06d" % n, b"v%d" % n) for n in (20, 30, 40, 50)]

    def test_a_reverse_range_descends(self) -> None:
        self.put_numbered(range(10))
        found = self.names(self.begin(), self.key(3), self.key(7), reverse=True)
        assert found == [b"%06d" % n for n in (6, 5, 4, 3)]

    def test_a_limit_takes_the_first_of_its_direction(self) -> None:
        self.put_numbered(range(10))
        assert self.names(self.begin(), limit=3) == [b"%06d" % n for n in (0, 1, 2)]
        assert self.names(self.begin(), limit=3, reverse=True) == [b"%06d" % n for n in (9, 8, 7)]
        assert len(self.names(self.begin(), limit=100)) == 10

    def test_a_range_without_keys_is_empty_and_has_no_more(self) -> None:
        self.put(a=b"1", z=b"2")
        chunk = self.do(self.begin().get_range(self.key(b"b"), self.key(b"y")))
        assert (chunk.rows, chunk.more) == ([], False)

    def test_a_range_that_ends_where_it_begins_or_before_is_empty(self) -> None:
        self.put(a=b"1", b=b"2", c=b"3")
        for begin, end in ((b"b", b"b"), (b"c", b"a")):
            for reverse in (False, True):
                chunk = self.do(self.begin().get_range(self.key(begin), self.key(end), reverse=reverse))
                assert (chunk.rows, chunk.more) == ([], False)

    def test_the_last_chunk_says_that_there_is_no_more(self) -> None:
        self.put_numbered(range(5))
        for reverse in (False, True):
            chunk = self.do(
                self.begin().get_range(self.prefix, self.behind, reverse=reverse, mode=StreamingMode.WANT_ALL)
            )
            assert (len(chunk.rows), chunk.more) == (5, False)

    def test_a_chunk_that_stops_at_its_limit_before_the_end_says_more(self) -> None:
        self.put_numbered(range(5))
        for reverse in (False, True):
            chunk = self.do(self.begin().get_range(self.prefix, self.behind, limit=4, reverse=reverse))
            assert (len(chunk.rows), chunk.more) == (4, True)

    @each("mode", MODES)
    def test_chunks_of_every_mode_add_up_to_the_range(self, mode: StreamingMode) -> None:
        self.put_numbered(range(400), lambda number: b"%d" % number * 300)
        whole = [(b"%06d" % n, b"%d" % n * 300) for n in range(400)]
        assert self.rows(self.begin(), mode=mode) == whole
        assert self.rows(self.begin(), mode=mode, reverse=True) == whole[::-1]
        assert self.rows(self.begin(), mode=mode, limit=333) == whole[:333]
        assert self.rows(self.begin(), mode=mode, limit=333, reverse=True) == whole[::-1][:333]

    def test_mode_exact_gives_its_limit_in_one_chunk(self) -> None:
        self.put_numbered(range(200), lambda number: b"x" * 1000)
        for reverse in (False, True):
            chunk = self.do(
                self.begin().get_range(self.prefix, self.behind, limit=150, reverse=reverse, mode=StreamingMode.EXACT)
            )
            assert len(chunk.rows) == 150

    def test_mode_exact_without_any_limit_is_refused(self) -> None:
        self.refused(2210, self.begin().get_range(self.prefix, self.behind, mode=StreamingMode.EXACT))

    def test_mode_iterator_fetches_more_with_every_iteration(self) -> None:
        self.put_numbered(range(300), lambda number: b"x" * 500)
        sizes = [
            len(self.do(self.begin().get_range(self.prefix, self.behind, iteration=iteration)).rows)
            for iteration in (1, 3, 6, 12)
        ]
        assert sizes == sorted(sizes)
        assert 0 < sizes[0] < sizes[-1]

    def test_mode_iterator_counts_from_one(self) -> None:
        self.refused(2000, self.begin().get_range(self.prefix, self.behind, iteration=0))

    def test_a_negative_limit_is_refused(self) -> None:
        self.refused(2012, self.begin().get_range(self.prefix, self.behind, limit=-2))

    def test_a_chunk_ends_after_its_target_bytes_and_holds_one_pair_at_least(self) -> None:
        self.put_numbered(range(100), lambda number: b"x" * 100)
        for reverse in (False, True):
            for target in (1, 100, 1_000, 5_000):
                chunk = self.do(
                    self.begin().get_range(
                        self.prefix, self.behind, target_bytes=target, reverse=reverse, mode=StreamingMode.WANT_ALL
                    )
                )
                assert len(chunk.rows) >= 1
                assert chunk.more
                assert sum(len(key) + len(value) for key, value in chunk.rows[:-1]) < target

    def test_target_bytes_limit_the_chunk_and_not_the_range(self) -> None:
        self.put_numbered(range(100), lambda number: b"x" * 100)
        assert len(self.rows(self.begin(), target_bytes=700, mode=StreamingMode.WANT_ALL)) == 100
        assert len(self.rows(self.begin(), target_bytes=700, mode=StreamingMode.EXACT, reverse=True)) == 100

    def test_paging_by_limit_meets_every_key_once(self) -> None:
        self.put_numbered(range(53))
        reader = self.begin()
        pages: list[bytes] = []
        begin = self.prefix
        while page := self.names(reader, begin, limit=10):
            pages += page
            begin = self.key(page[-1] + b"\0")
        assert pages == [b"%06d" % n for n in range(53)]

    def test_large_values_come_whole(self) -> None:
        self.put({b"%d" % n: bytes([n]) * 90_000 for n in range(5)})
        assert self.rows(self.begin()) == [(b"%d" % n, bytes([n]) * 90_000) for n in range(5)]
        assert self.rows(self.begin(), mode=StreamingMode.SMALL, reverse=True) == [
            (b"%d" % n, bytes([n]) * 90_000) for n in range(4, -1, -1)
        ]

    def test_ranges_in_flight_together_give_each_its_own_answer(self) -> None:
        self.put_numbered(range(50))
        reader = self.begin()
        started = [reader.get_range(self.key(n), self.key(n + 3)) for n in range(0, 48, 4)]
        for n, read in zip(range(0, 48, 4), started, strict=True):
            assert [key for key, _ in self.do(read).rows] == [self.key(m) for m in range(n, n + 3)]

    def test_a_range_may_begin_at_the_very_first_key_and_end_at_the_last(self) -> None:
        self.put(a=b"1")
        forward = self.do(self.begin().get_range(b"", b"\xff", limit=1))
        backward = self.do(self.begin().get_range(b"", b"\xff", limit=1, reverse=True))
        assert forward.rows[0][0] <= self.key(b"a") <= backward.rows[0][0]

    def test_range_bounds_behind_the_last_legal_key_are_refused(self) -> None:
        self.refused(2004, self.begin().get_range(b"", b"\xff\x00"))
        self.refused(2004, self.begin().get_range(b"\xff\x00", b"\xff\x01"))
