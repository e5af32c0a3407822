"""Entries of a leaderboard's windows, and bounds of their scores: stored negated, shown as they were."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from recordlayer.cursor.scan import KeyValueScan
from recordlayer.cursor.step import Batch, Cursor
from recordlayer.index.bounds import Bounds
from recordlayer.index.entry import EntryLayout, IndexEntry
from recordlayer.index.leaderboard_directory import negated
from recordlayer.tuples import pack, unpack

Items = tuple[Any, ...]


def turned_round(bounds: Bounds, at: int) -> Bounds:
    """Bounds whose column at a place is negated: what was the low end is the high one."""

    def end(items: Items | None) -> Items | None:
        return items if items is None or len(items) <= at else (*items[:at], *negated(items[at:]))

    return Bounds(end(bounds.high), end(bounds.low), bounds.high_end, bounds.low_end)


class WindowEntries(Cursor[IndexEntry]):
    """Entries of a window, their scores as they were in the records."""

    __slots__ = ("_at", "_direction", "_directions", "_layout", "_source", "_start")

    def __init__(
        self,
        layout: EntryLayout,
        source: KeyValueScan,
        start: int,
        at: int,
        direction: Callable[[Items], Coroutine[Any, Any, bool]],
    ) -> None:
        self._layout = layout
        self._source = source
        self._start = start
        self._at = at
        self._direction = direction
        self._directions: dict[Items, bool] = {}

    async def batch(self) -> Batch[IndexEntry]:
        batch = await self._source.batch()
        entries = []
        for key, _ in batch.values:
            items = unpack(key, self._start)
            group = items[: self._at]
            if group not in self._directions:
                self._directions[group] = await self._direction(group)
            suffix = key[self._start :]
            if self._directions[group]:
                suffix = pack((*group, *negated(items[self._at :])))
            entries.append(IndexEntry(self._layout, suffix, b""))
        return Batch(entries, batch.resume, batch.stop, batch.end)
