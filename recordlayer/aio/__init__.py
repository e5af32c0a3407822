"""Databases, transactions, stores and cursors: the asyncio facade."""

from __future__ import annotations

from recordlayer.aio.attempts import Attempt
from recordlayer.aio.cursor import EntryCursor, RecordCursor
from recordlayer.aio.database import Database, open  # noqa: A004  (the word for it)
from recordlayer.aio.feed import ChangeFeed, FeedWatch
from recordlayer.aio.header import StoreHeader
from recordlayer.aio.idempotency import IdempotencyKeys
from recordlayer.aio.keyspace import DirectoryLayer, InternedNames, KeySpace
from recordlayer.aio.leaderboard import Leaderboard
from recordlayer.aio.metadata_store import MetaDataStore
from recordlayer.aio.online import IndexBuild, OnlineIndexer
from recordlayer.aio.ranks import Ranks
from recordlayer.aio.space import Space
from recordlayer.aio.store import RecordStore
from recordlayer.aio.texts import Texts
from recordlayer.aio.transaction import Transaction
from recordlayer.aio.typed import TypedCursor, TypedStore

__all__ = [
    "Attempt",
    "ChangeFeed",
    "Database",
    "DirectoryLayer",
    "EntryCursor",
    "FeedWatch",
    "IdempotencyKeys",
    "IndexBuild",
    "InternedNames",
    "KeySpace",
    "Leaderboard",
    "MetaDataStore",
    "OnlineIndexer",
    "Ranks",
    "RecordCursor",
    "RecordStore",
    "Space",
    "StoreHeader",
    "Texts",
    "Transaction",
    "TypedCursor",
    "TypedStore",
    "open",
]
