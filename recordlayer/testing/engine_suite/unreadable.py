"""What a transaction cannot read before its commit: keys and values that wait for their versionstamp."""

from __future__ import annotations

from collections.abc import Callable

from recordlayer.kv.engine import DatabaseOption, Engine, KeySelector, MutationType, Transaction, TransactionOption
from recordlayer.testing.engine_suite.harness import Harness
from recordlayer.testing.engine_suite.versionstamps import PLACEHOLDER, STAMPED_KEY, STAMPED_VALUE, with_offset
from recordlayer.waiting.waitable import Waitable


class Unreadables(Harness):
    def stamped_value(self) -> Transaction:
        """A transaction that stamped the value of `m`, between `a` and `z`, which are stored."""
        self.put(a=b"1", m=b"stored", z=b"2")
        tr = self.begin()
        tr.atomic(STAMPED_VALUE, self.key(b"m"), with_offset(b"stamp:"))
        return tr

    def stamped_key(self) -> Transaction:
        """A transaction that stamped a key below `k/`, between `a` and `z`, which are stored."""
        self.put(a=b"1", z=b"2")
        tr = self.begin()
        tr.atomic(STAMPED_KEY, with_offset(self.key(b"k/")), b"entry")
        return tr

    def test_a_stamped_value_cannot_be_read(self) -> None:
        tr = self.stamped_value()
        self.refused(1036, tr.get(self.key(b"m")))
        self.refused(1036, tr.get(self.key(b"m"), snapshot=True))
        self.refused(1036, tr.get_range(self.prefix, self.behind))
        self.refused(1036, tr.get_range(self.prefix, self.behind, reverse=True))
        self.refused(1036, tr.get_key(KeySelector.first_greater_than(self.key(b"a"))))

    def test_keys_beside_a_stamped_value_can_be_read(self) -> None:
        tr = self.stamped_value()
        assert self.do(tr.get(self.key(b"a"))) == b"1"
        assert self.do(tr.get(self.key(b"m\0"))) is None
        assert self.rows(tr, self.prefix, self.key(b"m")) == [(b"a", b"1")]
        assert self.rows(tr, self.key(b"m\0"), self.behind) == [(b"z", b"2")]
        assert self.rows(tr, limit=1) == [(b"a", b"1")]
        assert self.rows(tr, limit=1, reverse=True) == [(b"z", b"2")]

    def test_an_unreadable_key_stays_so_after_a_set_and_not_after_a_clear(self) -> None:
        tr = self.stamped_value()
        tr.set(self.key(b"m"), b"plain")
        self.refused(1036, tr.get(self.key(b"m")))
        tr.atomic(MutationType.APPEND_IF_FITS, self.key(b"m"), b"!")
        self.refused(1036, tr.get(self.key(b"m")))
        tr.clear(self.key(b"m"))
        assert self.do(tr.get(self.key(b"m"))) is None
        tr.set(self.key(b"m"), b"again")
        assert self.do(tr.get(self.key(b"m"))) == b"again"

    def test_a_clear_after_a_stamped_value_wins(self) -> None:
        tr = self.stamped_value()
        tr.clear(self.key(b"m"))
        tr.set(self.key(b"m"), b"again")
        self.do(tr.commit())
        assert self.value(b"m") == b"again"

    def test_a_transaction_that_read_the_unreadable_cannot_be_committed(self) -> None:
        reads: tuple[Callable[[Transaction], Waitable[object]], ...] = (
            lambda tr: tr.get(self.key(b"m")),
            lambda tr: tr.get(self.key(b"m"), snapshot=True),
            lambda tr: tr.get_range(self.prefix, self.behind),
        )
        for read in reads:
            tr = self.stamped_value()
            self.refused(1036, read(tr))
            tr.clear(self.key(b"m"))
            assert self.do(tr.get(self.key(b"m"))) is None
            self.refused(1036, tr.commit())
            assert self.value(b"m") == b"stored"

    def test_a_cleared_range_makes_a_stamped_value_readable_and_gone(self) -> None:
        tr = self.stamped_value()
        tr.clear_range(self.key(b"b"), self.key(b"y"))
        assert self.rows(tr) == [(b"a", b"1"), (b"z", b"2")]
        self.do(tr.commit())
        assert self.rows(self.begin()) == [(b"a", b"1"), (b"z", b"2")]

    def test_a_set_before_the_stamped_value_does_not_make_it_readable(self) -> None:
        tr = self.begin()
        tr.set(self.key(b"m"), b"plain")
        assert self.do(tr.get(self.key(b"m"))) == b"plain"
        tr.atomic(STAMPED_VALUE, self.key(b"m"), with_offset(b""))
        self.refused(1036, tr.get(self.key(b"m")))

    def test_keys_that_a_stamped_key_may_become_cannot_be_read(self) -> None:
        tr = self.stamped_key()
        self.refused(1036, tr.get(self.key(b"k/" + PLACEHOLDER)))
        self.refused(1036, tr.get(self.key(b"k/" + b"\xf0" + bytes(9))))
        self.refused(1036, tr.get_range(self.prefix, self.behind))
        self.refused(1036, tr.get_range(self.prefix, self.behind, reverse=True))
        self.refused(1036, tr.get_key(KeySelector.last_less_than(self.key(b"z"))))

    def test_keys_beside_those_a_stamped_key_may_become_can_be_read(self) -> None:
        tr = self.stamped_key()
        assert self.do(tr.get(self.key(b"k.") + PLACEHOLDER)) is None
        assert self.do(tr.get(self.key(b"k/" + PLACEHOLDER + b"\0"))) is None
        assert self.rows(tr, self.prefix, self.key(b"k/")) == [(b"a", b"1")]
        assert self.rows(tr, self.key(b"k0"), self.behind) == [(b"z", b"2")]
        assert self.rows(tr, limit=1) == [(b"a", b"1")]

    def test_stamps_that_are_past_can_be_read(self) -> None:
        tr = self.begin()
        version = self.do(tr.read_version())
        tr.atomic(STAMPED_KEY, with_offset(self.key(b"k/")), b"entry")
        assert self.do(tr.get(self.key(b"k/" + (version - 1).to_bytes(8, "big") + b"\xff\xff"))) is None
        self.refused(1036, tr.get(self.key(b"k/" + (version + 1).to_bytes(8, "big") + b"\0\0")))

    def test_the_range_of_a_stamped_key_can_be_cleared(self) -> None:
        tr = self.stamped_key()
        tr.clear_range(self.key(b"k/"), self.key(b"k0"))
        assert self.rows(tr) == [(b"a", b"1"), (b"z", b"2")]
        self.do(tr.commit())
        assert self.rows(self.begin()) == [(b"a", b"1"), (b"z", b"2")]

    def test_sets_below_a_stamped_key_become_unreadable_and_are_kept(self) -> None:
        own = b"k/" + b"\xf0" + bytes(9)

        def begun() -> Transaction:
            tr = self.begin()
            tr.set(self.key(own), b"before")
            tr.atomic(STAMPED_KEY, with_offset(self.key(b"k/")), b"entry")
            return tr

        self.refused(1036, begun().get(self.key(own)))
        tr = begun()
        stamp = tr.versionstamp()
        self.do(tr.commit())
        assert self.stored() == {own: b"before", b"k/" + self.do(stamp): b"entry"}

    def test_bypass_shows_stamped_values_as_they_were_handed_in(self) -> None:
        self.put(a=b"1", m=b"stored")
        tr = self.begin()
        tr.set_option(TransactionOption.BYPASS_UNREADABLE)
        tr.atomic(STAMPED_VALUE, self.key(b"m"), with_offset(b"stamp:"))
        assert self.do(tr.get(self.key(b"m"))) == with_offset(b"stamp:")
        assert self.do(tr.get(self.key(b"m"), snapshot=True)) == with_offset(b"stamp:")
        self.do(tr.commit())
        assert (self.value(b"m") or b"").startswith(b"stamp:")

    def test_bypass_is_for_single_keys(self) -> None:
        tr = self.begin()
        tr.set_option(TransactionOption.BYPASS_UNREADABLE)
        tr.atomic(STAMPED_VALUE, self.key(b"m"), with_offset(b"stamp:"))
        self.refused(1036, tr.get_range(self.prefix, self.behind))

    def test_bypass_does_not_show_what_atomic_operations_make_of_a_stamp(self) -> None:
        tr = self.begin()
        tr.set_option(TransactionOption.BYPASS_UNREADABLE)
        tr.atomic(STAMPED_VALUE, self.key(b"m"), with_offset(b""))
        tr.set(self.key(b"m"), b"plain")
        tr.atomic(MutationType.APPEND_IF_FITS, self.key(b"m"), b"!")
        assert self.do(tr.get(self.key(b"m"))) == b"plain!"
        tr.atomic(STAMPED_VALUE, self.key(b"m"), with_offset(b""))
        tr.atomic(MutationType.APPEND_IF_FITS, self.key(b"m"), b"!")
        self.refused(1000, tr.get(self.key(b"m")))

    def test_a_database_can_bypass_unreadable_for_all(self, another_engine: Engine) -> None:
        another_engine.set_option(DatabaseOption.TRANSACTION_BYPASS_UNREADABLE)
        tr = another_engine.begin()
        tr.atomic(STAMPED_VALUE, self.key(b"m"), with_offset(b""))
        assert self.do(tr.get(self.key(b"m"))) == with_offset(b"")
        tr.close()

    def test_after_the_commit_everything_can_be_read(self) -> None:
        tr = self.stamped_value()
        self.do(tr.commit())
        assert (self.value(b"m") or b"").startswith(b"stamp:")
        tr.reset()
        assert len(self.rows(tr)) == 3
