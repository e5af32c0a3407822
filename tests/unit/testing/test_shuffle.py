"""The shuffling driver: its order is drawn, its faults are a cluster's, and a seed repeats a run."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer.errors import MaybeCommitted, TransactionError
from recordlayer.kv.engine import Engine, StreamingMode
from recordlayer.kv.registry import open_engine
from recordlayer.testing.shuffle import FAULTS, Shuffle, Stuck
from recordlayer.waiting.drivers import run_blocking
from recordlayer.waiting.overlap import gather
from recordlayer.waiting.waitable import Promise, Ready


@contextmanager
def shuffled_memory(shuffle: Shuffle) -> Iterator[Engine]:
    engine = open_engine("memory:", world=shuffle.world)
    try:
        yield shuffle.engine(engine)
    finally:
        engine.close()


async def move(engine: Engine, source: bytes, target: bytes, mark: bytes, errors: Counter[str]) -> None:
    """Move one from source to target, exactly once: the mark tells whether an unknown commit happened."""
    transaction = engine.begin()
    while True:
        try:
            if await transaction.get(mark) is not None:
                return
            left, right = await gather(transaction.get(source), transaction.get(target))
            transaction.set(source, b"%d" % (int(left or 0) - 1))
            transaction.set(target, b"%d" % (int(right or 0) + 1))
            transaction.set(mark, b"moved")
            await transaction.commit()
            return
        except TransactionError as error:
            errors[error.code] += 1
            await transaction.on_error(error)


async def everything(engine: Engine) -> dict[bytes, bytes]:
    transaction = engine.begin()
    rows: dict[bytes, bytes] = {}
    begin = b""
    while True:
        chunk = await transaction.get_range(begin, b"\xff")
        rows.update(chunk.rows)
        if not chunk.more or not chunk.rows:
            return rows
        begin = chunk.rows[-1][0] + b"\x00"


def moves(shuffle: Shuffle, errors: Counter[str]) -> dict[bytes, bytes]:
    with shuffled_memory(shuffle) as engine:
        shuffle.run(
            *(move(engine, b"a", b"b", b"mark-%d" % number, errors) for number in range(3)),
            *(move(engine, b"b", b"a", b"mark-%d" % number, errors) for number in range(3, 5)),
        )
        shuffle.faults = 0.0
        return shuffle.drive(everything(engine))


@settings(max_examples=30)
@given(randoms=st.randoms(use_true_random=False), faults=st.sampled_from([0.0, 0.1, 0.3]))
def test_transactions_are_serializable_in_every_order_and_under_faults(randoms: random.Random, faults: float) -> None:
    found = moves(Shuffle(randoms, faults=faults), Counter())
    assert found == {b"a": b"-1", b"b": b"1"} | {b"mark-%d" % number: b"moved" for number in range(5)}


def test_a_seed_repeats_a_run_and_another_gives_another() -> None:
    traces = []
    for seed in (1, 1, 2):
        shuffle = Shuffle(random.Random(seed), faults=0.2)
        moves(shuffle, Counter())
        traces.append(shuffle.trace)
    assert traces[0] == traces[1]
    assert traces[0] != traces[2]


def test_every_kind_of_fault_occurs_and_conflicts_occur_without_faults() -> None:
    injected: Counter[str] = Counter()
    natural: Counter[str] = Counter()
    for seed in range(30):
        moves(Shuffle(random.Random(seed), faults=0.3), injected)
        moves(Shuffle(random.Random(seed)), natural)
    operations = ("get", "get_range", "read_version", "commit")
    assert set(injected) >= {kind.code for operation in operations for kind in FAULTS[operation]}
    assert set(natural) == {"conflict"}


def test_a_commit_of_unknown_outcome_happened_in_some_runs_and_not_in_others() -> None:
    seen = Counter()
    for seed in range(40):
        shuffle = Shuffle(random.Random(seed), faults=1.0, kinds={"commit": (MaybeCommitted,)})

        async def write(engine: Engine) -> bytes | None:
            transaction = engine.begin()
            transaction.set(b"k", b"v")
            with pytest.raises(MaybeCommitted):
                await transaction.commit()
            return await engine.begin().get(b"k")

        with shuffled_memory(shuffle) as engine:
            seen[shuffle.drive(write(engine))] += 1
    assert seen[b"v"] >= 5
    assert seen[None] >= 5


def test_the_order_of_finishing_is_drawn() -> None:
    orders = set()
    for seed in range(60):
        shuffle = Shuffle(random.Random(seed))
        order: list[int] = []

        async def wait(number: int, shuffle: Shuffle = shuffle, order: list[int] = order) -> None:
            await shuffle.hold("read", lambda: Ready(None))
            order.append(number)

        shuffle.run(*(wait(number) for number in range(3)))
        orders.add(tuple(order))
    assert len(orders) == 6


def test_time_passes_only_when_nothing_else_can_happen() -> None:
    shuffle = Shuffle(random.Random(3), faults=0.3)
    moves(shuffle, Counter())
    assert "time" in shuffle.trace, "some back-off had to pass"
    assert shuffle.clock.monotonic() > 1_000


def test_coroutines_that_wait_for_each_other_are_told_apart_from_slow_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recordlayer.testing.shuffle._STUCK_SECONDS", 0.01)

    async def forever() -> None:
        await Promise[None]()

    with pytest.raises(Stuck, match="every coroutine waits"):
        Shuffle(random.Random(0)).drive(forever())


def test_another_driver_that_waits_for_a_held_operation_is_told() -> None:
    shuffle = Shuffle(random.Random(0))

    async def wait() -> None:
        await shuffle.hold("read", lambda: Ready(None))

    with pytest.raises(Stuck, match="under Shuffle.run only"):
        run_blocking(wait())


def test_chunks_end_early_except_where_their_rows_are_promised() -> None:
    lengths: dict[StreamingMode, set[int]] = {}
    for seed in range(30):
        for mode in StreamingMode:
            shuffle = Shuffle(random.Random(seed))

            async def read(engine: Engine, mode: StreamingMode = mode) -> int:
                transaction = engine.begin()
                for number in range(9):
                    transaction.set(b"%d" % number, b"x" * 30)
                chunk = await transaction.get_range(b"", b"\xff", limit=8, mode=mode)
                assert chunk.rows
                assert chunk.more or len(chunk.rows) == 8
                return len(chunk.rows)

            with shuffled_memory(shuffle) as engine:
                lengths.setdefault(mode, set()).add(shuffle.drive(read(engine)))
    assert lengths.pop(StreamingMode.EXACT) == {8}
    for mode, found in lengths.items():
        assert 1 in found, mode
        assert len(found) > 2, mode
