"""Sorting in bounded memory: in records and in bytes, resumed after every record, whatever bounds it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, q, query
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, Customer, Order, builder

METADATA = builder().index("Order", "by_customer", "customer").index("Customer", "by_name", "name").build()
ORDERS = [
    Order(
        id=number,
        customer="ab"[number % 2],
        total=number * 7919 % 13 if number % 5 else None,
        ratio=number % 3 / 2,
        note="x" * (number * 31 % 200),
    )
    for number in range(1, 41)
]
QUERIES = {
    "all": query("Order").order_by("total", in_memory=1_000),
    "a few at a time": query("Order").order_by("total", "ratio", in_memory=7),
    "one at a time": query("Order").where(q.id < 12).order_by("total", in_memory=1),
    "descending": query("Order").order_by("total", reverse=True, in_memory=9),
    "of an index": query("Order").where(q.customer == "a").order_by("ratio", in_memory=5),
    "of a filter": query("Order").where(q.ratio > 0.4).order_by("note", in_memory=6),
    "of a union": query("Order").where((q.customer == "a") | (q.id == 3)).order_by("note", in_memory=6),
    "covered": query("Order").where(q.customer == "a").select("customer", "id").order_by("id", in_memory=4),
    "of nothing": query("Order").where(q.id > 99).order_by("total", in_memory=4),
}


@pytest.fixture
def shop(db: Any) -> Shop:
    made = Shop(db, METADATA)
    made.save(*ORDERS, Customer(ref="r", name="n"))
    return made


def ids(messages: Any) -> list[int]:
    return [message.id for message in messages]


def paged(shop: Shop, asked: Any, *, limit: int | None = None, **limits: Any) -> list[int]:
    found: list[int] = []
    resume = None
    for _ in range(3_000):
        with shop.db.transaction() as tx:
            store = tx.store(METADATA, path=PATH)
            page = store.query(asked, resume=resume, limit=limit, limits=rl.Limits(**limits))
            found += ids(page.all())
            resume = page.continuation
        if resume is None:
            return found
    raise AssertionError("it does not come to its end")


def test_17_7_an_order_without_an_index_is_kept_in_memory_or_refused(shop: Shop) -> None:
    expected = sorted(ORDERS, key=lambda order: (order.HasField("total"), order.total, order.id))
    assert ids(shop.messages(QUERIES["all"])) == ids(expected)
    assert ids(shop.messages(QUERIES["descending"])) == ids(expected)[::-1]
    with pytest.raises(errors.NoPlan, match="in_memory"):
        shop.messages(query("Order").order_by("total"))


@pytest.mark.parametrize("memory", [None, 1, 3_000, 1_000_000])
@pytest.mark.parametrize("asked", QUERIES.values(), ids=QUERIES)
def test_17_12_a_sort_resumes_behind_every_record_in_whatever_memory(
    shop: Shop, asked: Any, memory: int | None
) -> None:
    whole = ids(shop.messages(asked))
    bounded = asked if memory is None else asked.within(memory=memory)
    with shop.db.transaction() as tx:
        page = tx.store(METADATA, path=PATH).query(bounded)
        places = [(message.id, page.continuation) for message in page]
    assert [found for found, _ in places] == whole
    for number, (_, resume) in enumerate(places, 1):
        with shop.db.transaction() as tx:  # one for each: a sort that may hold nothing reads everything again and again
            store = tx.store(METADATA, path=PATH)
            rest = [] if resume is None else ids(store.query(bounded, resume=resume).all())
        assert rest == whole[number:]


@pytest.mark.parametrize(
    "how",
    [{"keys": 3}, {"bytes": 1}, {"time": timedelta(0)}, {"limit": 4, "keys": 11}, {"keys": 9, "memory": 2_000}],
    ids=str,
)
@pytest.mark.parametrize("name", ["a few at a time", "descending", "of an index", "covered"])
def test_17_12_a_sort_that_limits_stop_goes_on_where_it_was(shop: Shop, name: str, how: Any) -> None:
    assert paged(shop, QUERIES[name], **how) == ids(shop.messages(QUERIES[name]))


def test_memory_bounds_what_a_continuation_holds_and_how_often_records_are_read(db: Any) -> None:
    shop = Shop(db, METADATA)
    shop.save(*(Order(id=number, total=number * 7919 % 300, note="x" * 1_000) for number in range(300)))
    asked = query("Order").order_by("total", in_memory=1_000)
    with db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        free = store.analyze(asked).root
        tight = store.analyze(asked.within(memory=100_000)).root
        assert free.actual.rows == tight.actual.rows == 300
        assert free.children[0].actual.runs == 1
        assert 5 <= tight.children[0].actual.runs <= 20
    sizes, found, resume = [], [], None
    while True:
        with db.transaction() as tx:
            store = tx.store(METADATA, path=PATH)
            page = store.query(asked.within(memory=50_000), resume=resume, limits=rl.Limits(keys=120))
            found += ids(page.all())
            resume = page.continuation
        if resume is None:
            break
        sizes.append(len(resume))
    assert found == sorted(range(300), key=lambda number: number * 7919 % 300)
    assert max(sizes) < 2_000, "the names of some twenty records"
    shop.check()


def test_the_first_few_are_found_in_one_pass_that_holds_no_more_than_those(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        before = tx.counters.rows_read
        first = ids(store.query(QUERIES["all"], limit=3).all())
        assert tx.counters.rows_read - before == len(ORDERS) + 1
    assert first == ids(shop.messages(QUERIES["all"]))[:3]
