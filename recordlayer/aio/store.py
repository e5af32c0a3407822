"""Record stores, in the asyncio facade.

Opening a database imports this, and not what only some programs ask of a store: planning, searching, scores, builds,
checks. A verb for it imports it when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from google.protobuf.message import Message

from recordlayer.aio.cursor import EntryCursor, RecordCursor
from recordlayer.aio.header import StoreHeader
from recordlayer.cursor.limits import NO_LIMITS, Limits
from recordlayer.cursor.sealing import ContinuationSeal
from recordlayer.index.bounds import Bounds
from recordlayer.index.state import IndexState
from recordlayer.keys import EMPTY, KeyExpression
from recordlayer.kv.engine import ConflictKind
from recordlayer.metadata import RecordMetaData
from recordlayer.query.group import GroupQuery
from recordlayer.query.join import JoinQuery
from recordlayer.query.query import Query, RecordQuery
from recordlayer.store import batch
from recordlayer.store.expect import Expect, VersionBehavior
from recordlayer.store.record import StoredRecord
from recordlayer.store.scanning import index_scan, record_scan, sealed
from recordlayer.store.store import RecordStore as Core
from recordlayer.tuples import Versionstamp
from recordlayer.waiting.drivers import run_asyncio

if TYPE_CHECKING:
    from recordlayer.aio.feed import ChangeFeed, VersionFeed
    from recordlayer.aio.leaderboard import Leaderboard
    from recordlayer.aio.online import IndexBuild
    from recordlayer.aio.ranks import Ranks
    from recordlayer.aio.space import Space
    from recordlayer.aio.texts import Texts
    from recordlayer.aio.typed import TypedStore
    from recordlayer.metadata.synthetic import SyntheticRecord
    from recordlayer.query.explain import Explanation
    from recordlayer.query.knowledge import Knowledge
    from recordlayer.store.check import Finding
    from recordlayer.store.violations import Violation

M = TypeVar("M", bound=Message)


class RecordStore:
    """Records of a metadata's types with their indexes, in one transaction. `Transaction.store` opens one."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @property
    def metadata(self) -> RecordMetaData:
        return self._core.metadata

    @property
    def header(self) -> StoreHeader:
        """The store's header: versions, locks, fields of the application's own."""
        return StoreHeader(self._core)

    @property
    def feed(self) -> ChangeFeed:
        """The store's change feed, once it is enabled: what was inserted, updated and deleted."""
        from recordlayer.aio.feed import ChangeFeed

        return ChangeFeed(self._core)

    def version_feed(
        self, index: str, *prefix: Any, deleted: str | Callable[[Message], bool] | None = None
    ) -> VersionFeed:
        """The records of a VERSION index in the order of their last changes, those with these values in the columns
        before the version. For stores that are shared with Java: it has no deletions.

        deleted  a field, or a function, that is true for records that the application keeps as tombstones

        Raises  UnknownIndex, UnknownField; UsageError for another type of index or another number of values.
        """
        from recordlayer.aio.feed import VersionFeed
        from recordlayer.feed import versions

        return VersionFeed(versions.VersionFeed(self._core, index, prefix, deleted), self._core)

    def typed(self, message_class: type[M]) -> TypedStore[M]:
        """A view of the records of one type: what it loads is of this message class.

        Raises  UnknownRecordType, WrongType.
        """
        from recordlayer.aio.typed import TypedStore
        from recordlayer.store.typed import TypedRecords

        return TypedStore(TypedRecords(self._core, message_class))

    def build_of(self, index: str) -> IndexBuild:
        """What is known of the build of an index: how far it is, who builds it; it can be blocked.

        Raises  UnknownIndex.
        """
        from recordlayer.aio.online import IndexBuild

        return IndexBuild(self._core, self._core.metadata.index(index))

    @property
    def core(self) -> Core:
        """The store below, for extensions."""
        return self._core

    # -- saving ----------------------------------------------------------------------------------------

    async def save(
        self,
        record: Message,
        *,
        expect: Expect = Expect.ANYTHING,
        version: Versionstamp | None = None,
        version_behavior: VersionBehavior = VersionBehavior.DEFAULT,
    ) -> StoredRecord:
        """Write a record, in place of one with the same primary key, and bring its indexes up to date.

        Cost    1 range read (+ 1 for each entry of a unique index, in the same round trip); 1 write (+ 1 with a
                version) + 1 for each index entry that changes.
        Raises  UniquenessViolation, RecordTooLarge, IndexEntryTooLarge, IncompleteRecord, UnknownRecordType; what
                `expect` says. Nothing of the record has been written then, and the transaction may go on.
        """
        return await run_asyncio(
            self._core.save(record, expect=expect, version=version, version_behavior=version_behavior)
        )

    async def insert(self, record: Message) -> StoredRecord:
        """Save a record that must not be there yet.  Raises  RecordExists, and as `save`."""
        return await run_asyncio(self._core.save(record, expect=Expect.NOTHING))

    async def update(self, record: Message) -> StoredRecord:
        """Save a record that must be there already.  Raises  RecordMissing, and as `save`."""
        return await run_asyncio(self._core.save(record, expect=Expect.RECORD))

    async def save_many(
        self,
        records: Iterable[Message],
        *,
        expect: Expect = Expect.ANYTHING,
        version_behavior: VersionBehavior = VersionBehavior.DEFAULT,
    ) -> list[StoredRecord]:
        """Save records in their order, all of them or none: if one is refused, nothing of any has been written, and the
        transaction may go on. A record that comes twice is saved twice. A unique value that one record gives up is free
        for another only behind the batch.

        Cost    the reads of `save` for each, in 1 round trip; the same writes.
        Raises  as `save`.
        """
        return await run_asyncio(batch.save_many(self._core, records, expect=expect, version_behavior=version_behavior))

    async def dry_save(
        self,
        record: Message,
        *,
        expect: Expect = Expect.ANYTHING,
        version: Versionstamp | None = None,
        version_behavior: VersionBehavior = VersionBehavior.DEFAULT,
    ) -> StoredRecord:
        """What `save` would save and how much it would take, as `shape`; or its error. Nothing is written.

        Cost  the reads of `save`.
        """
        return await run_asyncio(
            batch.dry_save(self._core, record, expect=expect, version=version, version_behavior=version_behavior)
        )

    async def delete(self, key: Any) -> bool:
        """Remove the record with a primary key and its index entries. Whether there was one.

        Cost  1 range read; 1 clear range + 1 clear for each entry.
        """
        return await run_asyncio(self._core.delete(key))

    async def delete_many(self, keys: Iterable[Any]) -> list[bool]:
        """Remove the records with these primary keys, all or none. For each whether there was one.

        Cost    a range read each, 1 round trip; the writes of `delete`.
        """
        return await run_asyncio(batch.delete_many(self._core, keys))

    async def dry_delete(self, key: Any) -> bool:
        """Whether `delete` would find a record, or its error. Nothing is written.  Cost  1 range read."""
        return await run_asyncio(batch.dry_delete(self._core, key))

    async def delete_where(
        self, record_type: str | None = None, values: Mapping[str, Any] | None = None, /, **fields: Any
    ) -> None:
        """Remove all records of a type, of those with given values in the first columns of their primary key, or both,
        without reading them.

            delete_where("Order")                                  primary keys of all types begin with record_type()
            delete_where(tenant=7)                                 ... with field("tenant")
            delete_where("Order", {"address.city": "Oslo"})        ... with both

        Every index concerned must begin with the same columns; one that is about the named type alone may leave out the
        record type.

        Cost    1 clear range for the records, 1-2 for each index.
        Raises  IndexCannotClear, naming the index; UsageError if the primary keys do not begin so; WrongType,
                UnknownRecordType, StoreLocked. Nothing has been cleared then.
        """
        from recordlayer.store.delete_where import delete_where

        await run_asyncio(delete_where(self._core, record_type, {**(values or {}), **fields}))

    async def delete_all(self) -> None:
        """Remove all records and index entries; index states stay.  Cost  2 clear ranges."""
        await run_asyncio(self._core.delete_all())

    # -- loading ---------------------------------------------------------------------------------------

    async def load(self, key: Any, *, snapshot: bool = False) -> Message | None:
        """The record with a primary key, None if there is none. A key of several columns is a tuple.

        `snapshot`: do not conflict with those who change it.

        Cost    1 range read.
        Raises  UsageError, WrongType for what cannot be a primary key here; CorruptRecord.
        """
        found = await run_asyncio(self._core.load(key, snapshot=snapshot))
        return None if found is None else found.message

    async def load_record(self, key: Any, *, snapshot: bool = False) -> StoredRecord | None:
        """The same with primary key, type and version."""
        return await run_asyncio(self._core.load(key, snapshot=snapshot))

    async def load_many(self, keys: Sequence[Any], *, snapshot: bool = False) -> list[Message | None]:
        """The records with these primary keys, None where there is none.  Cost  a range read each, 1 round trip."""
        found = await run_asyncio(self._core.load_many(keys, snapshot=snapshot))
        return [None if record is None else record.message for record in found]

    async def load_records(self, keys: Sequence[Any], *, snapshot: bool = False) -> list[StoredRecord | None]:
        """The same with primary key, type and version."""
        return await run_asyncio(self._core.load_many(keys, snapshot=snapshot))

    async def load_synthetic(self, key: Any, *, snapshot: bool = False) -> SyntheticRecord | None:
        """The record of an unnested or joined type with a primary key, as entries of indexes over it have: its
        `message` has a field for each constituent. None if a record that it is made from is gone.

            for entry in store.scan_index("sales_by_city", "Oslo"):
                sale = store.load_synthetic(entry.primary_key)    # sale.message.order, sale.message.customer

        Cost    1 range read for each record that it is made from, 1 round trip.
        Raises  UsageError for what is no key of such a type; CorruptRecord.
        """
        from recordlayer.store.synthesis import load_synthetic

        return await run_asyncio(load_synthetic(self._core, key, snapshot=snapshot))

    async def preload(self, keys: Iterable[Any]) -> None:
        """Load records to be answered from memory when they are loaded, saved or deleted later in this transaction.

        Cost    a range read each, 1 round trip.
        Raises  as `load`.
        """
        await run_asyncio(self._core.preload(keys))

    async def exists(self, key: Any, *, snapshot: bool = False) -> bool:
        """Whether there is a record with a primary key.  Cost  1 range read."""
        return await run_asyncio(self._core.exists(key, snapshot=snapshot))

    def add_read_conflict(self, key: Any) -> None:
        """Conflict with whoever changes the record with a primary key, as if it had been loaded.  Cost  none."""
        self._core.add_conflict(ConflictKind.READ, key)

    def add_write_conflict(self, key: Any) -> None:
        """Have whoever loads the record with a primary key conflict with this transaction, as if it had been saved."""
        self._core.add_conflict(ConflictKind.WRITE, key)

    # -- querying --------------------------------------------------------------------------------------

    @overload
    def query(
        self,
        query: RecordQuery,
        *,
        limit: int | None = None,
        skip: int = 0,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
        prefetch: bool = False,
        seal: ContinuationSeal | None = None,
    ) -> RecordCursor: ...

    @overload
    def query(
        self,
        query: GroupQuery | JoinQuery,
        *,
        limit: int | None = None,
        skip: int = 0,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
        prefetch: bool = False,
        seal: ContinuationSeal | None = None,
    ) -> EntryCursor: ...

    def query(
        self,
        query: Query,
        *,
        limit: int | None = None,
        skip: int = 0,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
        prefetch: bool = False,
        seal: ContinuationSeal | None = None,
    ) -> RecordCursor | EntryCursor:
        """The records of a query, the rows of one for groups, or the pairs of a join. Nothing is read before they are
        iterated.

        limit     records, None for all
        skip      records to leave out before the first. They are read all the same: a continuation is the cheaper way
        resume    the continuation of an earlier page of the same query, with the same `skip`
        limits    keys, bytes and time that may be spent before the page stops with a continuation; besides them, those
                  of the query (`RecordQuery.within`, or what the store was opened with) and those of the transaction
        snapshot  do not conflict with those who change what was read
        prefetch  begin the next read while records are used: for long pages on a cluster
        seal      continuations that nobody else can read, change or use elsewhere: see `recordlayer.cursor.sealing`

        Raises  NoPlan, OverBudget, BadContinuation; UnknownField, WrongType for what does not fit the metadata;
                UsageError for a parameter without a value. While it is iterated: BudgetSpent, where limits say so.
        """
        from recordlayer.query.execute import run_query

        sealing = None if seal is None else sealed(self._core, seal)
        given = run_query(
            self._core,
            query,
            limit=limit or 0,
            skip=skip,
            resume=resume if sealing is None else sealing.opened(resume),
            limits=limits,
            snapshot=snapshot,
            prefetch=prefetch,
        )
        if sealing is not None:
            given = sealing.around(given)
        return RecordCursor(given, query.fields) if isinstance(query, RecordQuery) else EntryCursor(given)

    def explain(self, query: Query, *, counting: bool = False) -> Explanation:
        """What a query will do and why: print it. `counting`: what `count(query)` will do. Reads nothing."""
        from recordlayer.query.counting import count_plan
        from recordlayer.query.execute import explained, planned
        from recordlayer.query.explain import explain_plan

        if counting and isinstance(query, RecordQuery):
            return explain_plan(
                count_plan(self._core, query, lambda asked: planned(self._core, asked).plan), {}, query=str(query)
            )
        return explained(self._core, query)

    async def analyze(
        self, query: Query, *, limit: int | None = None, limits: Limits = NO_LIMITS, snapshot: bool = False
    ) -> Explanation:
        """Run a query, and explain it with what each part of its plan did: rows, keys, bytes, reads, time and why it
        stopped, beside the estimates. The rows themselves are dropped.

        Cost    as running it.
        Raises  as `query`.
        """
        from recordlayer.query.execute import analyze

        return await run_asyncio(analyze(self._core, query, limit=limit or 0, limits=limits, snapshot=snapshot))

    async def gather_statistics(self) -> Knowledge:
        """Find out how much the store has: records by type, entries of indexes, different values that COUNT indexes
        know. Queries of this process on this store are planned by it from then on, until it is gathered again;
        `explain` says so. Without it estimates are assumptions.

        Cost    1 range read for each COUNT index, of 1,000 pairs at most; for the records and each other index 1 of 50
                pairs and an estimate by the engine. All side by side; conflicts with nobody.
        """
        from recordlayer.query.statistics import gather_statistics

        return await run_asyncio(gather_statistics(self._core))

    async def count(self, counted: RecordQuery | str, *group: Any, snapshot: bool = False) -> int:
        """How many records a query has; or what a COUNT index holds for a group, or for all that begin alike.

        Cost    1 read from an index for one group, 1 range read for several; else as running the query.
        Raises  UnknownIndex, IndexNotReadable; as `query`; BudgetSpent where limits end before the count does.
        """
        if isinstance(counted, str):
            return int(await run_asyncio(self._core.aggregate(counted, group, snapshot=snapshot)))
        from recordlayer.query.execute import count

        return await run_asyncio(count(self._core, counted, snapshot=snapshot))

    async def record_count(
        self, record_type: str | None = None, *, by: KeyExpression = EMPTY, value: tuple[Any, ...] = ()
    ) -> int:
        """How many records there are: in all, of a type, or those for which `by` gives `value`, from a COUNT index or
        the metadata's record counts. No record is read, and counting conflicts with nobody.

        Cost    1 read from an index for one group, 1 range read for several.
        Raises  UsageError if nothing counts them so; UnknownRecordType.
        """
        from recordlayer.store.counting import record_count

        return await run_asyncio(record_count(self._core, record_type, by=by, value=value))

    async def aggregate(self, index: str, *group: Any, snapshot: bool = False) -> Any:
        """What an aggregate index holds for a group, or for all groups that begin alike.

        Cost    1 read for one group, 1 range read for several.
        Raises  UnknownIndex, IndexNotReadable, UsageError.
        """
        return await run_asyncio(self._core.aggregate(index, group, snapshot=snapshot))

    async def evaluate_aggregate(
        self,
        function: str,
        record_type: str | None,
        columns: KeyExpression | str | None = None,
        *,
        by: KeyExpression | str | None = None,
        group: tuple[Any, ...] = (),
        snapshot: bool = False,
    ) -> Any:
        """What an aggregate function gives for the records of a type, or of all types, for which `by` is `group`:
        answered by whichever index can, never by reading records.

        function  count, count_updates, count_not_null, sum, min, max, min_ever, max_ever, max_ever_version or
                  count_distinct
        columns   of what; nothing for count and count_updates
        snapshot  do not conflict with those who change it

        Cost    1 read, or 1 range read where an index groups by more.
        Raises  UsageError if no readable index can answer; UnknownRecordType.
        """
        from recordlayer.store.aggregates import evaluate_aggregate

        return await run_asyncio(
            evaluate_aggregate(self._core, function, record_type, columns, by=by, group=group, snapshot=snapshot)
        )

    # -- scanning --------------------------------------------------------------------------------------

    def scan(
        self,
        prefix: Any = (),
        *,
        bounds: Bounds | None = None,
        reverse: bool = False,
        limit: int | None = None,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
        seal: ContinuationSeal | None = None,
    ) -> RecordCursor:
        """All records by primary key, or those whose key begins with `prefix`, or those within `bounds`.

        Continuations are Java's, unless sealed. Parameters as in `query`.  Cost  1 range read a chunk.
        """
        sealing = sealed(self._core, seal)
        core = record_scan(
            self._core,
            prefix,
            bounds=bounds,
            reverse=reverse,
            limit=limit or 0,
            resume=sealing.opened(resume),
            limits=limits,
            snapshot=snapshot,
        )
        return RecordCursor(sealing.around(core))

    def scan_index(
        self,
        index: str,
        prefix: Any = (),
        *,
        bounds: Bounds | None = None,
        reverse: bool = False,
        limit: int | None = None,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
        seal: ContinuationSeal | None = None,
    ) -> EntryCursor:
        """All entries of an index, or those that begin with `prefix`, or those within `bounds`; groups and their values
        for aggregate indexes.

        Continuations are Java's, unless sealed. Parameters as in `query`.  Cost  1 range read a chunk.
        Raises  UnknownIndex, IndexNotReadable.
        """
        sealing = sealed(self._core, seal)
        core = index_scan(
            self._core,
            index,
            prefix,
            bounds=bounds,
            reverse=reverse,
            limit=limit or 0,
            resume=sealing.opened(resume),
            limits=limits,
            snapshot=snapshot,
        )
        return EntryCursor(sealing.around(core))

    async def split_points(self, *prefix: Any, pieces: int) -> list[tuple[Any, ...]]:
        """Primary keys, ascending, before which to part the records, or those whose primary key begins with `prefix`,
        into about so many pieces of about the same size; fewer where there is little: for readers side by side.

        Cost  2 reads, of statistics.
        """
        from recordlayer.store.split_points import split_points

        return await run_asyncio(split_points(self._core, prefix, pieces))

    # -- indexes ---------------------------------------------------------------------------------------

    def ranks(self, index: str, *group: Any) -> Ranks:
        """The scores of a RANK index in order, of one group if it has groups: ranks, percentiles, the best ten.

        Raises  UnknownIndex, IndexNotReadable; UsageError for another type of index or another number of columns.
        """
        from recordlayer.aio.ranks import Ranks
        from recordlayer.store.ranking import ranking

        return Ranks(ranking(self._core, index, group))

    def leaderboard(self, index: str) -> Leaderboard:
        """A TIME_WINDOW_LEADERBOARD index: its windows, and the ranks in them.

        Raises  UnknownIndex, IndexNotReadable; UsageError for another type of index.
        """
        from recordlayer.aio.leaderboard import Leaderboard
        from recordlayer.store import leaderboards

        leaderboards.leaderboard(self._core, index)
        return Leaderboard(self._core, index)

    def space(self, index: str, *prefix: Any) -> Space:
        """The points of a MULTIDIMENSIONAL index, of the spaces whose prefix columns begin so.

        Raises  UnknownIndex, IndexNotReadable; UsageError for another type of index, or too many columns.
        """
        from recordlayer.aio.space import Space
        from recordlayer.store import spaces

        return Space(spaces.space(self._core, index, prefix))

    def texts(self, index: str, *group: Any) -> Texts:
        """The texts of a TEXT index, of one group if it has groups: searches for words and phrases.

        Raises  UnknownIndex, IndexNotReadable; UsageError for another type of index or another number of columns.
        """
        from recordlayer.aio.texts import Texts
        from recordlayer.store import searching

        return Texts(searching.texts(self._core, index, group))

    def bitmaps(
        self,
        *groups: Sequence[Any],
        combine: str = "all",
        first: int | None = None,
        behind: int | None = None,
        reverse: bool = False,
        limit: int | None = None,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
    ) -> EntryCursor:
        """The positions that groups of BITMAP_VALUE indexes have, put together: `bitmaps(("by_city", "NL"), ("by_tag",
        "new"))`. Each group is the name of an index and values of its grouping columns.

        combine        "all": positions that all of the groups have; "any": that one of them has; "first without
                       others": that the first has and no other
        first, behind  only positions from `first` and before `behind`

        Each result has `start`, `bits` and `positions`. Other parameters as in `query`; `limit` counts bitmaps.

        Cost    1 range read a chunk for each group, side by side.
        Raises  UnknownIndex, IndexNotReadable, UsageError, WrongType, BadContinuation.
        """
        from recordlayer.store.searching import bitmaps

        core = bitmaps(
            self._core,
            groups,
            combine,
            first,
            behind,
            reverse=reverse,
            limit=limit or 0,
            resume=resume,
            limits=limits,
            snapshot=snapshot,
        )
        return EntryCursor(core)

    def extremes(
        self,
        index: str,
        *prefix: Any,
        bounds: Bounds | None = None,
        reverse: bool = False,
        limit: int | None = None,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
    ) -> EntryCursor:
        """The groups of a PERMUTED_MIN or PERMUTED_MAX index with their least or greatest values, in order of (first
        grouping columns, value, permuted grouping columns): those that begin with `prefix`, or within `bounds`.

        Each result has `group` and `value`, a tuple. Parameters as in `query`.

        Cost    1 range read a chunk.
        Raises  UnknownIndex, IndexNotReadable, UsageError, BadContinuation.
        """
        from recordlayer.store.searching import extremes

        core = extremes(
            self._core,
            index,
            prefix,
            bounds,
            reverse=reverse,
            limit=limit or 0,
            resume=resume,
            limits=limits,
            snapshot=snapshot,
        )
        return EntryCursor(core)

    def index_state(self, name: str) -> IndexState:
        """Whether an index may be read and is written.  Raises  UnknownIndex."""
        return self._core.index_state(name)

    async def violations(self, index: str, *value: Any, limit: int | None = None) -> list[Violation]:
        """Values that several records share although the index says they are unique, each with these records: all of
        them, or those that begin with `value`, at most `limit`. A READABLE index has none.

        Cost    1 range read a chunk.
        Raises  UnknownIndex; UsageError for an index that is not unique.
        """
        from recordlayer.store.violations import violations

        return await run_asyncio(violations(self._core, index, value, limit=limit))

    async def resolve_violation(self, index: str, survivor: Any) -> list[tuple[Any, ...]]:
        """Delete the records that share a unique value with the record whose primary key is `survivor`. The primary
        keys of those that are gone.

        Cost    1 load, 1 range read for each value of the record, and a deletion for each other record.
        Raises  UnknownIndex, RecordMissing; UsageError for an index that is not unique.
        """
        from recordlayer.store.violations import resolve_violation

        return await run_asyncio(resolve_violation(self._core, index, survivor))

    async def rebuild_index(self, name: str) -> None:
        """Build an index anew over all records, in this transaction.

        Cost    reads all records, writes all entries: for stores that one transaction can take.
        Raises  UnknownIndex; UniquenessViolation.
        """
        from recordlayer.store.build import rebuild

        await run_asyncio(rebuild(self._core, self._core.metadata.index(name)))

    async def disable_index(self, name: str) -> None:
        """Have an index be neither written nor read, and clear what it has. A build brings it back.

        Cost    1 range read, 1 write and some range clears, whatever it holds.
        Raises  UnknownIndex, StoreLocked.
        """
        from recordlayer.store.marking import mark_disabled

        index = self._core.metadata.index(name)
        self._core.header.check_may_write()
        await run_asyncio(mark_disabled(self._core, index))

    async def check(self) -> list[Finding]:
        """What does not agree between records and indexes: nothing, if all is well.  Cost  reads the whole store."""
        from recordlayer.store.check import check

        return await run_asyncio(check(self._core))

    def __repr__(self) -> str:
        return f"<RecordStore at {self._core.layout.prefix!r}, {self.metadata!r}>"
