"""Which transactions conflict: explicit ranges, and the plain cases of reads and writes."""

from __future__ import annotations

from recordlayer.kv.engine import ConflictKind, MutationType, Transaction, TransactionOption
from recordlayer.testing.engine_suite.harness import Harness, each, setting, together

READ, WRITE = ConflictKind.READ, ConflictKind.WRITE


def silently(tr: Transaction) -> None:
    tr.set_option(TransactionOption.NEXT_WRITE_NO_WRITE_CONFLICT_RANGE)


class Conflicts(Harness):
    def test_a_read_conflicts_with_a_later_write_of_the_key(self) -> None:
        key = self.key(b"a")
        assert self.conflict(lambda tr: self.do(tr.get(key)), setting(key))
        assert not self.conflict(lambda tr: self.do(tr.get(key)), setting(self.key(b"b")))

    def test_a_failed_commit_leaves_nothing(self) -> None:
        reader = self.begin()
        self.do(reader.get(self.key(b"a")))
        self.put(a=b"other")
        reader.set(self.key(b"a"), b"mine")
        reader.set(self.key(b"b"), b"mine")
        self.refused(1020, reader.commit())
        assert self.stored() == {b"a": b"other"}

    def test_a_write_before_the_read_version_is_no_conflict(self) -> None:
        self.put(a=b"1")
        assert not self.conflict(lambda tr: self.do(tr.get(self.key(b"a"))), lambda tr: None)

    def test_blind_writes_never_conflict(self) -> None:
        first, second = self.begun(), self.begun()
        for tr, value in ((first, b"1"), (second, b"2")):
            tr.set(self.key(b"a"), value)
            tr.clear_range(self.key(b"b"), self.key(b"d"))
            tr.atomic(MutationType.ADD, self.key(b"n"), b"\x01")
        self.do(first.commit())
        self.do(second.commit())
        assert self.stored() == {b"a": b"2", b"n": b"\x02"}

    def test_a_transaction_without_writes_never_conflicts(self) -> None:
        self.put(a=b"1")
        reader = self.begin()
        assert self.do(reader.get(self.key(b"a"))) == b"1"
        self.put(a=b"2")
        self.do(reader.commit())

    def test_snapshot_reads_never_conflict(self) -> None:
        self.put(a=b"1")
        read_all = together(
            lambda tr: self.do(tr.get(self.key(b"a"), snapshot=True)),
            lambda tr: self.rows(tr, snapshot=True),
            lambda tr: self.rows(tr, snapshot=True, reverse=True),
        )
        assert not self.conflict(read_all, setting(self.key(b"a")))

    def test_snapshot_and_plain_reads_of_a_key_conflict_as_the_plain_one(self) -> None:
        key = self.key(b"a")
        both = together(lambda tr: self.do(tr.get(key, snapshot=True)), lambda tr: self.do(tr.get(key)))
        assert self.conflict(both, setting(key))

    def test_a_read_conflicts_with_a_clear_of_the_key(self) -> None:
        self.put(a=b"1")
        key = self.key(b"a")
        assert self.conflict(lambda tr: self.do(tr.get(key)), lambda tr: tr.clear(key))

    def test_a_read_conflicts_with_a_cleared_range_over_a_key_that_is_not_there(self) -> None:
        absent = self.key(b"m")
        clear = lambda tr: tr.clear_range(self.key(b"a"), self.key(b"z"))  # noqa: E731
        assert self.conflict(lambda tr: self.do(tr.get(absent)), clear)
        assert not self.conflict(lambda tr: self.do(tr.get(self.key(b"z"))), clear)

    def test_a_read_conflicts_with_an_atomic_operation_on_the_key(self) -> None:
        key = self.key(b"a")
        assert self.conflict(lambda tr: self.do(tr.get(key)), lambda tr: tr.atomic(MutationType.BIT_OR, key, b"\x01"))

    def test_a_write_that_changes_nothing_conflicts_all_the_same(self) -> None:
        self.put(a=b"1")
        assert self.conflict(lambda tr: self.do(tr.get(self.key(b"a"))), setting(self.key(b"a"), b"1"))

    def test_an_explicit_read_conflict_range_is_a_read(self) -> None:
        read = lambda tr: tr.add_conflict_range(READ, self.key(b"b"), self.key(b"d"))  # noqa: E731
        outcomes = {name: self.conflict(read, setting(self.key(name))) for name in (b"a", b"b", b"c", b"d")}
        assert outcomes == {b"a": False, b"b": True, b"c": True, b"d": False}

    @each("cleared", {"nothing cleared": False, "a range cleared": True})
    def test_explicit_read_conflict_keys_are_read_but_for_those_that_were_written(self, cleared: bool) -> None:
        def read(tr: Transaction) -> None:
            tr.set(self.key(b"d"), b"own")
            if cleared:
                tr.clear_range(self.key(b"x"), self.key(b"z"))
            tr.add_read_conflict_keys([self.key(b"b"), self.key(b"c")])
            tr.add_read_conflict_keys([self.key(b"d"), self.key(b"x")])

        outcomes = {name: self.conflict(read, setting(self.key(name))) for name in (b"a", b"b", b"c", b"d", b"x")}
        assert outcomes == {b"a": False, b"b": True, b"c": True, b"d": False, b"x": not cleared}

    def test_an_explicit_write_conflict_range_is_a_write_and_writes_nothing(self) -> None:
        self.put(b=b"stored")
        write = lambda tr: tr.add_conflict_range(WRITE, self.key(b"b"), self.key(b"d"))  # noqa: E731
        outcomes = {
            name: self.conflict(lambda tr, name=name: self.do(tr.get(self.key(name))), write)  # type: ignore[misc]
            for name in (b"a", b"b", b"c", b"d")
        }
        assert outcomes == {b"a": False, b"b": True, b"c": True, b"d": False}
        assert self.value(b"b") == b"stored"

    def test_a_transaction_of_conflict_ranges_only_commits_at_a_version(self) -> None:
        tr = self.begin()
        tr.add_conflict_range(WRITE, self.key(b"a"), self.key(b"b"))
        stamp = tr.versionstamp()
        self.do(tr.commit())
        assert tr.committed_version() > 0
        assert len(self.do(stamp)) == 10

    def test_a_read_conflict_range_alone_makes_no_commit(self) -> None:
        tr = self.begun()
        tr.add_conflict_range(READ, self.key(b"a"), self.key(b"b"))
        self.put(a=b"1")
        self.do(tr.commit())
        assert tr.committed_version() == -1

    @each("kind", {"read": READ, "write": WRITE})
    def test_conflict_ranges_are_checked_when_they_are_added(self, kind: ConflictKind) -> None:
        with self.refusing(2005):
            self.begin().add_conflict_range(kind, self.key(b"b"), self.key(b"a"))
        with self.refusing(2004):
            self.begin().add_conflict_range(kind, b"a", b"\xff\x00")
        with self.refusing(2004):
            self.begin().add_read_conflict_keys([self.key(b"a"), b"\xff\x00"])
        tr = self.begin()
        tr.add_conflict_range(kind, self.key(b"a"), self.key(b"a"))
        tr.add_conflict_range(kind, b"\xff", b"\xff")
        self.do(tr.commit())
        assert tr.committed_version() == -1

    @each(
        "write",
        {
            "set": lambda tr, key: tr.set(key, b"x"),
            "clear": lambda tr, key: tr.clear(key),
            "clear_range": lambda tr, key: tr.clear_range(key, key + b"\xff"),
            "atomic": lambda tr, key: tr.atomic(MutationType.ADD, key, b"\x01"),
        },
    )
    def test_the_next_write_can_be_silent_and_only_the_next(self, write: object) -> None:
        assert callable(write)
        first, second = self.key(b"first"), self.key(b"second")
        work = together(silently, lambda tr: write(tr, first), lambda tr: write(tr, second))
        assert not self.conflict(lambda tr: self.do(tr.get(first)), work)
        assert self.conflict(lambda tr: self.do(tr.get(second)), work)

    def test_a_silent_write_is_a_write_all_the_same(self) -> None:
        self.commit(together(silently, setting(self.key(b"a"), b"1")))
        assert self.value(b"a") == b"1"

    def test_a_key_written_silently_and_openly_conflicts(self) -> None:
        key = self.key(b"a")
        for work in (
            together(silently, setting(key), setting(key)),
            together(setting(key), silently, setting(key)),
            together(setting(key), silently, lambda tr: tr.clear(key)),
            together(setting(key), silently, lambda tr: tr.clear_range(key, key + b"\xff")),
        ):
            assert self.conflict(lambda tr: self.do(tr.get(key)), work)

    def test_a_silent_write_to_a_silent_one_stays_silent(self) -> None:
        key = self.key(b"a")
        work = together(silently, setting(key), silently, lambda tr: tr.atomic(MutationType.ADD, key, b"\x01"))
        assert not self.conflict(lambda tr: self.do(tr.get(key)), work)

    def test_conflicting_ranges_are_reported_when_asked_for(self) -> None:
        tr = self.begin()
        tr.set_option(TransactionOption.REPORT_CONFLICTING_KEYS)
        self.do(tr.get(self.key(b"a")))
        self.do(tr.get(self.key(b"m")))
        tr.add_conflict_range(READ, self.key(b"x"), self.key(b"z"))
        self.put(m=b"1", y=b"2")
        tr.set(self.key(b"own"), b"")
        self.refused(1020, tr.commit())
        reported = self.do(tr.conflicting_ranges())
        assert reported == [(self.key(b"m"), self.key(b"m\0")), (self.key(b"x"), self.key(b"z"))]

    def test_no_conflicting_ranges_are_reported_unasked_or_without_a_conflict(self) -> None:
        unasked = self.begin()
        self.do(unasked.get(self.key(b"a")))
        self.put(a=b"1")
        unasked.set(self.key(b"b"), b"")
        self.refused(1020, unasked.commit())
        assert self.do(unasked.conflicting_ranges()) == []
        asked = self.begin()
        asked.set_option(TransactionOption.REPORT_CONFLICTING_KEYS)
        self.do(asked.get(self.key(b"a")))
        asked.set(self.key(b"b"), b"")
        self.do(asked.commit())
        assert self.do(asked.conflicting_ranges()) == []

    def test_a_report_of_conflicting_ranges_ends_with_a_reset(self) -> None:
        tr = self.begin()
        tr.set_option(TransactionOption.REPORT_CONFLICTING_KEYS)
        for asked in (True, False):
            self.do(tr.get(self.key(b"a")))
            self.put(a=b"1")
            tr.set(self.key(b"b"), b"")
            error = self.refused(1020, tr.commit())
            assert bool(self.do(tr.conflicting_ranges())) == asked
            self.do(tr.on_error(error))
            assert self.do(tr.conflicting_ranges()) == []
