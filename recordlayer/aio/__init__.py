"""Databases, transactions, stores and cursors: the asyncio facade. What is not needed yet is not imported yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recordlayer.on_demand import on_demand

if TYPE_CHECKING:
    from recordlayer.aio.attempts import Attempt
    from recordlayer.aio.cursor import EntryCursor, RecordCursor
    from recordlayer.aio.database import Database, open  # noqa: A004  (the word for it)
    from recordlayer.aio.feed import ChangeFeed, FeedWatch, VersionFeed
    from recordlayer.aio.header import StoreHeader
    from recordlayer.aio.idempotency import IdempotencyKeys
    from recordlayer.aio.keyspace import DirectoryLayer, InternedNames, KeySpace
    from recordlayer.aio.leaderboard import Leaderboard
    from recordlayer.aio.metadata_store import MetaDataStore
    from recordlayer.aio.migrating import Migration
    from recordlayer.aio.online import IndexBuild, IndexScrubber, OnlineIndexer, RecordRepairer
    from recordlayer.aio.ranks import Ranks
    from recordlayer.aio.reaping import FeedTrimmer, Reaper
    from recordlayer.aio.space import Space
    from recordlayer.aio.store import RecordStore
    from recordlayer.aio.tenant import Tenant
    from recordlayer.aio.tenant_export import TenantExport
    from recordlayer.aio.texts import Texts
    from recordlayer.aio.transaction import Transaction
    from recordlayer.aio.typed import TypedCursor, TypedStore

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
