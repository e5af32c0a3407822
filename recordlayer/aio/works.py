"""What a database does for stores in many transactions, while others use them: in the asyncio facade."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from recordlayer.store.serializer import PLAIN, Serializer
from recordlayer.waiting.drivers import run_asyncio

if TYPE_CHECKING:
    from recordlayer.aio.migrating import Migration
    from recordlayer.aio.online import IndexScrubber, OnlineIndexer, RecordRepairer
    from recordlayer.kv.beginning import Beginning
    from recordlayer.metadata import Evolution, RecordMetaData
    from recordlayer.migrate.fleet import FleetRules
    from recordlayer.migrate.steps import Told
    from recordlayer.online.indexer import BuildReport
    from recordlayer.online.options import BuildLimits, BuildPolicy, WorkLimits
    from recordlayer.online.repairer import RepairReport
    from recordlayer.online.scrub_report import ScrubReport
    from recordlayer.options import TransactionOptions
    from recordlayer.store.leftovers import Leftover
    from recordlayer.store.metadata_store import StoredMetaData
    from recordlayer.store.open import Path


class LongWorks:
    """The part of a database that builds, scrubs and repairs."""

    _beginning: Beginning

    def online_indexer(
        self,
        metadata: RecordMetaData | StoredMetaData,
        *,
        path: Path,
        indexes: Sequence[str],
        policy: BuildPolicy | None = None,
        limits: BuildLimits | Callable[[], BuildLimits] | None = None,
        source: str | None = None,
        mutual: bool = False,
        who: str = "",
        lease: timedelta = timedelta(seconds=10),
        serializer: Serializer = PLAIN,
        options: TransactionOptions | None = None,
        told: Callable[[BuildReport], object] | None = None,
    ) -> OnlineIndexer:
        """Builds indexes of the store at a path while others use it: `await db.online_indexer(...).build()`.

        indexes  their names; they are built in one pass over the records
        policy   what to do with indexes in each state, and with builds begun otherwise
        limits   how much goes into one transaction, and how fast; or a function that is asked before each transaction
        source   a VALUE index to go by: only the records that have an entry there are read
        mutual   several indexers, in this process or others, share the build: each must say so
        who      how others know the one who builds
        lease    how long an indexer that has fallen silent keeps others out
        options  of the transactions, such as a low priority
        told     called after each transaction with the report so far

        Raises  UsageError for no indexes.
        """
        from recordlayer.aio.online import OnlineIndexer

        return OnlineIndexer(
            self._beginning,
            metadata,
            path,
            indexes,
            policy=policy,
            limits=limits,
            source=source,
            mutual=mutual,
            who=who,
            lease=lease,
            serializer=serializer,
            options=options,
            told=told,
        )

    def index_scrubber(
        self,
        metadata: RecordMetaData | StoredMetaData,
        *,
        path: Path,
        indexes: Sequence[str] | None = None,
        repair: bool = False,
        scrub_id: int = 0,
        anew: bool = False,
        stop_after: int | None = None,
        most_findings: int = 1000,
        tidy: bool = False,
        limits: WorkLimits | Callable[[], WorkLimits] | None = None,
        serializer: Serializer = PLAIN,
        options: TransactionOptions | None = None,
        told: Callable[[ScrubReport], object] | None = None,
    ) -> IndexScrubber:
        """Looks whether indexes of the store at a path agree with its records, while others use it:
        `await db.index_scrubber(...).scrub()`.

        indexes        their names; None for all that are readable and can be judged part by part
        repair         put right what does not agree
        scrub_id       scrubs with other ids do not know how far this one is
        anew           begin anew, whatever a scrub before has looked at
        stop_after     so many records and pairs, to be continued by the next
        most_findings  that are kept in the report; all are counted
        tidy           put together what lies scattered in TEXT indexes
        limits         how much goes into one transaction, and how fast; or a function that is asked before each
        options        of the transactions; by default they have the batch priority
        told           called after each transaction with the report so far

        Raises  UsageError.
        """
        from recordlayer.aio.online import IndexScrubber

        return IndexScrubber(
            self._beginning,
            metadata,
            path,
            indexes,
            repair=repair,
            scrub_id=scrub_id,
            anew=anew,
            stop_after=stop_after,
            most_findings=most_findings,
            tidy=tidy,
            limits=limits,
            serializer=serializer,
            options=options,
            told=told,
        )

    def record_repairer(
        self,
        metadata: RecordMetaData | StoredMetaData,
        *,
        path: Path,
        delete: bool = False,
        delete_types: bool = False,
        add_versions: bool = False,
        resume: bytes | None = None,
        stop_after: int | None = None,
        most_findings: int = 1000,
        limits: WorkLimits | Callable[[], WorkLimits] | None = None,
        serializer: Serializer = PLAIN,
        options: TransactionOptions | None = None,
        told: Callable[[RepairReport], object] | None = None,
    ) -> RecordRepairer:
        """Looks whether the records of the store at a path are any: `await db.record_repairer(...).repair()`.

        delete         what is no record, or cannot be read, and its entries
        delete_types   records of types that are not in the metadata: they may be of newer metadata
        add_versions   give records without a version a new one, where the metadata keep versions
        resume         where an earlier report says; nothing is noted in the database
        stop_after     so many pairs
        most_findings, limits, options, told   as for `index_scrubber`

        A store whose header is lost: `Transaction.repair_missing_header`.

        Raises  UsageError.
        """
        from recordlayer.aio.online import RecordRepairer

        return RecordRepairer(
            self._beginning,
            metadata,
            path,
            delete=delete,
            delete_types=delete_types,
            add_versions=add_versions,
            resume=resume,
            stop_after=stop_after,
            most_findings=most_findings,
            limits=limits,
            serializer=serializer,
            options=options,
            told=told,
        )

    async def vacuum(
        self,
        metadata: RecordMetaData | StoredMetaData,
        *,
        path: Path,
        remove: bool = False,
        serializer: Serializer = PLAIN,
    ) -> list[Leftover]:
        """What lies in the store at a path and is of no use any more: data of indexes that are gone or disabled, notes
        of builds and scrubs that are over. It is cleared if that is asked for; else this only looks.

        Cost    1 range read for each index and part of it; 1 clear range for each find.
        Raises  StoreMissing, StoreLocked.
        """
        from recordlayer.online.vacuuming import vacuumed

        return await run_asyncio(vacuumed(self._beginning, metadata, path, remove=remove, serializer=serializer))

    def migration(
        self,
        wanted: RecordMetaData,
        *,
        metadata: Path,
        path: Path | None = None,
        paths: Sequence[Path] = (),
        below: Path | None = None,
        journal: Path | None = None,
        who: str = "somebody",
        allow: Evolution | None = None,
        rules: FleetRules | None = None,
        lease: timedelta = timedelta(seconds=30),
        limits: BuildLimits | None = None,
        serializer: Serializer = PLAIN,
        told: Told | None = None,
    ) -> Migration:
        """Brings stores to a schema, with a plan, a history, and from wherever it stopped: `await
        db.migration(SHOP, metadata=("shop", "metadata"), path=("shop", "acme")).apply()`.

        wanted    the schema; its versions are worked out from what is stored
        metadata  where the metadata is kept that the stores go by
        path      of the store; or `paths` of several; or `below`, for all stores below a path
        journal   where the notes are kept, by default below the place of the metadata
        who       how others know the operator
        allow     rules of evolution that are relaxed
        rules     how many stores are migrated: canaries, how many at once, when to stop
        lease     how long others wait when the operator has fallen silent
        limits    of index builds
        told      called after each step, with words, the prefix of the store, and the report of a build under way

        Raises  UsageError.
        """
        from recordlayer.aio.migrating import Migration
        from recordlayer.metadata import Evolution
        from recordlayer.migrate.fleet import Stores
        from recordlayer.migrate.migration import Migration as Core
        from recordlayer.migrate.steps import Settings
        from recordlayer.online.options import BuildLimits
        from recordlayer.store.metadata_store import StoredMetaData

        settings = Settings(
            wanted=wanted,
            metadata=StoredMetaData(path=metadata),
            allow=allow or Evolution(),
            serializer=serializer,
            limits=limits or BuildLimits(),
            told=told or (lambda words, store, report: None),
        )
        stores = Stores(paths=tuple(paths) if path is None else (path, *paths), below=below)
        return Migration(Core(self._beginning, settings, stores, who=who, journal=journal, lease=lease, rules=rules))
