"""Values that must be unique and are not yet: who shares them, and who stays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.store import marking
from recordlayer.waiting.drivers import run_blocking
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, Customer, Order, builder

NAMED = builder().index("Customer", "by_name", field("name"), unique=True).build()


@pytest.fixture
def shop(db: Any) -> Iterator[Shop]:
    """Customers of whom three are called ana and two bo, and one has no name; the index is being built."""
    made = Shop(db, NAMED)
    made.save()
    with db.transaction() as tx:
        core = tx.store(NAMED, path=PATH, format_version=9).core
        run_blocking(marking.mark_write_only(core, NAMED.index("by_name")))
    names = {"a": "ana", "b": "ana", "c": "ana", "d": "bo", "e": "bo", "f": "cy", "g": None, "h": None}
    made.save(*(Customer(ref=ref, name=name) for ref, name in names.items()))
    yield made
    made.check()


def listed(shop: Shop, *value: Any, **how: Any) -> list[Any]:
    with shop.db.transaction() as tx:
        found = tx.store(NAMED, path=PATH).violations("by_name", *value, **how)
    assert {one.index for one in found} <= {"by_name"}
    return [(one.value, one.primary_keys) for one in found]


ANA = (("ana",), (("a",), ("b",), ("c",)))
BO = (("bo",), (("d",), ("e",)))


def test_shared_values_are_listed_with_all_the_records_that_share_them(shop: Shop) -> None:
    assert listed(shop) == [ANA, BO]
    assert listed(shop, "bo") == [BO]
    assert listed(shop, "cy") == []
    assert listed(shop, limit=1) == [ANA]
    assert listed(shop, limit=2) == [ANA, BO]


def test_the_one_that_is_chosen_stays_and_the_others_go(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(NAMED, path=PATH)
        assert store.resolve_violation("by_name", "b") == [("a",), ("c",)]
        assert store.resolve_violation("by_name", "b") == [], "nothing is left to resolve"
        assert store.resolve_violation("by_name", "f") == []
        assert store.resolve_violation("by_name", "g") == [], "records without the value share nothing"
    assert [shop.load(ref) is not None for ref in "abcdefgh"] == [False, True, False, True, True, True, True, True]
    assert listed(shop) == [BO]


def test_the_index_may_be_read_as_unique_when_all_is_resolved(shop: Shop) -> None:
    index = NAMED.index("by_name")
    with shop.db.transaction() as tx:
        store = tx.store(NAMED, path=PATH)
        store.resolve_violation("by_name", "a")
        with pytest.raises(errors.UniquenessViolation) as raised:
            run_blocking(marking.mark_readable(store.core, index))
        assert raised.value.fields["value"] == ("bo",)
        run_blocking(marking.mark_readable(store.core, index, unique_pending=True))
        assert store.index_state("by_name") is rl.IndexState.READABLE_UNIQUE_PENDING
        store.resolve_violation("by_name", "e")
        assert run_blocking(marking.mark_readable(store.core, index))
        assert store.index_state("by_name") is rl.IndexState.READABLE
    assert listed(shop) == []


def test_a_record_that_gives_the_value_up_no_longer_shares_it(shop: Shop) -> None:
    shop.save(Customer(ref="b", name="bea"))
    assert listed(shop) == [(("ana",), (("a",), ("c",))), BO]
    shop.save(Customer(ref="a", name="al"))
    assert listed(shop) == [BO]


def test_what_cannot_be_listed_or_resolved_is_refused(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(NAMED, path=PATH)
        with pytest.raises(errors.RecordMissing):
            store.resolve_violation("by_name", "zoe")
        with pytest.raises(errors.UsageError):
            store.violations("by_name", limit=0)
        with pytest.raises(errors.UnknownIndex):
            store.violations("by_nam")
    plain = builder().index("Order", "by_total", field("total")).build()
    with shop.db.transaction() as tx:
        other = tx.store(plain, path=("shop", "other"))
        other.save(Order(id=1, total=1))
        with pytest.raises(errors.UsageError, match="unique"):
            other.violations("by_total")
        with pytest.raises(errors.UsageError, match="unique"):
            other.resolve_violation("by_total", 1)


def test_a_reader_of_violations_conflicts_with_those_that_come(shop: Shop) -> None:
    def side_by_side() -> None:
        with shop.db.transaction() as tx:
            store = tx.store(NAMED, path=PATH)
            assert store.violations("by_name", "cy") == []
            store.save(Customer(ref="z"))
            shop.save(Customer(ref="y", name="cy"))

    with pytest.raises(errors.Conflict):
        side_by_side()
