"""Forbidding changes in all stores of a tenant, by the lock that every writer respects, Java's too.

Where a store was moved away the lock stays, of the kind that keeps everybody out: see `moving`.

Cost    1 read and 1 write a store, many stores in one transaction
Source  Record Layer, FDBRecordStore.setStoreLockStateAsync: FORBID_RECORD_UPDATE
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from recordlayer.errors import TenantFrozen
from recordlayer.kv.context import Context
from recordlayer.pb.record_metadata_pb2 import DataStoreInfo
from recordlayer.store.header import FormatVersion
from recordlayer.store.layout import StoreLayout
from recordlayer.tenant.place import TenantPlace
from recordlayer.tenant.steps import Steps
from recordlayer.tenant.stores import HEADER, list_stores, path_at

Change = Callable[[Context, bytes, DataStoreInfo], Awaitable[bool]]

_STATES = DataStoreInfo.StoreLockState
_REASON = "recordlayer: exported, "


def reason_of(stream: bytes) -> str:
    """The reason of the lock that an export sets."""
    return _REASON + stream.hex()


def is_frozen(header: DataStoreInfo, reason: str) -> bool:
    """Whether a header has the lock of an export."""
    return header.HasField("store_lock_state") and header.store_lock_state.reason == reason


def frozen_by(header: DataStoreInfo) -> str | None:
    """The reason of the lock of any export, None if a header has none."""
    if header.HasField("store_lock_state") and header.store_lock_state.reason.startswith(_REASON):
        return str(header.store_lock_state.reason)
    return None


def without_lock(header: DataStoreInfo) -> bool:
    """Take the lock of any export out of a header; whether there was one."""
    if frozen_by(header) is None:
        return False
    header.ClearField("store_lock_state")
    return True


async def freeze(steps: Steps, place: TenantPlace, reason: str) -> int:
    """Forbid changes of records in every store below. How many stores there are.

    Raises  TenantFrozen for a store of a format before 12, or one that is locked already; stores before it are frozen.
    """
    return await each_header(steps, place, lambda context, key, header: _lock(context, place, key, header, reason))


async def thaw(steps: Steps, place: TenantPlace, reason: str | None = None) -> int:
    """Allow changes again where an export forbade them; with a `reason`, that export only. How many stores it was."""

    async def unlock(context: Context, key: bytes, header: DataStoreInfo) -> bool:
        if reason is not None and not is_frozen(header, reason):
            return False
        if without_lock(header):
            write_header(context, key, header)
            return True
        return False

    return await each_header(steps, place, unlock)


async def _lock(context: Context, place: TenantPlace, key: bytes, header: DataStoreInfo, reason: str) -> bool:
    if is_frozen(header, reason):
        return True
    if header.formatVersion < FormatVersion.STORE_LOCK_STATE or header.HasField("store_lock_state"):
        path = await path_at(context, place, key[: -len(HEADER)])
        raise TenantFrozen(
            store=str(path),
            format_version=header.formatVersion,
            lock=header.store_lock_state.reason or None,
            hint="open it with format_version=12 before, and unlock it; or export with another Guard",
        )
    header.store_lock_state.CopyFrom(
        _STATES(
            lock_state=_STATES.FORBID_RECORD_UPDATE,
            reason=reason,
            timestamp=int(context.world.clock.wall() * 1000),
        )
    )
    write_header(context, key, header)
    return True


def write_header(context: Context, key: bytes, header: DataStoreInfo) -> None:
    """Write a header, and let nobody go by the one before."""
    context.set(key, header.SerializeToString(deterministic=True))
    context.stores_changed = True
    if header.cacheable:
        context.change_metadata_version()


async def each_header(steps: Steps, place: TenantPlace, change: Change) -> int:
    """Change the headers of all stores, in steps. How many were. `change` says whether it was, and writes it."""
    total, resume = 0, None

    while True:

        async def some(context: Context, resume: bytes | None = resume) -> tuple[int, bytes | None]:
            page = await list_stores(context, place, limit=min(steps.keys, 1_000), continuation=resume)
            changed = 0
            for store in page.stores:
                key = StoreLayout(store.prefix).header
                value = await context.get(key)
                assert value is not None, "it was listed in this transaction"
                changed += await change(context, key, DataStoreInfo.FromString(value))
            return changed, page.continuation

        changed, resume = await steps.run(some)
        total += changed
        if resume is None:
            return total
