"""What a store's header keeps for its users: fields, locks, the incarnation, cacheability, record counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.kv.engine import METADATA_VERSION_KEY
from recordlayer.store.counts import RecordCountState
from recordlayer.store.settings import StoreLock
from recordlayer.waiting.drivers import run_blocking
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, SHOP, Customer, Order, builder, plain

NEWEST = 15


class Opened(Shop):
    """A store of the newest format that is opened for one thing at a time."""

    def store(self, tx: Any, **how: Any) -> Any:
        return tx.store(self.metadata, path=self.path, format_version=NEWEST, **how)

    def do(self, work: Any, **how: Any) -> Any:
        with self.db.transaction() as tx:
            return work(self.store(tx, **how))

    def stamp(self) -> Any:
        with self.db.transaction() as tx:
            return run_blocking(_get(tx.context, METADATA_VERSION_KEY))


async def _get(context: Any, key: bytes) -> bytes | None:
    value: bytes | None = await context.get(key)
    return value


@pytest.fixture
def opened(db: Any) -> Any:
    shop = Opened(db, SHOP)
    shop.do(lambda store: store.save(Order(id=1)))
    yield shop
    with db.transaction() as tx:
        reason = None
        try:
            store = shop.store(tx)
        except errors.StoreLocked as locked:
            reason = locked.fields["reason"]
            store = shop.store(tx, bypass_lock=reason)
        assert store.check() == []


def test_fields_of_ones_own_are_kept_in_their_order(opened: Opened) -> None:
    def change(store: Any) -> None:
        header = store.header
        assert header.user_field("owner") is None
        header.set_user_field("owner", b"\x00\xff")
        header.set_user_field("b", b"")
        header.set_user_field("owner", b"new")
        assert header.user_field("owner") == b"new"

    opened.do(change)
    assert opened.do(lambda store: dict(store.header.info.user_fields)) == {"owner": b"new", "b": b""}
    assert opened.do(lambda store: store.header.clear_user_field("owner")) is True
    assert opened.do(lambda store: store.header.clear_user_field("owner")) is False
    assert opened.do(lambda store: dict(store.header.info.user_fields)) == {"b": b""}
    for name, value in ((7, b""), ("a", "text")):
        with pytest.raises(errors.WrongType):
            opened.do(lambda store, name=name, value=value: store.header.set_user_field(name, value))


def test_two_who_have_a_store_open_in_one_transaction_keep_what_the_other_writes(opened: Opened) -> None:
    with opened.db.transaction() as tx:
        one, two = opened.store(tx), opened.store(tx)
        one.header.set_user_field("one", b"1")
        two.header.set_user_field("two", b"2")
        one.header.forbid_updates(reason="moving")
        with pytest.raises(errors.StoreLocked):
            two.save(Order(id=1))
        three = opened.store(tx)
        assert three.header.unlock()
        one.save(Order(id=1))
        assert dict(two.header.info.user_fields) == {"one": b"1", "two": b"2"}
    with opened.db.transaction() as tx:
        assert dict(opened.store(tx).header.info.user_fields) == {"one": b"1", "two": b"2"}


def test_an_older_format_has_none_of_this_and_says_which_has(db: Any) -> None:
    needs = {
        8: (lambda header: header.set_user_field("a", b""), lambda header: header.clear_user_field("a")),
        11: (lambda header: header.set_record_counts(RecordCountState.WRITE_ONLY),),
        12: (lambda header: header.forbid_updates(reason="r"), lambda header: header.unlock()),
        13: (lambda header: header.raise_incarnation(),),
        14: (lambda header: header.lock(reason="r"),),
        7: (lambda header: header.set_cacheable(True),),
    }
    for needed, changes in needs.items():
        with db.transaction() as tx:
            store = tx.store(plain(), path=("shop", needed), format_version=needed - 1)
            writes = store.core.context.counters.writes
            for change in changes:
                with pytest.raises(errors.UsageError) as raised:
                    change(store.header)
                assert raised.value.fields["needed"] == needed
            assert store.core.context.counters.writes == writes


def test_a_store_that_forbids_updates_is_read_and_not_written(opened: Opened) -> None:
    opened.do(lambda store: store.header.forbid_updates(reason="moving"))
    lock = opened.do(lambda store: store.header.info.lock)
    assert (lock.lock, lock.reason) == (StoreLock.RECORD_UPDATES, "moving")
    assert opened.do(lambda store: store.load(1)) == Order(id=1)
    order = Order(id=2)
    for change in (
        lambda store: store.save(order),
        lambda store: store.save_many([order]),
        lambda store: store.dry_save(order),
        lambda store: store.delete(1),
        lambda store: store.delete_many([1]),
        lambda store: store.dry_delete(1),
        lambda store: store.delete_all(),
        lambda store: store.delete_where("Order"),
        lambda store: store.typed(Order).delete(1),
    ):
        with pytest.raises(errors.StoreLocked) as raised:
            opened.do(change)
        assert raised.value.fields["reason"] == "moving"
    assert opened.do(lambda store: store.header.unlock()) is True
    assert opened.do(lambda store: store.header.unlock()) is False
    opened.do(lambda store: store.save(order))


def test_a_lock_takes_effect_in_its_own_transaction(opened: Opened) -> None:
    def change(store: Any) -> None:
        store.header.forbid_updates(reason="now")
        with pytest.raises(errors.StoreLocked):
            store.save(Order(id=2))

    opened.do(change)


def test_a_full_lock_lets_in_whoever_gives_its_reason(opened: Opened) -> None:
    opened.do(lambda store: store.header.lock(reason="repair 7"))
    for wrong in (None, "", "repair"):
        with pytest.raises(errors.StoreLocked):
            opened.do(lambda store: store.load(1), bypass_lock=wrong)
    opened.do(lambda store: store.save(Order(id=2, customer="ana")), bypass_lock="repair 7")
    assert opened.do(lambda store: store.header.info.lock.lock, bypass_lock="repair 7") is StoreLock.FULL_STORE


def test_a_lock_has_a_kind_and_a_reason(opened: Opened) -> None:
    with pytest.raises(errors.WrongType):
        opened.do(lambda store: store.header.lock(reason=None))


def test_an_incarnation_only_rises(opened: Opened) -> None:
    assert opened.do(lambda store: store.header.info.incarnation) == 0
    assert opened.do(lambda store: store.header.raise_incarnation()) == 1
    assert opened.do(lambda store: store.header.raise_incarnation(5)) == 5
    assert opened.do(lambda store: store.header.raise_incarnation(5)) == 5
    for lower in (4, -1, 1 << 31):
        with pytest.raises(errors.UsageError):
            opened.do(lambda store, lower=lower: store.header.raise_incarnation(lower))
    for other in (True, "7", 6.0):
        with pytest.raises(errors.WrongType):
            opened.do(lambda store, other=other: store.header.raise_incarnation(other))
    assert opened.do(lambda store: store.header.info.incarnation) == 5


def test_a_cacheable_store_stamps_the_database_when_its_state_changes(opened: Opened) -> None:
    stamps = [opened.stamp()]

    def changed(work: Any) -> bool:
        opened.do(work)
        stamps.append(opened.stamp())
        return bool(stamps[-1] != stamps[-2])

    assert changed(lambda store: store.header.set_user_field("a", b"")) is False
    assert changed(lambda store: store.header.set_cacheable(True)) is True
    assert changed(lambda store: store.header.set_cacheable(True)) is False
    assert changed(lambda store: store.save(Order(id=2))) is False
    assert changed(lambda store: store.header.set_user_field("a", b"b")) is True
    assert changed(lambda store: store.header.forbid_updates(reason="r")) is True
    assert changed(lambda store: store.header.unlock()) is True
    assert changed(lambda store: store.rebuild_index("by_tag")) is True
    assert changed(lambda store: store.header.set_cacheable(False)) is True
    assert changed(lambda store: store.header.set_user_field("a", b"")) is False
    assert opened.do(lambda store: store.header.info.cacheable) is False
    with pytest.raises(errors.WrongType):
        opened.do(lambda store: store.header.set_cacheable(1))


def test_the_header_says_when_it_was_written(opened: Opened) -> None:
    first = opened.do(lambda store: store.header.info)
    opened.do(lambda store: store.header.set_user_field("a", b""))
    second = opened.do(lambda store: store.header.info)
    assert first.updated_at <= second.updated_at <= datetime.now(UTC)
    assert (second.format_version, second.metadata_version) == (NEWEST, SHOP.version)
    assert second.lock is None


def test_changes_of_one_header_conflict(opened: Opened) -> None:
    first, second = opened.db.transaction(), opened.db.transaction()
    opened.store(first).header.set_user_field("a", b"1")
    opened.store(second).header.set_user_field("b", b"2")
    first.commit()
    with pytest.raises(errors.Conflict):
        second.commit()
    first.close()
    second.close()


# -- record counts -----------------------------------------------------------------------------------------

COUNTED = builder().record_count_key(rl.record_type()).build()


@pytest.fixture
def counted(db: Any) -> Any:
    shop = Opened(db, COUNTED)
    shop.save(Order(id=1), Order(id=2), Customer(ref="a"))
    yield shop
    shop.check()


def test_counters_count_by_type_and_in_all(counted: Opened) -> None:
    assert counted.do(lambda store: store.record_count()) == 3
    assert counted.do(lambda store: store.record_count("Order")) == 2
    counted.do(lambda store: store.delete(1))
    counted.do(lambda store: store.save(Customer(ref="a", name="x")))
    assert counted.do(lambda store: [store.record_count("Order"), store.record_count("Customer")]) == [1, 1]
    with pytest.raises(errors.UsageError):
        counted.do(lambda store: store.record_count(by=field("id"), value=(1,)))
    with pytest.raises(errors.UsageError):
        counted.do(lambda store: store.record_count(value=(1,)))
    with pytest.raises(errors.UnknownRecordType):
        counted.do(lambda store: store.record_count("Nobody"))


def test_counters_that_are_write_only_are_kept_and_not_read(counted: Opened) -> None:
    assert counted.do(lambda store: store.header.set_record_counts(RecordCountState.WRITE_ONLY)) is True
    assert counted.do(lambda store: store.header.set_record_counts(RecordCountState.WRITE_ONLY)) is False
    with pytest.raises(errors.UsageError):
        counted.do(lambda store: store.record_count())
    counted.do(lambda store: store.save(Order(id=3)))
    counted.do(lambda store: store.header.set_record_counts(RecordCountState.READABLE))
    assert counted.do(lambda store: store.record_count("Order")) == 3


def test_counters_that_are_disabled_are_cleared_for_good(counted: Opened) -> None:
    def disable(store: Any) -> None:
        store.header.set_record_counts(RecordCountState.DISABLED)
        store.save(Order(id=3))

    counted.do(disable)
    counted.do(lambda store: store.save(Order(id=4)))
    assert [key for key in counted.pairs() if key.startswith(b"\x15\x04")] == []
    assert counted.do(lambda store: store.header.info.record_counts) is RecordCountState.DISABLED
    for state in (RecordCountState.READABLE, RecordCountState.WRITE_ONLY):
        with pytest.raises(errors.UsageError):
            counted.do(lambda store, state=state: store.header.set_record_counts(state))
    with pytest.raises(errors.WrongType):
        counted.do(lambda store: store.header.set_record_counts(3))
    with pytest.raises(errors.UsageError):
        counted.do(lambda store: store.record_count())


def test_count_indexes_count_by_type_group_and_in_all(shop: Shop) -> None:
    shop.save(Order(id=1, customer="ana"), Order(id=2, customer="bo"), Order(id=3, customer="ana"), Customer(ref="a"))
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        assert store.record_count("Order") == 3
        assert store.record_count("Order", by=field("customer"), value=("ana",)) == 2
        with pytest.raises(errors.UsageError):
            store.record_count("Customer")
        with pytest.raises(errors.UsageError):
            store.record_count()  # customers are counted by nothing
