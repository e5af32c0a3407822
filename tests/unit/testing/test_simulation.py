"""`simulate`: a seed tells everything, planted bugs are found, a process that dies leaves nothing half done."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest

import recordlayer as rl
from recordlayer.errors import UsageError
from recordlayer.testing import Simulation, seeds, simulate
from recordlayer.testing.shuffle import Stuck
from tests.support.shop import PATH, Order, builder

METADATA = builder().build()
MANY = rl.Retry(attempts=10_000)
AGAIN = rl.Retry(attempts=10_000, idempotent=True)


async def saved(db: Any, total: int) -> None:
    async with db.transaction() as tx:
        await (await tx.store(METADATA, path=PATH)).save(Order(id=1, total=total))


async def total_of(db: Any) -> int:
    async with db.transaction() as tx:
        order = await (await tx.store(METADATA, path=PATH)).load(1)
        return int(order.total)


async def adds(db: Any, times: int, torn: bool = False) -> int:
    """Adds one, so many times; `torn`: as somebody writes it who reads in one transaction and writes in the next."""

    async def add(tx: Any, known: int | None = None) -> None:
        store = await tx.store(METADATA, path=PATH)
        order = await store.load(1)
        order.total = (order.total if known is None else known) + 1
        await asyncio.sleep(0.01)
        await store.save(order)

    async def look(tx: Any) -> int:
        return int((await (await tx.store(METADATA, path=PATH)).load(1)).total)

    for _ in range(times):
        known = await db.run(look, retry=MANY) if torn else None
        await db.run(lambda tx, known=known: add(tx, known), retry=MANY)
    return times


def added(seed: int, *, torn: bool = False, **how: float) -> tuple[int, list[str]]:
    with simulate(seed, **how) as sim:
        sim.run(saved(sim.database, 0))
        for _ in range(3):
            sim.process(adds, 4, torn)
        assert sim.run_processes() == [4, 4, 4]
        return sim.run(total_of(sim.database)), sim.trace


def test_what_is_right_holds_and_a_planted_bug_is_found() -> None:
    """No faults whose outcome is unknown, and no deaths: then each addition counts once, unless updates are lost."""
    quiet: dict[str, float] = {"faults": 0.0, "deaths": 0.0, "jumps": 0.02}
    assert {added(seed, **quiet)[0] for seed in seeds(20)} == {12}
    assert {added(seed, torn=True, **quiet)[0] for seed in range(20)} != {12}, "updates are lost"


def test_a_seed_tells_everything() -> None:
    again = [added(7, faults=0.0, deaths=0.0) for _ in range(2)]
    assert again[0] == again[1]
    traces = {tuple(added(seed, faults=0.0, deaths=0.0)[1]) for seed in range(5)}
    assert len(traces) == 5


def test_a_seed_tells_the_same_in_another_python() -> None:
    program = (
        "from tests.unit.testing.test_simulation import *\n"
        "with simulate(3, faults=0.1, deaths=0.02) as sim:\n"
        "    sim.run(saved(sim.database, 0))\n"
        "    for _ in range(3): sim.process(lives, 3)\n"
        "    sim.run_processes()\n"
        "    print(sim.words, ' '.join(sim.trace))"
    )
    outputs = set()
    for hashing in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hashing, "PYTHONPATH": os.getcwd()}
        command = [sys.executable, "-c", program]
        outputs.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(outputs) == 1
    assert "death" in outputs.pop()


async def lives(db: Any, steps: int) -> list[int]:
    """Goes on where the database says that it was."""
    done = []
    while True:

        async def step(tx: Any) -> int:
            store = await tx.store(METADATA, path=PATH)
            order = await store.load(1)
            if order.total < steps:
                order.total += 1
                await store.save(order)
                return int(order.total)
            return -1

        at = await db.run(step, retry=AGAIN)
        if at < 0:
            return done
        done.append(at)


def test_processes_die_in_commits_that_happen_and_in_commits_that_do_not() -> None:
    """A life that ends in a commit does not hear of it: what it did is known by what the next one finds."""
    deaths, heard = 0, []
    for seed in seeds(30):
        with simulate(seed, faults=0.0, deaths=0.05, jumps=0.0) as sim:
            sim.run(saved(sim.database, 0))
            process = sim.process(lives, 10)
            heard.append(sim.run_processes()[0])
            deaths += process.deaths
            assert sim.run(total_of(sim.database)) == 10
    assert deaths > 10
    assert any(len(one) < 10 for one in heard), "the last life has not done everything"


def test_what_a_dead_process_still_does_reaches_nobody() -> None:
    reached = []

    async def stubborn(db: Any) -> str:
        try:
            await lives(db, 50)
        except BaseException:
            try:
                await saved(db, 1_000)
            except BaseException as error:
                reached.append(type(error).__name__)
            raise
        return "done"

    for seed in seeds(10):
        with simulate(seed, faults=0.0, deaths=0.03, jumps=0.0) as sim:
            sim.run(saved(sim.database, 0))
            sim.process(stubborn)
            assert sim.run_processes() == ["done"]
            assert sim.run(total_of(sim.database)) == 50
    assert set(reached) == {"ProcessDied"}


def test_time_is_the_simulation_s_own() -> None:
    async def waits(db: Any) -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.sleep(86_400)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        return loop.time() - begun

    with simulate(0, jumps=0.0, deaths=0.0) as sim:
        sim.process(waits)
        assert sim.run_processes()[0] == pytest.approx(86_460)


def test_a_failure_says_its_seed_and_what_waits_for_ever_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(db: Any) -> None:
        await saved(db, 1)
        raise KeyError("lost")

    def run(seed: int, *mains: Any) -> None:
        with simulate(seed, faults=0.0, deaths=0.0, jumps=0.0) as sim:
            for main in mains:
                sim.process(main)
            sim.run_processes()

    def waits(db: Any) -> Any:
        return asyncio.Event().wait()

    with pytest.raises(KeyError) as failed:
        run(11, fails, waits)
    assert "RECORDLAYER_SEED=11" in "".join(failed.value.__notes__)
    with pytest.raises(Stuck, match="seed 5"):
        run(5, waits)
    monkeypatch.setenv("RECORDLAYER_SEED", "11")
    assert list(seeds(100)) == [11]
    for wrong in (-0.1, 1.0):
        with pytest.raises(UsageError):
            Simulation(0, faults=wrong, deaths=0, jumps=0, url="memory:")


def test_processes_begun_later_run_too_and_the_database_is_shared() -> None:
    with simulate(1, deaths=0.0) as sim:
        sim.run(saved(sim.database, 0))
        first = sim.process(lives, 2)
        sim.run_processes()
        sim.process(lives, 4)
        assert sim.run_processes() == [[3, 4]]
        assert first.deaths == 0
