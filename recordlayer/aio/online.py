"""Building indexes online, in the asyncio facade."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from recordlayer.kv.beginning import Beginning
from recordlayer.metadata import Index, RecordMetaData
from recordlayer.online import stamp, throttle
from recordlayer.online.heartbeat import Builder, builders
from recordlayer.online.indexer import BuildReport
from recordlayer.online.indexer import OnlineIndexer as Core
from recordlayer.online.options import BuildLimits, BuildPolicy
from recordlayer.online.progress import BuildProgress, progress
from recordlayer.online.repairer import RecordRepairer as CoreRepairer
from recordlayer.online.repairer import RepairReport
from recordlayer.online.scrub_report import ScrubReport
from recordlayer.online.scrubber import IndexScrubber as CoreScrubber
from recordlayer.options import TransactionOptions
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import OpenOptions, Path
from recordlayer.store.serializer import PLAIN, Serializer
from recordlayer.store.store import RecordStore as CoreStore
from recordlayer.waiting.drivers import run_asyncio

Builders = list[Builder]


class OnlineIndexer:
    """Builds indexes of one store while others use it. `Database.online_indexer` gives one."""

    def __init__(
        self,
        beginning: Beginning,
        metadata: RecordMetaData | StoredMetaData,
        path: Path,
        indexes: Sequence[str],
        *,
        policy: BuildPolicy | None = None,
        limits: BuildLimits | Callable[[], BuildLimits] | None = None,
        source: str | None = None,
        mutual: bool = False,
        who: str = "",
        lease: timedelta = timedelta(seconds=10),
        serializer: Serializer = PLAIN,
        options: TransactionOptions | None = None,
        told: Callable[[BuildReport], object] | None = None,
    ) -> None:
        self._core = Core(
            beginning,
            metadata,
            path,
            indexes,
            policy=policy,
            limits=limits,
            source=source,
            mutual=mutual,
            who=who,
            lease=lease,
            opening=OpenOptions(serializer=serializer),
            options=options,
            told=told,
        )

    async def build(self) -> BuildReport:
        """Build what is missing, in as many transactions as it takes, and have the indexes read.

        A build that ended early, by `stop`, by its `total_time`, by an error or with its process, goes on from where it
        was when somebody builds the same indexes again. The report says whether it came to the end.

        Cost    every record is read once; the entries are written.
        Raises  UnknownIndex, StoreMissing; BuildRefused, BuildMismatch, BuildLocked, BuildBlocked; UniquenessViolation
                when all is built and records have equal values.
        """
        try:
            return await run_asyncio(self._core.build())
        finally:
            # Interrupted, the core waits for nothing more: what others would wait for is taken away from here.
            await run_asyncio(self._core.leave())

    def stop(self) -> None:
        """Have the build end after the transaction under way. May be called from any thread."""
        self._core.stop()


class IndexScrubber:
    """Scrubs indexes of one store while others use it. `Database.index_scrubber` gives one."""

    def __init__(
        self,
        beginning: Beginning,
        metadata: RecordMetaData | StoredMetaData,
        path: Path,
        indexes: Sequence[str] | None,
        *,
        serializer: Serializer = PLAIN,
        **how: Any,
    ) -> None:
        self._core = CoreScrubber(beginning, metadata, path, indexes, opening=OpenOptions(serializer=serializer), **how)

    async def scrub(self) -> ScrubReport:
        """Look at what was not looked at since the last scrub came to its end, or at everything, in as many
        transactions as it takes. What does not agree is put right where that was asked for, and reported either way.

        A scrub that ended early, by `stop`, by its limits, by an error or with its process, goes on from where it was
        when somebody scrubs the same indexes again. The report says whether it came to the end.

        Cost    every pair of the indexes is read, and every record, once for each index.
        Raises  UnknownIndex, StoreMissing, IndexNotReadable; IndexNotSupported for an index that was named and cannot
                be judged part by part; CorruptRecord where pairs are no record: repair the records first.
        """
        try:
            return await run_asyncio(self._core.scrub())
        finally:
            await run_asyncio(self._core.leave())

    def stop(self) -> None:
        """Have the scrub end after the transaction under way. May be called from any thread."""
        self._core.stop()


class RecordRepairer:
    """Looks at the records of one store while others use them. `Database.record_repairer` gives one."""

    def __init__(
        self,
        beginning: Beginning,
        metadata: RecordMetaData | StoredMetaData,
        path: Path,
        *,
        serializer: Serializer = PLAIN,
        **how: Any,
    ) -> None:
        self._core = CoreRepairer(beginning, metadata, path, opening=OpenOptions(serializer=serializer), **how)

    async def repair(self) -> RepairReport:
        """Look at all records, or those that are left, in as many transactions as it takes. What is none is reported,
        and deleted where that was asked for; the indexes are scrubbed then, for what was deleted says not what its
        entries were.

        Cost    every pair of the records is read; a scrub of the indexes where something was deleted.
        Raises  StoreMissing, StoreLocked.
        """
        try:
            return await run_asyncio(self._core.repair())
        finally:
            await run_asyncio(self._core.leave())

    def stop(self) -> None:
        """Have it end after the transaction under way. May be called from any thread."""
        self._core.stop()


class IndexBuild:
    """What is known of the build of one index. `RecordStore.build_of` gives one."""

    def __init__(self, store: CoreStore, index: Index) -> None:
        self._store = store
        self._index = index

    async def progress(self) -> BuildProgress:
        """How far it is.  Cost  3 reads and 1 range read; 1 more if an index counts the records."""
        return await run_asyncio(progress(self._store, self._index))

    async def builders(self) -> Builders:
        """Who builds it, or stopped without taking leave.  Cost  1 range read."""
        return await run_asyncio(builders(self._store, self._index))

    async def block(self, *, id: str = "", lasts: timedelta | None = None) -> None:  # noqa: A002
        """Have builds of the index stop at their next transaction, and refuse to go on until unblocked or expired.

        Cost  1 read, 1 write.  Raises  UsageError if no build has begun.
        """
        await run_asyncio(stamp.block(self._store, self._index, id=id, lasts=lasts))

    async def unblock(self, *, id: str = "") -> bool:  # noqa: A002
        """Let builds go on; with an `id`, only if it was blocked with that one. Whether it was blocked.

        Cost  1 read, 1 write.  Raises  UsageError if no build has begun.
        """
        return await run_asyncio(stamp.unblock(self._store, self._index, id=id))

    async def throttle(self, records_per_second: int | None) -> None:
        """Have builds of the index, in whichever process, look at no more records a second, from the next second on;
        None lets them go at their own rate again. The end of the build forgets it.

        Cost  1 read, 1 write.  Raises  UsageError, also if no build has begun.
        """
        await run_asyncio(throttle.set_rate(self._store, self._index, records_per_second))
