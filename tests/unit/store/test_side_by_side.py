"""All that changes records, side by side in one transaction, in drawn orders: what is left agrees, and nobody waits
for ever."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import field
from recordlayer.errors import UniquenessViolation
from recordlayer.kv.context import Context
from recordlayer.kv.registry import open_engine
from recordlayer.store import batch
from recordlayer.store.check import check
from recordlayer.store.delete_where import delete_where
from recordlayer.store.open import open_store, store_prefix
from recordlayer.store.store import RecordStore
from recordlayer.testing.shuffle import Shuffle
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_asyncio
from recordlayer.world import World
from tests.support.shop import FILE, PATH, Customer, Order

METADATA = (
    rl.RecordMetaDataBuilder(FILE)
    .primary_key("Order", rl.concat(rl.record_type(), "customer", "id"))
    .primary_key("Customer", rl.concat(rl.record_type(), "ref"))
    .index("Order", "by_total", rl.concat("customer", "total"))
    .index("Order", "orders", rl.count(group_by=field("customer")))
    .index("Customer", "by_name", field("name"), unique=True)
    .record_count_key(rl.record_type())
    .split_long_records(True)
    .build()
)
ORDER, CUSTOMER = (METADATA.record_type(name).record_type_key for name in ("Order", "Customer"))

NAMES = st.sampled_from("ab")
RECORDS = st.one_of(
    st.tuples(st.just("order"), NAMES, st.integers(1, 2), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("customer"), NAMES, NAMES),
)


def made(record: Any) -> Any:
    """A record as it is drawn, as a message. (Hypothesis would print long messages whole.)"""
    if record[0] == "customer":
        return Customer(ref=record[1], name=record[2])
    _, name, number, total, is_long = record
    return Order(customer=name, id=number, total=total, body=bytes(100_000) if is_long else b"")


KEYS = st.one_of(st.tuples(st.just(ORDER), NAMES, st.integers(1, 2)), st.tuples(st.just(CUSTOMER), NAMES))
STEPS = st.one_of(
    st.tuples(st.just("save"), RECORDS),
    st.tuples(st.just("save_many"), st.lists(RECORDS, max_size=4)),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("delete_many"), st.lists(KEYS, max_size=3)),
    st.tuples(st.just("preload"), st.lists(KEYS, max_size=3)),
    st.tuples(st.just("load"), KEYS),
    st.tuples(st.sampled_from(["delete_all", "delete_orders", "delete_customers"]), st.just(None)),
)


async def take(store: RecordStore, step: str, what: Any) -> None:
    if step == "save":
        await store.save(made(what))
    elif step == "save_many":
        await batch.save_many(store, map(made, what))
    elif step == "delete":
        await store.delete(what)
    elif step == "delete_many":
        await batch.delete_many(store, what)
    elif step == "preload":
        await store.preload(what)
    elif step == "load":
        await store.load(what)
    elif step == "delete_all":
        await store.delete_all()
    else:
        await delete_where(store, "Order" if step == "delete_orders" else "Customer", {})


SAME = ("order", "a", 1, 1, False)


@pytest.mark.parametrize(
    "steps",
    [
        [("save", SAME), ("delete_all", None)],
        [("save", SAME), ("delete_orders", None), ("save", SAME)],
        [("delete", (ORDER, "a", 1)), ("delete_all", None)],
        [
            ("save_many", [SAME, ("customer", "a", "a")]),
            ("delete_orders", None),
            ("delete_many", [(ORDER, "a", 1)]),
        ],
        [("save_many", [SAME, ("customer", "a", "a")]), ("save_many", [("customer", "a", "b"), SAME])],
        [("preload", [(ORDER, "a", 1)]), ("save", ("order", "a", 1, 2, False)), ("delete", (ORDER, "a", 1))],
    ],
    ids=lambda steps: " and ".join(step for step, _ in steps),
)
def test_a_record_that_is_saved_as_it_was_while_others_clear_it_is_whole_or_gone(steps: list[tuple[str, Any]]) -> None:
    for seed in range(20):
        _run(seed, [SAME], steps)


@settings(max_examples=60)
@given(seed=st.integers(0, 1 << 32), before=st.lists(RECORDS, max_size=4), steps=st.lists(STEPS, max_size=7))
def test_changes_side_by_side_leave_a_store_that_agrees_with_itself(
    seed: int, before: list[Any], steps: list[tuple[str, Any]]
) -> None:
    _run(seed, before, steps)


def _run(seed: int, before: list[Any], steps: list[tuple[str, Any]]) -> None:
    shuffle = Shuffle(random.Random(seed))
    engine = open_engine("memory:", world=shuffle.world)
    stores: list[RecordStore] = []

    async def prepare() -> None:
        context = Context(shuffle.engine(engine).begin(), world=shuffle.world)
        store = await open_store(context, METADATA, store_prefix(PATH))
        for record in before:
            try:
                await store.save(made(record))
            except UniquenessViolation:
                continue
        stores.append(store)

    async def change(step: str, what: Any) -> None:
        try:
            await take(stores[0], step, what)
        except UniquenessViolation:
            pass  # refused, and nothing written

    try:
        shuffle.drive(prepare())
        store = stores[0]
        running: list[Awaitable[None]] = [change(*step) for step in steps]
        shuffle.run(*running)
        assert shuffle.drive(check(store)) == []
        from_memory = {key: shuffle.drive(store.load(key)) for key in _keys()}
        store.records.forget_preloaded()
        for key, record in from_memory.items():
            read = shuffle.drive(store.load(key))
            assert (None if read is None else read.message) == (None if record is None else record.message)
        shuffle.drive(store.context.commit())
    finally:
        engine.close()


def _keys() -> list[Any]:
    orders = [(ORDER, name, number) for name in "ab" for number in (1, 2)]
    return [*orders, *((CUSTOMER, name) for name in "ab")]


def test_a_batch_that_is_given_up_frees_its_records_and_leaves_no_trace() -> None:
    async def everybody() -> None:
        engine = open_engine("memory:")
        context = Context(engine.begin(), world=World())
        store = await run_asyncio(open_store(context, METADATA, store_prefix(PATH)))
        context.turns.take(store.layout.records + pack((ORDER, "b", 1)))  # somebody else is at work on one of them
        first = asyncio.ensure_future(
            run_asyncio(batch.save_many(store, map(made, [SAME, ("order", "b", 1, 1, False)])))
        )
        await asyncio.sleep(0)
        second = asyncio.ensure_future(run_asyncio(store.save(made(SAME))))
        await asyncio.sleep(0)
        writes = context.counters.writes
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await second
        assert context.counters.writes > writes
        context.turns.leave(store.layout.records + pack((ORDER, "b", 1)))
        await run_asyncio(context.turns.quiet(store.layout.prefix))
        assert await run_asyncio(store.load((ORDER, "b", 1))) is None
        assert await run_asyncio(check(store)) == []
        await run_asyncio(context.commit())
        context.close()
        engine.close()

    asyncio.run(everybody())
