"""Several writers at once: who conflicts, who does not, and what the indexes hold in the end."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.keys import version
from recordlayer.metadata.definitions import max_ever, max_ever_version, min_ever, version_index
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, Order, builder

ALL_KINDS = (
    builder()
    .store_record_versions()
    .index("Order", "by_total", rl.concat("customer", "total"))
    .index("Order", "by_number", field("body"), unique=True)
    .index("Order", "orders", rl.count(group_by="customer"))
    .index("Order", "orders_in_cells", rl.count(cells=4))
    .index("Order", "sales", rl.sum_of("total", group_by="customer"))
    .index("Order", "least", min_ever("total", group_by="customer"))
    .index("Order", "most", max_ever("total", group_by="customer"))
    .index("Order", "changes", version_index(rl.concat("customer", version())))
    .index("Order", "latest", max_ever_version(group_by="customer"))
    .build()
)

WRITERS, ROUNDS = 8, 6


def test_eight_writers_end_with_a_clean_check(db: Any) -> None:
    """Half of what they change they share. Conflicts are tried again."""
    failed: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for turn in range(ROUNDS):
                db.run(lambda tx, turn=turn: change(tx, writer, turn), retry=rl.Retry(attempts=1_000))
        except BaseException as error:
            failed.append(error)
            raise

    def change(tx: Any, writer: int, turn: int) -> None:
        store = tx.store(ALL_KINDS, path=PATH)
        own, shared = 1_000 + 100 * writer + turn, turn % 3
        for number in (own, shared):
            customer = "abc"[(writer + turn + number) % 3]
            store.save(Order(id=number, customer=customer, total=writer * turn, body=b"%d" % number))
        if turn % 2:
            store.delete(own - 1)

    Shop(db, ALL_KINDS).save()
    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with db.transaction() as tx:
        store = tx.store(ALL_KINDS, path=PATH)
        assert store.check() == []
        there = WRITERS * (ROUNDS // 2) + 3
        assert store.count("orders") == store.count("orders_in_cells") == there
        assert len(store.scan_index("changes").all()) == there


def side_by_side(db: Any, first: Any, second: Any) -> None:
    """Both have read before either commits; the second commits first."""
    with db.transaction() as one:
        one.store(ALL_KINDS, path=PATH).save(first)
        with db.transaction() as other:
            other.store(ALL_KINDS, path=PATH).save(second)


@pytest.mark.parametrize("customers", [("ana", "bo"), ("ana", "ana")])
def test_writers_of_different_records_never_conflict_whatever_their_groups(db: Any, customers: Any) -> None:
    Shop(db, ALL_KINDS).save(Order(id=9, customer="ana", total=1))
    first, second = (Order(id=number, customer=name, total=5) for number, name in enumerate(customers))
    side_by_side(db, first, second)
    with db.transaction() as tx:
        store = tx.store(ALL_KINDS, path=PATH)
        assert store.aggregate("sales") == 11
        assert store.count("orders") == 3


def test_whoever_reads_an_aggregate_conflicts_with_its_writers_unless_it_is_a_snapshot(db: Any) -> None:
    shop = Shop(db, ALL_KINDS)
    shop.save(Order(id=1, customer="ana", total=1))

    def read_and_write(meddler: int, **how: Any) -> None:
        with db.transaction() as tx:
            store = tx.store(ALL_KINDS, path=PATH)
            assert store.aggregate("sales", "ana", **how) == 1
            store.save(Order(id=2, customer="bo", total=5))
            shop.save(Order(id=meddler, customer="ana", total=0))

    read_and_write(3, snapshot=True)
    with pytest.raises(errors.Conflict):
        read_and_write(4)


def test_readers_of_one_group_do_not_conflict_with_writers_of_another(db: Any) -> None:
    shop = Shop(db, ALL_KINDS)
    shop.save(Order(id=1, customer="ana", total=1))
    with db.transaction() as tx:
        store = tx.store(ALL_KINDS, path=PATH)
        assert store.aggregate("sales", "ana") == 1
        assert store.count("orders", "ana") == 1
        assert len(store.scan_index("changes", "ana").all()) == 1
        store.save(Order(id=2, customer="ana"))
        shop.save(Order(id=3, customer="bo", total=5))
