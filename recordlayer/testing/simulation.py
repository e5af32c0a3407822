"""Programs of the asyncio facade under a seeded scheduler, with its own clock, and with everything that may go wrong.

    @pytest.mark.parametrize("seed", seeds(100))
    def test_transfers_keep_the_sum(seed: int) -> None:
        with simulate(seed) as sim:
            sim.run(fill(sim.database))               # without faults
            for number in range(3):
                sim.process(transfers, number)        # async def transfers(db: aio.Database, number: int)
            sim.run_processes()                       # until all have ended
            sim.run(check(sim.database))

Each process has a database of its own, so its own caches, over one engine in memory. Which operation of which process
ends next is drawn; operations fail as those of a cluster may (`Shuffle` says with what): conflicts, transactions that
are too old, commits whose outcome is unknown, with either outcome. Time stands still while anything can happen, or
jumps, so that timeouts, leases and five-second limits strike. Processes die between any two operations: a commit that
is under way happens or does not, nothing after it reaches the database, and the process begins anew. Whatever asyncio
code does (tasks, locks, sleeps, timeouts) runs on the same clock and in the same order for the same seed.

What breaks the replay of a seed: time, chance and threads from elsewhere than the loop and the database's `World` (what
`asyncio.to_thread` is given runs at once), and the order of sets of strings, which differs between Python processes
unless PYTHONHASHSEED is set.

Source  the simulation of FoundationDB (SIGMOD 2021, section 4), for the layer above it
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from recordlayer.aio.database import Database
from recordlayer.errors import UsageError
from recordlayer.kv.engine import Engine, Transaction
from recordlayer.kv.registry import open_engine
from recordlayer.testing.shuffle import Held, Shuffle, Stuck
from recordlayer.testing.simulated_loop import SimulatedLoop

T = TypeVar("T")
Main = Callable[..., Coroutine[Any, Any, object]]

_SEED, _SEEDS = "RECORDLAYER_SEED", "RECORDLAYER_SEEDS"
_LONGEST_JUMP = 8.0  # seconds: beyond what a transaction may take
_MOST_EVENTS = 2_000_000


class ProcessDied(BaseException):
    """What a process of a simulation gets from the database when it is dead. No `except Exception` keeps it alive."""


def seeds(count: int, *, first: int = 0) -> Sequence[int]:
    """The seeds that a test goes through: `count` of them; RECORDLAYER_SEEDS times as many if that is set, and only the
    one in RECORDLAYER_SEED, to see a failure again."""
    only = os.environ.get(_SEED)
    if only is not None:
        return [int(only)]
    return range(first, first + count * int(os.environ.get(_SEEDS, "1")))


@contextmanager
def simulate(
    seed: int, *, faults: float = 0.03, deaths: float = 0.003, jumps: float = 0.003, url: str = "memory:"
) -> Iterator[Simulation]:
    """A simulation of this seed. What is raised in it is told which seed it was and what happened last.

    faults  the share of operations that fail
    deaths  how probable it is, whenever an operation ends, that a process dies before it hears of it
    jumps   how probable it is then that time jumps by up to 8 seconds
    """
    simulation = Simulation(seed, faults=faults, deaths=deaths, jumps=jumps, url=url)
    try:
        yield simulation
    except BaseException as error:
        error.add_note(f"{simulation.words}; last: {' '.join(simulation.trace[-12:])}\n{_SEED}={seed} shows it again")
        raise
    finally:
        simulation.close()


class Process:
    """A program that runs in a simulation, and begins anew whenever it dies.

    deaths  how often it has died
    """

    def __init__(self, simulation: Simulation, name: str, main: Main, arguments: tuple[Any, ...], mortal: bool) -> None:
        self.name = name
        self.mortal = mortal
        self.deaths = 0
        self.tasks: set[asyncio.Task[Any]] = set()
        self._simulation = simulation
        self._main, self._arguments = main, arguments
        self._life: _Life | None = None
        self._keeper: asyncio.Task[Any] | None = None  # lives on when its lives end

    async def live(self) -> object:
        """Its result, after as many lives as it takes."""
        _PROCESS.set(self)  # in the context of its own task, and of the tasks that it begins
        try:
            while True:
                self._life = life = _Life(self._simulation)
                database = Database(cast("Engine", life), world=self._simulation.shuffle.world)
                work = asyncio.ensure_future(self._main(database, *self._arguments))
                try:
                    return await work
                except BaseException:  # whatever its program makes of its death
                    if not life.over or self._simulation.over:
                        raise
                await self._end(work)
        finally:
            self._life = None

    async def _end(self, work: asyncio.Future[Any]) -> None:
        """Tasks of the life that is over have nothing to go on with: they are cancelled until they are gone."""
        me = asyncio.current_task()
        while left := [task for task in self.tasks if task is not me and not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=1)
        ended: list[asyncio.Future[Any]] = [*self.tasks, work]
        for one in ended:
            if one is not me and one.done() and not one.cancelled():
                one.exception()  # looked at: nobody else will
        self.tasks = {task for task in self.tasks if not task.done()}

    def die(self) -> None:
        """Its life is over, wherever it is."""
        life = self._life
        if life is None or life.over:
            return
        self.deaths += 1
        life.end()
        for task in self.tasks:
            if task is not self._keeper:
                task.cancel()


_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class Simulation:
    """One run. Made by `simulate`.

    database  the database as a test may look at it: without faults, and without others coming between
    trace     what happened, in words, one for each event
    """

    def __init__(self, seed: int, *, faults: float, deaths: float, jumps: float, url: str) -> None:
        for name, share in (("faults", faults), ("deaths", deaths), ("jumps", jumps)):
            if not 0 <= share < 1:
                raise UsageError(argument=name, got=share, hint="give a share from 0 up to, not including, 1")
        self.seed = seed
        self.shuffle = Shuffle(random.Random(seed), faults=faults)
        self.trace = self.shuffle.trace
        self.processes: list[Process] = []
        self._deaths, self._jumps = deaths, jumps
        self._plain = open_engine(url, world=self.shuffle.world)
        self.engine = self.shuffle.engine(self._plain)
        self._calm = Shuffle(random.Random(seed), small_chunks=False)
        self.database = Database(self._calm.engine(self._plain), world=self.shuffle.world)
        self._running = False
        self.over = False
        self._loop = SimulatedLoop(self.shuffle.clock, self._happen)
        self._loop.set_task_factory(_task)

    @property
    def words(self) -> str:
        deaths = sum(process.deaths for process in self.processes)
        return f"simulation of seed {self.seed}: {len(self.trace):,} events, {deaths} deaths"

    def run(self, body: Awaitable[T]) -> T:
        """The result of a coroutine that is nobody's process."""

        async def wait() -> T:
            return await body

        return self._loop.run_until_complete(wait())

    def process(self, main: Main, *arguments: Any, name: str | None = None, mortal: bool = True) -> Process:
        """A process that runs `main(database, *arguments)`, from `run_processes` on.

        mortal  it may die, and then begins anew: what it has to remember lies in the database
        """
        made = Process(self, name or f"process {len(self.processes)}", main, arguments, mortal)
        self.processes.append(made)
        return made

    def run_processes(self) -> list[object]:
        """Run all processes that have not been run, until all have ended: their results.  Raises  what one raises, when
        the others were stopped; Stuck, when all wait for ever."""
        waiting = [process for process in self.processes if process._life is None and process._keeper is None]

        async def all_of_them() -> list[object]:
            async with asyncio.TaskGroup() as group:
                kept = []
                for process in waiting:
                    process._keeper = group.create_task(process.live())
                    kept.append(process._keeper)
            return [task.result() for task in kept]

        self._running = True
        try:
            return self._loop.run_until_complete(all_of_them())
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        finally:
            self._running = False

    def close(self) -> None:
        """Stop everything."""
        self.over = True
        for process in self.processes:
            process.die()
        with suppress(Exception):
            self._loop.finish()
        self._plain.close()

    def _happen(self, most: float | None) -> None:
        """Nobody can go on: an operation ends, or time passes, `most` seconds at most."""
        if len(self.trace) > _MOST_EVENTS:
            raise Stuck(f"{self.words}: it does not end")
        chance = self.shuffle.random
        if self._running:
            if self._deaths and chance.random() < self._deaths:
                mortal = [process for process in self.processes if process.mortal and process._life is not None]
                if mortal:
                    self.trace.append("death")
                    mortal[self.shuffle.draw(len(mortal))].die()
                    return
            if self._jumps and chance.random() < self._jumps:
                self.trace.append("jump")
                self.shuffle.clock.advance(chance.random() * _LONGEST_JUMP)
                return
        if self._calm.finish_one() or self.shuffle.finish_one():
            return
        if most is None and not self.shuffle.clock.sleepers:
            raise Stuck(f"{self.words}: all wait for something that never comes")
        self.trace.append("time")
        self.shuffle.clock.advance_at_most(most)


def _task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """A task, which its process knows of."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    process = _PROCESS.get()
    if process is not None:
        process.tasks.add(task)
        task.add_done_callback(process.tasks.discard)
    return task


class _Life:
    """The engine as one life of a process sees it: once that is over, nothing it does reaches anything."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._begun: list[_LivingTransaction] = []
        self.over = False

    def begin(self) -> Transaction:
        self.check()
        made = _LivingTransaction(self, self._simulation.engine.begin())
        self._begun = [one for one in self._begun if one.commits()]
        self._begun.append(made)
        return cast("Transaction", made)

    def check(self) -> None:
        if self.over:
            raise ProcessDied

    def end(self) -> None:
        """Commits that are under way happen or do not: what is held back of them is drawn."""
        self.over = True
        for transaction in self._begun:
            transaction.end()
        self._begun.clear()

    @property
    def shuffle(self) -> Shuffle:
        return self._simulation.shuffle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._simulation.engine, name)


class _LivingTransaction:
    def __init__(self, life: _Life, transaction: Transaction) -> None:
        self._life = life
        self._transaction = transaction
        self._commit: Held[None] | None = None

    def commits(self) -> bool:
        return self._commit is None or not self._commit.ready()

    def end(self) -> None:
        held = self._commit
        if held is not None and not held.ready():
            if self._life.shuffle.draw(2):
                with suppress(Exception):
                    held.begin().block()
            self._life.shuffle.forget(held)

    def commit(self) -> Any:
        self._life.check()
        self._commit = cast("Held[None]", self._transaction.commit())
        return self._commit

    def close(self) -> None:
        self._transaction.close()

    def __getattr__(self, name: str) -> Any:
        self._life.check()
        return getattr(self._transaction, name)
