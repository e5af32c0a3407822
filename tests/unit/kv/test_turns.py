"""Turns: changes of one record side by side happen one after the other, in the order in which they were begun."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer.kv.context import Context
from recordlayer.kv.registry import open_engine
from recordlayer.kv.turns import Turns
from recordlayer.store.check import check
from recordlayer.store.open import open_store, store_prefix
from recordlayer.store.store import RecordStore
from recordlayer.testing.shuffle import Shuffle
from recordlayer.waiting.drivers import run_asyncio, run_blocking
from recordlayer.waiting.waitable import Ready
from tests.support.shop import PATH, SHOP, Order


@settings(max_examples=50)
@given(seed=st.integers(0, 1 << 32), changes=st.lists(st.sampled_from(["ana", "bo", "zoe", None]), max_size=6))
def test_saves_and_deletes_of_one_record_side_by_side_leave_a_store_without_findings(
    seed: int, changes: list[str | None]
) -> None:
    shuffle = Shuffle(random.Random(seed))
    engine = open_engine("memory:", world=shuffle.world)
    order: list[str | None] = []

    async def work() -> None:
        context = Context(shuffle.engine(engine).begin(), world=shuffle.world)
        store = await open_store(context, SHOP, store_prefix(PATH))

        async def change(customer: str | None) -> None:
            if customer is None:
                await store.delete(1)
            else:
                await store.save(Order(id=1, customer=customer, total=len(customer)))
            order.append(customer)

        async def another() -> None:
            await store.save(Order(id=2, customer="ana"))

        stores.append(store)
        running.extend([*(change(customer) for customer in changes), another()])

    stores: list[RecordStore] = []
    running: list[Awaitable[None]] = []
    try:
        shuffle.drive(work())
        shuffle.run(*running)
        store = stores[0]
        assert shuffle.drive(check(store)) == []
        left = shuffle.drive(store.load(1))
        assert (None if left is None else left.message.customer) == (order[-1] if order else None)
        assert shuffle.drive(store.aggregate("orders_per_customer", ())) == 1 + (left is not None)
    finally:
        engine.close()


@given(randoms=st.randoms(use_true_random=False), count=st.integers(1, 8))
def test_one_at_a_time_in_the_order_of_asking(randoms: random.Random, count: int) -> None:
    shuffle = Shuffle(randoms)
    turns = Turns()
    asked: list[int] = []
    held: list[int] = []

    async def hold(number: int) -> None:
        await shuffle.hold("before", lambda: Ready(None))
        asked.append(number)
        if not turns.take(b"k"):
            await turns.wait(b"k")
        held.append(number)
        await shuffle.hold("inside", lambda: Ready(None))
        assert held[-1] == number, "somebody else came in"
        turns.leave(b"k")

    shuffle.run(*(hold(number) for number in range(count)))
    assert held == asked
    assert turns.take(b"k"), "nobody holds it any more"


def test_who_comes_first_is_served_first_and_others_are_not_kept_waiting() -> None:
    turns = Turns()
    told = []

    async def everybody() -> None:
        await asyncio.gather(work(b"k", "one"), work(b"k", "two"), work(b"other", "three"))

    async def work(key: bytes, name: str) -> None:
        if not turns.take(key):
            await run_asyncio(turns.wait(key))
        try:
            told.append(f"{name} begins")
            await asyncio.sleep(0.01)
            told.append(f"{name} ends")
        finally:
            turns.leave(key)

    asyncio.run(everybody())
    assert told.index("one ends") < told.index("two begins")
    assert told.index("three begins") < told.index("one ends")
    assert turns.take(b"k")


def test_who_gives_up_while_waiting_leaves_the_line() -> None:
    async def everybody() -> None:
        turns = Turns()
        assert turns.take(b"k")
        second = asyncio.ensure_future(run_asyncio(turns.wait(b"k")))
        third = asyncio.ensure_future(run_asyncio(turns.wait(b"k")))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        turns.leave(b"k")
        await third
        turns.leave(b"k")
        assert turns.take(b"k"), "nobody holds it any more"

    asyncio.run(everybody())


def test_a_turn_that_was_handed_over_to_someone_who_gave_up_goes_to_the_next() -> None:
    async def everybody() -> None:
        turns = Turns()
        assert turns.take(b"k")
        second = asyncio.ensure_future(run_asyncio(turns.wait(b"k")))
        third = asyncio.ensure_future(run_asyncio(turns.wait(b"k")))
        await asyncio.sleep(0)
        turns.leave(b"k")  # to the second, who is cancelled before it notices
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        await asyncio.wait_for(third, 5)

    asyncio.run(everybody())


def test_blocking_callers_never_wait() -> None:
    async def alone() -> bool:
        turns = Turns()
        for _ in range(3):
            assert turns.take(b"k")
            await Ready(None)
            turns.leave(b"k")
        return True

    assert run_blocking(alone())


@given(randoms=st.randoms(use_true_random=False), holders=st.integers(0, 4), waiters=st.integers(1, 3))
def test_whoever_waits_for_quiet_finds_nobody_at_work_and_holds_up_nobody(
    randoms: random.Random, holders: int, waiters: int
) -> None:
    shuffle = Shuffle(randoms)
    turns = Turns()
    at_work = 0

    async def hold(number: int) -> None:
        nonlocal at_work
        key = b"k%d" % (number % 2)
        if not turns.take(key):
            await turns.wait(key)
        at_work += 1
        await shuffle.hold("inside", lambda: Ready(None))
        at_work -= 1
        turns.leave(key)

    async def wait() -> None:
        await turns.quiet(b"k")
        assert at_work == 0

    assert turns.take(b"other"), "what is elsewhere does not matter"
    shuffle.run(*(hold(number) for number in range(holders)), *(wait() for _ in range(waiters)))
