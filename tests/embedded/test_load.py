"""Old readers under a load of writes: they cost little, and see their version or are told that it is gone."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from pathlib import Path

import pytest

from recordlayer.errors import Conflict, TooOld
from recordlayer.kv.embedded import commit, publish
from recordlayer.kv.embedded.commit import Committer
from recordlayer.kv.embedded.engine import EmbeddedEngine
from recordlayer.kv.engine import StreamingMode, Transaction
from recordlayer.testing.clock import ManualClock
from recordlayer.waiting.drivers import run_asyncio
from tests.support.embedded import LONG, content, do, opened, put

KEYS = 20_000 if LONG else 2_000
VALUE = bytes(100)


def key(number: int) -> bytes:
    return b"key%010d" % number


def fill(engine: EmbeddedEngine) -> None:
    for start in range(0, KEYS, 2_000):
        put(engine, {key(number): VALUE for number in range(start, min(start + 2_000, KEYS))})


class Reader:
    """An open transaction that knows what it read first."""

    def __init__(self, engine: EmbeddedEngine, numbers: random.Random) -> None:
        self.transaction = engine.begin()
        self.version = do(self.transaction.read_version())
        self.keys = [key(numbers.randrange(KEYS)) for _ in range(3)]
        self.begin = key(numbers.randrange(KEYS - 20))
        self.seen = self._look()

    def _look(self) -> object:
        chunk = do(self.transaction.get_range(self.begin, b"l", limit=10, mode=StreamingMode.WANT_ALL, snapshot=True))
        return [do(self.transaction.get(one, snapshot=True)) for one in self.keys], chunk.rows

    def sees_the_same(self) -> bool:
        """Whether it still reads its version; False if it is told that it is too old. Never anything else."""
        try:
            assert self._look() == self.seen
        except TooOld:
            return False
        return True


def overwrite(engine: EmbeddedEngine, numbers: random.Random, count: int) -> None:
    put(engine, {key(numbers.randrange(KEYS)): b"%d" % count + VALUE for _ in range(10)})


def test_a_reader_that_is_always_open_costs_one_entry_a_key_and_no_file(tmp_path: Path) -> None:
    path = tmp_path / "data"
    clock, numbers = ManualClock(), random.Random(1)
    with opened(path, durability="relaxed", world=clock.world()) as engine:
        fill(engine)
        live = path.stat().st_size
        window = engine._file.window
        commits = 30_000 if LONG else 3_000
        reader, most = Reader(engine, numbers), 0
        for count in range(commits):
            overwrite(engine, numbers, count)
            clock.advance(9.8 / commits)  # two lives of a reader
            if count % (commits // 2) == commits // 2 - 1:
                newer = Reader(engine, numbers)
                assert reader.sees_the_same()
                reader.transaction.close()
                reader = newer
            most = max(most, len(window._chains))
        assert KEYS / 4 < most <= KEYS
        assert window.size <= window.budget
        assert path.stat().st_size < 3 * live + (1 << 20)
        reader.transaction.close()
        overwrite(engine, numbers, 0)
        assert not window.has_entries


def test_a_thousand_transactions_at_different_versions_each_see_their_own(tmp_path: Path) -> None:
    clock, numbers = ManualClock(), random.Random(2)
    with opened("memory:", world=clock.world()) as engine:
        fill(engine)
        readers: list[Reader] = []
        for count in range(1_000):
            readers.append(Reader(engine, numbers))
            overwrite(engine, numbers, count)
            clock.advance(0.004)
        assert len({reader.version for reader in readers}) == 1_000
        assert len(engine._file.readers) == 1_000
        assert all(reader.sees_the_same() for reader in readers)
        window = engine._file.window
        assert window.size == window.recount() <= window.budget
        # They leave in any order; what each of the others needs stays.
        numbers.shuffle(readers)
        while readers:
            readers.pop().transaction.close()
            if len(readers) % 50 == 0:
                overwrite(engine, numbers, 0)
                assert all(reader.sees_the_same() for reader in readers[:20])
        overwrite(engine, numbers, 0)
        assert not window.has_entries
        assert window.size == 0


def test_over_the_budget_commits_are_delayed_first_and_then_the_oldest_readers_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = random.Random(3)
    delays: list[float] = []
    monkeypatch.setattr(
        commit,
        "publish",
        lambda *args: delays.append(publish.publish(*args)) or 0.0,  # noted, not waited for
    )
    with opened("memory:", world=ManualClock().world(), window_bytes=1 << 20) as engine:
        fill(engine)
        window = engine._file.window
        readers: list[Reader] = []
        first_delay = first_gone = None
        for count in range(3_000):
            if count % 10 == 0:
                readers.append(Reader(engine, numbers))
            overwrite(engine, numbers, count)
            assert window.size <= window.budget
            if delays[-1] and first_delay is None:
                first_delay = count
            if first_gone is None and not readers[0].sees_the_same():
                first_gone = count
        assert first_delay is not None
        assert first_gone is not None
        assert first_delay < first_gone
        alive = [reader.sees_the_same() for reader in readers]
        assert alive == sorted(alive), "the oldest go first"
        assert 10 < sum(alive) < len(readers)
        assert all(0 <= delay <= 0.02 for delay in delays)
        # At full pressure a commit waits as long as its share of the five seconds that the budget is for.
        share = 10 * (len(key(0)) + len(VALUE) + 90) * 5.0 / window.budget
        assert share / 2 < max(delays) < share * 4


def test_a_commit_larger_than_the_budget_ends_all_older_readers_and_is_kept_whole() -> None:
    numbers = random.Random(4)
    with opened("memory:", window_bytes=1 << 17) as engine:
        fill(engine)
        reader = Reader(engine, numbers)
        put(engine, {key(number): b"new" for number in range(KEYS)})
        assert not reader.sees_the_same()
        assert engine._file.window.size <= engine._file.window.budget
        assert set(content(engine).values()) == {b"new"}


def test_an_event_loop_neither_leads_a_commit_nor_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaders: set[int] = set()
    lead = Committer._lead

    def noted(self: Committer) -> None:
        leaders.add(threading.get_ident())
        lead(self)

    monkeypatch.setattr(Committer, "_lead", noted)
    groups: list[int] = []
    take = Committer._take
    monkeypatch.setattr(Committer, "_take", lambda self: (group := take(self), groups.append(len(group)))[0])

    async def one(engine: EmbeddedEngine, number: int) -> None:
        transaction = engine.begin()
        transaction.set(key(number), VALUE)
        await transaction.commit()

    async def everyone(engine: EmbeddedEngine) -> None:
        await asyncio.gather(*(run_asyncio(one(engine, number)) for number in range(300)))

    for durability in ("commit", "relaxed"):
        leaders.clear()
        with opened(tmp_path / durability, durability=durability) as engine:
            asyncio.run(everyone(engine))
            assert threading.get_ident() not in leaders
            assert leaders
            assert len(content(engine)) == 300
    assert len(groups) < 300, "they are committed in groups"


def test_a_group_of_finished_commits_leaves_the_loop_time_for_others(tmp_path: Path) -> None:
    """However many are finished at once, only some of them run in one turn of the loop."""
    turn = 0
    finished: list[int] = []

    async def one(engine: EmbeddedEngine, number: int) -> None:
        transaction = engine.begin()
        transaction.set(key(number), VALUE)
        await run_asyncio(_commit(transaction))
        finished.append(turn)

    async def everyone(engine: EmbeddedEngine) -> None:
        nonlocal turn
        tasks = [asyncio.create_task(one(engine, number)) for number in range(300)]
        while not all(task.done() for task in tasks):
            turn += 1
            await asyncio.sleep(0)

    with opened(tmp_path / "data") as engine:
        asyncio.run(everyone(engine))
    assert len(finished) == 300
    assert max(Counter(finished).values()) <= 64


def test_who_is_told_of_a_commit_and_raises_harms_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[BaseException] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_value))

    def fault() -> None:
        raise ValueError("a mistake in somebody's callback")

    with opened(tmp_path / "data") as engine:
        commits = []
        for number in range(20):
            transaction = engine.begin()
            transaction.set(key(number), VALUE)
            commit_ = transaction.commit()
            if number % 3 == 0:
                commit_.when_done(fault)  # type: ignore[attr-defined]  # unlike on_ready it does not begin the work
            commits.append((transaction, commit_))
        for transaction, commit_ in commits:
            do(commit_)
            transaction.close()
        put(engine, {b"later": b"1"})
        assert len(content(engine)) == 21
    assert [type(error) for error in told] == [ValueError] * 7


@pytest.mark.parametrize("tasks", [1, 100, 5_000 if LONG else 500])
def test_tasks_that_hold_their_transactions_open_all_come_through(tmp_path: Path, tasks: int) -> None:
    outcomes = {"committed": 0, "refused": 0}

    async def one(engine: EmbeddedEngine, number: int) -> None:
        numbers = random.Random(number)
        transaction = engine.begin()
        mine, others = key(number), key(numbers.randrange(tasks))
        before = await run_asyncio(_get(transaction, mine))
        await run_asyncio(_get(transaction, others))
        await asyncio.sleep(0.5 if LONG else 0.1)
        assert await run_asyncio(_get(transaction, mine)) == before
        transaction.set(mine, VALUE)
        try:
            await run_asyncio(_commit(transaction))
            outcomes["committed"] += 1
        except Conflict:
            outcomes["refused"] += 1
        transaction.close()

    async def everyone(engine: EmbeddedEngine) -> None:
        await asyncio.gather(*(one(engine, number) for number in range(tasks)))

    with opened(tmp_path / "data") as engine:
        asyncio.run(everyone(engine))
        assert len(content(engine)) == outcomes["committed"] > 0
        assert sum(outcomes.values()) == tasks
        assert len(engine._file.readers) == 0


async def _get(transaction: Transaction, one: bytes) -> bytes | None:
    return await transaction.get(one)


async def _commit(transaction: Transaction) -> None:
    await transaction.commit()
