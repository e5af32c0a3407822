"""What is too long, too large, or outside."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from recordlayer.errors import WrongType
from recordlayer.kv.engine import (
    KEY_LIMIT,
    TRANSACTION_LIMIT,
    VALUE_LIMIT,
    DatabaseOption,
    Engine,
    KeySelector,
    MutationType,
    Transaction,
    TransactionOption,
)
from recordlayer.kv.mutations import SET
from recordlayer.testing.engine_suite.harness import Harness, each


class Limits(Harness):
    def long_key(self, length: int) -> bytes:
        return self.prefix + b"k" * (length - len(self.prefix))

    def test_the_longest_key_and_value_are_kept(self) -> None:
        tr = self.begin()
        tr.set(self.long_key(KEY_LIMIT), b"v" * VALUE_LIMIT)
        assert self.do(tr.get(self.long_key(KEY_LIMIT))) == b"v" * VALUE_LIMIT
        self.do(tr.commit())
        assert self.do(self.begin().get(self.long_key(KEY_LIMIT))) == b"v" * VALUE_LIMIT
        assert self.stored() == {self.long_key(KEY_LIMIT).removeprefix(self.prefix): b"v" * VALUE_LIMIT}

    def test_a_key_beyond_the_limit_is_refused(self) -> None:
        tr = self.begin()
        with self.refusing(2102):
            tr.set(self.long_key(KEY_LIMIT + 1), b"")
        with self.refusing(2102):
            tr.atomic(MutationType.ADD, self.long_key(KEY_LIMIT + 1), b"\x01")

    def test_a_value_beyond_the_limit_is_refused(self) -> None:
        tr = self.begin()
        with self.refusing(2103):
            tr.set(self.key(b"a"), b"v" * (VALUE_LIMIT + 1))
        with self.refusing(2103):
            tr.atomic(MutationType.BIT_OR, self.key(b"a"), b"v" * (VALUE_LIMIT + 1))

    def test_what_was_refused_leaves_the_transaction_as_it_was(self) -> None:
        tr = self.begin()
        tr.set(self.key(b"a"), b"1")
        with self.refusing(2102):
            tr.set(self.long_key(KEY_LIMIT + 1), b"")
        with self.refusing(2103):
            tr.set(self.key(b"b"), b"v" * (VALUE_LIMIT + 1))
        with self.refusing(2005):
            tr.clear_range(self.key(b"z"), self.key(b"a"))
        with self.refusing(2004):
            tr.set(b"\xff", b"")
        self.do(tr.commit())
        assert self.stored() == {b"a": b"1"}

    def test_clearing_what_cannot_exist_does_nothing(self) -> None:
        self.put(a=b"1")
        tr = self.begin()
        tr.clear(self.long_key(KEY_LIMIT + 1))
        tr.clear_range(self.long_key(KEY_LIMIT + 100), self.long_key(KEY_LIMIT + 100) + b"\xff")
        self.do(tr.commit())
        assert self.stored() == {b"a": b"1"}

    def test_range_bounds_may_be_longer_than_keys(self) -> None:
        self.put({b"k" * 5000: b"1", b"m": b"2"})
        low, high = self.key(b"k" * 20_000), self.key(b"m" + b"\0" * 20_000)
        assert self.names(self.begin(), self.prefix, low) == [b"k" * 5000]
        assert self.names(self.begin(), low, high) == [b"m"]
        assert self.names(self.begin(), low, high, reverse=True) == [b"m"]
        self.commit(lambda tr: tr.clear_range(low, high))
        assert self.names(self.begin()) == [b"k" * 5000]

    def test_a_transaction_beyond_ten_million_bytes_is_refused(self) -> None:
        tr = self.begin()
        for number in range(TRANSACTION_LIMIT // VALUE_LIMIT):
            tr.set(self.key(number), b"v" * VALUE_LIMIT)
        self.refused(2101, tr.commit())
        assert self.stored() == {}

    def test_a_transaction_a_little_below_the_limit_is_committed(self) -> None:
        tr = self.begin()
        for number in range(TRANSACTION_LIMIT // VALUE_LIMIT - 1):
            tr.set(self.key(number), b"v" * VALUE_LIMIT)
        self.do(tr.commit())
        assert len(self.names(self.begin())) == TRANSACTION_LIMIT // VALUE_LIMIT - 1

    def test_clears_and_conflict_ranges_count_too(self) -> None:
        tr = self.begin()
        tr.set_option(TransactionOption.SIZE_LIMIT, 10_000)
        for number in range(60):
            tr.clear_range(self.key(b"%d" % number * 40), self.key(b"%d" % number * 40 + b"\xff"))
        self.refused(2101, tr.commit())

    def test_a_size_limit_of_its_own_holds_for_one_transaction(self) -> None:
        tr = self.begin()
        tr.set_option(TransactionOption.SIZE_LIMIT, 1000)
        tr.set(self.key(b"a"), b"v" * 2000)
        self.refused(2101, tr.commit())
        small = self.begin()
        small.set_option(TransactionOption.SIZE_LIMIT, 1000)
        small.set(self.key(b"a"), b"v" * 500)
        self.do(small.commit())
        self.commit(lambda tr: tr.set(self.key(b"a"), b"v" * 2000))

    def test_what_is_written_or_read_often_counts_once(self) -> None:
        tr = self.begin()
        tr.set_option(TransactionOption.SIZE_LIMIT, 2000)
        for number in range(50):
            tr.set(self.key(b"a"), b"%d" % number * 100)
            self.do(tr.get(self.key(b"b")))
            self.names(tr, self.key(b"c"), self.key(b"d"))
        assert self.do(tr.approximate_size()) > 2000
        self.do(tr.commit())
        assert self.stored() == {b"a": b"49" * 100}

    def test_a_write_inside_a_cleared_range_splits_what_is_sent(self) -> None:
        limited, free = self.begin(), self.begin()
        for tr in (limited, free):
            tr.clear_range(self.key(b"a" * 300), self.key(b"z" * 300))
            tr.set(self.key(b"m" * 300), b"")
        limited.set_option(TransactionOption.SIZE_LIMIT, self.do(limited.approximate_size()) - 1)
        self.refused(2101, limited.commit())
        self.do(free.commit())

    def test_a_database_can_limit_the_size_of_all(self, another_engine: Engine) -> None:
        another_engine.set_option(DatabaseOption.TRANSACTION_SIZE_LIMIT, 1000)
        tr = another_engine.begin()
        tr.set(self.key(b"a"), b"v" * 2000)
        self.refused(2101, tr.commit())
        tr.close()

    @pytest.mark.parametrize("key", [b"\xff", b"\xff\x00", b"\xff/x", b"\xff\xfe"])
    def test_keys_behind_the_last_legal_one_are_refused(self, key: bytes) -> None:
        self.refused(2004, self.begin().get(key))
        self.refused(2004, self.begin().get(key, snapshot=True))
        writes: tuple[Callable[[Transaction], None], ...] = (
            lambda tr: tr.set(key, b""),
            lambda tr: tr.clear(key),
            lambda tr: tr.clear_range(b"a", key + b"\0"),
            lambda tr: tr.atomic(MutationType.ADD, key, b"\x01"),
        )
        for write in writes:
            with self.refusing(2004):
                write(self.begin())

    def test_the_end_of_keys_is_a_legal_end_and_a_legal_begin(self) -> None:
        assert self.do(self.begin().get_range(b"\xff", b"\xff")).rows == []
        self.begin().clear_range(b"\xff", b"\xff")
        assert self.do(self.begin().get_range(self.behind, b"\xff", limit=1)).rows is not None

    def test_an_inverted_range_cannot_be_cleared(self) -> None:
        with self.refusing(2005):
            self.begin().clear_range(self.key(b"b"), self.key(b"a"))

    @each(
        "call",
        {
            "get": lambda tr: tr.get("key"),
            "get_many": lambda tr: tr.get_many([b"key", "key"]),
            "get_key": lambda tr: tr.get_key("key"),
            "get_ranges": lambda tr: tr.get_ranges([(b"a", b"b"), ("a", b"b")]),
            "get_range": lambda tr: tr.get_range("a", b"b"),
            "get_range selector": lambda tr: tr.get_range(b"a", KeySelector("b", False, 1)),  # type: ignore[arg-type]
            "watch": lambda tr: tr.watch(None),
        },
    )
    def test_reads_of_what_is_not_bytes_fail_when_awaited(self, call: object) -> None:
        assert callable(call)
        started = call(self.begin())
        with pytest.raises(WrongType):
            self.do(started)

    @each(
        "call",
        {
            "set key": lambda tr: tr.set("key", b""),
            "set value": lambda tr: tr.set(b"key", "value"),
            "set None": lambda tr: tr.set(b"key", None),
            "clear": lambda tr: tr.clear("key"),
            "clear_range": lambda tr: tr.clear_range(b"a", "b"),
            "atomic": lambda tr: tr.atomic(MutationType.ADD, b"key", 1),
            "write_many": lambda tr: tr.write_many([(SET, "key", b"")]),
        },
    )
    def test_writes_of_what_is_not_bytes_are_refused(self, call: object) -> None:
        assert callable(call)
        with pytest.raises(WrongType):
            call(self.begin())
