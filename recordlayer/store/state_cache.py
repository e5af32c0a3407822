"""What a process remembers of stores: their headers and index states, so that opening one again reads nothing.

An entry is used only where it is known to be what the transaction would read:

    read version            the entry was read at the version that the transaction reads at. Embedded engines know their
                            version for nothing, so there this holds until somebody commits; on a cluster it helps
                            transactions whose version was given or remembered (`TransactionOptions.staleness`)
    metadata version stamp  the store says in its header that its state may be cached: then whoever changes the header
                            or an index state, here or in Java, writes the database's stamp in the same commit, and an
                            entry holds as long as the stamp is what it was when the entry was read, for who reads
                            at that version or a later one: before, the store may not have been cacheable, and was
                            changed without a new stamp. Engines answer the stamp from what came with the read version

A transaction that opens a store from here conflicts with changes of its header, as if it had read it, and with changes
of the index states it goes by. One that has changed a store's state or cleared a range of keys itself does not look
here, and one that has written anything does not leave here what it read: that may never be committed.

Cost    memory for `stores` headers
Source  Record Layer, ReadVersionRecordStoreStateCache, MetaDataVersionStampStoreStateCache,
        FDBRecordStoreStateCacheEntry
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from recordlayer.errors import UsageError
from recordlayer.index.state import IndexState
from recordlayer.kv.context import Context

MOST_STORES = 1_000


@dataclass(slots=True)  # never changed; but one is made for each commit, and frozen ones take three times as long
class StoreState:
    """What one transaction read.

    read_version  of the last transaction that is known to have the same state, None if nobody asked for it
    stamp         the metadata version stamp then, None if the store's state may not be cached by it
    since         the read version from which on the stamp tells
    """

    header: bytes
    states: Mapping[str, IndexState]
    read_version: int | None
    stamp: bytes | None
    since: int


class StoreStateCache:
    """The states of the stores of one database. Safe in any number of threads: entries are replaced, never changed.

    stores               how many are remembered; over that, the older half is forgotten
    by_read_version      see the module
    by_metadata_version  see the module
    """

    __slots__ = ("_by_metadata_version", "_by_read_version", "_entries", "_most")

    def __init__(
        self, *, stores: int = MOST_STORES, by_read_version: bool = True, by_metadata_version: bool = True
    ) -> None:
        if type(stores) is not int or stores < 0:
            raise UsageError(argument="stores", value=stores, hint="a number of stores; 0 remembers none")
        self._most = stores
        self._by_read_version = by_read_version
        self._by_metadata_version = by_metadata_version
        self._entries: dict[bytes, StoreState] = {}

    async def find(self, context: Context, prefix: bytes) -> StoreState | None:
        """The state of the store with a prefix, if what is remembered is what `context` would read.

        Cost  none, or the metadata version stamp.
        """
        entry = self._entries.get(prefix)
        if entry is None or context.stores_changed or context.counters.range_clears:
            return None
        version = await context.known_read_version() if self._by_read_version else None
        if version is not None and version == entry.read_version:
            return entry
        if entry.stamp is None or await context.metadata_version() != entry.stamp:
            return None
        if await context.read_version() < entry.since:  # it came with the stamp
            return None
        if version is not None and (entry.read_version is None or version > entry.read_version):
            self._entries[prefix] = replace(entry, read_version=version)
        return entry

    async def remember(
        self, context: Context, prefix: bytes, header: bytes, states: Mapping[str, IndexState], *, cacheable: bool
    ) -> None:
        """Keep what `context` has read of the store with a prefix, if it can ever be used; `states` stay as they are.

        Cost  none, or the metadata version stamp.
        """
        if not self._most or context.stores_changed or context.counters.writes:
            return
        version = await context.known_read_version() if self._by_read_version else None
        stamp = await context.metadata_version() if self._by_metadata_version and cacheable else None
        known = self._entries.get(prefix)
        if version is None and stamp is None:
            if known is not None:
                self._entries.pop(prefix, None)
            return
        if known is not None and _is_newer(known, version, stamp):
            return
        since = 0 if stamp is None else await context.read_version()
        self._entries[prefix] = StoreState(header, states, version, stamp, since)
        if len(self._entries) > self._most:
            entries = list(self._entries.items())
            self._entries = dict(entries[len(entries) // 2 :])

    def forget(self) -> None:
        """Forget all stores: they are read again when they are next opened."""
        self._entries = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<StoreStateCache of {len(self._entries)} stores>"


def _is_newer(known: StoreState, version: int | None, stamp: bytes | None) -> bool:
    """Whether the entry that is there was read later than another one."""
    if known.stamp is not None and stamp is not None and known.stamp != stamp:
        return known.stamp > stamp
    return known.read_version is not None and version is not None and known.read_version > version
