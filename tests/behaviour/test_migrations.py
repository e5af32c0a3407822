"""Migrations of one store and of many: planned, applied, stopped anywhere, resumed; two operators; ways back."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.index.build_notes import HEARTBEATS
from recordlayer.kv.registry import open_engine
from recordlayer.metadata import Evolution
from recordlayer.migrate.changes import Verdict
from recordlayer.migrate.fleet import FleetRules
from recordlayer.migrate.journal import HistoryRow, Journal
from recordlayer.migrate.migration import JOURNAL
from recordlayer.migrate.plan import StepKind
from recordlayer.online.options import BuildLimits
from recordlayer.online.stamp import build_prefix
from recordlayer.pb.index_build_pb2 import IndexBuildHeartbeat
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.testing.clock import ManualClock
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World
from tests.support.shop import FILE, PATH, Order, builder

META = ("shop", "metadata")
RELAXED = BuildLimits(records=50)


def wanted(*changes: Callable[[rl.RecordMetaDataBuilder], object]) -> rl.RecordMetaData:
    made = builder()
    for change in (counted, *changes):
        change(made)
    return made.build()


def counted(made: rl.RecordMetaDataBuilder) -> None:
    made.index(None, "records", rl.count())


def by_total(made: rl.RecordMetaDataBuilder) -> None:
    made.index("Order", "by_total", field("total"))


def by_customer(made: rl.RecordMetaDataBuilder) -> None:
    made.index("Order", "by_customer", field("customer"))


def one_customer(made: rl.RecordMetaDataBuilder) -> None:
    made.index("Order", "by_customer", field("customer"), unique=True)


def migration(db: Any, schema: rl.RecordMetaData, **how: Any) -> Any:
    stores = how if {"paths", "below"} & how.keys() else {"path": PATH, **how}
    return db.migration(schema, metadata=META, limits=RELAXED, **stores)


def where(**how: Any) -> Any:
    return StoredMetaData(path=META, **how)


def begun(db: Any, orders: int, path: Any = PATH, *, schema: rl.RecordMetaData | None = None) -> None:
    """A store of so many orders by metadata that are kept in the database."""
    for at in range(0, max(1, orders), 500):
        with db.transaction() as tx:
            store = tx.store(where(seed=schema or wanted()), path=path)
            for number in range(at, min(orders, at + 500)):
                store.save(Order(id=number, customer=f"c{number % 7}", total=number))


def state(db: Any, index: str, path: Any = PATH) -> rl.IndexState:
    with db.transaction() as tx:
        return tx.store(where(), path=path).index_state(index)


def totals(db: Any, path: Any = PATH) -> list[int]:
    with db.transaction() as tx:
        return [entry.key[0] for entry in tx.store(where(), path=path).scan_index("by_total")]


# -- planning


def test_a_plan_judges_prices_and_orders_and_changes_nothing(db: Any) -> None:
    begun(db, 300)
    plan = migration(db, wanted(by_total)).plan()
    assert [change.verdict for change in plan.diff.changes] == [Verdict.BUILD]
    assert [step.kind for step in plan.steps] == [StepKind.METADATA, StepKind.OPEN, StepKind.BUILD]
    assert (plan.price.keys, plan.price.entries, plan.price.exact) == (300, 300, True)
    assert plan.price.time(rate=100) == timedelta(seconds=3)
    again = migration(db, wanted(by_total)).plan()
    assert again.as_json() == plan.as_json()
    assert migration(db, wanted()).plan().is_empty


def test_records_that_nothing_counts_are_estimated_or_counted_when_they_are_few(db: Any) -> None:
    plain, indexed = builder().build(), builder().index("Order", "by_total", field("total")).build()
    begun(db, 30, schema=plain)
    assert migration(db, indexed).plan().price.keys == 30
    begun(db, 900, schema=plain)
    price = migration(db, indexed).plan().price
    assert not price.exact
    assert price.keys >= 200


# -- applying


def test_a_migration_ends_with_an_index_that_is_read_and_a_history(db: Any) -> None:
    begun(db, 300)
    report = migration(db, wanted(by_total), who="ana").apply()
    assert (report.finished, report.done, report.failed, report.waiting) == (True, 1, {}, {})
    assert state(db, "by_total") is rl.IndexState.READABLE
    assert totals(db) == list(range(300))
    rows = migration(db, wanted()).history()
    assert [(row.step, row.who, row.about) for row in rows] == [
        ("index built", "ana", "by_total"),
        ("store opened", "ana", ""),
        ("metadata stored", "ana", ""),
    ]
    status = migration(db, wanted(by_total)).status()
    assert (status.holder, status.plan.is_empty, status.run.finished) == (None, True, True)
    assert migration(db, wanted(by_total)).apply().finished, "once more does nothing"
    assert len(migration(db, wanted()).history()) == 3


def test_few_records_are_indexed_with_the_opening(db: Any) -> None:
    begun(db, 20)
    assert migration(db, wanted(by_total)).apply().finished
    assert totals(db) == list(range(20))
    assert [row.step for row in migration(db, wanted()).history()] == ["store opened", "metadata stored"]


def test_several_indexes_are_built_in_one_pass(db: Any) -> None:
    begun(db, 300)
    seen: set[tuple[str, ...]] = set()
    told = lambda words, store, report: seen.add(report.indexes) if report else None  # noqa: E731
    assert migration(db, wanted(by_total, by_customer), told=told).apply().finished
    assert seen == {("by_customer", "by_total")}


def test_what_is_refused_writes_nothing(db: Any) -> None:
    begun(db, 5)
    other = builder().primary_key("Order", "total").index(None, "records", rl.count()).build()
    with pytest.raises(errors.MigrationRefused, match="primary key|could not be found"):
        migration(db, other).apply()
    status = migration(db, wanted()).status()
    assert (status.holder, status.run, status.plan.is_empty) == (None, None, True)


def test_a_dropped_index_is_cleared_and_a_rollback_builds_it_again(db: Any) -> None:
    begun(db, 300, schema=wanted(by_total))
    assert migration(db, wanted()).apply().finished
    back = migration(db, wanted()).rollback_schema()
    assert "by_total" in back.indexes
    assert migration(db, back).apply().finished
    assert totals(db) == list(range(300))
    with pytest.raises(errors.UsageError):
        migration(db, wanted()).rollback_schema(99)


def test_values_that_should_be_unique_and_are_not_wait_until_they_are_resolved(db: Any) -> None:
    begun(db, 210, schema=wanted(by_customer))
    report = migration(db, wanted(one_customer)).apply()
    assert not report.finished
    assert list(report.waiting.values()) == [["by_customer"]]
    assert state(db, "by_customer") is not rl.IndexState.READABLE
    rows = migration(db, wanted()).history()
    assert next((row.step, row.about) for row in rows) == ("index pending", "by_customer")
    with db.transaction() as tx:
        store = tx.store(where(), path=PATH)
        found = store.violations("by_customer")
        assert len(found) == 7
        for violation in found:
            store.resolve_violation("by_customer", violation.primary_keys[0])
    assert migration(db, wanted(one_customer)).apply(resume=True).finished
    assert state(db, "by_customer") is rl.IndexState.READABLE


def test_a_rename_is_applied_where_it_is_allowed_and_builds_nothing(db: Any) -> None:
    begun(db, 300, schema=wanted(by_customer))
    file = _renamed()
    schema = builder(file).index(None, "records", rl.count()).index("Order", "by_customer", field("buyer")).build()
    with pytest.raises(errors.MigrationRefused):
        migration(db, schema).apply()
    allow = Evolution(allow_field_renames=True)
    assert migration(db, schema, allow=allow).plan().price.keys == 0
    assert migration(db, schema, allow=allow).apply().finished
    with db.transaction() as tx:
        rows = tx.store(where(), path=PATH).query(rl.query("Order").where(rl.q.buyer == "c1")).all()
    assert len(rows) == 43


def _renamed() -> Any:
    made = descriptor_pb2.FileDescriptorProto.FromString(FILE.serialized_pb)
    order = next(message for message in made.message_type if message.name == "Order")
    order.field[1].name = "buyer"
    order.field[1].ClearField("json_name")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(made)
    return pool.FindFileByName(made.name)


# -- stopping and resuming


class Stopped(Exception):
    pass


def test_an_error_under_way_leaves_what_is_done_and_the_next_goes_on(db: Any) -> None:
    begun(db, 400)
    pieces = []

    def told(words: str, store: bytes, report: Any) -> None:
        pieces.append(words)
        if len(pieces) == 4:
            raise Stopped

    with pytest.raises(Stopped):
        migration(db, wanted(by_total), told=told).apply()
    status = migration(db, wanted(by_total)).status()
    assert status.holder is None, "nobody has to wait for who has left"
    assert [step.kind for step in status.plan.steps] == [StepKind.BUILD]
    assert not status.run.finished
    looked: list[int] = []
    counting = lambda words, store, report: looked.append(report.records) if report else None  # noqa: E731
    assert migration(db, wanted(by_total), told=counting).apply(resume=True).finished
    assert max(looked) < 400, "it did not begin anew"
    assert totals(db) == list(range(400))


def beats(db: Any, index: str, ago: timedelta = timedelta(0)) -> uuid.UUID:
    """Somebody builds an index, and said so some time ago."""
    with db.transaction() as tx:
        store, who = tx.store(where(), path=PATH).core, uuid.uuid4()
        seen = int((store.context.world.clock.wall() - ago.total_seconds()) * 1000)
        beat = IndexBuildHeartbeat(info="BY_RECORDS", createTimeMilliseconds=seen, heartbeatTimeMilliseconds=seen)
        prefix = build_prefix(store, store.metadata.index(index)) + HEARTBEATS
        store.context.set(rl.tuples.pack((who,), prefix), beat.SerializeToString())
    return who


def test_a_builder_that_was_killed_is_outlasted_and_one_that_lives_is_named(db: Any) -> None:
    begun(db, 400)

    def stops(words: str, store: bytes, report: Any) -> None:
        if report is not None:
            raise Stopped

    with pytest.raises(Stopped):
        migration(db, wanted(by_total), told=stops).apply()
    alive: list[uuid.UUID] = []
    other = rl.Database(db.engine, world=World())  # a blocking one: what is told is told on the loop
    beats(db, "by_total", timedelta(seconds=8))

    def lives(words: str, store: bytes, report: Any) -> None:
        if "silent" in words:
            alive.append(beats(other, "by_total"))

    report = migration(db, wanted(by_total), told=lives).apply(resume=True)
    assert alive, "it was waited for"
    assert f"build_locked: somebody else is building the index ({alive[0]})" in report.failed.values()
    said: list[str] = []
    quick = {"lease": timedelta(seconds=1), "told": lambda words, store, report: said.append(words)}
    assert migration(db, wanted(by_total), **quick).apply(resume=True).finished
    assert totals(db) == list(range(400))


def test_histories_and_done_stores_are_read_in_full_however_many_chunks_they_come_in(db: Any) -> None:
    begun(db, 1)
    journal = _journal("ana")
    for some in range(4):
        with db.transaction() as tx:
            for number in range(some * 600, some * 600 + 600):
                row = HistoryRow(step="store opened", who="ana", at=0.0, store=b"%06d" % number, about="x" * 200)
                journal.note(tx.context, row)
                journal.note_done(tx.context, "run", row.store)
    assert [row.store for row in migration(db, wanted()).history(limit=2_100)] == [
        b"%06d" % number for number in reversed(range(300, 2_400))
    ]
    with db.transaction() as tx:
        first = run_blocking(journal.done(tx.context, "run", limit=2_100))
        rest = run_blocking(journal.done(tx.context, "run", after=first[-1], limit=2_100))
    assert first + rest == [b"%06d" % number for number in range(2_400)]


def test_there_is_nothing_to_resume_where_nothing_was_begun_or_the_schema_is_another(db: Any) -> None:
    begun(db, 10)
    with pytest.raises(errors.MigrationChanged):
        migration(db, wanted(by_total)).apply(resume=True)
    begun(db, 10, path=("shop", "other"))
    rules = FleetRules(canary=0.1, only_canary=True)
    both = {"paths": (PATH, ("shop", "other"))}
    assert not migration(db, wanted(by_total), rules=rules, **both).apply().finished
    with pytest.raises(errors.MigrationChanged):
        migration(db, wanted(by_customer), **both).apply(resume=True)
    assert migration(db, wanted(by_total), **both).apply(resume=True).finished


# -- two operators


def test_the_second_operator_leaves_with_the_name_of_the_first_or_waits(db: Any) -> None:
    begun(db, 10)
    _take(db, "ana", timedelta(seconds=300))
    with pytest.raises(errors.MigrationHeld) as held:
        migration(db, wanted(by_total), who="bo").apply()
    assert held.value.fields["who"] == "ana"
    status = migration(db, wanted(by_total)).status()
    assert (status.holder.who, status.run) == ("ana", None)
    _take(db, "ana", timedelta(milliseconds=300))
    assert migration(db, wanted(by_total), who="bo").apply(wait=timedelta(seconds=100)).finished


def test_who_was_taken_over_from_does_no_further_step(db: Any) -> None:
    begun(db, 400)
    reports = []

    def told(words: str, store: bytes, report: Any) -> None:
        reports.append(report)
        if len(reports) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        migration(db, wanted(by_total), who="ana", told=told).apply()
    with db.transaction() as tx:
        mine, other = (_journal(who) for who in ("ana", "bo"))
        run_blocking(other.take(tx.context))
        with pytest.raises(errors.MigrationHeld):
            run_blocking(mine.keep(tx.context))


def test_who_has_fallen_silent_is_waited_for_no_longer_than_his_lease(database_over: Any) -> None:
    clock = ManualClock()
    world = clock.world()
    with database_over(open_engine("memory:", world=world), world=world) as db:
        begun(db, 10)
        _take(db, "ana")
        with pytest.raises(errors.MigrationHeld, match="ana"):
            migration(db, wanted(by_total), who="bo").apply()
        clock.advance(31)
        assert migration(db, wanted(by_total), who="bo").apply().finished


def _journal(who: str, lease: timedelta = timedelta(seconds=30)) -> Journal:
    return Journal(rl.Subspace(META).key() + JOURNAL, who=who, id=who, lease=lease)


def _take(db: Any, who: str, lease: timedelta = timedelta(seconds=30)) -> None:
    """Somebody at work, killed."""
    with db.transaction() as tx:
        run_blocking(_journal(who, lease).take(tx.context))


# -- fleets


def test_canaries_that_do_not_come_through_spare_the_others(db: Any) -> None:
    paths = [("shop", "fleet", number) for number in range(12)]
    for path in paths:
        begun(db, 14, path=path, schema=wanted(by_customer))
    report = migration(
        db, wanted(one_customer), below=("shop", "fleet"), rules=FleetRules(canary=0.2, stop_after=5)
    ).apply()
    assert report.stopped == "canaries did not come through"
    assert (len(report.waiting), report.done) == (3, 0)
    opened = [row for row in migration(db, wanted()).history() if row.step == "store opened"]
    assert len(opened) == 3, "nobody else was touched"


def test_a_fleet_stops_after_so_many_failures_and_says_which_stores(db: Any) -> None:
    paths = [("shop", "fleet", number) for number in range(8)]
    for path in paths:
        begun(db, 3, path=path)
    for path in paths[2:4]:
        with db.transaction() as tx:
            tx.store(where(), path=path, format_version=14).header.lock(reason="moving house")
    rules = FleetRules(concurrency=1, stop_after=2)
    report = migration(db, wanted(by_total), below=("shop", "fleet"), rules=rules).apply()
    assert report.stopped == "2 failed"
    assert set(report.failed) == {rl.Subspace(path).key() for path in paths[2:4]}
    assert report.done == 2
    for path in paths[2:4]:
        with db.transaction() as tx:
            tx.store(where(), path=path, bypass_lock="moving house").header.unlock()
    report = migration(db, wanted(by_total), below=("shop", "fleet")).apply(resume=True)
    assert (report.finished, report.done, report.skipped) == (True, 6, 2)
