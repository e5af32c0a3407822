"""Thousands of asyncio tasks, each of which holds a durable transaction for half a second, and how late their loop is.

The bench `engine_stress` draws its keys and values from here, too.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

from bench.ground import ground_for
from bench.harness import Case, Ops, Report, Settings, Spread
from recordlayer.errors import TransactionError
from recordlayer.kv.engine import Transaction
from recordlayer.kv.registry import open_engine
from recordlayer.waiting.drivers import run_asyncio

ENGINES = ("file",)
KEYS = 200_000
VALUE = bytes(120)


def key(number: int) -> bytes:
    """One of the keys, spread over all of them."""
    return b"k%015d" % (number * 7919 % KEYS)


def spread(values: list[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def one_value(value: float) -> Spread:
    return Spread(value, value, value)


def run(settings: Settings) -> Report:
    """Every case in one directory."""
    with ground_for(settings, "engine_tasks", ENGINES[0]) as ground:
        return Report(bench="engine_tasks", engine=ground.kind, cases=tuple(_cases(settings, ground.directory)))


def _cases(settings: Settings, directory: Path) -> Iterator[Case]:
    engine = open_engine(f"file:{directory / 'tasks.rl'}", durability="commit")
    try:
        for tasks in (1, 100, 5_000):
            settings.say(f"{tasks} tasks")
            rounds = 3 if settings.quick else 8
            _, before = asyncio.run(_hold(_NoEngine(), tasks, rounds))
            took, lags = asyncio.run(_hold(engine, tasks, rounds))
            _, after = asyncio.run(_hold(_NoEngine(), tasks, rounds))
            wait = 500.0
            name = f"{tasks:,} tasks, each holds a transaction 0.5 s, durable"
            whole = spread([1000 * one for one in took])
            yield Case(
                case=name,
                unit="ms",
                ours=whole,
                peers={"the half second": one_value(wait)},
                ratio={"the half second": whole.median / wait},
                target={},
                ops=Ops(reads=2, writes=2, round_trips=4),
            )
            if tasks > 1:
                late, unavoidable = _late(lags), _late(before + after)
                yield Case(
                    case=f"event loop late, 99th percentile (min: the median), {tasks:,} tasks",
                    unit="ms",
                    ours=late,
                    peers={"20 ms": one_value(20.0), "the same tasks without a transaction": unavoidable},
                    ratio={
                        "20 ms": late.median / 20.0,
                        "the same tasks without a transaction": late.median / unavoidable.median,
                    },
                    target={"20 ms": 1.0},
                    ops=Ops(),
                )
    finally:
        engine.close()


def _late(lags: list[float]) -> Spread:
    milliseconds = [1000 * lag for lag in lags]
    parts = quantiles(milliseconds, n=100)
    return Spread(parts[98], parts[49], max(milliseconds))


class _NoEngine:
    """Does nothing, so that what is measured with it is what the tasks and their loop take by themselves."""

    def begin(self) -> _NoEngine:
        return self

    async def get(self, one: bytes) -> bytes | None:
        return None

    def set(self, one: bytes, value: bytes) -> None:
        return None

    async def commit(self) -> None:
        return None

    def close(self) -> None:
        return None


async def _hold(engine: Any, tasks: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds that each transaction took, and how late the loop called what it was asked to call."""
    took: list[float] = []
    lags: list[float] = []
    numbers = random.Random(2)
    ending = asyncio.Event()

    async def task(me: int) -> None:
        await asyncio.sleep(numbers.random() * 0.5)  # they do not march in step
        for _ in range(rounds):
            began = perf_counter()
            transaction = engine.begin()
            while True:
                try:
                    await run_asyncio(_read_two(transaction, me))
                    await asyncio.sleep(0.5)
                    await run_asyncio(_write_two(transaction, me))
                except TransactionError as error:
                    await run_asyncio(_retry(transaction, error))
                else:
                    break
            transaction.close()
            took.append(perf_counter() - began)

    async def watch() -> None:
        await asyncio.sleep(0.6)  # to start thousands of tasks takes a while, once
        while not ending.is_set():
            before = perf_counter()
            await asyncio.sleep(0.001)
            lags.append(perf_counter() - before - 0.001)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(task(me) for me in range(tasks)))
    ending.set()
    await watching
    return took, lags


async def _read_two(transaction: Transaction, me: int) -> None:
    for one in (key(me), key(me + 100_000)):
        await transaction.get(one)


async def _write_two(transaction: Transaction, me: int) -> None:
    for one in (key(me), key(me + 100_000)):
        transaction.set(one, VALUE)
    await transaction.commit()


async def _retry(transaction: Transaction, error: TransactionError) -> None:
    await transaction.on_error(error)
