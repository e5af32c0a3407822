"""Indexes built while the store is in use: the result, what is refused, and what an operator sees."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import concat, errors, field
from recordlayer.index.state import IndexState
from recordlayer.keys import RECORD_TYPE
from recordlayer.metadata import max_ever
from recordlayer.online.options import Action, BuildLimits, BuildPolicy
from recordlayer.online.stamp import Method
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World
from tests.support.shop import FILE, PATH, Customer, Order, builder

RECORDS = 60


def with_indexes() -> rl.RecordMetaData:
    return (
        builder()
        .index("Order", "by_customer", field("customer"))
        .index("Order", "per_customer", rl.count(group_by=field("customer")))
        .index("Order", "total_of", rl.sum_of(field("total"), group_by=field("customer")))
        .index(None, "all_records", rl.count())
        .build()
    )


NAMES = ("by_customer", "per_customer", "total_of")


def disabled(*_: Any) -> IndexState:
    return IndexState.DISABLED


def order(number: int) -> Any:
    return Order(id=number, customer=f"c{number % 7}", total=number)


def fill(db: Any, records: int = RECORDS) -> None:
    with db.transaction() as tx:
        store = tx.store(builder().build(), path=PATH)
        for number in range(records):
            store.save(order(number))
        store.save(Customer(ref="x", name="no order"))


@pytest.fixture
def metadata(db: Any) -> rl.RecordMetaData:
    """Of a store with records, whose indexes wait to be built."""
    fill(db)
    made = with_indexes()
    with db.transaction() as tx:
        tx.store(made, path=PATH, new_index_state=disabled)
    return made


def indexer(db: Any, metadata: rl.RecordMetaData, *names: str, **how: Any) -> Any:
    how.setdefault("limits", BuildLimits(records=7, records_per_second=None))
    return db.online_indexer(metadata, path=PATH, indexes=names or NAMES, **how)


def beside(db: Any) -> rl.Database:
    """The same engine for what happens while a build calls back: blocking calls, whatever facade builds."""
    return rl.Database(db.engine, world=World())


def states(db: Any, metadata: rl.RecordMetaData) -> dict[str, IndexState]:
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        return {name: store.index_state(name) for name in NAMES}


def check(db: Any, metadata: rl.RecordMetaData) -> None:
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        assert store.check() == []


def stop_after(transactions: int) -> Any:
    """Limits that end a build after some transactions, at the latest."""
    asked = [0]

    def limits() -> BuildLimits:
        asked[0] += 1
        late = asked[0] > transactions
        return BuildLimits(records=7, records_per_second=None, total_time=timedelta(0) if late else None)

    return limits


# -- the result


def test_a_build_says_how_far_it_is_and_how_long_the_rest_takes(db: Any, metadata: rl.RecordMetaData) -> None:
    assert indexer(db, metadata, "all_records").build().finished
    told: list[Any] = []
    seen: list[Any] = []

    def look(report: Any) -> None:
        told.append(report)
        with beside(db).transaction() as tx:
            seen.append(tx.store(metadata, path=PATH).build_of("by_customer").progress())

    report = indexer(db, metadata, told=look).build()
    assert [one.total for one in told] == [RECORDS + 1] * len(told), "an index counts them"
    assert [one.scanned for one in told] == [one.scanned for one in seen], "as the database has it"
    assert told[-1].scanned == RECORDS + 1
    assert [one.fraction for one in told] == sorted(one.fraction for one in told)
    assert all(one.remaining >= timedelta(0) for one in told)
    assert told[-1].remaining == timedelta(0)
    assert (report.fraction, report.remaining) == (1.0, timedelta(0))
    assert seen[0].remaining(seen[0]) is None, "nothing was done between the two"
    assert seen[1].remaining(seen[0]) >= timedelta(0)
    assert seen[-1].remaining(seen[-2]) == timedelta(0)


def test_a_build_reads_the_records_of_its_types_only_where_their_keys_begin_with_the_type(db: Any) -> None:
    def typed() -> rl.RecordMetaDataBuilder:
        keyed = rl.RecordMetaDataBuilder(FILE).primary_key("Order", concat(RECORD_TYPE, field("id")))
        return keyed.primary_key("Customer", concat(RECORD_TYPE, field("ref")))

    with db.transaction() as tx:
        store = tx.store(typed().build(), path=PATH)
        for number in range(20):
            store.save(order(number))
            store.save(Customer(ref=str(number), name="x"))
    made = typed().index("Order", "by_customer", field("customer")).build()
    with db.transaction() as tx:
        tx.store(made, path=PATH, new_index_state=disabled)
    assert indexer(db, made, "by_customer").build().records == 20
    with db.transaction() as tx:
        assert tx.store(made, path=PATH).check() == []


def test_indexes_are_built_together_in_one_pass(db: Any, metadata: rl.RecordMetaData) -> None:
    report = indexer(db, metadata).build()
    assert report.finished
    assert report.indexes == NAMES
    assert report.records == RECORDS + 1, "each record is read once, whatever its type"
    assert report.transactions >= RECORDS // 7
    assert set(states(db, metadata).values()) == {IndexState.READABLE}
    check(db, metadata)
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        assert store.count("per_customer", "c3") == len(range(3, RECORDS, 7))
        assert store.aggregate("total_of", "c3") == sum(range(3, RECORDS, 7))


def test_a_build_leaves_nothing_but_entries_behind(db: Any, metadata: rl.RecordMetaData) -> None:
    indexer(db, metadata, *NAMES, "all_records").build()
    prefix = rl.Subspace(PATH)
    with db.transaction() as tx:
        for keyspace in (5, 6, 9):
            begin, end = prefix.range((keyspace,))
            assert run_blocking(tx.context.read_all(begin, end)) == []


def test_what_is_readable_is_left_alone(db: Any, metadata: rl.RecordMetaData) -> None:
    indexer(db, metadata).build()
    report = indexer(db, metadata).build()
    assert report.finished
    assert (report.indexes, report.transactions) == ((), 0)


def test_a_build_that_was_stopped_goes_on_where_it_was(db: Any, metadata: rl.RecordMetaData) -> None:
    first = indexer(db, metadata, limits=stop_after(3)).build()
    assert not first.finished
    assert set(states(db, metadata).values()) == {IndexState.WRITE_ONLY}
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        store.save(Order(id=2, customer="changed", total=1000))
        store.save(Order(id=RECORDS - 2, customer="changed", total=1000))
        store.delete(3)
        store.delete(RECORDS - 3)
        store.save(order(RECORDS + 5))
    second = indexer(db, metadata).build()
    assert second.finished
    assert first.records + second.records == RECORDS + 1 - 1 + 1, "one was deleted before it was reached"
    check(db, metadata)


def test_rebuilding_begins_anew(db: Any, metadata: rl.RecordMetaData) -> None:
    indexer(db, metadata).build()
    report = indexer(db, metadata, policy=BuildPolicy(readable=Action.REBUILD)).build()
    assert report.records == RECORDS + 1
    check(db, metadata)


def test_an_index_may_stay_unread_when_it_is_built(db: Any, metadata: rl.RecordMetaData) -> None:
    report = indexer(db, metadata, policy=BuildPolicy(mark_readable=False)).build()
    assert report.finished
    assert set(states(db, metadata).values()) == {IndexState.WRITE_ONLY}
    with db.transaction() as tx:
        tx.store(metadata, path=PATH).save(order(RECORDS + 1))
    indexer(db, metadata, policy=BuildPolicy(write_only=Action.MARK_READABLE)).build()
    assert set(states(db, metadata).values()) == {IndexState.READABLE}
    check(db, metadata)


# -- unique indexes


def test_equal_values_of_a_unique_index_are_found_and_the_build_is_finished_when_they_are_gone(db: Any) -> None:
    fill(db)
    unique = builder().index("Order", "by_total", field("total"), unique=True).index(None, "all_records", rl.count())
    made = unique.build()
    with db.transaction() as tx:
        store = tx.store(made, path=PATH, new_index_state=disabled, format_version=9)
        store.save(Order(id=1000, customer="x", total=5))
    with pytest.raises(errors.UniquenessViolation):
        indexer(db, made, "by_total").build()
    pending = indexer(db, made, "by_total", policy=BuildPolicy(unique_pending=True)).build()
    assert pending.finished
    assert pending.records == 0, "all was built: only the state was missing"
    with db.transaction() as tx:
        store = tx.store(made, path=PATH)
        assert store.index_state("by_total") is IndexState.READABLE_UNIQUE_PENDING
        store.delete(1000)


# -- what is refused


def test_unknown_indexes_and_stores_and_empty_requests_are_refused(db: Any, metadata: rl.RecordMetaData) -> None:
    with pytest.raises(errors.UnknownIndex):
        indexer(db, metadata, "no such index").build()
    with pytest.raises(errors.StoreMissing):
        db.online_indexer(metadata, path=("shop", "nowhere"), indexes=NAMES).build()
    for names in ((), "by_customer", ("by_customer", "by_customer")):
        with pytest.raises(errors.UsageError):
            db.online_indexer(metadata, path=PATH, indexes=names)


def test_a_state_that_the_policy_forbids_is_refused(db: Any, metadata: rl.RecordMetaData) -> None:
    with pytest.raises(errors.BuildRefused, match="DISABLED"):
        indexer(db, metadata, policy=BuildPolicy(disabled=Action.ERROR)).build()
    assert set(states(db, metadata).values()) == {IndexState.DISABLED}


@pytest.mark.parametrize("wrong", [{"readable": "rebuild"}, {"mismatch": Action.CONTINUE}])
def test_a_policy_is_made_of_actions(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.UsageError):
        BuildPolicy(**wrong)


@pytest.mark.parametrize("wrong", [{"records": 0}, {"bytes": 1.5}, {"time": 4}, {"records_per_second": -1}])
def test_limits_are_whole_numbers_and_times(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.UsageError):
        BuildLimits(**wrong)


def test_a_build_begun_in_another_way_is_not_mixed_with_this_one(db: Any, metadata: rl.RecordMetaData) -> None:
    indexer(db, metadata, "by_customer", "per_customer", limits=stop_after(2)).build()
    with pytest.raises(errors.BuildMismatch, match="multi target of by_customer, per_customer"):
        indexer(db, metadata, "by_customer", "total_of").build()
    alone = indexer(db, metadata, "by_customer", policy=BuildPolicy(takeover=False))
    with pytest.raises(errors.BuildMismatch):
        alone.build()
    taken = indexer(db, metadata, "by_customer").build()
    assert taken.finished
    assert taken.records < RECORDS, "it went on from where both were"
    rebuilt = indexer(db, metadata, "per_customer", "total_of", policy=BuildPolicy(mismatch=Action.REBUILD)).build()
    assert rebuilt.records == RECORDS + 1
    check(db, metadata)


def test_somebody_elses_build_is_left_alone_for_as_long_as_he_shows_himself(
    db: Any, metadata: rl.RecordMetaData
) -> None:
    seen: list[Any] = []

    def told(report: Any) -> None:
        if not seen:
            with pytest.raises(errors.BuildLocked) as raised:
                indexer(beside(db), metadata).build()
            seen.append(raised.value)

    assert indexer(db, metadata, told=told).build().finished
    assert seen[0].fields["method"] == "MULTI_TARGET_BY_RECORDS"
    check(db, metadata)


# -- by another index


def by_another(*more: tuple[str, Any, dict[str, Any]]) -> rl.RecordMetaData:
    made = builder().index("Order", "by_customer", field("customer")).index("Order", "by_total", field("total"))
    for name, expression, how in more:
        made = made.index("Order", name, expression, **how)
    return made.index("Order", "by_tag", field("tags").fan_out()).index("Customer", "by_name", field("name")).build()


def test_an_index_is_built_by_another_one_and_reads_its_records_only(db: Any) -> None:
    fill(db)
    made = by_another()
    with db.transaction() as tx:
        tx.store(made, path=PATH, new_index_state=disabled)
    indexer(db, made, "by_total").build()
    report = indexer(db, made, "by_customer", source="by_total").build()
    assert report.finished
    assert report.records == RECORDS, "the customer is no order"
    with db.transaction() as tx:
        store = tx.store(made, path=PATH)
        assert len(store.query(rl.query("Order").where(rl.q.customer == "c3")).all()) == len(range(3, RECORDS, 7))


def test_a_record_that_moves_behind_a_build_by_another_index_is_not_passed_by(db: Any) -> None:
    fill(db)
    made = by_another(("most", max_ever("total"), {}))
    with db.transaction() as tx:
        tx.store(made, path=PATH, new_index_state=disabled)
    indexer(db, made, "by_total").build()
    assert not indexer(db, made, "by_customer", source="by_total", limits=stop_after(2)).build().finished
    with db.transaction() as tx:
        store = tx.store(made, path=PATH)
        moved = order(RECORDS - 1)
        moved.total = -1  # its customer stays the same
        store.save(moved)
    assert indexer(db, made, "by_customer").build().finished
    with db.transaction() as tx:
        store = tx.store(made, path=PATH)
        assert store.index_state("by_customer") is IndexState.READABLE
        assert store.check() == []
    with pytest.raises(errors.SourceUnsuitable, match="passed by"):
        indexer(db, made, "most", source="by_total").build()


def test_a_build_by_another_index_goes_on_so(db: Any) -> None:
    fill(db)
    made = by_another()
    with db.transaction() as tx:
        tx.store(made, path=PATH, new_index_state=disabled)
    indexer(db, made, "by_total").build()
    first = indexer(db, made, "by_customer", source="by_total", limits=stop_after(3)).build()
    with db.transaction() as tx:
        assert tx.store(made, path=PATH).build_of("by_customer").progress().method is Method.BY_INDEX
    with pytest.raises(errors.BuildMismatch):
        indexer(db, made, "by_customer", policy=BuildPolicy(takeover=False)).build()
    second = indexer(db, made, "by_customer").build()
    assert first.records + second.records == RECORDS


@pytest.mark.parametrize(
    ("source", "reason"),
    [("by_tag", "several entries"), ("by_name", "same record type"), ("by_customer", "by itself")],
)
def test_an_index_that_cannot_serve_as_source_is_refused(db: Any, source: str, reason: str) -> None:
    fill(db)
    made = by_another()
    with db.transaction() as tx:
        tx.store(made, path=PATH, new_index_state=disabled)
    with pytest.raises(errors.SourceUnsuitable, match=reason):
        indexer(db, made, "by_customer", source=source).build()
    with pytest.raises(errors.IndexNotReadable):
        indexer(db, made, "by_customer", source="by_total").build()
    with pytest.raises(errors.UsageError):
        indexer(db, made, "by_customer", "by_total", source=source)


# -- what an operator sees and does


def test_progress_is_counted_in_the_database(db: Any, metadata: rl.RecordMetaData) -> None:
    def look() -> Any:
        with db.transaction() as tx:
            return tx.store(metadata, path=PATH).build_of("by_customer").progress()

    assert (look().state, look().fraction, look().method) == (IndexState.DISABLED, None, None)
    report = indexer(db, metadata, limits=stop_after(4)).build()
    there = look()
    assert (there.scanned, there.method, there.gaps) == (report.records, Method.MULTI_TARGET, 1)
    assert there.total is None, "all_records is disabled too"
    indexer(db, metadata, "all_records").build()
    assert look().total == RECORDS + 1
    assert look().fraction == report.records / (RECORDS + 1)
    indexer(db, metadata).build()
    assert look().fraction == 1.0


def test_a_blocked_build_stops_and_goes_on_when_it_is_unblocked(db: Any, metadata: rl.RecordMetaData) -> None:
    def block(report: Any) -> None:
        if report.transactions == 2:
            with beside(db).transaction() as tx:
                store = tx.store(metadata, path=PATH)
                for name in NAMES:
                    store.build_of(name).block(id="maintenance")

    with pytest.raises(errors.BuildBlocked, match="maintenance"):
        indexer(db, metadata, told=block).build()
    with pytest.raises(errors.BuildBlocked):
        indexer(db, metadata).build()
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        assert store.build_of("by_customer").progress().block_id == "maintenance"
        assert not store.build_of("by_customer").unblock(id="another")
        for name in NAMES:
            assert store.build_of(name).unblock(id="maintenance")
            assert not store.build_of(name).unblock()
    assert indexer(db, metadata).build().finished
    check(db, metadata)
    with db.transaction() as tx, pytest.raises(errors.UsageError):
        tx.store(metadata, path=PATH).build_of("by_customer").block()


def test_a_rate_that_is_set_in_the_store_holds_for_whoever_builds(db: Any, metadata: rl.RecordMetaData) -> None:
    build = {"path": PATH, "indexes": ["by_customer"], "limits": BuildLimits(records=1)}
    begun = db.online_indexer(metadata, **build, told=lambda report: begun.stop())
    with db.transaction() as tx, pytest.raises(errors.UsageError):
        tx.store(metadata, path=PATH).build_of("by_customer").throttle(40)
    assert not begun.build().finished
    with db.transaction() as tx:
        of = tx.store(metadata, path=PATH).build_of("by_customer")
        of.throttle(40)
        with pytest.raises(errors.UsageError):
            of.throttle(0)
        assert of.progress().rate == 40
    pieces: list[int] = []
    build["limits"] = BuildLimits(records=RECORDS)
    report = db.online_indexer(metadata, **build, told=lambda report: pieces.append(report.records)).build()
    assert (report.finished, pieces) == (True, [40, RECORDS])
    assert report.took >= timedelta(seconds=RECORDS / 40 - 0.1)
    with db.transaction() as tx:
        assert tx.store(metadata, path=PATH).build_of("by_customer").progress().rate is None


def test_builders_are_known_by_their_heartbeats(db: Any, metadata: rl.RecordMetaData) -> None:
    seen: list[Any] = []

    def told(report: Any) -> None:
        with beside(db).transaction() as tx:
            seen.append(tx.store(metadata, path=PATH).build_of("total_of").builders())

    indexer(db, metadata, told=told).build()
    assert {len(found) for found in seen} == {1}
    assert seen[0][0].id == seen[-1][0].id
    assert seen[0][0].seen <= seen[-1][0].seen
    with db.transaction() as tx:
        assert tx.store(metadata, path=PATH).build_of("total_of").builders() == []


def test_stopping_from_outside_ends_the_build_after_the_transaction_under_way(
    db: Any, metadata: rl.RecordMetaData
) -> None:
    def told(report: Any) -> None:
        if report.transactions == 3:
            building.stop()

    building = indexer(db, metadata, told=told)
    report = building.build()
    assert (report.finished, report.transactions) == (False, 3)
    assert indexer(db, metadata).build().finished
    check(db, metadata)


def test_a_build_does_not_go_on_in_a_store_that_is_locked(db: Any, metadata: rl.RecordMetaData) -> None:
    """Who copies or moves a store has locked it, and must find it as it was."""
    other = beside(db)

    def lock(report: Any) -> None:
        with other.transaction() as tx:
            tx.store(metadata, path=PATH, format_version=12).header.forbid_updates(reason="it is moved")

    with pytest.raises(errors.StoreLocked):
        indexer(db, metadata, told=lock).build()
    with db.transaction() as tx:
        assert tx.store(metadata, path=PATH).header.unlock()
    assert indexer(db, metadata).build().finished
    check(db, metadata)
