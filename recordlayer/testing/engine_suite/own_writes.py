"""A transaction reads its own writes, unless it asks not to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from recordlayer.kv.engine import DatabaseOption, MutationType, Transaction, TransactionOption
from recordlayer.kv.mutations import CLEAR, SET, Write, write_each
from recordlayer.testing.engine_suite.harness import Harness


def _written(writes: list[Write], tr: Transaction) -> None:
    tr.write_many(writes)


class OwnWrites(Harness):
    def test_a_set_key_is_read_and_others_do_not_see_it(self) -> None:
        self.put(a=b"old")
        tr = self.begin()
        tr.set(self.key(b"a"), b"new")
        tr.set(self.key(b"b"), b"")
        assert self.do(tr.get(self.key(b"a"))) == b"new"
        assert self.do(tr.get(self.key(b"b"))) == b""
        assert self.value(b"a") == b"old"
        assert self.value(b"b") is None

    def test_the_last_write_to_a_key_wins(self) -> None:
        tr = self.begin()
        for value in (b"1", b"2", b"3"):
            tr.set(self.key(b"a"), value)
        tr.set(self.key(b"b"), b"1")
        tr.clear(self.key(b"b"))
        tr.clear(self.key(b"c"))
        tr.set(self.key(b"c"), b"3")
        expected = [(b"a", b"3"), (b"c", b"3")]
        assert self.rows(tr) == expected
        self.do(tr.commit())
        assert self.rows(self.begin()) == expected

    def test_several_writes_at_once_are_those_one_after_the_other(self) -> None:
        self.put(a=b"1", b=b"1", n=b"\x01", v=b"1")
        key = self.key
        stamp = MutationType.SET_VERSIONSTAMPED_VALUE
        writes: list[Write] = [
            (SET, key(b"a"), b"2"),
            (CLEAR, key(b"b"), b""),
            (MutationType.ADD, key(b"n"), b"\x02"),
            (MutationType.ADD, key(b"n"), b"\x03"),
            (SET, key(b"c"), b"gone"),
            (CLEAR, key(b"c"), b""),
            (SET, key(b"v"), b"2"),
            (SET, key(b"d"), b"3"),
            (MutationType.APPEND_IF_FITS, key(b"d"), b"4"),
        ]

        def nothing(tr: Transaction) -> None: ...

        def quiet(tr: Transaction) -> None:
            tr.set_option(TransactionOption.NEXT_WRITE_NO_WRITE_CONFLICT_RANGE)
            tr.set(key(b"a"), b"quiet")

        def next_is_quiet(tr: Transaction) -> None:
            tr.set_option(TransactionOption.NEXT_WRITE_NO_WRITE_CONFLICT_RANGE)

        before: dict[str, Callable[[Transaction], None]] = {
            "nothing": nothing,
            "quiet": quiet,
            "next is quiet": next_is_quiet,
            "a range": lambda tr: tr.clear_range(key(b"a"), key(b"o")),
            "stamped": lambda tr: tr.atomic(stamp, key(b"v"), bytes(14)),
            "watched": lambda tr: tr.watch(key(b"a")).cancel(),
        }
        for name, begin in before.items():
            found = []
            for together in (True, False):
                self.commit(lambda tr: tr.clear_range(self.prefix, self.behind))
                self.put(a=b"1", b=b"1", n=b"\x01", v=b"1")
                tr = self.begun()
                begin(tr)
                tr.write_many(writes) if together else write_each(tr, writes)
                # What a watch reads is counted when the client has read it, which may be later.
                size = 0 if name == "watched" else self.do(tr.approximate_size())
                self.do(tr.commit())
                left = {one: value for one, value in self.stored().items() if one != b"v"}
                found.append((size, left))
            assert found[0] == found[1]

    def test_what_was_written_before_one_of_several_that_is_refused_stays(self) -> None:
        tr = self.begin()
        writes: list[Write] = [(SET, self.key(b"a"), b"1"), (SET, b"\xff\xff", b""), (SET, self.key(b"b"), b"1")]
        with self.refusing(2004):
            tr.write_many(writes)
        assert self.rows(tr) == [(b"a", b"1")]

    def test_several_writes_conflict_each_with_who_read(self) -> None:
        def read(tr: Transaction) -> None:
            self.do(tr.get(self.key(b"a")))

        for write in ((SET, b"2"), (CLEAR, b""), (MutationType.ADD, b"\x01")):
            kind, value = write
            writes: list[Write] = [(SET, self.key(b"b"), b""), (kind, self.key(b"a"), value)]
            assert self.conflict(read, partial(_written, writes))

    def test_a_cleared_range_hides_what_was_before_and_not_what_comes_after(self) -> None:
        self.put_numbered(range(10))
        tr = self.begin()
        tr.set(self.key(3), b"gone")
        tr.clear_range(self.key(2), self.key(8))
        tr.set(self.key(5), b"stays")
        expected = [(b"%06d" % n, b"v%d" % n) for n in (0, 1)]
        expected += [(b"000005", b"stays")]
        expected += [(b"%06d" % n, b"v%d" % n) for n in (8, 9)]
        assert self.rows(tr) == expected
        assert self.rows(tr, reverse=True) == expected[::-1]
        assert self.do(tr.get(self.key(3))) is None
        self.do(tr.commit())
        assert self.rows(self.begin()) == expected

    def test_limits_count_own_writes_and_skip_own_clears(self) -> None:
        self.put_numbered(range(0, 40, 2))
        tr = self.begin()
        tr.clear_range(self.key(4), self.key(30))
        tr.set(self.key(1), b"own")
        tr.set(self.key(31), b"own")
        assert self.names(tr, limit=5) == [b"%06d" % n for n in (0, 1, 2, 30, 31)]
        assert self.names(tr, limit=6, reverse=True) == [b"%06d" % n for n in (38, 36, 34, 32, 31, 30)]

    def test_a_range_read_before_a_write_is_not_remembered_over_it(self) -> None:
        self.put_numbered(range(4))
        tr = self.begin()
        assert len(self.rows(tr)) == 4
        tr.clear(self.key(1))
        tr.set(self.key(2), b"own")
        tr.atomic(MutationType.APPEND_IF_FITS, self.key(3), b"+")
        assert self.rows(tr) == [(b"000000", b"v0"), (b"000002", b"own"), (b"000003", b"v3+")]

    def test_atomic_operations_show_their_result_over_what_is_stored(self) -> None:
        self.put(a=b"\x05\x00")
        tr = self.begin()
        for key in (b"a", b"b"):
            tr.atomic(MutationType.ADD, self.key(key), b"\x01\x00")
            tr.atomic(MutationType.ADD, self.key(key), b"\x02\x00")
        assert self.do(tr.get(self.key(b"a"))) == b"\x08\x00"
        assert self.rows(tr) == [(b"a", b"\x08\x00"), (b"b", b"\x03\x00")]

    def test_atomic_operations_work_on_own_sets_and_clears(self) -> None:
        self.put(a=b"\x05", b=b"\x05", c=b"\x05")
        tr = self.begin()
        tr.set(self.key(b"a"), b"\x10")
        tr.clear(self.key(b"b"))
        tr.clear_range(self.key(b"c"), self.key(b"d"))
        for key in (b"a", b"b", b"c"):
            tr.atomic(MutationType.ADD, self.key(key), b"\x01")
        expected = [(b"a", b"\x11"), (b"b", b"\x01"), (b"c", b"\x01")]
        assert self.rows(tr) == expected
        self.do(tr.commit())
        assert self.rows(self.begin()) == expected

    def test_compare_and_clear_hides_the_key_it_clears(self) -> None:
        self.put(a=b"1", b=b"2")
        tr = self.begin()
        tr.atomic(MutationType.COMPARE_AND_CLEAR, self.key(b"a"), b"1")
        tr.atomic(MutationType.COMPARE_AND_CLEAR, self.key(b"b"), b"1")
        tr.atomic(MutationType.COMPARE_AND_CLEAR, self.key(b"c"), b"")
        assert self.rows(tr) == [(b"b", b"2")]
        assert self.rows(tr, limit=1) == [(b"b", b"2")]
        assert self.rows(tr, limit=1, reverse=True) == [(b"b", b"2")]

    def test_snapshot_reads_see_own_writes_by_default(self) -> None:
        tr = self.begin()
        tr.set(self.key(b"a"), b"own")
        assert self.do(tr.get(self.key(b"a"), snapshot=True)) == b"own"
        assert self.rows(tr, snapshot=True) == [(b"a", b"own")]

    def test_snapshot_reads_without_own_writes_see_the_stored_state(self) -> None:
        self.put(a=b"1", b=b"2")
        tr = self.begin()
        tr.set_option(TransactionOption.SNAPSHOT_RYW_DISABLE)
        tr.set(self.key(b"a"), b"own")
        tr.clear(self.key(b"b"))
        tr.set(self.key(b"c"), b"own")
        assert self.do(tr.get(self.key(b"a"), snapshot=True)) == b"1"
        assert self.rows(tr, snapshot=True) == [(b"a", b"1"), (b"b", b"2")]
        assert self.rows(tr, snapshot=True, reverse=True, limit=1) == [(b"b", b"2")]
        assert self.rows(tr) == [(b"a", b"own"), (b"c", b"own")]

    def test_disabling_snapshot_reads_of_own_writes_twice_needs_enabling_twice(self) -> None:
        tr = self.begin()
        tr.set(self.key(b"a"), b"own")
        seen: list[bytes | None] = []
        for option in ("DISABLE", "DISABLE", "ENABLE", "ENABLE"):
            tr.set_option(TransactionOption[f"SNAPSHOT_RYW_{option}"])
            seen.append(self.do(tr.get(self.key(b"a"), snapshot=True)))
        assert seen == [None, None, None, b"own"]

    def test_a_database_can_disable_snapshot_reads_of_own_writes(self) -> None:
        self.engine.set_option(DatabaseOption.SNAPSHOT_RYW_DISABLE)
        try:
            tr = self.begin()
            tr.set(self.key(b"a"), b"own")
            assert self.do(tr.get(self.key(b"a"), snapshot=True)) is None
            assert self.do(tr.get(self.key(b"a"))) == b"own"
        finally:
            self.engine.set_option(DatabaseOption.SNAPSHOT_RYW_ENABLE)
        tr = self.begin()
        tr.set(self.key(b"a"), b"own")
        assert self.do(tr.get(self.key(b"a"), snapshot=True)) == b"own"

    def test_without_read_your_writes_reads_see_the_stored_state(self) -> None:
        self.put(a=b"1", b=b"2")
        tr = self.begin()
        tr.set_option(TransactionOption.READ_YOUR_WRITES_DISABLE)
        tr.set(self.key(b"a"), b"own")
        tr.clear(self.key(b"b"))
        tr.atomic(MutationType.APPEND_IF_FITS, self.key(b"c"), b"own")
        assert self.do(tr.get(self.key(b"a"))) == b"1"
        assert self.rows(tr) == [(b"a", b"1"), (b"b", b"2")]
        assert self.rows(tr, reverse=True) == [(b"b", b"2"), (b"a", b"1")]
        self.do(tr.commit())
        assert self.rows(self.begin()) == [(b"a", b"own"), (b"c", b"own")]

    def test_without_read_your_writes_writes_are_applied_in_order(self) -> None:
        self.put_numbered(range(4))
        tr = self.begin()
        tr.set_option(TransactionOption.READ_YOUR_WRITES_DISABLE)
        tr.set(self.key(1), b"first")
        tr.clear_range(self.key(0), self.key(3))
        tr.set(self.key(2), b"last")
        tr.atomic(MutationType.APPEND_IF_FITS, self.key(2), b"!")
        tr.set(self.key(3), b"x")
        tr.clear(self.key(3))
        self.do(tr.commit())
        assert self.rows(self.begin()) == [(b"000002", b"last!")]

    def test_read_your_writes_cannot_be_disabled_after_a_read_or_a_write(self) -> None:
        read, written = self.begin(), self.begin()
        self.do(read.get(self.key(b"a")))
        written.set(self.key(b"a"), b"1")
        for tr in (read, written):
            with self.refusing(2000):
                tr.set_option(TransactionOption.READ_YOUR_WRITES_DISABLE)

    def test_own_writes_are_gone_after_a_reset(self) -> None:
        self.put(a=b"stored")
        tr = self.begin()
        tr.set(self.key(b"a"), b"own")
        tr.clear_range(self.prefix, self.behind)
        tr.reset()
        assert self.rows(tr) == [(b"a", b"stored")]
        self.do(tr.commit())
        assert self.value(b"a") == b"stored"

    def test_many_own_writes_among_many_stored_keys_are_merged_in_order(self) -> None:
        self.put_numbered(range(0, 600, 2))
        tr = self.begin()
        expected = {n: b"v%d" % n for n in range(0, 600, 2)}
        for n in range(0, 600, 5):
            tr.set(self.key(n), b"own")
            expected[n] = b"own"
        for n in range(0, 600, 7):
            tr.clear(self.key(n))
            expected.pop(n, None)
        rows = [(b"%06d" % n, expected[n]) for n in sorted(expected)]
        assert self.rows(tr) == rows
        assert self.rows(tr, reverse=True) == rows[::-1]
        assert (
            self.rows(tr, self.key(123), self.key(456), limit=77)
            == [row for row in rows if b"000123" <= row[0] < b"000456"][:77]
        )
