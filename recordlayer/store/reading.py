"""Loads of records that are under way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from recordlayer.kv.engine import Chunk
from recordlayer.store.split import RawRecord
from recordlayer.waiting.waitable import Waitable


class Reading(NamedTuple):
    """A load under way."""

    base: bytes
    pairs: Waitable[Chunk] | None
    value: Waitable[bytes | None] | None
    old_version: Waitable[bytes | None] | None
    snapshot: bool
    ready: RawRecord | None = None
    """What was loaded before, where nothing is under way."""

    def cancel(self) -> None:
        """Nobody wants the record any more."""
        for waitable in (self.pairs, self.value, self.old_version):
            if waitable is not None:
                waitable.cancel()


class ReadingMany(NamedTuple):
    """Loads under way: in one read of all ranges, or each by itself."""

    primary_keys: Sequence[bytes]
    chunks: Waitable[list[Chunk]] | None
    each: Sequence[Reading]
    snapshot: bool

    def cancel(self) -> None:
        """Nobody wants the records any more."""
        if self.chunks is not None:
            self.chunks.cancel()
        for reading in self.each:
            reading.cancel()
