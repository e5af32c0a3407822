"""Transactions of one tenant that wait for their turn, on a clock of the simulation: they come one after the other."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from recordlayer import aio, errors
from recordlayer.tenant import Overload, TenantLimits
from recordlayer.testing.simulation import simulate
from tests.support.shop import SHOP, Order

ACME = ("shop", "acme")


class Waiters:
    """Tasks that save without end, and the times at which they were let in."""

    def __init__(self, rate: int, *, tasks: int, seconds: float) -> None:
        self.rate = rate
        self.tasks = tasks
        self.seconds = seconds
        self.let_in: list[tuple[float, int]] = []
        self.running = self.most_running = 0
        self.used = 0

    async def main(self, db: aio.Database) -> None:
        await db.tenant(ACME).set_limits(TenantLimits(keys_written=self.rate))
        end = asyncio.get_running_loop().time() + self.seconds
        async with asyncio.TaskGroup() as group:
            for number in range(self.tasks):
                group.create_task(self.work(db, number, end))
        self.used = (await db.tenant(ACME).usage()).keys_written

    async def work(self, db: aio.Database, number: int, end: float) -> None:
        loop = asyncio.get_running_loop()
        while (left := end - loop.time()) > 0:
            try:
                async with asyncio.timeout(left), db.tenant(ACME).transaction(overload=Overload.WAIT) as tx:
                    self.let_in.append((loop.time(), number))
                    self.running += 1
                    try:
                        store = await tx.store(SHOP, path=ACME)
                        await store.save(Order(id=number, customer="ana", total=len(self.let_in)))
                    finally:
                        self.running -= 1
            except (TimeoutError, errors.Conflict):
                pass

    def run(self) -> Waiters:
        with simulate(1, faults=0, deaths=0, jumps=0) as simulation:
            simulation.process(self.main, mortal=False)
            simulation.run_processes()
        return self


@pytest.mark.parametrize(("rate", "tasks"), [(50, 4), (50, 12), (5, 3)])
def test_those_who_wait_are_let_in_one_after_the_other(rate: int, tasks: int) -> None:
    seconds = 40.0
    found = Waiters(rate, tasks=tasks, seconds=seconds).run()
    begun = found.let_in[0][0]
    times = [at - begun for at, _ in found.let_in if at - begun > 5]  # what was saved up has been used up by then
    gaps = [later - earlier for earlier, later in pairwise(times)]
    usual = found.used / len(found.let_in) / rate
    assert sum(gap < usual / 3 for gap in gaps) < 0.1 * len(gaps)
    assert 0.85 * rate * seconds <= found.used <= rate * (seconds + 3) + 10 * tasks
    shares = [sum(number == one for _, number in found.let_in) for one in range(tasks)]
    assert max(shares) <= 3 * min(shares) + 2


def test_what_was_saved_up_is_used_at_once_also_by_those_who_wait() -> None:
    rate, seconds = 600, 3.0
    found = Waiters(rate, tasks=4, seconds=seconds).run()
    assert 0.85 * rate * (seconds + 2) <= found.used <= rate * (seconds + 3)
