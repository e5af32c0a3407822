"""What a program decides when it opens a store: its own version, the states of new indexes, cacheability."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.store.open import Cacheable
from recordlayer.store.upgrade import NewIndex
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, SHOP, Customer, Order, builder, plain


def opened(db: Any, metadata: rl.RecordMetaData, **how: Any) -> None:
    with db.transaction() as tx:
        tx.store(metadata, path=PATH, **how)


def info(db: Any, metadata: rl.RecordMetaData = SHOP) -> Any:
    with db.transaction() as tx:
        return tx.store(metadata, path=PATH).core.header.message


# -- user versions -----------------------------------------------------------------------------------------


def test_a_function_finds_the_user_version_from_what_is_stored(db: Any) -> None:
    asked: list[tuple[int, int, rl.RecordMetaData]] = []

    def next_version(stored: int, metadata_version: int, metadata: rl.RecordMetaData) -> int:
        asked.append((stored, metadata_version, metadata))
        return stored + 2

    older = plain()
    opened(db, older, user_version=next_version)
    assert info(db, older).userVersion == 1
    opened(db, SHOP, user_version=next_version)
    assert info(db).userVersion == 3
    assert asked == [(-1, -1, older), (1, older.version, SHOP)]


def test_a_function_that_says_the_same_changes_nothing_and_one_that_says_less_is_refused(db: Any) -> None:
    opened(db, SHOP, user_version=5)
    with db.transaction() as tx:
        tx.store(SHOP, path=PATH, user_version=lambda *stored: stored[0])
        assert tx.counters.writes == 0
        with pytest.raises(errors.StaleUserVersion) as raised:
            tx.store(SHOP, path=PATH, user_version=lambda *stored: 4)
    assert raised.value.fields == {"stored_version": 5, "given_version": 4}


def test_a_function_may_refuse_the_store(db: Any) -> None:
    def refuse(*stored: Any) -> int:
        raise LookupError("not ours")

    with db.transaction() as tx:
        with pytest.raises(LookupError, match="not ours"):
            tx.store(SHOP, path=PATH, user_version=refuse)
        assert tx.counters.writes == 0


@pytest.mark.parametrize("version", ["1", 1.0, True, 1 << 31, -(1 << 31) - 1, lambda *stored: None])
def test_a_user_version_that_the_header_cannot_hold_is_refused(db: Any, version: Any) -> None:
    with db.transaction() as tx:
        with pytest.raises((errors.WrongType, errors.UsageError)):
            tx.store(SHOP, path=PATH, user_version=version)
        assert tx.counters.writes == 0


# -- states of new indexes ---------------------------------------------------------------------------------


def test_the_program_is_asked_for_each_index_that_is_new_with_the_number_of_records(db: Any) -> None:
    asked: list[tuple[str, int | None]] = []

    def decide(new: NewIndex) -> rl.IndexState:
        asked.append((new.index.name, new.records))
        return rl.IndexState.READABLE

    one = builder().index("Order", "one", field("total"))
    opened(db, one.build(), new_index_state=decide)
    assert asked == [("one", 0)], "a new store has no records"
    Shop(db, one.build()).save(*(Order(id=number, total=number) for number in range(1, 6)))
    two = one.index("Order", "two", field("customer"))
    opened(db, two.build(), new_index_state=decide)
    assert asked[1:] == [("two", 5)]
    Shop(db, two.build()).check()
    Shop(db, two.build()).save(*(Order(id=number, total=number) for number in range(6, 300)))
    three = two.index("Order", "three", field("tags").fan_out())
    opened(db, three.build(), new_index_state=decide)
    assert asked[2:] == [("three", None)], "more than 200, and nobody has counted them"
    with db.transaction() as tx:
        assert tx.store(three.build(), path=PATH).index_state("three") is rl.IndexState.READABLE
    Shop(db, three.build()).check()


@pytest.mark.parametrize("state", [rl.IndexState.WRITE_ONLY, rl.IndexState.DISABLED])
def test_an_index_may_be_left_to_be_built_later(db: Any, state: rl.IndexState) -> None:
    Shop(db, plain()).save(Order(id=1, customer="ana"))
    opened(db, SHOP, new_index_state=lambda new: state)
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        assert {store.index_state(name) for name in SHOP.indexes} == {state}
        store.save(Customer(ref="a", name="ana"))
        with pytest.raises(errors.IndexNotReadable):
            store.scan_index("by_customer")
    Shop(db, SHOP).check()


def test_a_store_with_a_count_knows_how_many_records_a_new_index_has_to_take(db: Any) -> None:
    counted = builder().index(None, "all", rl.count())
    Shop(db, counted.build()).save(*(Order(id=number) for number in range(1, 251)))
    found: list[int | None] = []

    def decide(new: NewIndex) -> rl.IndexState:
        found.append(new.records)
        return rl.IndexState.DISABLED

    opened(db, counted.index("Order", "by_total", field("total")).build(), new_index_state=decide)
    assert found == [250]


@pytest.mark.parametrize("answer", [rl.IndexState.READABLE_UNIQUE_PENDING, None, "READABLE"])
def test_other_answers_are_refused_and_the_store_stays_as_it_was(db: Any, answer: Any) -> None:
    shop = Shop(db, plain())
    shop.save(Order(id=1, customer="ana"))
    before = shop.pairs()

    def go_on_after_the_error() -> None:
        with db.transaction() as tx, pytest.raises(errors.UsageError, match="by_customer"):
            tx.store(SHOP, path=PATH, new_index_state=lambda new: answer)

    with pytest.raises(errors.UsageError, match="by_customer"):
        go_on_after_the_error()
    assert shop.pairs() == before


# -- cacheability ------------------------------------------------------------------------------------------


def test_whether_the_state_may_be_cached_is_said_when_opening(db: Any) -> None:
    said: list[bool] = []
    for cacheable in (
        Cacheable.UNCHANGED,
        Cacheable.IF_NEW,
        Cacheable.YES,
        Cacheable.UNCHANGED,
        Cacheable.IF_NEW,
        Cacheable.NO,
    ):
        opened(db, SHOP, cacheable=cacheable)
        said.append(info(db).cacheable)
    assert said == [False, False, True, True, True, False]
    with db.transaction() as tx:
        tx.delete_store(path=PATH)
    opened(db, SHOP, cacheable=Cacheable.IF_NEW)
    assert info(db).cacheable


def test_formats_before_cacheability_do_not_get_it(db: Any) -> None:
    opened(db, SHOP, cacheable=Cacheable.YES, format_version=6)
    assert not info(db).HasField("cacheable")
    opened(db, SHOP, cacheable=Cacheable.YES, format_version=7)
    assert info(db).cacheable


def test_something_else_for_cacheability_is_refused(db: Any) -> None:
    with db.transaction() as tx, pytest.raises(errors.WrongType):
        tx.store(SHOP, path=PATH, cacheable=True)
