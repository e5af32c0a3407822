"""Everything at once for as long as one likes: threads that block and tasks of a loop write, read and page through one
store with an index of every type; an index is built anew now and then, a consumer follows the feed, which is trimmed
behind it, and watches come and go. What the process holds stays as it is, each operation costs what it cost at first,
and the store agrees with itself in the end.

Some seconds by default; `make soak SECONDS=600 ENGINE=fdb:` for as long, on another engine.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import resource
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

import recordlayer as rl
from recordlayer import aio, errors, q, query
from recordlayer.feed.consumers import FeedStart
from recordlayer.kv.engine import DatabaseOption
from recordlayer.online.options import BuildLimits
from tests.support.every_index import LATER, QUESTIONS, begin, customers, order

SECONDS = float(os.environ.get("RECORDLAYER_SOAK_SECONDS", "5"))
ENGINE = os.environ.get("RECORDLAYER_SOAK_ENGINE", "")
PATH = ("soak", "store")
OWN = 25
"""Records of each writer: there are never more."""
THREADS, TASKS = 2, 2
OF_THE_PROCESS = {"recordlayer-alarms"}
"""Threads that stay, one for all databases."""

AGAIN = rl.Retry(attempts=100_000, idempotent=True)
PAGED = {
    "value": query("Order").where(q.customer == "bo"),
    "two at once": query("Order").where((q.customer == "ana") | q.tags.contains("pear")),
    "unnested": query("OrderItem").where(q.item.sku >= "a"),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process holds at a moment, and what it has done."""

    operations: int
    cpu: float
    memory: int
    descriptors: int
    threads: int
    file: int


class Soak:
    """The work, and what it has come to."""

    def __init__(self, url: str, file: Path | None) -> None:
        self.url = url
        self.file = file
        self.over = threading.Event()
        self.errors: list[BaseException] = []
        self._done = itertools.count()
        self.operations = 0

    def did(self) -> None:
        self.operations = next(self._done)

    def sample(self) -> Sample:
        descriptors = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
        size = self.file.stat().st_blocks * 512 if self.file is not None else 0
        return Sample(self.operations, time.process_time(), resident(), descriptors, threading.active_count(), size)

    def guarded(self, work: Callable[[], object]) -> threading.Thread:
        """A thread that works until it is over; what it raises ends all."""

        def run() -> None:
            try:
                work()
            except BaseException as error:
                self.errors.append(error)
                self.over.set()

        return threading.Thread(target=run, name="soak")

    def until_over(self, step: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            while not self.over.is_set():
                step()
                self.did()

        return run

    # -- threads

    def write(self, db: Any, writer: int) -> Callable[[], None]:
        chance = random.Random(writer)

        def change(tx: Any) -> None:
            store = tx.store(LATER, path=PATH)
            for _ in range(3):
                number = writer * OWN + chance.randrange(OWN)
                if chance.random() < 0.2:
                    store.delete(number)
                else:
                    store.save(order(number, chance.randrange(1_000), long=0.01))

        return lambda: db.run(change, retry=AGAIN)

    def read(self, db: Any) -> Callable[[], None]:
        names = itertools.cycle([*QUESTIONS, *(f"pages of {name}" for name in PAGED)])

        def ask() -> None:
            name = next(names)
            if name in QUESTIONS:
                db.run(lambda tx: QUESTIONS[name](tx.store(LATER, path=PATH)), retry=AGAIN)
                return
            resume = db.run(lambda tx: page(tx, name[9:], None), retry=AGAIN)
            while resume is not None:
                resume = db.run(lambda tx: page(tx, name[9:], resume), retry=AGAIN)  # noqa: B023  # it runs at once

        def page(tx: Any, name: str, resume: bytes | None) -> bytes | None:
            found = tx.store(LATER, path=PATH).query(PAGED[name], limit=7, resume=resume)
            found.all()
            return cast("bytes | None", found.continuation)

        return ask

    def follow(self, db: Any) -> Callable[[], None]:
        def consumed(tx: Any) -> bool:
            feed = tx.store(LATER, path=PATH).feed
            try:
                return bool(feed.consume("soak", limit=200, start=FeedStart.OLDEST).more)
            except errors.FeedTokenExpired:  # on a busy machine it falls behind for longer than changes are kept
                feed.forget("soak")
                return True

        def follow() -> None:
            while db.run(consumed, retry=AGAIN):
                pass
            watch = db.run(lambda tx: tx.store(LATER, path=PATH).feed.watch(), retry=AGAIN)
            if not watch.wait(timedelta(milliseconds=20)):
                watch.cancel()
            db.feed_trimmer(LATER, path=PATH, older_than=timedelta(seconds=1)).trim()

        return follow

    def build(self, db: Any) -> Callable[[], None]:
        def drop(tx: Any) -> None:
            tx.store(LATER, path=PATH).disable_index("by_total")

        def build() -> None:
            db.run(drop, retry=AGAIN)
            limits = BuildLimits(records=20)
            db.online_indexer(LATER, path=PATH, indexes=["by_total"], limits=limits).build()
            self.over.wait(0.2)

        return build

    # -- tasks

    def loop(self) -> None:
        asyncio.run(self._tasks())

    async def _tasks(self) -> None:
        async with aio.open(self.url) as db:
            tasks = [self._writes(db, THREADS + number) for number in range(TASKS)]
            await asyncio.gather(*tasks, *(self._pages(db, name) for name in PAGED))

    async def _writes(self, db: Any, writer: int) -> None:
        chance = random.Random(writer)

        async def change(tx: Any) -> None:
            store = await tx.store(LATER, path=PATH)
            number = writer * OWN + chance.randrange(OWN)
            await store.save_many([order(number, chance.randrange(1_000), long=0)])
            await store.delete(writer * OWN + chance.randrange(OWN))

        while not self.over.is_set():
            await db.run(change, retry=AGAIN)
            self.did()

    async def _pages(self, db: Any, name: str) -> None:
        resume: bytes | None = None

        async def page(tx: Any) -> bytes | None:
            found = (await tx.store(LATER, path=PATH)).query(PAGED[name], limit=5, resume=resume)
            await found.all()
            return cast("bytes | None", found.continuation)

        while not self.over.is_set():
            resume = await db.run(page, retry=AGAIN)
            self.did()
            await asyncio.sleep(0)

    # -- all of it

    def run(self, db: Any, seconds: float) -> list[Sample]:
        works = [self.until_over(self.write(db, writer)) for writer in range(THREADS)]
        works += [self.until_over(what(db)) for what in (self.read, self.follow, self.build)]
        threads = [self.guarded(work) for work in (*works, self.loop)]
        for thread in threads:
            thread.start()
        samples: list[Sample] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.over.wait(min(1.0, seconds / 30)):
            samples.append(self.sample())
        self.over.set()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]
        return samples


def resident() -> int:
    """Bytes of memory that the process has."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def judged(samples: list[Sample]) -> dict[str, tuple[float, float]]:
    """What there was in the first third, warming up left out, and in the last; asserts that it has not grown."""
    assert len(samples) >= 9, "it was too short to tell"
    third = len(samples) // 3
    first, last = samples[third // 2 : third + third // 2], samples[-third:]

    def cost(part: list[Sample]) -> float:
        return (part[-1].cpu - part[0].cpu) / max(1, part[-1].operations - part[0].operations)

    found: dict[str, tuple[float, float]] = {"cpu of an operation": (cost(first), cost(last))}
    for name in ("memory", "descriptors", "threads", "file"):
        found[name] = max(getattr(one, name) for one in first), max(getattr(one, name) for one in last)
    megabyte = 1 << 20
    allowed = {"memory": 48 * megabyte, "descriptors": 8, "threads": 4, "file": 24 * megabyte}
    for name, more in allowed.items():
        assert found[name][1] <= found[name][0] * 1.2 + more, (name, found)
    assert found["cpu of an operation"][1] <= 2.5 * found["cpu of an operation"][0], found
    return found


@pytest.mark.timeout(SECONDS * 3 + 120)
def test_hours_of_everything_at_once_leave_nothing_behind(tmp_path: Path) -> None:
    url = ENGINE or f"file:{tmp_path / 'soak'}"
    file = None if ENGINE else tmp_path / "soak"
    before = {thread.name for thread in threading.enumerate()}
    with rl.open(url) as db:
        db.engine.set_option(DatabaseOption.MAX_WATCHES, 20)  # so that a leak of watches shows within seconds
        with db.transaction() as tx:
            tx.delete_store(path=PATH)
        with db.transaction() as tx:
            store = tx.store(LATER, path=PATH, format_version=13)
            begin(store)
            store.feed.enable(new_images=True)
            for customer in customers():
                store.save(customer)
        samples = Soak(url, file).run(db, SECONDS)
        with db.transaction() as tx:
            store = tx.store(LATER, path=PATH)
            assert store.check() == []
            assert store.record_count("Order") <= (THREADS + TASKS) * OWN
        found = judged(samples)
        with db.transaction() as tx:
            tx.delete_store(path=PATH)
    left = {thread.name for thread in threading.enumerate()} - before
    assert left <= OF_THE_PROCESS or ENGINE, left
    if SECONDS > 30:
        print(f"{samples[-1].operations:,} operations; first and last third:", found)
