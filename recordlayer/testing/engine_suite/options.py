"""Options: which exist, what they take, how long they last."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from recordlayer.kv.engine import DatabaseOption, Engine, TransactionOption
from recordlayer.testing.engine_suite.harness import Harness

T, D = TransactionOption, DatabaseOption

WITHOUT_VALUE = (
    T.CAUSAL_WRITE_RISKY,
    T.CAUSAL_READ_RISKY,
    T.NEXT_WRITE_NO_WRITE_CONFLICT_RANGE,
    T.READ_YOUR_WRITES_DISABLE,
    T.READ_SERVER_SIDE_CACHE_ENABLE,
    T.READ_SERVER_SIDE_CACHE_DISABLE,
    T.READ_PRIORITY_NORMAL,
    T.READ_PRIORITY_LOW,
    T.READ_PRIORITY_HIGH,
    T.PRIORITY_SYSTEM_IMMEDIATE,
    T.PRIORITY_BATCH,
    T.ACCESS_SYSTEM_KEYS,
    T.READ_SYSTEM_KEYS,
    T.SERVER_REQUEST_TRACING,
    T.AUTOMATIC_IDEMPOTENCY,
    T.SNAPSHOT_RYW_ENABLE,
    T.SNAPSHOT_RYW_DISABLE,
    T.LOCK_AWARE,
    T.USED_DURING_COMMIT_PROTECTION_DISABLE,
    T.REPORT_CONFLICTING_KEYS,
    T.SPECIAL_KEY_SPACE_RELAXED,
    T.SPECIAL_KEY_SPACE_ENABLE_WRITES,
    T.BYPASS_UNREADABLE,
)
SERVER_CACHE_AND_PRIORITY = {
    # The client ignores what is handed to these.
    T.READ_SERVER_SIDE_CACHE_ENABLE,
    T.READ_SERVER_SIDE_CACHE_DISABLE,
    T.READ_PRIORITY_NORMAL,
    T.READ_PRIORITY_LOW,
    T.READ_PRIORITY_HIGH,
}

# option, a value it takes, values it does not take
WITH_NUMBER = (
    (T.TIMEOUT, 60_000, (-1, 1 << 31)),
    (T.RETRY_LIMIT, 3, (-2, 1 << 31)),
    (T.MAX_RETRY_DELAY, 100, (-1, 1 << 31)),
    (T.SIZE_LIMIT, 32, (31, 10_000_001, -1)),
    (T.TRANSACTION_LOGGING_MAX_FIELD_LENGTH, 100, (0, -2)),
)
# option, a value it takes, a value it does not take, the error of that
WITH_TEXT = (
    (T.DEBUG_TRANSACTION_IDENTIFIER, "name", "", 2006),
    (T.DEBUG_TRANSACTION_IDENTIFIER, "x" * 100, "x" * 101, 2006),
    (T.TAG, "x" * 16, "x" * 17, 2110),
    (T.AUTO_THROTTLE_TAG, b"tag", b"x" * 17, 2110),
    (T.IDEMPOTENCY_ID, b"x" * 16, b"x" * 15, 2007),
    (T.IDEMPOTENCY_ID, b"x" * 255, b"x" * 256, 2007),
)
DATABASE_NUMBERS = (
    (D.TRANSACTION_TIMEOUT, 0, (-1, 1 << 31)),
    (D.TRANSACTION_RETRY_LIMIT, -1, (-2,)),
    (D.TRANSACTION_MAX_RETRY_DELAY, 1000, (-1,)),
    (D.TRANSACTION_SIZE_LIMIT, 10_000_000, (31, 10_000_001)),
    (D.MAX_WATCHES, 10_000, (-1, 1_000_001)),
    (D.LOCATION_CACHE_SIZE, 100_000, (-1,)),
)


class Options(Harness):
    @pytest.mark.parametrize("option", WITHOUT_VALUE)
    def test_a_transaction_with_any_option_works(self, option: TransactionOption) -> None:
        tr = self.begin()
        tr.set_option(option)
        tr.set(self.key(b"a"), b"1")
        self.do(tr.commit())
        assert self.value(b"a") == b"1"

    @pytest.mark.parametrize("option", [o for o in WITHOUT_VALUE if o not in SERVER_CACHE_AND_PRIORITY])
    def test_options_without_a_value_refuse_one(self, option: TransactionOption) -> None:
        with self.refusing(2006):
            self.begin().set_option(option, 1)

    @pytest.mark.parametrize(("option", "good", "bad"), WITH_NUMBER)
    def test_options_that_take_a_number_check_it(
        self, option: TransactionOption, good: int, bad: tuple[int, ...]
    ) -> None:
        for value in (*bad, None, b"", b"short"):
            with self.refusing(2006):
                self.begin().set_option(option, value)
        tr = self.begin()
        tr.set_option(option, good)
        tr.set_option(option, good.to_bytes(8, "little", signed=True))
        self.do(tr.commit())

    @pytest.mark.parametrize(("option", "good", "bad", "number"), WITH_TEXT)
    def test_options_that_take_a_text_check_it(
        self, option: TransactionOption, good: str | bytes, bad: str | bytes, number: int
    ) -> None:
        with self.refusing(number):
            self.begin().set_option(option, bad)
        with self.refusing(2006):
            self.begin().set_option(option)
        tr = self.begin()
        tr.set_option(option, good)
        self.do(tr.commit())

    def test_a_transaction_has_five_tags_at_most(self) -> None:
        tr = self.begin()
        for number in range(5):
            tr.set_option(T.TAG, b"tag%d" % number)
        tr.set_option(T.TAG, b"tag0")
        with self.refusing(2109):
            tr.set_option(T.TAG, b"tag5")

    def test_the_parent_of_a_span_has_thirty_three_bytes(self) -> None:
        with self.refusing(2006):
            self.begin().set_option(T.SPAN_PARENT, b"short")

    def test_a_transaction_that_may_only_read_a_locked_database_commits_no_writes(self) -> None:
        tr = self.begin()
        tr.set_option(T.READ_LOCK_AWARE)
        assert self.do(tr.get(self.key(b"a"))) is None
        self.do(tr.commit())
        tr.reset()
        tr.set_option(T.READ_LOCK_AWARE)
        tr.set(self.key(b"a"), b"1")
        self.refused(2023, tr.commit())
        assert self.stored() == {}

    def test_a_transaction_that_may_write_to_a_locked_database_may_read_it_too(self) -> None:
        for options in ((T.LOCK_AWARE, T.READ_LOCK_AWARE), (T.READ_LOCK_AWARE, T.LOCK_AWARE)):
            tr = self.begin()
            for option in options:
                tr.set_option(option)
            tr.set(self.key(b"a"), b"1")
            self.do(tr.commit())

    def test_a_logged_transaction_needs_an_identifier(self) -> None:
        with self.refusing(2000):
            self.begin().set_option(T.LOG_TRANSACTION)
        tr = self.begin()
        tr.set_option(T.DEBUG_TRANSACTION_IDENTIFIER, "suite")
        tr.set_option(T.LOG_TRANSACTION)
        self.do(tr.commit())

    def test_an_unknown_option_is_refused(self) -> None:
        with self.refusing(2007):
            self.begin().set_option(99_999)  # type: ignore[arg-type]
        with self.refusing(2007):
            self.engine.set_option(99_999)  # type: ignore[arg-type]

    @pytest.mark.parametrize(("option", "good", "bad"), DATABASE_NUMBERS)
    def test_database_options_that_take_a_number_check_it(
        self, option: DatabaseOption, good: int, bad: tuple[int, ...], another_engine: Engine
    ) -> None:
        for value in (*bad, None):
            with self.refusing(2006):
                another_engine.set_option(option, value)
        another_engine.set_option(option, good)
        tr = another_engine.begin()
        self.do(tr.get(self.key(b"a")))
        tr.close()

    def test_an_option_that_was_refused_changes_nothing(self) -> None:
        tr = self.begin()
        with self.refusing(2006):
            tr.set_option(T.SIZE_LIMIT, 31)
        tr.set(self.key(b"a"), b"v" * 1000)
        self.do(tr.commit())
        assert self.value(b"a") == b"v" * 1000

    def test_most_options_end_with_an_error(self) -> None:
        tr = self.begin()
        tr.set_option(T.SNAPSHOT_RYW_DISABLE)
        tr.set_option(T.SIZE_LIMIT, 100)
        self.do(tr.on_error(self.conflict_error()))
        tr.set(self.key(b"a"), b"v" * 1000)
        assert self.do(tr.get(self.key(b"a"), snapshot=True)) == b"v" * 1000
        self.do(tr.commit())

    def test_most_options_end_with_a_reset(self) -> None:
        tr = self.begin()
        tr.set_option(T.READ_YOUR_WRITES_DISABLE)
        tr.set_option(T.NEXT_WRITE_NO_WRITE_CONFLICT_RANGE)
        tr.reset()
        tr.set(self.key(b"a"), b"own")
        assert self.do(tr.get(self.key(b"a"))) == b"own"
        reader = self.begun()
        self.do(reader.get(self.key(b"a")))
        self.do(tr.commit())
        reader.set(self.key(b"b"), b"")
        self.refused(1020, reader.commit())

    def test_database_options_hold_after_errors_and_resets(self, another_engine: Engine) -> None:
        another_engine.set_option(D.TRANSACTION_SIZE_LIMIT, 1000)
        tr = another_engine.begin()
        beginnings: tuple[Callable[[], object], ...] = (
            lambda: self.do(tr.on_error(self.conflict_error())),
            tr.reset,
        )
        for begin_again in beginnings:
            begin_again()
            tr.set(self.key(b"a"), b"v" * 2000)
            self.refused(2101, tr.commit())
            tr.reset()
        tr.set_option(T.SIZE_LIMIT, 10_000)
        tr.set(self.key(b"a"), b"v" * 2000)
        self.do(tr.commit())
        tr.close()
