"""How things are measured: in rounds, each of which runs every contender once.

What else a machine does slows down some rounds, and all contenders of such a round alike. So a ratio is taken within
each round, and the median of these ratios is the result: it says more than any of the times. The order of the
contenders rotates, the first round is not counted, and the garbage collector rests while the clock runs.
"""

from __future__ import annotations

import gc
import os
import platform
import timeit
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter_ns, thread_time_ns
from typing import Any

import recordlayer

Timer = Callable[[], int]  # nanoseconds
WALL: Timer = perf_counter_ns
CPU: Timer = thread_time_ns

UNITS: Mapping[str, float] = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}  # nanoseconds in each


def _silent(text: str) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a bench is told.

    quick   a short form, for a look or a build machine
    large   the largest form of a bench that has one: minutes, and room on the disk
    engine  the URL of an engine that it runs on, None for the one it runs on usually
    say     where progress goes
    """

    quick: bool = False
    large: bool = False
    engine: str | None = None
    say: Callable[[str], None] = _silent

    @property
    def rounds(self) -> int:
        """Rounds that count."""
        return 7 if self.quick else 21


class CannotRun(Exception):
    """What a bench needs is not there; the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to do the job.

    `run` does it `operations` times; only it is timed. `prepare`, called before each round, makes every round start
    from the same state.
    """

    run: Callable[[], object]
    operations: int = 1
    prepare: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ops:
    """What one operation of ours costs the engine: the numbers that do not depend on the machine."""

    reads: float = 0
    writes: float = 0
    round_trips: float = 0


@dataclass(frozen=True, slots=True)
class Spread:
    """Times of one operation over all rounds, in the unit of the case."""

    median: float
    min: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One job measured. `ratio` and `target` are ours divided by the peer's: below 1 we are faster."""

    case: str
    unit: str
    ours: Spread
    peers: Mapping[str, Spread]
    ratio: Mapping[str, float]
    target: Mapping[str, float]
    ops: Ops

    @property
    def missed(self) -> dict[str, float]:
        """The targets that were not reached, by peer."""
        return {peer: target for peer, target in self.target.items() if self.ratio[peer] > target}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a bench found out. `engine`: the URL scheme of what ours ran on, None when no engine is involved."""

    bench: str
    cases: tuple[Case, ...]
    engine: str | None = None
    machine: Mapping[str, object] = field(default_factory=lambda: machine())


def compare(
    case: str,
    *,
    ours: Contender,
    peers: Mapping[str, Contender],
    settings: Settings,
    unit: str = "us",
    target: Mapping[str, float] | None = None,
    ops: Ops | None = None,
    timer: Timer = WALL,
) -> Case:
    """Measure ours and every peer in `settings.rounds` rounds.

    `unit` is one of UNITS, for the time of one operation. A peer without a target is measured and judged by nobody.
    `timer`: WALL, or CPU for jobs that wait for nothing: it counts only what this thread computes, so that other
    programs on the machine hardly disturb it.
    """
    target = dict(target or {})
    if unknown := set(target) - set(peers):
        raise ValueError(f"{case}: a target for {', '.join(sorted(unknown))}, which is not among the peers")
    scale = UNITS[unit]
    settings.say(case)
    contenders = [ours, *peers.values()]
    times: list[list[float]] = [[] for _ in contenders]
    for number in range(-1, settings.rounds):
        gc.collect()
        for turn in range(len(contenders)):
            place = (turn + number) % len(contenders)
            took = _timed(contenders[place], timer)
            if number >= 0:
                times[place].append(took / scale)
    spreads = [Spread(median(row), min(row), max(row)) for row in times]
    ratios = [median(a / b for a, b in zip(times[0], row, strict=True)) for row in times[1:]]
    return Case(
        case=case,
        unit=unit,
        ours=spreads[0],
        peers=dict(zip(peers, spreads[1:], strict=True)),
        ratio=dict(zip(peers, ratios, strict=True)),
        target=target,
        ops=ops or Ops(),
    )


def _timed(contender: Contender, timer: Timer) -> float:
    """Nanoseconds per operation."""
    if contender.prepare is not None:
        contender.prepare()
    collecting = gc.isenabled()
    gc.disable()
    try:
        begin = timer()
        contender.run()
        return (timer() - begin) / contender.operations
    finally:
        if collecting:
            gc.enable()


def statement(source: str, names: Mapping[str, Any], *, operations: int, times: int) -> Contender:
    """A statement of Python, run `times` times in a loop without a call around it; each does `operations`."""
    timer = timeit.Timer(source, globals=dict(names))
    return Contender(run=lambda: timer.timeit(times), operations=operations * times)


def bound(case: str, unit: str, value: float, most: float) -> Case:
    """What is no time but a size, against what it may be at most."""
    return Case(
        case=case,
        unit=unit,
        ours=Spread(value, value, value),
        peers={"at most": Spread(most, most, most)},
        ratio={"at most": value / most},
        target={"at most": 1.0},
        ops=Ops(),
    )


def memory() -> float:
    """MiB of memory that this process has for itself: pages of files that are mapped do not count."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0


def machine() -> dict[str, object]:
    """Where this ran: enough to tell two results apart."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiled": recordlayer.__compiled__,
    }
