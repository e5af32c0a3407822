"""Indexes whose entries share pairs, with many writers at once; and what a process keeps of what it has indexed."""

from __future__ import annotations

import gc
import random
import threading
import tracemalloc
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import concat
from recordlayer.index import hilbert, rtree_slots
from recordlayer.metadata.definitions import bitmap_index, multidimensional, permuted_max, rank, text_index
from recordlayer.testing.clock import ManualClock
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, Order, builder

WORDS = ("apple", "apples", "pear", "plum", "fig", "quince", "medlar", "sloe")


def test_eight_writers_at_once_end_with_a_clean_check(db: Any) -> None:
    """All words are everybody's: bunches are split, joined and taken over under each other's hands."""
    metadata = (
        builder()
        .index("Order", "words", text_index("note"))
        .index("Order", "words_by_customer", text_index("note", group_by="customer"))
        .index("Order", "ids", bitmap_index("id", group_by="customer"))
        .index("Order", "most", permuted_max("total", group_by="customer"))
        .build()
    )
    failed: list[BaseException] = []

    def write(writer: int) -> None:
        numbers = random.Random(writer)

        def change(tx: Any, number: int, text: str) -> None:
            store = tx.store(metadata, path=PATH)
            store.save(Order(id=number, note=text, customer="abc"[number % 3], total=len(text)))
            store.delete((number * 7) % 40)

        try:
            for _ in range(8):
                number, text = numbers.randrange(40), " ".join(numbers.choices(WORDS, k=4))
                db.run(lambda tx, number=number, text=text: change(tx, number, text), retry=rl.Retry(attempts=10_000))
        except BaseException as error:
            failed.append(error)
            raise

    shop = Shop(db, metadata)
    shop.save(*(Order(id=number, note=" ".join(WORDS), customer="a", total=1) for number in range(40)))
    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    shop.check()
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        there = {record.id: record.note.split() for record in store.scan().all()}
        for word in WORDS:
            found = {record.id for record in store.texts("words").records(word).all()}
            assert found == {number for number, text in there.items() if word in text}, word


@pytest.mark.parametrize("name", ["words", "ranked", "by_place"])
def test_what_a_process_keeps_does_not_grow_with_what_it_has_indexed(name: str) -> None:
    definitions = {
        "words": text_index("note"),
        "ranked": rank("total"),
        "by_place": multidimensional(concat("id", "total")),
    }
    metadata = builder().index("Order", name, definitions[name]).build()
    numbers = random.Random(3)
    clock = ManualClock()
    with rl.open("memory:", world=clock.world()) as db:

        def fill(transactions: int) -> int:
            for _ in range(transactions):
                clock.advance(1)  # what conflicts are found by is kept for five seconds
                with db.transaction() as tx:
                    store = tx.store(metadata, path=PATH)
                    for _ in range(5):
                        number = numbers.randrange(1 << 9)
                        note = " ".join(numbers.choices(WORDS, k=4))
                        store.save(Order(id=number, note=note, total=numbers.randrange(1 << 9)))
            rtree_slots._RECENT.clear()  # what these two remember has bounds of its own
            hilbert._curve.cache_clear()
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        fill(20)
        tracemalloc.start()
        try:
            before = fill(40)  # the values that the last commits replaced are kept for a while: their number is bounded
            after = fill(60)
        finally:
            tracemalloc.stop()
    assert after - before < 60 * 5 * 100, "less than a tenth of a kilobyte a record: nothing is kept of each"
