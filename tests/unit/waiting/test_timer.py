"""Timers and deadlines by the clock of the world."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from typing import Any

import pytest

from recordlayer import world as world_module
from recordlayer.errors import EngineUnavailable, TimedOut
from recordlayer.testing.clock import ManualClock
from recordlayer.testing.shuffle import Shuffle
from recordlayer.waiting.drivers import run_blocking
from recordlayer.waiting.overlap import gather
from recordlayer.waiting.timer import deadline, sleep
from recordlayer.waiting.waitable import Ready, Waitable
from recordlayer.world import World
from tests.unit.waiting.driving import Counted, Drive, both_drivers


def test_a_sleeper_is_ready_when_its_clock_says_so() -> None:
    clock = ManualClock()
    timer = sleep(2.0, clock.world())
    clock.advance(1.999)
    assert not timer.ready()
    clock.advance(0.001)
    assert timer.ready()
    assert sleep(0, clock.world()).ready()
    assert sleep(-1, clock.world()).ready()


def test_a_cancelled_sleeper_takes_its_alarm_back() -> None:
    clock = ManualClock()
    timer = sleep(2.0, clock.world())
    assert clock.sleepers == 1
    timer.cancel()
    assert clock.sleepers == 0


@both_drivers
def test_the_machines_clock_wakes_sleepers_in_the_order_of_their_times(drive: Drive[Any]) -> None:
    world = World()
    order: list[int] = []

    async def nap(milliseconds: int) -> None:
        await sleep(milliseconds / 1000, world)
        order.append(milliseconds)

    drive(gather(nap(45), nap(5), nap(25)))
    assert order == [5, 25, 45]


def test_an_alarm_that_raises_is_told_and_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: told.append(arguments.exc_type))
    world = World()

    def mistake() -> None:
        raise ZeroDivisionError

    world.clock.call_later(0.001, mistake)

    async def nap() -> None:
        await sleep(0.02, world)

    run_blocking(nap())
    assert told == [ZeroDivisionError]


def test_cancelled_alarms_do_not_pile_up() -> None:
    world = World()
    for _ in range(5_000):
        world.clock.call_later(3_600, print)()
    assert len(world_module._ALARMS._heap) < 2 * world_module._SystemAlarms._SWEEP


FORK = """
import os
from recordlayer.waiting.drivers import run_blocking
from recordlayer.waiting.timer import sleep
from recordlayer.world import World

async def nap():
    await sleep(0.01, World())

run_blocking(nap())
child = os.fork()
if child == 0:
    run_blocking(nap())
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_has_timers_of_its_own() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.stdout == "7\n", done.stderr


# -- deadlines ---------------------------------------------------------------------------------------------


async def wait(waitable: Waitable[Any], log: list[str]) -> Any:
    try:
        return await waitable
    finally:
        log.append("finally")


def test_a_body_in_time_gives_its_result_and_takes_the_alarm_back() -> None:
    shuffle = Shuffle(random.Random(0))

    async def two_waits() -> int:
        await sleep(1, shuffle.world)
        await sleep(1, shuffle.world)
        return 5

    assert shuffle.drive(deadline(two_waits(), 3, shuffle.world)) == 5
    assert shuffle.clock.sleepers == 0
    assert shuffle.drive(deadline(Ready(6), 3, shuffle.world)) == 6
    assert shuffle.clock.sleepers == 0


def test_a_body_that_is_late_is_cancelled_with_every_finally() -> None:
    shuffle = Shuffle(random.Random(0))
    log: list[str] = []
    never: Counted[None] = Counted()
    with pytest.raises(TimedOut):
        shuffle.drive(deadline(wait(never, log), 3, shuffle.world))
    assert log == ["finally"]
    assert never.cancelled
    assert shuffle.clock.monotonic() == 1_003.0
    assert shuffle.clock.sleepers == 0


@both_drivers
def test_a_deadline_holds_under_both_drivers_by_the_machines_clock(drive: Drive[Any]) -> None:
    log: list[str] = []
    with pytest.raises(EngineUnavailable):
        drive(deadline(wait(Counted(), log), 0.005, World(), error=lambda: EngineUnavailable(url="fdb:")))
    assert log == ["finally"]


def test_a_body_that_handles_the_error_goes_on_without_a_deadline() -> None:
    shuffle = Shuffle(random.Random(0))

    async def stubborn() -> str:
        try:
            await Counted()
        except TimedOut:
            await sleep(100, shuffle.world)
        return "went on"

    assert shuffle.drive(deadline(stubborn(), 3, shuffle.world)) == "went on"
    assert shuffle.clock.monotonic() == 1_103.0


def test_the_inner_of_two_deadlines_may_be_the_later_one() -> None:
    shuffle = Shuffle(random.Random(0))
    log: list[str] = []
    with pytest.raises(EngineUnavailable):
        shuffle.drive(
            deadline(deadline(wait(Counted(), log), 10, shuffle.world), 3, shuffle.world, error=EngineUnavailable)
        )
    assert log == ["finally"]
    assert shuffle.clock.sleepers == 0


def test_an_error_of_the_body_comes_out_and_takes_the_alarm_back() -> None:
    shuffle = Shuffle(random.Random(0))

    async def fail() -> None:
        await sleep(1, shuffle.world)
        raise KeyError("body")

    with pytest.raises(KeyError, match="body"):
        shuffle.drive(deadline(fail(), 3, shuffle.world))
    assert shuffle.clock.sleepers == 0
