# Generated from recordlayer/aio/tenant.py by tests/house/generate_blocking.py: do not edit.
"""Tenants, in the blocking facade: what lies below a path, as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import BinaryIO, Protocol, TypeVar

from recordlayer.blocking.attempts import run_until_done
from recordlayer.blocking.tenant_export import PIECE, TenantExport, pieces_of
from recordlayer.blocking.transaction import Transaction
from recordlayer.errors import WrongType
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.idempotency import Key
from recordlayer.kv.retry import DEFAULT_RETRY, NEVER, Attempts, Retry
from recordlayer.metadata import RecordMetaData
from recordlayer.options import TransactionOptions
from recordlayer.store.open import Path
from recordlayer.store.serializer import PLAIN, Serializer
from recordlayer.tenant.changes import ChangeExporter, ChangeImporter, ChangesReport
from recordlayer.tenant.export import Exporter, Guard
from recordlayer.tenant.governor import Gate, limits_of, set_limits, usage_of
from recordlayer.tenant.importing import Importer, ImportReport
from recordlayer.tenant.limits import Overload, TenantLimits, TenantUsage
from recordlayer.tenant.looking import size_below, stores_below, thaw_below
from recordlayer.tenant.moving import Mover, MoveReport, Side
from recordlayer.tenant.removal import RemovalReport, delete_tenant
from recordlayer.tenant.statistics import Statistics, count_exactly, estimate
from recordlayer.tenant.steps import StepLimits
from recordlayer.tenant.stores import StorePage
from recordlayer.tenant.stream import Reader
from recordlayer.waiting.drivers import run_blocking

T = TypeVar("T")


class MakeAttempts(Protocol):
    """What gives a database's attempts of some work."""

    def __call__(
        self, retry: Retry, options: TransactionOptions | None, key: Key | None, *, work: str = "", gate: Gate
    ) -> Attempts: ...


class Tenant:
    """All that lies below a path. `Database.tenant` gives one.

    What it does takes as many transactions as it needs, each of them small: see `recordlayer.tenant.StepLimits`.
    """

    def __init__(
        self, beginning: Beginning, path: Path, attempts: MakeAttempts, *, options: TransactionOptions | None = None
    ) -> None:
        self._beginning = beginning
        self._path = path
        self._attempts = attempts
        self._options = options

    # -- working within limits

    def transaction(
        self,
        *,
        options: TransactionOptions | None = None,
        idempotency_key: Key | None = None,
        overload: Overload = Overload.FAIL,
        most: timedelta | None = None,
    ) -> Transaction:
        """`Database.transaction` for work of this tenant's: it is let in while the tenant is within its limits, and
        what it reads and writes is counted.

        overload  what happens otherwise: Overload.FAIL, or WAIT
        most      how long to wait at most

        Cost    as `Database.transaction`; a few times a second, 2 reads and up to 7 writes.
        Raises  TenantOverLimit, at once or when the block is entered; AlreadyApplied.
        """
        attempts = self._attempts(NEVER, options, idempotency_key, gate=self._gate(overload, most))
        return Transaction(attempts.begin(), claim=attempts.claim, alone=attempts)

    def run(
        self,
        function: Callable[[Transaction], T],
        *,
        retry: Retry = DEFAULT_RETRY,
        options: TransactionOptions | None = None,
        idempotency_key: Key | None = None,
        overload: Overload = Overload.FAIL,
        most: timedelta | None = None,
    ) -> T:
        """`Database.run` for work of this tenant's: each attempt is let in and counted, as by `transaction`.

        Raises  TenantOverLimit; as `Database.run`.
        """
        work = getattr(function, "__qualname__", "")
        gate = self._gate(overload, most)
        return run_until_done(self._attempts(retry, options, idempotency_key, work=work, gate=gate), function)

    def _gate(self, overload: Overload, most: timedelta | None) -> Gate:
        if not isinstance(overload, Overload):
            raise WrongType(argument="overload", value=overload, hint="use Overload.FAIL or WAIT")
        gate = Gate(self._beginning, self._path, overload=overload, most=most)
        gate.check()
        return gate

    def limits(self) -> TenantLimits | None:
        """What the tenant may read and write, None if it has no limits.  Cost  1 read.  Raises  NameNotInterned."""
        return run_blocking(limits_of(self._beginning, self._path))

    def set_limits(self, limits: TenantLimits | None) -> None:
        """Say what the tenant may read and write, over all processes; None takes the limits away. They all go by that
        within some seconds.

        Cost  1 read, 2 writes; a name that is new is interned.
        """
        run_blocking(set_limits(self._beginning, self._path, limits))

    def usage(self) -> TenantUsage:
        """What `transaction` and `run` have counted for the tenant, in all processes: in others than this one up to
        some seconds ago. What a process counted in its last seconds is lost with it.

        Cost  6 reads in 1 round trip; 2 reads and up to 7 writes.  Raises  NameNotInterned.
        """
        return run_blocking(usage_of(self._beginning, self._path))

    # -- looking

    def size(self) -> int:
        """About how many bytes of keys and values there are. Within a factor, and poor for less than some megabytes.

        Cost  1 size, in 1 round trip.  Raises  NameNotInterned.
        """
        return run_blocking(size_below(self._beginning, self._path, self._options))

    def stores(self, *, limit: int = 1_000, continuation: bytes | None = None) -> StorePage:
        """The record stores below the path, in the order of their keys, up to `limit` on a page.

        Cost    1 read a store, 1 for each 250 keys outside of stores.
        Raises  NameNotInterned; UsageError; BadContinuation for one of another tenant.
        """
        return run_blocking(stores_below(self._beginning, self._path, self._options, limit, continuation))

    def statistics(
        self,
        metadata: RecordMetaData | None = None,
        *,
        exact: bool = True,
        serializer: Serializer = PLAIN,
        limits: StepLimits | None = None,
        told: Callable[[Statistics], object] | None = None,
    ) -> Statistics:
        """Keys and bytes by record type and index, which the metadata name.

        exact  False asks the engine for the sizes of ranges instead of reading every key
        told   called after each transaction with the statistics so far

        Cost    every key is read once; not exact: 1 read a store, and 1 size for each index and 1 more.
        Raises  NameNotInterned.
        """
        if not exact:
            return run_blocking(
                estimate(self._beginning, self._path, metadata=metadata, limits=limits, options=self._options)
            )
        return run_blocking(
            count_exactly(
                self._beginning,
                self._path,
                metadata=metadata,
                serializer=serializer,
                limits=limits,
                options=self._options,
                told=told,
            )
        )

    # -- moving

    def export(
        self, *, guard: Guard = Guard.PROVE, resume: bytes | None = None, limits: StepLimits | None = None
    ) -> TenantExport:
        """The tenant as a stream of bytes: iterate over it, or have it written to a file.

        guard   what is done about changes that are made meanwhile: see `recordlayer.tenant.Guard`
        resume  the token of an export that was interrupted, to go on with

        Raises  WrongType.
        """
        exporter = Exporter(
            self._beginning, self._path, guard=guard, resume=resume, limits=limits, options=self._options
        )
        return TenantExport(exporter)

    def import_from(
        self,
        source: BinaryIO | Iterable[bytes],
        *,
        limits: StepLimits | None = None,
        told: Callable[[ImportReport], object] | None = None,
    ) -> ImportReport:
        """Have everything that an export wrote be here: names are interned anew, the stores' incarnation is raised.

        Nobody sees any of it before all of it was read and every checksum agreed. An import that was interrupted goes
        on when the same stream is imported again, from its beginning.

        source  a binary file, or an iterator of bytes
        told    called with the report so far, about once a megabyte

        Cost    every key is written once, headers and keys outside of stores twice.
        Raises  TenantNotEmpty; StreamDamaged, StreamTruncated, StreamTooNew, ImportRefused: nothing is left then;
                ImportInterrupted, TenantChanged if others are at work on the path.
        """
        importer = Importer(self._beginning, self._path, limits=limits, options=self._options)
        for data in pieces_of(source):
            run_blocking(importer.feed(data))
            if told is not None:
                told(importer.report)
        return run_blocking(importer.finish())

    def export_changes(
        self,
        metadata: RecordMetaData,
        *,
        since: int,
        serializer: Serializer = PLAIN,
        guard: Guard = Guard.PROVE,
        limits: StepLimits | None = None,
    ) -> TenantExport:
        """What has changed in the tenant's stores since an earlier export, deletions included, as a stream for
        `import_changes`. Keys outside of stores, and stores that are gone, are not in it.

        since  the version in the report of the earlier export, or export of changes, of this database

        Raises  IncrementalRefused for metadata that store no record versions; UsageError, WrongType.
        """
        return TenantExport(
            ChangeExporter(
                self._beginning,
                self._path,
                since=since,
                metadata=metadata,
                serializer=serializer,
                guard=guard,
                limits=limits,
                options=self._options,
            )
        )

    def import_changes(
        self,
        source: BinaryIO,
        metadata: RecordMetaData,
        *,
        serializer: Serializer = PLAIN,
        limits: StepLimits | None = None,
        told: Callable[[ChangesReport], object] | None = None,
    ) -> ChangesReport:
        """Bring what an earlier export made up to date: records are saved with their versions, or deleted.

        The stream is read twice: nothing is changed before all of it was checked. It is applied in steps, each of which
        leaves every store in order; interrupted, it is applied again.

        source  a binary file that can be read again from where it is

        Cost    every record is read once, what changed is saved.
        Raises  StreamDamaged, StreamTruncated: nothing was changed; IncrementalRefused if this is not what the earlier
                export made; ImportRefused.
        """
        start = source.tell()
        checked = Reader()
        while data := source.read(PIECE):
            for _ in checked.feed(data):
                pass
        checked.finish()
        source.seek(start)
        importer = ChangeImporter(
            self._beginning,
            self._path,
            metadata=metadata,
            serializer=serializer,
            limits=limits,
            options=self._options,
        )
        while data := source.read(PIECE):
            run_blocking(importer.feed(data))
            if told is not None:
                told(importer.report)
        return run_blocking(importer.finish())

    def copy_to(
        self,
        target: Tenant,
        *,
        guard: Guard = Guard.PROVE,
        limits: StepLimits | None = None,
        told: Callable[[ImportReport], object] | None = None,
    ) -> ImportReport:
        """Have all of this tenant be at another path, or in another database: an export that is imported at once.

        Raises  as `export` and `import_from`; nothing is left at the target then.
        """
        exporter = Exporter(self._beginning, self._path, guard=guard, limits=limits, options=self._options)
        importer = Importer(target._beginning, target._path, limits=limits, options=target._options)
        try:
            while (data := run_blocking(exporter.next())) is not None:
                run_blocking(importer.feed(data))
                if told is not None:
                    told(importer.report)
            return run_blocking(importer.finish())
        except Exception:
            exporter.leave()
            run_blocking(importer.abandon())
            run_blocking(exporter.thaw())
            raise

    def move_to(
        self,
        target: Tenant,
        *,
        to: str = "",
        limits: StepLimits | None = None,
        told: Callable[[MoveReport], object] | None = None,
    ) -> MoveReport:
        """Have all of this tenant be at another path, or in another database, and nothing here any more: a copy with
        Guard.FREEZE, and behind it a lock in every store here, for good, that keeps writers and readers out and says
        where it is now. Interrupted, it goes on when it is called again with the same target.

        to    where that is, in words, for those who come here late (`StoreMoved.to`); the target's path without it
        told  called with the report so far, about once a megabyte

        What is left here is a header a store; `delete` removes them when nobody comes any more. Keys outside of stores
        are moved too, but have no locks.

        Cost    as an export and an import; then 2 reads and 1 write a store, 2 clear ranges for about a megabyte.
        Raises  TenantNotEmpty; TenantFrozen for a store of a format before 12, or one that is locked; TenantChanged for
                one that was made meanwhile; NameNotInterned; UsageError.
        """
        source = Side(beginning=self._beginning, path=self._path, options=self._options)
        there = Side(beginning=target._beginning, path=target._path, options=target._options)
        return run_blocking(Mover(source, there, to=to, limits=limits, told=told).run())

    def thaw(self) -> int:
        """Allow changes again in stores that exports with Guard.FREEZE left locked. How many there were.

        Cost  1 read a store, 1 write for each that was locked.
        """
        return run_blocking(thaw_below(self._beginning, self._path, self._options))

    def delete(
        self,
        *,
        name: bool = False,
        limits: StepLimits | None = None,
        told: Callable[[RemovalReport], object] | None = None,
    ) -> RemovalReport:
        """Remove everything. Interrupted, it goes on when it is called again; no store is left half there to be opened.

        name  also the interned name of the path's last directory, and the tenant's limits
        told  called after each transaction

        Cost    1 read, 2 clear ranges and 1 write for about a megabyte.
        """
        return run_blocking(
            delete_tenant(self._beginning, self._path, name=name, limits=limits, options=self._options, told=told)
        )

    def __repr__(self) -> str:
        return f"<Tenant {self._path}>"
