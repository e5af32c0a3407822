"""Whatever processes do to stores, side by side and undone half-way: a store that is opened from memory has the header
and the index states that its transaction would have read."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer.blocking.database import Database
from recordlayer.kv.registry import open_engine
from recordlayer.pb.record_metadata_pb2 import DataStoreInfo
from recordlayer.store import marking
from recordlayer.store.layout import StoreLayout
from recordlayer.store.open import Cacheable
from recordlayer.store.settings import set_user_field, user_field
from recordlayer.store.state_cache import StoreStateCache
from recordlayer.store.states import states_in
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World
from tests.support.shop import SHOP, Order

PATHS = ("one",), ("two",)
PROCESSES = 2
LONG = bool(os.environ.get("RECORDLAYER_LONG_TESTS"))

STEPS = st.tuples(
    st.sampled_from(
        [
            "open",
            "open",
            "open",
            "hold",
            "disable",
            "rebuild",
            "field",
            "cacheable",
            "not cacheable",
            "delete",
            "record",
        ]
    ),
    st.integers(0, PROCESSES - 1),
    st.sampled_from(PATHS),
    st.booleans(),
)


class Processes:
    """Databases with caches of their own over one engine, and transactions that they hold open."""

    def __init__(self) -> None:
        self.engine = open_engine("memory:")
        caches = StoreStateCache(), StoreStateCache(by_read_version=False)
        self.databases = [Database(self.engine, world=World(), store_states=cache) for cache in caches]
        self.held: list[tuple[Any, Any]] = []
        self.remembered = 0

    def open(self, tx: Any, path: Any, **how: Any) -> Any:
        """A store, compared with what is there."""
        layout = StoreLayout(rl.Subspace(path).key())
        raw, states = run_blocking(read(tx.context, layout))
        before = tx.counters.reads
        store = tx.store(SHOP, path=path, format_version=8, **how)
        self.remembered += tx.counters.reads == before
        if raw is not None and not how:
            assert store.core.header.message == DataStoreInfo.FromString(raw)
            found = {name: store.core.states.peek(SHOP.index(name)) for name in SHOP.indexes}
            assert {name: state for name, state in found.items() if state is not rl.IndexState.READABLE} == states
        return store

    def step(self, action: str, process: int, path: Any, undone: bool) -> None:
        with self.databases[process].transaction() as tx:
            if action == "hold":
                held = self.databases[process].transaction()
                held.read_version()
                self.held.append((held, path))
            elif action == "delete":
                tx.delete_store(path=path)
            elif action in ("cacheable", "not cacheable"):
                self.open(tx, path, cacheable=Cacheable.YES if action == "cacheable" else Cacheable.NO)
            else:
                store = self.open(tx, path)
                if action == "disable":
                    run_blocking(marking.mark_disabled(store.core, SHOP.index("by_tag")))
                elif action == "rebuild":
                    store.rebuild_index("by_tag")
                elif action == "field":
                    set_user_field(store.core, "note", os.urandom(4))
                elif action == "record":
                    store.save(Order(id=1, tags=["x"]))
                self.open(tx, path)
            if undone:
                tx.cancel()

    def close(self) -> None:
        for held, path in self.held:
            self.open(held, path)
            held.close()
        self.engine.close()


async def read(context: Any, layout: StoreLayout) -> tuple[bytes | None, Any]:
    transaction = context.transaction
    header = await transaction.get(layout.header, snapshot=True)
    chunk = await transaction.get_range(layout.index_states + b"\x00", layout.index_states + b"\xff", snapshot=True)
    return header, states_in(layout, chunk.rows)


@settings(max_examples=400 if LONG else 40)
@given(st.lists(STEPS, max_size=24))
def test_what_is_remembered_is_what_would_be_read(steps: list[tuple[str, int, Any, bool]]) -> None:
    processes = Processes()
    for path in PATHS:
        for _ in range(2):
            processes.step("cacheable" if path == PATHS[0] else "open", 0, path, False)
    for step in steps:
        processes.step(*step)
    processes.close()


def test_the_comparison_sees_remembered_stores() -> None:
    processes = Processes()
    for _ in range(4):
        for process in range(PROCESSES):
            processes.step("cacheable", process, PATHS[0], False)
            processes.step("record", process, PATHS[0], False)
    assert processes.remembered >= 10
    processes.close()


def test_what_was_remembered_is_not_used_by_who_reads_at_an_older_version() -> None:
    for process in range(PROCESSES):
        processes = Processes()
        processes.step("cacheable", 0, PATHS[0], False)  # now the database has a stamp
        processes.step("open", 0, PATHS[1], False)
        processes.step("disable", 0, PATHS[1], False)
        processes.step("hold", process, PATHS[1], False)
        processes.step("rebuild", 0, PATHS[1], False)  # no new stamp: the store is not cacheable yet
        processes.step("cacheable", 0, PATHS[1], False)
        for _ in range(2):
            processes.step("open", process, PATHS[1], False)
        processes.close()


def test_threads_that_count_in_a_remembered_header_lose_no_count() -> None:
    threads, counts = 3, 25
    for cacheable in Cacheable.YES, Cacheable.NO:
        with rl.open("memory:") as db:
            db.run(lambda tx, cacheable=cacheable: tx.store(SHOP, path=PATHS[0], format_version=8, cacheable=cacheable))
            often = rl.Retry(attempts=10_000, max_delay=timedelta(milliseconds=1))

            def count_up(db: Any = db, often: rl.Retry = often) -> None:
                for _ in range(counts):
                    db.run(one_more, retry=often)

            working = [threading.Thread(target=count_up) for _ in range(threads)]
            for thread in working:
                thread.start()
            for thread in working:
                thread.join()
            with db.transaction() as tx:
                assert user_field(tx.store(SHOP, path=PATHS[0]).core, "count") == str(threads * counts).encode()


def one_more(tx: Any) -> None:
    store = tx.store(SHOP, path=PATHS[0]).core
    set_user_field(store, "count", str(int(user_field(store, "count") or b"0") + 1).encode())
