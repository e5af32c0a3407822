"""Metadata with what we only read: its records are read, and refused before anything is written."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors
from recordlayer.pb import record_metadata_pb2 as pb
from tests.support.shop import FILE, PATH, SHOP, Customer, Order


def with_index_over(kind: str) -> rl.RecordMetaData:
    """The shop's metadata with an index over a synthetic type that is not made here, as it may be stored."""
    message = pb.MetaData.FromString(SHOP.to_bytes())
    if kind == "joined":
        joined = message.joined_record_types.add(name="OrderOfCustomer")
        joined.join_constituents.add(name="order", record_type="Order")
        joined.join_constituents.add(name="__order", record_type="Order")
    else:
        unnested = message.unnested_record_types.add(name="OrderOfCustomer")
        unnested.nested_constituents.add(name="order", type_name="Order")
        unnested.nested_constituents.add(name="inner", parent="order", type_name="a thing without an expression")
    message.version += 1
    index = message.indexes.add(name="joined", record_type=["OrderOfCustomer"], type="value")
    index.added_version = index.last_modified_version = message.version
    index.root_expression.nesting.parent.field_name = "order"
    index.root_expression.nesting.parent.fan_type = 1  # type: ignore[assignment]
    index.root_expression.nesting.child.field.field_name = "customer"
    index.root_expression.nesting.child.field.fan_type = 1  # type: ignore[assignment]
    return rl.RecordMetaData.from_bytes(message.SerializeToString(), local=FILE)


@pytest.mark.parametrize("kind", ["joined", "unnested"])
def test_records_of_a_type_that_an_unknown_index_depends_on_are_read_and_not_written(db: Any, kind: str) -> None:
    with db.transaction() as tx:
        tx.store(SHOP, path=PATH).save(Order(id=1, customer="ana"))
    metadata = with_index_over(kind)
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        assert store.load(1) == Order(id=1, customer="ana")
        for refused in (lambda: store.save(Order(id=2, customer="bo")), lambda: store.delete(1)):
            with pytest.raises(errors.IndexNotSupported, match="OrderOfCustomer"):
                refused()
        store.save(Customer(ref="c7"))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        assert (store.load(1), store.load(2)) == (Order(id=1, customer="ana"), None)
        assert store.load("c7") == Customer(ref="c7")
