# Generated from recordlayer/aio/header.py by tests/house/generate_blocking.py: do not edit.
"""What a store's header keeps for its users, in the blocking facade."""

from __future__ import annotations

from recordlayer.store import settings
from recordlayer.store.counts import RecordCountState
from recordlayer.store.settings import StoreInfo, StoreLock
from recordlayer.store.store import RecordStore as Core


class StoreHeader:
    """The header of a store: `RecordStore.header`.

    Reading costs nothing; a change is 1 write, and one more on a store whose state is cached. Two transactions that
    change the header of a store conflict.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    @property
    def info(self) -> StoreInfo:
        """All that it says: versions, time of the last change, lock, incarnation, the application's own fields..."""
        return settings.info(self._core)

    def user_field(self, name: str) -> bytes | None:
        """The value of a field of the application's own, None if it is not set."""
        return settings.user_field(self._core, name)

    def set_user_field(self, name: str, value: bytes) -> None:
        """Keep a few bytes under a name: they are read whenever the store is opened.

        Raises  WrongType; UsageError on a store of a format before 8.
        """
        settings.set_user_field(self._core, name, value)

    def clear_user_field(self, name: str) -> bool:
        """Remove a field of the application's own. Whether there was one.  Raises  UsageError as `set_user_field`."""
        return settings.clear_user_field(self._core, name)

    def share_with_java(self) -> None:
        """Mark the store as shared with the Java Record Layer: metadata with indexes that only this library can read
        (counters spread over cells) are refused from now on. A user field, "recordlayer.shared_with_java", is the mark.

        Raises  IndexNotSupported if these metadata have such an index; FeedRefused if the store has a change feed;
                UsageError on a store of a format before 8.
        """
        settings.share_with_java(self._core)

    def forbid_updates(self, *, reason: str) -> None:
        """Have every save and delete in this store fail from now on; it can still be read.

        Raises  WrongType; UsageError on a store of a format before 12.
        """
        settings.lock(self._core, StoreLock.RECORD_UPDATES, reason=reason)

    def lock(self, *, reason: str) -> None:
        """Have every later opening of this store fail, except with `bypass_lock=reason`.

        Raises  WrongType; UsageError on a store of a format before 14.
        """
        settings.lock(self._core, StoreLock.FULL_STORE, reason=reason)

    def unlock(self) -> bool:
        """Remove the lock of either kind. Whether there was one.  Raises  UsageError before format 12."""
        return settings.unlock(self._core)

    def raise_incarnation(self, to: int | None = None) -> int:
        """Set the incarnation, by default to the next number. What it is now. Raise it when the data come to a database
        whose versions are lower: (incarnation, version) then still rises.

        Raises  WrongType; UsageError for less than it is, or on a store of a format before 13.
        """
        return settings.raise_incarnation(self._core, to)

    def set_cacheable(self, cacheable: bool) -> bool:
        """Let processes keep the store's state between transactions, or no longer. Whether that is a change. For stores
        that are opened often and changed seldom.

        Raises  WrongType; UsageError on a store of a format before 7.
        """
        return settings.set_cacheable(self._core, cacheable)

    def set_record_counts(self, state: RecordCountState) -> bool:
        """Change whether records are counted by the metadata's record count key. Whether that is a change. DISABLED
        clears the counters, for good.

        Raises  WrongType; UsageError for a change that is not allowed, or on a store of a format before 11.
        """
        return settings.set_record_counts(self._core, state)

    def __repr__(self) -> str:
        return f"<StoreHeader {self.info!r}>"
