"""Serialised metadata: loaded or malformed; what is loaded is written, and loaded again as the same."""

from __future__ import annotations

from collections.abc import Iterable

import recordlayer as rl
from recordlayer import concat, field
from recordlayer.errors import SchemaError
from recordlayer.metadata import FormerIndex, RecordMetaData, compare
from recordlayer.metadata.definitions import multidimensional, rank, text_index, version_index
from tests.fuzz.harness import Target
from tests.fuzz.wire import changed
from tests.support.shop import builder, plain


def check(data: bytes) -> None:
    first = RecordMetaData.from_bytes(data).to_bytes()
    assert RecordMetaData.from_bytes(first).to_bytes() == first


def seeds() -> Iterable[bytes]:
    yield plain().to_bytes()
    yield (
        builder()
        .index("Order", "by_total", concat("total", field("address").nest("city")), where=compare("total", ">", 1))
        .index("Order", "spent", rl.sum_of("total", group_by="customer"))
        .index("Order", "ranked", rank("total"))
        .index("Order", "words", text_index("note"))
        .index("Order", "place", multidimensional(concat("id", "total")))
        .index("Order", "changed", version_index())
        .former_index(FormerIndex(subspace_key=b"x", added_version=1, removed_version=2))
        .index("Order", "by_customer", field("customer"))
        .joined("Sale", {"order": "Order", "customer": "Customer"}, on=[("order.customer", "customer.ref")])
        .store_record_versions()
        .split_long_records(True)
        .build()
        .to_bytes()
    )


TARGET = Target("metadata", check, (SchemaError,), seeds, change=changed)
