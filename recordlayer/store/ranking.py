"""Ranks as callers ask for them: from either end, by fractions, and the records at a range of ranks.

Cost    see `index.rank`; counting from the greatest score needs the size too: 1 range read more
Source  Record Layer, RankIndexMaintainer: RANK_FOR_SCORE, SCORE_FOR_RANK, scans by rank. Counting from the greatest and
        percentiles are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from typing import Any

from recordlayer.cursor.step import Batch, Cursor
from recordlayer.errors import CorruptIndexEntry, UsageError
from recordlayer.index.columns import as_is, converter, field_column
from recordlayer.index.entry import IndexEntry
from recordlayer.index.rank import RankIndex, Scores
from recordlayer.keys import Grouping
from recordlayer.metadata import Index
from recordlayer.store.fetch import FetchRecords
from recordlayer.store.record import StoredRecord
from recordlayer.store.scanning import scan_options
from recordlayer.store.store import RecordStore
from recordlayer.store.synthesis import SyntheticRecords

Items = tuple[Any, ...]


class Ranking:
    """The scores of one group, with values as people write them."""

    def __init__(self, store: RecordStore, index: Index, scores: Scores) -> None:
        self.store = store
        self.index = index
        self._scores = scores

    async def rank(self, score: Items, *, reverse: bool, snapshot: bool) -> int:
        """How many scores are smaller; greater in reverse."""
        root = self.index.root_expression
        assert isinstance(root, Grouping), "ranks are kept by a grouping"
        items = as_elements(self.store, self.index, score, start=root.grouping_count)
        rank = await self._scores.rank(items, snapshot=snapshot)
        if not reverse:
            return rank
        size = await self._scores.size(snapshot=snapshot)
        return size - rank - await self._scores.count(items, snapshot=snapshot)

    async def score(self, rank: int, *, reverse: bool, snapshot: bool) -> Items | None:
        """The score with a rank, None behind the last."""
        _check_rank("rank", rank)
        if reverse:
            rank = await self._scores.size(snapshot=snapshot) - 1 - rank
            if rank < 0:
                return None
        return await self._scores.score_at(rank, snapshot=snapshot)

    async def percentile(self, fraction: float, *, snapshot: bool) -> Items | None:
        """The least score that such a part of all scores does not exceed."""
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
            raise UsageError(fraction=fraction, hint="give a number from 0 to 1: 0.5 is the median")
        size = await self._scores.size(snapshot=snapshot)
        return await self._scores.score_at(max(0, math.ceil(fraction * size) - 1), snapshot=snapshot)

    async def size(self, *, snapshot: bool) -> int:
        """How many scores there are."""
        return await self._scores.size(snapshot=snapshot)

    def entries(self, start: int, stop: int | None, **how: Any) -> Cursor[IndexEntry]:
        """The entries with ranks from `start` up to, not including, `stop`."""
        _check_rank("start", start)
        if stop is not None:
            _check_rank("stop", stop)
        options = scan_options(self.store, **how)
        if not options.reverse:
            return self._scores.scan(start or None, stop, options)
        if not start and stop is None:
            return self._scores.scan(None, None, options)

        async def from_the_end() -> Cursor[IndexEntry]:
            size = await self._scores.size(snapshot=options.snapshot)
            low = None if stop is None else max(0, size - stop)
            return self._scores.scan(low, max(0, size - start), options)

        return Later(from_the_end)

    def records(self, start: int, stop: int | None, **how: Any) -> Cursor[StoredRecord]:
        """The records of these entries."""
        snapshot = bool(how.get("snapshot"))
        return entry_records(self.store, self.index, self.entries(start, stop, **how), snapshot=snapshot)


def ranking(store: RecordStore, name: str, group: Items) -> Ranking:
    """The ranks of a group of a RANK index.  Raises  UnknownIndex, IndexNotReadable, UsageError."""
    maintainer = store.index_maintainer(name)
    if not isinstance(maintainer, RankIndex):
        raise UsageError(
            index=name, type=maintainer.type, hint="only a RANK index knows ranks: define one with rank(...)"
        )
    index = store.metadata.index(name)
    return Ranking(store, index, maintainer.scores(as_elements(store, index, group, start=0)))


def as_elements(store: RecordStore, index: Index, values: Items, *, start: int) -> Items:
    """Values as the elements of an index's columns from `start` on: 3 for a column of doubles is 3.0.

    Raises  WrongType.
    """
    known = store.metadata.kinds_of(index)
    columns = index.root_expression.normalized()[start:]
    descriptor = known[0].descriptor if len(known) == 1 else None
    converted = []
    for place, value in enumerate(values):
        found = field_column(columns[place], descriptor) if descriptor is not None and place < len(columns) else None
        converted.append((as_is if found is None or found.whole else converter(found.field))(value))
    return tuple(converted)


def entry_records(store: RecordStore, index: Index, entries: Cursor[IndexEntry], *, snapshot: bool) -> Cursor[Any]:
    """The record of each entry, stored or synthetic.  Cost  1 range read a record, those of a batch together."""
    if store.metadata.synthetic_of(index):
        return SyntheticRecords(store, entries, snapshot=snapshot)

    def missing(entry: IndexEntry) -> CorruptIndexEntry:
        return CorruptIndexEntry(
            index=index.name, key=entry.key, primary_key=entry.primary_key, found="the entry has no record"
        )

    return FetchRecords(store.records, entries, missing, None, snapshot=snapshot)


def _check_rank(name: str, rank: Any) -> None:
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 0:
        raise UsageError(
            argument=name, got=rank, hint="ranks are whole numbers from 0; use reverse to count from the end"
        )


class Later(Cursor[IndexEntry]):
    """A cursor that is made when it is first asked, from something that must be read before."""

    __slots__ = ("_cursor", "_make")

    def __init__(self, make: Callable[[], Coroutine[Any, Any, Cursor[IndexEntry]]]) -> None:
        self._make = make
        self._cursor: Cursor[IndexEntry] | None = None

    async def batch(self) -> Batch[IndexEntry]:
        if self._cursor is None:
            self._cursor = await self._make()
        return await self._cursor.batch()
