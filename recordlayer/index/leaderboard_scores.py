"""The scores of one group in one window of a leaderboard, best first.

Cost    2 reads to find the window and the group's direction; then as `index.ranked_set`
Source  Record Layer, TimeWindowLeaderboardIndexMaintainer: TIME_WINDOW_RANK_FOR_SCORE, SCORE_FOR_TIME_WINDOW_RANK,
        TIME_WINDOW_COUNT, scans BY_TIME_WINDOW
"""

from __future__ import annotations

from typing import Any

from recordlayer.cursor.scan import FORWARD, ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.index.bounds import End
from recordlayer.index.entry import IndexEntry
from recordlayer.index.leaderboard import LeaderboardIndex
from recordlayer.index.leaderboard_directory import Directory, Window, negated
from recordlayer.index.rank import RankEnd, Sought, scores_between
from recordlayer.index.ranked_set import RankedSet
from recordlayer.tuples import pack, unpack

Items = tuple[Any, ...]


class WindowScores:
    """The scores of one group in one window: none if there is no such window. A score is its first columns, or all."""

    __slots__ = ("_group", "_index", "_kind", "_timestamp")

    def __init__(self, index: LeaderboardIndex, kind: int, timestamp: int, group: Items) -> None:
        self._index = index
        self._kind = kind
        self._timestamp = timestamp
        self._group = group

    async def _there(self, *, snapshot: bool) -> tuple[Directory, Window, RankedSet, bool] | None:
        found = await self._index.window(self._kind, self._timestamp, snapshot=snapshot)
        if found is None:
            return None
        directory, window = found
        high = await self._index.high_score_first(directory, self._group, snapshot=snapshot)
        return directory, window, self._index.ranked_set(window, self._group), high

    async def rank(self, score: Items, *, snapshot: bool = False) -> int:
        """How many are better than this score, or than all that begin with these columns."""
        packed = self._index.check_score(score, whole=False)
        found = await self._there(snapshot=snapshot)
        if found is None:
            return 0
        *_, ranks, high = found
        return await ranks.rank(pack(negated(score)) if high else packed, snapshot=snapshot)

    async def count(self, score: Items, *, snapshot: bool = False) -> int:
        packed = self._index.check_score(score, whole=True)
        found = await self._there(snapshot=snapshot)
        if found is None:
            return 0
        *_, ranks, high = found
        return await ranks.count(pack(negated(score)) if high else packed, snapshot=snapshot)

    async def score_at(self, rank: int, *, snapshot: bool = False) -> Items | None:
        found = await self._there(snapshot=snapshot)
        if found is None:
            return None
        *_, ranks, high = found
        member = await ranks.member_at(rank, snapshot=snapshot)
        if member is None:
            return None
        score = unpack(member)
        return negated(score) if high else score

    async def size(self, *, snapshot: bool = False) -> int:
        found = await self._there(snapshot=snapshot)
        return 0 if found is None else await found[2].size(snapshot=snapshot)

    def scan(self, low: int | None, high: int | None, options: ScanOptions = FORWARD) -> Cursor[IndexEntry]:
        """The entries with ranks from `low` up to, not including, `high`: the best first."""
        begin = None if low is None else (low, End.INCLUSIVE)
        return self.between(begin, None if high is None else (high, End.EXCLUSIVE), options)

    def between(self, low: RankEnd | None, high: RankEnd | None, options: ScanOptions) -> Cursor[IndexEntry]:
        """The entries between two ranks; None is no end."""

        async def entries(inner: ScanOptions) -> Cursor[IndexEntry] | None:
            found = await self._there(snapshot=inner.snapshot)
            if found is None:
                return None
            directory, window, ranks, _ = found
            scores = await scores_between(ranks, self._group, low, high, snapshot=inner.snapshot)
            return None if scores is None else self._index.scan_window(directory, window, scores, inner)

        return Sought(entries, options)
