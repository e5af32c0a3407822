"""What a process remembers of stored metadata, so that a transaction that needs it reads nothing.

An entry is used where it was read at the transaction's read version, or where the database's metadata version stamp is
what it was then: saving metadata here writes the stamp. The Java Record Layer does not write it when it saves metadata,
so what Java has saved may be seen late; at the latest when a store is opened that has been opened with it, because that
store then refuses the older metadata, and the newer is read.

Cost  memory for the metadata of `MOST` places
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from recordlayer.kv.context import Context
from recordlayer.metadata import RecordMetaData

MOST = 100


class _Entry(NamedTuple):
    data: bytes
    metadata: RecordMetaData
    local: object
    read_version: int | None
    stamp: bytes | None


class MetaDataCache:
    """Metadata by the place where it is kept. Safe in any number of threads: entries are replaced, never changed."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[tuple[bytes, int], _Entry] = {}

    async def find(self, context: Context, prefix: bytes, local: object) -> RecordMetaData | None:
        """The metadata kept at a prefix, if what is remembered is what `context` would read."""
        entry = self._entries.get((prefix, id(local)))
        if entry is None or context.stores_changed or context.counters.range_clears:
            return None
        version = await context.known_read_version()
        if version is not None and version == entry.read_version:
            return entry.metadata
        if entry.stamp is None or await context.metadata_version() != entry.stamp:
            return None
        if version is not None and (entry.read_version is None or version > entry.read_version):
            self._entries[prefix, id(local)] = entry._replace(read_version=version)
        return entry.metadata

    async def remember(
        self, context: Context, prefix: bytes, local: object, data: bytes, build: Callable[[bytes], RecordMetaData]
    ) -> RecordMetaData:
        """The metadata in the bytes that `context` has read; the same object as before if they are the same."""
        key = prefix, id(local)
        entry = self._entries.get(key)
        metadata = entry.metadata if entry is not None and entry.data == data else build(data)
        if context.stores_changed or context.counters.writes:
            return metadata
        version, stamp = await context.known_read_version(), await context.metadata_version()
        if version is not None or stamp is not None:
            self._entries[key] = _Entry(data, metadata, local, version, stamp)
            if len(self._entries) > MOST:
                entries = list(self._entries.items())
                self._entries = dict(entries[len(entries) // 2 :])
        return metadata
