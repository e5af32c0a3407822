"""Deleting records by the beginning of their primary keys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.keys.special import EMPTY
from recordlayer.store import marking
from recordlayer.waiting.drivers import run_blocking
from tests.behaviour.conftest import Shop
from tests.support.shop import FILE, PATH, Customer, Order, shop_file


def by_customer(file: Any = FILE) -> rl.RecordMetaDataBuilder:
    """Orders and customers, both with a name first in their keys."""
    return (
        rl.RecordMetaDataBuilder(file)
        .primary_key("Order", rl.concat("customer", "id"))
        .index("Order", "by_total", rl.concat("customer", "total"))
        .index("Order", "by_total_with_note", rl.key_with_value(rl.concat("customer", "total", "note"), split_point=2))
        .index("Order", "orders", rl.count(group_by=field("customer")))
        .index("Order", "sales", rl.sum_of("total", group_by=rl.concat("customer", "status")))
    )


def only_orders() -> rl.RecordMetaDataBuilder:
    return by_customer(_file_of_orders())


def _file_of_orders() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool

    file = descriptor_pb2.FileDescriptorProto()
    FILE.CopyToProto(file)
    kept = [message for message in file.message_type if message.name != "Customer"]
    del file.message_type[:]
    file.message_type.extend(kept)
    file.name = "orders.proto"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindFileByName(file.name)


ORDERS = only_orders().build()


def by_type() -> rl.RecordMetaDataBuilder:
    """Primary keys that begin with the type."""
    return (
        rl.RecordMetaDataBuilder(FILE)
        .primary_key("Order", rl.concat(rl.record_type(), "customer", "id"))
        .primary_key("Customer", rl.concat(rl.record_type(), "ref"))
        .index("Order", "by_total", rl.concat("customer", "total"))
        .index("Customer", "by_name", field("name"), unique=True)
        .index(None, "per_type", rl.count(group_by=rl.record_type()))
    )


TYPED = by_type().build()


def orders(*names: str) -> list[Any]:
    return [
        Order(id=number, customer=name, total=number % 3, note="n", status=number % 2)
        for name in names
        for number in range(4)
    ]


def test_all_records_with_a_first_column_go_with_their_entries(db: Any) -> None:
    kept, cut = Shop(db, ORDERS, ("shop", "kept")), Shop(db, ORDERS, ("shop", "cut"))
    kept.save(*orders("ana", "an", "anaa", "bo"))
    cut.save(*orders("ana", "an", "anaa", "bo", "ana\0z", "gone"))
    with db.transaction() as tx:
        store = tx.store(ORDERS, path=cut.path)
        before = store.core.context.counters
        reads = before.reads
        store.delete_where(customer="gone")
        assert (before.reads, before.range_clears, before.clears) == (reads, 5, 0)
        assert store.record_count(by=field("customer"), value=("gone",)) == 0
        store.delete_where(customer="ana\0z")
    one, other = kept.pairs(), cut.pairs()
    del one[b"\x14"], other[b"\x14"]
    assert one == other
    cut.check()


def test_a_value_is_not_taken_for_the_beginning_of_a_longer_one(db: Any) -> None:
    shop = Shop(db, ORDERS)
    shop.save(*orders("ana", "ana\0z", "an", ""))
    with db.transaction() as tx:
        tx.store(ORDERS, path=PATH).delete_where(customer="ana")
    assert sorted({order.customer for order in shop.messages(rl.query("Order"))}) == ["", "an", "ana\0z"]
    shop.check()


def test_a_whole_type_goes_and_the_others_stay(db: Any) -> None:
    shop = Shop(db, TYPED)
    shop.save(*orders("ana", "bo"), Customer(ref="a", name="x"), Customer(ref="b", name="y"))
    with db.transaction() as tx:
        store = tx.store(TYPED, path=PATH)
        store.delete_where("Order")
        assert store.record_count("Order") == 0
        assert store.record_count("Customer") == 2
        assert store.record_count() == 2
    assert shop.messages(rl.query("Customer").where(rl.q.name == "y")) == [Customer(ref="b", name="y")]
    shop.check()
    with db.transaction() as tx:
        store = tx.store(TYPED, path=PATH)
        store.delete_where("Customer")
        store.save(Customer(ref="c", name="x"))  # the value is free again, in the same transaction too
    shop.check()


def test_a_unique_value_of_this_transaction_is_free_when_its_record_is_gone(db: Any) -> None:
    with db.transaction() as tx:
        store = tx.store(TYPED, path=PATH)
        store.save(Customer(ref="a", name="x"))
        store.delete_where("Customer")
        store.save(Customer(ref="b", name="x"))
    Shop(db, TYPED).check()


def test_an_index_that_does_not_begin_so_is_named_and_nothing_is_cleared(db: Any) -> None:
    shop = Shop(db, TYPED)
    shop.save(*orders("ana", "bo"), Customer(ref="a", name="x"))
    before = shop.pairs()
    with db.transaction() as tx:
        store = tx.store(TYPED, path=PATH)
        with pytest.raises(errors.IndexCannotClear) as raised:
            store.delete_where("Order", customer="ana")  # entries of per_type count all customers
        assert raised.value.fields["index"] == "per_type"
        writes = store.core.context.counters.writes
        assert writes == 0
    assert shop.pairs() == before
    with db.transaction() as tx:
        store = tx.store(TYPED, path=PATH)
        run_blocking(marking.mark_disabled(store.core, TYPED.index("per_type")))
        store.delete_where("Order", customer="ana")
        assert [order.customer for order in store.query(rl.query("Order"))] == ["bo"] * 4
    shop.check()


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("other_column", field("total")),
        ("fan_out", rl.concat(field("tags").fan_out(), "customer")),
        ("group_of_another", rl.count(group_by=field("status"))),
        ("all_in_one", rl.count()),
    ],
)
def test_entries_that_are_not_together_forbid_it(db: Any, name: str, expression: Any) -> None:
    metadata = only_orders().index("Order", name, expression).build()
    shop = Shop(db, metadata)
    shop.save(*orders("ana"))
    with db.transaction() as tx, pytest.raises(errors.IndexCannotClear) as raised:
        tx.store(metadata, path=PATH).delete_where(customer="ana")
    assert raised.value.fields["index"] == name
    shop.check()


@pytest.mark.parametrize(
    ("arguments", "values"),
    [((), {}), ((), {"total": 3}), ((), {"customer": "ana", "total": 3}), (("Order",), {}), ((), {"nothing": 1})],
)
def test_what_no_primary_key_begins_with_is_refused(db: Any, arguments: Any, values: Any) -> None:
    shop = Shop(db, ORDERS)
    shop.save(*orders("ana"))
    with db.transaction() as tx, pytest.raises(errors.UsageError):
        tx.store(ORDERS, path=PATH).delete_where(*arguments, **values)
    shop.check()
    assert len(shop.messages(rl.query("Order"))) == 4


def test_values_are_checked_and_types_known(db: Any) -> None:
    with db.transaction() as tx:
        store = tx.store(ORDERS, path=PATH)
        with pytest.raises(errors.WrongType):
            store.delete_where(customer=7)
        with pytest.raises(errors.WrongType):
            store.delete_where({"customer": "ana"})
        with pytest.raises(errors.UnknownRecordType):
            store.delete_where("Nobody")


def test_every_type_must_begin_with_the_columns(db: Any) -> None:
    metadata = by_customer().primary_key("Customer", field("ref")).build()
    with db.transaction() as tx, pytest.raises(errors.UsageError) as raised:
        tx.store(metadata, path=PATH).delete_where(customer="ana")
    assert raised.value.fields["record_type"] == "Customer"


def test_a_nested_field_is_named_by_its_path(db: Any) -> None:
    metadata = (
        rl.RecordMetaDataBuilder(_file_of_orders())
        .primary_key("Order", rl.concat(field("address").nest("city", "zip"), "id"))
        .index("Order", "by_place", rl.concat(field("address").nest("zip", "city"), "total"))
        .index("Order", "by_city", rl.concat(field("address").nest("city"), "total"))
        .build()
    )
    shop = Shop(db, metadata)
    shop.save(*(Order(id=n, address={"city": city}) for n, city in enumerate(("Oslo", "Rome", "Oslo"))))
    shop.save(Order(id=9))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        with pytest.raises(errors.IndexCannotClear) as raised:
            store.delete_where(None, {"address.city": "Oslo"})
        assert raised.value.fields["index"] == "by_place"
        run_blocking(marking.mark_disabled(store.core, metadata.index("by_place")))
        store.delete_where(None, {"address.city": "Oslo"})
        assert sorted(order.id for order in store.scan()) == [1, 9]
        store.delete_where(None, {"address.city": None})
        assert [order.id for order in store.scan()] == [1]
    shop.check()


def test_the_default_of_a_field_without_presence_means_the_records_that_have_it(db: Any) -> None:
    file = shop_file("proto3")
    metadata = (
        rl.RecordMetaDataBuilder(file)
        .primary_key("Order", rl.concat(rl.record_type(), "total", "id"))
        .primary_key("Customer", rl.concat(rl.record_type(), "id"))
        .index("Order", "by_note", rl.concat("total", "note"))
        .build()
    )
    shop = Shop(db, metadata)
    order = metadata.record_type("Order").message_class
    shop.save(order(id=1, total=0), order(id=2, total=0, note="a"), order(id=3, total=1))
    with db.transaction() as tx:
        tx.store(metadata, path=PATH).delete_where("Order", total=0)
    assert [one.id for one in shop.messages(rl.query("Order"))] == [3]
    shop.check()


def test_a_split_record_goes_whole_and_a_preloaded_one_is_forgotten(db: Any) -> None:
    metadata = only_orders().split_long_records(True).store_record_versions(True).build()
    shop = Shop(db, metadata)
    shop.save(Order(id=1, customer="ana", body=bytes(300_000)), Order(id=2, customer="bo", body=bytes(150_000)))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        store.preload([("ana", 1)])
        store.save(Order(id=3, customer="ana"))  # its version waits for the commit
        store.delete_where(customer="ana")
        assert store.load(("ana", 1)) is None
        assert store.load(("ana", 3)) is None
    assert [key for key in shop.pairs() if b"ana" in key] == []
    assert len(shop.load(("bo", 2)).body) == 150_000
    shop.check()


def test_versions_and_counters_of_old_formats_go_too(db: Any) -> None:
    counted = only_orders().store_record_versions(True).record_count_key(field("customer")).build()
    shop = Shop(db, counted)
    with db.transaction() as tx:
        store = tx.store(counted, path=PATH, format_version=4)
        for order in orders("ana", "bo"):
            store.save(order)
    with db.transaction() as tx:
        store = tx.store(counted, path=PATH, format_version=4)
        store.delete_where(customer="ana")
        assert store.record_count(by=field("customer"), value=("bo",)) == 4
        assert store.record_count() == 4
    assert [key for key in shop.pairs() if b"ana" in key] == []
    shop.check()


def test_counters_by_other_columns_forbid_it(db: Any) -> None:
    for key in (field("total"), EMPTY):
        metadata = only_orders().record_count_key(key).build()
        shop = Shop(db, metadata, ("shop", repr(key)))
        shop.save(*orders("ana"))
        with db.transaction() as tx, pytest.raises(errors.UsageError) as raised:
            tx.store(metadata, path=shop.path).delete_where(customer="ana")
        assert raised.value.fields["record_count_key"] == key
        shop.check()


NAMES = st.sampled_from(["", "a", "ab", "a\0", "a\0b", "b", "\xff"])


@given(saved=st.lists(st.tuples(NAMES, st.integers(0, 3)), max_size=12), gone=st.lists(NAMES, max_size=3))
def test_what_is_left_is_what_deleting_one_by_one_leaves(saved: list[tuple[str, int]], gone: list[str]) -> None:
    records = [Order(id=number, customer=name, total=number) for name, number in saved]
    with rl.open("memory:") as db:
        one, other = Shop(db, ORDERS, ("shop", 1)), Shop(db, ORDERS, ("shop", 2))
        one.save(*records)
        other.save(*(record for record in records if record.customer not in gone))
        with db.transaction() as tx:
            store = tx.store(ORDERS, path=one.path)
            for name in gone:
                store.delete_where(customer=name)
        left, expected = one.pairs(), other.pairs()
        left.pop(b"\x14"), expected.pop(b"\x14", None)
        assert left == expected
        one.check()
