"""Many records at once, records loaded ahead, and trying out what a save would do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.store import marking
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, SHOP, Customer, Order, builder


@pytest.fixture
def store(shop: Shop) -> Any:
    """The shop's store in a transaction that is committed when the test ends."""
    with shop.db.transaction() as tx:
        yield tx.store(SHOP, path=PATH)


# -- saving many -------------------------------------------------------------------------------------------


def test_a_batch_leaves_what_saving_one_by_one_leaves(db: Any) -> None:
    first, second = Shop(db, SHOP, ("shop", "a")), Shop(db, SHOP, ("shop", "b"))
    for shop in (first, second):
        shop.save(Order(id=1, customer="ana", total=3, tags=["x"]), Customer(ref="r", name="bo"))
    orders = [Order(id=number % 7, customer=("ana", "bo", "cy")[number % 3], total=number) for number in range(20)]
    records = [*orders, Customer(ref="r", name="cy"), Customer(ref="s", name="dan")]
    first.save(*records)
    with db.transaction() as tx:
        saved = tx.store(SHOP, path=second.path).save_many(records)
    assert [record.primary_key for record in saved] == [*[(order.id,) for order in orders], ("r",), ("s",)]
    one, other = first.pairs(), second.pairs()
    del one[b"\x14"], other[b"\x14"]  # the header has the time in it
    assert one == other
    first.check()
    second.check()


def test_a_batch_of_none_is_nothing(store: Any) -> None:
    assert store.save_many([]) == []
    assert store.delete_many([]) == []


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (Customer(ref="b", name="taken"), errors.UniquenessViolation),
        (Order(id=9, body=bytes(100_001)), errors.RecordTooLarge),
        (Order(id=9, customer="x" * 10_000), errors.IndexEntryTooLarge),
    ],
    ids=["unique", "record", "entry"],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_refused_record_leaves_no_trace_of_the_batch(shop: Shop, bad: Any, error: Any, place: int) -> None:
    shop.save(Customer(ref="a", name="taken"))
    before = shop.pairs()
    records: list[Any] = [Order(id=1, customer="ana"), Customer(ref="c", name="cy")]
    records.insert(place, bad)
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        with pytest.raises(error):
            store.save_many(records)
        store.save(Customer(ref="d", name="cy"))  # a value that the batch did not get is free
        store.delete("d")
    assert shop.pairs() == before


def test_two_records_of_a_batch_cannot_have_the_same_unique_value(store: Any) -> None:
    with pytest.raises(errors.UniquenessViolation):
        store.save_many([Customer(ref="a", name="ana"), Customer(ref="b", name="ana")])
    assert store.load_many(["a", "b"]) == [None, None]
    store.save(Customer(ref="b", name="ana"))


def test_a_unique_value_that_the_batch_gives_up_is_free_behind_it(store: Any) -> None:
    store.save(Customer(ref="a", name="ana"))
    with pytest.raises(errors.UniquenessViolation):
        store.save_many([Customer(ref="a", name="bo"), Customer(ref="b", name="ana")])
    store.save_many([Customer(ref="a", name="bo")])
    store.save_many([Customer(ref="b", name="ana")])


def test_violations_of_an_index_under_construction_are_noted_as_one_by_one(db: Any) -> None:
    first, second = Shop(db, SHOP, ("shop", "a")), Shop(db, SHOP, ("shop", "b"))
    records = [Customer(ref=ref, name=name) for ref, name in (("a", "x"), ("b", "y"), ("c", "x"), ("d", "x"))]
    changed = [Customer(ref="c", name="y"), Customer(ref="a", name="z"), Customer(ref="a", name="y")]
    for shop in (first, second):
        with db.transaction() as tx:
            marking.clear_and_mark(tx.store(SHOP, path=shop.path).core, SHOP.index("by_name"), rl.IndexState.WRITE_ONLY)
    first.save(*records)
    first.save(*changed)
    for batch in (records, changed):
        with db.transaction() as tx:
            tx.store(SHOP, path=second.path).save_many(batch)
    one, other = first.pairs(), second.pairs()
    del one[b"\x14"], other[b"\x14"]
    assert one == other
    assert any(key.startswith(b"\x15\x07") for key in one)


def test_a_batch_inserts_all_or_none(shop: Shop, store: Any) -> None:
    store.insert(Order(id=2))
    with pytest.raises(errors.RecordExists):
        store.save_many([Order(id=1), Order(id=2), Order(id=3)], expect=rl.Expect.NOTHING)
    with pytest.raises(errors.RecordExists):
        store.save_many([Order(id=4), Order(id=4)], expect=rl.Expect.NOTHING)
    with pytest.raises(errors.RecordMissing):
        store.save_many([Order(id=2, total=5), Order(id=1)], expect=rl.Expect.RECORD)
    assert store.load_many([1, 2, 3, 4]) == [None, Order(id=2), None, None]


def test_a_record_that_comes_twice_keeps_the_last_and_its_version(db: Any) -> None:
    metadata = builder().store_record_versions(True).split_long_records(True).build()
    shop = Shop(db, metadata)
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        saved = store.save_many([Order(id=1, body=bytes(150_000)), Order(id=2), Order(id=1, note="last")])
        assert [record.version.user_version for record in saved] == [0, 1, 2]
        assert store.load(1) == Order(id=1, note="last")
    assert len(shop.pairs()) == 1 + 2 * 2
    shop.check()


def test_many_are_deleted_and_each_is_said_to_have_been_there_once(shop: Shop, store: Any) -> None:
    store.save_many([Order(id=number, customer="ana") for number in range(4)])
    assert store.delete_many([3, 1, 9, 3]) == [True, True, False, False]
    assert store.count("orders_per_customer", "ana") == 2
    assert [order.id for order in store.scan()] == [0, 2]


@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc"), st.booleans()), max_size=8), max_size=4
    )
)
def test_batches_of_saves_and_deletes_keep_the_store_in_order(batches: list[list[tuple[int, str, bool]]]) -> None:
    model: dict[int, str] = {}
    with rl.open("memory:") as db:
        for batch in batches:
            with db.transaction() as tx:
                store = tx.store(SHOP, path=PATH)
                store.save_many([Order(id=key, customer=value) for key, value, _ in batch])
                model |= {key: value for key, value, _ in batch}
                gone = [key for key, _, delete in batch if delete]
                assert store.delete_many(gone) == [model.pop(key, None) is not None for key in gone]
        with db.transaction() as tx:
            store = tx.store(SHOP, path=PATH)
            assert {order.id: order.customer for order in store.scan()} == model
            assert store.check() == []


# -- loading ahead -----------------------------------------------------------------------------------------


def test_a_preloaded_record_is_loaded_saved_and_deleted_without_reading(shop: Shop, store: Any) -> None:
    store.save_many([Order(id=number, customer="ana") for number in range(4)])
    store.preload([0, 1, 2, 9])
    before = store.core.context.counters.reads
    assert store.load(0) == Order(id=0, customer="ana")
    assert store.load(9) is None
    assert store.load_many([2, 9]) == [Order(id=2, customer="ana"), None]
    store.save(Order(id=1, customer="bo"))
    assert store.delete(2) is True
    assert store.core.context.counters.reads == before


def test_a_preloaded_record_that_was_changed_is_read_again(shop: Shop, store: Any) -> None:
    store.save(Order(id=1, total=1))
    store.preload([1, 2])
    store.save_many([Order(id=1, total=2), Order(id=2, total=2)])
    assert store.load_many([1, 2]) == [Order(id=1, total=2), Order(id=2, total=2)]
    store.preload([1, 2])
    store.delete(1)
    assert store.load(1) is None
    store.preload([1, 2])
    store.delete_all()
    assert store.load_many([1, 2]) == [None, None]


def test_preloading_conflicts_with_who_changes_the_record(shop: Shop) -> None:
    shop.save(Order(id=1, total=1))
    tx = shop.db.transaction()
    store = tx.store(SHOP, path=PATH)
    store.preload([1])
    shop.save(Order(id=1, total=2))
    store.save(Order(id=2, total=store.load(1, snapshot=True).total))
    with pytest.raises(errors.Conflict):
        tx.commit()
    tx.close()


# -- trying out --------------------------------------------------------------------------------------------


def test_a_dry_save_writes_nothing_and_says_what_it_would_take(db: Any) -> None:
    metadata = builder().store_record_versions(True).split_long_records(True).build()
    shop = Shop(db, metadata)
    record = Order(id=1, body=bytes(250_000))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        writes = store.core.context.counters.writes
        dry = store.dry_save(record)
        assert store.core.context.counters.writes == writes
        assert store.load(1) is None
        saved = store.save(record)
        assert dry.shape == saved.shape
        assert (dry.shape.parts, dry.shape.has_version, dry.shape.pairs) == (3, True, 4)
        assert saved.version.user_version == 0
    whole = {key: value for key, value in shop.pairs().items() if key.startswith(b"\x15\x01")}
    assert saved.shape.value_bytes == sum(map(len, whole.values()))
    assert saved.shape.key_bytes == sum(len(rl.Subspace(PATH).key() + key) for key in whole)


def test_a_dry_save_is_refused_as_the_save_would_be(shop: Shop, store: Any) -> None:
    store.save(Customer(ref="a", name="ana"))
    store.insert(Order(id=1))
    with pytest.raises(errors.UniquenessViolation):
        store.dry_save(Customer(ref="b", name="ana"))
    with pytest.raises(errors.RecordExists):
        store.dry_save(Order(id=1), expect=rl.Expect.NOTHING)
    with pytest.raises(errors.RecordTooLarge):
        store.dry_save(Order(id=2, body=bytes(100_001)))
    assert store.dry_save(Order(id=1, total=5), expect=rl.Expect.RECORD).message == Order(id=1, total=5)
    assert store.load(1) == Order(id=1)


def test_a_dry_delete_says_whether_there_is_a_record_and_leaves_it(shop: Shop, store: Any) -> None:
    store.save(Order(id=1, customer="ana"))
    assert store.dry_delete(1) is True
    assert store.dry_delete(2) is False
    assert store.load(1) == Order(id=1, customer="ana")


# -- one type ----------------------------------------------------------------------------------------------


SAME_KEYS = (
    rl.RecordMetaDataBuilder(Order.DESCRIPTOR.file)
    .primary_key("Order", field("id"))
    .primary_key("Customer", field("id"))
    .index("Order", "by_customer", field("customer"))
    .build()
)


def test_a_typed_view_sees_its_own_records_only(db: Any) -> None:
    shop = Shop(db, SAME_KEYS)
    with db.transaction() as tx:
        store = tx.store(SAME_KEYS, path=PATH)
        orders, customers = store.typed(Order), store.typed(Customer)
        orders.save_many([Order(id=1, customer="ana"), Order(id=3, customer="bo")])
        customers.insert(Customer(id=2, name="ana"))
        assert orders.load(1) == Order(id=1, customer="ana")
        assert orders.load(2) is None
        assert orders.load_many([1, 2, 3]) == [Order(id=1, customer="ana"), None, Order(id=3, customer="bo")]
        assert (orders.exists(1), orders.exists(2)) == (True, False)
        assert customers.query().all() == [Customer(id=2, name="ana")]
        assert orders.query(rl.query("Order").where(rl.q.customer == "bo")).all() == [Order(id=3, customer="bo")]
        assert [order.id for order in orders.query()] == [1, 3]
        assert orders.delete(2) is False
        assert orders.delete(1) is True
        assert orders.update(Order(id=3, customer="cy")).primary_key == (3,)
        assert store.load(2) == Customer(id=2, name="ana")
    shop.check()


def test_a_typed_view_never_replaces_a_record_of_another_type(db: Any) -> None:
    with db.transaction() as tx:
        store = tx.store(SAME_KEYS, path=PATH)
        orders = store.typed(Order)
        store.save(Customer(id=1))
        for save in (orders.save, orders.update, lambda order: orders.save_many([order])):
            with pytest.raises(errors.RecordTypeChanged):
                save(Order(id=1))
        with pytest.raises(errors.RecordExists):
            orders.insert(Order(id=1))
        with pytest.raises(errors.RecordMissing):
            orders.update(Order(id=2))
        with pytest.raises(errors.WrongType):
            orders.save(Customer(id=5))
        with pytest.raises(errors.UsageError):
            orders.query(rl.query("Customer"))
        with pytest.raises(errors.UnknownRecordType):
            store.typed(type(Order().address))
        with pytest.raises(errors.WrongType):
            store.typed("Order")


def test_a_typed_view_gives_its_own_class_whatever_the_metadata_has(db: Any) -> None:
    loaded = rl.RecordMetaData.from_bytes(SAME_KEYS.to_bytes())
    with db.transaction() as tx:
        store = tx.store(loaded, path=PATH)
        orders = store.typed(Order)
        orders.save(Order(id=1, customer="ana"))
        assert type(store.load(1)) is not Order
        assert type(orders.load(1)) is Order
        assert [type(order) for order in orders.query()] == [Order]
        assert orders.load(1) == Order(id=1, customer="ana")
