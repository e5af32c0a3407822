"""Leaderboards with windows of time, in the asyncio facade."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recordlayer.aio.ranks import Ranks
from recordlayer.index.leaderboard_directory import ALL_TIME, FIRST, Rebuild, Window, Windows, WindowUpdate
from recordlayer.index.ranked_set import DEFAULT_LEVELS
from recordlayer.store import leaderboards
from recordlayer.store.leaderboards import WindowsUpdated
from recordlayer.store.store import RecordStore as Core
from recordlayer.waiting.drivers import run_asyncio


class Leaderboard:
    """The windows of a leaderboard index, and the ranks in them: `RecordStore.leaderboard`.

    Times are numbers in the unit of the timestamps in the records. Windows have types, numbers that mean what the
    application says (1 days, 2 weeks ...); type 0 is the one window of all time. Before the first `update_windows`
    nothing is indexed. In each window and group a record has its best score there.
    """

    def __init__(self, core: Core, index: str) -> None:
        self._core = core
        self._index = index

    async def update_windows(
        self,
        now: int,
        windows: Sequence[Windows] = (),
        *,
        high_score_first: bool = True,
        delete_before: int = FIRST,
        all_time: bool = True,
        levels: int = DEFAULT_LEVELS,
        rebuild: Rebuild = Rebuild.IF_OVERLAPPING_CHANGED,
    ) -> WindowsUpdated:
        """Add the windows that are missing and remove those that have ended by `delete_before`.

        now               kept as the time of the last change
        windows           those that there shall be
        high_score_first  whether the greatest score is the best; changing it builds the index anew
        all_time          have a window of all time too
        levels            of the ranked sets of windows that are added
        rebuild           whether to index scores that are stored already

        Cost    2 reads and 1 write; a rebuild reads all records and writes all entries, in this transaction.
        Raises  UsageError; StoreLocked.
        """
        update = WindowUpdate(
            updated=now,
            high_score_first=high_score_first,
            delete_before=delete_before,
            all_time=all_time,
            windows=windows,
            levels=levels,
            rebuild=rebuild,
        )
        index = self._core.metadata.index(self._index)
        return await run_asyncio(leaderboards.update_windows(self._core, index, update))

    async def windows(self) -> tuple[Window, ...]:
        """The windows there are, by type, the oldest first.  Cost  1 read."""
        directory = await run_asyncio(leaderboards.leaderboard(self._core, self._index).directory())
        return () if directory is None else directory.windows

    async def set_direction(self, *group: Any, high_score_first: bool) -> None:
        """Have the scores of one group in a direction of its own, from before its first score on.

        Cost    1 write.
        Raises  UsageError for another number of columns.
        """
        self._core.header.check_may_write()
        board = leaderboards.leaderboard(self._core, self._index)
        board.save_direction(group, high_score_first=high_score_first)

    def ranks(self, *group: Any, type: int = ALL_TIME, at: int = 0) -> Ranks:  # noqa: A002  (the word of the format)
        """The scores of a group in the oldest window of a type that contains the time `at`: rank 0 is the best. There
        are none if there is no such window.

        A score has all grouped columns (score, time, ...); `rank` takes the first of them too: `rank(50)` says how many
        are better than any 50.

        Raises  UsageError.
        """
        return Ranks(leaderboards.window_ranking(self._core, self._index, type, at, group))

    async def rank_of(
        self,
        key: Any,
        *,
        type: int = ALL_TIME,  # noqa: A002  (the word of the format)
        at: int = 0,
        snapshot: bool = False,
    ) -> tuple[int, tuple[Any, ...]] | None:
        """The rank of the record with a primary key in a window, and the score that it has there; None without one.

        Cost    1 range read for the record, 3 reads, about 1 range read for each level.
        Raises  UsageError for a record with scores in several groups.
        """
        return await run_asyncio(leaderboards.rank_of(self._core, self._index, key, type, at, snapshot=snapshot))

    async def trim(self, scores: Sequence[tuple[Any, ...]], *, grouped: bool = True) -> list[tuple[Any, ...]]:
        """Those of some scores that are the best in some window: what a record needs to keep.

        grouped  whether the scores begin with the columns of their group

        Cost    1 read, and 1 for each group.
        """
        board = leaderboards.leaderboard(self._core, self._index)
        return await run_asyncio(board.trimmed(scores, grouped=grouped))
