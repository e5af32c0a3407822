"""Texts, bitmaps and extremes of records that are changed side by side in one transaction, with reads answered in drawn
orders: the index agrees with the records that are left."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer.kv.context import Context
from recordlayer.kv.registry import open_engine
from recordlayer.metadata.definitions import bitmap_index, permuted_max, permuted_min, text_index
from recordlayer.store.check import check
from recordlayer.store.open import open_store, store_prefix
from recordlayer.store.store import RecordStore
from recordlayer.testing.shuffle import Shuffle
from tests.support.shop import PATH, Order, builder

METADATA = (
    builder()
    .index("Order", "words", text_index("note"))
    .index("Order", "words_by_customer", text_index("note", group_by="customer"))
    .index("Order", "ids", bitmap_index("id", group_by="customer", entry_size=4))
    .index("Order", "best", permuted_max("total", group_by="customer"))
    .index("Order", "cheapest", permuted_min("total", group_by="customer", permuted=0))
    .build()
)

NOTES = ("to be", "be or not", "not to be", "", "be be be")
RECORDS = st.tuples(st.integers(1, 6), st.sampled_from("ab"), st.integers(0, 3), st.sampled_from(NOTES))
STEPS = st.one_of(RECORDS, RECORDS, st.integers(1, 6))


def made(record: Any) -> Any:
    number, customer, total, note = record
    return Order(id=number, customer=customer, total=total, note=note)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32), before=st.lists(RECORDS, max_size=4), steps=st.lists(STEPS, max_size=8))
def test_changes_side_by_side_leave_indexes_that_agree_with_the_records(
    seed: int, before: list[Any], steps: list[Any]
) -> None:
    shuffle = Shuffle(random.Random(seed))
    engine = open_engine("memory:", world=shuffle.world)
    stores: list[RecordStore] = []

    async def prepare() -> None:
        context = Context(shuffle.engine(engine).begin(), world=shuffle.world)
        store = await open_store(context, METADATA, store_prefix(PATH))
        for record in before:
            await store.save(made(record))
        stores.append(store)

    async def change(step: Any) -> None:
        if isinstance(step, int):
            await stores[0].delete(step)
        else:
            await stores[0].save(made(step))

    try:
        shuffle.drive(prepare())
        shuffle.run(*[change(step) for step in steps])
        assert shuffle.drive(check(stores[0])) == []
        shuffle.drive(stores[0].context.commit())
    finally:
        engine.close()
