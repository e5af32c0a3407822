"""The embedded engine under stress: old readers while it is overwritten flat out, long keys.

One operation is a relaxed transaction of ten reads and ten writes over 200,000 keys of 16 bytes with values of 120
bytes, drawn at random. Readers stay open for 4.5 seconds each, one after the other or a thousand at a time, all at
different versions; each must read at its end what it read at its beginning. The peer is the same work with no reader
open, in turns with it in the same run. Sizes and pauses are compared with what they may be at most.
"""

from __future__ import annotations

import gc
import random
import resource
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from time import perf_counter, thread_time

from bench.engine_tasks import KEYS, VALUE, key, one_value, spread
from bench.ground import ground_for
from bench.harness import Case, Ops, Report, Settings, Spread
from recordlayer.errors import TooOld
from recordlayer.kv.engine import Engine, StreamingMode
from recordlayer.kv.registry import open_engine
from recordlayer.waiting.drivers import run_blocking

ENGINES = ("file",)
READS = WRITES = 10
LIFE = 4.5  # seconds a reader stays open
BUDGET = 64 << 20
MEGABYTE = 1 << 20
TEN = Ops(reads=READS, writes=WRITES, round_trips=1 + READS)

# Upper bounds of ours / the peer.
WITH_READERS, LONG_KEYS = 1 / 0.6, 1.5


def run(settings: Settings) -> Report:
    """Every case in one directory."""
    with ground_for(settings, "engine_stress", ENGINES[0]) as ground:
        return Report(bench="engine_stress", engine=ground.kind, cases=tuple(cases(settings, ground.directory)))


def cases(settings: Settings, directory: Path) -> Iterator[Case]:
    yield from _old_readers(settings, directory)
    yield _long_keys(settings, directory)


# -- old readers


@dataclass
class Load:
    """What a phase of overwriting came to."""

    walls: list[float] = field(default_factory=list)  # seconds of each transaction
    cpus: list[float] = field(default_factory=list)  # of them, what this thread computed, but for collecting garbage
    memory: int = 0  # most bytes beyond those before
    checked: int = 0

    def means(self) -> list[float]:
        """Microseconds of a transaction, in about twenty pieces of the phase."""
        step = max(1, len(self.walls) // 20)
        parts = (self.walls[at : at + step] for at in range(0, len(self.walls), step))
        return [sum(part) / len(part) * 1e6 for part in parts]


class _Reader:
    """An open transaction, and what it saw first."""

    def __init__(self, engine: Engine, numbers: random.Random) -> None:
        self.born = perf_counter()
        self._transaction = engine.begin()
        self._keys = [key(numbers.randrange(KEYS)) for _ in range(5)]
        self._begin = key(numbers.randrange(KEYS))
        self._seen = run_blocking(self._look())

    async def _look(self) -> tuple[list[bytes | None], object]:
        values = [await self._transaction.get(one, snapshot=True) for one in self._keys]
        chunk = await self._transaction.get_range(
            self._begin, b"l", limit=20, snapshot=True, mode=StreamingMode.WANT_ALL
        )
        return values, chunk.rows

    def end(self) -> None:
        """Read again what was read first.  Raises  AssertionError if it is not the same."""
        assert run_blocking(self._look()) == self._seen, "a reader sees another version than its own"
        self._transaction.close()


class _Collector:
    """How long Python's garbage collector has worked. A full collection looks at all that this process has."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = thread_time()
        else:
            self.seconds += thread_time() - self._began


def _old_readers(settings: Settings, directory: Path) -> Iterator[Case]:
    seconds = 6.0 if settings.quick else 60.0
    path = directory / "overwritten.rl"
    engine = open_engine(f"file:{path}", durability="relaxed", window_bytes=BUDGET)
    try:
        for start in range(0, KEYS, 10_000):
            run_blocking(_fill(engine, range(start, start + 10_000)))
        live = KEYS * (len(key(0)) + len(VALUE))
        alone = Load()
        for readers, name in ((1, "a reader always open"), (1000, "1,000 transactions open at different versions")):
            settings.say(name)
            _overwrite(engine, alone, seconds / 6, readers=0)
            load = Load()
            _overwrite(engine, load, seconds, readers=readers)
            _overwrite(engine, alone, seconds / 6, readers=0)
            assert load.checked > 0
            yield _against(f"10 reads + 10 writes, relaxed, {name}", load, alone)
            yield from _bounds(name, load, path.stat().st_size, live)
    finally:
        engine.close()


def _overwrite(engine: Engine, load: Load, seconds: float, *, readers: int) -> None:
    numbers = random.Random(1)
    living: deque[_Reader] = deque()
    before = _memory()
    collector = _Collector()
    gc.callbacks.append(collector)
    end = perf_counter() + seconds
    due = perf_counter()
    while (now := perf_counter()) < end:
        if readers and now >= due:
            due = now + LIFE / readers
            living.append(_Reader(engine, numbers))
            while len(living) > 1 and perf_counter() - living[0].born > LIFE:
                _end(living.popleft(), load)
            continue
        keys = [key(numbers.randrange(KEYS)) for _ in range(READS + WRITES)]
        wall, cpu = perf_counter(), thread_time() - collector.seconds
        run_blocking(_ten(engine, keys))
        load.walls.append(perf_counter() - wall)
        load.cpus.append(thread_time() - collector.seconds - cpu)
        if len(load.walls) % 500 == 0:
            load.memory = max(load.memory, _memory() - before)
    gc.callbacks.remove(collector)
    for reader in living:
        _end(reader, load)


def _end(reader: _Reader, load: Load) -> None:
    try:
        reader.end()
        load.checked += 1
    except TooOld:
        # It is checked later than planned when the machine does something else meanwhile.
        assert perf_counter() - reader.born > 5.0, "a reader was given up although the window has room"


def _against(name: str, load: Load, alone: Load) -> Case:
    ours, peer = spread(load.means()), spread(alone.means())
    return Case(
        case=name,
        unit="us",
        ours=ours,
        peers={"no reader": peer},
        ratio={"no reader": ours.median / peer.median},
        target={"no reader": WITH_READERS},
        ops=TEN,
    )


def _bounds(name: str, load: Load, size: int, live: int) -> Iterator[Case]:
    milliseconds = sorted(wall * 1000 for wall in load.walls)
    hundredths = quantiles(milliseconds, n=100)
    slow = Spread(hundredths[98], hundredths[49], milliseconds[-1])
    yield _limited(f"99th percentile of commits (min: the median), {name}", "ms", slow, {})
    longest = max(load.cpus) * 1000
    yield _limited(f"longest commit, what it computes itself, {name}", "ms", one_value(longest), {"50 ms": 50.0})
    yield _limited(
        f"file, {name}", "MB", one_value(size / MEGABYTE), {"3 times live data + 128 MB": (3 * live) / MEGABYTE + 128}
    )
    yield _limited(
        f"memory, {name}", "MB", one_value(load.memory / MEGABYTE), {"budget + 64 MB": BUDGET / MEGABYTE + 64}
    )


# -- long keys


def _long_keys(settings: Settings, directory: Path) -> Case:
    """Keys beyond what LMDB takes, all with the same first 600 bytes: a write costs the same among few and many."""
    settings.say("long keys")
    engine = open_engine(f"file:{directory / 'long.rl'}", durability="relaxed")
    prefix = b"shared" * 100
    times: dict[int, list[float]] = {}
    many = 10_000 if settings.quick else 100_000
    try:
        for count, start in ((1_000, 0), (many, 1_000)):
            for at in range(start, count, 1_000):
                run_blocking(_put(engine, [prefix + b"%08d" % number for number in range(at, at + 1_000)]))
            numbers = random.Random(3)
            times[count] = []
            for _ in range(500):
                began = perf_counter()
                run_blocking(_put(engine, [prefix + b"%08d" % numbers.randrange(count)]))
                times[count].append((perf_counter() - began) * 1e6)
    finally:
        engine.close()
    ours, peer = spread(times[many]), spread(times[1_000])
    return Case(
        case=f"a write among {many:,} long keys with one prefix",
        unit="us",
        ours=ours,
        peers={"among 1,000": peer},
        ratio={"among 1,000": ours.median / peer.median},
        target={"among 1,000": LONG_KEYS},
        ops=Ops(writes=1, round_trips=1),
    )


# -- transactions


async def _fill(engine: Engine, numbers: range) -> None:
    await _put(engine, [key(number) for number in numbers])


async def _put(engine: Engine, keys: Sequence[bytes]) -> None:
    transaction = engine.begin()
    for one in keys:
        transaction.set(one, VALUE)
    await transaction.commit()


async def _ten(engine: Engine, keys: list[bytes]) -> None:
    transaction = engine.begin()
    for one in keys[:READS]:
        await transaction.get(one)
    for one in keys[READS:]:
        transaction.set(one, VALUE)
    await transaction.commit()


# -- numbers


def _memory() -> int:
    """Bytes of this process's own memory, the mapped file left out where the system tells them apart."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _limited(name: str, unit: str, ours: Spread, limits: dict[str, float]) -> Case:
    """A figure against the most it may be."""
    return Case(
        case=name,
        unit=unit,
        ours=ours,
        peers={limit: one_value(value) for limit, value in limits.items()},
        ratio={limit: ours.median / value for limit, value in limits.items()},
        target=dict.fromkeys(limits, 1.0),
        ops=Ops(),
    )
