"""Following a VERSION index: what stores that are shared with Java have in place of a change feed."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors
from recordlayer.cursor.sealing import ContinuationSeal
from recordlayer.keys import version
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, Order, builder

METADATA = (
    builder()
    .store_record_versions()
    .index("Order", "by_version", version(), type="version")
    .index("Order", "by_zone", rl.concat("customer", version()), type="version")
    .index("Order", "by_total", "total")
    .build()
)


@pytest.fixture
def shop(db: Any) -> Any:
    made = Shop(db, METADATA)
    with db.transaction() as tx:
        tx.store(METADATA, path=PATH, format_version=13).header.share_with_java()
    return made


def page(shop: Shop, index: str, *prefix: Any, deleted: Any = None, **how: Any) -> Any:
    with shop.db.transaction() as tx:
        return tx.store(METADATA, path=PATH).version_feed(index, *prefix, deleted=deleted).changes(**how)


def keys(found: Any) -> list[Any]:
    return [change.primary_key[0] for change in found]


def test_each_record_is_there_once_at_its_last_change(shop: Shop) -> None:
    shop.save(*(Order(id=number) for number in range(5)))
    shop.save(Order(id=1, total=7))
    first = page(shop, "by_version", limit=3)
    assert (keys(first), first.more) == ([0, 2, 3], True)
    second = page(shop, "by_version", limit=3, since=first.token)
    assert (keys(second), second.more) == ([4, 1], False)
    assert second.changes[-1].message.total == 7
    assert keys(page(shop, "by_version", since=second.token)) == []
    shop.save(Order(id=3))
    assert keys(page(shop, "by_version", since=second.token)) == [3]
    few = page(shop, "by_version", limits=rl.Limits(keys=1))
    assert len(few) == 1
    assert few.more


def test_one_zone_alone(shop: Shop) -> None:
    shop.save(Order(id=1, customer="a"), Order(id=2, customer="b"), Order(id=3, customer="a"))
    found = page(shop, "by_zone", "a")
    assert keys(found) == [1, 3]
    shop.save(Order(id=4, customer="b"), Order(id=1, customer="a"))
    assert keys(page(shop, "by_zone", "a", since=found.token)) == [1]
    for other in (("by_zone", "b"), ("by_version",)):
        with pytest.raises(errors.BadFeedToken):
            page(shop, *other, since=found.token)


def test_deletions_are_told_only_by_a_mark_that_the_application_keeps(shop: Shop) -> None:
    shop.save(Order(id=1), Order(id=2))
    token = page(shop, "by_version").token
    shop.save(Order(id=1, paid=True))
    with shop.db.transaction() as tx:
        tx.store(METADATA, path=PATH).delete(2)
    for mark in ("paid", lambda order: order.paid):
        found = page(shop, "by_version", since=token, deleted=mark)
        assert [(change.primary_key, change.deleted) for change in found] == [((1,), True)], "and 2 is gone in silence"
    assert [change.deleted for change in page(shop, "by_version", since=token)] == [False]


def test_what_is_not_committed_is_not_there(shop: Shop) -> None:
    shop.save(Order(id=1))
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        store.save(Order(id=2))
        feed = store.version_feed("by_version")
        now = feed.now()
        found = feed.changes()
        assert keys(found) == [1]
    assert keys(page(shop, "by_version", since=found.token)) == keys(page(shop, "by_version", since=now)) == [2]


def test_a_raised_incarnation_ends_its_tokens(shop: Shop) -> None:
    shop.save(Order(id=1))
    token = page(shop, "by_version").token
    with shop.db.transaction() as tx:
        tx.store(METADATA, path=PATH).header.raise_incarnation()
    with pytest.raises(errors.FeedTokenExpired, match="another database"):
        page(shop, "by_version", since=token)
    assert keys(page(shop, "by_version")) == [1]


def test_what_cannot_be_followed_is_refused(shop: Shop) -> None:
    for wrong, error in (
        (("by_total",), errors.UsageError),
        (("by_zone",), errors.UsageError),
        (("by_version", "a"), errors.UsageError),
        (("nothing",), errors.UnknownIndex),
    ):
        with pytest.raises(error):
            page(shop, *wrong)
    with pytest.raises(errors.UnknownField):
        page(shop, "by_version", deleted="gone")
    with pytest.raises(errors.WrongType):
        page(shop, "by_version", deleted=7)
    with pytest.raises(errors.UsageError):
        page(shop, "by_version", limit=0)


def test_tokens_are_sealed_and_judged(shop: Shop) -> None:
    shop.save(Order(id=1), Order(id=2))
    seal = ContinuationSeal({"k": b"\x01" * 32})
    sealed = page(shop, "by_version", limit=1, seal=seal).token
    assert keys(page(shop, "by_version", since=sealed, seal=seal)) == [2]
    plain = page(shop, "by_version", limit=1).token
    for bad, how in ((sealed, {}), (plain, {"seal": seal}), (plain[:-1], {}), (b"", {})):
        with pytest.raises(errors.BadFeedToken):
            page(shop, "by_version", since=bad, **how)
