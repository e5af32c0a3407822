"""Forgetting the old changes of a store's feed, in as many transactions as that takes.

Cost    what a step costs: `feed.trimming`
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from recordlayer.feed.trimming import Trimmed, trim
from recordlayer.kv.beginning import Beginning
from recordlayer.metadata import RecordMetaData
from recordlayer.online.options import WorkLimits
from recordlayer.online.work import Limits, LongWork
from recordlayer.options import TransactionOptions
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import DEFAULT_OPEN, OpenOptions, Path
from recordlayer.store.store import RecordStore


@dataclass(frozen=True, slots=True, kw_only=True)
class TrimReport:
    """How trimming went.

    finished  whether nothing older is left; otherwise it was stopped, or its time was over
    changes   that were removed
    """

    finished: bool
    changes: int
    transactions: int
    took: timedelta


class FeedTrimmer:
    """Trims the feed of one store to changes that are not older than an age."""

    def __init__(
        self,
        beginning: Beginning,
        metadata: RecordMetaData | StoredMetaData,
        path: Path,
        older_than: timedelta,
        *,
        limits: Limits | None = None,
        opening: OpenOptions = DEFAULT_OPEN,
        options: TransactionOptions | None = None,
    ) -> None:
        self._older_than = older_than
        self._step: Trimmed | None = None  # committed
        self._next: Trimmed | None = None
        self._changes = 0
        self._work = LongWork(
            beginning,
            metadata,
            path,
            name="feed trimmer",
            limits=WorkLimits(records=1_000) if limits is None else limits,
            opening=opening,
            options=options,
        )

    def stop(self) -> None:
        """Have it end after the transaction under way. May be called from anywhere."""
        self._work.stopped = True

    async def trim(self) -> TrimReport:
        """Remove what is older.  Raises  FeedMissing, StoreMissing, CorruptFeed; UsageError."""
        self._work.begin()
        self._step, self._changes = None, 0
        finished = await self._work.pieces(self._piece, self._done)
        return TrimReport(
            finished=finished, changes=self._changes, transactions=self._work.transactions, took=self._work.took
        )

    async def _piece(self, store: RecordStore, limits: WorkLimits) -> int | None:
        before = self._step
        if before is not None and not before.more:
            return None
        place = None if before is None else before.place
        step = self._next = await trim(store, self._older_than, limit=self._work.records, place=place)
        return step.removed

    def _done(self, changes: int, took: timedelta) -> None:
        self._step = self._next
        self._changes += changes
