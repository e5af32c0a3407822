"""The names that people import, and the first program that they write."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import recordlayer as rl
from recordlayer import aio, blocking
from tests.support.shop import FILE, Order

NAMES = frozenset(
    (
        *("Bounds", "Database", "End", "EntryCursor", "Expect", "Explanation", "IndexState", "Limits", "OpenMode"),
        *("RecordCursor", "RecordLayerError", "RecordMetaData", "RecordMetaDataBuilder", "RecordQuery", "RecordStore"),
        *("Retry", "SingleFloat", "Stop", "StoredRecord", "Subspace", "Transaction", "VersionBehavior", "Versionstamp"),
        *(
            "agg",
            "aio",
            "concat",
            "count",
            "errors",
            "field",
            "key_with_value",
            "list_of",
            "open",
            "param",
            "q",
            "query",
        ),
        *("record_type", "sum_of", "value_index", "TransactionOptions"),
    )
)


def test_the_public_names_are_these_and_not_more_than_forty() -> None:
    assert set(rl.__all__) == NAMES
    assert len(rl.__all__) <= 40
    assert all(getattr(rl, name) is not None for name in NAMES)
    assert dir(rl) == rl.__all__


def test_importing_the_package_loads_neither_an_engine_nor_protobuf() -> None:
    heavy = ("lmdb", "google.protobuf", "asyncio")
    program = f"import sys, recordlayer; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_both_facades_have_the_same_names_with_the_same_parameters() -> None:
    assert aio.__all__ == blocking.__all__
    for name in aio.__all__:
        one, other = getattr(aio, name), getattr(blocking, name)
        if not inspect.isclass(one):
            continue
        for member, function in inspect.getmembers(one, inspect.isfunction):
            twin = member.replace("__a", "__") if member in ("__aenter__", "__aexit__", "__aiter__") else member
            if member.startswith("__") and member == twin and member not in vars(one):
                continue
            assert list(inspect.signature(function).parameters) == list(
                inspect.signature(getattr(other, twin)).parameters
            ), f"{name}.{member}"


def test_the_first_program_runs_as_written() -> None:
    from recordlayer import field

    shop = (
        rl.RecordMetaDataBuilder(FILE)
        .primary_key("Order", field("id"))
        .index("Order", "order_by_customer", field("customer"))
        .index("Order", "order_by_customer_and_total", rl.concat("customer", "total"))
        .index("Order", "orders_per_customer", rl.count(group_by=field("customer")))
        .build()
    )
    db = rl.open("memory:")
    with db.transaction() as tx:
        store = tx.store(shop, path=("shop", "acme"))
        store.save(Order(id=1, customer="ana", total=1200))
    with db.transaction() as tx:
        orders = tx.store(shop, path=("shop", "acme"))
        asked = rl.query("Order").where(rl.q.customer == "ana").order_by("total")
        page = orders.query(asked, limit=50)
        for order in page:
            assert order.id == 1
        assert page.continuation is None
        assert orders.count("orders_per_customer", "ana") == 1
        assert str(orders.explain(asked)).startswith("Fetch Order")
    db.close()


async def first_program_with_asyncio(shop: Any) -> list[int]:
    async with aio.open("memory:") as db:
        async with db.transaction() as tx:
            store = await tx.store(shop, path=("shop", "acme"))
            await store.save(Order(id=1, customer="ana", total=1200))
        async with db.transaction() as tx:
            orders = await tx.store(shop, path=("shop", "acme"))
            return [order.id async for order in orders.query(rl.query("Order"))]


def test_the_first_program_with_asyncio_differs_by_awaits_only() -> None:
    import asyncio

    shop = rl.RecordMetaDataBuilder(FILE).primary_key("Order", rl.field("id")).build()
    assert asyncio.run(first_program_with_asyncio(shop)) == [1]
