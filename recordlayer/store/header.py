"""The header of a store: which format, which metadata, which options; the value of its first key.

Fields that are not known here stay: the message is parsed, changed and written back, never made anew.

Source  Record Layer, DataStoreInfo in record_metadata.proto; FormatVersion
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING

from recordlayer.errors import CorruptHeader, FormatTooNew, StoreLocked, StoreMoved
from recordlayer.pb.parsing import PARSE_ERRORS
from recordlayer.pb.record_metadata_pb2 import DataStoreInfo
from recordlayer.store.places import path_of

if TYPE_CHECKING:
    from recordlayer.index.state import IndexState
    from recordlayer.store.change_log import ChangeLog


class FormatVersion(enum.IntEnum):
    """What a writer of a store may rely on. It only rises; opening a store never raises it unasked."""

    INFO_ADDED = 1
    RECORD_COUNT_ADDED = 2
    RECORD_COUNT_KEY_ADDED = 3
    FORMAT_CONTROL = 4
    SAVE_UNSPLIT_WITH_SUFFIX = 5
    SAVE_VERSION_WITH_RECORD = 6
    CACHEABLE_STATE = 7
    HEADER_USER_FIELDS = 8
    READABLE_UNIQUE_PENDING = 9
    CHECK_INDEX_BUILD_TYPE_DURING_UPDATE = 10
    RECORD_COUNT_STATE = 11
    STORE_LOCK_STATE = 12
    INCARNATION = 13
    FULL_STORE_LOCK = 14
    WRITE_ONLY_WITH_QUEUE = 15


NEWEST_FORMAT = int(max(FormatVersion))
DEFAULT_FORMAT = FormatVersion.CACHEABLE_STATE
"""What a new store gets: the same as from a Java process that says nothing."""

NO_VERSION = -1
"""Stands for the metadata version and user version of a store without a header."""

MOVED = "recordlayer: moved, "
"""What the reason of a lock begins with that is left where a store was moved away; behind it, where to."""

_LOCK = DataStoreInfo.StoreLockState


class StoreHeader:
    """A header, parsed when somebody looks. `present` is false for a store that has none yet. `feed` is what writes the
    change feed that the header tells of, in the transaction that goes by it, `states` what all who go by it know of
    index states: the states, and who is to be told of a change."""

    __slots__ = ("_message", "_unread", "feed", "present", "states")

    def __init__(self, message: DataStoreInfo | None, *, present: bool, unread: bytes | None = None) -> None:
        self._message = message
        self._unread = unread
        self.present = present
        self.feed: ChangeLog | None = None
        self.states: tuple[dict[str, IndexState], list[Callable[[], None]]] = {}, []

    @classmethod
    def absent(cls) -> StoreHeader:
        return cls(DataStoreInfo(), present=False)

    @classmethod
    def parse(cls, value: bytes, *, key: bytes) -> StoreHeader:
        """Raises  CorruptHeader."""
        try:
            return cls(DataStoreInfo.FromString(value), present=True)
        except PARSE_ERRORS as error:
            where = f"the header of {path_of(key[:-1])}"
            raise CorruptHeader(key=key, where=where, value=value[:64], found=str(error)) from error

    @classmethod
    def unlocked(cls, value: bytes) -> StoreHeader:
        """The header in bytes that were parsed before, and have no lock in them."""
        return cls(None, present=True, unread=value)

    @property
    def message(self) -> DataStoreInfo:
        """What it says. Whoever has it may change it."""
        message = self._message
        if message is None:
            assert self._unread is not None, "what is not parsed has its bytes"
            message = self._message = DataStoreInfo.FromString(self._unread)
            self._unread = None
        return message

    def is_unread(self, value: bytes) -> bool:
        """Whether it is what these bytes say, and nobody has looked, so that nobody can have changed it."""
        return self._unread == value

    def serialized(self) -> bytes:
        return self.message.SerializeToString(deterministic=True)

    def let_go(self) -> None:
        """The transaction is over: nobody is told of anything."""
        self.feed = None
        self.states[1].clear()

    # -- what it says ----------------------------------------------------------------------------------

    @property
    def format_version(self) -> int:
        return self.message.formatVersion

    @property
    def metadata_version(self) -> int:
        return self.message.metaDataversion if self.present else NO_VERSION

    @property
    def user_version(self) -> int:
        return self.message.userVersion if self.present else NO_VERSION

    @property
    def incarnation(self) -> int:
        return self.message.incarnation

    @property
    def cacheable(self) -> bool:
        return self.message.cacheable

    def check_format(self) -> None:
        """Raises  FormatTooNew for a format version that is not known here."""
        if self.present and not 1 <= self.format_version <= NEWEST_FORMAT:
            raise FormatTooNew(
                format_version=self.format_version,
                newest_known=NEWEST_FORMAT,
                hint="use a recordlayer that knows this format; the store was not touched",
            )

    def check_lock(self, *, bypass: str | None) -> None:
        """Raises  StoreLocked if the store must not even be opened; StoreMoved."""
        if not self.message.HasField("store_lock_state"):
            return
        lock = self.message.store_lock_state
        if lock.lock_state == _LOCK.FULL_STORE and lock.reason != bypass:
            if lock.reason.startswith(MOVED):
                raise StoreMoved(to=lock.reason[len(MOVED) :], since_ms=lock.timestamp)
            raise StoreLocked(state="FULL_STORE", reason=lock.reason, since_ms=lock.timestamp)
        if lock.lock_state == _LOCK.UNSPECIFIED and self.format_version >= FormatVersion.FULL_STORE_LOCK:
            raise StoreLocked(state="unknown", reason=lock.reason, hint="a newer writer locked the store in a new way")

    def check_may_write(self) -> None:
        """Raises  StoreLocked if records must not be changed. Who opened a fully locked store may change them."""
        if self._unread is not None:
            return
        message = self.message
        if message.HasField("store_lock_state"):
            lock = message.store_lock_state
            if lock.lock_state == _LOCK.FORBID_RECORD_UPDATE:
                raise StoreLocked(state="FORBID_RECORD_UPDATE", reason=lock.reason, since_ms=lock.timestamp)
