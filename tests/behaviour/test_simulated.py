"""Everything at once, in simulations: writers over every index type, a build, a feed's consumer; faults and deaths.

What each writer does follows from its number and its step, and it keeps its step in the same transactions: so the end
is known exactly, however often it died. RECORDLAYER_SEEDS=100 goes through a hundred times as many.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import concat, field
from recordlayer.metadata.definitions import (
    bitmap_index,
    multidimensional,
    permuted_max,
    rank,
    text_index,
    version_index,
)
from recordlayer.store.change_layout import ChangeKind
from recordlayer.testing import seeds, simulate
from tests.support.shop import PATH, Order, builder

WORDS = ("apple", "apples", "pear", "plum", "fig")
WRITERS, STEPS, EACH = 3, 5, 4
REPLICA = ("shop", "replica")
AGAIN = rl.Retry(attempts=100_000, idempotent=True)
OF_ALL = (
    builder()
    .store_record_versions()
    .index("Order", "by_customer", field("customer"))
    .index("Order", "per_customer", rl.count(group_by="customer"))
    .index("Order", "spent", rl.sum_of("total", group_by="customer"))
    .index("Order", "ranked", rank("total"))
    .index("Order", "words", text_index("note"))
    .index("Order", "ids", bitmap_index("id", group_by="customer"))
    .index("Order", "most", permuted_max("total", group_by="customer"))
    .index("Order", "place", multidimensional(concat("id", "total")))
    .index("Order", "changed", version_index())
    .build()
)
LATER = rl.RecordMetaDataBuilder.from_proto(OF_ALL.to_bytes()).index("Order", "by_total", field("total")).build()
PLAIN = builder().build()


def order_of(writer: int, step: int, number: int) -> Any:
    chance = random.Random(writer << 20 | step << 10 | number)
    note = " ".join(chance.choices(WORDS, k=3))
    return Order(id=writer * 100 + number, customer=chance.choice("abc"), total=chance.randrange(40), note=note)


def after(writer: int) -> dict[int, Any]:
    """What a writer's records are in the end."""
    found: dict[int, Any] = {}
    for step in range(STEPS):
        for number in range(EACH):
            made = order_of(writer, step, number)
            if made.total % 5 == 0:
                found.pop(made.id, None)
            else:
                found[made.id] = made
    return found


async def opened(tx: Any, metadata: Any = OF_ALL, path: Any = PATH) -> Any:
    return await tx.store(metadata, path=path, format_version=13)


async def enable(db: Any) -> None:
    async with db.transaction() as tx:
        await (await opened(tx)).feed.enable(new_images=True)


async def writes(db: Any, writer: int, metadata: Any = OF_ALL) -> None:
    """Each step changes some records and notes that it is done, in one transaction."""
    while True:

        async def step(tx: Any) -> bool:
            store = await opened(tx, metadata)
            mark = await store.load((-1 - writer,)) or Order(id=-1 - writer, total=0)
            if mark.total == STEPS:
                return False
            for number in range(EACH):
                made = order_of(writer, mark.total, number)
                if made.total % 5 == 0:
                    await store.delete(made.id)
                else:
                    await store.save(made)
            mark.total += 1
            await store.save(mark)
            return True

        if not await db.run(step, retry=AGAIN):
            return


async def follows(db: Any) -> None:
    """Applies each change once to a store beside, until all writers are done."""
    while True:

        async def step(tx: Any) -> bool:
            page = await (await opened(tx)).feed.consume("replica", limit=7)
            replica = await opened(tx, PLAIN, REPLICA)
            for change in page:
                if change.kind is ChangeKind.DELETE:
                    assert await replica.delete(change.primary_key), "what is deleted once was there"
                else:
                    there = await replica.exists(change.primary_key)
                    assert there is (change.kind is ChangeKind.UPDATE), "what is inserted once was not"
                    await replica.save(change.message)
            marks = [await replica.load((-1 - writer,)) for writer in range(WRITERS)]
            return bool(page.more) or any(mark is None or mark.total < STEPS for mark in marks)

        if not await db.run(step, retry=AGAIN):
            return


async def builds(db: Any) -> None:
    await db.online_indexer(LATER, path=PATH, indexes=["by_total"]).build()


def bytes_of(message: Any) -> bytes:
    return bytes(message.SerializeToString(deterministic=True))


async def judged(db: Any, metadata: Any, *, replica: bool) -> None:
    expected = {one.id: bytes_of(one) for writer in range(WRITERS) for one in after(writer).values()}
    async with db.transaction() as tx:
        store = await opened(tx, metadata)
        assert await store.check() == []
        assert {record.id: bytes_of(record) async for record in store.scan() if record.id >= 0} == expected
        for word in WORDS:
            with_word = {one.id async for one in store.texts("words").records(word)}
            made = [one for writer in range(WRITERS) for one in after(writer).values()]
            assert with_word == {one.id for one in made if word in one.note.split()}
    if replica:
        async with db.transaction() as tx:
            copy = await opened(tx, PLAIN, REPLICA)
            assert {record.id: bytes_of(record) async for record in copy.scan() if record.id >= 0} == expected


@pytest.mark.parametrize("seed", seeds(6))
def test_writers_and_a_consumer_of_the_feed(seed: int) -> None:
    with simulate(seed) as sim:
        sim.run(enable(sim.database))
        for writer in range(WRITERS):
            sim.process(writes, writer)
        sim.process(follows)
        sim.run_processes()
        sim.run(judged(sim.database, OF_ALL, replica=True))


@pytest.mark.parametrize("seed", seeds(6, first=1_000))
def test_writers_and_two_builders_of_an_index(seed: int) -> None:
    with simulate(seed, deaths=0.002) as sim:
        sim.run(enable(sim.database))
        sim.process(writes, 0)
        sim.run_processes()
        for writer in range(1, WRITERS):
            sim.process(writes, writer, LATER)
        sim.process(builds)
        sim.run_processes()
        sim.run(judged(sim.database, LATER, replica=False))
