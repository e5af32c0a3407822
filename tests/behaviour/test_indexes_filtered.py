"""Indexes that are kept for some of a store's records: the application chooses them when it opens the store."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.keys import version
from recordlayer.metadata.definitions import version_index
from tests.support.shop import PATH, Order, builder

METADATA = (
    builder()
    .store_record_versions()
    .index("Order", "by_total", field("total"))
    .index("Order", "by_tag", field("tags").fan_out())
    .index("Order", "by_total_with_note", rl.key_with_value(rl.concat("total", "note")))
    .index("Order", "orders_per_customer", rl.count(group_by="customer"))
    .index("Order", "sales", rl.sum_of("total"))
    .index("Order", "changes", version_index(rl.concat("customer", version())))
    .index("Order", "by_number", field("id"))
    .build()
)


def chooses(index: Any, order: Any) -> Any:
    """None of the drafts, and of tags only those in upper case; everything for one index."""
    if index.name == "by_number":
        return True
    if order.note == "draft":
        return False
    return (lambda row: row[0].isupper()) if index.name == "by_tag" else True


def store_of(tx: Any, **how: Any) -> Any:
    return tx.store(METADATA, path=PATH, index_filter=chooses, **how)


def seen(store: Any) -> dict[str, Any]:
    """What each index holds."""
    found: dict[str, Any] = {
        name: [entry.primary_key[0] for entry in store.scan_index(name).all()]
        for name in ("by_total", "by_total_with_note", "changes", "by_number")
    }
    found["by_tag"] = [(*entry.key, *entry.primary_key) for entry in store.scan_index("by_tag").all()]
    found["sales"] = store.aggregate("sales")
    found["orders"] = store.count("orders_per_customer")
    return found


EXPECTED = {
    "by_total": [3, 1],
    "by_total_with_note": [3, 1],
    "changes": [1, 3],
    "by_number": [1, 2, 3],
    "by_tag": [("A", 1), ("B", 3)],
    "sales": 15,
    "orders": 2,
}


@pytest.fixture
def filled(db: Any, leaves_damage: None) -> Any:
    """A store that is checked with its filter: without it, what is left out would be missed."""
    with db.transaction() as tx:
        store = store_of(tx)
        store.save(Order(id=1, total=10, tags=["A", "b"]))
        store.save(Order(id=2, total=20, tags=["A"], note="draft"))
        store.save(Order(id=3, total=5, tags=["B", "c"]))
        assert seen(store) == EXPECTED
    yield db
    with db.transaction() as tx:
        assert store_of(tx).check() == []


def test_only_chosen_records_and_rows_have_entries(filled: Any) -> None:
    with filled.transaction() as tx:
        assert seen(store_of(tx)) == EXPECTED


def test_a_record_that_is_chosen_no_longer_loses_its_entries(filled: Any) -> None:
    with filled.transaction() as tx:
        store = store_of(tx)
        store.save(Order(id=1, total=10, tags=["A", "b"], note="draft"))
        store.save(Order(id=2, total=20, tags=["a"]))
        store.delete(3)
        after = seen(store)
    assert after == {
        "by_total": [2],
        "by_total_with_note": [2],
        "changes": [2],
        "by_number": [1, 2],
        "by_tag": [],
        "sales": 20,
        "orders": 1,
    }


def test_builds_go_by_the_choice(filled: Any) -> None:
    with filled.transaction() as tx:
        store = store_of(tx)
        for name in METADATA.indexes:
            store.rebuild_index(name)
        assert seen(store) == EXPECTED


def test_a_check_without_the_filter_misses_what_was_left_out(filled: Any) -> None:
    with filled.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        findings = [finding for finding in store.check() if finding.where == "index by_total"]
        assert [finding.what for finding in findings] == ["an entry is missing"]


@pytest.mark.parametrize("wrong", [None, 1, "all"])
def test_a_filter_that_answers_something_else_is_refused_and_nothing_is_written(db: Any, wrong: Any) -> None:
    with db.transaction() as tx:
        store = tx.store(METADATA, path=PATH, index_filter=lambda index, record: wrong)
        before = tx.counters.writes
        with pytest.raises(errors.WrongType, match="filter"):
            store.save(Order(id=1, total=1))
        assert tx.counters.writes == before
    with db.transaction() as tx, pytest.raises(errors.WrongType, match="index_filter"):
        tx.store(METADATA, path=PATH, index_filter="none")


def test_queries_find_what_no_index_has_unless_they_name_the_index(filled: Any) -> None:
    """No plan can know what a filter leaves out; the application that made it can."""
    wanted = rl.query("Order").where(rl.q.total > 0)
    with filled.transaction() as tx:
        store = store_of(tx)
        assert sorted(order.id for order in store.query(wanted)) == [1, 2, 3]
        assert "by_total may lack records that index_filter leaves out" in str(store.explain(wanted))
        assert store.count(wanted) == 3
        named = wanted.order_by("total").use_indexes("by_total")
        assert [order.id for order in store.query(named)] == [3, 1]
        mean = rl.query("Order").aggregate(n=rl.agg.count())
        assert [row.n for row in store.query(mean)] == [3]
        with pytest.raises(errors.NoPlan):
            store.query(wanted.order_by("total")).all()
