"""Statistics that are gathered take the place of assumptions: plans follow them, explanations say so."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import field, q, query
from recordlayer.query.statistics import MOST_GROUPS
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, Customer, Order, builder

COUNTED = (
    builder()
    .index("Order", "by_customer", field("customer"))
    .index("Order", "by_note", field("note"))
    .index("Order", "per_customer", rl.count(group_by="customer"))
    .index(("Order", "Customer"), "records", rl.count())
    .store_record_versions()
    .build()
)
OF_ANA = query("Order").where(q.customer == "ana")


@pytest.fixture
def filled(db: Any) -> Any:
    shop = Shop(db, COUNTED)
    shop.save(*[Order(id=number, customer="ana" if number % 3 else "bo", note=f"{number:04}") for number in range(240)])
    shop.save(Customer(ref="c", name="cy"))
    yield shop
    shop.check()


def explained(shop: Shop, asked: Any) -> Any:
    with shop.db.transaction() as tx:
        return tx.store(shop.metadata, path=PATH).explain(asked)


def test_plans_follow_what_was_counted(filled: Shop) -> None:
    before = explained(filled, OF_ANA)
    assert before.line == "Fetch(Scan(by_customer[customer = 'ana']))"
    assert "(an estimate without statistics)" in str(before)
    with filled.db.transaction() as tx:
        found = tx.store(COUNTED, path=PATH).gather_statistics()
    assert found.total == 241
    assert found.by_type == {"Order": 240}
    sources = ("counted by per_customer", "counted by records", "sizes of ranges", "first entries of indexes")
    assert found.sources == sources
    after = explained(filled, OF_ANA)
    assert after.line == "Filter(Only(Scan(records[all]), Order), customer = 'ana')", "half of all is no look-up"
    assert f"an estimate by statistics: {'; '.join(sources)}" in str(after)
    assert after.keys == 241
    assert after.as_dict()["statistics"] == list(found.sources)
    with filled.db.transaction() as tx:
        assert len(tx.store(COUNTED, path=PATH).query(OF_ANA).all()) == 160


def test_sizes_are_estimated_by_the_engine_where_nothing_counts(filled: Shop) -> None:
    with filled.db.transaction() as tx:
        found = tx.store(COUNTED, path=PATH).gather_statistics()
    if filled.db.url.startswith("memory:"):
        assert 120 <= found.by_index["by_note"] <= 480, "within a factor of two"
    else:  # a cluster goes by samples, which so few entries may have few of
        assert found.by_index["by_note"] > 0


def test_how_often_values_are_repeated_is_seen_in_an_index_that_nothing_counts(filled: Shop) -> None:
    filled.save(*[Order(id=number, customer="ana", note=f"!{number // 4}") for number in range(1_000, 1_200)])
    asked = query("Order").where(q.customer == "ana", q.note == "!255")
    assert explained(filled, asked).line.startswith("Fetch(Intersect("), (
        "one is as good as the other, as far as is known"
    )
    with filled.db.transaction() as tx:
        found = tx.store(COUNTED, path=PATH).gather_statistics()
    assert list(found.distinct.values()) == [2, found.by_index["by_note"] / 4], "counted, and seen in the first 50"
    after = explained(filled, asked)
    assert after.line == "Filter(Fetch(Scan(by_note[note = '!255'])), customer = 'ana')", (
        "few have the note, most are hers"
    )
    with filled.db.transaction() as tx:
        assert len(tx.store(COUNTED, path=PATH).query(asked).all()) == 4


def test_a_continuation_goes_on_with_its_plan_after_statistics_have_chosen_another(filled: Shop) -> None:
    with filled.db.transaction() as tx:
        store = tx.store(COUNTED, path=PATH)
        page = store.query(OF_ANA, limit=100)
        first = page.all()
        store.gather_statistics()
    with filled.db.transaction() as tx:
        rest = tx.store(COUNTED, path=PATH).query(OF_ANA, resume=page.continuation).all()
    assert sorted(order.id for order in (*first, *rest)) == [number for number in range(240) if number % 3]


def test_what_gathering_reads_is_bounded(filled: Shop) -> None:
    filled.save(*[Order(id=number, customer=f"c{number}") for number in range(1_000, 1_000 + MOST_GROUPS)])
    with filled.db.transaction() as tx:
        store = tx.store(COUNTED, path=PATH)
        before = tx.counters.rows_read
        found = store.gather_statistics()
        rows = tx.counters.rows_read - before
    assert rows <= MOST_GROUPS + 2 + 3 * 50
    assert "counted by per_customer" not in found.sources, "there are too many groups"
    assert found.total == 1_241


def test_statistics_are_those_of_one_store(filled: Shop) -> None:
    with filled.db.transaction() as tx:
        tx.store(COUNTED, path=PATH).gather_statistics()
        other = tx.store(COUNTED, path=("shop", "other"))
        assert "without statistics" in str(other.explain(OF_ANA))
