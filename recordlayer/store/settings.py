"""What a store's header keeps for its users: their own fields, locks, the incarnation, whether its state may be cached,
whether records are counted. Each change is one write of the header, with the time of the change.

Cost    reading: none, the header was read when the store was opened; a change: 1 write (+ 1 of the database's metadata
        version stamp on a store whose state is cached)
Source  Record Layer, FDBRecordStore: setHeaderUserFieldAsync, setStoreLockStateAsync, updateIncarnation,
        setStateCacheabilityAsync, updateRecordCountStateAsync
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from recordlayer.errors import FeedRefused, UsageError, WrongType
from recordlayer.pb.record_metadata_pb2 import DataStoreInfo
from recordlayer.store.change_layout import FEED
from recordlayer.store.counts import RecordCounts, RecordCountState
from recordlayer.store.header import FormatVersion
from recordlayer.store.header_writes import write_header
from recordlayer.store.sharing import SHARED, refuse_what_java_cannot_read
from recordlayer.store.store import RecordStore

_STATES = DataStoreInfo.StoreLockState
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_INCARNATION = (1 << 31) - 1


class StoreLock(enum.Enum):
    """What a lock forbids."""

    RECORD_UPDATES = "FORBID_RECORD_UPDATE"
    """Saving and deleting records. The store can be opened and read."""
    FULL_STORE = "FULL_STORE"
    """Opening the store, except for who gives the lock's reason."""


@dataclass(frozen=True, slots=True)
class LockInfo:
    """A lock as it is set. `lock` is None for one that this library does not know."""

    lock: StoreLock | None
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """A store's header, as this transaction sees it.

    format_version, metadata_version  of the store, at least those it was opened with
    user_version      the application's own, 0 if it has none
    updated_at        when the header was last written, None if that is not known
    cacheable         processes may keep this state between transactions
    incarnation       how often the store was moved between databases, for versions that must not go back
    lock              None if there is none
    record_counts     whether records are counted by the metadata's record count key, if it has one
    user_fields       the application's own, in their order
    """

    format_version: int
    metadata_version: int
    user_version: int
    updated_at: datetime | None
    cacheable: bool
    incarnation: int
    lock: LockInfo | None
    record_counts: RecordCountState
    user_fields: Mapping[str, bytes]


def info(store: RecordStore) -> StoreInfo:
    """What the header says.  Cost  none."""
    return info_of(store.header.message)


def info_of(header: DataStoreInfo) -> StoreInfo:
    """What a header says of a store that is not open."""
    lock = header.store_lock_state
    fields: dict[str, bytes] = {}
    for entry in header.user_field:
        fields.setdefault(entry.key, entry.value)
    return StoreInfo(
        format_version=header.formatVersion,
        metadata_version=header.metaDataversion,
        user_version=header.userVersion,
        updated_at=_time(header.lastUpdateTime) if header.HasField("lastUpdateTime") else None,
        cacheable=header.cacheable,
        incarnation=header.incarnation,
        lock=_lock_info(lock) if header.HasField("store_lock_state") else None,
        record_counts=RecordCountState(header.record_count_state),
        user_fields=MappingProxyType(fields),
    )


def _lock_info(lock: DataStoreInfo.StoreLockState) -> LockInfo:
    known = None if lock.lock_state == _STATES.UNSPECIFIED else StoreLock(_STATES.State.Name(lock.lock_state))
    return LockInfo(known, lock.reason, _time(lock.timestamp))


def _time(milliseconds: int) -> datetime:
    # Whatever bytes a damaged header has there, it must stay readable.
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _require(store: RecordStore, format_version: FormatVersion) -> None:
    if store.header.format_version < format_version:
        raise UsageError(
            setting=format_version.name.lower().replace("_", " "),
            format_version=store.header.format_version,
            needed=int(format_version),
            hint=f"open the store with format_version={int(format_version)}, once all its readers know that format",
        )


def _changed(store: RecordStore, *, was_cacheable: bool | None = None) -> None:
    # The header may come from a cache: whoever changed it since then must not be overwritten.
    store.context.add_read_conflict_key(store.layout.header)
    write_header(store, was_cacheable=store.header.cacheable if was_cacheable is None else was_cacheable)


# -- the application's own fields ----------------------------------------------------------------------------


def user_field(store: RecordStore, name: str) -> bytes | None:
    """The value of a field of the application's own, None if it is not set.  Cost  none."""
    for entry in store.header.message.user_field:
        if entry.key == name:
            return bytes(entry.value)
    return None


def set_user_field(store: RecordStore, name: str, value: bytes) -> None:
    """Keep a few bytes under a name in the header.

    Raises  WrongType; UsageError on a store of a format before 8.
    """
    if not isinstance(name, str):
        raise WrongType(argument="name", value=name, hint="a field is named by a string")
    if not isinstance(value, bytes):
        raise WrongType(argument="value", value=value, hint="give bytes")
    _refuse_feeds_field(name)
    write_user_field(store, name, value)


def _refuse_feeds_field(name: str) -> None:
    if name == FEED:
        raise UsageError(field=name, hint="this field tells that the store has a change feed: store.feed switches it")


def write_user_field(store: RecordStore, name: str, value: bytes) -> None:
    """The same, whatever the field is for."""
    _require(store, FormatVersion.HEADER_USER_FIELDS)
    found = [entry for entry in store.header.message.user_field if entry.key == name]
    for entry in found or [store.header.message.user_field.add(key=name)]:
        entry.value = value
    _changed(store)


def clear_user_field(store: RecordStore, name: str) -> bool:
    """Remove a field of the application's own. Whether there was one.  Raises  UsageError as `set_user_field`."""
    _refuse_feeds_field(name)
    return remove_user_field(store, name)


def remove_user_field(store: RecordStore, name: str) -> bool:
    """The same, whatever the field is for."""
    _require(store, FormatVersion.HEADER_USER_FIELDS)
    fields = store.header.message.user_field
    kept = [entry for entry in fields if entry.key != name]
    if len(kept) == len(fields):
        return False
    kept = [DataStoreInfo.UserFieldEntry.FromString(entry.SerializeToString()) for entry in kept]
    del fields[:]
    fields.extend(kept)
    _changed(store)
    return True


def share_with_java(store: RecordStore) -> None:
    """Mark the store as shared with the Java Record Layer: indexes that only this library can read are refused from now
    on, whoever opens it. The mark is a user field; `clear_user_field` takes it away.

    Raises  IndexNotSupported if the metadata has such an index; FeedRefused if the store has a change feed; UsageError
            as `set_user_field`.
    """
    if store.feed is not None:
        raise FeedRefused(reason="Java's changes would not be in the store's feed", hint="store.feed.disable() first")
    refuse_what_java_cannot_read(store.metadata)
    set_user_field(store, SHARED, b"")


# -- locks ---------------------------------------------------------------------------------------------------


def lock(store: RecordStore, what: StoreLock, *, reason: str) -> None:
    """Lock the store, in place of an earlier lock. RECORD_UPDATES takes effect at once, FULL_STORE for later openings.

    reason  for people who meet the lock; with FULL_STORE, what lets one open the store all the same

    Raises  WrongType; UsageError on a store of a format before 12, for FULL_STORE before 14.
    """
    if not isinstance(what, StoreLock):
        raise WrongType(argument="lock", value=what, hint="use StoreLock")
    if not isinstance(reason, str):
        raise WrongType(argument="reason", value=reason, hint="give a text")
    # A reader before 14 takes the value of a full lock for one it does not know, and opens the store.
    full = what is StoreLock.FULL_STORE
    _require(store, FormatVersion.FULL_STORE_LOCK if full else FormatVersion.STORE_LOCK_STATE)
    state = _STATES(
        lock_state=what.value,
        reason=reason,
        timestamp=int(store.context.world.clock.wall() * 1000),
    )
    store.header.message.store_lock_state.CopyFrom(state)
    _changed(store)


def unlock(store: RecordStore) -> bool:
    """Remove the lock. Whether there was one.  Raises  UsageError on a store of a format before 12."""
    _require(store, FormatVersion.STORE_LOCK_STATE)
    if not store.header.message.HasField("store_lock_state"):
        return False
    store.header.message.ClearField("store_lock_state")
    _changed(store)
    return True


# -- the rest ------------------------------------------------------------------------------------------------


def raise_incarnation(store: RecordStore, to: int | None = None) -> int:
    """Set the incarnation, by default to the next number. What it is now.

    To be raised when the store's data come to a database whose versions are lower: (incarnation, version) still rises.

    Raises  WrongType; UsageError for less than it is, or on a store of a format before 13.
    """
    _require(store, FormatVersion.INCARNATION)
    header = store.header.message
    number = header.incarnation + 1 if to is None else to
    if not isinstance(number, int) or isinstance(number, bool):
        raise WrongType(argument="incarnation", value=number, hint="give a whole number")
    if not header.incarnation <= number <= _LAST_INCARNATION:
        raise UsageError(
            incarnation=header.incarnation, asked=number, hint=f"it only rises, up to {_LAST_INCARNATION:,}"
        )
    header.incarnation = number
    _changed(store)
    return number


def set_cacheable(store: RecordStore, cacheable: bool) -> bool:
    """Let processes keep the store's state between transactions, or no longer. Whether that is a change.

    Every later change of the header or of an index state then also writes the database's metadata version stamp, which
    all processes read for free: so it is for stores that are opened often and changed seldom.

    Raises  WrongType; UsageError on a store of a format before 7.
    """
    if not isinstance(cacheable, bool):
        raise WrongType(argument="cacheable", value=cacheable, hint="give True or False")
    _require(store, FormatVersion.CACHEABLE_STATE)
    if store.header.cacheable is cacheable:
        return False
    store.header.message.cacheable = cacheable
    # The stamp is written in both directions: Java reads whether there is one before it first writes one.
    _changed(store, was_cacheable=True)
    return True


def set_record_counts(store: RecordStore, state: RecordCountState) -> bool:
    """Change whether records are counted by the metadata's record count key. Whether that is a change.

    READABLE and WRITE_ONLY may follow each other, DISABLED may follow both and nothing follows DISABLED, which clears
    the counters.

    Raises  WrongType; UsageError for another change, or on a store of a format before 11.
    """
    if not isinstance(state, RecordCountState):
        raise WrongType(argument="state", value=state, hint="use RecordCountState")
    _require(store, FormatVersion.RECORD_COUNT_STATE)
    current = RecordCountState(store.header.message.record_count_state)
    if current is state:
        return False
    if current is RecordCountState.DISABLED:
        raise UsageError(state=current.name, asked=state.name, hint="counters that were cleared do not come back")
    store.header.message.record_count_state = state.value
    if state is RecordCountState.DISABLED:
        RecordCounts.clear(store.context, store.layout)
        store.counts = None
    _changed(store)
    return True
