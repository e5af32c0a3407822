"""Records that expire: found by an index, deleted by reapers at a rate, told by the change feed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf import message_factory

import recordlayer as rl
from recordlayer import errors
from recordlayer.kv.registry import open_engine
from recordlayer.metadata.expiry import TimeUnit, expiry_index
from recordlayer.online.options import WorkLimits
from recordlayer.store.change_layout import ChangeKind
from recordlayer.testing.faults import Fault, Faulty
from tests.behaviour.conftest import Shop
from tests.support.hurried import HurriedClock
from tests.support.shop import FILE, PATH, Customer, Order, shop_file

HOUR = timedelta(hours=1)
NOW = 1_700_000_000_000
"""What the clock of these tests says, in milliseconds."""


def two_types() -> rl.RecordMetaDataBuilder:
    return rl.RecordMetaDataBuilder(FILE).primary_key("Order", "id").primary_key("Customer", "id")


TIMED = two_types().expires("Order", "total").build()
"""Orders expire at the time in `total`."""


class Late(Shop):
    """A shop whose clock is moved by hand."""

    def __init__(self, database_over: Any, metadata: Any = TIMED, engine: Any = None) -> None:
        self.clock = HurriedClock()
        world = self.clock.world()
        self.engine = open_engine("memory:", world=world) if engine is None else engine
        super().__init__(database_over(self.engine, world=world), metadata)

    def reap(self, **how: Any) -> Any:
        return self.db.reaper(self.metadata, path=PATH, **how).reap()

    def left(self) -> list[tuple[Any, ...]]:
        with self.db.transaction() as tx:
            return [record.primary_key for record in tx.store(self.metadata, path=PATH).scan().records()]

    def enable_feed(self) -> None:
        with self.db.transaction() as tx:
            tx.store(self.metadata, path=PATH, format_version=13).feed.enable()


@pytest.fixture
def late(database_over: Any, opened_stores: Any) -> Iterator[Late]:
    made = Late(database_over)
    yield made
    opened_stores.check(made.db)
    made.db.close()


def test_what_has_expired_is_deleted_and_the_rest_stays(late: Late) -> None:
    late.enable_feed()
    late.save(Order(id=1, total=NOW - 1), Order(id=2, total=NOW), Order(id=3, total=NOW + 1), Order(id=4))
    late.save(Customer(id=5))
    report = late.reap()
    assert (report.finished, report.records) == (True, 2)
    assert late.left() == [(3,), (4,), (5,)]
    late.clock.advance(1)
    assert late.reap().records == 1
    assert late.reap().records == 0
    assert late.left() == [(4,), (5,)]
    with late.db.transaction() as tx:
        changes = list(tx.store(TIMED, path=PATH).feed.changes())
    gone = [change for change in changes if change.kind is ChangeKind.DELETE]
    assert [(change.primary_key, change.reason) for change in gone] == [
        ((1,), "expired"),
        ((2,), "expired"),
        ((3,), "expired"),
    ]


@pytest.mark.parametrize("unit", list(TimeUnit))
def test_a_time_to_live_behind_a_field_in_any_unit(database_over: Any, unit: TimeUnit) -> None:
    late = Late(database_over, two_types().expires("Order", "total", ttl=HOUR, unit=unit).build())
    second = {TimeUnit.SECONDS: 1, TimeUnit.MILLISECONDS: 1000, TimeUnit.MICROSECONDS: 1_000_000}[unit]
    now = NOW // 1000 * second
    late.save(Order(id=1, total=now - 3600 * second), Order(id=2, total=now - 3500 * second), Order(id=3, total=now))
    assert late.reap().records == 1
    assert late.left() == [(2,), (3,)]
    late.clock.advance(3600)
    assert late.reap().records == 2
    late.check()
    late.db.close()


def test_a_time_to_live_since_a_record_was_saved(database_over: Any) -> None:
    metadata = two_types().store_record_versions().expires("Order", ttl=HOUR).build()
    late = Late(database_over, metadata)
    late.save(Order(id=1), Order(id=2), Customer(id=3))
    assert late.reap().records == 0
    for _ in range(3):
        late.clock.advance(900)
        late.save(Order(id=2))
        assert late.reap().records == 0
    late.clock.advance(901)
    assert late.reap().records == 1
    assert late.left() == [(2,), (3,)], "what was saved again has more time"
    late.clock.advance(7200)
    late.reap()
    assert late.left() == [(3,)]
    times = [key for key in late.pairs() if key.startswith(b"\x15\xfe")]
    assert 0 < len(times) < 10, "old notes go"
    late.check()
    late.db.close()


def test_few_records_a_transaction_at_a_rate(late: Late) -> None:
    late.save(*(Order(id=number, total=NOW - number) for number in range(50)))
    told: list[int] = []
    began = late.clock.monotonic()
    limits = WorkLimits(records=8, records_per_second=10)
    report = late.reap(limits=limits, told=lambda report: told.append(report.records))
    assert (report.records, report.transactions) == (50, 7)
    assert told == [8, 16, 24, 32, 40, 48, 50]
    assert late.clock.monotonic() - began >= 4.99


def test_a_reaper_that_is_stopped_is_followed_by_another(late: Late) -> None:
    late.save(*(Order(id=number, total=1) for number in range(30)))
    reaper = late.db.reaper(TIMED, path=PATH, limits=WorkLimits(records=10), told=lambda report: reaper.stop())
    report = reaper.reap()
    assert (report.finished, report.records) == (False, 10)
    assert late.reap().records == 20


def test_reapers_side_by_side_with_commits_of_unknown_outcome(database_over: Any, opened_stores: Any) -> None:
    chance = random.Random(7)
    clock = HurriedClock()
    faults = [chance.choice([None, None, Fault.APPLIED, Fault.NOT_APPLIED, errors.Conflict]) for _ in range(200)]
    engine = Faulty(open_engine("memory:", world=clock.world()), [])
    late = Late(database_over, engine=engine)
    late.enable_feed()
    late.save(*(Order(id=number, total=1) for number in range(200)))
    engine._faults = iter(faults)
    reapers = [late.db.reaper(TIMED, path=PATH, limits=WorkLimits(records=9, retries=50)) for _ in range(3)]
    for each in reapers:
        each.reap()
    engine._faults = iter([])
    assert late.left() == []
    with late.db.transaction() as tx:
        changes = list(tx.store(TIMED, path=PATH).feed.changes())
    gone = [change.primary_key for change in changes if change.kind is ChangeKind.DELETE]
    assert sorted(gone) == [(number,) for number in range(200)], "each once"
    assert engine.told
    opened_stores.check(late.db)
    late.db.close()


def test_reapers_in_threads_delete_each_record_once(late: Late) -> None:
    late.enable_feed()
    late.save(*(Order(id=number, total=1) for number in range(300)))
    limits = WorkLimits(records=10, records_per_second=None)
    with ThreadPoolExecutor(3) as threads:
        reports = list(threads.map(lambda _: late.reap(limits=limits), range(3)))
    assert late.left() == []
    assert sum(report.records for report in reports) == 300
    with late.db.transaction() as tx:
        changes = list(tx.store(TIMED, path=PATH).feed.changes())
    assert len([change for change in changes if change.kind is ChangeKind.DELETE]) == 300


def test_a_record_that_was_given_more_time_stays(late: Late) -> None:
    late.save(Order(id=1, total=1), Order(id=2, total=1))
    late.save(Order(id=1, total=NOW + 1000))
    assert late.reap().records == 1
    assert late.left() == [(1,)]


def test_only_the_types_that_are_named(database_over: Any) -> None:
    late = Late(database_over, two_types().expires("Order", "total").expires("Customer", "id", name="by_id").build())
    late.save(Order(id=1, total=1), Customer(id=2))
    assert late.reap(types=["Customer"]).records == 1
    assert late.left() == [(1,)]
    assert late.reap().records == 1
    with pytest.raises(errors.UnknownRecordType):
        late.reap(types=["Nothing"])
    late.db.close()


def test_types_that_expire_by_one_index_are_named_together(database_over: Any) -> None:
    index = expiry_index("id", timedelta(days=1), TimeUnit.SECONDS)
    late = Late(database_over, two_types().index(["Order", "Customer"], "by_age", index).build())
    late.save(Order(id=1), Customer(id=2))
    with pytest.raises(errors.UsageError, match="Customer"):
        late.reap(types=["Order"])
    assert late.left() == [(1,), (2,)]
    assert late.reap(types=["Order", "Customer"]).records == 2
    late.db.close()


def test_where_nothing_expires_there_is_nothing_to_reap(database_over: Any) -> None:
    late = Late(database_over, two_types().build())
    late.save(Order(id=1))
    with pytest.raises(errors.UsageError, match="expires"):
        late.reap()
    with pytest.raises(errors.UsageError, match="list"):
        late.reap(types="Order")
    late.db.close()


def test_metadata_that_say_nonsense_about_expiry_are_refused() -> None:
    for wrong in (
        {"options": {"recordlayer.expires": "sometimes"}},
        {"options": {"recordlayer.expires": "seconds+soon"}},
        {"options": {"recordlayer.expires": "version+5"}},
    ):
        with pytest.raises(errors.InvalidIndex):
            two_types().index("Order", "late", "total", **wrong).build()
    for field in ("customer", "paid"):
        with pytest.raises(errors.InvalidIndex, match="integer"):
            two_types().expires("Order", field).build()
    with pytest.raises(errors.InvalidIndex, match="one entry"):
        two_types().expires("Order", rl.field("tags").fan_out()).build()
    with pytest.raises(errors.InvalidIndex, match="store record versions"):
        two_types().expires("Order", ttl=HOUR).build()
    for nonsense in ({}, {"ttl": timedelta(0)}, {"ttl": 5}):
        with pytest.raises(errors.UsageError):
            two_types().expires("Order", **nonsense)
    with pytest.raises(errors.WrongType):
        two_types().expires("Order", "total", unit="days")


def test_stored_metadata_keep_when_records_expire() -> None:
    again = rl.RecordMetaDataBuilder.from_proto(TIMED.to_bytes()).build()
    assert again.index("Order_expiry").options == {"recordlayer.expires": "milliseconds"}


def test_old_changes_are_forgotten_in_many_transactions(late: Late) -> None:
    late.enable_feed()
    late.save(*(Order(id=number, total=1) for number in range(40)))
    late.clock.advance(3600)
    late.save(Order(id=50))
    trimmer = late.db.feed_trimmer(TIMED, path=PATH, older_than=timedelta(minutes=30), limits=WorkLimits(records=10))
    report = trimmer.trim()
    assert (report.finished, report.changes) == (True, 40)
    assert report.transactions >= 4
    with late.db.transaction() as tx:
        feed = tx.store(TIMED, path=PATH).feed
        assert [change.primary_key for change in feed.changes(since=feed.oldest())] == [(50,)]
    assert late.db.feed_trimmer(TIMED, path=PATH, older_than=timedelta(minutes=30)).trim().changes == 0


# -- hidden before they are deleted --------------------------------------------------------------------------


def test_what_has_expired_is_hidden_if_that_is_wanted(late: Late) -> None:
    late.save(*(Order(id=number, customer="ab"[number % 2], total=NOW - 5 + number) for number in range(10)))
    late.save(Order(id=20, customer="a"))
    with late.db.transaction() as tx:
        plain, store = (tx.store(TIMED, path=PATH, hide_expired=hide) for hide in (False, True))
        assert plain.load(5) is not None
        assert store.load(5) is None
        assert not store.exists(5)
        assert store.load(6).id == 6
        assert [order and order.id for order in store.load_many([4, 6, 20, 99])] == [None, 6, 20, None]
        assert [order.id for order in store.scan()] == [6, 7, 8, 9, 20]
        assert [order.id for order in store.scan(reverse=True, limit=2)] == [20, 9]
        page = store.scan(limit=2)
        assert [order.id for order in page] == [6, 7]
        assert [order.id for order in store.scan(limit=2, resume=page.continuation)] == [8, 9]
        assert store.typed(Order).load(5) is None
        assert store.count(rl.query("Order")) == 5
        assert plain.count(rl.query("Order")) == 11


def test_queries_hide_what_has_expired_by_every_plan(late: Late) -> None:
    late.save(*(Order(id=number, customer="ab"[number % 2], total=NOW - 5 + number) for number in range(10)))
    late.save(Order(id=20, customer="a"))
    asked = {
        "all": rl.query("Order"),
        "by time": rl.query("Order").where(rl.q.total > 0).order_by("total"),
        "covering": rl.query("Order").where(rl.q.total > NOW - 3).select("total"),
        "by key": rl.query("Order").where(rl.q.id >= 4),
    }
    expected = {"all": [6, 7, 8, 9, 20], "by time": [6, 7, 8, 9], "covering": [6, 7, 8, 9], "by key": [6, 7, 8, 9, 20]}
    for name, query in asked.items():
        with late.db.transaction() as tx:
            found = tx.store(TIMED, path=PATH, hide_expired=True).query(query).all()
            assert sorted(order.id for order in found) == expected[name], name


def test_pages_of_a_query_go_by_the_time_of_the_first(late: Late) -> None:
    late.save(*(Order(id=number, total=NOW + 1000 * number) for number in range(10)))
    found: list[int] = []
    resume = None
    while True:
        with late.db.transaction() as tx:
            page = tx.store(TIMED, path=PATH, hide_expired=True).query(rl.query("Order"), limit=3, resume=resume)
            found += [order.id for order in page]
            resume = page.continuation
        if resume is None:
            break
        late.clock.advance(100)
    assert sorted(found) == list(range(1, 10))
    with late.db.transaction() as tx:
        store = tx.store(TIMED, path=PATH, hide_expired=True)
        assert store.query(rl.query("Order")).all() == []
        plain = tx.store(TIMED, path=PATH).query(rl.query("Order"), limit=3)
        assert len(plain.all()) == 3
        with pytest.raises(errors.BadContinuation):
            store.query(rl.query("Order"), resume=plain.continuation)


@pytest.mark.parametrize("syntax", ["proto2", "proto3"])
def test_what_has_no_time_is_not_hidden_however_a_field_is_not_set(database_over: Any, syntax: str) -> None:
    """In proto3 nobody can tell a field that is 0 from one that is not set; both have no entry that expires."""
    file = shop_file(syntax)
    made = message_factory.GetMessageClass(file.message_types_by_name["Order"])
    metadata = rl.RecordMetaDataBuilder(file).primary_key("Order", "id").primary_key("Customer", "id")
    late = Late(database_over, metadata.expires("Order", "total").build())
    late.save(made(id=1), made(id=2, total=NOW - 1), made(id=3, total=NOW + 1), made(id=4, total=-1))
    with late.db.transaction() as tx:
        store = tx.store(late.metadata, path=PATH, hide_expired=True)
        assert [record.primary_key for record in store.scan().records()] == [(1,), (3,)]
        for query in (rl.query("Order"), rl.query("Order").where(rl.q.id > 0), rl.query("Order").order_by("total")):
            assert sorted(order.id for order in store.query(query).all()) == [1, 3]
        assert store.count(rl.query("Order")) == 2
    assert late.reap().records == 2
    assert late.left() == [(1,), (3,)]
    late.db.close()


def test_what_is_hidden_is_kept_in_step_all_the_same(database_over: Any, opened_stores: Any) -> None:
    """What is loaded for entries and for deletions is seen, what is loaded for callers is hidden."""
    metadata = (
        two_types()
        .expires("Order", "total")
        .unnested("OrderItem", "Order", parent="order", nested={"item": rl.field("items").fan_out()})
        .index("OrderItem", "by_sku", rl.field("item").nest("sku"))
        .build()
    )
    late = Late(database_over, metadata)
    old = [Order(id=number, total=NOW - 1) for number in range(1, 4)]
    for order in old:
        order.items.add(sku="x")
    late.save(*old)
    with late.db.transaction() as tx:
        store = tx.store(metadata, path=PATH, hide_expired=True)
        (entry, *_) = store.scan_index("by_sku").all()
        assert store.load_synthetic(entry.primary_key) is None
        assert tx.store(metadata, path=PATH).load_synthetic(entry.primary_key) is not None
        assert store.typed(Order).load(1) is None
        assert store.typed(Order).delete(1)
        assert not store.typed(Order).delete(1)
    opened_stores.check(late.db)
    late.db.close()


def test_queries_for_which_hiding_cannot_be_said_are_refused(late: Late) -> None:
    with late.db.transaction() as tx:
        store = tx.store(TIMED, path=PATH, hide_expired=True)
        with pytest.raises(errors.UsageError, match="one record type"):
            store.query(rl.query())
        store.query(rl.query("Customer"))
