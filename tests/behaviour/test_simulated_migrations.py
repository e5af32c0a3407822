"""A schema rolled out over a fleet of stores in simulations, by operators who die, hold each other up and resume, while
programs of the old schema and of the new one go on writing. RECORDLAYER_SEEDS=100 goes through a hundred times as many.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.metadata.definitions import rank
from recordlayer.migrate.fleet import FleetRules
from recordlayer.online.options import BuildLimits
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.testing import seeds, simulate
from tests.support.shop import Order, builder

PLACE, FLEET = ("shop", "metadata"), ("shop", "fleet")
STORES, FOUNDED, MANY, STEPS, EACH = 3, 9, 210, 4, 3
AGAIN = rl.Retry(attempts=100_000, idempotent=True)
OLD = (
    builder()
    .index("Order", "by_customer", field("customer"))
    .index("Order", "per_customer", rl.count(group_by="customer"))
    .build()
)
NEW = (
    builder()
    .index("Order", "per_customer", rl.count(group_by="customer"))
    .index("Order", "by_total", field("total"))
    .index("Order", "ranked", rank("total"))
    .build()
)
KEPT = StoredMetaData(path=PLACE, seed=OLD)


def order_of(store: int, writer: int, step: int, number: int) -> Any:
    chance = random.Random(f"{store} {writer} {step} {number}")
    return Order(id=writer * 1_000 + number, customer=chance.choice("abc"), total=chance.randrange(40))


def goes(made: Any) -> bool:
    """Whether this one is deleted instead of saved."""
    return bool(made.total % 4 == 0)


def after(store: int, size: int, writers: int) -> dict[int, Any]:
    """What the records of a store are in the end."""
    found = {one.id: one for one in founded(store, size)}
    for writer in range(writers):
        for step in range(STEPS):
            for number in range(EACH):
                made = order_of(store, writer, step, number)
                if goes(made):
                    found.pop(made.id, None)
                else:
                    found[made.id] = made
    return found


def founded(store: int, size: int) -> list[Any]:
    return [order_of(store, 9, 0, number) for number in range(size)]


def left_to_the_migration(_: Any) -> rl.IndexState:
    return rl.IndexState.DISABLED


async def found_store(db: Any, store: int, size: int) -> None:
    async with db.transaction() as tx:
        opened = await tx.store(KEPT, path=(*FLEET, store))
        await opened.save_many(founded(store, size))


async def writes(db: Any, writer: int, schema: Any, decide: Any = None) -> None:
    """Goes round the stores and changes some records of each, by a schema of its own until it is told that this is out
    of date, from then on by the stored one. What it has done is noted in the same transactions."""
    while True:

        async def step(tx: Any, schema: Any = schema) -> bool:
            for store in range(STORES):
                opened = await tx.store(schema, path=(*FLEET, store), new_index_state=decide)
                mark = await opened.load((-1 - writer,)) or Order(id=-1 - writer, customer="mark", total=0)
                if mark.total == STEPS:
                    continue
                for number in range(EACH):
                    made = order_of(store, writer, mark.total, number)
                    if goes(made):
                        await opened.delete(made.id)
                    else:
                        await opened.save(made)
                mark.total += 1
                await opened.save(mark)
                return True
            return False

        try:
            if not await db.run(step, retry=AGAIN):
                return
        except errors.StaleMetaData:
            assert schema is OLD, "what is stored is never out of date"
            schema = KEPT


async def migrates(db: Any, who: str) -> None:
    """An operator: applies until nothing is left."""
    while True:
        rollout = db.migration(
            NEW,
            metadata=PLACE,
            below=FLEET,
            who=who,
            rules=FleetRules(canary=0.3, concurrency=2),
            lease=timedelta(seconds=3),
            limits=BuildLimits(records=40),
        )
        try:
            report = await rollout.apply(wait=timedelta(seconds=2))
        except (errors.MigrationHeld, errors.TransactionError):
            continue
        if report.finished:
            assert not report.failed
            assert not report.waiting
            return


async def judged(db: Any, sizes: list[int], writers: int) -> None:
    async with db.transaction() as tx:
        wanted = await tx.metadata_store(KEPT).load()
    assert set(wanted.indexes) == {"per_customer", "by_total", "ranked"}
    for store, size in enumerate(sizes):
        expected = after(store, size, writers)
        async with db.transaction() as tx:
            opened = await tx.store(KEPT, path=(*FLEET, store), mode=rl.OpenMode.OPEN)
            assert opened.header.info.metadata_version == wanted.version
            assert {opened.index_state(name) for name in wanted.indexes} == {rl.IndexState.READABLE}
            assert await opened.check() == []
            records = {record.id: record async for record in opened.scan() if record.id >= 0}
            assert {key: (one.customer, one.total) for key, one in records.items()} == {
                key: (one.customer, one.total) for key, one in expected.items()
            }
            totals = sorted([*(one.total for one in expected.values()), *[STEPS] * writers])
            assert [entry.key[0] async for entry in opened.scan_index("by_total")] == totals
    plan = db.migration(NEW, metadata=PLACE, below=FLEET)
    assert (await plan.plan()).is_empty
    opened_by_runs = Counter(row.store for row in await plan.history(limit=1_000) if row.step == "store opened")
    assert all(count == 1 for count in opened_by_runs.values()), "no store is done twice"


@pytest.mark.parametrize("seed", seeds(4, first=2_000))
def test_a_schema_rolled_out_over_a_fleet_that_goes_on_writing(seed: int) -> None:
    sizes = [MANY if seed % 2 == 0 and store == 0 else FOUNDED for store in range(STORES)]
    with simulate(seed, deaths=0.004) as sim:
        for store, size in enumerate(sizes):
            sim.run(found_store(sim.database, store, size))
        sim.process(writes, 0, OLD)
        sim.process(writes, 1, KEPT, left_to_the_migration)
        sim.process(migrates, "ana")
        sim.process(migrates, "bo")
        sim.run_processes()
        sim.run(judged(sim.database, sizes, 2))
