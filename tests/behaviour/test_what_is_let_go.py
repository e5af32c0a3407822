"""What a transaction has held is freed when it ends, not when garbage is collected: in both facades, on any engine."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from recordlayer import q, query
from tests.support.shop import PATH, Order, builder

METADATA = builder().index("Order", "by_total", "total").build()


@pytest.fixture
def little_garbage() -> Iterator[None]:
    """What is there already is not looked at when garbage is collected."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()
    gc.unfreeze()


def _save(store: Any) -> None:
    store.save(Order(id=1, customer="ana", total=3))
    store.save_many([Order(id=number, customer="bo", total=number) for number in range(2, 9)])


def _read(store: Any) -> None:
    assert store.load(1).total == 3
    assert len(store.query(query("Order").where(q.total > 3)).all()) == 5
    assert len(store.scan(limit=4).all()) == 4


def _refuse(store: Any) -> None:
    store.delete(1)
    raise LookupError("the transaction is not committed")


@pytest.mark.usefixtures("little_garbage")
def test_a_transaction_that_is_over_leaves_nothing_to_the_garbage_collector(db: Any) -> None:
    def run(work: Callable[[Any], None]) -> None:
        with db.transaction() as tx:
            work(tx.store(METADATA, path=PATH))
            work(tx.store(METADATA, path=PATH))  # opened twice, they know of each other

    run(_save)  # what the first one leaves, such as imports, is not of transactions
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    run(_save)
    run(_read)
    with pytest.raises(LookupError):
        run(_refuse)
    gc.collect()
    assert [one for one in gc.garbage if type(one).__module__.startswith(("recordlayer.kv", "recordlayer.store"))] == []
