"""Conditions on ranks, versions, types and words in queries: what is no field of the record."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, q, query
from recordlayer.keys import concat
from recordlayer.keys.special import VERSION
from recordlayer.metadata import leaderboard, rank
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, Customer, Order, builder

RANKED = (
    builder()
    .index("Order", "by_total", rank("total"))
    .index("Order", "in_customer", rank("total", group_by="customer"))
    .index("Order", "best", leaderboard(concat("total", "id"), group_by="customer"))
    .index("Order", "by_customer", "customer")
    .store_record_versions()
    .build()
)
TOTALS = [30, 10, 10, 50, 20, 40, 0, 20]
ORDERS = [
    Order(id=number, total=total, customer="ana" if number % 2 else "bo", note=f"the order number {number}")
    for number, total in enumerate(TOTALS, 1)
]


@pytest.fixture
def ranked(db: Any) -> Any:
    shop = Shop(db, RANKED)
    with db.transaction() as tx:
        tx.store(RANKED, path=PATH).leaderboard("best").update_windows(now=100, all_time=True, high_score_first=True)
    for order in ORDERS:
        shop.save(order)
    shop.save(Customer(ref="c", name="ana"))
    yield shop
    shop.check()


def ids(messages: Any) -> list[int]:
    return sorted(message.id for message in messages)


def by_hand(least: int, group: str | None = None, *, high: bool = False) -> list[int]:
    """The orders with less than `least` distinct totals before theirs."""
    found = []
    for order in ORDERS:
        others = {one.total for one in ORDERS if group is None or one.customer == order.customer}
        before = {total for total in others if (total > order.total if high else total < order.total)}
        if len(before) < least:
            found.append(order.id)
    return found


@pytest.mark.parametrize("least", [0, 1, 3, 9])
def test_conditions_on_ranks_are_those_of_a_sorted_list(ranked: Shop, least: int) -> None:
    orders = query("Order")
    assert ids(ranked.messages(orders.where(q.total.ranked() < least))) == by_hand(least)
    assert ids(ranked.messages(orders.where(~(q.total.ranked() >= least)))) == by_hand(least)
    within = q.total.ranked(group_by="customer")
    assert ids(ranked.messages(orders.where(within < least))) == by_hand(least, "customer")
    both = orders.where(within.in_([0, 1]), q.customer == "ana", q.total > 0)
    assert ids(ranked.messages(both)) == [
        number for number in by_hand(2, "customer") if number % 2 and TOTALS[number - 1] > 0
    ]
    either = orders.where((within < least) | (q.total == 50))
    assert ids(ranked.messages(either)) == sorted({*by_hand(least, "customer"), 4})


def test_conditions_on_ranks_in_a_window_of_a_leaderboard(ranked: Shop) -> None:
    first = q.total.ranked(group_by="customer", leaderboard=0, at=50)
    found = ranked.messages(query("Order").where(first < 2))
    assert ids(found) == [1, 4, 5, 6], "the greatest totals of ana (odd) and bo (even)"
    assert ids(ranked.messages(query("Order").where(first.is_null()))) == []
    elsewhere = q.total.ranked(group_by="customer", leaderboard=7, at=50)
    assert ranked.messages(query("Order").where(elsewhere < 2)) == [], "there is no such window"
    assert len(ranked.messages(query("Order").where(elsewhere.is_null()))) == 8


def test_the_other_conditions_come_first_and_ranks_are_asked_of_what_is_left(ranked: Shop) -> None:
    asked = query("Order").where(q.total.ranked() != 3, q.customer == "ana", q.note.not_null())
    with ranked.db.transaction() as tx:
        explained = tx.store(RANKED, path=PATH).explain(asked)
    filtered = "Filter(Fetch(Scan(by_customer[customer = 'ana'])), note is not null)"
    assert explained.line == f'FilterByRank({filtered}, rank of field("total") != 3)'
    assert "asking by_total" in explained.tree
    assert "by_total" not in dict(explained.not_used)


def test_pages_with_ranks_stop_and_go_on(ranked: Shop) -> None:
    asked = query("Order").where(q.total.ranked(group_by="customer") < 2)
    whole = ranked.messages(asked)
    found: list[Any] = []
    resume = None
    while True:
        with ranked.db.transaction() as tx:
            page = tx.store(RANKED, path=PATH).query(asked, limit=1, resume=resume)
            found += page.all()
            resume = page.continuation
        if resume is None:
            break
    assert found == whole


def test_a_rank_that_no_index_keeps_is_refused_and_the_index_named(ranked: Shop) -> None:
    for condition in (
        q.id.ranked() < 3,
        q.total.ranked(group_by="status") < 3,
        q.id.ranked(leaderboard=0, at=1) < 3,
    ):
        with pytest.raises(errors.NoPlan, match="index over"):
            ranked.messages(query("Order").where(condition))


def test_versions_tell_what_was_saved_after_a_record(ranked: Shop) -> None:
    with ranked.db.transaction() as tx:
        version = tx.store(RANKED, path=PATH).load_record(5).version
    later = query("Order").where(q(VERSION) > version)
    assert ids(ranked.messages(later)) == [6, 7, 8]
    with ranked.db.transaction() as tx:
        store = tx.store(RANKED, path=PATH)
        store.save(Order(id=9, total=1))
        assert ids(store.query(later).all()) == [6, 7, 8, 9], "what this transaction has written comes last"


def test_types_are_a_condition_where_several_are_asked_for(ranked: Shop) -> None:
    both = query("Order", "Customer")
    assert ranked.messages(both.where(q.is_type("Customer"))) == [Customer(ref="c", name="ana")]
    assert len(ranked.messages(both.where(~q.is_type("Customer")))) == 8
    assert len(ranked.messages(both.where(q(rl.record_type()) == RANKED.record_type("Order").record_type_key))) == 8


def test_words_are_those_of_the_tokenizer(ranked: Shop) -> None:
    assert ids(ranked.messages(query("Order").where(q.note.has_words("NUMBER 7")))) == [7]
    assert ids(ranked.messages(query("Order").where(q.note.has_prefix("ord")))) == list(range(1, 9))
    assert ids(ranked.messages(query("Order").where(q.note.has_words("num", tokenizer="prefix")))) == []
    assert ids(ranked.messages(query("Order").where(q.note.has_phrase("order number 3")))) == [3]
