"""Many things at once: gather and pipelines, with what they promise about order, errors, clean-up and cost."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import Closed, Conflict, ForeignAwaitable, UsageError
from recordlayer.testing.clock import ManualClock
from recordlayer.testing.shuffle import Shuffle
from recordlayer.waiting.drivers import run_asyncio, run_blocking
from recordlayer.waiting.overlap import END, Group, gather, pipelined
from recordlayer.waiting.timer import sleep
from recordlayer.waiting.waitable import Failed, Promise, Ready, Waitable
from tests.unit.waiting.driving import Counted, Drive, both_drivers


class Log:
    """Core coroutines that note what happens to them."""

    def __init__(self) -> None:
        self.cleaned: list[str] = []

    async def wait(self, name: str, waitable: Waitable[Any], *, closing: BaseException | None = None) -> Any:
        try:
            return await waitable
        finally:
            self.cleaned.append(name)
            if closing is not None:
                raise closing


async def give(value: int) -> int:
    return await Ready(value)


# -- gather ------------------------------------------------------------------------------------------------


@both_drivers
def test_gathering_nothing_waits_for_nothing(drive: Drive[Any]) -> None:
    assert drive(gather()) == []


@both_drivers
def test_results_come_in_the_order_of_the_arguments(drive: Drive[Any]) -> None:
    promises: list[Promise[int]] = [Promise() for _ in range(5)]

    async def settle_in_reverse() -> int:
        for number in (4, 2, 3, 1, 0):
            promises[number].resolve(number)
        return 5

    log = Log()
    members = [log.wait(str(number), promise) for number, promise in enumerate(promises)]
    assert drive(gather(*members, settle_in_reverse())) == [0, 1, 2, 3, 4, 5]
    assert log.cleaned == ["4", "2", "3", "1", "0"], "members go on in the order in which what they wait for is ready"


@both_drivers
def test_waitables_can_be_gathered_as_they_are(drive: Drive[Any]) -> None:
    promise: Promise[int] = Promise()
    promise.resolve(2)
    assert drive(gather(Ready(1), promise, give(3))) == [1, 2, 3]


@both_drivers
def test_ten_waits_of_fifty_milliseconds_take_as_long_as_one(drive: Drive[Any]) -> None:
    clock = ManualClock()
    world = clock.world()

    async def nap(number: int) -> int:
        await sleep(0.05, world)
        return number

    async def ten() -> list[int]:
        return await gather(*(nap(number) for number in range(10)))

    results: list[list[int]] = []
    sleeper = threading.Thread(target=lambda: results.append(drive(ten())))
    sleeper.start()
    clock.wait_for_sleepers(10)
    clock.advance(0.05)
    sleeper.join(timeout=30)
    assert results == [list(range(10))]


def settling(promises: list[Counted[int]], order: list[int]) -> threading.Thread:
    """A thread that settles the promises in this order, once somebody waits for all of them."""

    def settle() -> None:
        while not promises[-1].registrations:
            time.sleep(0.001)
        for number in order:
            promises[number].resolve(number)

    thread = threading.Thread(target=settle, daemon=True)
    thread.start()
    return thread


@both_drivers
def test_ten_thousand_members_register_once_each_however_often_the_group_wakes(drive: Drive[Any]) -> None:
    promises: list[Counted[int]] = [Counted() for _ in range(10_000)]
    order = list(range(10_000))
    random.Random(1).shuffle(order)
    log = Log()
    thread = settling(promises, order)
    assert drive(gather(*(log.wait("", promise) for promise in promises))) == list(range(10_000))
    thread.join()
    assert {promise.registrations for promise in promises} == {1}


@both_drivers
def test_groups_in_groups_register_with_each_leaf_once(drive: Drive[Any]) -> None:
    promises: list[Counted[int]] = [Counted() for _ in range(600)]

    async def tree(leaves: list[Counted[int]]) -> int:
        if len(leaves) == 1:
            return await leaves[0]
        third = max(1, len(leaves) // 3)
        return sum(await gather(*(tree(leaves[at : at + third]) for at in range(0, len(leaves), third))))

    thread = settling(promises, list(range(600)))
    assert drive(tree(promises)) == sum(range(600))
    thread.join()
    assert {promise.registrations for promise in promises} == {1}


@both_drivers
def test_the_first_error_closes_the_others_and_is_raised(drive: Drive[Any]) -> None:
    log = Log()
    waiting: list[Counted[int]] = [Counted(), Counted()]
    bare: Counted[int] = Counted()
    failing: Promise[int] = Promise()

    async def fail() -> int:
        failing.fail(Conflict(key=b"k"))
        return 1

    with pytest.raises(Conflict) as raised:
        drive(
            gather(
                log.wait("a", waiting[0]),
                log.wait("failing", failing),
                log.wait("b", waiting[1]),
                bare,
                give(1),
                fail(),
            )
        )
    assert log.cleaned == ["failing", "a", "b"]
    assert [promise.cancelled for promise in (*waiting, bare)] == [True, True, True]
    assert not hasattr(raised.value, "__notes__")


@both_drivers
def test_members_that_were_not_started_are_closed_too(drive: Drive[Any]) -> None:
    never: Counted[int] = Counted()
    log = Log()
    with pytest.raises(KeyError):
        drive(gather(Failed(KeyError("at once")), log.wait("never started", Ready(1)), never))
    assert log.cleaned == []
    assert never.cancelled


@both_drivers
def test_errors_raised_while_closing_become_notes(drive: Drive[Any]) -> None:
    log = Log()
    members = [
        log.wait("a", Promise(), closing=ValueError("a will not close")),
        log.wait("b", Promise(), closing=OSError("nor will b")),
        Failed(KeyError("first")),
    ]
    with pytest.raises(KeyError, match="first") as raised:
        drive(gather(*members))
    assert log.cleaned == ["a", "b"]
    notes = "\n".join(raised.value.__notes__)
    assert "a will not close" in notes
    assert "nor will b" in notes


@both_drivers
def test_a_foreign_awaitable_is_an_error_of_the_member_that_awaits_it(drive: Drive[Any]) -> None:
    async def foreign() -> str:
        try:
            await asyncio.sleep(0)
        except ForeignAwaitable:
            return "told"
        return "not told"

    assert drive(gather(foreign(), give(1))) == ["told", 1]


def test_an_interrupt_closes_every_member_and_cancels_what_it_waits_for() -> None:
    log = Log()
    promises: list[Counted[int]] = [Counted() for _ in range(3)]

    async def main() -> None:
        task = asyncio.create_task(
            run_asyncio(gather(*(log.wait(str(number), promise) for number, promise in enumerate(promises))))
        )
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log.cleaned == ["0", "1", "2"]
    assert all(promise.cancelled for promise in promises)


@both_drivers
def test_an_interrupt_that_a_member_meets_ends_the_whole_group(drive: Drive[Any]) -> None:
    log = Log()
    with pytest.raises(KeyboardInterrupt):
        drive(gather(log.wait("a", Promise()), Failed(KeyboardInterrupt())))
    assert log.cleaned == ["a"]


def test_closing_a_group_raises_the_first_error_with_the_others_as_notes() -> None:
    log = Log()
    group = Group()
    group.add(log.wait("a", Promise(), closing=ValueError("first")))
    group.add(log.wait("b", Promise(), closing=OSError("second")))
    with pytest.raises(ValueError, match="first") as raised:
        group.close()
    assert "second" in raised.value.__notes__[0]
    group.close()
    assert log.cleaned == ["a", "b"]


def test_a_late_wake_from_what_a_member_was_thrown_out_of_does_not_step_it() -> None:
    given_up: Promise[None] = Promise()
    next_wait: Counted[str] = Counted()

    async def go_on() -> str:
        try:
            await given_up
        except TimeoutError:
            pass
        return await next_wait

    group = Group()
    member = group.add(go_on())
    group.throw(member, TimeoutError())
    given_up.resolve(None)
    assert group.due == 0
    next_wait.resolve("done")
    group.step()
    assert member.outcome() == "done"
    assert next_wait.registrations == 1


# -- pipelines ---------------------------------------------------------------------------------------------


async def drained(pipeline: Any) -> list[Any]:
    results = []
    while (result := await pipeline.next()) is not END:
        results.append(result)
    assert await pipeline.next() is END, "the end stays the end"
    return results


class Numbers:
    """A source that has to wait for some of its numbers."""

    def __init__(self, count: int, hold: Callable[[int], Waitable[int]], error: BaseException | None = None) -> None:
        self.count = count
        self.given = 0
        self.hold = hold
        self.error = error

    async def next(self) -> Any:
        if self.given == self.count:
            if self.error is not None:
                raise self.error
            return END
        self.given += 1
        return await self.hold(self.given - 1)


@given(
    randoms=st.randoms(use_true_random=False),
    count=st.integers(0, 20),
    window=st.integers(1, 6),
    waits=st.integers(0, 2),
)
def test_results_keep_the_order_of_the_source_in_whatever_order_they_are_ready(
    randoms: random.Random, count: int, window: int, waits: int
) -> None:
    shuffle = Shuffle(randoms)
    under_way = most = 0

    async def square(number: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(waits):
            await shuffle.hold("read", lambda: Ready(None))
        under_way -= 1
        return number * number

    source = Numbers(count, lambda number: shuffle.hold("pull", lambda: Ready(number)))
    assert shuffle.drive(drained(pipelined(source, square, window=window))) == [n * n for n in range(count)]
    assert most <= window


@both_drivers
def test_the_window_is_full_before_the_first_result_is_there(drive: Drive[Any]) -> None:
    promises: list[Promise[int]] = [Promise() for _ in range(10)]
    started: list[int] = []

    def start(number: int) -> Awaitable[int]:
        started.append(number)
        if len(started) == 4:
            promises[0].resolve(0)
        return promises[number]

    async def first_two() -> list[object]:
        pipeline = pipelined(range(10), start, window=4)
        assert started == [], "nothing begins before the first next"
        first = await pipeline.next()
        assert started == [0, 1, 2, 3]
        promises[1].resolve(1)
        second = await pipeline.next()
        assert started == [0, 1, 2, 3, 4]
        pipeline.close()
        return [first, second]

    assert drive(first_two()) == [0, 1]


@both_drivers
def test_pipelines_are_sources_of_pipelines(drive: Drive[Any]) -> None:
    async def add(number: int) -> int:
        return await Ready(number + 1)

    inner = pipelined(range(50), add, window=3)
    assert drive(drained(pipelined(inner, lambda number: Ready(number * 2), window=7))) == [
        (number + 1) * 2 for number in range(50)
    ]


@both_drivers
def test_an_error_is_raised_behind_the_results_before_it_and_closes_the_rest(drive: Drive[Any]) -> None:
    log = Log()
    promises: dict[int, Counted[str]] = {number: Counted() for number in range(5)}

    def start(number: int) -> Coroutine[Any, None, Any]:
        if number == 4:  # all are under way: the third fails before the first is there
            promises[2].fail(Conflict())
            promises[1].resolve("one")
            promises[0].resolve("zero")
        return log.wait(str(number), promises[number])

    async def consume() -> list[object]:
        pipeline = pipelined(range(5), start, window=5)
        seen: list[object] = [await pipeline.next(), await pipeline.next()]
        with pytest.raises(Conflict):
            await pipeline.next()
        with pytest.raises(Closed):
            await pipeline.next()
        return seen

    assert drive(consume()) == ["zero", "one"]
    assert sorted(log.cleaned) == ["0", "1", "2", "3", "4"]
    assert promises[3].cancelled
    assert promises[4].cancelled


@both_drivers
def test_an_error_of_the_source_is_raised_behind_the_results_of_its_items(drive: Drive[Any]) -> None:
    async def consume() -> list[object]:
        pipeline = pipelined(Numbers(3, Ready, KeyError("source")), give, window=10)
        seen: list[object] = [await pipeline.next() for _ in range(3)]
        with pytest.raises(KeyError, match="source"):
            await pipeline.next()
        return seen

    assert drive(consume()) == [0, 1, 2]


@both_drivers
def test_an_interrupt_does_not_wait_for_its_turn(drive: Drive[Any]) -> None:
    log = Log()

    async def consume() -> None:
        pipeline = pipelined(
            [Promise(), Failed(KeyboardInterrupt())], lambda waitable: log.wait("closed", waitable), window=2
        )
        await pipeline.next()

    with pytest.raises(KeyboardInterrupt):
        drive(consume())
    assert log.cleaned == ["closed", "closed"]


def test_closing_cancels_what_is_under_way_and_may_be_done_again() -> None:
    promises: list[Counted[int]] = [Counted(), Counted(), Counted()]
    pipeline = pipelined(promises, lambda promise: promise, window=2)
    core = pipeline.next()
    core.send(None)
    core.close()
    pipeline.close()
    assert [promise.cancelled for promise in promises] == [True, True, False]
    with pytest.raises(Closed):
        run_blocking(pipeline.next())


@pytest.mark.parametrize("window", [0, -3])
def test_a_window_without_room_is_refused(window: int) -> None:
    with pytest.raises(UsageError, match="window"):
        pipelined([1], give, window=window)
