"""Indexes that others take the place of: they go when the last of the others may be read."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import field
from recordlayer.store import marking
from recordlayer.store.build import rebuild
from recordlayer.waiting.drivers import run_blocking
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, Order, builder

REPLACED = {"replacedBy": "by_total_and_id", "replacedBy1": "by_note"}
METADATA = (
    builder()
    .index("Order", "by_total", field("total"), options=REPLACED)
    .index("Order", "by_total_and_id", rl.concat("total", "id"))
    .index("Order", "by_note", field("note"))
    .build()
)


@pytest.fixture
def shop(db: Any) -> Shop:
    """A store that still has the old index; its replacements are to be built."""
    old = builder().index("Order", "by_total", field("total")).build()
    made = Shop(db, old)
    made.save(Order(id=1, total=5, note="x"))
    made.metadata = METADATA
    with db.transaction() as tx:
        core = tx.store(METADATA, path=PATH).core
        for name in ("by_total_and_id", "by_note"):
            marking.clear_and_mark(core, METADATA.index(name), rl.IndexState.WRITE_ONLY)
        run_blocking(rebuild(core, METADATA.index("by_total")))
    return made


def states(shop: Shop) -> list[str]:
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        return [store.index_state(name).name for name in METADATA.indexes]


def old_entries(shop: Shop) -> list[bytes]:
    prefix = rl.Subspace((2, "by_total")).key()
    return [key for key in shop.pairs() if key.startswith(prefix)]


def test_an_index_goes_when_the_last_of_its_replacements_may_be_read(shop: Shop) -> None:
    assert states(shop) == ["READABLE", "WRITE_ONLY", "WRITE_ONLY"]
    with shop.db.transaction() as tx:
        tx.store(METADATA, path=PATH).rebuild_index("by_note")
    assert states(shop) == ["READABLE", "WRITE_ONLY", "READABLE"]
    assert len(old_entries(shop)) == 1
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        store.rebuild_index("by_total_and_id")
        assert store.index_state("by_total") is rl.IndexState.READABLE, "until the commit"
    assert states(shop) == ["DISABLED", "READABLE", "READABLE"]
    assert old_entries(shop) == []
    shop.save(Order(id=2, total=7))
    assert old_entries(shop) == []
    shop.check()


def test_a_replacement_that_is_taken_back_before_the_commit_replaces_nothing(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        store.rebuild_index("by_note")
        store.rebuild_index("by_total_and_id")
        run_blocking(marking.mark_write_only(store.core, METADATA.index("by_note")))
    assert states(shop) == ["READABLE", "READABLE", "WRITE_ONLY"]
    assert len(old_entries(shop)) == 1
