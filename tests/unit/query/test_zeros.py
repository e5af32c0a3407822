"""Zero and minus zero are two values, of floats of either size: also where an index has the one as a null."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import field, q, query
from tests.support.shop import PATH, shop_file

CONDITIONS: dict[str, Any] = {
    "=": lambda path, zero: path == zero,
    "!=": lambda path, zero: path != zero,
    "<": lambda path, zero: path < zero,
    "<=": lambda path, zero: path <= zero,
    ">": lambda path, zero: path > zero,
    ">=": lambda path, zero: path >= zero,
    "below one": lambda path, zero: path < 1.0 + zero,
    "in": lambda path, zero: path.in_([zero, 1.0]),
    "in both": lambda path, zero: path.in_([0.0, 1.0, -0.0]),
    "or": lambda path, zero: (path == zero) | (path == -zero),
}


@pytest.mark.parametrize("syntax", ["proto2", "proto3"])
def test_an_index_of_floats_gives_the_records_that_the_condition_has(syntax: str) -> None:
    without = rl.RecordMetaDataBuilder(shop_file(syntax)).primary_key("Order", field("id"))
    metadata = (
        rl.RecordMetaDataBuilder(shop_file(syntax))
        .primary_key("Order", field("id"))
        .index("Order", "by_ratio", "ratio")
        .index("Order", "by_weight", "weight")
        .index("Order", "per_weight", rl.count(group_by=field("weight")))
        .build()
    )
    numbers = (0.0, -0.0, 1.0, -1.0)
    with rl.open("memory:") as db, db.transaction() as tx:
        store, plain = tx.store(metadata, path=PATH), tx.store(without.build(), path=("plain",))
        for each in (store, plain):
            order: Any = each.metadata.record_type("Order").message_class
            each.save_many([order(id=place, ratio=one, weight=one) for place, one in enumerate(numbers, 1)])
        for path, (name, condition) in product((q.ratio, q.weight), CONDITIONS.items()):
            for zero in (0.0, -0.0, 0.0, -0.0):  # some have a plan that was made for another
                asked = query("Order").where(condition(path, zero))
                there = {one.id for one in plain.query(asked)}
                assert {one.id for one in store.query(asked)} == there, (name, zero)
                assert store.count(asked) == len(there), (name, zero)
        assert not store.check()
