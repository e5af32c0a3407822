"""After an error: what is tried again, how often, how long after, and how it all ends."""

from __future__ import annotations

import time

import pytest

from recordlayer.errors import Conflict, TransactionError, transaction_error
from recordlayer.kv.engine import DatabaseOption, Engine, TransactionOption
from recordlayer.testing.clock import ManualClock
from recordlayer.testing.engine_suite.harness import Harness, needs

RETRIED = (1007, 1009, 1020, 1021, 1037, 1038, 1042, 1051, 1078, 1213, 1223)
FINAL = (1000, 1025, 1031, 1032, 1034, 1036, 1101, 1510, 2000, 2004, 2005, 2006, 2010, 2017, 2021, 2101, 2102, 2103)


class Retries(Harness):
    @pytest.mark.parametrize("number", RETRIED)
    def test_a_retried_error_gives_a_fresh_transaction(self, number: int) -> None:
        self.put(a=b"1")
        tr = self.begun()
        tr.set(self.key(b"a"), b"own")
        self.put(b=b"2")
        error = transaction_error(number)
        assert error.retryable
        self.do(tr.on_error(error))
        assert self.rows(tr) == [(b"a", b"1"), (b"b", b"2")]
        tr.set(self.key(b"c"), b"3")
        self.do(tr.commit())
        assert self.value(b"c") == b"3"

    @pytest.mark.parametrize("number", FINAL)
    def test_any_other_error_comes_back_and_the_transaction_stays_failed(self, number: int) -> None:
        tr = self.begin()
        error = transaction_error(number)
        assert not error.retryable
        assert self.refused(number, tr.on_error(error)) is error
        self.refused(1025, tr.get(self.key(b"a")))
        self.refused(1025, tr.commit())
        self.refused(1025, tr.on_error(transaction_error(1020)))
        tr.reset()
        tr.set(self.key(b"a"), b"1")
        self.do(tr.commit())

    def test_an_error_that_is_not_the_engines_comes_back(self) -> None:
        error = ValueError("of the caller")
        with pytest.raises(ValueError, match="of the caller") as caught:
            self.do(self.begin().on_error(error))
        assert caught.value is error

    def test_only_an_unknown_outcome_may_have_been_committed(self) -> None:
        assert [number for number in RETRIED if transaction_error(number).maybe_committed] == [1021]

    def test_a_conflict_is_won_by_trying_again(self) -> None:
        self.put(n=b"0")
        tr, attempts = self.begin(), 0
        while True:
            attempts += 1
            value = self.do(tr.get(self.key(b"n"))) or b""
            if attempts == 1:
                self.put(n=b"5")
            tr.set(self.key(b"n"), b"%d" % (int(value) + 1))
            try:
                self.do(tr.commit())
                break
            except TransactionError as error:
                self.do(tr.on_error(error))
        assert (attempts, self.value(b"n")) == (2, b"6")

    def test_the_retry_limit_gives_the_error_back(self) -> None:
        tr = self.begin()
        tr.set_option(TransactionOption.RETRY_LIMIT, 2)
        self.do(tr.on_error(transaction_error(1020)))
        self.do(tr.on_error(transaction_error(1007)))
        error = transaction_error(1020)
        assert self.refused(1020, tr.on_error(error)) is error
        self.refused(1025, tr.get(self.key(b"a")))

    def test_the_retry_limit_and_its_count_end_with_a_reset(self) -> None:
        tr = self.begin()
        tr.set_option(TransactionOption.RETRY_LIMIT, 0)
        self.refused(1020, tr.on_error(transaction_error(1020)))
        tr.reset()
        for _ in range(3):
            self.do(tr.on_error(transaction_error(1007)))

    def test_a_retry_limit_of_minus_one_is_none(self) -> None:
        tr = self.begin()
        tr.set_option(TransactionOption.RETRY_LIMIT, 1)
        tr.set_option(TransactionOption.RETRY_LIMIT, -1)
        for _ in range(4):
            self.do(tr.on_error(transaction_error(1007)))

    def test_a_database_can_limit_retries_of_all(self, another_engine: Engine) -> None:
        another_engine.set_option(DatabaseOption.TRANSACTION_RETRY_LIMIT, 1)
        tr = another_engine.begin()
        self.do(tr.on_error(transaction_error(1020)))
        self.refused(1020, tr.on_error(transaction_error(1020)))
        tr.close()

    def test_the_longest_delay_can_be_limited(self) -> None:
        tr = self.begin()
        tr.set_option(TransactionOption.MAX_RETRY_DELAY, 0)
        began = time.monotonic()
        for _ in range(15):
            self.do(tr.on_error(Conflict()))
        # Without the option these fifteen wait over four seconds together, on average.
        assert time.monotonic() - began < 2

    @needs("world")
    def test_the_delay_doubles_up_to_its_limit(self, clocked_engine: Engine, clock: ManualClock) -> None:
        tr = clocked_engine.begin()
        tr.set_option(TransactionOption.MAX_RETRY_DELAY, 80)
        for delay in (0.01, 0.02, 0.04, 0.08, 0.08, 0.08):
            waiting = tr.on_error(Conflict())
            clock.advance(delay * 0.9)
            assert not waiting.ready()
            clock.advance(delay * 0.2)
            assert waiting.ready()
            self.do(waiting)
        tr.close()

    # -- time

    def test_a_transaction_past_its_timeout_fails_whatever_is_asked(self) -> None:
        tr = self.begin()
        tr.set(self.key(b"a"), b"1")
        tr.set_option(TransactionOption.TIMEOUT, 30)
        self.sleep(0.2)
        self.refused(1031, tr.get(self.key(b"a")))
        self.refused(1031, tr.get_range(self.prefix, self.behind))
        self.refused(1031, tr.read_version())
        self.refused(1031, tr.commit())
        self.refused(1031, tr.on_error(transaction_error(1020)))
        assert self.stored() == {}

    def test_a_reset_begins_a_new_time_without_a_limit(self) -> None:
        tr = self.begin()
        tr.set_option(TransactionOption.TIMEOUT, 30)
        self.sleep(0.1)
        self.refused(1031, tr.get(self.key(b"a")))
        tr.reset()
        assert self.do(tr.get(self.key(b"a"))) is None
        self.sleep(0.1)
        assert self.do(tr.get(self.key(b"a"))) is None

    def test_the_timeout_runs_on_over_retries(self) -> None:
        tr = self.begin()
        tr.set_option(TransactionOption.TIMEOUT, 300)
        began = time.monotonic()
        with self.refusing(1031):
            while time.monotonic() - began < 20:
                self.do(tr.on_error(transaction_error(1007)))

    def test_a_timeout_counts_from_the_beginning_of_the_transaction(self) -> None:
        tr = self.begin()
        self.sleep(0.2)
        tr.set_option(TransactionOption.TIMEOUT, 100)
        self.sleep(0.02)
        self.refused(1031, tr.get(self.key(b"a")))

    def test_a_timeout_can_be_raised_and_lifted(self) -> None:
        tr = self.begin()
        tr.set_option(TransactionOption.TIMEOUT, 100)
        tr.set_option(TransactionOption.TIMEOUT, 0)
        self.sleep(0.2)
        assert self.do(tr.get(self.key(b"a"))) is None
        tr.set_option(TransactionOption.TIMEOUT, 60_000)
        assert self.do(tr.get(self.key(b"a"))) is None

    def test_a_database_can_limit_the_time_of_all(self, another_engine: Engine) -> None:
        another_engine.set_option(DatabaseOption.TRANSACTION_TIMEOUT, 50)
        tr = another_engine.begin()
        self.sleep(0.2)
        self.refused(1031, tr.get(self.key(b"a")))
        tr.reset()
        self.sleep(0.2)
        self.refused(1031, tr.get(self.key(b"a")))
        tr.close()

    @needs("world")
    def test_timeouts_are_those_of_the_world(self, clocked_engine: Engine, clock: ManualClock) -> None:
        tr = clocked_engine.begin()
        tr.set_option(TransactionOption.TIMEOUT, 2000)
        clock.advance(1.9)
        assert self.do(tr.get(self.key(b"a"))) is None
        clock.advance(0.2)
        self.refused(1031, tr.get(self.key(b"a")))
