"""Work on a store with an index of every type that follows from numbers, so that whoever finds the store after a crash
knows what must be in it.

Each writer has records of its own, whose whole state follows from how many steps it has taken; it keeps that number in
the same transactions. Beside it an index is built online, and a consumer of the change feed applies each change once to
a copy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import recordlayer as rl
from recordlayer.online.options import BuildLimits
from recordlayer.store.change_layout import ChangeKind
from tests.support.every_index import EVERY, LATER, begin, customers, order
from tests.support.shop import Order, builder

PATH, REPLICA = ("shop", "acme"), ("shop", "replica")
PLAIN = builder().split_long_records(True).build()
EACH = 5
"""Records that a step saves or deletes."""
OWN = 10
"""Records that a writer has at most."""
AGAIN = rl.Retry(attempts=10_000, idempotent=True)
Told = Callable[[int, int], object]


def prepare(db: Any) -> None:
    """An empty store with a feed, and an index that is yet to be built."""
    with db.transaction() as tx:
        store = tx.store(EVERY, path=PATH, format_version=13)
        if store.feed.settings is None:
            begin(store)
            store.feed.enable(new_images=True)
            for customer in customers():
                store.save(customer)
    with db.transaction() as tx:
        tx.store(LATER, path=PATH, new_index_state=lambda *_: rl.IndexState.DISABLED)


def _order(writer: int, step: int, place: int) -> Any:
    return order(100 * (writer + 1) + (step * EACH + place) % OWN, step, long=0.02)


def _is_deletion(made: Any) -> bool:
    return bool(made.total % 5 == 0)


def after(writer: int, steps: int) -> dict[int, bytes]:
    """A writer's records after so many steps, by id."""
    found: dict[int, bytes] = {}
    for step in range(steps):
        for place in range(EACH):
            made = _order(writer, step, place)
            found.pop(made.id, None)
            if not _is_deletion(made):
                found[made.id] = made.SerializeToString(deterministic=True)
    return found


def take_step(db: Any, writer: int) -> int:
    """The number of the step that was taken now."""

    def step(tx: Any) -> int:
        store = tx.store(LATER, path=PATH)
        mark = store.load(-1 - writer) or Order(id=-1 - writer, total=0)
        for place in range(EACH):
            made = _order(writer, mark.total, place)
            if _is_deletion(made):
                store.delete(made.id)
            else:
                store.save(made)
        mark.total += 1
        store.save(mark)
        return int(mark.total)

    return int(db.run(step, retry=AGAIN))


def build(db: Any) -> None:
    """Build the index, some records a transaction."""
    limits = BuildLimits(records=3)
    db.online_indexer(LATER, path=PATH, indexes=["by_total"], limits=limits, lease=timedelta(milliseconds=1)).build()


def consume(db: Any, *, limit: int = 20) -> bool:
    """Apply some changes to the copy; whether there are more."""

    def step(tx: Any) -> bool:
        page = tx.store(LATER, path=PATH).feed.consume("replica", limit=limit)
        replica = tx.store(PLAIN, path=REPLICA)
        for change in page:
            if change.kind is ChangeKind.DELETE:
                assert replica.delete(change.primary_key), "what is deleted once was there"
            else:
                assert replica.exists(change.primary_key) is (change.kind is ChangeKind.UPDATE)
                replica.save(change.message)
        return bool(page.more)

    return bool(db.run(step, retry=AGAIN))


def judged(db: Any, writers: int) -> list[int]:
    """How many steps each writer has taken, of which everything must be there, and nothing else."""
    with db.transaction() as tx:
        store = tx.store(LATER, path=PATH, mode=rl.OpenMode.OPEN)
        assert store.check() == []
        stored = {record.id: record for record in store.scan() if record.DESCRIPTOR.name == "Order"}
    steps = [stored.pop(-1 - writer).total if -1 - writer in stored else 0 for writer in range(writers)]
    expected = {number: data for writer in range(writers) for number, data in after(writer, steps[writer]).items()}
    assert {number: one.SerializeToString(deterministic=True) for number, one in stored.items()} == expected
    return steps


def brought_to_its_end(db: Any, writers: int) -> None:
    """The build and the consumer go on from where they were, and come to their ends."""
    build(db)
    while consume(db, limit=500):
        pass
    with db.transaction() as tx:
        store = tx.store(LATER, path=PATH)
        assert store.index_state("by_total") is rl.IndexState.READABLE
        replica = tx.store(PLAIN, path=REPLICA)
        assert shown(replica) == shown(store)
        assert replica.check() == []
    judged(db, writers)


def shown(store: Any) -> list[bytes]:
    return [record.SerializeToString(deterministic=True) for record in store.scan()]


def work(db: Any, writers: int, steps: int | None, told: Told) -> list[threading.Thread]:
    """Threads at work: the writers (without end where no number of steps is given), a builder and a consumer."""
    done = threading.Event()

    def write(writer: int) -> None:
        while (number := take_step(db, writer)) != steps:
            told(writer, number)
        told(writer, number)

    def follow() -> None:
        while consume(db) or not done.wait(0.001):
            pass

    writing = [threading.Thread(target=write, args=(writer,), daemon=True) for writer in range(writers)]
    beside = [threading.Thread(target=what, daemon=True) for what in (lambda: build(db), follow)]

    def wait() -> None:
        for thread in writing:
            thread.join()
        done.set()

    threads = [*writing, *beside, threading.Thread(target=wait, daemon=True)]
    for thread in threads:
        thread.start()
    return threads
