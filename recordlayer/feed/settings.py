"""Switching the change feed of a store on and off.

The settings are in the header, so that whoever opens the store knows them, and beside the feed, where its readers look.

Cost    on: 1 range read of the records, 2 writes; off: 1 write, 1 clear range
"""

from __future__ import annotations

from recordlayer.errors import FeedMissing, FeedRefused, UsageError, WrongType
from recordlayer.kv.engine import StreamingMode
from recordlayer.store.change_layout import FEED, ID_BYTES, FeedSettings, FeedState
from recordlayer.store.change_log import ChangeLog
from recordlayer.store.settings import remove_user_field, write_user_field
from recordlayer.store.sharing import is_shared
from recordlayer.store.store import RecordStore


def log_of(store: RecordStore) -> ChangeLog:
    """The store's feed.  Raises  FeedMissing."""
    if store.feed is None:
        raise FeedMissing(prefix=store.layout.prefix, hint="switch it on: store.feed.enable()")
    return store.feed


async def enable(
    store: RecordStore, *, group_by: int = 0, new_images: bool = False, old_images: bool = False
) -> FeedSettings:
    """Keep a feed from now on: what changes behind this call, in this transaction already and by whomever has the store
    open in it, is in it.

    group_by    so many leading columns of the primary key make a group, whose changes lie together
    new_images  keep each record as it is saved
    old_images  keep each record as it was before

    Raises  FeedRefused if the store has a feed that is kept otherwise, is shared with Java, or has primary keys of
            fewer columns; UsageError on a store of a format before 8; WrongType.
    """
    if isinstance(group_by, bool) or not isinstance(group_by, int) or group_by < 0:
        raise WrongType(argument="group_by", value=group_by, hint="give a number of columns")
    for name, value in (("new_images", new_images), ("old_images", old_images)):
        if not isinstance(value, bool):
            raise WrongType(argument=name, value=value, hint="give True or False")
    for record_type in store.metadata.record_types.values():
        columns = record_type.primary_key.column_size
        if columns < group_by:
            raise FeedRefused(record_type=record_type.name, columns=columns, group_by=group_by)
    if is_shared(store.header):
        raise FeedRefused(
            reason="the store is marked as shared with the Java Record Layer, whose changes would not be in the feed",
            hint="follow a VERSION index: store.version_feed(index)",
        )
    if store.feed is not None:
        settings = store.feed.settings
        if (settings.group_by, settings.new_images, settings.old_images) == (group_by, new_images, old_images):
            return settings
        raise FeedRefused(kept=settings, hint="it is kept otherwise already: disable it, and its readers begin anew")
    settings = FeedSettings(
        id=store.context.world.random.randbytes(ID_BYTES),
        group_by=group_by,
        new_images=new_images,
        old_images=old_images,
    )
    records = store.layout.records
    found = await store.context.get_range(records, records + b"\xff", limit=1, mode=StreamingMode.EXACT)
    write_user_field(store, FEED, settings.serialized())
    log = store.header.feed = ChangeLog(store.context, store.layout, store.header, settings)
    state = FeedState(settings=settings, partial=bool(found.rows))
    store.context.set(log.layout.state, state.serialized())
    return settings


def disable(store: RecordStore) -> bool:
    """Keep no feed any more, and remove what is there. Whether there was one. Its tokens lead nowhere then."""
    if store.feed is None:
        return False
    prefix = store.feed.layout.prefix
    store.context.clear_range(prefix, prefix + b"\xff")
    remove_user_field(store, FEED)
    store.header.feed = None
    return True


def check_group(log: ChangeLog, group: object) -> tuple[object, ...] | None:
    """A group as a tuple of as many columns as the feed says.  Raises  UsageError."""
    if group is None:
        return None
    columns = group if isinstance(group, tuple) else (group,)
    size = log.settings.group_by
    if len(columns) != size:
        hint = f"a group has {size} columns" if size else "the feed has no groups: enable(group_by=...) makes them"
        raise UsageError(group=group, hint=hint)
    return columns
