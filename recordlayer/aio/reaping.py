"""Deleting what has expired and forgetting old changes, in the asyncio facade."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta

from recordlayer.kv.beginning import Beginning
from recordlayer.metadata import RecordMetaData
from recordlayer.online import reaper, trimmer
from recordlayer.online.reaper import ReapReport
from recordlayer.online.trimmer import TrimReport
from recordlayer.online.work import Limits
from recordlayer.options import TransactionOptions
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import OpenOptions, Path
from recordlayer.store.serializer import PLAIN, Serializer
from recordlayer.waiting.drivers import run_asyncio


class Reaper:
    """Deletes the records of one store whose time has passed. `Database.reaper` gives one."""

    def __init__(
        self,
        beginning: Beginning,
        metadata: RecordMetaData | StoredMetaData,
        path: Path,
        *,
        types: Collection[str] | None = None,
        limits: Limits | None = None,
        serializer: Serializer = PLAIN,
        options: TransactionOptions | None = None,
        told: Callable[[ReapReport], object] | None = None,
    ) -> None:
        opening = OpenOptions(serializer=serializer)
        self._core = reaper.Reaper(
            beginning, metadata, path, types=types, limits=limits, opening=opening, options=options, told=told
        )

    async def reap(self) -> ReapReport:
        """Delete what has expired by now, in as many transactions as it takes; call it again for what expires later.

        One that was stopped or killed leaves nothing to resume: the next finds what is left.

        Cost    1 range read of the index a transaction; what deleting the records costs.
        Raises  StoreMissing, StoreLocked, UnknownRecordType, IndexNotReadable; UsageError if nothing ever expires.
        """
        return await run_asyncio(self._core.reap())

    def stop(self) -> None:
        """Have it end after the transaction under way. May be called from any thread."""
        self._core.stop()


class FeedTrimmer:
    """Forgets the old changes of one store's feed. `Database.feed_trimmer` gives one."""

    def __init__(
        self,
        beginning: Beginning,
        metadata: RecordMetaData | StoredMetaData,
        path: Path,
        older_than: timedelta,
        *,
        limits: Limits | None = None,
        serializer: Serializer = PLAIN,
        options: TransactionOptions | None = None,
    ) -> None:
        opening = OpenOptions(serializer=serializer)
        self._core = trimmer.FeedTrimmer(
            beginning, metadata, path, older_than, limits=limits, opening=opening, options=options
        )

    async def trim(self) -> TrimReport:
        """Forget what is older, in as many transactions as it takes.

        Cost    every change is read once more; 1 clear range a step.
        Raises  FeedMissing, StoreMissing, CorruptFeed, UsageError.
        """
        return await run_asyncio(self._core.trim())

    def stop(self) -> None:
        """Have it end after the transaction under way. May be called from any thread."""
        self._core.stop()
