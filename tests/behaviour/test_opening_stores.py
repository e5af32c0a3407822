"""Opening stores: what must be there, what is refused, and what new metadata does to a store."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.pb.record_metadata_pb2 import DataStoreInfo
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, SHOP, Customer, Order, builder, plain

PREFIX = rl.Subspace(PATH).key()
HEADER = PREFIX + b"\x14"


def put(db: Any, key: bytes, value: bytes) -> None:
    with db.transaction() as tx:
        tx.context.transaction.set(key, value)


def header(shop: Shop) -> DataStoreInfo:
    return DataStoreInfo.FromString(shop.pairs()[b"\x14"])


def opened(db: Any, metadata: rl.RecordMetaData = SHOP, **how: Any) -> None:
    with db.transaction() as tx:
        tx.store(metadata, path=PATH, **how)


# -- what must be there ----------------------------------------------------------------------------------------------


def test_an_empty_store_holds_its_header_only_and_opening_again_writes_nothing(shop: Shop) -> None:
    opened(shop.db)
    before = shop.pairs()
    assert list(before) == [b"\x14"]
    with shop.db.transaction() as tx:
        tx.store(SHOP, path=PATH)
        assert tx.counters.writes == 0
    assert shop.pairs() == before


def test_modes_say_what_must_be_there(db: Any) -> None:
    with pytest.raises(errors.StoreMissing):
        opened(db, mode=rl.OpenMode.OPEN)
    opened(db, mode=rl.OpenMode.CREATE)
    opened(db, mode=rl.OpenMode.OPEN)
    with pytest.raises(errors.StoreExists):
        opened(db, mode=rl.OpenMode.CREATE)


def test_data_of_something_else_are_left_alone(db: Any) -> None:
    key = rl.Subspace((*PATH, "notes")).key()
    put(db, key, b"mine")
    for mode in (rl.OpenMode.CREATE_OR_OPEN, rl.OpenMode.CREATE, rl.OpenMode.OPEN, rl.OpenMode.TOLERATE_LEFTOVERS):
        with pytest.raises(errors.NotARecordStore) as raised:
            opened(db, mode=mode)
        assert raised.value.fields["first_key"] == key
    with db.transaction() as tx:
        assert tx.counters.writes == 0


def test_what_an_index_build_left_behind_is_tolerated_when_asked(db: Any) -> None:
    put(db, PREFIX + b"\x15\x05\x02by_name\x00", b"\x15\x02")
    with pytest.raises(errors.NotARecordStore) as raised:
        opened(db)
    assert raised.value.fields["looks_like"] == "index states"
    opened(db, mode=rl.OpenMode.TOLERATE_LEFTOVERS)


@pytest.mark.parametrize("path", ["shop", b"shop", None, 7, (), [], {"shop": 1}, (object(),)])
def test_a_path_is_a_tuple_of_names(db: Any, path: Any) -> None:
    with db.transaction() as tx, pytest.raises((errors.UsageError, errors.TupleError)):
        tx.store(SHOP, path=path)


def test_metadata_must_be_built(db: Any) -> None:
    with db.transaction() as tx, pytest.raises(errors.WrongType, match="build"):
        tx.store(builder(), path=PATH)


def test_the_prefix_of_a_store_is_the_packed_path(db: Any) -> None:
    opened(db)
    with db.transaction() as tx:
        waitable = tx.context.transaction.get(b"\x02shop\x00\x02acme\x00\x14")
        waitable.block()
        assert waitable.ready()
    with db.transaction() as tx:
        tx.store(SHOP, path=rl.Subspace(("shop", "acme")), mode=rl.OpenMode.OPEN)


# -- versions --------------------------------------------------------------------------------------------------------


def test_older_metadata_is_refused_and_newer_raises_the_version(db: Any) -> None:
    newer = builder().index("Order", "by_total", field("total")).build()
    shop = Shop(db, newer)
    opened(db, plain())
    assert header(shop).metaDataversion == plain().version
    opened(db, newer)
    assert header(shop).metaDataversion == newer.version
    with pytest.raises(errors.StaleMetaData) as raised:
        opened(db, plain())
    assert raised.value.fields["stored_version"] == newer.version


def test_a_format_is_raised_when_asked_for_and_never_lowered(db: Any) -> None:
    shop = Shop(db, SHOP)
    opened(db)
    assert header(shop).formatVersion == 7
    opened(db, format_version=9)
    opened(db)
    assert header(shop).formatVersion == 9


@pytest.mark.parametrize("version", [0, -1, "7", 2.5, None])
def test_a_format_version_is_a_small_number(db: Any, version: Any) -> None:
    with pytest.raises(errors.UsageError):
        opened(db, format_version=version)


def test_formats_that_are_not_known_are_refused_before_anything_is_written(db: Any) -> None:
    with pytest.raises(errors.FormatTooNew):
        opened(db, format_version=16)
    put(db, HEADER, DataStoreInfo(formatVersion=16, metaDataversion=1).SerializeToString())
    with db.transaction() as tx:
        with pytest.raises(errors.FormatTooNew) as raised:
            tx.store(SHOP, path=PATH)
        assert tx.counters.writes == 0
    assert raised.value.fields["format_version"] == 16


def test_user_versions_rise_and_an_older_program_is_refused(db: Any) -> None:
    shop = Shop(db, SHOP)
    opened(db, user_version=3)
    opened(db)
    opened(db, user_version=4)
    assert header(shop).userVersion == 4
    with pytest.raises(errors.StaleUserVersion):
        opened(db, user_version=3)


def test_a_damaged_header_is_named(db: Any) -> None:
    put(db, HEADER, b"\xff\xff\xff")
    with pytest.raises(errors.CorruptHeader) as raised:
        opened(db)
    assert raised.value.fields["key"] == HEADER


def test_unknown_fields_of_the_header_stay(db: Any) -> None:
    shop = Shop(db, SHOP)
    opened(db, plain())
    put(db, HEADER, shop.pairs()[b"\x14"] + b"\xfa\x3f\x02hi")
    opened(db, SHOP)
    assert shop.pairs()[b"\x14"].endswith(b"\xfa\x3f\x02hi")


def test_a_locked_store_is_not_written_and_a_fully_locked_one_not_opened(shop: Shop) -> None:
    shop.save(Order(id=1))
    saved = shop.pairs()[b"\x14"]
    info = DataStoreInfo.FromString(saved)
    states = DataStoreInfo.StoreLockState
    info.formatVersion = 14
    info.store_lock_state.lock_state = states.FORBID_RECORD_UPDATE
    info.store_lock_state.reason = "moving"
    put(shop.db, HEADER, info.SerializeToString())
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        assert store.load(1) == Order(id=1)
        for call in (lambda: store.save(Order(id=2)), lambda: store.delete(1), store.delete_all):
            with pytest.raises(errors.StoreLocked, match="moving"):
                call()
    info.store_lock_state.lock_state = states.FULL_STORE
    put(shop.db, HEADER, info.SerializeToString())
    with pytest.raises(errors.StoreLocked):
        opened(shop.db)
    put(shop.db, HEADER, saved)


# -- indexes of newer metadata ---------------------------------------------------------------------------------------


def test_an_index_that_is_new_to_a_small_store_is_built_when_the_store_is_opened(db: Any) -> None:
    Shop(db, plain()).save(*(Order(id=number, customer="ab"[number % 2]) for number in range(1, 51)))
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        assert store.index_state("by_customer") is rl.IndexState.READABLE
        assert store.count("orders_per_customer", "a") == 25
    Shop(db, SHOP).check()


def test_an_index_that_is_new_to_a_large_store_waits_disabled_until_it_is_built(db: Any) -> None:
    Shop(db, plain()).save(*(Order(id=number, customer="ana") for number in range(1, 212)))
    by_customer = rl.query("Order").where(rl.q.customer == "ana")
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        assert store.index_state("by_customer") is rl.IndexState.DISABLED
        with pytest.raises(errors.IndexNotReadable):
            store.scan_index("by_customer")
        assert "by_customer is DISABLED" in str(store.explain(by_customer))
        assert len(store.query(by_customer).all()) == 211
        store.save(Order(id=500, customer="ana"))
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        for name in SHOP.indexes:
            store.rebuild_index(name)
        assert store.explain(by_customer).line == "Fetch(Scan(by_customer[customer = 'ana']))"
        assert store.count("orders_per_customer", "ana") == 212
    Shop(db, SHOP).check()


def test_a_unique_index_that_the_records_violate_is_left_disabled(db: Any) -> None:
    Shop(db, plain()).save(Customer(ref="a", name="ana"), Customer(ref="b", name="ana"))
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        assert store.index_state("by_name") is rl.IndexState.DISABLED
        assert store.index_state("by_customer") is rl.IndexState.READABLE
    with pytest.raises(errors.UniquenessViolation), db.transaction() as tx:
        tx.store(SHOP, path=PATH).rebuild_index("by_name")
    Shop(db, SHOP).check()


def test_a_rebuild_that_was_refused_cannot_be_committed(db: Any) -> None:
    Shop(db, plain()).save(Customer(ref="a", name="ana"), Customer(ref="b", name="ana"))

    def go_on_after_the_error() -> None:
        with db.transaction() as tx:
            store = tx.store(SHOP, path=PATH)
            with pytest.raises(errors.UniquenessViolation):
                store.rebuild_index("by_name")

    with pytest.raises(errors.UniquenessViolation):
        go_on_after_the_error()
    Shop(db, SHOP).check()


def test_the_entries_of_a_removed_index_go_when_the_store_is_opened(db: Any) -> None:
    old = builder().index("Order", "by_total", field("total"))
    shop = Shop(db, old.build())
    shop.save(Order(id=1, total=5))
    assert any(key.startswith(b"\x15\x02") for key in shop.pairs())
    newer = builder().index("Order", "by_total", field("total")).remove_index("by_total").build()
    opened(db, newer)
    assert not any(key.startswith(b"\x15\x02") for key in Shop(db, newer).pairs())


def test_an_index_type_that_nobody_knows_forbids_saving_and_not_loading(db: Any) -> None:
    Shop(db, plain()).save(Order(id=1, customer="ana"))
    searched = builder().index("Order", "searched", field("total").ungrouped(), type="made_up").build()
    with db.transaction() as tx:
        store = tx.store(searched, path=PATH)
        assert store.load(1) == Order(id=1, customer="ana")
    Shop(db, searched, ("shop", "other"))
    with db.transaction() as tx:
        store = tx.store(searched, path=("shop", "other"))
        with pytest.raises(errors.IndexNotSupported) as raised:
            store.save(Order(id=1))
    assert raised.value.fields["type"] == "made_up"
