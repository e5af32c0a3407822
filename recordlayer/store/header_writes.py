"""Writing a store's header, and removing a store as a whole. Processes that have it cached learn of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recordlayer.errors import CorruptHeader
from recordlayer.kv.context import Context
from recordlayer.store.header import StoreHeader
from recordlayer.store.layout import StoreLayout

if TYPE_CHECKING:
    from recordlayer.store.store import RecordStore


def write_header(store: RecordStore, *, was_cacheable: bool) -> None:
    """Store the header with the time of the change; processes that have it cached learn of it at their next read."""
    context = store.context
    store.header.message.lastUpdateTime = int(context.world.clock.wall() * 1000)
    store.header.present = True
    context.set(store.layout.header, store.header.serialized())
    context.stores_changed = True
    if was_cacheable:
        context.change_metadata_version()


async def delete_store(context: Context, prefix: bytes) -> None:
    """Remove a store with all that is in it. Processes that have it cached learn of it.

    Cost  1 read, 1 clear range.
    """
    layout = StoreLayout(prefix)
    value = await context.get(layout.header)
    if value is not None:
        try:
            cacheable = StoreHeader.parse(value, key=layout.header).cacheable
        except CorruptHeader:
            cacheable = True
        if cacheable:
            context.change_metadata_version()
    context.stores_changed = True
    context.clear_range(prefix + b"\x00", prefix + b"\xff")
    context.forget_claims(prefix)
