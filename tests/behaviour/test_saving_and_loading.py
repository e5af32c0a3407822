"""Saving, loading and deleting records."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import recordlayer as rl
from recordlayer import errors, field
from tests.behaviour.conftest import Shop
from tests.support.shop import FILE, PATH, SHOP, Customer, Order, builder, shop_file


def test_a_saved_record_is_loaded_as_it_was(shop: Shop) -> None:
    order = Order(id=1, customer="ana", total=1200, tags=["new"], note="")
    shop.save(order)
    assert shop.load(1) == order
    assert shop.load((1,)) == order
    assert shop.load(2) is None


def test_saving_again_replaces_the_record_and_its_entries(shop: Shop) -> None:
    shop.save(Order(id=1, customer="ana", total=5, tags=["a", "b"]))
    shop.save(Order(id=1, customer="bo", tags=["b", "c"]))
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        assert store.load(1) == Order(id=1, customer="bo", tags=["b", "c"])
        assert [entry.key for entry in store.scan_index("by_tag")] == [("b",), ("c",)]
        assert [entry.key for entry in store.scan_index("by_customer")] == [("bo",)]
        assert store.count("orders_per_customer", "ana") == 0
        assert store.count("orders_per_customer", "bo") == 1


def test_save_says_what_it_saved(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        saved = tx.store(SHOP, path=PATH).save(Order(id=7, customer="ana"))
    assert saved.primary_key == (7,)
    assert saved.record_type.name == "Order"
    assert saved.message == Order(id=7, customer="ana")
    assert saved.version is None


def test_a_record_of_another_type_takes_the_place_of_one_with_the_same_key(db: Any) -> None:
    metadata = (
        rl.RecordMetaDataBuilder(FILE)
        .primary_key("Order", field("id"))
        .primary_key("Customer", field("id"))
        .index("Order", "by_customer", field("customer"))
        .index("Customer", "by_name", field("name"))
        .build()
    )
    shop = Shop(db, metadata)
    shop.save(Order(id=1, customer="ana"))
    shop.save(Customer(id=1, name="bo"))
    assert shop.load(1) == Customer(id=1, name="bo")
    shop.check()
    with db.transaction() as tx, pytest.raises(errors.RecordTypeChanged) as raised:
        tx.store(metadata, path=PATH).save(Order(id=1), expect=rl.Expect.SAME_TYPE)
    assert raised.value.fields["stored"] == "Customer"


def test_insert_refuses_what_is_there_and_update_what_is_not(shop: Shop) -> None:
    shop.save(Order(id=1))
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        with pytest.raises(errors.RecordExists):
            store.insert(Order(id=1, customer="ana"))
        with pytest.raises(errors.RecordMissing):
            store.update(Order(id=2))
        store.insert(Order(id=3))
        store.update(Order(id=1, customer="bo"))
    assert shop.load(1) == Order(id=1, customer="bo")
    assert shop.load(2) is None


def test_deleting_takes_the_entries_away_and_says_whether_there_was_one(shop: Shop) -> None:
    shop.save(Order(id=1, customer="ana", tags=["a"]), Customer(ref="x", name="ana"))
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        assert store.delete(1) is True
        assert store.delete(1) is False
        assert store.exists(1) is False
        assert store.exists("x") is True
        assert store.scan_index("by_tag").all() == []


def test_delete_all_leaves_the_header_only(shop: Shop) -> None:
    shop.save(Order(id=1, customer="ana"), Order(id=2))
    with shop.db.transaction() as tx:
        tx.store(SHOP, path=PATH).delete_all()
    assert list(shop.pairs()) == [b"\x14"]


def test_stores_at_different_paths_know_nothing_of_each_other(db: Any) -> None:
    first, second = Shop(db, SHOP, ("shop", "a")), Shop(db, SHOP, ("shop", "b"))
    first.save(Order(id=1))
    assert second.load(1) is None
    with db.transaction() as tx:
        tx.delete_store(path=("shop", "a"))
    assert first.load(1) is None
    with db.transaction() as tx, pytest.raises(errors.StoreMissing):
        tx.store(SHOP, path=("shop", "c"), mode=rl.OpenMode.OPEN)


def test_many_are_loaded_in_the_order_of_their_keys_as_given(shop: Shop) -> None:
    shop.save(*(Order(id=number) for number in (1, 2, 3)))
    with shop.db.transaction() as tx:
        found = tx.store(SHOP, path=PATH).load_many([3, 9, 1])
    assert found == [Order(id=3), None, Order(id=1)]


def test_fields_that_the_metadata_does_not_know_are_kept(db: Any) -> None:
    file = shop_file("proto2")
    older: Any = message_factory.GetMessageClass(file.message_types_by_name["Order"])
    order = older.FromString(Order(id=1, customer="ana").SerializeToString() + b"\xfa\x3f\x02hi")
    shop = Shop(db, builder(file).build())
    shop.save(order)
    assert shop.load(1).SerializeToString() == order.SerializeToString()


def test_an_older_program_changes_a_record_and_keeps_what_it_does_not_know(db: Any) -> None:
    older_file = descriptor_pb2.FileDescriptorProto()
    FILE.CopyToProto(older_file)
    (order_type,) = [message for message in older_file.message_type if message.name == "Order"]
    (address_type,) = [message for message in older_file.message_type if message.name == "Address"]
    for message, unknown in ((order_type, {"note", "items"}), (address_type, {"zip"})):
        kept = [one for one in message.field if one.name not in unknown]
        del message.field[:]
        message.field.extend(kept)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(older_file)
    older = builder(pool.FindFileByName(older_file.name)).index("Order", "by_total", field("total")).build()
    newer = builder().index("Order", "by_total", field("total")).build()
    shop = Shop(db, newer)
    whole = Order(id=1, total=1, note="kept", items=[{"sku": "a"}], address={"city": "Oslo", "zip": 7})
    shop.save(whole)
    with db.transaction() as tx:
        store = tx.store(older, path=PATH)
        order = store.load(1)
        assert not hasattr(order, "note")
        order.total, order.address.city = 2, "Rome"
        store.save_many([order])
    whole.total, whole.address.city = 2, "Rome"
    assert shop.load(1) == whole
    shop.check()


def test_a_message_of_the_same_type_from_another_pool_is_saved_too(shop: Shop) -> None:
    twin: Any = message_factory.GetMessageClass(shop_file("proto2").message_types_by_name["Order"])
    shop.save(twin(id=1, customer="ana", tags=["x"]))
    assert shop.load(1) == Order(id=1, customer="ana", tags=["x"])


def test_a_key_that_holds_its_default_is_found_by_that_default(db: Any) -> None:
    file = shop_file("proto3")
    order: Any = message_factory.GetMessageClass(file.message_types_by_name["Order"])
    shop = Shop(db, rl.RecordMetaDataBuilder(file).primary_key("Order", field("id")).build())
    shop.save(order(id=0, customer="ana"), order(id=1))
    assert shop.load(0).customer == "ana"
    assert b"\x15\x01\x00\x14" in shop.pairs(), "a null, as Java writes it"


# -- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 99_980, 99_990, 100_000, 100_030, 250_000, 5_000_000])
def test_records_of_any_size_come_back(db: Any, size: int) -> None:
    shop = Shop(db, builder().split_long_records(True).build())
    order = Order(id=1, body=bytes(size))
    shop.save(order)
    assert shop.load(1) == order


def test_a_record_grows_and_shrinks_without_leaving_parts_behind(db: Any) -> None:
    shop = Shop(db, builder().split_long_records(True).build())
    for size in (10, 300_000, 200_001, 100, 100_100, 0):
        shop.save(Order(id=1, body=bytes(size)))
        parts = [key for key in shop.pairs() if key.startswith(b"\x15\x01")]
        assert len(parts) == max(1, -(-(size + 10) // 100_000))
        assert len(shop.load(1).body) == size
    with db.transaction() as tx:
        tx.store(shop.metadata, path=PATH).delete(1)
    assert list(shop.pairs()) == [b"\x14"]


def test_a_record_over_the_limit_is_refused_and_nothing_of_it_written(shop: Shop) -> None:
    shop.save(Order(id=1, customer="ana"))
    before = shop.pairs()
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        with pytest.raises(errors.RecordTooLarge) as raised:
            store.save(Order(id=1, customer="bo", body=bytes(100_001)))
    assert "split_long_records" in raised.value.hint
    assert shop.pairs() == before


def test_an_index_entry_over_the_limit_is_refused_and_nothing_of_the_record_written(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        with pytest.raises(errors.IndexEntryTooLarge) as raised:
            store.save(Order(id=1, customer="x" * 10_000))
    assert raised.value.fields["index"] == "by_customer"
    assert list(shop.pairs()) == [b"\x14"]


def test_a_primary_key_over_the_limit_is_refused(db: Any) -> None:
    shop = Shop(db, builder().build())
    with db.transaction() as tx, pytest.raises(errors.RecordTooLarge, match="primary key"):
        tx.store(shop.metadata, path=PATH).save(Customer(ref="x" * 10_000))


# -- versions --------------------------------------------------------------------------------------------------------


def test_versions_tell_the_order_of_commits_and_of_saves_within_one(db: Any) -> None:
    metadata = builder().store_record_versions(True).build()
    shop = Shop(db, metadata)
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        first = store.save(Order(id=1))
        store.save(Order(id=2))
        assert not first.version.is_complete
        assert store.load_record(1).version == first.version, "read back before the commit"
        tx.commit()
        stamp = tx.versionstamp()
    shop.save(Order(id=3))
    with db.transaction() as tx:
        found = [record.version for record in tx.store(metadata, path=PATH).scan().records()]
    assert found[0] == first.version.completed(stamp)
    assert found == sorted(found)
    assert len(set(found)) == 3
    assert all(version.is_complete for version in found)


def test_a_given_version_is_kept_and_an_unwanted_one_left_out(db: Any) -> None:
    metadata = builder().store_record_versions(True).build()
    given = rl.Versionstamp(b"\x00" * 9 + b"\x07", 3)
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        store.save(Order(id=1), version=given)
        store.save(Order(id=2), version_behavior=rl.VersionBehavior.NO_VERSION)
        assert store.load_record(1).version == given
        assert store.load_record(2).version is None
        with pytest.raises(errors.WrongType):
            store.save(Order(id=3), version=b"12 bytes")


# -- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", [None, 7, "order", {"id": 1}, FILE])
def test_only_messages_of_the_metadata_can_be_saved(shop: Shop, record: Any) -> None:
    with shop.db.transaction() as tx, pytest.raises(errors.UnknownRecordType):
        tx.store(SHOP, path=PATH).save(record)


@pytest.mark.parametrize("key", [(1, 2), (), 1.5, True, None.__class__, b"bytes", [1, 2]])
def test_what_cannot_be_a_primary_key_is_refused_rather_than_not_found(shop: Shop, key: Any) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        for call in (store.load, store.delete, store.exists):
            with pytest.raises(errors.UsageError):
                call(key)


def test_a_transaction_that_has_ended_is_not_used_again(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        store.save(Order(id=1))
    for call in (lambda: store.load(1), lambda: store.save(Order(id=2)), lambda: store.scan().all(), tx.commit):
        with pytest.raises(errors.Closed):
            call()
    assert shop.load(2) is None


def test_damaged_bytes_are_named_and_the_rest_stays_readable(shop: Shop) -> None:
    shop.save(Order(id=1), Order(id=2))
    prefix = rl.Subspace(PATH).key()
    key = prefix + b"\x15\x01\x15\x01\x14"
    whole = shop.pairs()[key[len(prefix) :]]
    with shop.db.transaction() as tx:
        tx.context.transaction.set(key, b"\x1a\xff")
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        with pytest.raises(errors.CorruptRecord) as raised:
            store.load(1)
        assert raised.value.fields["primary_key"] == (1,)
        assert store.load(2) == Order(id=2)
        assert "a record cannot be read" in [finding.what for finding in store.check()]
        tx.context.transaction.set(key, whole)


@pytest.mark.usefixtures("leaves_damage")
def test_a_part_of_a_record_without_the_others_is_found(db: Any) -> None:
    metadata = builder().split_long_records(True).build()
    shop = Shop(db, metadata)
    shop.save(Order(id=1, body=bytes(250_000)), Order(id=2))
    prefix = rl.Subspace(PATH).key()
    with db.transaction() as tx:
        tx.context.transaction.clear(prefix + b"\x15\x01\x15\x01\x15\x02")
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        with pytest.raises(errors.CorruptRecord, match="part 2 was expected"):
            store.load(1)
        with pytest.raises(errors.CorruptRecord):
            store.scan().all()
        assert store.load(2) == Order(id=2)
        assert len(store.check()) >= 1
