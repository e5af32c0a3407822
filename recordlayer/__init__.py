"""A record store with indexes and queries, in a file or on FoundationDB.

    import recordlayer as rl
    from recordlayer import field

    SHOP = (
        rl.RecordMetaDataBuilder(shop_pb2.DESCRIPTOR)
        .primary_key("Order", field("id"))
        .index("Order", "order_by_customer", field("customer"))
        .build()
    )

    with rl.open("file:shop.rl") as db, db.transaction() as tx:
        orders = tx.store(SHOP, path=("shop", "acme"))
        orders.save(Order(id=1, customer="ana", total=1200))
        for order in orders.query(rl.query("Order").where(rl.q.customer == "ana")):
            ...

These are the public names of the blocking calls. `recordlayer.aio` has the same ones for asyncio, and
`recordlayer.errors` everything that can be raised. What is not needed yet is not imported yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recordlayer.core import __compiled__ as __compiled__
from recordlayer.on_demand import on_demand

# Not lazily: the package `recordlayer.query` would take the name of the function as soon as it is imported.
from recordlayer.query.query import query

if TYPE_CHECKING:
    from recordlayer import aio, errors
    from recordlayer.blocking.cursor import EntryCursor, RecordCursor
    from recordlayer.blocking.database import Database, open  # noqa: A004  (the word for it)
    from recordlayer.blocking.store import RecordStore
    from recordlayer.blocking.transaction import Transaction
    from recordlayer.cursor.limits import Limits
    from recordlayer.cursor.step import Stop
    from recordlayer.errors import RecordLayerError
    from recordlayer.index.bounds import Bounds, End
    from recordlayer.index.state import IndexState
    from recordlayer.keys.compose import concat, list_of
    from recordlayer.keys.field import field
    from recordlayer.keys.grouping import key_with_value
    from recordlayer.keys.special import record_type
    from recordlayer.kv.retry import Retry
    from recordlayer.metadata import RecordMetaData, RecordMetaDataBuilder, count, sum_of, value_index
    from recordlayer.options import TransactionOptions
    from recordlayer.query.aggregates import agg
    from recordlayer.query.explain import Explanation
    from recordlayer.query.paths import q
    from recordlayer.query.predicate import param
    from recordlayer.query.query import RecordQuery
    from recordlayer.store.expect import Expect, VersionBehavior
    from recordlayer.store.open import OpenMode
    from recordlayer.store.record import StoredRecord
    from recordlayer.tuples import SingleFloat, Subspace, Versionstamp

__version__ = "0.1.0"

_HOME = {
    "Bounds": "index.bounds",
    "Database": "blocking.database",
    "End": "index.bounds",
    "EntryCursor": "blocking.cursor",
    "Expect": "store.expect",
    "Explanation": "query.explain",
    "IndexState": "index.state",
    "Limits": "cursor.limits",
    "OpenMode": "store.open",
    "RecordCursor": "blocking.cursor",
    "RecordLayerError": "errors",
    "RecordMetaData": "metadata",
    "RecordMetaDataBuilder": "metadata",
    "RecordQuery": "query.query",
    "RecordStore": "blocking.store",
    "Retry": "kv.retry",
    "SingleFloat": "tuples",
    "Stop": "cursor.step",
    "StoredRecord": "store.record",
    "Subspace": "tuples",
    "Transaction": "blocking.transaction",
    "TransactionOptions": "options",
    "VersionBehavior": "store.expect",
    "Versionstamp": "tuples",
    "agg": "query.aggregates",
    "aio": "",
    "concat": "keys",
    "count": "metadata",
    "errors": "",
    "field": "keys",
    "key_with_value": "keys",
    "list_of": "keys",
    "open": "blocking.database",
    "param": "query.predicate",
    "q": "query.paths",
    "record_type": "keys",
    "sum_of": "metadata",
    "value_index": "metadata",
}


__getattr__ = on_demand(__name__, _HOME)


def __dir__() -> list[str]:
    return __all__


__all__ = [
    "Bounds",
    "Database",
    "End",
    "EntryCursor",
    "Expect",
    "Explanation",
    "IndexState",
    "Limits",
    "OpenMode",
    "RecordCursor",
    "RecordLayerError",
    "RecordMetaData",
    "RecordMetaDataBuilder",
    "RecordQuery",
    "RecordStore",
    "Retry",
    "SingleFloat",
    "Stop",
    "StoredRecord",
    "Subspace",
    "Transaction",
    "TransactionOptions",
    "VersionBehavior",
    "Versionstamp",
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
    "record_type",
    "sum_of",
    "value_index",
]
