"""Admission: places, order, who is sent away, and what comes back when the loop is calm."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest

from recordlayer.errors import Overloaded
from recordlayer_server.operation.admission import Admission, Priority

INTERACTIVE, BATCH = Priority.INTERACTIVE, Priority.BATCH


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario

    asyncio.run(bounded())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Callers:
    """Calls that hold their place until they are let go."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.begun: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.let_go: dict[str, asyncio.Event] = {}

    async def call(
        self, name: str, priority: Priority = INTERACTIVE, time_left: float | None = None, tenant: str | None = None
    ) -> None:
        self.let_go[name] = asyncio.Event()

        async def hold() -> None:
            async with self.admission.place(priority, time_left=time_left, tenant=tenant):
                self.begun.append(name)
                await self.let_go[name].wait()

        self.tasks[name] = asyncio.create_task(hold())
        await settle()

    async def end(self, name: str) -> None:
        self.let_go[name].set()
        await self.tasks[name]
        await settle()

    async def end_all(self) -> None:
        for event in self.let_go.values():
            event.set()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        assert (self.admission.running, self.admission.waiting) == (0, 0)


def test_calls_wait_for_a_place_in_their_order() -> None:
    async def scenario() -> None:
        callers = Callers(Admission(most=2, queue=10))
        for name in "abcd":
            await callers.call(name)
        assert callers.begun == ["a", "b"]
        await callers.end("b")
        assert callers.begun == ["a", "b", "c"]
        await callers.end_all()
        assert callers.begun == ["a", "b", "c", "d"]

    run(scenario())


def test_interactive_calls_go_before_batches_which_have_half_of_the_places() -> None:
    async def scenario() -> None:
        callers = Callers(Admission(most=4, queue=10))
        for name in ("b1", "b2", "b3"):
            await callers.call(name, BATCH)
        assert callers.begun == ["b1", "b2"]
        for name in ("i1", "i2", "i3"):
            await callers.call(name)
        assert callers.begun == ["b1", "b2", "i1", "i2"], "b3 does not hold up those who may"
        await callers.end("b1")
        assert callers.begun[-1] == "i3", "it came last, and goes first"
        await callers.end("i1")
        assert callers.begun[-1] == "b3"
        await callers.end_all()

    run(scenario())


def test_a_full_queue_sends_away_and_a_batch_makes_room_for_the_interactive() -> None:
    async def scenario() -> None:
        callers = Callers(Admission(most=1, queue=2))
        await callers.call("running")
        await callers.call("first")
        await callers.call("batch", BATCH)
        with pytest.raises(Overloaded) as caught:
            async with callers.admission.place(BATCH, time_left=None):
                pass
        assert caught.value.fields["why"] == "too many wait already"
        assert caught.value.fields["retry_after"].total_seconds() > 0
        await callers.call("second")
        assert callers.tasks["batch"].done()
        with pytest.raises(Overloaded):
            await callers.tasks["batch"]
        with pytest.raises(Overloaded):
            async with callers.admission.place(INTERACTIVE, time_left=None):
                pass
        await callers.end("running")
        await callers.end("first")
        assert callers.begun == ["running", "first", "second"]
        await callers.end_all()

    run(scenario())


def test_tenants_take_turns_and_a_flood_of_one_waits_behind_itself() -> None:
    async def scenario() -> None:
        callers = Callers(Admission(most=1, queue=100))
        for number in range(20):
            await callers.call(f"greedy {number}", tenant="greedy")
        for name in ("ana 1", "ana 2", "bo 1"):
            await callers.call(name, tenant=name.split()[0])
        for _ in range(8):
            await callers.end(callers.begun[-1])
        assert callers.begun == [
            *("greedy 0", "greedy 1", "ana 1", "bo 1", "greedy 2", "ana 2", "greedy 3", "greedy 4", "greedy 5")
        ]
        await callers.end_all()
        assert len(callers.begun) == 23

    run(scenario())


def test_a_full_queue_sends_one_of_the_tenant_away_that_has_the_most_there() -> None:
    async def scenario() -> None:
        callers = Callers(Admission(most=1, queue=4))
        for number in range(5):
            await callers.call(f"greedy {number}", tenant="greedy")
        with pytest.raises(Overloaded):
            async with callers.admission.place(INTERACTIVE, time_left=None, tenant="greedy"):
                pass
        await callers.call("ana", tenant="ana")
        with pytest.raises(Overloaded) as caught:
            await callers.tasks["greedy 4"]
        assert caught.value.fields["why"] == "too many of its database wait already"
        # One that leaves in the moment in which it would be sent away has made room all the same.
        callers.tasks["greedy 3"].cancel()
        bo = callers.admission.enter(INTERACTIVE, time_left=None, tenant="bo")
        bo.send(None)
        assert callers.admission.waiting == 4
        bo.close()
        await settle()
        assert callers.tasks["greedy 3"].cancelled()
        await callers.call("bo", tenant="bo")
        with pytest.raises(Overloaded, match="too many wait already"):
            async with callers.admission.place(INTERACTIVE, time_left=None, tenant="ana"):
                pass
        for _ in range(4):
            await callers.end(callers.begun[-1])
        assert callers.begun == ["greedy 0", "greedy 1", "ana", "bo", "greedy 2"]
        await callers.end_all()

    run(scenario())


def test_how_long_a_call_waits_depends_on_those_of_its_own_tenant() -> None:
    async def scenario() -> None:
        now = 0.0
        callers = Callers(Admission(most=1, queue=100, clock=lambda: now))
        await callers.call("long")
        now = 2.0
        await callers.end("long")
        await callers.call("running")
        for number in range(10):
            await callers.call(f"greedy {number}", tenant="greedy")
        with pytest.raises(Overloaded):
            async with callers.admission.place(INTERACTIVE, time_left=20.0, tenant="greedy"):
                pass
        await callers.call("ana", tenant="ana", time_left=7.0)
        assert callers.admission.waiting == 11
        await callers.end_all()

    run(scenario())


def test_a_call_that_cannot_be_done_in_time_is_not_begun() -> None:
    async def scenario() -> None:
        now = 0.0
        callers = Callers(Admission(most=1, queue=10, clock=lambda: now))
        await callers.call("long")
        now = 2.0
        await callers.end("long")
        await callers.call("running")
        with pytest.raises(Overloaded) as caught:
            async with callers.admission.place(INTERACTIVE, time_left=3.0):
                pass
        assert caught.value.fields["why"] == "its deadline is nearer than its turn"
        await callers.call("patient", time_left=5.0)
        assert callers.admission.waiting == 1
        await callers.end_all()

    run(scenario())


def test_a_caller_who_leaves_gives_back_what_it_had() -> None:
    async def scenario() -> None:
        callers = Callers(Admission(most=1, queue=10))
        await callers.call("running")
        await callers.call("leaves")
        await callers.call("next")
        callers.tasks["leaves"].cancel()
        await settle()
        assert callers.admission.waiting == 1
        # The turn comes, and in the same moment the caller leaves.
        callers.let_go["running"].set()
        await asyncio.sleep(0)
        callers.tasks["next"].cancel()
        await settle()
        await callers.call("last")
        assert "last" in callers.begun
        await callers.end_all()

    run(scenario())


def test_fewer_calls_run_while_the_loop_lags_and_more_again_when_it_is_calm() -> None:
    async def scenario() -> None:
        callers = Callers(Admission(most=8, queue=20))
        for _ in range(5):
            callers.admission.lagged(0.5)
        assert callers.admission.limit == 4
        for name in "abcdef":
            await callers.call(name)
        assert len(callers.begun) == 4
        callers.admission.lagged(0.05)
        assert callers.admission.limit == 4
        callers.admission.lagged(0.001)
        await settle()
        assert len(callers.begun) == 5
        await callers.end_all()

    run(scenario())


def test_places_are_never_lost_whoever_comes_and_goes() -> None:
    """Random arrivals, ends and cancellations: afterwards all places are free."""

    async def scenario(seed: int) -> None:
        import random

        chance = random.Random(seed)
        admission = Admission(most=3, queue=6)
        most = 0

        async def one() -> None:
            nonlocal most
            try:
                priority, tenant = chance.choice([INTERACTIVE, BATCH]), chance.choice("abc")
                async with admission.place(priority, time_left=None, tenant=tenant):
                    most = max(most, admission.running)
                    for _ in range(chance.randrange(4)):
                        await asyncio.sleep(0)
            except Overloaded:
                pass

        tasks: list[asyncio.Task[None]] = []
        for _ in range(300):
            tasks.append(asyncio.create_task(one()))
            if chance.random() < 0.5:
                chance.choice(tasks).cancel()
            if chance.random() < 0.5:
                await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (admission.running, admission.waiting) == (0, 0)
        assert most <= 3
        async with AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(admission.place(INTERACTIVE, time_left=None))

    for seed in range(20):
        run(scenario(seed))
