"""Transactions as people use them: blocks, functions that are run again, attempts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, SHOP, Order


def test_an_error_in_the_block_undoes_everything(shop: Shop) -> None:
    def save_and_fail() -> None:
        with shop.db.transaction() as tx:
            tx.store(SHOP, path=PATH).save(Order(id=1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        save_and_fail()
    assert shop.load(1) is None


def test_a_block_that_commits_or_cancels_itself_is_not_committed_again(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        tx.store(SHOP, path=PATH).save(Order(id=1))
        tx.commit()
        assert tx.committed_version() > 0
    with shop.db.transaction() as tx:
        tx.store(SHOP, path=PATH).save(Order(id=2))
        tx.cancel()
    assert shop.load(1) == Order(id=1)
    assert shop.load(2) is None


def test_what_a_transaction_wrote_it_reads(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        store.save(Order(id=1, customer="ana"))
        assert store.load(1) == Order(id=1, customer="ana")
        assert store.count("orders_per_customer", "ana") == 1
        assert store.query(rl.query("Order").where(rl.q.customer == "ana")).all() == [Order(id=1, customer="ana")]


def test_a_transaction_does_not_see_what_others_commit_meanwhile(shop: Shop) -> None:
    shop.save(Order(id=1, total=1))
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        assert store.load(1).total == 1
        shop.save(Order(id=1, total=2))
        assert store.load(1).total == 1


def test_a_function_that_met_a_conflict_is_run_again(shop: Shop) -> None:
    shop.save(Order(id=1, total=0))
    tries = []

    def raise_total(tx: Any) -> int:
        store = tx.store(SHOP, path=PATH)
        total: int = store.load(1).total
        tries.append(total)
        if len(tries) < 3:
            shop.save(Order(id=1, total=total + 10))
        store.save(Order(id=1, total=total + 1))
        return total + 1

    assert shop.db.run(raise_total) == 21
    assert tries == [0, 10, 20]
    assert shop.load(1).total == 21


def test_attempts_are_made_until_one_succeeds(shop: Shop) -> None:
    shop.save(Order(id=1, total=0))
    numbers = []
    for attempt in shop.db.attempts():
        with attempt as tx:
            numbers.append(attempt.number)
            store = tx.store(SHOP, path=PATH)
            total = store.load(1).total
            if len(numbers) == 1:
                shop.save(Order(id=1, total=7))
            store.save(Order(id=1, total=total + 1))
    assert numbers == [1, 2]
    assert shop.load(1).total == 8


def test_the_last_error_comes_out_when_the_attempts_are_used_up(shop: Shop) -> None:
    shop.save(Order(id=1, total=0))
    tries = []

    def always_late(tx: Any) -> None:
        store = tx.store(SHOP, path=PATH)
        store.load(1)
        tries.append(1)
        shop.save(Order(id=1, total=len(tries)))
        store.save(Order(id=1))

    with pytest.raises(errors.Conflict):
        shop.db.run(always_late, retry=rl.Retry(attempts=3, max_delay=timedelta(milliseconds=1)))
    assert len(tries) == 3
    with pytest.raises(errors.Conflict):
        shop.db.run(always_late, retry=rl.Retry(attempts=99, time=timedelta(0)))
    assert len(tries) == 4


def test_errors_of_the_function_itself_are_not_retried(shop: Shop) -> None:
    tries = []

    def fails(tx: Any) -> None:
        tx.store(SHOP, path=PATH).save(Order(id=1))
        tries.append(1)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        shop.db.run(fails)
    assert len(tries) == 1
    assert shop.load(1) is None


@pytest.mark.parametrize(
    ("options", "word"), [({"attempts": 0}, "attempts"), ({"attempts": 1.5}, "attempts"), ({"time": 5}, "time")]
)
def test_limits_of_retries_are_checked_when_they_are_given(options: Any, word: str) -> None:
    with pytest.raises(errors.UsageError, match=word):
        rl.Retry(**options)


def test_a_closed_database_says_so(open_database: Any) -> None:
    db = open_database("memory:")
    db.close()
    db.close()
    with pytest.raises(errors.Closed), db.transaction() as tx:
        tx.store(SHOP, path=PATH)


def test_counters_tell_what_a_transaction_did(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        store.save(Order(id=1, customer="ana"))
        counters = tx.counters.as_dict()
    assert counters["reads"] == 3
    assert counters["sets"] == 6
    assert counters["mutations"] == 1
    assert counters["writes"] == 7
    assert counters["bytes_written"] > 100


def test_a_page_read_after_its_transaction_says_that_it_is_over(shop: Shop) -> None:
    shop.save(*(Order(id=number) for number in range(5)))
    with shop.db.transaction() as tx:
        page = tx.store(SHOP, path=PATH).query(rl.query("Order"))
    with pytest.raises(errors.Closed):
        page.all()
