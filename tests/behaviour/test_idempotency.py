"""Work with an idempotency key: applied once, whatever becomes of its commits."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.observe.events import IdempotencyKeyFound
from recordlayer.testing import Counting
from recordlayer.testing.faults import Fault, Faulty
from recordlayer.world import World
from tests.support.hurried import HurriedClock
from tests.support.recording import Recording
from tests.support.shop import PATH, SHOP, Order


@pytest.fixture
def clock() -> HurriedClock:
    return HurriedClock()


@pytest.fixture
def engine(clock: HurriedClock) -> Iterator[Engine]:
    engine = open_engine("memory:", world=clock.world(3))
    yield engine
    engine.close()


@pytest.fixture
def faulty(engine: Engine, clock: HurriedClock, database_over: Any) -> Callable[..., Any]:
    """A database whose commits meet these faults."""

    def make(*faults: Any, **options: Any) -> Any:
        db = database_over(Faulty(engine, faults), world=clock.world(4), **options)
        with database_over(engine, world=clock.world(5)).transaction() as tx:
            tx.store(SHOP, path=PATH)
        return db

    return make


def total(engine: Engine, clock: HurriedClock, key: int = 1) -> int:
    with rl.Database(engine, world=clock.world()).transaction() as tx:
        order = tx.store(SHOP, path=PATH).load(key)
    return 0 if order is None else int(order.total)


def add_one(tx: Any) -> int:
    store = tx.store(SHOP, path=PATH)
    order = store.load(1) or Order(id=1, total=0)
    order.total += 1
    store.save(order)
    return int(order.total)


def test_a_thousand_unknown_commits_apply_their_work_once_each(
    faulty: Callable[..., Any], engine: Engine, clock: HurriedClock
) -> None:
    chance = random.Random(7)
    faults = [chance.choice(list(Fault)) for _ in range(1_000)]
    db = faulty(*faults)
    told = db.engine.told
    results = []
    while sum(told.values()) < 1_000:
        results.append(db.run(add_one, idempotency_key=db.idempotency.generate()))
    db.engine.deliver()
    assert results == list(range(1, len(results) + 1)), "each run gives the result of its attempt that was applied"
    assert total(engine, clock) == len(results)
    assert min(told.values()) > 250


@pytest.mark.parametrize("fault", [Fault.APPLIED, Fault.NOT_APPLIED])
def test_without_a_key_the_caller_is_told_that_nobody_knows(
    faulty: Callable[..., Any], engine: Engine, clock: HurriedClock, fault: Fault
) -> None:
    db = faulty(fault)
    with pytest.raises(errors.MaybeCommitted):
        db.run(add_one)
    assert total(engine, clock) == (fault is Fault.APPLIED)


def test_work_that_may_run_twice_is_run_again_without_a_key(
    faulty: Callable[..., Any], engine: Engine, clock: HurriedClock
) -> None:
    assert faulty(Fault.APPLIED).run(add_one, retry=rl.Retry(idempotent=True)) == 2
    assert total(engine, clock) == 2


def test_the_function_is_not_called_again_once_its_work_is_applied(faulty: Callable[..., Any]) -> None:
    calls = []

    def work(tx: Any) -> str:
        calls.append(tx)
        tx.store(SHOP, path=PATH).insert(Order(id=1))
        return f"call {len(calls)}"

    db = faulty(Fault.NOT_APPLIED, errors.Conflict, Fault.APPLIED)
    assert db.run(work, idempotency_key="order-1") == "call 3", "another insert would find the record there"


def test_attempts_end_when_an_earlier_one_turns_out_to_be_applied(
    faulty: Callable[..., Any], engine: Engine, clock: HurriedClock
) -> None:
    db = faulty(Fault.NOT_APPLIED, Fault.APPLIED)
    numbers = []
    for attempt in db.attempts(idempotency_key="order-1"):
        with attempt as tx:
            numbers.append(attempt.number)
            add_one(tx)
    assert numbers == [1, 2]
    assert total(engine, clock) == 1


def test_a_block_can_be_run_again_with_its_key(faulty: Callable[..., Any], engine: Engine, clock: HurriedClock) -> None:
    db = faulty(Fault.APPLIED)
    outcomes = []
    for _ in range(2):
        try:
            with db.transaction(idempotency_key="order-1") as tx:
                add_one(tx)
        except errors.RecordLayerError as error:
            outcomes.append(error.code)
    assert outcomes == ["maybe_committed", "already_applied"]
    assert total(engine, clock) == 1


def test_who_tries_the_same_elsewhere_finds_what_was_recorded(faulty: Callable[..., Any]) -> None:
    db = faulty()

    def work(tx: Any) -> None:
        add_one(tx)
        tx.record_result(b"receipt 12")

    db.run(work, idempotency_key="order-1")
    calls: list[int] = []
    with pytest.raises(errors.AlreadyApplied) as told:
        db.run(lambda tx: calls.append(1), idempotency_key="order-1")
    assert calls == []
    assert told.value.fields["result"] == b"receipt 12"
    applied = db.idempotency.find("order-1")
    assert applied.result == b"receipt 12"
    assert applied.attempt == 1
    assert db.idempotency.find("order-2") is None


def test_the_last_attempt_is_looked_up_before_giving_up(
    faulty: Callable[..., Any], engine: Engine, clock: HurriedClock
) -> None:
    once = rl.Retry(attempts=1)
    db = faulty(Fault.APPLIED, Fault.NOT_APPLIED)
    assert db.run(add_one, idempotency_key="order-1", retry=once) == 1
    with pytest.raises(errors.MaybeCommitted):
        db.run(add_one, idempotency_key="order-2", retry=once)
    assert total(engine, clock) == 1


def test_hooks_wait_until_it_is_known_what_happened(faulty: Callable[..., Any]) -> None:
    db = faulty(Fault.NOT_APPLIED, errors.Conflict, Fault.APPLIED)
    told: list[tuple[str, int]] = []
    transactions: list[Any] = []

    def work(tx: Any) -> None:
        transactions.append(tx)
        number = len(transactions)
        tx.after_commit(lambda: told.append(("committed", number)))
        tx.after_failure(lambda: told.append(("failed", number)))
        add_one(tx)

    db.run(work, idempotency_key="order-1")
    assert told == [("failed", 2), ("failed", 1), ("committed", 3)]
    assert transactions[2].committed_version() == db.idempotency.find("order-1").version
    assert transactions[2].versionstamp() == db.idempotency.find("order-1").versionstamp


def test_hooks_of_attempts_wait_as_well(faulty: Callable[..., Any]) -> None:
    db = faulty(Fault.NOT_APPLIED, Fault.APPLIED)
    told: list[tuple[str, int]] = []
    for attempt in db.attempts(idempotency_key="order-1"):
        with attempt as tx:
            number = attempt.number
            tx.after_commit(lambda number=number: told.append(("committed", number)))
            tx.after_failure(lambda number=number: told.append(("failed", number)))
            add_one(tx)
    assert told == [("failed", 1), ("committed", 2)]


def test_when_it_is_never_known_the_failure_hooks_run(faulty: Callable[..., Any]) -> None:
    told: list[str] = []

    def work(tx: Any) -> None:
        tx.after_failure(lambda: told.append("failed"))
        add_one(tx)

    with pytest.raises(errors.MaybeCommitted):
        faulty(Fault.NOT_APPLIED).run(work, idempotency_key="order-1", retry=rl.Retry(attempts=1))
    assert told == ["failed"]


def test_a_function_that_commits_by_itself_leaves_its_result_to_the_key(
    faulty: Callable[..., Any], engine: Engine, clock: HurriedClock
) -> None:
    def work(tx: Any) -> str:
        add_one(tx)
        tx.record_result(b"kept")
        tx.commit()
        return "never reached"

    with pytest.raises(errors.AlreadyApplied) as told:
        faulty(Fault.APPLIED).run(work, idempotency_key="order-1")
    assert told.value.fields["result"] == b"kept"
    assert total(engine, clock) == 1
    assert faulty().run(work, idempotency_key="order-2") == "never reached"


def test_two_runs_with_one_key_side_by_side_apply_it_once(
    faulty: Callable[..., Any], engine: Engine, clock: HurriedClock
) -> None:
    db = faulty()

    def work(tx: Any) -> None:
        add_one(tx)
        if not db.idempotency.find("order-1"):
            db.run(add_one, idempotency_key="order-1")  # somebody is quicker

    with pytest.raises(errors.AlreadyApplied):
        db.run(work, idempotency_key="order-1")
    assert total(engine, clock) == 1


def test_a_key_costs_one_read_and_two_writes(engine: Engine, clock: HurriedClock, database_over: Any) -> None:
    counting = Counting(engine)
    db = database_over(counting, world=clock.world())
    db.run(add_one)
    with counting.measured() as plain:
        db.run(add_one)
    with counting.measured() as keyed:
        db.run(add_one, idempotency_key="order-1")
    assert keyed.reads == plain.reads + 1
    assert keyed.writes == plain.writes + 2


def test_observers_are_told_whose_earlier_attempt_was_found(faulty: Callable[..., Any]) -> None:
    recording = Recording(IdempotencyKeyFound)
    db = faulty(Fault.APPLIED, observer=recording)
    db.run(add_one, idempotency_key="order-1")
    with pytest.raises(errors.AlreadyApplied):
        db.run(add_one, idempotency_key="order-1")
    assert [(event.key, event.own) for event in recording.of(IdempotencyKeyFound)] == [
        ("order-1", True),
        ("order-1", False),
    ]


def test_old_keys_are_reaped_and_can_be_applied_anew(
    faulty: Callable[..., Any], engine: Engine, clock: HurriedClock
) -> None:
    db = faulty()
    for number in range(5):
        db.run(add_one, idempotency_key=f"order-{number}")
    clock.advance(3_600)
    db.run(add_one, idempotency_key="order-5")
    assert db.idempotency.reap(timedelta(minutes=10), batch=2) == 5
    assert db.idempotency.find("order-4") is None
    assert db.idempotency.find("order-5") is not None
    assert db.idempotency.forget("order-5") is True
    assert db.idempotency.forget("order-5") is False
    db.run(add_one, idempotency_key="order-5")
    assert total(engine, clock) == 7


def test_another_prefix_is_another_set_of_keys(
    engine: Engine, clock: HurriedClock, database_over: Any, faulty: Callable[..., Any]
) -> None:
    db = faulty()
    elsewhere = database_over(engine, world=clock.world(), idempotency_prefix=b"\x02team-a\x00")
    db.run(add_one, idempotency_key="order-1")
    elsewhere.run(add_one, idempotency_key="order-1")
    assert total(engine, clock) == 2


def test_a_key_is_of_no_use_outside_of_a_block(faulty: Callable[..., Any]) -> None:
    tx = faulty().transaction(idempotency_key="order-1")
    with pytest.raises(errors.UsageError, match="with block"):
        tx.commit()
    tx.close()


def test_a_result_without_a_key_is_refused(faulty: Callable[..., Any]) -> None:
    with pytest.raises(errors.UsageError, match="idempotency_key"), faulty().transaction() as tx:
        tx.record_result(b"x")


@pytest.mark.parametrize("key", ["", b"", 7, "x" * 1_000], ids=repr)
def test_a_key_that_cannot_be_is_refused_before_anything_is_done(faulty: Callable[..., Any], key: Any) -> None:
    calls: list[int] = []
    with pytest.raises(errors.UsageError):
        faulty().run(lambda tx: calls.append(1), idempotency_key=key)
    assert calls == []


# -- on a cluster ------------------------------------------------------------------------------------------


@pytest.mark.fdb
def test_unknown_commits_on_a_cluster_apply_once(cluster_url: str, database_over: Any) -> None:
    world = World()
    engine = open_engine(cluster_url, world=world)
    name = random.SystemRandom().randbytes(8)
    chance = random.Random(1)
    faults = [chance.choice([Fault.APPLIED, Fault.NOT_APPLIED]) for _ in range(40)]
    db = database_over(Faulty(engine, faults), world=world, idempotency_prefix=rl.Subspace((name, "keys")).key())
    path = (name, "shop")

    def work(tx: Any) -> int:
        store = tx.store(SHOP, path=path)
        order = store.load(1) or Order(id=1, total=0)
        order.total += 1
        store.save(order)
        return int(order.total)

    try:
        results = [db.run(work, idempotency_key=db.idempotency.generate()) for _ in range(20)]
        assert results == list(range(1, 21))
        assert db.idempotency.reap(timedelta(0)) >= 19
    finally:
        with rl.Database(engine, world=world).transaction() as tx:
            begin = rl.Subspace((name,)).key()
            tx.context.clear_range(begin, begin + b"\xff")
        engine.close()
