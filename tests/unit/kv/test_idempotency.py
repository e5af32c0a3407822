"""Idempotency keys over the engine contract: applied once under every fault, found again, reaped by age."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer import tuples
from recordlayer.errors import (
    AlreadyApplied,
    Conflict,
    MaybeCommitted,
    TransactionError,
    UnknownIdempotencyRecord,
    UsageError,
    WrongType,
)
from recordlayer.kv.engine import Engine, MutationType, Transaction
from recordlayer.kv.idempotency import BUCKETS, DEFAULT_PREFIX, Applied, Claim, IdempotencyKeys, Key, packed_key
from recordlayer.kv.registry import open_engine
from recordlayer.testing import Counting
from recordlayer.testing.clock import ManualClock
from recordlayer.testing.faults import Fault, Faulty
from recordlayer.testing.shuffle import Shuffle
from recordlayer.waiting.drivers import run_blocking
from tests.support.hurried import HurriedClock

ONE = (1).to_bytes(8, "little")
COUNTER = b"counter"


@pytest.fixture
def clock() -> ManualClock:
    return HurriedClock()


@pytest.fixture
def engine(clock: ManualClock) -> Iterator[Engine]:
    engine = open_engine("memory:", world=clock.world())
    yield engine
    engine.close()


@pytest.fixture
def keys(clock: ManualClock) -> IdempotencyKeys:
    return IdempotencyKeys(clock.world(5))


async def add_once(engine: Engine, claim: Claim, *, result: bytes = b"") -> Applied | None:
    """Add one to the counter, with a key, until it is known to have happened. What was found, if it had before."""
    transaction = engine.begin()
    try:
        while True:
            try:
                found = await claim.look(transaction)
                if found is not None:
                    return found
                transaction.atomic(MutationType.ADD, COUNTER, ONE)
                claim.keep(result)
                claim.record(transaction)
                await transaction.commit()
            except TransactionError as error:
                await transaction.on_error(error)
            else:
                return None
    finally:
        transaction.close()


async def counted(engine: Engine, key: bytes = COUNTER) -> int:
    transaction = engine.begin()
    value = await transaction.get(key)
    transaction.close()
    return int.from_bytes(value or b"", "little")


async def all_keys(engine: Engine) -> list[bytes]:
    transaction = engine.begin()
    chunk = await transaction.get_range(b"", b"\xff", limit=100_000)
    transaction.close()
    return [key for key, _ in chunk.rows]


async def committed(engine: Engine, work: Callable[[Transaction], object]) -> None:
    transaction = engine.begin()
    work(transaction)
    await transaction.commit()
    transaction.close()


def test_a_thousand_unknown_commits_apply_once_each(engine: Engine, keys: IdempotencyKeys) -> None:
    chance = random.Random(11)
    kinds = list(Fault)
    faulty = Faulty(engine, (chance.choice(kinds) for _ in range(1_000)))

    async def work() -> int:
        runs = 0
        while sum(faulty.told.values()) < 1_000:
            await add_once(faulty, keys.claim(keys.generate()))  # type: ignore[arg-type]  # it has an engine's shape
            runs += 1
        faulty.deliver()
        return runs

    runs = run_blocking(work())
    assert run_blocking(counted(engine)) == runs
    assert all(faulty.told[kind.name] > 250 for kind in kinds)


def test_without_a_key_the_same_faults_apply_some_work_twice(engine: Engine) -> None:
    """That the thousand above would notice."""
    faulty = Faulty(engine, [Fault.APPLIED] * 10)

    async def work() -> None:
        for _ in range(10):
            transaction = faulty.begin()
            while True:
                try:
                    transaction.atomic(MutationType.ADD, COUNTER, ONE)
                    await transaction.commit()
                except MaybeCommitted as error:
                    await transaction.on_error(error)
                else:
                    break
            transaction.close()

    run_blocking(work())
    assert run_blocking(counted(engine)) == 20


@settings(max_examples=40)
@given(seed=st.integers(0, 1 << 32))
def test_runs_with_the_same_key_apply_it_once_in_every_order_and_under_faults(seed: int) -> None:
    shuffle = Shuffle(random.Random(seed), faults=0.2)
    engine = open_engine("memory:", world=shuffle.world)
    shuffled = shuffle.engine(engine)
    keys = IdempotencyKeys(shuffle.world)

    async def run(key: Key) -> str:
        try:
            return "done" if await add_once(shuffled, keys.claim(key)) is None else "done before"
        except AlreadyApplied:
            return "by another"

    try:
        outcomes = shuffle.run(*(run("order-1") for _ in range(3)), run("order-2"))
        assert sum(outcome != "by another" for outcome in outcomes[:3]) == 1
        assert outcomes[3] != "by another"
        assert run_blocking(counted(engine)) == 2
    finally:
        engine.close()


def test_what_was_applied_is_found_with_its_time_commit_and_result(
    engine: Engine, keys: IdempotencyKeys, clock: ManualClock
) -> None:
    async def work() -> tuple[Applied | None, Applied | None, int]:
        await add_once(engine, keys.claim("order-1"), result=b"receipt 12")
        transaction = engine.begin()
        version = await transaction.read_version()
        found = await keys.find(transaction, "order-1", snapshot=True)
        return found, await keys.find(transaction, b"order-1"), version

    found, other, version = run_blocking(work())
    assert found is not None
    assert (found.result, found.attempt, found.version) == (b"receipt 12", 1, version)
    assert found.when == datetime.fromtimestamp(clock.wall(), UTC)
    assert other is None, "text and bytes are different keys"


def test_another_run_with_the_key_is_told_what_the_first_recorded(engine: Engine, keys: IdempotencyKeys) -> None:
    run_blocking(add_once(engine, keys.claim("order-1"), result=b"receipt 12"))
    with pytest.raises(AlreadyApplied) as told:
        run_blocking(add_once(engine, keys.claim("order-1")))
    assert told.value.fields["key"] == "order-1"
    assert told.value.fields["result"] == b"receipt 12"
    assert run_blocking(counted(engine)) == 1


def test_the_attempt_that_was_applied_is_told_apart(engine: Engine, keys: IdempotencyKeys) -> None:
    faulty = Faulty(engine, [Fault.NOT_APPLIED, Conflict, Fault.APPLIED])
    claim = keys.claim("order-1")
    found = run_blocking(add_once(faulty, claim))  # type: ignore[arg-type]
    assert found is not None
    assert found.attempt == claim.attempts == 3
    assert faulty.told == {"NOT_APPLIED": 1, "conflict": 1, "APPLIED": 1}


def test_looking_costs_one_read_and_recording_two_writes(engine: Engine, keys: IdempotencyKeys) -> None:
    counting = Counting(engine)
    with counting.measured() as counts:
        run_blocking(add_once(counting, keys.claim("order-1")))
    assert (counts.reads, counts.round_trips, counts.writes) == (1, 1, 2 + 1)


@given(st.one_of(st.text(min_size=1, max_size=50), st.binary(min_size=1, max_size=50)))
def test_keys_are_packed_as_tuples_are(key: Key) -> None:
    assert packed_key(key) == tuples.pack((key,))


def test_everything_that_is_written_unpacks_as_documented(
    engine: Engine, keys: IdempotencyKeys, clock: ManualClock
) -> None:
    run_blocking(add_once(engine, keys.claim("order-1")))
    ours = [tuples.unpack(key) for key in run_blocking(all_keys(engine)) if key != COUNTER]
    root = ("recordlayer", "idempotency")
    by_key, by_time = ours
    assert by_key == (root, 0, "order-1")
    assert by_time[:2] == (root, 1)
    assert by_time[2] in range(BUCKETS)
    assert by_time[3:] == (int(clock.wall() * 1000), "order-1")


def test_no_directory_of_a_key_space_and_no_directory_layer_reaches_the_default_prefix() -> None:
    assert tuples.pack((("recordlayer", "idempotency"),)) == DEFAULT_PREFIX
    a_value_of_each_kind_that_directories_have = (None, b"x", "x", -5, 5, 1.0, tuples.SingleFloat(1.0), False, True)
    assert DEFAULT_PREFIX[0] not in {tuples.pack((value,))[0] for value in a_value_of_each_kind_that_directories_have}
    assert DEFAULT_PREFIX[0] != 0xFE, "where the directory layer keeps its tree"


def test_another_prefix_is_another_set_of_keys(engine: Engine, keys: IdempotencyKeys, clock: ManualClock) -> None:
    elsewhere = IdempotencyKeys(clock.world(6), prefix=b"\x02team-a\x00")
    run_blocking(add_once(engine, keys.claim("order-1")))
    assert run_blocking(add_once(engine, elsewhere.claim("order-1"))) is None
    assert run_blocking(counted(engine)) == 2
    assert sum(key.startswith(b"\x02team-a\x00") for key in run_blocking(all_keys(engine))) == 2


def test_generated_keys_differ(keys: IdempotencyKeys) -> None:
    assert len({keys.generate() for _ in range(1_000)}) == 1_000


# -- reaping -----------------------------------------------------------------------------------------------


def record_many(engine: Engine, keys: IdempotencyKeys, names: list[str]) -> None:
    for name in names:
        run_blocking(add_once(engine, keys.claim(name)))


@pytest.mark.parametrize("batch", [1, 3, 500])
def test_reaping_removes_what_is_older_and_keeps_the_rest(
    engine: Engine, keys: IdempotencyKeys, clock: ManualClock, batch: int
) -> None:
    record_many(engine, keys, [f"old-{number}" for number in range(40)])
    clock.advance(3_600)
    record_many(engine, keys, [f"new-{number}" for number in range(10)])
    clock.advance(60)
    assert run_blocking(keys.reap(engine, timedelta(hours=2), batch=batch)) == 0
    assert run_blocking(keys.reap(engine, timedelta(minutes=30), batch=batch)) == 40
    left = {tuples.unpack(key)[-1] for key in run_blocking(all_keys(engine)) if key != COUNTER}
    assert left == {f"new-{number}" for number in range(10)}
    assert len(run_blocking(all_keys(engine))) == 2 * 10 + 1
    assert run_blocking(keys.reap(engine, timedelta(0), batch=batch)) == 10
    assert run_blocking(all_keys(engine)) == [COUNTER]


def test_reaping_keeps_to_its_batches(engine: Engine, keys: IdempotencyKeys, clock: ManualClock) -> None:
    record_many(engine, keys, [f"old-{number}" for number in range(100)])
    clock.advance(60)
    counting = Counting(engine)
    with counting.measured() as counts:
        run_blocking(keys.reap(counting, timedelta(seconds=1), batch=4))
    assert 100 / 4 <= counts.commits <= 100 / 4 + BUCKETS
    assert counts.clears == 100
    assert counts.range_clears == counts.commits


def test_reaping_goes_on_after_unknown_outcomes_and_counts_what_it_removed(
    engine: Engine, keys: IdempotencyKeys, clock: ManualClock
) -> None:
    record_many(engine, keys, [f"old-{number}" for number in range(60)])
    clock.advance(60)
    faulty = Faulty(engine, [Fault.APPLIED, Fault.NOT_APPLIED, Conflict] * 4)
    assert run_blocking(keys.reap(faulty, timedelta(seconds=1), batch=3)) == 60  # type: ignore[arg-type]
    assert sum(faulty.told.values()) == 12
    assert run_blocking(all_keys(engine)) == [COUNTER]


@settings(max_examples=30)
@given(seed=st.integers(0, 1 << 32))
def test_reaping_and_recording_anew_side_by_side_never_lose_a_key(seed: int) -> None:
    shuffle = Shuffle(random.Random(seed), faults=0.1)
    engine = open_engine("memory:", world=shuffle.world)
    shuffled = shuffle.engine(engine)
    keys = IdempotencyKeys(shuffle.world)
    names = [f"key-{number}" for number in range(3)]
    faults, shuffle.faults = shuffle.faults, 0.0
    for name in names:
        shuffle.drive(add_once(shuffled, keys.claim(name)))
    shuffle.clock.advance(1_000)
    shuffle.faults = faults

    async def again(name: str) -> bool:
        try:
            await add_once(shuffled, keys.claim(name))
        except AlreadyApplied:
            return False
        return True

    async def reap() -> bool:
        return bool(await keys.reap(shuffled, timedelta(seconds=500), batch=2)) or True

    try:
        outcomes = shuffle.run(reap(), *(again(name) for name in names), reap())
        shuffle.faults = 0.0
        recorded = {tuples.unpack(key)[2] for key in run_blocking(all_keys(engine)) if b"\x00\x14\x02" in key}
        assert recorded == {name for name, anew in zip(names, outcomes[1:4], strict=True) if anew}
        assert run_blocking(counted(engine)) == len(names) + sum(outcomes[1:4])
    finally:
        engine.close()


def test_a_key_that_is_taken_back_can_be_applied_anew(engine: Engine, keys: IdempotencyKeys) -> None:
    async def forget() -> bool:
        transaction = engine.begin()
        forgotten = await keys.forget(transaction, "order-1")
        await transaction.commit()
        return forgotten

    record_many(engine, keys, ["order-1"])
    assert run_blocking(forget()) is True
    assert run_blocking(all_keys(engine)) == [COUNTER]
    assert run_blocking(forget()) is False
    record_many(engine, keys, ["order-1"])
    assert run_blocking(counted(engine)) == 2


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", b"", "x" * 1_000, b"\x00" * 600], ids=repr)
def test_keys_that_are_empty_or_too_long_are_refused(keys: IdempotencyKeys, key: Key) -> None:
    with pytest.raises(UsageError, match="1 to 998 bytes"):
        keys.claim(key)


def test_wrong_arguments_are_refused_before_anything_is_done(engine: Engine, keys: IdempotencyKeys) -> None:
    with pytest.raises(WrongType):
        keys.claim(17)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        IdempotencyKeys(ManualClock().world(), prefix=b"")
    with pytest.raises(UsageError):
        run_blocking(keys.reap(engine, 60))  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        run_blocking(keys.reap(engine, timedelta(0), batch=0))
    claim = keys.claim("a")
    for result, error in (("text", WrongType), (bytes(50_001), UsageError)):
        with pytest.raises(error):
            claim.keep(result)  # type: ignore[arg-type]
    assert claim.result == b""
    run_blocking(committed(engine, lambda transaction: None))
    assert run_blocking(all_keys(engine)) == []


@pytest.mark.parametrize("value", [b"", b"\x02" + bytes(40), b"\x01" + b"\xff" * 40, b"\x01" + bytes(20)], ids=repr)
def test_what_something_else_wrote_there_is_an_error_with_the_key(
    engine: Engine, keys: IdempotencyKeys, value: bytes
) -> None:
    key = tuples.pack((("recordlayer", "idempotency"), 0, "order-1"))
    run_blocking(committed(engine, lambda transaction: transaction.set(key, value)))
    with pytest.raises(UnknownIdempotencyRecord, match="order-1"):
        run_blocking(add_once(engine, keys.claim("order-1")))
