"""Stores that lost their header: they are refused until they are repaired, and afterwards nothing is relied on that
only the old header could have told."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.store.open import Cacheable
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, SHOP, Customer, Order, builder, plain

PREFIX = rl.Subspace(PATH).key()
HEADER = PREFIX + b"\x14"


def lose_header(db: Any) -> None:
    with db.transaction() as tx:
        tx.context.clear(HEADER)


@pytest.fixture
def headless(shop: Shop) -> Shop:
    """A shop with records and indexes, and without a header."""
    shop.save(Order(id=1, customer="ana", total=5, tags=["x"]), Customer(ref="a", name="ana"))
    lose_header(shop.db)
    return shop


def repair(db: Any, metadata: rl.RecordMetaData = SHOP, *, least_format: int = 7, **how: Any) -> bool:
    with db.transaction() as tx:
        return tx.repair_missing_header(metadata, path=PATH, least_format=least_format, **how)


def rebuild_all(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(shop.metadata, path=PATH)
        for name in shop.metadata.indexes:
            store.rebuild_index(name)


def test_records_are_there_again_and_indexes_wait_to_be_built(headless: Shop) -> None:
    with headless.db.transaction() as tx, pytest.raises(errors.NotARecordStore):
        tx.store(SHOP, path=PATH)
    assert repair(headless.db, user_version=4)
    with headless.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH, mode=rl.OpenMode.OPEN)
        assert store.load(1) == Order(id=1, customer="ana", total=5, tags=["x"])
        assert {store.index_state(name) for name in SHOP.indexes} == {rl.IndexState.DISABLED}
        header = store.core.header.message
        assert (header.formatVersion, header.metaDataversion, header.userVersion) == (7, SHOP.version, 4)
    assert not [key for key in headless.pairs() if key.startswith(b"\x15\x02")], "no entries are left"
    assert not repair(headless.db), "there is nothing to repair any more"
    rebuild_all(headless)


def test_the_store_may_be_locked_with_its_indexes_as_they_are(headless: Shop) -> None:
    assert repair(headless.db, format_version=14, keep_indexes_and_lock="lost its header")
    with headless.db.transaction() as tx, pytest.raises(errors.StoreLocked, match="lost its header"):
        tx.store(SHOP, path=PATH)
    with headless.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH, bypass_lock="lost its header")
        assert len(store.scan_index("by_customer").all()) == 1
        store.header.unlock()
    headless.check()


def test_others_who_remember_the_store_learn_of_the_new_header(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        tx.store(SHOP, path=PATH, cacheable=Cacheable.YES).save(Order(id=1))
    for _ in range(2):
        with shop.db.transaction() as tx:
            tx.store(SHOP, path=PATH)
    lose_header(shop.db)
    assert repair(shop.db)
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        assert store.index_state("by_tag") is rl.IndexState.DISABLED
        assert not store.core.header.cacheable
    rebuild_all(shop)


def test_entries_of_indexes_that_are_no_more_are_cleared(db: Any) -> None:
    old = builder().index("Order", "by_total", field("total"))
    shop = Shop(db, old.build())
    shop.save(Order(id=1, total=5))
    lose_header(db)
    newer = old.remove_index("by_total").build()
    assert repair(db, newer)
    assert sorted(Shop(db, newer).pairs()) == [b"\x14", b"\x15\x01\x15\x01\x14"]
    Shop(db, newer).check()


def test_counters_of_records_are_disabled_and_cleared(db: Any) -> None:
    counting = builder().record_count_key(rl.record_type()).build()
    Shop(db, counting).save(Order(id=1))
    lose_header(db)
    with pytest.raises(errors.UsageError, match="11"):
        repair(db, counting)
    assert repair(db, counting, format_version=11)
    pairs = Shop(db, counting).pairs()
    assert not [key for key in pairs if key.startswith(b"\x15\x04")]
    with db.transaction() as tx:
        store = tx.store(counting, path=PATH)
        store.save(Order(id=2))
    assert not [key for key in Shop(db, counting).pairs() if key.startswith(b"\x15\x04")], "nothing is counted any more"
    Shop(db, counting).check()


def test_what_cannot_be_repaired_is_refused_and_nothing_is_written(shop: Shop) -> None:
    with pytest.raises(errors.StoreMissing):
        repair(shop.db)
    shop.save(Order(id=1))
    with pytest.raises(errors.StaleMetaData):
        repair(shop.db, plain())
    lose_header(shop.db)
    before = shop.pairs()
    for how in (
        {"least_format": 5},
        {"least_format": 8},
        {"least_format": 0},
        {"format_version": 7, "keep_indexes_and_lock": "x"},
    ):
        with pytest.raises(errors.UsageError):
            repair(shop.db, **how)
    assert shop.pairs() == before
    assert repair(shop.db)
    rebuild_all(shop)


def test_stores_of_the_oldest_layout_are_repaired_as_such(db: Any) -> None:
    old = Shop(db, plain())
    with db.transaction() as tx:
        tx.store(plain(), path=PATH, format_version=4).save(Order(id=1, customer="ana"))
    lose_header(db)
    assert repair(db, plain(), least_format=3, format_version=4)
    with db.transaction() as tx:
        assert tx.store(plain(), path=PATH, format_version=4).load(1) == Order(id=1, customer="ana")
    with db.transaction() as tx:
        assert tx.store(plain(), path=PATH).load(1) == Order(id=1, customer="ana"), "and raised as ever"
    old.check()
