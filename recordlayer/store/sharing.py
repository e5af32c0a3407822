"""Whether a store is marked as shared with the Java Record Layer, and what such a store must not have.

Layout  a user field of the header, `recordlayer.shared_with_java`, of whatever value
"""

from __future__ import annotations

from recordlayer.errors import FeedRefused, IndexNotSupported
from recordlayer.metadata import RecordMetaData
from recordlayer.metadata.index import CELLS
from recordlayer.store.change_layout import FEED
from recordlayer.store.header import StoreHeader

SHARED = "recordlayer.shared_with_java"


def is_shared(header: StoreHeader) -> bool:
    """Whether the mark is there."""
    return any(field.key == SHARED for field in header.message.user_field)


def refuse_what_java_cannot_read(metadata: RecordMetaData) -> None:
    """Raises  IndexNotSupported for an index that only this library can read."""
    for index in metadata.indexes.values():
        if CELLS in index.options:
            raise IndexNotSupported(
                index=index.name,
                option=CELLS,
                hint="the store is marked as shared with the Java Record Layer, which would take cells for groups",
            )


def refuse_feed_beside_java(header: StoreHeader) -> None:
    """Raises  FeedRefused for a shared store with a change feed: what Java changes would not be in it."""
    if is_shared(header) and any(field.key == FEED for field in header.message.user_field):
        raise FeedRefused(
            reason="the store is marked as shared with the Java Record Layer, whose changes would not be in the feed",
            hint="follow a VERSION index with store.version_feed(index), or take the mark or the feed away",
        )
