"""Change feeds: what was inserted, updated and deleted, in order, whoever changed it and however."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors
from recordlayer.cursor.sealing import ContinuationSeal
from recordlayer.feed.consumers import FeedStart
from recordlayer.store.change_layout import ChangeKind
from recordlayer.store.marking import clear_and_mark
from tests.behaviour.conftest import Shop
from tests.support.shop import FILE, PATH, SHOP, Customer, Order

INSERT, UPDATE, DELETE, CLEAR = ChangeKind.INSERT, ChangeKind.UPDATE, ChangeKind.DELETE, ChangeKind.CLEAR
BOTH = rl.RecordMetaDataBuilder(FILE).primary_key("Order", "id").primary_key("Customer", "id")
MIXED = BOTH.index("Order", "by_note", "note", unique=True).build()
"""Orders and customers, which may take each other's place."""
ZONES = rl.RecordMetaDataBuilder(FILE).primary_key("Order", rl.concat("customer", "id")).split_long_records().build()
"""The orders of a customer are a zone: the first column of their primary keys."""


class Fed(Shop):
    """A shop with a feed."""

    def __init__(self, db: Any, metadata: Any = SHOP, path: Any = PATH, format_version: int = 13, **how: Any) -> None:
        super().__init__(db, metadata, path)
        with db.transaction() as tx:
            tx.store(metadata, path=path, format_version=format_version).feed.enable(**how)

    def opened(self, tx: Any) -> Any:
        return tx.store(self.metadata, path=self.path)

    def delete(self, *keys: Any) -> None:
        with self.db.transaction() as tx:
            for key in keys:
                self.opened(tx).delete(key)

    def changes(self, since: bytes | None = None, **how: Any) -> list[Any]:
        return self.page(since, **how)[0]

    def page(self, since: bytes | None = None, **how: Any) -> tuple[list[Any], bytes, bool]:
        with self.db.transaction() as tx:
            page = self.opened(tx).feed.changes(since=since, **how)
            return list(page), page.token, page.more

    def follow(self, since: bytes | None, **how: Any) -> tuple[list[Any], bytes]:
        """All changes behind a token, page by page, and the token behind them."""
        found: list[Any] = []
        for _ in range(1000):
            changes, token, more = self.page(since, **how)
            found += changes
            since = token
            if not more:
                return found, token
        raise AssertionError("the pages have no end")


def seen(changes: list[Any]) -> list[tuple[Any, ...]]:
    return [(change.kind, change.primary_key) for change in changes]


@pytest.fixture
def fed(db: Any) -> Iterator[Fed]:
    made = Fed(db, MIXED, new_images=True, old_images=True)
    yield made
    made.check()


@pytest.fixture
def zones(db: Any) -> Iterator[Fed]:
    made = Fed(db, ZONES, group_by=1, new_images=True)
    yield made
    made.check()


def test_a_store_has_no_feed_unless_it_is_asked_for(db: Any) -> None:
    shop = Shop(db, SHOP)
    shop.save(Order(id=1))
    assert not any(key.startswith(b"\x15\xff") for key in shop.pairs())
    with db.transaction() as tx:
        feed = tx.store(SHOP, path=PATH).feed
        assert feed.settings is None
        for call in (feed.changes, feed.now, feed.oldest, feed.watch, feed.consumers, feed.groups_changed):
            with pytest.raises(errors.FeedMissing):
                call()
        with pytest.raises(errors.UsageError, match="format_version"):
            feed.enable()


def test_inserts_updates_and_deletes_come_in_the_order_of_the_operations(fed: Fed) -> None:
    with fed.db.transaction() as tx:
        store = fed.opened(tx)
        store.save(Order(id=2, customer="bo"))
        store.save(Order(id=1, customer="ana"))
        store.save(Order(id=2, customer="cy"))
        store.delete(1)
    fed.save(Customer(id=7, name="dee"))
    changes = fed.changes()
    assert seen(changes) == [(INSERT, (2,)), (INSERT, (1,)), (UPDATE, (2,)), (DELETE, (1,)), (INSERT, (7,))]
    assert [change.record_type for change in changes] == ["Order"] * 4 + ["Customer"]
    assert [change.message and change.message.customer for change in changes[:4]] == ["bo", "ana", "cy", None]
    assert [change.old_message and change.old_message.customer for change in changes[:4]] == [None, None, "bo", "ana"]
    versions = [change.version for change in changes]
    assert versions == sorted(set(versions))
    assert len({version.tr_version for version in versions[:4]}) == 1


def test_all_who_have_a_store_open_in_a_transaction_keep_its_feed(db: Any) -> None:
    shop = Shop(db, MIXED)
    with db.transaction() as tx:
        before, other = (tx.store(MIXED, path=PATH, format_version=13) for _ in range(2))
        before.save(Order(id=1))
        other.feed.enable()
        before.save(Order(id=2))
        before.header.set_user_field("mine", b"1")  # writes the header
        before.save_many([Order(id=3), Order(id=4)])
        other.delete(3)
    with db.transaction() as tx:
        first, second = (tx.store(MIXED, path=PATH) for _ in range(2))
        keys = [change.primary_key[0] for change in first.feed.changes(since=first.feed.oldest())]
        assert keys == [2, 3, 4, 3]
        second.feed.disable()
        first.save(Order(id=5))
        with pytest.raises(errors.FeedMissing):
            first.feed.changes()
        assert first.header.user_field("mine") == b"1"
    assert not [key for key in shop.pairs() if key.startswith(b"\x15\xff")]
    shop.check()


def test_every_way_to_change_records_is_in_the_feed(fed: Fed) -> None:
    with fed.db.transaction() as tx:
        fed.opened(tx).save_many([Order(id=1, total=1), Order(id=2, total=2), Order(id=1, total=3)])
    with fed.db.transaction() as tx:
        store = fed.opened(tx)
        store.insert(Order(id=3))
        store.update(Order(id=3, total=4))
        store.typed(Order).save(Order(id=4))
        store.dry_save(Order(id=5))
        store.dry_delete(4)
    with fed.db.transaction() as tx:
        assert fed.opened(tx).delete_many([3, 99, 4]) == [True, False, True]
    with fed.db.transaction() as tx:
        store = fed.opened(tx)
        store.rebuild_index("by_note")
        store.delete_all()
        store.save(Order(id=6))
    assert seen(fed.changes()) == [
        *((INSERT, (1,)), (INSERT, (2,)), (UPDATE, (1,))),
        *((INSERT, (3,)), (UPDATE, (3,)), (INSERT, (4,))),
        *((DELETE, (3,)), (DELETE, (4,))),
        *((CLEAR, ()), (INSERT, (6,))),
    ]


def test_records_in_the_way_of_a_unique_value_leave_a_change(db: Any) -> None:
    fed = Fed(db, MIXED)
    with db.transaction() as tx:
        store = fed.opened(tx)
        clear_and_mark(store.core, MIXED.index("by_note"), rl.IndexState.WRITE_ONLY)
        for number in range(3):
            store.save(Order(id=number, note="same"))
    with db.transaction() as tx:
        assert fed.opened(tx).resolve_violation("by_note", 1) == [(0,), (2,)]
    assert seen(fed.changes())[3:] == [(DELETE, (0,)), (DELETE, (2,))]
    fed.check()


def test_a_refused_save_leaves_no_change(fed: Fed) -> None:
    fed.save(Order(id=1))
    with fed.db.transaction() as tx:
        store = fed.opened(tx)
        with pytest.raises(errors.RecordExists):
            store.insert(Order(id=1))
        with pytest.raises(errors.RecordExists):
            store.save_many([Order(id=2), Order(id=1)], expect=rl.Expect.NOTHING)
        store.save(Order(id=3))
    assert seen(fed.changes()) == [(INSERT, (1,)), (INSERT, (3,))]


def test_pages_go_on_where_they_stopped(fed: Fed) -> None:
    for start in range(0, 30, 5):
        fed.save(*(Order(id=number) for number in range(start, start + 5)))
    expected = [(INSERT, (number,)) for number in range(30)]
    for how in (
        {"limit": 1},
        {"limit": 4},
        {"limit": 30},
        {"limits": rl.Limits(keys=7)},
        {"limits": rl.Limits(bytes=1)},
    ):
        changes, token = fed.follow(None, **how)
        assert seen(changes) == expected, how
        assert fed.changes(token) == []
    with fed.db.transaction() as tx:
        page = fed.opened(tx).feed.changes(limit=10)
        middle = page.token_behind(list(page)[3])
    assert seen(fed.changes(middle)) == expected[4:]


def test_only_changes_of_the_types_that_are_wanted(fed: Fed) -> None:
    fed.save(Order(id=1), Customer(id=2), Order(id=3))
    fed.save(Customer(id=1, name="was an order"))
    assert seen(fed.changes(types=["Order"])) == [(INSERT, (1,)), (INSERT, (3,)), (UPDATE, (1,))]
    last = fed.changes(types=["Order"])[-1]
    assert (last.record_type, last.old_type) == ("Customer", "Order")
    changes, token, more = fed.page(types=["Nothing"], limit=2)
    assert (changes, more) == ([], True)
    assert seen(fed.changes(token, types=["Customer"])) == [(UPDATE, (1,))]


def test_long_records_have_images_in_parts(db: Any) -> None:
    fed = Fed(db, ZONES, new_images=True, old_images=True)
    for size in (300_000, 89_000, 90_500, 10):
        fed.save(Order(customer="ana", id=1, body=b"x" * size))
    for how in ({}, {"limit": 1}, {"limits": rl.Limits(keys=2)}, {"limits": rl.Limits(bytes=100_000)}):
        changes, _ = fed.follow(None, **how)
        assert [len(change.message.body) for change in changes] == [300_000, 89_000, 90_500, 10], how
        assert [change.old_message and len(change.old_message.body) for change in changes[1:]] == [
            300_000,
            89_000,
            90_500,
        ]
    fed.check()


def test_without_images_the_change_alone_is_told(db: Any) -> None:
    fed = Fed(db)
    fed.save(Order(id=1, note="secret"))
    fed.delete(1)
    assert [(change.message, change.old_message) for change in fed.changes()] == [(None, None)] * 2
    assert not any(b"secret" in value for key, value in fed.pairs().items() if key.startswith(b"\x15\xff"))
    fed.check()


def test_coalesced_changes_have_each_record_once_as_it_is_now(fed: Fed) -> None:
    fed.save(Order(id=1, total=1), Order(id=2, total=1), Order(id=3, total=1))
    fed.save(Order(id=1, total=2))
    fed.delete(2)
    changes = fed.changes(coalesced=True)
    assert seen(changes) == [(INSERT, (3,)), (UPDATE, (1,)), (DELETE, (2,))]
    assert [change.message and change.message.total for change in changes] == [1, 2, None]
    first, token, more = fed.page(coalesced=True, limit=2)
    assert more
    assert [(change.kind, change.message and change.message.total) for change in first] == [(INSERT, 2), (DELETE, None)]
    assert seen(fed.changes(token, coalesced=True)) == [(INSERT, (3,)), (UPDATE, (1,)), (DELETE, (2,))]
    with fed.db.transaction() as tx:
        fed.opened(tx).delete_all()
    fed.save(Order(id=3))
    assert seen(fed.changes(coalesced=True)) == [(CLEAR, ()), (INSERT, (3,))]


# -- cost ----------------------------------------------------------------------------------------------------


def test_a_change_costs_one_write_and_a_transaction_one_more(db: Any) -> None:
    costs: dict[str, tuple[int, int]] = {}
    for name, how in (("none", None), ("plain", {}), ("grouped", {"group_by": 1})):
        path = ("shop", name)
        shop = Shop(db, ZONES, path) if how is None else Fed(db, ZONES, path, **how)
        shop.save(Order(customer="z", id=0))
        with db.transaction() as tx:
            store = tx.store(ZONES, path=path)
            for number in range(10):
                store.save(Order(customer="ab"[number % 2], id=number))
            reads = tx.counters.reads
            tx.commit()
            costs[name] = reads, tx.counters.writes
    assert costs["plain"] == (costs["none"][0], costs["none"][1] + 10 + 1)
    assert costs["grouped"] == (costs["none"][0], costs["none"][1] + 10 + 1 + 2)


def test_what_reading_costs(zones: Fed, db: Any) -> None:
    plain = Fed(db, ZONES, ("shop", "plain"))
    for fed in (zones, plain):
        fed.save(*(Order(customer="abc"[number % 3], id=number) for number in range(12)))

    def reads(fed: Fed, work: Any) -> int:
        with fed.db.transaction() as tx:
            store = fed.opened(tx)
            before = tx.counters.reads
            work(store.feed)
            found: int = tx.counters.reads - before
            return found

    assert reads(plain, lambda feed: feed.changes()) == 2
    assert reads(plain, lambda feed: feed.changes(coalesced=True)) == 2 + 12
    assert reads(plain, lambda feed: feed.consume("mail")) == 3
    assert reads(zones, lambda feed: feed.changes(group="a")) == 3
    assert reads(zones, lambda feed: feed.changes()) == 1 + 1 + 1 + 3
    assert reads(zones, lambda feed: feed.groups_changed()) == 3
    assert reads(zones, lambda feed: (feed.now(), feed.watch().cancel())) == 0


def test_more_changes_than_a_transaction_has_places_are_refused_before_they_are_written(fed: Fed) -> None:
    with fed.db.transaction() as tx:
        store = fed.opened(tx)
        store.save(Order(id=1))
        for _ in range(0xFFFE):
            tx.context.claim_local_version()
        for work in (
            lambda: store.save_many([Order(id=2), Order(id=3)]),
            lambda: store.delete(1),
            lambda: store.save(Order(id=4)),
            lambda: store.delete_many([1]),
            lambda: store.delete_all(),
        ):
            with pytest.raises(errors.LocalVersionsExhausted):
                work()
    assert seen(fed.changes()) == [(INSERT, (1,))]
    assert fed.load(2) is None


def test_writers_of_different_records_do_not_conflict(zones: Fed) -> None:
    zones.save(Order(customer="ana", id=0))
    first, second = zones.db.transaction(), zones.db.transaction()
    with first, second:
        zones.opened(first).save(Order(customer="ana", id=1))
        zones.opened(second).save(Order(customer="ana", id=2))
        zones.opened(second).feed.changes()
        zones.opened(first).delete(("ana", 0))
        first.commit()
        second.commit()
    assert len(zones.changes()) == 4


# -- tokens --------------------------------------------------------------------------------------------------


def test_tokens_that_lead_nowhere_are_refused_by_name(fed: Fed, db: Any) -> None:
    fed.save(Order(id=1), Order(id=2))
    _, token, _ = fed.page(limit=1)
    other = Fed(db, path=("shop", "other"))
    other.save(Order(id=9))
    _, foreign, _ = other.page(limit=1)
    with pytest.raises(errors.BadFeedToken, match="another store"):
        fed.page(foreign)
    for size in range(len(token)):
        with pytest.raises(errors.BadFeedToken):
            fed.page(token[:size])
    for place in range(len(token)):
        for flip in (1, 0x80):
            forged = bytearray(token)
            forged[place] ^= flip
            with pytest.raises((errors.BadFeedToken, errors.FeedTokenExpired)):
                fed.page(bytes(forged))
    with pytest.raises(errors.BadFeedToken):
        fed.page("text")  # type: ignore[arg-type]
    assert seen(fed.changes(token)) == [(INSERT, (2,))]


def test_sealed_tokens_are_refused_elsewhere(fed: Fed, db: Any) -> None:
    fed.save(Order(id=1), Order(id=2))
    seal = ContinuationSeal({"k": b"\x01" * 32}, lifetime=timedelta(hours=1))
    _, token, _ = fed.page(limit=1, seal=seal)
    assert seen(fed.changes(token, seal=seal)) == [(INSERT, (2,))]
    _, plain, _ = fed.page(limit=1)
    other = Fed(db, path=("shop", "other"))
    for bad, where in ((plain, fed), (token, other), (token[:-1], fed), (token[:-1] + b"\x00", fed)):
        with pytest.raises(errors.BadFeedToken):
            where.page(bad, seal=seal)
    with pytest.raises(errors.BadFeedToken):
        fed.page(token)


def test_a_feed_that_was_begun_anew_refuses_old_tokens(fed: Fed) -> None:
    fed.save(Order(id=1))
    _, token, _ = fed.page()
    with fed.db.transaction() as tx:
        feed = fed.opened(tx).feed
        assert feed.disable()
        assert not feed.disable()
        feed.enable()
    with pytest.raises(errors.FeedTokenExpired, match="begun anew"):
        fed.page(token)
    with pytest.raises(errors.FeedTokenExpired, match="before it had a feed"):
        fed.page()
    fed.save(Order(id=2))
    with fed.db.transaction() as tx:
        oldest = fed.opened(tx).feed.oldest()
    assert seen(fed.changes(oldest)) == [(INSERT, (2,))]


def test_a_store_that_was_cleared_behind_its_back_refuses_tokens(fed: Fed, leaves_damage: None) -> None:
    fed.save(Order(id=1))
    _, token, _ = fed.page()
    with fed.db.transaction() as tx:
        prefix = rl.Subspace(PATH).key()
        tx.context.clear_range(prefix + b"\x15\x01", prefix + b"\xff")
    with pytest.raises(errors.FeedTokenExpired, match="keys are gone"):
        fed.page(token)
    with fed.db.transaction() as tx:
        assert [finding.where for finding in fed.opened(tx).check()] == ["change feed"]
        fed.opened(tx).feed.disable()
        fed.opened(tx).feed.enable(new_images=True, old_images=True)


# -- beside others -------------------------------------------------------------------------------------------


def test_a_store_that_is_shared_with_java_has_no_feed(db: Any) -> None:
    shop = Shop(db, SHOP)
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH, format_version=8)
        store.header.share_with_java()
        with pytest.raises(errors.FeedRefused, match="Java"):
            store.feed.enable()
    fed = Fed(db, path=("shop", "fed"))
    with db.transaction() as tx:
        header = fed.opened(tx).header
        with pytest.raises(errors.FeedRefused, match="Java"):
            header.share_with_java()
        for call in (header.clear_user_field, lambda name: header.set_user_field(name, b"")):
            with pytest.raises(errors.UsageError, match="change feed"):
                call("recordlayer.change_feed")
    shop.check()


def test_a_feed_is_kept_in_one_way(fed: Fed) -> None:
    with fed.db.transaction() as tx:
        feed = fed.opened(tx).feed
        assert feed.enable(new_images=True, old_images=True) == feed.settings
        for how in ({}, {"group_by": 1, "new_images": True, "old_images": True}):
            with pytest.raises(errors.FeedRefused):
                feed.enable(**how)
        with pytest.raises(errors.FeedRefused, match="columns"):
            feed.enable(group_by=2)
        for wrong in (-1, True, "x"):
            with pytest.raises(errors.WrongType):
                feed.enable(group_by=wrong)


def test_a_lost_header_takes_no_feed_along(fed: Fed) -> None:
    fed.save(Order(id=1))
    with fed.db.transaction() as tx:
        fed.opened(tx).header.raise_incarnation(3)
    fed.save(Order(id=2))
    _, token, _ = fed.page()
    with fed.db.transaction() as tx:
        tx.context.clear(rl.Subspace(PATH).key() + b"\x14")
    with fed.db.transaction() as tx:
        assert tx.repair_missing_header(MIXED, path=PATH, least_format=7, format_version=13)
    fed.save(Order(id=3))
    assert seen(fed.changes(token)) == [(INSERT, (3,))]
    assert seen(fed.changes()) == [(INSERT, (number,)) for number in (1, 2, 3)]


def test_an_incarnation_that_is_raised_keeps_the_order(zones: Fed) -> None:
    zones.save(Order(customer="a", id=1), Order(customer="b", id=1))
    _, token, _ = zones.page(group="a")
    with zones.db.transaction() as tx:
        zones.opened(tx).header.raise_incarnation()
    zones.save(Order(customer="a", id=2))
    # As if the database it came to were behind: what was written there has versions below those from before.
    rewrite_commit(zones, (1).to_bytes(10, "big"))
    zones.save(Order(customer="a", id=3))
    rewrite_commit(zones, (2).to_bytes(10, "big"))
    assert seen(zones.changes(token, group="a")) == [(INSERT, ("a", 2)), (INSERT, ("a", 3))]
    assert [change.incarnation for change in zones.changes()] == [0, 0, 1, 1]
    with zones.db.transaction() as tx:
        assert list(zones.opened(tx).feed.groups_changed()) == [("a",), ("b",)]


def rewrite_commit(zones: Fed, commit: bytes) -> None:
    """Give the changes of incarnation 1 that were committed last another version."""
    prefix = rl.Subspace(PATH).key()
    with zones.db.transaction() as tx:
        for key, value in zones.pairs().items():
            if key.startswith(b"\x15\xff\x15\x02") and b"\x15\x01\x33" in key:
                at = key.index(b"\x15\x01\x33") + 3
                if key[at : at + 8] > (1000).to_bytes(8, "big"):
                    tx.context.clear(prefix + key)
                    tx.context.set(prefix + key[:at] + commit + key[at + 10 :], value)


def test_a_tenant_that_is_copied_takes_its_feed_along(zones: Fed) -> None:
    zones.save(Order(customer="a", id=1), Order(customer="b", id=1))
    _, token, _ = zones.page(limit=1)
    zones.db.tenant(("shop", "acme")).copy_to(zones.db.tenant(("shop", "moved")))
    moved = Shop(zones.db, ZONES, ("shop", "moved"))
    moved.save(Order(customer="a", id=2))
    with zones.db.transaction() as tx:
        store = tx.store(ZONES, path=moved.path)
        changes = list(store.feed.changes(since=token))
        assert [(*key, change.incarnation) for change in changes for key in [change.primary_key]] == [
            ("b", 1, 0),
            ("a", 2, 1),
        ]
        assert store.check() == []


def test_a_token_from_a_later_time_than_the_store_is_refused(fed: Fed) -> None:
    fed.save(Order(id=1))
    with fed.db.transaction() as tx:
        ahead = fed.opened(tx).feed.now()
        fed.opened(tx).header.raise_incarnation(2)
        later = fed.opened(tx).feed.now()
        tx.cancel()
    assert fed.changes(ahead) == []
    with pytest.raises(errors.FeedTokenExpired, match="put back"):
        fed.page(later)


# -- groups --------------------------------------------------------------------------------------------------


def test_a_group_is_read_alone_and_all_groups_in_order(zones: Fed) -> None:
    zones.save(Order(customer="a", id=1), Order(customer="b", id=1), Order(customer="a", id=9))
    zones.save(Order(customer="b", id=2))
    zones.save(Order(customer="a", id=2))
    assert seen(zones.changes(group="a")) == [(INSERT, ("a", 1)), (INSERT, ("a", 9)), (INSERT, ("a", 2))]
    assert seen(zones.changes(group=("b",))) == [(INSERT, ("b", 1)), (INSERT, ("b", 2))]
    assert zones.changes(group="nobody") == []
    everything = [("a", 1), ("b", 1), ("a", 9), ("b", 2), ("a", 2)]
    for how in ({}, {"limit": 1}, {"limit": 2}, {"limits": rl.Limits(keys=1)}):
        assert [change.primary_key for change in zones.follow(None, **how)[0]] == everything
    with pytest.raises(errors.UsageError, match="columns"):
        zones.changes(group=("a", 1))
    _, of_a, _ = zones.page(group="a")
    with pytest.raises(errors.BadFeedToken):
        zones.page(of_a, group="b")
    with pytest.raises(errors.BadFeedToken):
        zones.page(of_a)


def test_many_groups_are_merged_page_by_page(zones: Fed) -> None:
    written: list[tuple[str, int]] = []
    for number in range(40):
        names = [f"g{place}" for place in range(number % 13 + 1)]
        zones.save(*(Order(customer=name, id=number) for name in names))
        written += [(name, number) for name in names]
    for limit in (3, 20, 1000):
        changes, _ = zones.follow(None, limit=limit)
        assert [change.primary_key for change in changes] == written


def test_which_groups_have_changed(zones: Fed) -> None:
    zones.save(*(Order(customer=name, id=1) for name in "abcde"))

    def changed(since: bytes | None, **how: Any) -> tuple[list[Any], bytes, bool, bool]:
        with zones.db.transaction() as tx:
            page = zones.opened(tx).feed.groups_changed(since=since, **how)
            return list(page), page.token, page.more, page.everything

    groups, token, more, everything = changed(None)
    assert (groups, more, everything) == ([(name,) for name in "abcde"], False, False)
    assert changed(token)[0] == []
    zones.save(Order(customer="d", id=2))
    zones.delete(("b", 1))
    assert changed(token)[0] == [("b",), ("d",)]
    # A pass in pages ends where the database was when it began.
    first, inside, more, _ = changed(token, limit=2)
    assert (first, more) == ([("b",)], True)
    zones.save(Order(customer="a", id=2))
    second, inside, more, _ = changed(inside, limit=2)
    third, behind, more, _ = changed(inside, limit=2)
    assert (second + third, more) == ([("d",)], False)
    assert changed(behind)[0] == [("a",)]
    with zones.db.transaction() as tx:
        zones.opened(tx).delete_all()
    assert changed(behind)[3]
    with pytest.raises(errors.BadFeedToken):
        zones.page(token)


def test_a_group_that_is_deleted_and_made_again(zones: Fed) -> None:
    zones.save(Order(customer="a", id=1), Order(customer="a", id=2), Order(customer="ab", id=1))
    _, token, _ = zones.page(group="a")
    with zones.db.transaction() as tx:
        zones.opened(tx).delete_where(customer="a")
        zones.opened(tx).save(Order(customer="a", id=2, note="new"))
    assert seen(zones.changes(token, group="a")) == [(CLEAR, ("a",)), (INSERT, ("a", 2))]
    assert seen(zones.changes(group="a", coalesced=True)) == [(CLEAR, ("a",)), (INSERT, ("a", 2))]
    assert seen(zones.changes(group="ab")) == [(INSERT, ("ab", 1))]


def test_clearing_everything_reaches_every_group(zones: Fed) -> None:
    zones.save(Order(customer="a", id=1), Order(customer="b", id=1))
    _, token, _ = zones.page(group="a")
    with zones.db.transaction() as tx:
        store = zones.opened(tx)
        store.save(Order(customer="a", id=2))
        store.delete_all()
        store.save(Order(customer="a", id=3))
    assert seen(zones.changes(token, group="a")) == [(INSERT, ("a", 2)), (CLEAR, ("a",)), (INSERT, ("a", 3))]
    assert seen(zones.changes(group="b")) == [(INSERT, ("b", 1)), (CLEAR, ("b",))]
    assert seen(zones.changes())[-2:] == [(CLEAR, ()), (INSERT, ("a", 3))]


def test_what_is_cleared_in_several_groups_is_told_in_each_of_them(db: Any) -> None:
    fed = Fed(db, ZONES, group_by=2)
    fed.save(*(Order(customer=name, id=number) for name in ("a", "ab", "a\0") for number in (1, 2)))
    with db.transaction() as tx:
        fed.opened(tx).delete_where(customer="a")
    assert seen(fed.changes(group=("a", 1)))[1:] == [(CLEAR, ("a", 1))]
    assert seen(fed.changes(group=("ab", 1)))[1:] == seen(fed.changes(group=("a\0", 1)))[1:] == []
    assert seen(fed.changes())[6:] == [(CLEAR, ("a",))]
    fed.check()


# -- consumers -----------------------------------------------------------------------------------------------


def test_a_consumer_sees_each_change_once(fed: Fed) -> None:
    fed.save(*(Order(id=number) for number in range(5)))
    found: list[Any] = []
    for _ in range(3):
        with fed.db.transaction() as tx:
            found += seen(fed.opened(tx).feed.consume("mail", limit=2))
    assert found == [(INSERT, (number,)) for number in range(5)]
    with fed.db.transaction() as tx:
        assert len(fed.opened(tx).feed.consume("search")) == 5
        tx.cancel()
    with fed.db.transaction() as tx:
        assert len(fed.opened(tx).feed.consume("search")) == 5
        assert list(fed.opened(tx).feed.consume("late", start=FeedStart.NOW)) == []
    fed.save(Order(id=9))
    with fed.db.transaction() as tx:
        feed = fed.opened(tx).feed
        assert {one.name: one.behind for one in feed.consumers()} == {"late": True, "mail": True, "search": True}
        assert seen(feed.consume("late")) == [(INSERT, (9,))]
    with fed.db.transaction() as tx:
        feed = fed.opened(tx).feed
        assert {one.name: one.behind for one in feed.consumers()} == {"late": False, "mail": True, "search": True}
        feed.rewind("late", feed.oldest())
        assert feed.forget("mail")
        assert not feed.forget("mail")
    with fed.db.transaction() as tx:
        feed = fed.opened(tx).feed
        assert len(feed.consume("late")) == 6
        for wrong in ("", "x" * 2000):
            with pytest.raises(errors.UsageError):
                feed.consume(wrong)
        with pytest.raises(errors.WrongType):
            feed.consume(7)


def test_two_with_the_same_name_conflict(fed: Fed) -> None:
    fed.save(Order(id=1))
    first, second = fed.db.transaction(), fed.db.transaction()
    with first, second:
        for tx in (first, second):
            assert len(fed.opened(tx).feed.consume("mail")) == 1
        first.commit()
        with pytest.raises(errors.Conflict):
            second.commit()


def test_an_idle_consumer_writes_nothing(fed: Fed) -> None:
    fed.save(Order(id=1))
    for expected in (1, 0):
        with fed.db.transaction() as tx:
            fed.opened(tx).feed.consume("mail")
            assert tx.counters.writes == expected


# -- watches -------------------------------------------------------------------------------------------------


def test_a_watch_waits_for_a_change(zones: Fed) -> None:
    zones.save(Order(customer="a", id=1))
    patient = timedelta(seconds=30)

    def watch(**how: Any) -> Any:
        with zones.db.transaction() as tx:
            zones.opened(tx).feed.changes()
            return zones.opened(tx).feed.watch(**how)

    everything, of_a, of_b = watch(), watch(group="a"), watch(group="b")
    assert not of_b.wait(timedelta(milliseconds=10))
    of_b = watch(group="b")
    zones.save(Order(customer="a", id=2))
    assert everything.wait(patient)
    assert of_a.wait(patient)
    with zones.db.transaction() as tx:
        zones.opened(tx).delete_all()
    assert of_b.wait(patient), "what is cleared at once concerns all groups"
    left = watch()
    left.cancel()
    with pytest.raises(errors.UsageError):
        watch().wait(5)


# -- trimming ------------------------------------------------------------------------------------------------


def trim_all(fed: Fed, older_than: timedelta, **how: Any) -> tuple[int, int]:
    removed, steps, place = 0, 0, None
    while True:
        with fed.db.transaction() as tx:
            step = fed.opened(tx).feed.trim(older_than, place=place, **how)
        removed, steps, place = removed + step.removed, steps + 1, step.place
        if not step.more:
            return removed, steps
        assert steps < 1000


def test_what_is_trimmed_expires_tokens(fed: Fed) -> None:
    fed.save(*(Order(id=number) for number in range(10)))
    _, early, _ = fed.page(limit=3)
    _, end, _ = fed.page()
    fed.delete(0)
    assert trim_all(fed, timedelta(hours=1)) == (0, 1)
    assert seen(fed.changes(early))[:1] == [(INSERT, (3,))]
    removed, steps = trim_all(fed, timedelta(0), limit=4)
    assert removed == 11
    assert steps >= 3
    for since in (None, early, end):
        with pytest.raises(errors.FeedTokenExpired):
            fed.page(since)
    with fed.db.transaction() as tx:
        with pytest.raises(errors.FeedTokenExpired):
            fed.opened(tx).feed.consume("mail")
        oldest = fed.opened(tx).feed.oldest()
        assert list(fed.opened(tx).feed.consume("mail", start=FeedStart.OLDEST)) == []
    fed.save(Order(id=1))
    assert seen(fed.changes(oldest)) == [(UPDATE, (1,))]


def test_groups_are_trimmed_and_forgotten(zones: Fed) -> None:
    zones.save(*(Order(customer=f"g{number:03}", id=1) for number in range(150)))
    _, token, _ = zones.page()
    removed, _ = trim_all(zones, timedelta(0), limit=100)
    assert removed == 150
    assert zones.changes(token) == []
    zones.save(Order(customer="g007", id=2))
    with zones.db.transaction() as tx:
        feed = zones.opened(tx).feed
        assert seen(list(feed.changes(since=token))) == [(INSERT, ("g007", 2))]
        assert sum(key.startswith(b"\x15\xff\x15\x03") for key in zones.pairs()) == 1
        with pytest.raises(errors.UsageError):
            feed.trim(timedelta(-1))
