"""Aggregates spread over cells: the same answers from several keys, and never on stores that Java reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, Order, builder

CELLS = 4
SPREAD = (
    builder()
    .index("Order", "orders_per_customer", rl.count(group_by="customer", cells=CELLS))
    .index("Order", "sales", rl.sum_of("total", cells=CELLS))
    .build()
)
PLAIN = builder().index("Order", "orders_per_customer", rl.count(group_by="customer")).build()


@pytest.fixture
def shop(db: Any) -> Iterator[Shop]:
    made = Shop(db, SPREAD)
    yield made
    made.check()


def keys_of(shop: Shop, name: str) -> set[bytes]:
    prefix = rl.Subspace((2, name)).key()
    return {key for key in shop.pairs() if key.startswith(prefix)}


def test_many_transactions_write_to_all_cells_and_read_one_total(shop: Shop) -> None:
    for number in range(60):
        shop.save(Order(id=number, customer="ab"[number % 2], total=number))
    assert len(keys_of(shop, "sales")) == CELLS, "sixty draws miss one of four cells once in ten million runs"
    with shop.db.transaction() as tx:
        store = tx.store(SPREAD, path=PATH)
        assert store.count("orders_per_customer", "a") == 30
        assert store.count("orders_per_customer") == 60
        assert store.count("orders_per_customer", "z") == 0
        assert store.aggregate("sales") == sum(range(60))
        found = store.scan_index("orders_per_customer").all()
        assert [(entry.group, entry.value) for entry in found] == [(("a",), 30), (("b",), 30)]


def test_a_transaction_writes_to_one_cell_of_a_group(shop: Shop) -> None:
    shop.save(*(Order(id=number, customer="a") for number in range(20)))
    assert len(keys_of(shop, "orders_per_customer")) == 1


def test_one_group_is_one_range_read(shop: Shop) -> None:
    for number in range(8):
        shop.save(Order(id=number, customer="a"))
    with shop.db.transaction() as tx:
        store = tx.store(SPREAD, path=PATH)
        before = tx.counters.reads
        assert store.count("orders_per_customer", "a") == 8
        assert tx.counters.reads - before == 1


def test_records_that_go_are_taken_from_whatever_cell(shop: Shop) -> None:
    for number in range(12):
        shop.save(Order(id=number, customer="a", total=5))
    for number in range(12):
        with shop.db.transaction() as tx:
            tx.store(SPREAD, path=PATH).delete(number)
    with shop.db.transaction() as tx:
        store = tx.store(SPREAD, path=PATH)
        assert store.count("orders_per_customer", "a") == 0
        assert store.aggregate("sales") == 0


@pytest.mark.parametrize("reverse", [False, True])
def test_pages_of_groups_go_on_whatever_ended_them(shop: Shop, reverse: bool) -> None:
    for number in range(24):
        shop.save(Order(id=number, customer="abc"[number % 3]))
    everything = [(("a",), 8), (("b",), 8), (("c",), 8)]
    if reverse:
        everything.reverse()
    for how in ({"limit": 1}, {"limit": 2}, {"limits": rl.Limits(keys=1)}, {"limits": rl.Limits(keys=3)}):
        found: list[Any] = []
        resume = None
        for _ in range(20):
            with shop.db.transaction() as tx:
                store = tx.store(SPREAD, path=PATH)
                page = store.scan_index("orders_per_customer", reverse=reverse, resume=resume, **how)
                found += [(entry.group, entry.value) for entry in page.all()]
                resume = page.continuation
            if resume is None:
                break
        assert found == everything, how


def test_a_store_that_is_shared_with_java_refuses_cells(db: Any) -> None:
    shop = Shop(db, PLAIN)
    with db.transaction() as tx:
        store = tx.store(PLAIN, path=PATH, format_version=8)
        store.header.share_with_java()
        store.save(Order(id=1, customer="a"))
    with db.transaction() as tx, pytest.raises(errors.IndexNotSupported, match="Java"):
        tx.store(SPREAD, path=PATH)
    with db.transaction() as tx:
        assert tx.store(PLAIN, path=PATH).header.clear_user_field("recordlayer.shared_with_java")
    shop.check()
    with db.transaction() as tx:
        store = tx.store(SPREAD, path=("shop", "spread"), format_version=8)
        with pytest.raises(errors.IndexNotSupported, match="Java"):
            store.header.share_with_java()


def test_without_cells_the_bytes_are_those_of_java(db: Any) -> None:
    shop = Shop(db, PLAIN)
    shop.save(Order(id=1, customer="NL"))
    prefix = rl.Subspace((2, "orders_per_customer")).key()
    entries = {key: value for key, value in shop.pairs().items() if key.startswith(prefix)}
    assert entries == {prefix + b"\x02NL\x00": (1).to_bytes(8, "little")}


@pytest.mark.parametrize("cells", [0, 1, 2000, "many"])
def test_a_number_of_cells_that_cannot_be_meant_is_refused(cells: Any) -> None:
    with pytest.raises(errors.InvalidIndex, match="cells"):
        builder().index("Order", "counted", rl.count(cells=cells)).build()


def test_only_what_adds_can_be_spread() -> None:
    with pytest.raises(errors.InvalidIndex, match="counts and sums"):
        builder().index("Order", "by_total", rl.field("total"), options={"recordlayer.cells": 4}).build()
