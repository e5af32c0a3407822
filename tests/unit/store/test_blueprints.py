"""A store that is opened as it was opened before is made from what was worked out then, and differs in nothing from one
that is opened for the first time: whatever was said before, and whatever has happened to it since."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

import recordlayer as rl
from recordlayer.blocking.database import Database
from recordlayer.errors import RecordLayerError
from recordlayer.kv.registry import open_engine
from recordlayer.store import marking
from recordlayer.store.open import Cacheable, OpenMode
from recordlayer.store.serializer import PLAIN, TransformingSerializer
from recordlayer.store.settings import StoreLock, lock, set_user_field, unlock
from recordlayer.testing.clock import ManualClock
from recordlayer.testing.counting import Counting
from recordlayer.waiting.drivers import run_blocking
from tests.support.shop import SHOP, Order, builder

PATH = ("shop", "acme")
SAME = builder().build()
COMPRESSED = TransformingSerializer()

WAYS: dict[str, dict[str, Any]] = {
    "plainly": {},
    "must be there": {"mode": OpenMode.OPEN},
    "must not be there": {"mode": OpenMode.CREATE},
    "equal metadata": {"metadata": SAME},
    "compressed": {"serializer": COMPRESSED},
    "locked all the same": {"bypass_lock": "moving"},
    "user version": {"user_version": 0},
    "user version by a function": {"user_version": lambda *_: 0},
    "limits": {"limits": rl.Limits(keys=7)},
    "some records indexed": {"index_filter": lambda index, record: record.id < 0},
}


@pytest.fixture
def engine() -> Iterator[Counting]:
    with closing(Counting(open_engine("memory:"))) as engine:
        yield engine


def database(engine: Any) -> Database:
    """One that remembers nothing yet."""
    return Database(engine, world=ManualClock().world())


def opened(tx: Any, metadata: Any = SHOP, **how: Any) -> Any:
    return tx.store(metadata, path=PATH, format_version=14, **how)


def outcome(db: Database, how: dict[str, Any]) -> Any:
    """What comes of opening the store and saving a record in it: all that is there afterwards, or the error."""
    with db.transaction() as tx:
        try:
            store = opened(tx, **how)
            core = store.core
            seen = core.limits, core.codec.serializer, core.metadata, core.header.message, core.feed is None
            states = {name: store.index_state(name) for name in SHOP.indexes}
            store.save(Order(id=5, tags=["x"], customer="ana"))
            there = run_blocking(tx.context.read_all(core.layout.prefix, core.layout.prefix + b"\xff"))
        except RecordLayerError as error:
            return type(error), error.fields
        finally:
            tx.cancel()
        return seen, states, there


@pytest.mark.parametrize("before", WAYS)
def test_who_opens_differently_gets_what_was_asked_for(engine: Counting, before: str) -> None:
    with database(engine).transaction() as tx:
        opened(tx)
    for after in WAYS:
        warm = database(engine)
        for _ in range(2):
            outcome(warm, WAYS[before])
        assert outcome(warm, WAYS[after]) == outcome(database(engine), WAYS[after]), after


def changes() -> dict[str, Any]:
    def disable(tx: Any) -> None:
        run_blocking(marking.mark_disabled(opened(tx).core, SHOP.index("by_tag")))

    return {
        "a field": lambda tx: set_user_field(opened(tx).core, "note", b"1"),
        "no saving": lambda tx: lock(opened(tx).core, StoreLock.RECORD_UPDATES, reason="moving"),
        "a full lock": lambda tx: lock(opened(tx).core, StoreLock.FULL_STORE, reason="moving"),
        "no lock": lambda tx: unlock(opened(tx, bypass_lock="moving").core),
        "cacheable": lambda tx: opened(tx, cacheable=Cacheable.YES),
        "an index": disable,
        "a feed": lambda tx: opened(tx).feed.enable(),
        "deleted": lambda tx: tx.delete_store(path=PATH),
    }


@pytest.mark.parametrize("elsewhere", [True, False], ids=["elsewhere", "in this transaction"])
@pytest.mark.parametrize("change", changes())
def test_a_store_that_was_changed_is_opened_as_it_is_now(engine: Counting, change: str, elsewhere: bool) -> None:
    warm = database(engine)
    with warm.transaction() as tx:
        opened(tx)
        if change == "no lock":
            lock(opened(tx).core, StoreLock.FULL_STORE, reason="moving")
    for name in ("plainly", "locked all the same"):
        outcome(warm, WAYS[name])
    if elsewhere:
        with database(engine).transaction() as tx:
            changes()[change](tx)
        for how in WAYS.values():
            assert outcome(warm, how) == outcome(database(engine), how)
        return
    found = []
    for db in (warm, database(engine)):
        with db.transaction() as tx:
            changes()[change](tx)
            try:
                again = opened(tx)
                found.append(({name: again.index_state(name) for name in SHOP.indexes}, again.header.info.lock is None))
                again.save(Order(id=6, tags=["x"]))
                prefix = again.core.layout.prefix
                found[-1] += (run_blocking(tx.context.read_all(prefix + b"\x15\x01", prefix + b"\x15\x05")),)
            except RecordLayerError as error:
                found.append((type(error), error.fields.get("state"), error.fields.get("reason")))
            tx.cancel()
    assert found[: len(found) // 2] == found[len(found) // 2 :]


def test_a_state_that_changes_behind_the_opening_is_gone_by(engine: Counting) -> None:
    db = database(engine)
    for _ in range(3):
        with db.transaction() as tx:
            opened(tx).save(Order(id=1, tags=["x"]))
    with db.transaction() as tx:
        store, other = opened(tx), opened(tx)
        run_blocking(marking.mark_disabled(other.core, SHOP.index("by_tag")))
        store.save(Order(id=2, tags=["x"]))
        store.rebuild_index("by_tag")
        other.save(Order(id=3, tags=["y"]))
        assert [entry.primary_key for entry in store.scan_index("by_tag").all()] == [(1,), (2,), (3,)]
        assert store.check() == []


def test_it_is_worked_out_once(engine: Counting) -> None:
    db = database(engine)
    cores = []
    for number in range(3):
        with db.transaction() as tx:
            core = opened(tx).core
            cores.append(core)
            opened(tx).save(Order(id=number))
    assert cores[1].codec is cores[2].codec
    assert cores[1].layout is cores[2].layout
    assert cores[1].header is not cores[2].header, "one may change it"
    with engine.measured() as counts, db.transaction() as tx:
        opened(tx, serializer=PLAIN)
    assert counts.reads <= 2


def test_all_pairs_of_ways_are_different() -> None:
    """Else the comparison above would compare nothing."""
    for one, other in itertools.combinations(WAYS.values(), 2):
        assert one != other
