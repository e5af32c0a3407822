"""Records in the order of their changes: what a transaction sees of its own, what is stored, where pages go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors
from recordlayer.keys import version
from recordlayer.metadata.definitions import max_ever_version, version_index
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, Order, builder

VERSIONED = (
    builder()
    .store_record_versions()
    .index("Order", "changes", version_index())
    .index("Order", "changes_of", version_index(rl.concat("customer", version())))
    .index("Order", "latest", max_ever_version(group_by="customer"))
    .build()
)


@pytest.fixture
def shop(db: Any) -> Iterator[Shop]:
    made = Shop(db, VERSIONED)
    yield made
    made.check()


def ids(store: Any, index: str = "changes", *prefix: Any, **how: Any) -> list[int]:
    return [entry.primary_key[0] for entry in store.scan_index(index, *prefix, **how).all()]


def test_changes_are_in_the_order_of_their_commits(shop: Shop) -> None:
    shop.save(Order(id=3), Order(id=1))
    shop.save(Order(id=2))
    shop.save(Order(id=3, total=5))
    with shop.db.transaction() as tx:
        store = tx.store(VERSIONED, path=PATH)
        assert ids(store) == [1, 2, 3]
        assert ids(store, reverse=True) == [3, 2, 1]
        assert [entry.key[0].is_complete for entry in store.scan_index("changes")] == [True] * 3
        assert [entry.key[0] for entry in store.scan_index("changes")] == [
            store.load_record(number).version for number in (1, 2, 3)
        ]


def test_a_transaction_sees_its_own_changes_behind_all_others(shop: Shop) -> None:
    shop.save(Order(id=1, customer="ana"), Order(id=2, customer="bo"))
    with shop.db.transaction() as tx:
        store = tx.store(VERSIONED, path=PATH)
        store.save(Order(id=9, customer="ana"))
        store.save(Order(id=1, customer="ana", total=1))
        store.save(Order(id=4, customer="bo"))
        store.delete(4)
        assert ids(store) == [2, 9, 1]
        assert ids(store, reverse=True) == [1, 9, 2]
        assert ids(store, "changes_of", "ana") == [9, 1]
        assert ids(store, limit=2) == [2, 9]
        assert [entry.key[0].is_complete for entry in store.scan_index("changes")] == [True, False, False]
        (latest,) = store.aggregate("latest", "ana")
        assert (latest.is_complete, latest.user_version) == (False, 1)
        assert [entry.group for entry in store.scan_index("latest")] == [("ana",), ("bo",)]
    with shop.db.transaction() as tx:
        store = tx.store(VERSIONED, path=PATH)
        assert ids(store) == [2, 9, 1], "and so they lie when it is committed"
        assert store.aggregate("latest", "ana") == (store.load_record(1).version,)


def saved_in_vain(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(VERSIONED, path=PATH)
        store.save(Order(id=2))
        assert ids(store) == [1, 2]
        raise ZeroDivisionError


def test_what_is_not_committed_is_not_stored(shop: Shop) -> None:
    shop.save(Order(id=1))
    before = shop.pairs()
    with pytest.raises(ZeroDivisionError):
        saved_in_vain(shop)
    assert shop.pairs() == before


def test_a_page_that_ends_behind_a_change_of_its_own_goes_on_in_its_transaction_only(shop: Shop) -> None:
    shop.save(Order(id=1))
    with shop.db.transaction() as tx:
        store = tx.store(VERSIONED, path=PATH)
        store.save(Order(id=2))
        store.save(Order(id=3))
        page = store.scan_index("changes", limit=2)
        assert [entry.primary_key for entry in page.all()] == [(1,), (2,)]
        behind = page.continuation
        assert ids(store, resume=behind) == [3]
        assert ids(store, resume=behind, reverse=True) == [1]
    with shop.db.transaction() as tx:
        store = tx.store(VERSIONED, path=PATH)
        with pytest.raises(errors.BadContinuation, match="not committed"):
            store.scan_index("changes", resume=behind).all()


def test_a_record_saved_without_a_version_is_in_front_of_all(shop: Shop) -> None:
    shop.save(Order(id=1))
    with shop.db.transaction() as tx:
        tx.store(VERSIONED, path=PATH).save(Order(id=2), version_behavior=rl.VersionBehavior.NO_VERSION)
    with shop.db.transaction() as tx:
        store = tx.store(VERSIONED, path=PATH)
        assert ids(store) == [2, 1]
        assert store.scan_index("changes").all()[0].key == (None,)


def test_records_copied_with_their_versions_keep_their_order(shop: Shop) -> None:
    stamps = [rl.Versionstamp(bytes(9) + bytes((number,)), 7) for number in (3, 1, 2)]
    with shop.db.transaction() as tx:
        store = tx.store(VERSIONED, path=PATH)
        for number, stamp in enumerate(stamps):
            store.save(Order(id=number), version=stamp)
        assert ids(store) == [1, 2, 0]
        assert store.aggregate("latest", None) == (stamps[0],)
    with shop.db.transaction() as tx:
        store = tx.store(VERSIONED, path=PATH)
        assert ids(store) == [1, 2, 0]
        store.delete(0)
        assert store.aggregate("latest", None) == (stamps[0],), "it was there once"


def test_an_index_built_where_records_wait_for_their_version_has_them(shop: Shop) -> None:
    shop.save(Order(id=1))
    with shop.db.transaction() as tx:
        store = tx.store(VERSIONED, path=PATH)
        store.save(Order(id=2))
        store.rebuild_index("changes")
        assert ids(store) == [1, 2]
        store.delete_all()
        assert ids(store) == []
        assert store.scan_index("latest").all() == []
        store.save(Order(id=3))
    with shop.db.transaction() as tx:
        assert ids(tx.store(VERSIONED, path=PATH)) == [3]


def test_two_writers_of_one_group_do_not_conflict(shop: Shop) -> None:
    shop.save()
    first, second = shop.db.transaction(), shop.db.transaction()
    with first as one:
        one.store(VERSIONED, path=PATH).save(Order(id=1, customer="ana"))
        with second as other:
            other.store(VERSIONED, path=PATH).save(Order(id=2, customer="ana"))
    with shop.db.transaction() as tx:
        assert sorted(ids(tx.store(VERSIONED, path=PATH))) == [1, 2]


def test_a_scan_of_uncommitted_changes_costs_no_read_more(shop: Shop) -> None:
    shop.save(Order(id=1))
    with shop.db.transaction() as tx:
        store = tx.store(VERSIONED, path=PATH)
        store.save(Order(id=2))
        before = tx.counters.reads
        assert ids(store) == [1, 2]
        assert tx.counters.reads - before == 1


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("keys", [1, 2, 3])
def test_pages_that_a_budget_ends_go_through_committed_and_own_changes(shop: Shop, keys: int, reverse: bool) -> None:
    shop.save(*(Order(id=number, customer="abc"[number % 3]) for number in range(6)))
    with shop.db.transaction() as tx:
        store = tx.store(VERSIONED, path=PATH)
        for number in (1, 4, 7, 8):
            store.save(Order(id=number, customer="abc"[number % 3], total=number))
        whole = ids(store, "changes_of", reverse=reverse)
        assert sorted(whole) == [0, 1, 2, 3, 4, 5, 7, 8]
        found: list[int] = []
        resume = None
        for _ in range(20):
            page = store.scan_index("changes_of", reverse=reverse, resume=resume, limits=rl.Limits(keys=keys))
            found += [entry.primary_key[0] for entry in page.all()]
            resume = page.continuation
            if resume is None:
                break
        assert found == whole


def test_what_changed_since_a_version_is_a_range_of_the_index(shop: Shop) -> None:
    shop.save(Order(id=1))
    shop.save(Order(id=2))
    shop.save(Order(id=3))
    with shop.db.transaction() as tx:
        store = tx.store(VERSIONED, path=PATH)
        store.save(Order(id=4))
        since = store.load_record(2).version
        later = rl.Bounds.between((since,), None, low_end=rl.End.EXCLUSIVE)
        assert ids(store, bounds=later) == [3, 4]
        until = rl.Bounds.between(None, (since,), high_end=rl.End.INCLUSIVE)
        assert ids(store, bounds=until) == [1, 2]
