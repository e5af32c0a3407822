"""What serializable transactions rule out, and what snapshot reads let through."""

from __future__ import annotations

from recordlayer.errors import TransactionError
from recordlayer.kv.engine import Transaction
from recordlayer.testing.engine_suite.harness import Harness, setting


class Anomalies(Harness):
    def number(self, tr: Transaction, name: bytes, *, snapshot: bool = False) -> int:
        return int(self.do(tr.get(self.key(name), snapshot=snapshot)) or b"0")

    def test_no_update_is_lost(self) -> None:
        first, second = self.begin(), self.begin()
        for tr in (first, second):
            tr.set(self.key(b"n"), b"%d" % (self.number(tr, b"n") + 1))
        self.do(first.commit())
        self.refused(1020, second.commit())
        assert self.value(b"n") == b"1"

    def test_snapshot_reads_let_updates_be_lost(self) -> None:
        first, second = self.begun(), self.begun()
        for tr in (first, second):
            tr.set(self.key(b"n"), b"%d" % (self.number(tr, b"n", snapshot=True) + 1))
        self.do(first.commit())
        self.do(second.commit())
        assert self.value(b"n") == b"1"

    def test_no_write_skew(self) -> None:
        self.put(a=b"1", b=b"1")
        first, second = self.begin(), self.begin()
        for tr, mine in ((first, b"a"), (second, b"b")):
            assert self.number(tr, b"a") + self.number(tr, b"b") == 2
            tr.set(self.key(mine), b"0")
        self.do(first.commit())
        self.refused(1020, second.commit())

    def test_no_phantoms(self) -> None:
        self.put({b"row/1": b"", b"row/3": b""})
        counting = self.begin()
        counted = len(self.rows(counting, self.key(b"row/"), self.key(b"row0")))
        self.put({b"row/2": b""})
        counting.set(self.key(b"count"), b"%d" % counted)
        self.refused(1020, counting.commit())

    def test_no_phantoms_among_keys_that_go(self) -> None:
        self.put({b"row/1": b"", b"row/3": b""})
        counting = self.begin()
        counted = len(self.rows(counting, self.key(b"row/"), self.key(b"row0"), reverse=True))
        self.commit(lambda tr: tr.clear_range(self.key(b"row/2"), self.key(b"row/4")))
        counting.set(self.key(b"count"), b"%d" % counted)
        self.refused(1020, counting.commit())

    def test_no_dirty_reads(self) -> None:
        self.put(a=b"1")
        writer = self.begin()
        writer.set(self.key(b"a"), b"2")
        assert self.value(b"a") == b"1"
        writer.cancel()
        assert self.value(b"a") == b"1"

    def test_no_read_changes_when_repeated(self) -> None:
        self.put(a=b"1")
        reader = self.begin()
        reads = []
        for value in (b"2", b"3", b"4"):
            reads.append(self.do(reader.get(self.key(b"a"))))
            self.put(a=value)
            self.put(filler=value * 100)
        assert reads == [b"1"] * 3

    def test_what_is_read_together_was_true_together(self) -> None:
        self.put(a=b"50", b=b"50")
        for amount in range(1, 10):
            reader = self.begin()
            a = self.number(reader, b"a")

            def move(tr: Transaction, amount: int = amount) -> None:
                tr.set(self.key(b"a"), b"%d" % (50 - amount))
                tr.set(self.key(b"b"), b"%d" % (50 + amount))

            self.commit(move)
            assert a + self.number(reader, b"b") == 100

    def test_a_cycle_of_three_is_broken(self) -> None:
        self.put(a=b"0", b=b"0", c=b"0")
        transactions = [self.begin() for _ in range(3)]
        names = [b"a", b"b", b"c"]
        for at, tr in enumerate(transactions):
            self.number(tr, names[at])
            tr.set(self.key(names[(at + 1) % 3]), b"1")
        outcomes = []
        for tr in transactions:
            try:
                self.do(tr.commit())
                outcomes.append(0)
            except TransactionError as error:
                outcomes.append(error.number)
        assert outcomes == [0, 1020, 0] or outcomes.count(1020) >= 1

    def test_the_order_of_commits_decides_not_that_of_reads(self) -> None:
        self.put(a=b"0")
        early, late = self.begin(), self.begin()
        self.number(early, b"a")
        self.number(late, b"a")
        late.set(self.key(b"a"), b"late")
        self.do(late.commit())
        early.set(self.key(b"b"), b"early")
        self.refused(1020, early.commit())

    def test_reading_what_nobody_writes_lets_everybody_commit(self) -> None:
        self.put(config=b"x")
        transactions = [self.begin() for _ in range(10)]
        for number, tr in enumerate(transactions):
            self.do(tr.get(self.key(b"config")))
            tr.set(self.key(number), b"")
        for tr in transactions:
            self.do(tr.commit())

    def test_a_chain_of_transactions_conflicts_only_with_its_own_reads(self) -> None:
        older = self.begin()
        assert self.do(older.get(self.key(b"quiet"))) is None
        for number in range(20):
            self.commit(setting(self.key(b"busy"), b"%d" % number))
        older.set(self.key(b"own"), b"")
        self.do(older.commit())
