"""What is remembered of stores between transactions: opening a known store reads nothing, and nobody ever goes by a
state that is not the store's any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors
from recordlayer.kv.engine import METADATA_VERSION_KEY
from recordlayer.kv.registry import open_engine
from recordlayer.store import marking, settings
from recordlayer.store.counts import RecordCountState
from recordlayer.store.open import Cacheable
from recordlayer.store.state_cache import StoreStateCache
from recordlayer.testing import Counting
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, SHOP, Order, plain

OTHER = ("shop", "other")


class Counted:
    """A database over an engine that counts, with one store in it."""

    def __init__(self, database_over: Any, **how: Any) -> None:
        self.engine = Counting(open_engine("memory:"))
        self.db = database_over(self.engine, world=World(), **how)

    def opening(self, metadata: rl.RecordMetaData = SHOP, **how: Any) -> tuple[int, int, int]:
        """Point reads, range reads and writes of opening the store in a transaction of its own."""
        with self.engine.measured() as counts, self.db.transaction() as tx:
            tx.store(metadata, path=PATH, **how)
        return counts.gets, counts.ranges, counts.writes

    def commit_something(self) -> None:
        with self.db.transaction() as tx:
            tx.context.set(b"elsewhere", b"")


@pytest.fixture
def counted(database_over: Any) -> Iterator[Counted]:
    made = Counted(database_over)
    yield made
    made.db.close()


# -- costs -------------------------------------------------------------------------------------------------


def test_a_store_that_was_opened_at_the_same_version_is_opened_without_a_read(counted: Counted) -> None:
    assert counted.opening() == (0, 2, 1), "its creation"
    assert counted.opening() == (0, 2, 0)
    assert counted.opening() == (0, 0, 0)
    counted.commit_something()
    assert counted.opening() == (0, 2, 0), "it may have been changed since"


def test_a_cacheable_store_is_opened_for_the_metadata_version_stamp_until_its_state_changes(counted: Counted) -> None:
    assert counted.opening(cacheable=Cacheable.YES) == (1, 2, 2), "nobody had set the stamp before"
    counted.commit_something()
    assert counted.opening() == (1, 2, 0)
    for _ in range(3):
        counted.commit_something()
        with counted.engine.measured() as counts, counted.db.transaction() as tx:
            tx.store(SHOP, path=PATH)
            assert tx.counters.reads == 0, "the stamp came with the read version"
        assert (counts.gets, counts.ranges, counts.writes) == (1, 0, 0)
        assert counted.opening() == (0, 0, 0), "nor the stamp, at the same version"
    with counted.db.transaction() as tx:
        disable(tx, "by_tag")
    assert counted.opening() == (1, 2, 0)


def test_creating_cacheable_stores_writes_the_stamp_only_if_nobody_ever_has(counted: Counted) -> None:
    def created(name: str) -> int:
        with counted.engine.measured() as counts, counted.db.transaction() as tx:
            tx.store(SHOP, path=("shop", name), cacheable=Cacheable.IF_NEW)
        return counts.writes

    assert [created(name) for name in "abc"] == [2, 1, 1]


def test_a_changed_record_costs_what_it_did_with_a_store_that_is_remembered(counted: Counted) -> None:
    for _ in range(2):
        counted.opening()
    with counted.engine.measured() as counts, counted.db.transaction() as tx:
        tx.store(SHOP, path=PATH).save(Order(id=1))
    assert (counts.gets + counts.ranges, counts.commits) == (1, 1)


def test_a_transaction_at_a_remembered_read_version_opens_a_known_store_without_reading(db: Any) -> None:
    stale = rl.TransactionOptions(staleness=timedelta(minutes=5))
    with db.transaction() as tx:
        tx.store(SHOP, path=PATH)
    for reads in (2, 0, 0):
        with db.transaction(options=stale) as tx:
            tx.store(SHOP, path=PATH)
            assert tx.counters.reads == reads


# -- never an old state ------------------------------------------------------------------------------------


def disable(tx: Any, index: str, metadata: rl.RecordMetaData = SHOP, path: Any = PATH) -> None:
    store = tx.store(metadata, path=path).core
    run_blocking(marking.mark_disabled(store, metadata.index(index)))


@pytest.fixture(params=[Cacheable.NO, Cacheable.YES], ids=["by read version", "by stamp"])
def remembered(request: pytest.FixtureRequest, shop: Shop) -> Shop:
    """A shop whose state this process has remembered, where it can: on a cluster read versions are not known for
    nothing."""
    for _ in range(3):
        with shop.db.transaction() as tx:
            tx.store(SHOP, path=PATH, cacheable=request.param)
    if request.param is Cacheable.YES or shop.db.url == "memory:":
        with shop.db.transaction() as tx:
            tx.store(SHOP, path=PATH)
            assert tx.counters.reads == 0
    return shop


def test_a_changed_index_state_is_seen_by_the_next_transaction(remembered: Shop) -> None:
    with remembered.db.transaction() as tx:
        assert tx.store(SHOP, path=PATH).index_state("by_tag") is rl.IndexState.READABLE
        disable(tx, "by_tag")
        assert tx.store(SHOP, path=PATH).index_state("by_tag") is rl.IndexState.DISABLED, "in the same one"
    for _ in range(3):
        with remembered.db.transaction() as tx:
            assert tx.store(SHOP, path=PATH).index_state("by_tag") is rl.IndexState.DISABLED


def test_what_a_transaction_that_is_undone_has_changed_is_never_remembered(remembered: Shop) -> None:
    with remembered.db.transaction() as tx:
        disable(tx, "by_tag")
        assert tx.store(SHOP, path=PATH).index_state("by_tag") is rl.IndexState.DISABLED
        tx.cancel()
    with remembered.db.transaction() as tx:
        assert tx.store(SHOP, path=PATH).index_state("by_tag") is rl.IndexState.READABLE


def test_a_deleted_store_is_gone_also_for_those_who_remember_it(remembered: Shop) -> None:
    with remembered.db.transaction() as tx:
        tx.delete_store(path=PATH)
        with pytest.raises(errors.StoreMissing):
            tx.store(SHOP, path=PATH, mode=rl.OpenMode.OPEN)
    with remembered.db.transaction() as tx, pytest.raises(errors.StoreMissing):
        tx.store(SHOP, path=PATH, mode=rl.OpenMode.OPEN)
    with remembered.db.transaction() as tx:
        tx.store(SHOP, path=PATH, mode=rl.OpenMode.CREATE)


def test_a_store_cleared_as_keys_is_gone_in_the_same_transaction(remembered: Shop) -> None:
    prefix = rl.Subspace(PATH).key()
    with remembered.db.transaction() as tx:
        tx.context.clear_range(prefix, prefix + b"\xff")
        with pytest.raises(errors.StoreMissing):
            tx.store(SHOP, path=PATH, mode=rl.OpenMode.OPEN)
        tx.cancel()


def test_stores_that_are_cleared_as_a_part_of_the_database_are_gone_for_those_who_remember_them(
    remembered: Shop,
) -> None:
    everything = rl.Subspace(PATH[:1]).key()
    with remembered.db.transaction() as tx:
        tx.context.clear_stores(everything, everything + b"\xff")
        with pytest.raises(errors.StoreMissing):
            tx.store(SHOP, path=PATH, mode=rl.OpenMode.OPEN)
    for _ in range(2):
        with remembered.db.transaction() as tx, pytest.raises(errors.StoreMissing):
            tx.store(SHOP, path=PATH, mode=rl.OpenMode.OPEN)


def test_what_a_store_must_be_is_checked_of_remembered_ones_too(remembered: Shop) -> None:
    with remembered.db.transaction() as tx:
        with pytest.raises(errors.StoreExists):
            tx.store(SHOP, path=PATH, mode=rl.OpenMode.CREATE)
        with pytest.raises(errors.StaleMetaData):
            tx.store(plain(), path=PATH)
        tx.store(SHOP, path=PATH, user_version=7)
    for _ in range(2):
        with remembered.db.transaction() as tx, pytest.raises(errors.StaleUserVersion):
            tx.store(SHOP, path=PATH, user_version=6)


def test_a_remembered_store_is_upgraded_by_newer_metadata(shop: Shop) -> None:
    for _ in range(3):
        with shop.db.transaction() as tx:
            tx.store(plain(), path=PATH, cacheable=Cacheable.YES).save(Order(id=1, customer="ana"))
    with shop.db.transaction() as tx:
        assert tx.store(SHOP, path=PATH).count("orders_per_customer", "ana") == 1
    with shop.db.transaction() as tx, pytest.raises(errors.StaleMetaData):
        tx.store(plain(), path=PATH)


def test_a_transaction_in_the_past_goes_by_the_state_of_then(remembered: Shop) -> None:
    db = remembered.db
    with db.transaction() as tx:
        tx.store(SHOP, path=PATH, user_version=1)
    with db.transaction() as held:
        then = held.read_version()
        with db.transaction() as tx:
            tx.store(SHOP, path=PATH, user_version=2)
            disable(tx, "by_tag")
        for _ in range(2):
            with db.transaction() as tx:
                assert tx.store(SHOP, path=PATH).core.header.user_version == 2
        for _ in range(2):
            with db.transaction(options=rl.TransactionOptions(read_version=then)) as tx:
                store = tx.store(SHOP, path=PATH)
                assert store.core.header.user_version == 1
                assert store.index_state("by_tag") is rl.IndexState.READABLE
        with db.transaction() as tx:
            assert tx.store(SHOP, path=PATH).index_state("by_tag") is rl.IndexState.DISABLED


# -- serialisable all the same -----------------------------------------------------------------------------


def test_whoever_opened_a_remembered_store_conflicts_with_a_change_of_its_header(remembered: Shop) -> None:
    def changed_meanwhile() -> None:
        with remembered.db.transaction() as tx:
            tx.store(SHOP, path=PATH)
            tx.context.set(b"elsewhere", b"")
            with remembered.db.transaction() as other:
                other.store(SHOP, path=PATH, user_version=9)

    with pytest.raises(errors.Conflict):
        changed_meanwhile()


def test_whoever_writes_an_index_of_a_remembered_store_conflicts_with_a_change_of_its_state(remembered: Shop) -> None:
    def changed_meanwhile() -> None:
        with remembered.db.transaction() as tx:
            store = tx.store(SHOP, path=PATH)
            store.save(Order(id=1, tags=["x"]))
            with remembered.db.transaction() as other:
                disable(other, "by_tag")

    with pytest.raises(errors.Conflict):
        changed_meanwhile()
    with remembered.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        store.save(Order(id=1, tags=["x"]))
        store.rebuild_index("by_tag")


# -- writers keep the contract -----------------------------------------------------------------------------

LOCKED_FORMAT = 12

CHANGES: dict[str, Callable[[Any], object]] = {
    "an upgrade of the metadata": lambda tx: tx.store(SHOP, path=OTHER),
    "a user version": lambda tx: tx.store(plain(), path=OTHER, user_version=3),
    "a format version": lambda tx: tx.store(plain(), path=OTHER, format_version=15),
    "no longer cacheable": lambda tx: tx.store(plain(), path=OTHER, cacheable=Cacheable.NO),
    "a lock": lambda tx: settings.lock(
        tx.store(plain(), path=OTHER).core, settings.StoreLock.RECORD_UPDATES, reason="x"
    ),
    "a field of the application": lambda tx: settings.set_user_field(tx.store(plain(), path=OTHER).core, "a", b"b"),
    "whether records are counted": lambda tx: settings.set_record_counts(
        tx.store(plain(), path=OTHER).core, RecordCountState.WRITE_ONLY
    ),
    "no longer cacheable, by its header": lambda tx: settings.set_cacheable(tx.store(plain(), path=OTHER).core, False),
    "its deletion": lambda tx: tx.delete_store(path=OTHER),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_a_cacheable_store_s_state_writes_the_stamp(db: Any, change: str) -> None:
    with db.transaction() as tx:
        tx.store(plain(), path=OTHER, cacheable=Cacheable.YES, format_version=LOCKED_FORMAT)
    before = stamp(db)
    with db.transaction() as tx:
        tx.store(plain(), path=OTHER)
    assert stamp(db) == before, "opening changes nothing"
    with db.transaction() as tx:
        CHANGES[change](tx)
    assert stamp(db) != before


STATES: dict[str, Callable[[Any, Any], object]] = {
    "disabled": lambda store, index: run_blocking(marking.mark_disabled(store, index)),
    "write only": lambda store, index: run_blocking(marking.mark_write_only(store, index)),
    "cleared": lambda store, index: marking.clear_and_mark(store, index, rl.IndexState.WRITE_ONLY),
    "readable, unchecked": lambda store, index: marking.mark_readable_unchecked(store, index),
}


@pytest.mark.parametrize("change", STATES)
def test_every_change_of_an_index_state_of_a_cacheable_store_writes_the_stamp(db: Any, change: str) -> None:
    with db.transaction() as tx:
        tx.store(SHOP, path=PATH, cacheable=Cacheable.YES)
    before = stamp(db)
    with db.transaction() as tx:
        STATES[change](tx.store(SHOP, path=PATH).core, SHOP.index("by_tag"))
    assert stamp(db) != before


def test_stores_that_are_not_cacheable_leave_the_stamp_alone(db: Any) -> None:
    before = stamp(db)
    with db.transaction() as tx:
        tx.store(SHOP, path=PATH)
        disable(tx, "by_tag")
    with db.transaction() as tx:
        tx.delete_store(path=PATH)
    assert stamp(db) == before


def test_a_full_lock_is_seen_by_those_who_remember_the_store(remembered: Shop) -> None:
    with remembered.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH, format_version=14).core
        settings.lock(store, settings.StoreLock.FULL_STORE, reason="moving")
    for _ in range(3):
        with remembered.db.transaction() as tx:
            with pytest.raises(errors.StoreLocked, match="moving"):
                tx.store(SHOP, path=PATH)
            tx.store(SHOP, path=PATH, bypass_lock="moving")
    with remembered.db.transaction() as tx:
        settings.unlock(tx.store(SHOP, path=PATH, bypass_lock="moving").core)


def stamp(db: Any) -> bytes | None:
    with db.transaction() as tx:
        return run_blocking(read_stamp(tx.context))


async def read_stamp(context: Any) -> Any:
    return await context.transaction.get(METADATA_VERSION_KEY, snapshot=True)


# -- how much ----------------------------------------------------------------------------------------------


def test_the_cache_can_be_switched_off_and_forgets_the_oldest_stores(database_over: Any) -> None:
    none = Counted(database_over, store_states=StoreStateCache(stores=0))
    assert [none.opening() for _ in range(3)] == [(0, 2, 1), (0, 2, 0), (0, 2, 0)]
    none.db.close()
    few = Counted(database_over, store_states=StoreStateCache(stores=4))
    for number in range(20):
        with few.db.transaction() as tx:
            tx.store(SHOP, path=("shop", number))
    for number in range(20):
        with few.db.transaction() as tx:
            tx.store(SHOP, path=("shop", number))
        assert len(few.db.store_states) <= 4
    with few.db.transaction() as tx:
        tx.store(SHOP, path=("shop", 19))
        assert tx.counters.reads == 0
    few.db.store_states.forget()
    with few.db.transaction() as tx:
        tx.store(SHOP, path=("shop", 19))
        assert tx.counters.reads == 2
    few.db.close()


def test_each_way_of_remembering_can_be_chosen_alone(database_over: Any) -> None:
    by_stamp = Counted(database_over, store_states=StoreStateCache(by_read_version=False))
    by_stamp.opening(cacheable=Cacheable.YES)
    assert [by_stamp.opening() for _ in range(3)] == [(1, 2, 0), (1, 0, 0), (1, 0, 0)]
    by_stamp.db.close()
    by_version = Counted(database_over, store_states=StoreStateCache(by_metadata_version=False))
    by_version.opening(cacheable=Cacheable.YES)
    assert [by_version.opening() for _ in range(2)] == [(0, 2, 0), (0, 0, 0)]
    by_version.commit_something()
    assert by_version.opening() == (0, 2, 0)
    by_version.db.close()


def test_a_number_of_stores_that_cannot_be_is_refused() -> None:
    for stores in (-1, True, 1.5):
        with pytest.raises(errors.UsageError):
            StoreStateCache(stores=stores)  # type: ignore[arg-type]


def test_all_who_have_a_store_open_in_a_transaction_go_by_the_states_that_one_sets(db: Any) -> None:
    with db.transaction() as tx:
        first, second = (tx.store(SHOP, path=PATH) for _ in range(2))
        first.save(Order(id=1, tags=["a"]))
        run_blocking(marking.mark_disabled(second.core, SHOP.index("by_tag")))
        first.save(Order(id=2, tags=["b"]))
        assert first.index_state("by_tag") is rl.IndexState.DISABLED
        second.rebuild_index("by_tag")
        first.save(Order(id=3, tags=["c"]))
        assert len(first.scan_index("by_tag").all()) == 3
        assert tx.store(SHOP, path=PATH).check() == []
