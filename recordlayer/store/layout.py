"""The keyspaces of a record store: the only place with their numbers.

Layout  S is the store's prefix; the first tuple element behind it is one of
        0   the header, exactly this key
        1   records: (*primary key, suffix); the suffix is 0, or 1, 2, 3... for parts, or -1 for the version
        2   index entries: (index key, ...)            3   secondary space of indexes
        4   record counts: (*count key)                5   index states: (index name)
        6   built ranges of indexes: (index key, bytes)
        7   uniqueness violations: (index key, *columns, *primary key)
        8   record versions of old formats: (*primary key)
        9   index builds: (index key, ...)             10  sliding windows
        254 versions by time, which is ours: `store.version_times`
        255 the change feed, which is ours too: `store.change_layout`. Java's numbers go up from 0. When it opens a
            store it looks at the first pair and at keyspace 5, so it meets neither

Source  Record Layer, FDBRecordStoreKeyspace
"""

from __future__ import annotations

import enum

from recordlayer.tuples import pack


class Keyspace(enum.IntEnum):
    """First element of every key of a store."""

    HEADER = 0
    RECORDS = 1
    INDEXES = 2
    INDEX_SECONDARY = 3
    RECORD_COUNTS = 4
    INDEX_STATES = 5
    INDEX_RANGES = 6
    UNIQUENESS_VIOLATIONS = 7
    OLD_RECORD_VERSIONS = 8
    INDEX_BUILDS = 9
    SLIDING_WINDOWS = 10
    VERSION_TIMES = 254
    CHANGE_FEED = 255


_ELEMENTS = {keyspace: pack((keyspace.value,)) for keyspace in Keyspace}


class StoreLayout:
    """The keys of one store."""

    __slots__ = ("header", "index_states", "old_versions", "prefix", "record_counts", "records")

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self.header = prefix + _ELEMENTS[Keyspace.HEADER]
        self.records = prefix + _ELEMENTS[Keyspace.RECORDS]
        self.record_counts = prefix + _ELEMENTS[Keyspace.RECORD_COUNTS]
        self.index_states = prefix + _ELEMENTS[Keyspace.INDEX_STATES]
        self.old_versions = prefix + _ELEMENTS[Keyspace.OLD_RECORD_VERSIONS]

    def of(self, keyspace: Keyspace) -> bytes:
        """The prefix of a keyspace."""
        return self.prefix + _ELEMENTS[keyspace]

    def keyspace_of(self, key: bytes) -> Keyspace | None:
        """Which keyspace a key of the store is in; None if it is in none."""
        for keyspace in reversed(Keyspace):
            if key.startswith(self.of(keyspace)):
                return keyspace
        return None
