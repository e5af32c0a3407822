# Generated from recordlayer/aio/ranks.py by tests/house/generate_blocking.py: do not edit.
"""Ranks, in the blocking facade."""

from __future__ import annotations

from typing import Any

from recordlayer.blocking.cursor import EntryCursor, RecordCursor
from recordlayer.cursor.limits import NO_LIMITS, Limits
from recordlayer.store.ranking import Ranking
from recordlayer.waiting.drivers import run_blocking


class Ranks:
    """The scores of one group in order, each with its rank: `RecordStore.ranks`.

    The first rank is 0. Ranks are counted from the smallest score, with `reverse` from the greatest. Equal scores have
    the same rank; they count as one, unless the index counts duplicates.
    """

    def __init__(self, core: Ranking) -> None:
        self._core = core

    def rank(self, *score: Any, reverse: bool = False, snapshot: bool = False) -> int:
        """How many scores are smaller than this one, whether anybody has it or not; greater ones with `reverse`.

        Cost    about 1 range read for each level of the index (6); with `reverse` 2 more.
        Raises  UsageError, WrongType for what is no score of this index.
        """
        return run_blocking(self._core.rank(score, reverse=reverse, snapshot=snapshot))

    def score(self, rank: int, *, reverse: bool = False, snapshot: bool = False) -> tuple[Any, ...] | None:
        """The columns of the score with a rank, None if there are not so many.

        Cost    as `rank`.
        Raises  UsageError.
        """
        return run_blocking(self._core.score(rank, reverse=reverse, snapshot=snapshot))

    def percentile(self, fraction: float, *, snapshot: bool = False) -> tuple[Any, ...] | None:
        """The smallest score that at least such a part (0 to 1) of all scores does not exceed: 0.5 gives the median.
        None if there are no scores.

        Cost    1 range read more than `rank`.
        Raises  UsageError.
        """
        return run_blocking(self._core.percentile(fraction, snapshot=snapshot))

    def size(self, *, snapshot: bool = False) -> int:
        """How many scores there are.  Cost  1 range read."""
        return run_blocking(self._core.size(snapshot=snapshot))

    def entries(
        self,
        start: int = 0,
        stop: int | None = None,
        *,
        reverse: bool = False,
        limit: int | None = None,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
    ) -> EntryCursor:
        """The index entries with ranks from `start` up to, not including, `stop`, by rank: `entries(0, 10)` has the
        ten smallest scores, `entries(0, 10, reverse=True)` the ten greatest, greatest first. All who share a score are
        there.

        Continuations are Java's. Parameters as in `RecordStore.query`.

        Cost    twice `rank`, then 1 range read a chunk.
        Raises  UsageError, BadContinuation.
        """
        core = self._core.entries(
            start, stop, reverse=reverse, limit=limit or 0, resume=resume, limits=limits, snapshot=snapshot
        )
        return EntryCursor(core)

    def records(
        self,
        start: int = 0,
        stop: int | None = None,
        *,
        reverse: bool = False,
        limit: int | None = None,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
    ) -> RecordCursor:
        """The records of these entries.  Cost  as `entries`, and 1 range read a record.  Raises  as `entries`."""
        core = self._core.records(
            start, stop, reverse=reverse, limit=limit or 0, resume=resume, limits=limits, snapshot=snapshot
        )
        return RecordCursor(core)
