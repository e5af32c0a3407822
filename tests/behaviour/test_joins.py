"""Joins of two record types: pairs, nulls, left joins, plans, budgets, and page by page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field, param, q, query
from recordlayer.index.state import IndexState
from recordlayer.testing.clock import ManualClock
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, Customer, Order, builder

METADATA = (
    builder()
    .index("Order", "by_customer", rl.concat("customer", "total"))
    .index("Order", "by_city", field("address").nest("city"))
    .index("Customer", "by_name", field("name"))
    .build()
)
NAMES = ["ana", "bo", "cy", None]
CUSTOMERS = [
    Customer(ref="r1", id=1, name="ana"),
    Customer(ref="r2", id=2, name="bo"),
    Customer(ref="r3", id=3, name="bo"),
    Customer(ref="r4", id=4, name="dora"),
    Customer(ref="r5", id=5),
]
ORDERS = [
    Order(id=number, customer=NAMES[number % 4], total=number % 3, paid=number % 2 == 0) for number in range(1, 17)
]


@pytest.fixture
def shop(db: Any) -> Shop:
    made = Shop(db, METADATA)
    made.save(*CUSTOMERS, *ORDERS)
    return made


def pairs(shop: Shop, asked: Any, **how: Any) -> list[tuple[Any, Any]]:
    with shop.db.transaction() as tx:
        found = tx.store(shop.metadata, path=PATH).query(asked, **how).all()
    return [named(pair) for pair in found]


def named(pair: Any) -> tuple[Any, Any]:
    return tuple(None if one is None else getattr(one, "ref", "") or one.id for one in pair)


def loop(outer: list[Any], inner: list[Any], match: Callable[[Any, Any], bool], *, left: bool = False) -> list[Any]:
    """The same pairs by a plain loop."""
    found: list[Any] = []
    for one in outer:
        matching = [other for other in inner if match(one, other)]
        found += [named((one, other)) for other in matching or ([None] if left else [])]
    return found


def set_and_equal(one: Any, name: str, other: Any, theirs: str) -> bool:
    return one.HasField(name) and other.HasField(theirs) and getattr(one, name) == getattr(other, theirs)


def is_customer_of(order: Any, customer: Any) -> bool:
    return set_and_equal(order, "customer", customer, "name")


QUERIES = {
    "inner": query("Order").join("Customer", on={"customer": "name"}),
    "left": query("Order").join("Customer", on={"customer": "name"}, kind="left"),
    "the other way": query("Customer").join(query("Order").order_by("total"), on={"name": "customer"}, kind="left"),
    "by primary key": query("Order").where(q.customer == "bo").join("Order", on="id"),
    "with conditions": query("Customer").join(query("Order").where(q.paid == True), on={"name": "customer"}),  # noqa: E712
    "without an index": query("Customer").where(q.id < 3).join("Order", on={"id": "total"}, kind="left"),
    "in order": query("Order").order_by("customer", reverse=True).join("Customer", on={"customer": "name"}),
    "inner sorted in memory": query("Customer").join(
        query("Order").order_by("paid", in_memory=2), on={"name": "customer"}, kind="left"
    ),
    "covered": query("Customer").select("name").join(query("Order").select("total"), on={"name": "customer"}),
    "fed": query("Order").where(q.id < 4).join(query("Order").where(q.total > param("least")), feed={"least": "total"}),
    "of nothing": query("Order").where(q.id > 99).join("Customer", on={"customer": "name"}, kind="left"),
    "union": query("Order")
    .where((q.customer == "bo") | (q.address.city == "x"))
    .join("Customer", on={"customer": "name"}),
}


# -- what comes out --------------------------------------------------------------------------------------------------


def test_pairs_are_those_of_a_plain_loop(shop: Shop) -> None:
    assert pairs(shop, QUERIES["inner"]) == loop(ORDERS, CUSTOMERS, is_customer_of)
    assert pairs(shop, QUERIES["left"]) == loop(ORDERS, CUSTOMERS, is_customer_of, left=True)
    by_total = sorted(ORDERS, key=lambda order: (order.total, order.id))
    back = loop(CUSTOMERS, by_total, lambda customer, order: is_customer_of(order, customer), left=True)
    assert pairs(shop, QUERIES["the other way"]) == back
    fed = loop(ORDERS[:3], ORDERS, lambda one, other: other.total > one.total)
    assert sorted(pairs(shop, QUERIES["fed"])) == sorted(fed)


def test_what_is_not_set_is_equal_to_nothing(shop: Shop) -> None:
    unnamed = query("Order").where(q.customer.is_null())
    assert pairs(shop, unnamed.join("Customer", on={"customer": "name"})) == []
    left = pairs(shop, unnamed.join("Customer", on={"customer": "name"}, kind="left"))
    assert sorted(left) == [(order.id, None) for order in ORDERS if not order.HasField("customer")]
    same = query("Customer").where(q.name.is_not_distinct_from(param("who")))
    assert pairs(shop, unnamed.join(same, feed={"who": "customer"})) == [(one, "r5") for one, _ in left]


def test_a_pair_has_two_messages_with_names(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        page = tx.store(METADATA, path=PATH).query(QUERIES["inner"], limit=1)
        for order, customer in page:
            assert (order.customer, customer.name) == ("ana", "ana") or order.customer == customer.name
        pair = tx.store(METADATA, path=PATH).query(QUERIES["left"], limit=1).all()[0]
        assert (pair.outer.id, pair.inner.name) == (1, "bo")


def test_values_of_every_kind_are_fed(db: Any) -> None:
    metadata = (
        builder()
        .index("Order", "by_ratio", field("ratio"))
        .index("Order", "by_body", field("body"))
        .index("Order", "by_paid", field("paid"))
        .index("Order", "by_status", field("status"))
        .build()
    )
    shop = Shop(db, metadata)
    shop.save(
        Order(id=1, ratio=0.5, body=b"x", paid=True, status="PAID", weight=0.5, note="n"),
        Order(id=2, ratio=1.5, body=b"", paid=False, status="OPEN", weight=0.1, note=""),
    )
    for name in ("ratio", "body", "paid", "status", "weight", "note", "id"):
        assert pairs(shop, query("Order").join("Order", on=name)) == [(1, 1), (2, 2)], name
    both = query("Order").join("Order", on={"ratio": "ratio", "paid": "paid"})
    assert pairs(shop, both) == [(1, 1), (2, 2)]
    shop.check()


# -- plans -----------------------------------------------------------------------------------------------------------


def test_a_look_up_for_each_record_is_what_an_index_makes_of_a_join(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        assert store.explain(QUERIES["inner"]).line == (
            "Join(Only(Scan(records[all]), Order), Fetch(Scan(by_name[name = $outer.customer])))"
        )
        assert "Scan(records[id = $outer.id])" in store.explain(QUERIES["by primary key"]).line
        before = tx.counters.reads
        store.query(query("Order").where(q.customer == "ana").join("Customer", on={"customer": "name"})).all()
        orders = sum(order.customer == "ana" for order in ORDERS)
        assert tx.counters.reads - before == 1 + orders + 2 * orders


def test_explaining_and_analyzing_joins(golden_text: Callable[[str, str], None]) -> None:
    clock = ManualClock()
    with rl.open("memory:", world=clock.world()) as db:
        shop = Shop(db, METADATA)
        shop.save(*CUSTOMERS, *ORDERS)
        parts = []
        for name in ("inner", "left", "without an index", "fed", "of nothing"):
            with db.transaction() as tx:
                store = tx.store(METADATA, path=PATH)
                before = tx.counters.rows_read
                explanation = store.analyze(QUERIES[name])
                assert explanation.actual.keys == tx.counters.rows_read - before
            parts.append(f"{explanation}\n")
        golden_text("analyze_joins", "\n".join(parts))


def test_a_budget_is_for_both_sides_and_names_the_index_of_the_side_that_needs_it(shop: Shop) -> None:
    asked = query("Order").where(q.customer == "ana").join("Order", on={"id": "note"})
    with shop.db.transaction() as tx, pytest.raises(errors.WrongType):
        tx.store(METADATA, path=PATH).query(asked)
    slow = query("Order").where(q.customer == "ana").join("Order", on={"customer": "note"})
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        with pytest.raises(errors.OverBudget) as raised:
            store.query(slow.within(keys=5_000))
        assert '.index("Order", "by_note", field("note"))' in raised.value.hint
        page = store.query(QUERIES["inner"], limits=rl.Limits(keys=9))
        assert 0 < len(page.all()) < 8
        assert page.stopped is rl.Stop.SCAN_LIMIT
        with pytest.raises(errors.BudgetSpent):
            store.query(QUERIES["inner"], limits=rl.Limits(keys=9, fail=True)).all()


# -- page by page ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize(
    "how",
    [{"limit": 1}, {"keys": 1}, {"time": timedelta(0)}, {"limit": 1, "keys": 4}],
    ids=str,
)
def test_17_12_joins_stop_and_resume_anywhere(shop: Shop, asked: Any, how: Any) -> None:
    whole = pairs(shop, asked)
    limits = {name: value for name, value in how.items() if name != "limit"}
    found: list[Any] = []
    resume = None
    for _ in range(1_000):
        with shop.db.transaction() as tx:
            store = tx.store(METADATA, path=PATH)
            page = store.query(asked, resume=resume, limit=how.get("limit"), limits=rl.Limits(**limits))
            found += [named(pair) for pair in page.all()]
            resume = page.continuation
        if resume is None:
            break
    assert resume is None
    assert found == whole


@pytest.mark.parametrize("asked", QUERIES.values(), ids=QUERIES)
def test_17_12_every_continuation_of_a_page_gives_the_rest(shop: Shop, asked: Any) -> None:
    whole = pairs(shop, asked)
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        page = store.query(asked)
        for number, _ in enumerate(page, 1):
            resume = page.continuation
            rest = [] if resume is None else store.query(asked, resume=resume).all()
            assert [named(pair) for pair in rest] == whole[number:]


def test_a_record_that_is_gone_does_not_lend_its_place_to_the_next(shop: Shop) -> None:
    asked = query("Customer").where(q.name == "bo").join("Order", on={"name": "customer"})
    whole = pairs(shop, asked)
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        page = store.query(asked, limit=2)
        page.all()
        resume = page.continuation
        store.delete("r2")
        rest = [named(pair) for pair in store.query(asked, resume=resume).all()]
    assert rest == [pair for pair in whole if pair[0] == "r3"]


def test_a_continuation_of_another_join_or_of_an_inner_plan_that_is_gone_is_refused(shop: Shop) -> None:
    asked = query("Customer").join("Order", on={"name": "customer"})
    with shop.db.transaction() as tx:
        page = tx.store(METADATA, path=PATH).query(asked, limit=1)
        page.all()
        resume = page.continuation
        store = tx.store(METADATA, path=PATH)
        for other in (query("Customer"), query("Customer").join("Order", on={"name": "customer"}, kind="left")):
            with pytest.raises(errors.BadContinuation):
                store.query(other, resume=resume)
        core = store.core
        core.states.set(METADATA.index("by_customer"), IndexState.DISABLED)
        with pytest.raises(errors.BadContinuation, match="inner query"):
            store.query(asked, resume=resume).all()
        tx.cancel()


def test_joins_are_streamed_over_many_transactions() -> None:
    with rl.open("memory:") as db:
        shop = Shop(db, METADATA)
        shop.save(*CUSTOMERS, *ORDERS)

        def page(tx: Any, resume: Any) -> Any:
            return tx.store(METADATA, path=PATH).query(QUERIES["left"], resume=resume, limit=3)

        assert [named(pair) for pair in db.stream(page)] == pairs(shop, QUERIES["left"])


# -- parameters and wrong use ----------------------------------------------------------------------------------------


def test_parameters_of_both_sides_are_bound_and_those_that_are_fed_are_not(shop: Shop) -> None:
    asked = (
        query("Order")
        .where(q.customer == param("who"))
        .join(query("Customer").where(q.id > param("least")), on={"customer": "name"})
    )
    assert asked.parameters == ("who", "least")
    assert sorted(pairs(shop, asked.bind(who="bo", least=2))) == [
        (one.id, "r3") for one in ORDERS if one.customer == "bo"
    ]
    with pytest.raises(errors.UsageError, match="least"):
        pairs(shop, asked.bind(who="bo"))
    with pytest.raises(errors.UsageError, match="its parameters are who, least"):
        asked.bind(nobody=1)
    assert asked.check(METADATA) is asked
    with pytest.raises(errors.WrongType):
        query("Order").join("Customer", on={"customer": "id"}).check(METADATA)
    with pytest.raises(errors.UnknownField):
        query("Order").join("Customer", on={"nothing": "id"}).check(METADATA)
    assert str(asked) == ("Order where customer = $who join Customer where id > $least and name = $outer.customer")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: query("Order").join("Customer"),
        lambda: query("Order").join("Customer", on={}),
        lambda: query("Order").join("Customer", on=7),
        lambda: query("Order").join("Customer", on={"customer": 7}),
        lambda: query("Order").join(7, on="id"),
        lambda: query("Order").join("Customer", on="id", kind="right"),
        lambda: query("Order").join(query("Customer").within(keys=9), on="id"),
        lambda: query("Order").join("Customer", on="id", feed={"nobody": "id"}),
        lambda: query("Order").join("Customer", on=q.tags.one_of_them()),
        lambda: query("Order").join(query("Customer").where(q.id.in_(param("a"))), feed={"a": "id"}),
        lambda: query("Order").join(query("Customer").where(~(q.id == param("a"))), feed={"a": "id"}),
    ],
)
def test_what_cannot_be_joined_is_refused_when_it_is_written(wrong: Any) -> None:
    with pytest.raises(errors.UsageError):
        wrong()


def test_only_records_are_counted(shop: Shop) -> None:
    with shop.db.transaction() as tx, pytest.raises(errors.WrongType):
        tx.store(METADATA, path=PATH).count(QUERIES["inner"])
