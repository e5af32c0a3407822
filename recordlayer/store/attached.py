"""Opening a store with the metadata that is kept in the database.

A process that remembers older metadata than the store has been opened with reads the newer, once, and goes on.

Source  Record Layer, FDBMetaDataStore as a RecordMetaDataProvider
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from recordlayer.errors import StaleMetaData
from recordlayer.kv.context import Context
from recordlayer.metadata import RecordMetaData
from recordlayer.store.metadata_store import MetaDataStore, StoredMetaData
from recordlayer.store.open import DEFAULT_OPEN, OpenOptions, open_store
from recordlayer.store.store import RecordStore


def open_attached(
    context: Context, source: RecordMetaData | StoredMetaData, prefix: bytes, options: OpenOptions = DEFAULT_OPEN
) -> Coroutine[Any, None, RecordStore]:
    """The store whose keys begin with `prefix`, with metadata that is given, or kept in the database: to be awaited.

    Cost    of `open_store`, and of loading the metadata: nothing if it is known.
    Raises  as `open_store`; MetaDataMissing.
    """
    if not isinstance(source, StoredMetaData):
        return open_store(context, source, prefix, options)
    return _open(context, source, prefix, options)


async def _open(context: Context, source: StoredMetaData, prefix: bytes, options: OpenOptions) -> RecordStore:
    kept = MetaDataStore(context, source)
    metadata, remembered = await kept.known()
    if not remembered:
        return await open_store(context, metadata, prefix, options)
    try:
        return await open_store(context, metadata, prefix, options)
    except StaleMetaData:
        newer = await kept.load(fresh=True)
        if newer.version <= metadata.version:
            raise
        return await open_store(context, newer, prefix, options)
