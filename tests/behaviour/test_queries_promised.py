"""What released record layers got wrong about queries, one test for each, by its number in the list of such tests
(features 17)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf import message_factory

import recordlayer as rl
from recordlayer import errors, field, q, query
from recordlayer.keys.special import VERSION
from recordlayer.metadata import definitions
from recordlayer.store.marking import mark_disabled
from recordlayer.waiting.drivers import run_blocking
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, Order, builder, shop_file

TOTALS = [3, -1, 0, 3, 7, 2, 3, 0]
ORDERS = [
    Order(
        id=number,
        customer=("ana", "bo", "cy")[number % 3] if number != 5 else None,
        total=total if number != 8 else None,
        tags=["x", "y", "z"][: number % 4],
        note="apples and pie" if number % 2 else "an apple pie",
        items=[{"sku": "p", "price": number}, {"sku": "q", "price": 9 - number}][: number % 3],
    )
    for number, total in enumerate(TOTALS, 1)
]
INDEXED = (
    builder()
    .index("Order", "by_total", field("total"))
    .index("Order", "by_customer_total", rl.concat("customer", "total"))
    .index("Order", "by_customer_total_id", rl.concat("customer", "total", "id"))
    .index("Order", "by_tag", field("tags").fan_out())
    .index("Order", "by_note", field("note"))
    .index("Order", "words", definitions.text_index("note"))
    .index("Order", "by_version", definitions.version_index())
    .store_record_versions()
    .build()
)


@pytest.fixture
def orders(db: Any) -> Any:
    shop = Shop(db, INDEXED)
    shop.save(*ORDERS)
    yield shop
    shop.check()


def ids(messages: Any) -> list[int]:
    return sorted(message.id for message in messages)


def by_hand(keep: Callable[[Any], bool]) -> list[int]:
    return [order.id for order in ORDERS if keep(order)]


def has(order: Any, name: str) -> bool:
    return bool(order.HasField(name))


def explain(shop: Shop, asked: Any) -> Any:
    with shop.db.transaction() as tx:
        return tx.store(shop.metadata, path=shop.path).explain(asked)


@pytest.mark.parametrize("value", sorted(set(TOTALS)))
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("index", ["by_total", "by_customer_total", "by_customer_total_id"])
def test_17_1_greater_never_gives_equal(orders: Shop, index: str, value: int, reverse: bool) -> None:
    """On every position of an index, in both directions."""
    for condition, keep in (
        (q.total > value, lambda total: total > value),
        (q.total >= value, lambda total: total >= value),
        (q.total < value, lambda total: total < value),
    ):
        asked = query("Order").where(condition, q.customer == "ana").use_indexes(index)
        sorts = ["total"] if index == "by_total" else ["customer", "total"]
        found = orders.messages(asked.order_by(*sorts, reverse=reverse))
        assert index in explain(orders, asked.order_by(*sorts, reverse=reverse)).line
        assert ids(found) == by_hand(lambda o: o.customer == "ana" and has(o, "total") and keep(o.total))  # noqa: B023
        assert [one.total for one in found] == sorted([one.total for one in found], reverse=reverse)


def test_17_2_conditions_that_are_no_ranges_are_those_of_a_loop(orders: Shop) -> None:
    cases: list[tuple[Any, Callable[[Any], bool]]] = [
        (q.total != 3, lambda o: has(o, "total") and o.total != 3),
        (q.total.in_([3, 7, 99]), lambda o: has(o, "total") and o.total in (3, 7)),
        (q.total.in_([]), lambda o: False),
        (q.tags.contains("y"), lambda o: "y" in o.tags),
        (q.customer.not_null(), lambda o: has(o, "customer")),
        (q.customer.is_null(), lambda o: not has(o, "customer")),
        (~(q.total == 3), lambda o: has(o, "total") and o.total != 3),
        (~q.total.in_([3]), lambda o: has(o, "total") and o.total != 3),
        (~(q.total > 2), lambda o: has(o, "total") and o.total <= 2),
        (~q.tags.contains("y"), lambda o: "y" not in o.tags),
        (
            ~((q.total > 2) & (q.customer == "ana")),
            lambda o: (has(o, "total") and o.total <= 2) or (has(o, "customer") and o.customer != "ana"),
        ),
    ]
    for condition, keep in cases:
        assert ids(orders.messages(query("Order").where(condition))) == by_hand(keep), str(condition)


def test_17_3_an_index_of_another_kind_is_not_read_as_a_value_index(db: Any) -> None:
    """A COUNT or TEXT index over the field does not have its values; the entries of a RANK index are those of a VALUE
    index, and are read as such."""
    metadata = (
        builder()
        .index("Order", "per_customer", rl.count(group_by="customer"))
        .index("Order", "words", definitions.text_index("note"))
        .index("Order", "ranks", definitions.rank("total"))
        .build()
    )
    shop = Shop(db, metadata)
    shop.save(*ORDERS)
    for condition, keep in (
        (q.customer == "ana", lambda o: o.customer == "ana"),
        (q.note == "an apple pie", lambda o: o.note == "an apple pie"),
        (q.note.starts_with("an"), lambda o: o.note.startswith("an")),
        (q.note > "an", lambda o: o.note > "an"),
    ):
        asked = query("Order").where(condition)
        assert "Scan(records" in explain(shop, asked).line
        assert ids(shop.messages(asked)) == by_hand(keep)
    ranked = query("Order").where(q.total >= 3)
    assert "Scan(ranks[total >= 3])" in explain(shop, ranked).line
    assert ids(shop.messages(ranked)) == by_hand(lambda o: has(o, "total") and o.total >= 3)
    shop.check()


def test_17_4_a_new_index_on_a_full_store_is_not_used_before_it_is_built(db: Any) -> None:
    Shop(db, builder().store_record_versions().build()).save(*ORDERS)
    asked = query("Order").where(q.total == 3)
    expected = by_hand(lambda o: has(o, "total") and o.total == 3)

    def later(new: Any) -> rl.IndexState:
        return rl.IndexState.DISABLED

    newer = builder().store_record_versions().version(9).index("Order", "by_total", field("total")).build()
    with db.transaction() as tx:
        store = tx.store(newer, path=PATH, new_index_state=later)
        explained = store.explain(asked)
        assert "by_total" not in explained.line
        assert dict(explained.not_used)["by_total"] == "is DISABLED"
        assert ids(store.query(asked).all()) == expected
        assert "by_total" in store.explain(asked.try_indexes("by_total")).line
        with pytest.raises(errors.IndexNotReadable):
            store.query(asked.try_indexes("by_total")).all()
        store.rebuild_index("by_total")
        assert store.explain(asked).line == "Fetch(Scan(by_total[total = 3]))"
        assert ids(store.query(asked).all()) == expected


def test_17_5_records_of_two_types_with_equal_keys_are_two_records(db: Any) -> None:
    key = rl.concat(rl.record_type(), "id")
    metadata = (
        rl.RecordMetaDataBuilder(shop_file())
        .primary_key("Order", key)
        .primary_key("Customer", key)
        .universal_index("by_id", field("id"))
        .build()
    )
    order: Any = message_factory.GetMessageClass(metadata.record_type("Order").descriptor)
    customer: Any = message_factory.GetMessageClass(metadata.record_type("Customer").descriptor)
    shop = Shop(db, metadata)
    shop.save(*[order(id=number) for number in (1, 2, 3)], *[customer(id=number) for number in (1, 2, 3)])
    for asked, number in (
        (query().where((q.id == 1) | (q.id == 2)), 4),
        (query().where(q.id.in_([1, 2])), 4),
        (query().where(q.id >= 1, q.id <= 2), 4),
        (query("Order").where((q.id == 1) | (q.id == 2)), 2),
    ):
        found = shop.messages(asked)
        assert len(found) == number, str(asked)
    shop.check()


@pytest.mark.parametrize("limit", [1, 2])
def test_17_6_a_record_comes_once_also_across_continuations(orders: Shop, limit: int) -> None:
    asked = query("Order").where(q.tags.one_of_them() >= "x")
    expected = by_hand(lambda o: len(o.tags) > 0)
    found: list[int] = []
    resume = None
    while True:
        with orders.db.transaction() as tx:
            page = tx.store(INDEXED, path=PATH).query(asked.use_indexes("by_tag"), limit=limit, resume=resume)
            found += [order.id for order in page.all()]
            resume = page.continuation
        if resume is None:
            break
    assert sorted(found) == expected


def test_17_7_an_order_is_honoured_or_refused(orders: Shop) -> None:
    for asked in (query("Order").order_by("paid"), query("Order").order_by("total").use_indexes()):
        with pytest.raises(errors.NoPlan):
            orders.messages(asked)
    expected = sorted(ORDERS, key=lambda o: (has(o, "total"), o.total, o.id))
    for asked in (query("Order").order_by("total"), query("Order").order_by("total", in_memory=3).use_indexes()):
        assert [one.id for one in orders.messages(asked)] == [one.id for one in expected]


@pytest.mark.parametrize("syntax", ["proto2", "proto3"])
def test_17_8_unset_and_default_are_told_apart_where_a_field_has_presence(db: Any, syntax: str) -> None:
    metadata = (
        rl.RecordMetaDataBuilder(shop_file(syntax))
        .primary_key("Order", field("id"))
        .index("Order", "by_total", field("total"))
        .build()
    )
    order: Any = message_factory.GetMessageClass(metadata.record_type("Order").descriptor)
    shop = Shop(db, metadata)
    shop.save(order(id=1), order(id=2, total=0), order(id=3, total=5))
    zeros = [2] if syntax == "proto2" else [1, 2]
    unset = [1] if syntax == "proto2" else []
    table: list[tuple[Any, list[int]]] = [
        (q.total == 0, zeros),
        (q.total != 0, [3]),
        (~(q.total == 0), [3]),
        (q.total < 5, zeros),
        (q.total.is_null(), unset),
        (q.total.not_null(), [one for one in (1, 2, 3) if one not in unset]),
        (q.total.is_distinct_from(0), sorted({3, *unset})),
        (q.total.in_([0, 5]), sorted({3, *zeros})),
    ]
    for condition, expected in table:
        for asked in (query("Order").where(condition), query("Order").where(condition).use_indexes()):
            assert ids(shop.messages(asked)) == expected, str(asked)
    shop.check()


def test_17_9_conditions_on_elements_of_scalars_and_of_messages(orders: Shop) -> None:
    cases: list[tuple[Any, Callable[[Any], bool]]] = [
        (q.tags.one_of_them() == "x", lambda o: "x" in o.tags),
        (q.tags.all_of_them() == "x", lambda o: set(o.tags) <= {"x"}),
        (q.tags.is_empty(), lambda o: not o.tags),
        (q.items.one_of_them().price > 5, lambda o: any(item.price > 5 for item in o.items)),
        (
            q.items.one_of_them().matches((q.sku == "q") & (q.price > 3)),
            lambda o: any(item.sku == "q" and item.price > 3 for item in o.items),
        ),
    ]
    for condition, keep in cases:
        assert ids(orders.messages(query("Order").where(condition))) == by_hand(keep), str(condition)


OPERATORS = {
    "records": query("Order").where(q.paid.is_null()),
    "load": query("Order").where(q.id.in_([1, 3, 5])),
    "index": query("Order").where(q.total > 0),
    "covering": query("Order").where(q.total > 0).select("id", "total"),
    "union": query("Order").where((q.total == 3) | (q.note == "an apple pie")),
    "concat": query("Order").where((q.total > 3) | (q.note > "an apple pie")),
    "intersection": query("Order").where(q.total == 3, q.tags.contains("x")),
    "each once": query("Order").where(q.tags.one_of_them() > "w"),
    "words": query("Order").where(q.note.has_words("apple")),
    "any word": query("Order").where(q.note.has_any_word("apple apples")),
    "phrase": query("Order").where(q.note.has_phrase("apple pie")),
    "prefix": query("Order").where(q.note.has_prefix("ap")),
    "sorted": query("Order").order_by("note", "total", in_memory=3),
    "by version": query("Order").order_by(VERSION, reverse=True),
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize(
    "small",
    [
        {"limit": 1},
        {"limits": rl.Limits(keys=1)},
        {"limits": rl.Limits(bytes=1)},
        {"limits": rl.Limits(time=timedelta())},
    ],
    ids=["one row", "one key", "one byte", "no time"],
)
def test_17_12_pages_of_any_size_are_the_whole(orders: Shop, name: str, small: Any) -> None:
    asked = OPERATORS[name]
    whole = [order.id for order in orders.messages(asked)]
    found: list[int] = []
    resume = None
    for _ in range(500):
        with orders.db.transaction() as tx:
            page = tx.store(INDEXED, path=PATH).query(asked, resume=resume, **small)
            found += [order.id for order in page.all()]
            resume = page.continuation
        if resume is None:
            break
    assert resume is None, "it comes to its end"
    assert found == whole
    assert len(set(whole)) == len(whole) > 0


def test_17_14_a_word_is_not_the_beginning_of_another(orders: Shop) -> None:
    asked = query("Order").where(q.note.has_words("apple"))
    assert "Search(words" in explain(orders, asked).line
    assert ids(orders.messages(asked)) == by_hand(lambda o: o.id % 2 == 0)
    assert ids(orders.messages(asked.use_indexes())) == by_hand(lambda o: o.id % 2 == 0)
    assert ids(orders.messages(query("Order").where(q.note.has_words("apples")))) == by_hand(lambda o: o.id % 2 == 1)


def test_17_16_what_a_transaction_has_written_comes_last_by_version(orders: Shop) -> None:
    with orders.db.transaction() as tx:
        store = tx.store(INDEXED, path=PATH)
        store.save(Order(id=4, total=1))
        store.save(Order(id=20, total=1))
        found = [order.id for order in store.query(query("Order").order_by(VERSION)).all()]
    assert found == [1, 2, 3, 5, 6, 7, 8, 4, 20]


def test_17_21_a_continuation_that_cannot_go_on_is_refused(orders: Shop) -> None:
    asked = query("Order").where(q.note.has_words("apple"))
    with orders.db.transaction() as tx:
        page = tx.store(INDEXED, path=PATH).query(asked, limit=1)
        page.all()
    with orders.db.transaction() as tx:
        store = tx.store(INDEXED, path=PATH)
        run_blocking(mark_disabled(store.core, INDEXED.index("words")))
    with orders.db.transaction() as tx, pytest.raises(errors.BadContinuation):
        tx.store(INDEXED, path=PATH).query(asked, resume=page.continuation).all()
