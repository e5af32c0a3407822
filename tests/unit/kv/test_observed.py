"""An observed engine: what is told of a transaction, in which order, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from recordlayer.errors import Conflict, MaybeCommitted, OperationCancelled
from recordlayer.kv.engine import Engine, KeySelector, MutationType, StreamingMode
from recordlayer.kv.observed import ObservedEngine, ObservedTransaction
from recordlayer.kv.registry import open_engine
from recordlayer.observe.events import (
    ELSEWHERE,
    CommitBegan,
    CommitFinished,
    Counts,
    Event,
    Outcome,
    Place,
    PointRead,
    RangeRead,
    ReadVersionTaken,
    Retried,
    TransactionBegan,
    TransactionEnded,
    WriteBatch,
)
from recordlayer.observe.observer import Observers
from recordlayer.testing.clock import ManualClock
from recordlayer.waiting.drivers import run_blocking
from recordlayer.waiting.waitable import Failed, Waitable
from tests.support.recording import Recording


@dataclass
class Shelf:
    """Keys below a prefix whose next byte names an index."""

    prefix: bytes
    store: str

    def place_of(self, key: bytes) -> Place:
        rest = key[len(self.prefix) :]
        return Place(self.store, "index", rest[:1].decode()) if rest else Place(self.store, "header")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def plain(clock: ManualClock) -> Iterator[Engine]:
    engine = open_engine("memory:", world=clock.world())
    yield engine
    engine.close()


def observing(plain: Engine, clock: ManualClock, *kinds: type[Event]) -> tuple[ObservedEngine, Recording]:
    recording = Recording(*kinds)
    return ObservedEngine(plain, Observers(recording), clock.world()), recording


def commit(transaction: ObservedTransaction) -> None:
    async def core() -> None:
        await transaction.commit()

    run_blocking(core())


def test_a_transaction_is_told_from_its_beginning_to_its_end(plain: Engine, clock: ManualClock) -> None:
    engine, recording = observing(plain, clock)

    async def work() -> None:
        transaction = engine.begin(work="checkout", tags=("web",))
        await transaction.read_version()
        assert await transaction.get(b"a") is None
        transaction.set(b"a", b"123")
        transaction.atomic(MutationType.ADD, b"n", b"\x01" * 8)
        transaction.clear(b"b")
        transaction.clear_range(b"x", b"z")
        assert (await transaction.get_range(b"a", b"c")).rows == [(b"a", b"123")]
        assert await transaction.get_key(KeySelector.first_greater_than(b"")) == b"a"
        await transaction.commit()
        clock.advance(3.0)
        transaction.close()
        transaction.close()

    run_blocking(work())
    assert recording.names() == [
        "TransactionBegan", "ReadVersionTaken", "PointRead", "RangeRead", "PointRead",
        "WriteBatch", "CommitBegan", "CommitFinished", "TransactionEnded",
    ]  # fmt: skip
    assert len({event.origin for event in recording.events}) == 1
    origin = recording.events[0].origin
    assert origin is not None
    assert (origin.work, origin.tags, origin.attempt, origin.database) == ("checkout", ("web",), 1, "memory:")
    (batch,) = recording.of(WriteBatch)
    assert (batch.sets, batch.atomics, batch.clears, batch.range_clears, batch.writes) == (1, 1, 1, 1, 4)
    assert batch.written == 4 + 9 + 1 + 2
    (finished,) = recording.of(CommitFinished)
    assert finished.outcome is Outcome.COMMITTED
    assert finished.version is not None
    (ended,) = recording.of(TransactionEnded)
    assert ended.took == timedelta(0), "until the commit, not until it was closed"
    assert ended.counts == Counts(reads=3, empty=1, rows=2, read=5, writes=4, clears=2, written=16)  # type: ignore[arg-type]


def test_reads_say_what_they_found_and_how_long_it_took_until_somebody_looked(
    plain: Engine, clock: ManualClock
) -> None:
    engine, recording = observing(plain, clock, PointRead, RangeRead)

    async def work() -> None:
        transaction = engine.begin()
        transaction.set(b"a", b"1")
        transaction.set(b"b", b"22")
        waitable = transaction.get(b"b", snapshot=True)
        clock.advance(0.5)
        await waitable
        await transaction.get_range(b"a", b"z", limit=1, reverse=True, mode=StreamingMode.EXACT, snapshot=False)
        transaction.close()

    run_blocking(work())
    (point,) = recording.of(PointRead)
    assert (point.key, point.value, point.snapshot, point.took) == (b"b", 2, True, timedelta(seconds=0.5))
    (ranged,) = recording.of(RangeRead)
    assert (ranged.begin, ranged.end, ranged.rows, ranged.read, ranged.more, ranged.reverse) == (
        b"a", b"z", 1, 3, True, True,
    )  # fmt: skip


def test_operations_are_counted_where_they_happen(plain: Engine, clock: ManualClock) -> None:
    engine, recording = observing(plain, clock)

    async def work() -> None:
        transaction = engine.begin()
        transaction.tallies.places += [Shelf(b"s/", "/shop"), Shelf(b"s/deep/", "/shop/deep")]
        transaction.set(b"s/a1", b"x")
        transaction.set(b"s/a2", b"x")
        transaction.set(b"s/b1", b"x")
        transaction.set(b"s/deep/c1", b"x")
        transaction.set(b"t", b"x")
        await transaction.get(b"s/b1")
        await transaction.commit()
        transaction.close()

    run_blocking(work())
    (ended,) = recording.of(TransactionEnded)
    writes = {place: counts.writes for place, counts in ended.places.items()}
    assert writes == {
        Place("/shop", "index", "a"): 2,
        Place("/shop", "index", "b"): 1,
        Place("/shop/deep", "index", "c"): 1,
        ELSEWHERE: 1,
    }
    assert ended.places[Place("/shop", "index", "b")].reads == 1
    (batch,) = recording.of(WriteBatch)
    assert set(batch.places) == set(ended.places)
    (point,) = recording.of(PointRead)
    assert point.place == Place("/shop", "index", "b")


def test_a_conflict_ends_an_attempt_and_another_begins_with_the_next_number(plain: Engine, clock: ManualClock) -> None:
    engine, recording = observing(plain, clock)

    async def work() -> None:
        transaction, rival = engine.begin(work="mine"), plain.begin()
        await transaction.get(b"k")
        rival.set(b"k", b"theirs")
        await rival.commit()
        transaction.set(b"k", b"mine")
        with pytest.raises(Conflict) as failed:
            await transaction.commit()
        backing_off = transaction.on_error(failed.value)
        clock.advance(2.0)
        await backing_off
        transaction.set(b"k", b"mine")
        await transaction.commit()
        transaction.close()

    run_blocking(work())
    assert recording.names() == [
        "TransactionBegan", "PointRead", "WriteBatch", "CommitBegan", "CommitFinished", "TransactionEnded", "Retried",
        "TransactionBegan", "WriteBatch", "CommitBegan", "CommitFinished", "TransactionEnded",
    ]  # fmt: skip
    first, second = recording.of(TransactionEnded)
    assert (first.outcome, first.error) == (Outcome.FAILED, "conflict")
    assert (second.outcome, second.error, second.counts.reads) == (Outcome.COMMITTED, "", 0)
    assert first.origin is not None
    assert second.origin is not None
    assert (first.origin.attempt, second.origin.attempt) == (1, 2)
    assert first.origin.transaction == second.origin.transaction
    (retried,) = recording.of(Retried)
    assert (retried.error, retried.number, retried.waited) == ("conflict", 1020, timedelta(seconds=2))
    assert recording.of(CommitFinished)[0].conflict


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (MaybeCommitted(), Outcome.UNKNOWN),
        (OperationCancelled(), Outcome.UNKNOWN),
        (KeyboardInterrupt(), Outcome.UNKNOWN),
        (Conflict(), Outcome.FAILED),
    ],
    ids=lambda value: getattr(value, "code", type(value).__name__),
)
def test_a_commit_that_nobody_saw_the_end_of_is_of_unknown_outcome(
    plain: Engine, clock: ManualClock, error: BaseException, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, recording = observing(plain, clock)
    transaction = engine.begin()

    def fail() -> Waitable[None]:
        return Failed(error)

    monkeypatch.setattr(transaction.transaction, "commit", fail)
    with pytest.raises(type(error)):
        commit(transaction)
    transaction.close()
    assert recording.of(CommitFinished)[0].outcome is outcome
    assert recording.of(TransactionEnded)[0].outcome is outcome


def test_what_is_never_committed_is_left_and_what_reads_only_has_no_batch(plain: Engine, clock: ManualClock) -> None:
    engine, recording = observing(plain, clock)
    left = engine.begin()
    left.set(b"k", b"v")
    clock.advance(1.0)
    left.close()
    reading = engine.begin()
    commit(reading)
    reading.close()
    assert [event.outcome for event in recording.of(TransactionEnded)] == [Outcome.LEFT, Outcome.COMMITTED]
    assert recording.of(TransactionEnded)[0].took == timedelta(seconds=1)
    assert recording.of(WriteBatch) == []
    assert recording.of(CommitBegan)[0].writes == 0
    assert recording.of(CommitFinished)[0].version is None


def test_an_error_of_the_caller_ends_the_attempt_with_its_name(plain: Engine, clock: ManualClock) -> None:
    engine, recording = observing(plain, clock)
    transaction = engine.begin()
    transaction.fail(ZeroDivisionError())
    transaction.close()
    (ended,) = recording.of(TransactionEnded)
    assert (ended.outcome, ended.error) == (Outcome.FAILED, "ZeroDivisionError")


def test_a_reset_begins_another_attempt(plain: Engine, clock: ManualClock) -> None:
    engine, recording = observing(plain, clock, TransactionBegan, TransactionEnded)
    transaction = engine.begin()
    transaction.reset()
    transaction.close()
    assert [event.origin.attempt for event in recording.events if event.origin] == [1, 1, 2, 2]


def test_kinds_that_nobody_wants_are_never_made(
    plain: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> Event:
        pytest.fail("an event was made that nobody wants")

    for name in ("PointRead", "RangeRead", "WriteBatch"):
        monkeypatch.setattr(f"recordlayer.kv.observed.{name}", refuse)
    engine, recording = observing(plain, clock, TransactionEnded)

    async def work() -> None:
        transaction = engine.begin()
        await transaction.get(b"a")
        await transaction.get_range(b"a", b"b")
        transaction.set(b"a", b"")
        await transaction.commit()
        transaction.close()

    run_blocking(work())
    assert recording.names() == ["TransactionEnded"]
    assert recording.of(TransactionEnded)[0].counts.reads == 2


def test_a_read_version_that_was_set_is_told_as_cached(plain: Engine, clock: ManualClock) -> None:
    engine, recording = observing(plain, clock, ReadVersionTaken)

    async def work() -> None:
        rival = plain.begin()
        rival.set(b"k", b"v")
        await rival.commit()
        first, second = engine.begin(), engine.begin()
        version = await first.read_version()
        second.set_read_version(version)
        first.close()
        second.close()

    run_blocking(work())
    fresh, cached = recording.of(ReadVersionTaken)
    assert (fresh.cached, cached.cached) == (False, True)
    assert fresh.version == cached.version


def test_a_closed_engine_closes_the_one_inside(plain: Engine, clock: ManualClock) -> None:
    engine, _ = observing(plain, clock)
    engine.close()
    with pytest.raises(Exception, match="closed"):
        plain.begin()
