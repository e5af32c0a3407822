# Generated from recordlayer/aio/__init__.py by tests/house/generate_blocking.py: do not edit.
"""Databases, transactions, stores and cursors: the blocking facade. What is not needed yet is not imported yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recordlayer.on_demand import on_demand

if TYPE_CHECKING:
    from recordlayer.blocking.attempts import Attempt
    from recordlayer.blocking.cursor import EntryCursor, RecordCursor
    from recordlayer.blocking.database import Database, open  # noqa: A004  (the word for it)
    from recordlayer.blocking.feed import ChangeFeed, FeedWatch, VersionFeed
    from recordlayer.blocking.header import StoreHeader
    from recordlayer.blocking.idempotency import IdempotencyKeys
    from recordlayer.blocking.keyspace import DirectoryLayer, InternedNames, KeySpace
    from recordlayer.blocking.leaderboard import Leaderboard
    from recordlayer.blocking.metadata_store import MetaDataStore
    from recordlayer.blocking.migrating import Migration
    from recordlayer.blocking.online import IndexBuild, IndexScrubber, OnlineIndexer, RecordRepairer
    from recordlayer.blocking.ranks import Ranks
    from recordlayer.blocking.reaping import FeedTrimmer, Reaper
    from recordlayer.blocking.space import Space
    from recordlayer.blocking.store import RecordStore
    from recordlayer.blocking.tenant import Tenant
    from recordlayer.blocking.tenant_export import TenantExport
    from recordlayer.blocking.texts import Texts
    from recordlayer.blocking.transaction import Transaction
    from recordlayer.blocking.typed import TypedCursor, TypedStore

_HOME = {
    "Attempt": "attempts",
    "ChangeFeed": "feed",
    "Database": "database",
    "DirectoryLayer": "keyspace",
    "EntryCursor": "cursor",
    "FeedTrimmer": "reaping",
    "FeedWatch": "feed",
    "IdempotencyKeys": "idempotency",
    "IndexBuild": "online",
    "IndexScrubber": "online",
    "InternedNames": "keyspace",
    "KeySpace": "keyspace",
    "Leaderboard": "leaderboard",
    "MetaDataStore": "metadata_store",
    "Migration": "migrating",
    "OnlineIndexer": "online",
    "Ranks": "ranks",
    "Reaper": "reaping",
    "RecordCursor": "cursor",
    "RecordRepairer": "online",
    "RecordStore": "store",
    "Space": "space",
    "StoreHeader": "header",
    "Tenant": "tenant",
    "TenantExport": "tenant_export",
    "Texts": "texts",
    "Transaction": "transaction",
    "TypedCursor": "typed",
    "TypedStore": "typed",
    "VersionFeed": "feed",
    "open": "database",
}

__getattr__ = on_demand(__name__, _HOME)


def __dir__() -> list[str]:
    return __all__


__all__ = [
    "Attempt",
    "ChangeFeed",
    "Database",
    "DirectoryLayer",
    "EntryCursor",
    "FeedTrimmer",
    "FeedWatch",
    "IdempotencyKeys",
    "IndexBuild",
    "IndexScrubber",
    "InternedNames",
    "KeySpace",
    "Leaderboard",
    "MetaDataStore",
    "Migration",
    "OnlineIndexer",
    "Ranks",
    "Reaper",
    "RecordCursor",
    "RecordRepairer",
    "RecordStore",
    "Space",
    "StoreHeader",
    "Tenant",
    "TenantExport",
    "Texts",
    "Transaction",
    "TypedCursor",
    "TypedStore",
    "VersionFeed",
    "open",
]
