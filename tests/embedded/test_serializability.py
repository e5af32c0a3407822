"""Many threads and tasks on the same few keys: one order explains what each of them saw."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recordlayer.kv.embedded import publish
from recordlayer.kv.embedded.engine import EmbeddedEngine
from recordlayer.waiting.drivers import run_asyncio, run_blocking
from recordlayer.waiting.waitable import Turn
from tests.support.embedded import LONG, content, opened
from tests.support.histories import History, transact

TIMES = 60 if LONG else 1
pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(autouse=True)
def threads_switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.00002)
    yield
    sys.setswitchinterval(before)


def run_threads(engine: EmbeddedEngine, history: History, seed: int, *, threads: int, each: int) -> None:
    errors: list[BaseException] = []

    def work(me: int) -> None:
        numbers = random.Random(seed * 1000 + me)
        try:
            for _ in range(each):
                run_blocking(transact(engine, history, numbers, lambda: None))
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(me,)) for me in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]


async def run_tasks(engine: EmbeddedEngine, history: History, seed: int, *, tasks: int, each: int) -> None:
    async def work(me: int) -> None:
        numbers = random.Random(seed * 1000 + 500 + me)

        def pause() -> Any:
            return Turn() if numbers.random() < 0.5 else None

        for _ in range(each):
            await run_asyncio(transact(engine, history, numbers, pause))

    async with asyncio.TaskGroup() as group:
        for me in range(tasks):
            group.create_task(work(me))


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_threads_and_tasks_are_serializable(tmp_path: Path, durability: str) -> None:
    seed = random.randrange(1 << 30)
    history = History()
    with opened(tmp_path / "data", durability=durability) as engine:
        for round_ in range(TIMES):
            loop = threading.Thread(
                target=lambda at=round_: asyncio.run(run_tasks(engine, history, seed + at, tasks=30, each=30))
            )
            loop.start()
            run_threads(engine, history, seed + round_, threads=4, each=300)
            loop.join()
        history.judge({})
        assert content(engine) == history.last
    assert sum(done.stamp is not None for done in history.done) > 200 * TIMES, seed
    assert history.refused.get("Conflict", 0) > 20 * TIMES, seed


@pytest.mark.parametrize("limit", ["ranges", "bytes"])
def test_a_full_table_refuses_the_old_but_never_misses_a_conflict(
    tmp_path: Path, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers are given up all the time: they may be refused as too old, and must not see or commit anything wrong."""
    if limit == "ranges":
        monkeypatch.setattr(publish, "MOST_RANGES", 5)
    monkeypatch.setattr(publish, "_LONGEST_DELAY", 0.0)
    seed = random.randrange(1 << 30)
    history = History()
    with opened(tmp_path / "data", durability="relaxed", window_bytes=1 << 16) as engine:
        if limit == "bytes":
            engine._file.window.budget = 1200
        for round_ in range(TIMES):
            run_threads(engine, history, seed + round_, threads=5, each=300)
        history.judge({})
        assert content(engine) == history.last
    assert sum(done.stamp is not None for done in history.done) > 100 * TIMES, seed
    assert history.refused.get("TooOld", 0) > TIMES, (seed, history.refused)


def test_wide_commits_take_part_like_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits of many keys are taken over piece by piece, while others read and commit."""
    monkeypatch.setattr(publish, "_AT_ONCE", 2)
    seed = random.randrange(1 << 30)
    history = History()
    with opened(tmp_path / "data", durability="relaxed") as engine:
        for round_ in range(TIMES):
            run_threads(engine, history, seed + round_, threads=5, each=300)
        history.judge({})
        assert content(engine) == history.last
    assert history.refused.get("Conflict", 0) > 20 * TIMES, seed


def test_the_judge_finds_a_lost_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that checks no conflicts must not pass."""
    from recordlayer.kv.embedded import commit

    monkeypatch.setattr(commit, "refusal", lambda *args: None)
    history = History()
    with opened(tmp_path / "data", durability="relaxed") as engine:
        run_threads(engine, history, 1, threads=4, each=300)
        with pytest.raises(AssertionError):
            history.judge({})
