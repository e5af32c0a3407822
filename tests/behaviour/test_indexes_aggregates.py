"""Aggregate functions, answered by whichever index can."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.keys import version
from recordlayer.metadata.definitions import (
    count_not_null,
    count_updates,
    max_ever,
    max_ever_version,
    min_ever,
    version_index,
)
from recordlayer.store import marking
from recordlayer.waiting.drivers import run_blocking
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, Customer, Order, builder

METADATA = (
    builder()
    .store_record_versions()
    .index("Order", "by_customer_and_total", rl.concat("customer", "total"))
    .index("Order", "orders", rl.count(group_by=rl.concat("customer", "status")))
    .index("Order", "orders_by_tag", rl.count(group_by=rl.concat("status", field("tags").fan_out())))
    .index("Order", "saves", count_updates(group_by="customer"))
    .index("Order", "notes", count_not_null("note", group_by="customer"))
    .index("Order", "sales", rl.sum_of("total", group_by="customer"))
    .index("Order", "least", min_ever("total", group_by="customer"))
    .index("Order", "most", max_ever(rl.concat("total", "note"), group_by="customer"))
    .index("Order", "latest", max_ever_version(group_by="customer"))
    .index("Order", "changes", version_index(rl.concat("customer", version())))
    .build()
)
ORDERS = (
    Order(id=1, customer="ana", total=5, note="x", status=0, tags=["a", "b"]),
    Order(id=2, customer="ana", total=-7, status=1),
    Order(id=3, customer="ana", status=1),
    Order(id=4, customer="bo", total=9, status=0, tags=["a"]),
)


@pytest.fixture
def shop(db: Any) -> Shop:
    made = Shop(db, METADATA)
    made.save(*ORDERS, Customer(ref="c", name="cy"))
    made.save(Order(id=5, customer="ana", total=100))
    with db.transaction() as tx:
        tx.store(METADATA, path=PATH).delete(5)
    return made


ANA = {"by": "customer", "group": ("ana",)}


@pytest.mark.parametrize(
    ("function", "columns", "of_ana", "of_all"),
    [
        ("count", None, 3, 4),
        ("count_updates", None, 4, 5),
        ("count_not_null", "note", 1, 1),
        ("sum", "total", -2, 7),
        ("min_ever", "total", None, None),
        ("max_ever", rl.concat("total", "note"), (100, None), (100, None)),
        ("count_distinct", "status", 2, None),
        ("min", "total", -7, None),
        ("max", "total", 5, None),
    ],
)
def test_a_function_gives_what_the_records_say(
    shop: Shop, function: str, columns: Any, of_ana: Any, of_all: Any
) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        assert store.evaluate_aggregate(function, "Order", columns, **ANA) == of_ana
        assert store.evaluate_aggregate(function, "Order", columns, snapshot=True, **ANA) == of_ana
        if function not in ("min", "max", "count_distinct"):
            assert store.evaluate_aggregate(function, "Order", columns) == of_all


def test_functions_of_versions_see_what_is_not_committed(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        committed = store.evaluate_aggregate("max", "Order", version(), **ANA)
        assert committed == max(store.load_record(number).version for number in (1, 2, 3))
        assert store.evaluate_aggregate("max_ever_version", "Order", version(), **ANA) > committed, "of what is deleted"
        store.save(Order(id=1, customer="ana"))
        for function in ("max", "max_ever_version"):
            assert not store.evaluate_aggregate(function, "Order", version(), **ANA).is_complete
        assert store.evaluate_aggregate("sum", "Order", "total", **ANA) == -7


def test_groups_without_records_have_nothing(shop: Shop) -> None:
    nobody = {"by": "customer", "group": ("zoe",)}
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        for function, columns in (("count", None), ("sum", "total"), ("count_distinct", "status")):
            assert store.evaluate_aggregate(function, "Order", columns, **nobody) == 0
        for function in ("min", "max", "min_ever"):
            assert store.evaluate_aggregate(function, "Order", "total", **nobody) is None


def test_groups_that_lost_their_records_are_not_distinct_values(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        store.delete(2)
        store.delete(3)
        assert store.evaluate_aggregate("count_distinct", "Order", "status", **ANA) == 1
        assert store.evaluate_aggregate("count_distinct", "Order", "customer") == 2


def test_a_group_of_an_index_is_one_read(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        for function, columns in (("sum", "total"), ("count", None), ("max", "total"), ("count_distinct", "status")):
            before = tx.counters.reads
            store.evaluate_aggregate(function, "Order", columns, **ANA)
            assert tx.counters.reads - before == 1


def test_an_index_that_would_count_a_record_twice_is_not_asked(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        by_tag = rl.concat("status", field("tags").fan_out())
        assert store.evaluate_aggregate("count", "Order", by=by_tag, group=(0, "a")) == 2
        with pytest.raises(errors.UsageError, match="no readable index"):
            store.evaluate_aggregate("count", "Order", by="status", group=(0,))


def test_an_index_that_is_being_built_is_not_asked_but_named(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        run_blocking(marking.mark_write_only(store.core, METADATA.index("sales")))
        with pytest.raises(errors.IndexNotReadable) as caught:
            store.evaluate_aggregate("sum", "Order", "total", **ANA)
        assert (caught.value.fields["index"], caught.value.fields["state"]) == ("sales", "WRITE_ONLY")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("average", "Order", "total"), {}),
        (("sum", "Order"), {}),
        (("count", "Order", "total"), {}),
        (("sum", "Order", "total"), {"by": "customer"}),
        (("sum", "Order", "total"), {"group": ("ana",)}),
        (("sum", "Order", "total"), {"by": "customer", "group": "ana"}),
        (("sum", "Order", "ratio"), {}),
        (("sum", None, "total"), {}),
    ],
)
def test_what_no_index_can_answer_is_refused(shop: Shop, arguments: Any, named: Any) -> None:
    with shop.db.transaction() as tx, pytest.raises(errors.UsageError):
        tx.store(METADATA, path=PATH).evaluate_aggregate(*arguments, **named)
