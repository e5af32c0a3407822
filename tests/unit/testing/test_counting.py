"""The engine that counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recordlayer.errors import Conflict
from recordlayer.kv.engine import ConflictKind, KeySelector, MutationType
from recordlayer.kv.registry import open_engine
from recordlayer.testing.counting import Counting, Counts
from recordlayer.waiting.drivers import run_blocking


@pytest.fixture
def engine() -> Iterator[Counting]:
    engine = Counting(open_engine("memory:"))
    yield engine
    engine.close()


def test_each_kind_of_operation_is_counted(engine: Counting) -> None:
    async def work() -> None:
        tr = engine.begin()
        tr.set(b"a", b"1")
        tr.set(b"b", b"22")
        tr.clear(b"c")
        tr.clear_range(b"d", b"e")
        tr.atomic(MutationType.ADD, b"n", b"\x01")
        tr.add_conflict_range(ConflictKind.WRITE, b"x", b"y")
        assert await tr.get(b"a") == b"1"
        assert await tr.get(b"none") is None
        assert await tr.get_key(KeySelector.first_greater_or_equal(b"a")) == b"a"
        assert len((await tr.get_range(b"a", b"c")).rows) == 2
        await tr.estimated_range_size(b"a", b"z")
        await tr.read_version()
        await tr.commit()

    run_blocking(work())
    assert engine.counts == Counts(
        transactions=1,
        gets=2,
        key_gets=1,
        ranges=1,
        rows=3,
        estimates=1,
        round_trips=5,
        sets=2,
        clears=1,
        range_clears=1,
        atomics=1,
        read_bytes=2 + 1 + 2 + 3,
        written_bytes=2 + 3 + 1 + 2 + 2,
        read_versions=1,
        commits=1,
    )
    assert (engine.counts.reads, engine.counts.writes) == (5, 5)


def test_reads_started_together_share_a_round_trip(engine: Counting) -> None:
    async def work() -> None:
        tr = engine.begin()
        first, second = tr.get(b"a"), tr.get_range(b"b", b"c")
        await first
        await second
        await tr.get(b"d")

    run_blocking(work())
    assert engine.counts.reads == 3
    assert engine.counts.round_trips == 2


def test_a_block_is_measured_and_still_counts_in_the_whole(engine: Counting) -> None:
    async def read() -> None:
        await engine.begin().get(b"a")

    run_blocking(read())
    with engine.measured() as counts:
        run_blocking(read())
    assert (counts.gets, counts.transactions) == (1, 1)
    assert engine.counts.gets == 2


def test_failed_commits_and_retries_are_counted(engine: Counting) -> None:
    async def work() -> None:
        tr, other = engine.begin(), engine.begin()
        await tr.get(b"a")
        other.set(b"a", b"1")
        await other.commit()
        tr.set(b"b", b"")
        with pytest.raises(Conflict) as caught:
            await tr.commit()
        await tr.on_error(caught.value)

    run_blocking(work())
    assert (engine.counts.commits, engine.counts.failed_commits, engine.counts.retries) == (2, 1, 1)


def test_what_was_refused_is_not_counted(engine: Counting) -> None:
    tr = engine.begin()
    with pytest.raises(Exception, match="range"):
        tr.clear_range(b"b", b"a")
    assert engine.counts.writes == 0


def test_counts_can_be_subtracted() -> None:
    before = Counts(gets=1, sets=2)
    after = before.copy()
    after.gets += 3
    assert after.since(before) == Counts(gets=3)
