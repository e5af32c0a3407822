"""Budgets: of a query, of a store, of a transaction; refused beforehand, stopped with a continuation, or failed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field, q, query
from recordlayer.options import TransactionOptions
from recordlayer.testing.clock import ManualClock
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, SHOP, Order, builder

ORDERS = [
    Order(id=number, customer=("ana", "bo", "cy")[number % 3], total=number // 2, tags=["a", "b"][: number % 3])
    for number in range(1, 21)
]
QUERIES = {
    "scan": query("Order"),
    "index": query("Order").where(q.customer == "ana"),
    "union": query("Order").where((q.customer == "ana") | (q.total == 3)),
    "ordered union": query("Order").where(q.customer.in_(["ana", "cy"])).order_by("total"),
    "one after the other": query("Order").where((q.total > 6) | (q.tags.one_of_them() == "b")),
    "intersection": query("Order").where(q.customer == "ana", q.total == 3),
    "covered": query("Order").where(q.customer == "ana").select("customer", "id"),
    "keys": query("Order").where(q.id.in_([1, 5, 9, 13])),
    "in memory": query("Order").order_by("ratio", "id", in_memory=7),
}


@pytest.fixture
def orders(shop: Shop) -> Shop:
    shop.save(*ORDERS)
    return shop


def ids(messages: Any) -> list[int]:
    return [message.id for message in messages]


def pages(shop: Shop, asked: Any, *, options: Any = None, **how: Any) -> list[list[int]]:
    """Page by page, each in a transaction of its own."""
    found, resume = [], None
    for _ in range(500):
        with shop.db.transaction(options=options) as tx:
            page = tx.store(shop.metadata, path=PATH, **how).query(asked, resume=resume)
            found.append(ids(page.all()))
            resume = page.continuation
            if resume is None:
                assert page.stopped is rl.Stop.EXHAUSTED
                return found
            assert page.stopped.out_of_band
    raise AssertionError("it does not come to its end")


# -- refused beforehand ----------------------------------------------------------------------------------------------


def test_a_query_that_is_expected_to_cost_more_is_refused_and_told_which_index_would_help(orders: Shop) -> None:
    asked = query("Order").where(q.note == "x", q.total > 3).within(keys=100)
    with orders.db.transaction() as tx:
        store = tx.store(builder().build(), path=("shop", "plain"))
        reads = tx.counters.reads
        with pytest.raises(errors.OverBudget) as raised:
            store.query(asked)
        assert tx.counters.reads == reads
    error = raised.value
    assert error.fields["budget"] == "100 keys"
    assert error.fields["keys"] == "~10,000"
    assert '.index("Order", "by_note_total", concat(field("note"), field("total")))' in error.hint


def test_the_index_that_a_refusal_names_has_the_query_run(db: Any) -> None:
    asked = query("Order").where(q.note == "x").order_by("total").within(keys=1_000)
    plain = builder().build()
    shop = Shop(db, plain)
    shop.save(*ORDERS, Order(id=99, note="x"))
    with db.transaction() as tx, pytest.raises(errors.NoPlan) as raised:
        tx.store(plain, path=PATH).query(asked)
    definition = '.index("Order", "by_note_total", concat(field("note"), field("total")))'
    assert definition in raised.value.hint
    fresh = builder()
    eval(f"fresh{definition}", {"fresh": fresh, "concat": rl.concat, "field": field})
    other = Shop(db, fresh.build(), ("shop", "other"))
    other.save(*ORDERS, Order(id=99, note="x"))
    assert ids(other.messages(asked)) == [99]


@pytest.mark.parametrize("budget", [{"keys": 150}, {"bytes": 15_000}])
def test_bytes_and_keys_are_judged_and_time_and_memory_are_not(orders: Shop, budget: Any) -> None:
    asked = query("Order").where(q.customer == "ana")
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        with pytest.raises(errors.OverBudget):
            store.query(asked.within(**budget))
        assert ids(store.query(asked.within(time=timedelta(hours=1), memory=1)).all()) == [3, 6, 9, 12, 15, 18]


def test_a_limit_makes_a_query_cheap_enough_unless_everything_is_read_first(orders: Shop) -> None:
    few = query("Order").where(q.customer == "ana").within(keys=50)
    sorted_in_memory = query("Order").order_by("ratio", in_memory=10).within(keys=5_000)
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        assert ids(store.query(few, limit=2).all()) == [3, 6]
        with pytest.raises(errors.OverBudget):
            store.query(few)
        with pytest.raises(errors.OverBudget):
            store.query(sorted_in_memory, limit=2)


def test_another_plan_is_taken_if_it_keeps_the_budget(orders: Shop) -> None:
    """In order of totals: to sort a scan is cheaper for all of them, the index for the first few."""
    asked = query("Order").where(q.id > 0).order_by("total", in_memory=10_000)
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        assert "Sort" in store.explain(asked).line
        before = tx.counters.rows_read
        assert ids(store.query(asked.within(keys=100), limit=2).all()) == [1, 2]
        assert tx.counters.rows_read - before <= 8


def test_a_count_is_judged_as_what_it_reads(orders: Shop) -> None:
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        assert store.count(query("Order").where(q.customer == "ana").within(keys=1)) == 6
        with pytest.raises(errors.OverBudget):
            store.count(query("Order").where(q.total == 3).within(keys=20))


def test_pages_that_go_on_are_not_judged_again(orders: Shop) -> None:
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        page = store.query(QUERIES["index"], limit=1)
        first = ids(page.all())
        rest = store.query(QUERIES["index"].within(keys=10), resume=page.continuation)
        assert first + ids(rest.all()) == [3, 6, 9, 12, 15, 18]


# -- stopped, or failed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("limits", [rl.Limits(keys=1), rl.Limits(bytes=1), rl.Limits(time=timedelta(0))])
def test_17_12_a_store_that_limits_its_queries_stops_them_and_every_page_goes_on(
    orders: Shop, asked: Any, limits: rl.Limits
) -> None:
    whole = ids(orders.messages(asked))
    found, resume = [], None
    for _ in range(300):
        with orders.db.transaction() as tx:
            store = tx.store(SHOP, path=PATH)
            if resume is None:
                page = store.query(asked, limits=limits)
            else:
                page = tx.store(SHOP, path=PATH, limits=limits).query(asked, resume=resume)
            found += ids(page.all())
            resume = page.continuation
        if resume is None:
            break
    assert found == whole


def test_what_a_query_says_of_itself_takes_the_place_of_what_the_store_says(orders: Shop) -> None:
    with orders.db.transaction() as tx:
        strict = tx.store(SHOP, path=PATH, limits=rl.Limits(keys=10))
        with pytest.raises(errors.OverBudget):
            strict.query(QUERIES["index"])
        assert len(strict.query(QUERIES["index"].within(keys=500)).all()) == 6
        assert len(strict.query(QUERIES["index"].within()).all()) == 6
        page = strict.scan()
        assert len(page.all()) == 10
        assert page.stopped is rl.Stop.SCAN_LIMIT


def test_a_query_that_turns_out_to_cost_more_stops_or_fails(db: Any) -> None:
    shop = Shop(db, SHOP)
    shop.save(*(Order(id=number, customer="ana", note="x" * 100) for number in range(300)))
    asked = query("Order").where(q.customer == "ana")
    stopping = pages(shop, asked.within(keys=250))
    assert [one for page in stopping for one in page] == list(range(300))
    assert len(stopping) > 1
    with db.transaction() as tx:
        page = tx.store(SHOP, path=PATH).query(asked.within(keys=250, fail=True))
        with pytest.raises(errors.BudgetSpent) as raised:
            page.all()
    assert raised.value.fields == {"limit": "keys", "allowed": 250, "of": "query"}
    with db.transaction() as tx:
        counting = tx.store(SHOP, path=PATH).count
        with pytest.raises(errors.BudgetSpent, match="count"):
            counting(query("Order").where(q.total.is_null()).within(bytes=2_000_000, time=timedelta(0)))


def test_time_is_that_of_the_worlds_clock(open_database: Any) -> None:
    clock = ManualClock()
    with open_database("memory:", world=clock.world()) as db:
        shop = Shop(db, SHOP)
        shop.save(*(Order(id=number, customer="ana") for number in range(3_000)))
        with db.transaction() as tx:
            page = tx.store(SHOP, path=PATH).query(query("Order").within(time=timedelta(seconds=2)))
            seen = iter(page)
            assert next(seen).id == 0
            clock.advance(3)
            rest = [message.id for message in seen]
            assert page.stopped is rl.Stop.TIME_LIMIT
            assert 0 < len(rest) < 2_999
        shop.check()


# -- transactions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("limits", [rl.Limits(keys=3), rl.Limits(bytes=1), rl.Limits(time=timedelta(0))])
def test_17_12_all_reads_of_a_transaction_share_its_limits_and_every_page_goes_on(
    orders: Shop, asked: Any, limits: rl.Limits
) -> None:
    whole = ids(orders.messages(asked))
    each = pages(orders, asked, options=TransactionOptions(limits=limits))
    assert [one for page in each for one in page] == whole
    with orders.db.transaction(options=TransactionOptions(limits=limits)) as tx:
        store = tx.store(SHOP, path=PATH)
        found, resume = [], None
        for _ in range(300):  # also when the limits were reached long ago
            page = store.query(asked, resume=resume)
            found += ids(page.all())
            resume = page.continuation
            if resume is None:
                break
        assert found == whole


def test_loads_count_as_scans_do(orders: Shop) -> None:
    with orders.db.transaction(options=TransactionOptions(limits=rl.Limits(keys=10))) as tx:
        store = tx.store(SHOP, path=PATH)
        for number in range(1, 9):
            assert store.load(number).id == number
        page = store.scan()
        assert ids(page.all()) == [1, 2]
        assert page.stopped is rl.Stop.SCAN_LIMIT
        assert store.load(20).id == 20, "what has no pages is given all the same"
        assert ids(store.query(query("Order")).all()) == [1]


def test_a_transaction_that_shall_fail_reads_nothing_more_and_says_why(orders: Shop) -> None:
    with orders.db.transaction(options=TransactionOptions(limits=rl.Limits(keys=5, fail=True))) as tx:
        store = tx.store(SHOP, path=PATH)
        assert ids(store.query(query("Order"), limit=4).all()) == [1, 2, 3, 4]
        store.load(7)
        for read in (lambda: store.load(8), lambda: store.query(query("Order")).all(), lambda: store.scan().all()):
            with pytest.raises(errors.BudgetSpent) as raised:
                read()
            assert raised.value.fields == {"limit": "keys", "allowed": 5, "of": "transaction"}


def test_each_attempt_of_a_transaction_has_its_limits_anew(orders: Shop) -> None:
    seen = []

    def work(tx: Any) -> None:
        store = tx.store(SHOP, path=PATH)
        seen.append(len(store.query(query("Order")).all()))
        store.save(Order(id=100 + len(seen), customer="new"))
        if len(seen) == 1:
            raise errors.transaction_error(1020)

    orders.db.run(work, options=TransactionOptions(limits=rl.Limits(keys=6)))
    assert seen == [6, 6]


@pytest.mark.parametrize(
    "wrong",
    [{"keys": 0}, {"bytes": True}, {"memory": -1}, {"time": 5}, {"fail": "stop"}],
)
def test_limits_that_mean_nothing_are_refused(wrong: Any) -> None:
    with pytest.raises(errors.UsageError):
        rl.Limits(**wrong)
    with pytest.raises(errors.UsageError):
        query("Order").within(**wrong)


def test_limits_that_are_none_are_refused_where_they_are_given(orders: Shop) -> None:
    with pytest.raises(errors.UsageError):
        TransactionOptions(limits=7)  # type: ignore[arg-type]  # on purpose
    with orders.db.transaction() as tx:
        with pytest.raises(errors.UsageError):
            tx.store(SHOP, path=PATH, limits=None)
        with pytest.raises(errors.UsageError):
            tx.store(SHOP, path=PATH).query(query("Order"), limits=7)
