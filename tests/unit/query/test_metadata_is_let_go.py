"""A metadata that nobody has any more goes with all that was worked out for it: plans, counts, groups, keys."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import agg, field, q, query
from tests.support.shop import PATH, shop_file

ASKED: dict[str, Any] = {
    "plans": lambda name: query("Order").where((q.customer == name) & (q.note != "x")),
    "lists": lambda name: query("Order").where(q.customer.in_([name, "x"])),
    "sorted in memory": lambda name: query("Order").where(q.customer == name).order_by("total", in_memory=9),
    "groups": lambda name: query("Order").group_by("customer").aggregate(spent=agg.sum("total")),
    "groups in memory": lambda name: query("Order").group_by("note", in_memory=9).aggregate(orders=agg.count()),
}


@pytest.mark.parametrize("kind", ASKED)
def test_nothing_keeps_a_metadata_that_was_asked(kind: str) -> None:
    def asked() -> list[weakref.ref[Any]]:
        builder = rl.RecordMetaDataBuilder(shop_file()).primary_key("Order", field("id"))
        metadata = builder.index("Order", "by_customer", "customer").build()
        order: Any = metadata.record_type("Order").message_class
        with rl.open("memory:") as db, db.transaction() as tx:
            store = tx.store(metadata, path=PATH)
            store.save_many(
                [order(id=number, customer="ab"[number % 2], total=number, note="n") for number in range(1, 5)]
            )
            for name in "abab":
                assert store.query(ASKED[kind](name)).all()
                if "group" not in kind:
                    store.count(ASKED[kind](name))
            assert not store.check()
        return [weakref.ref(metadata), weakref.ref(order)]

    kept = asked()
    for _ in range(2):  # classes of messages go after what is kept for the metadata
        gc.collect()
    assert [one() for one in kept] == [None, None]
