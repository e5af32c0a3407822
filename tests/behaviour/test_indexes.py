"""Indexes in step with their records: uniqueness, aggregates, nulls, what is scanned."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.metadata.predicate import compare
from recordlayer.store import marking
from recordlayer.waiting.drivers import run_blocking
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, SHOP, Customer, Order, builder

# -- uniqueness ------------------------------------------------------------------------------------------------------


def test_a_second_record_with_a_unique_value_is_refused_and_not_written(shop: Shop) -> None:
    shop.save(Customer(ref="a", name="ana"))
    before = shop.pairs()
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        with pytest.raises(errors.UniquenessViolation) as raised:
            store.save(Customer(ref="b", name="ana"))
    assert raised.value.fields["held_by"] == ("a",)
    assert raised.value.fields["saving"] == ("b",)
    assert raised.value.fields["value"] == ("ana",)
    assert shop.pairs() == before


def test_two_records_of_one_transaction_cannot_share_a_unique_value(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        store.save(Customer(ref="a", name="ana"))
        with pytest.raises(errors.UniquenessViolation):
            store.save(Customer(ref="b", name="ana"))
        store.save(Customer(ref="a", name="bo"))
        store.save(Customer(ref="b", name="ana"))
        store.delete("b")
        store.save(Customer(ref="c", name="ana"))
    assert shop.load("b") is None
    assert shop.load("c").name == "ana"


def test_a_record_may_keep_its_own_unique_value(shop: Shop) -> None:
    shop.save(Customer(ref="a", name="ana", id=1))
    shop.save(Customer(ref="a", name="ana", id=2))
    assert shop.load("a").id == 2


def test_records_without_the_value_are_exempt_from_uniqueness(shop: Shop) -> None:
    shop.save(Customer(ref="a"), Customer(ref="b"), Customer(ref="c", name=""))
    with shop.db.transaction() as tx, pytest.raises(errors.UniquenessViolation):
        tx.store(SHOP, path=PATH).save(Customer(ref="d", name=""))


def test_two_transactions_cannot_both_take_a_unique_value(shop: Shop) -> None:
    shop.save()
    first, second = shop.db.transaction(), shop.db.transaction()

    def side_by_side() -> None:
        with first as one:
            one.store(SHOP, path=PATH).save(Customer(ref="a", name="ana"))
            with second as other:
                other.store(SHOP, path=PATH).save(Customer(ref="b", name="ana"))

    with pytest.raises(errors.Conflict):
        side_by_side()
    assert shop.load("a") is None


def test_an_index_that_is_not_unique_yet_notes_who_shares_a_value_and_may_be_read(db: Any) -> None:
    named = builder().index("Customer", "by_name", field("name"), unique=True).build()
    shop = Shop(db, named)
    shop.save(Customer(ref="a", name="ana"))
    with db.transaction() as tx:
        core = tx.store(named, path=PATH, format_version=9).core
        run_blocking(marking.mark_write_only(core, named.index("by_name")))
    shop.save(Customer(ref="b", name="ana"))
    violations = [key for key in shop.pairs() if key.startswith(b"\x15\x07")]
    assert len(violations) == 2, "noted for both"
    with db.transaction() as tx:
        core = tx.store(named, path=PATH).core
        with pytest.raises(errors.UniquenessViolation):
            run_blocking(marking.mark_readable(core, named.index("by_name")))
        run_blocking(marking.mark_readable(core, named.index("by_name"), unique_pending=True))
    shop.save(Customer(ref="a", name="ana", id=7))
    assert shop.load("a").id == 7, "its entry was there before"
    with db.transaction() as tx, pytest.raises(errors.UniquenessViolation):
        tx.store(named, path=PATH).save(Customer(ref="c", name="ana"))
    with db.transaction() as tx:
        tx.store(named, path=PATH).delete("b")
    assert not [key for key in shop.pairs() if key.startswith(b"\x15\x07")], "the last one alone violates nothing"
    with db.transaction() as tx:
        core = tx.store(named, path=PATH).core
        run_blocking(marking.mark_readable(core, named.index("by_name")))
    shop.check()


def test_a_count_that_is_being_built_counts_only_where_the_build_has_been(db: Any) -> None:
    counted = builder().index("Order", "counted", rl.count(group_by="customer")).build()
    shop = Shop(db, counted)
    shop.save(Order(id=5, customer="ana"))
    with db.transaction() as tx:
        core = tx.store(counted, path=PATH).core
        marking.clear_and_mark(core, counted.index("counted"), rl.IndexState.WRITE_ONLY)
    shop.save(Order(id=1, customer="ana"), Order(id=9, customer="ana"))
    entries = b"\x15\x02\x02counted\x00"
    assert not [key for key in shop.pairs() if key.startswith(entries)]
    built = rl.Subspace((*PATH, 6, "counted"))
    with db.transaction() as tx:
        tx.context.transaction.set(built.pack((b"\x00",)), rl.Subspace((5,)).key())
    shop.save(Order(id=2, customer="ana"), Order(id=6, customer="ana"))
    with db.transaction() as tx:
        tx.store(counted, path=PATH).delete(9)
    (key,) = [key for key in shop.pairs() if key.startswith(entries)]
    assert shop.pairs()[key] == (1).to_bytes(8, "little"), "the second only, which lies before 5"
    with db.transaction() as tx:
        tx.store(counted, path=PATH).rebuild_index("counted")
    with db.transaction() as tx:
        assert tx.store(counted, path=PATH).count("counted", "ana") == 4
    shop.check()


# -- aggregates ------------------------------------------------------------------------------------------------------


def test_counts_and_sums_follow_every_change(shop: Shop) -> None:
    shop.save(*(Order(id=number, customer="ab"[number % 2], total=number) for number in range(10)))
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        store.save(Order(id=0, customer="b", total=100))
        store.delete(1)
        assert store.count("orders_per_customer", "a") == 4
        assert store.count("orders_per_customer") == 9
        assert store.aggregate("sales_per_customer", "a") == 2 + 4 + 6 + 8
        assert store.aggregate("sales_per_customer") == 100 + sum(range(2, 10))
        assert store.count("orders_per_customer", "nobody") == 0
        groups = store.scan_index("orders_per_customer").all()
    assert [(entry.group, entry.value) for entry in groups] == [(("a",), 4), (("b",), 5)]


def test_aggregates_do_not_make_writers_wait_for_each_other(shop: Shop) -> None:
    shop.save()
    first, second = shop.db.transaction(), shop.db.transaction()
    with first as one, second as other:
        one.store(SHOP, path=PATH).save(Order(id=1, customer="ana", total=1))
        other.store(SHOP, path=PATH).save(Order(id=2, customer="ana", total=2))
    with shop.db.transaction() as tx:
        assert tx.store(SHOP, path=PATH).aggregate("sales_per_customer", "ana") == 3


def test_the_least_and_greatest_that_ever_was_stay_after_the_record_is_gone(db: Any) -> None:
    metadata = (
        builder()
        .index("Order", "least", field("total").group_by("customer"), type="min_ever_long")
        .index("Order", "greatest", field("total").group_by("customer"), type="max_ever_tuple")
        .index("Order", "saves", rl.count(group_by="customer").expression, type="count_updates")
        .index("Order", "with_note", field("note").ungrouped(), type="count_not_null")
        .build()
    )
    shop = Shop(db, metadata)
    shop.save(Order(id=1, customer="ana", total=5), Order(id=2, customer="ana", total=9, note="x"))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        store.delete(1)
        store.save(Order(id=2, customer="ana", total=7, note="y"))
        store.save(Order(id=3, customer="bo", total=1, note="z"))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        assert store.aggregate("least", "ana") == 5
        assert store.aggregate("greatest", "ana") == (9,)
        assert store.aggregate("least") == 1
        assert store.aggregate("greatest") == (9,)
        assert store.aggregate("least", "nobody") is None
        assert store.aggregate("saves", "ana") == 3
        assert store.aggregate("with_note") == 2
        with pytest.raises(errors.UsageError, match="min_ever_tuple"):
            store.save(Order(id=4, customer="ana", total=-1))
        assert store.load(4) is None
    shop.check()


def test_an_aggregate_is_asked_for_no_more_columns_than_it_groups_by(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        with pytest.raises(errors.UsageError, match="groups by 1"):
            store.count("orders_per_customer", "ana", 3)
        with pytest.raises(errors.UsageError, match="aggregate"):
            store.aggregate("by_customer", "ana")
        with pytest.raises(errors.UnknownIndex, match="orders_per_customer"):
            store.count("order_per_customer")


def test_a_group_whose_last_record_is_gone_may_go_as_well(db: Any) -> None:
    counted = rl.count(group_by="customer", clear_when_zero=True)
    metadata = (
        builder().index("Order", "kept", rl.count(group_by="customer")).index("Order", "cleared", counted).build()
    )
    shop = Shop(db, metadata)
    shop.save(Order(id=1, customer="ana"))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        store.delete(1)
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        assert len(store.scan_index("kept").all()) == 1
        assert store.scan_index("cleared").all() == []
    shop.check()


# -- entries ---------------------------------------------------------------------------------------------------------


def test_an_index_is_scanned_whole_by_prefix_by_bounds_and_in_reverse(shop: Shop) -> None:
    shop.save(*(Order(id=number, customer="abc"[number % 3], total=number) for number in range(9)))

    def ids(*arguments: Any, **how: Any) -> list[int]:
        with shop.db.transaction() as tx:
            found = tx.store(SHOP, path=PATH).scan_index("by_customer_and_total", *arguments, **how).all()
        return [entry.primary_key[0] for entry in found]

    assert ids() == [0, 3, 6, 1, 4, 7, 2, 5, 8]
    assert ids("b") == [1, 4, 7]
    assert ids(("b", 4)) == [4]
    assert ids("b", reverse=True) == [7, 4, 1]
    between = rl.Bounds.between(("a", 3), ("b", 4))
    assert ids(bounds=between) == [3, 6, 1]
    assert ids(bounds=rl.Bounds.between(("a", 3), ("b", 4), low_end=rl.End.EXCLUSIVE, high_end=rl.End.INCLUSIVE)) == [
        6,
        1,
        4,
    ]
    assert ids(bounds=rl.Bounds.between(None, ("a", 3))) == [0]
    assert ids(bounds=rl.Bounds.between(("z",), ("a",))) == []


def test_entries_hold_the_columns_the_primary_key_and_what_they_cover(shop: Shop) -> None:
    shop.save(Order(id=7, total=3, note="soon"))
    with shop.db.transaction() as tx:
        (entry,) = tx.store(SHOP, path=PATH).scan_index("by_total_with_note")
    assert entry.key == (3,)
    assert entry.value == ("soon",)
    assert entry.primary_key == (7,)


def test_a_repeated_field_has_an_entry_for_each_different_element(shop: Shop) -> None:
    shop.save(Order(id=1, tags=["b", "a", "b"]), Order(id=2), Order(id=3, tags=["a"]))
    with shop.db.transaction() as tx:
        found = tx.store(SHOP, path=PATH).scan_index("by_tag").all()
    assert [(entry.key, entry.primary_key) for entry in found] == [(("a",), (1,)), (("a",), (3,)), (("b",), (1,))]


def test_an_index_with_a_condition_has_only_the_records_that_fulfil_it(db: Any) -> None:
    metadata = builder().index("Order", "large", field("total"), where=compare("total", ">", 100)).build()
    shop = Shop(db, metadata)
    shop.save(Order(id=1, total=100), Order(id=2, total=101), Order(id=3))
    shop.save(Order(id=1, total=200), Order(id=2, total=5))
    with db.transaction() as tx:
        assert [entry.primary_key for entry in tx.store(metadata, path=PATH).scan_index("large")] == [(1,)]
    shop.check()


def test_an_index_over_several_types_has_the_records_of_all(db: Any) -> None:
    metadata = (
        rl.RecordMetaDataBuilder(Order.DESCRIPTOR.file)
        .primary_key("Order", rl.concat(rl.record_type(), "id"))
        .primary_key("Customer", rl.concat(rl.record_type(), "id"))
        .index(("Order", "Customer"), "by_id", field("id"))
        .index(None, "all_of_a_type", rl.count(group_by=rl.record_type()))
        .build()
    )
    shop = Shop(db, metadata)
    shop.save(Order(id=1), Customer(id=1), Customer(id=2))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        assert [entry.key for entry in store.scan_index("by_id")] == [(1,), (1,), (2,)]
        assert store.count("all_of_a_type") == 3
        assert store.count(rl.query("Customer")) == 2
        assert [entry.value for entry in store.scan_index("all_of_a_type")] == [1, 2]
    shop.check()
