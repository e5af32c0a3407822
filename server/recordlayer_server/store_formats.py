"""Formats of stores: what new ones begin with, and whether older ones are raised to that.

A program that knows formats up to 9 cannot open a store of format 13, be it an older server or Java. So a store that is
there keeps its format, whoever writes to it, until the operator says that all programs that open it know the newer one.
What needs a newer format than a store has is refused with what it needs; the service goes on without it.

    8   Sync, Watch and Subscriptions: the header says that changes are kept
    9   an index that is to be unique and is not yet, READABLE_UNIQUE_PENDING, with the list of its violations
    12  a lock READ_ONLY, an export with FREEZE
    13  Sync goes on after a move or an import: the incarnation
    14  a lock CLOSED, and what a move leaves behind: both ask for themselves
"""

from __future__ import annotations

from google.rpc import code_pb2

from recordlayer import OpenMode, RecordMetaData
from recordlayer.aio import RecordStore, Transaction
from recordlayer.errors import StoreMissing
from recordlayer.store.header import FormatVersion
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import Cacheable
from recordlayer.store.sharing import SHARED
from recordlayer.tuples import Subspace
from recordlayer_server import statuses
from recordlayer_server.config import StoreFormats

USUAL = StoreFormats()
_AS_IT_IS = 1


async def open_there(
    tx: Transaction, metadata: RecordMetaData | StoredMetaData, path: Subspace, *, least: int = _AS_IT_IS
) -> RecordStore:
    """A store with the format that it has, but at least this one.  Raises  StoreMissing."""
    return await tx.store(metadata, path=path, mode=OpenMode.OPEN, cacheable=Cacheable.YES, format_version=least)


async def open_to_write(
    tx: Transaction, metadata: RecordMetaData | StoredMetaData, path: Subspace, formats: StoreFormats, *, least: int = 0
) -> RecordStore:
    """A store, made if it is not there. `least`: what it is raised to in any case.

    Cost  of one that is made: 1 round trip more than of one that is there.
    """
    try:
        return await open_there(tx, metadata, path, least=max(least, formats.new if formats.raising else _AS_IT_IS))
    except StoreMissing:
        return await tx.store(metadata, path=path, cacheable=Cacheable.YES, format_version=max(least, formats.new))


def can_keep_changes(store: RecordStore) -> bool:
    """Whether the next write to a store without a feed begins one."""
    info = store.header.info
    return info.format_version >= FormatVersion.HEADER_USER_FIELDS and SHARED not in info.user_fields


def not_synced() -> statuses.Refusal:
    """What who would copy a store is told that keeps no changes, and will not."""
    text = "this database keeps no changes: its store is shared with other programs, or of a format before 8"
    return statuses.refusal(code_pb2.FAILED_PRECONDITION, "NOT_SYNCED", text)
