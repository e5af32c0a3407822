"""The states of an index, stored by index name in the store's keyspace 5; readable is written by absence.

Source  Record Layer, IndexState
"""

from __future__ import annotations

import enum

from recordlayer.errors import CorruptHeader, MalformedTuple
from recordlayer.tuples import pack, unpack


class IndexState(enum.Enum):
    """What may be done with an index. The values are the stored codes."""

    READABLE = 0
    """Complete: queries use it."""
    WRITE_ONLY = 1
    """Being built: changes are written, nobody reads it."""
    DISABLED = 2
    """Neither written nor read."""
    READABLE_UNIQUE_PENDING = 3
    """Complete, but records with equal values are still there: readable, not yet as unique."""
    WRITE_ONLY_WITH_QUEUE = 4
    """Being built: changes go to a queue."""

    @property
    def is_readable(self) -> bool:
        return self in (IndexState.READABLE, IndexState.READABLE_UNIQUE_PENDING)

    def packed(self) -> bytes:
        return pack((self.value,))

    @classmethod
    def unpacked(cls, value: bytes, *, index: str) -> IndexState:
        """Raises  CorruptHeader for bytes that are no state."""
        try:
            (code,) = unpack(value)
            return cls(code)
        except (MalformedTuple, ValueError, TypeError) as error:
            raise CorruptHeader(what="index state", index=index, value=value) from error
