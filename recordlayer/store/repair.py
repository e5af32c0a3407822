"""A store whose header was lost: it gets a new one, and nothing is relied on that only the old one could have told.

    the metadata version, format version and user version are those of the caller
    indexes are disabled and cleared: nobody knows whether they were complete; former ones are cleared
    counters of records are disabled and cleared
    the application's own fields, locks, the incarnation and cacheability are lost: set them in the same transaction
    a change feed goes on: what it needs lies beside it as well, and tells the incarnation; before format 8, which
    cannot have one, it is removed

Cost    3 ranges and 2 reads in 4 round trips; some clear ranges for each index, 1 write for each, 1 for the header
Source  Record Layer, FDBRecordStore.Builder.repairMissingHeader
"""

from __future__ import annotations

from dataclasses import replace

from recordlayer.errors import StoreMissing, UsageError
from recordlayer.index.state import IndexState
from recordlayer.keys.serial import to_proto
from recordlayer.kv.context import Context
from recordlayer.metadata import RecordMetaData
from recordlayer.pb.record_metadata_pb2 import DataStoreInfo
from recordlayer.store.blueprint import Blueprint
from recordlayer.store.change_layout import FEED, FeedLayout, FeedState
from recordlayer.store.counts import RecordCounts
from recordlayer.store.header import NO_VERSION, FormatVersion, StoreHeader
from recordlayer.store.header_writes import write_header
from recordlayer.store.layout import StoreLayout
from recordlayer.store.marking import clear_and_mark
from recordlayer.store.open import DEFAULT_OPEN, OpenMode, OpenOptions, open_store, read_state
from recordlayer.store.settings import StoreLock, lock
from recordlayer.store.states import clear_former_index
from recordlayer.store.store import RecordStore


async def repair_missing_header(
    context: Context,
    metadata: RecordMetaData,
    prefix: bytes,
    *,
    least_format: int,
    options: OpenOptions = DEFAULT_OPEN,
    keep_indexes_and_lock: str | None = None,
) -> bool:
    """Write a header for the store at a prefix, if it has none. Whether it had none.

    least_format           the least format version that the store can ever have had
    keep_indexes_and_lock  leave the indexes as they are and lock the store fully, for this reason: to learn from them
                           what became of the records

    Raises  StoreMissing if nothing is there; UsageError if the format versions do not tell how records are stored; what
            `open_store` raises if there is a header.
    """
    _check_formats(metadata, least_format, options, locks=keep_indexes_and_lock is not None)
    layout = StoreLayout(prefix)
    header, is_new, states = await read_state(context, layout, OpenMode.UNCHECKED)
    if not is_new:
        await open_store(context, metadata, prefix, replace(options, mode=OpenMode.OPEN))
        return False
    if not (await context.get_range(prefix + b"\x00", prefix + b"\xff", limit=1)).rows:
        raise StoreMissing(prefix=prefix, hint="nothing is there that could be repaired: create a store")
    header = StoreHeader.absent()
    header.message.formatVersion = options.format_version
    header.message.metaDataversion = metadata.version
    given = options.user_version
    if given is not None:
        header.message.userVersion = given if isinstance(given, int) else given(NO_VERSION, NO_VERSION, metadata)
    if metadata.record_count_key is not None:
        header.message.record_count_key.CopyFrom(to_proto(metadata.record_count_key))
        header.message.record_count_state = DataStoreInfo.DISABLED
        RecordCounts.clear(context, layout)
    await _restore_feed(context, layout, header)
    omits_suffix = options.format_version < FormatVersion.SAVE_UNSPLIT_WITH_SUFFIX
    blueprint = Blueprint(layout, metadata, header, states, omits_suffix=omits_suffix, serializer=options.serializer)
    store = RecordStore(context, blueprint, header)
    for former in metadata.former_indexes:
        clear_former_index(context, layout, former.subspace_key)
        if former.former_name is not None:
            store.states.forget(former.former_name)
    # The lost header may have allowed others to remember it.
    write_header(store, was_cacheable=await context.metadata_version() is not None)
    if keep_indexes_and_lock is not None:
        lock(store, StoreLock.FULL_STORE, reason=keep_indexes_and_lock)
        return True
    for index in metadata.indexes.values():
        clear_and_mark(store, index, IndexState.DISABLED)
    return True


async def _restore_feed(context: Context, layout: StoreLayout, header: StoreHeader) -> None:
    feed = FeedLayout(layout)
    state, last = await context.get(feed.state), await context.get(feed.last)
    if state is None:
        return
    if header.format_version < FormatVersion.HEADER_USER_FIELDS:
        context.clear_range(feed.prefix, feed.prefix + b"\xff")
        return
    header.message.user_field.add(key=FEED, value=FeedState.parse(state).settings.serialized())
    if last is not None and header.format_version >= FormatVersion.INCARNATION:
        header.message.incarnation = int.from_bytes(last[:4], "big")


def _check_formats(metadata: RecordMetaData, least_format: int, options: OpenOptions, *, locks: bool) -> None:
    """Raises  UsageError."""
    wanted = options.format_version
    if not FormatVersion.INFO_ADDED <= least_format <= wanted:
        raise UsageError(least_format=least_format, format_version=wanted, hint="at least 1, at most the new version")
    if wanted >= FormatVersion.SAVE_UNSPLIT_WITH_SUFFIX and least_format < FormatVersion.SAVE_VERSION_WITH_RECORD:
        raise UsageError(
            least_format=least_format,
            format_version=wanted,
            hint="formats before 6 keep records and versions in other places, and only the header said which",
        )
    if metadata.record_count_key is not None and wanted < FormatVersion.RECORD_COUNT_STATE:
        raise UsageError(format_version=wanted, hint="metadata with a record count key needs format version 11")
    if locks and wanted < FormatVersion.FULL_STORE_LOCK:
        raise UsageError(format_version=wanted, hint="a full lock needs format version 14")
