"""Every error a caller can meet, in one tree.

    RecordLayerError
    ├─ UsageError             a call that can never work: wrong type, closed object, unknown option
    ├─ TupleError             bytes that are not a packed tuple, values that cannot be packed
    ├─ SchemaError            metadata, key expressions and evolution
    ├─ KeySpaceError          directories, paths and interned names
    ├─ StoreError             what a record store refuses or finds broken
    ├─ FeedError              change feeds: tokens that lead nowhere, stores that have none
    ├─ MigrationError         schema migrations that are refused, held by others, or stopped
    ├─ TenantError            exporting, importing and limiting what lies below a path
    ├─ IdempotencyError       keys of work that is applied once
    ├─ QueryError             queries, plans, continuations
    ├─ TransactionError       FoundationDB's error codes, each with `number`, `retryable`, `maybe_committed`
    ├─ EngineError            opening and keeping an engine: paths, locks, disks, missing libraries
    └─ ServiceError           what the server refuses to start with, and whom it refuses

The contract of an error is its `code` (a stable word), its constant `title`, its keyed `fields` and its `hint`.
Texts are for people: `title`, then the fields, then how to mend it.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, ClassVar, Self


def _code_of(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class RecordLayerError(Exception):
    """Base of the tree. `fields` holds what the title leaves out; `hint` says how to mend it."""

    code: ClassVar[str] = "record_layer_error"
    title: ClassVar[str] = "the record layer met an error"
    hint: str = ""
    retryable: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.code = _code_of(cls.__name__)

    def __init__(self, *, hint: str | None = None, **fields: object) -> None:
        self.fields: dict[str, object] = fields
        if hint is not None:
            self.hint = hint
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [self.title]
        if self.fields:
            lines.append("  " + ", ".join(f"{name} {value!r}" for name, value in self.fields.items()))
        if self.hint:
            lines.append("  hint: " + self.hint)
        return "\n".join(lines)

    def add(self, **fields: object) -> None:
        """Say more: where somebody further up knows it."""
        self.fields.update(fields)
        self.args = (self._text(),)

    def again(self) -> Self:
        """A fresh error with the same content: one that is raised twice would gather tracebacks."""
        fresh: Self = _rebuild(type(self), self.hint, self.fields)  # type: ignore[assignment]  # the same class
        return fresh

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process borders (multiprocessing, pytest-xdist): keyword-only construction needs help.
        return _rebuild, (type(self), self.hint, self.fields)


def _rebuild(cls: type[RecordLayerError], hint: str, fields: dict[str, object]) -> RecordLayerError:
    return cls(hint=hint, **fields)


# -- wrong use ---------------------------------------------------------------------------------------------


class UsageError(RecordLayerError):
    title = "this call cannot work"


class WrongType(UsageError):
    title = "a value has the wrong type"


class Closed(UsageError):
    title = "the object is closed"


class LibraryMissing(UsageError):
    title = "an optional library that this needs is not installed"


class ForeignAwaitable(UsageError):
    title = "the core may await engine operations only"
    hint = "extension code runs under both drivers: await what the engine returns, not asyncio objects"


# -- tuples ------------------------------------------------------------------------------------------------


class TupleError(RecordLayerError):
    title = "a tuple cannot be packed or unpacked"


class MalformedTuple(TupleError):
    title = "these bytes are not a packed tuple"


class UnpackableValue(TupleError):
    title = "this value has no place in a tuple"
    hint = "use None, bytes, str, int, float, SingleFloat, bool, UUID, Versionstamp, or a nested tuple of these"


class InvalidVersionstamp(TupleError):
    title = "these are not the parts of a versionstamp"
    hint = (
        "a versionstamp is a transaction version of 10 bytes (None: not known yet) and a user version from 0 to 65535"
    )


class IncompleteVersionstamp(TupleError):
    title = "a tuple has the wrong number of incomplete versionstamps"
    hint = "pack takes none; pack_with_versionstamp takes exactly one, whose place the engine fills in at commit"


class NotInSubspace(TupleError):
    title = "the key is not in this subspace"


class UnboundedPrefix(TupleError):
    title = "no key sorts behind all the keys with this prefix"
    hint = "use a prefix with at least one byte other than ff"


# -- schema ------------------------------------------------------------------------------------------------


class SchemaError(RecordLayerError):
    title = "the metadata is not valid"


class UnknownField(SchemaError):
    title = "a message has no such field"


class UnknownRecordType(SchemaError):
    title = "the metadata has no such record type"


class UnknownIndex(SchemaError):
    title = "the metadata has no such index"


class UnknownFunction(SchemaError):
    title = "no function of this name is registered"


class InvalidKeyExpression(SchemaError):
    title = "a key expression does not fit its record type"


class KeyFunctionFailed(SchemaError):
    title = "a function of a key expression has no result for this record"


class InvalidIndex(SchemaError):
    title = "an index is not defined as its type needs it"


class InvalidRecordType(SchemaError):
    title = "a record type cannot be stored as it is defined"


class MalformedMetaData(SchemaError):
    title = "these bytes are not metadata"


class MetaDataMissing(SchemaError):
    title = "no metadata is stored here"


class EvolutionRefused(SchemaError):
    """Metadata that cannot follow what stores were written with; `findings` says why, all at once."""

    title = "the new metadata cannot follow the old one"

    @property
    def findings(self) -> tuple[Any, ...]:
        found = self.fields.get("findings", ())
        return found if isinstance(found, tuple) else ()

    def _text(self) -> str:
        old, new = self.fields.get("old_version"), self.fields.get("new_version")
        lines = [self.title, f"  old version {old}, new version {new}"]
        return "\n".join([*lines, *[f"  {number}. {finding}" for number, finding in enumerate(self.findings, 1)]])


class InvalidMetaData(SchemaError):
    """Several findings at once, each an error of its own in `findings`."""

    title = "the metadata has findings that must be mended first"

    @property
    def findings(self) -> tuple[RecordLayerError, ...]:
        found = self.fields.get("findings", ())
        return found if isinstance(found, tuple) else ()

    def _text(self) -> str:
        lines = [self.title]
        for number, finding in enumerate(self.findings, 1):
            text = str(finding).replace("\n", "\n     ")
            lines.append(f"  {number}. {type(finding).__name__}: {text}")
        return "\n".join(lines)


# -- key spaces --------------------------------------------------------------------------------------------


class KeySpaceError(RecordLayerError):
    title = "a key space refuses this"


class InvalidDirectory(KeySpaceError):
    title = "this directory cannot be part of a key space"


class UnknownDirectory(KeySpaceError):
    title = "the key space has no such directory"


class WrongDirectoryValue(KeySpaceError):
    title = "a directory cannot hold this value"


class NotInKeySpace(KeySpaceError):
    title = "this key lies in no directory of the key space"


class NameNotInterned(KeySpaceError):
    title = "nothing is interned so"


class NamesDiffer(KeySpaceError):
    title = "a name or a number means something else already"
    hint = "names keep their numbers; look whether the scope is the right one"


class NamesCollide(KeySpaceError):
    title = "the database has keys where a new name would lead"


class ResolverLocked(KeySpaceError):
    title = "no new names are interned"


class CorruptName(KeySpaceError):
    title = "an entry of interned names cannot be understood"


class NoSuchDirectory(KeySpaceError):
    title = "the directory layer has no such directory"


class DirectoryExists(KeySpaceError):
    title = "there is such a directory in the directory layer already"


class WrongDirectoryLayer(KeySpaceError):
    title = "the directory was made for another layer"
    hint = "open it without a layer, or with the one it was made for"


class PrefixTaken(KeySpaceError):
    title = "a prefix for a directory is in use"


class NewerDirectoryLayer(KeySpaceError):
    title = "the directory layer's version is not one that is known here"


# -- record stores -----------------------------------------------------------------------------------------


class StoreError(RecordLayerError):
    title = "the record store refuses"


class StoreMissing(StoreError):
    title = "there is no record store here"


class StoreExists(StoreError):
    title = "a record store is already here"


class NotARecordStore(StoreError):
    title = "the store has data but no header"


class FormatTooNew(StoreError):
    title = "the store was written by a newer format"


class StaleMetaData(StoreError):
    title = "the store was opened with newer metadata before"


class StoreLocked(StoreError):
    title = "the store is locked"


class StoreMoved(StoreLocked):
    """`to`: where it was moved, as whoever moved it has put it."""

    title = "the store was moved to another place"
    hint = "open it there; here nothing is left of it but this word"


class RecordExists(StoreError):
    title = "a record with this primary key exists already"


class RecordMissing(StoreError):
    title = "there is no record with this primary key"


class RecordTypeChanged(StoreError):
    title = "the stored record with this primary key has another type"


class IncompleteRecord(StoreError):
    title = "a required field of the record is not set"


class RecordTooLarge(StoreError):
    title = "a record is larger than one value may be"


class IndexEntryTooLarge(StoreError):
    title = "an index entry is larger than the engine allows"


class UniquenessViolation(StoreError):
    title = "another record already has this value"


class IndexNotReadable(StoreError):
    title = "the index cannot be read in its state"


class IndexNotBuilt(StoreError):
    title = "the index has not been built to its end"


class BuildBlocked(StoreError):
    title = "builds of the index are blocked"


class BuildLocked(StoreError):
    title = "somebody else is building the index"

    @property
    def silent_for(self) -> timedelta:
        """How long he has to say nothing more until others may build."""
        lease, ago = self.fields.get("lease_ms"), self.fields.get("seen_ms_ago")
        if not isinstance(lease, int) or not isinstance(ago, int):
            return timedelta(0)
        return timedelta(milliseconds=max(0, min(lease, lease - ago)))


class BuildMismatch(StoreError):
    title = "the index was partly built in another way"


class BuildRefused(StoreError):
    title = "the index is in a state that is not to be built"


class SourceUnsuitable(StoreError):
    title = "an index cannot be built by this other one"


class CorruptBuild(StoreError):
    title = "what a build has noted cannot be understood"


class CorruptRangeSet(StoreError):
    title = "a key of a range set cannot be understood"


class CorruptRecord(StoreError):
    title = "a stored record cannot be read"


class UnknownEncryptionKey(StoreError):
    title = "there is no encryption key of this number"
    hint = "give the serialiser the key that the record was written with: it may be an older one than the current"


class UnfaithfulSerializer(StoreError):
    title = "the serialiser would not read a record as it was written"
    hint = "nothing was stored; mend the serialiser, its compression or its key manager"


class CorruptHeader(StoreError):
    title = "the store's header cannot be read"


class CorruptIndexEntry(StoreError):
    title = "an index entry cannot be read"


class StaleUserVersion(StoreError):
    title = "the store has a newer user version"


class IndexNotSupported(StoreError):
    title = "this index cannot be maintained here"


class IndexCannotClear(StoreError):
    title = "an index cannot drop the entries of these records at once"


class LocalVersionsExhausted(StoreError):
    title = "one transaction cannot give out more versions"
    hint = "save fewer versioned records in one transaction: 65,536 is the limit"


# -- migrations --------------------------------------------------------------------------------------------


class InvalidProject(UsageError):
    title = "the project file is not valid"


class InvalidSchemaSource(UsageError):
    title = "the schema cannot be loaded from where the project file says"


class InvalidExpression(UsageError):
    title = "the query that was typed is not understood"


class InvalidLockFile(SchemaError):
    title = "the lock file is not valid"


class MigrationError(RecordLayerError):
    title = "a migration cannot go on"


class MigrationRefused(MigrationError):
    title = "the stored metadata cannot follow the schema"


class MigrationHeld(MigrationError):
    title = "somebody else is migrating"


class MigrationChanged(MigrationError):
    title = "the migration is not the one that was planned"


# -- tenants -----------------------------------------------------------------------------------------------


class TenantError(RecordLayerError):
    title = "an operation on a tenant is refused"


class TenantNotEmpty(TenantError):
    title = "there are data already where a tenant should come"
    hint = "import to a path of its own, or delete what is there first"


class TenantChanged(TenantError):
    title = "the tenant was changed while it was exported"
    hint = "export it at a quieter time, or with Guard.FREEZE, which forbids changes meanwhile"


class TenantFrozen(TenantError):
    title = "a store of the tenant cannot be frozen"


class StreamDamaged(TenantError):
    title = "the stream of an export is damaged"
    hint = "nothing of it was kept; take another copy of the export"


class StreamTruncated(TenantError):
    title = "the stream of an export ends too early"
    hint = "nothing of it was kept; take a copy that is whole"


class StreamTooNew(TenantError):
    title = "the stream of an export has a format that is not known here"


class ImportRefused(TenantError):
    title = "an export does not fit the place where it should come"


class ImportInterrupted(TenantError):
    title = "another import, or a deletion, is at work on the same path"


class IncrementalRefused(TenantError):
    title = "changes since an earlier export cannot be told"
    hint = "export everything again"


class TenantOverLimit(TenantError):
    """`retry_after` is the time after which the tenant may go on, at the earliest."""

    title = "the tenant has used up what it may read and write at present"
    hint = "try again after retry_after, or have transactions wait: Overload.WAIT"

    @property
    def retry_after(self) -> timedelta:
        seconds = self.fields.get("retry_after_seconds", 0.0)
        return timedelta(seconds=seconds if isinstance(seconds, (int, float)) else 0.0)


class CorruptTenantState(TenantError):
    title = "what is kept of a tenant cannot be understood"


# -- idempotency keys --------------------------------------------------------------------------------------


class FeedError(RecordLayerError):
    title = "a change feed cannot do this"


class FeedMissing(FeedError):
    title = "the store has no change feed"


class FeedRefused(FeedError):
    title = "the store cannot have this change feed"


class FeedTokenExpired(FeedError):
    title = "changes since this token are not there any more"
    hint = "drop what was built from the feed, copy the store anew and go on from feed.now() as of before the copy"


class BadFeedToken(FeedError):
    title = "this is no token of this feed"


class CorruptFeed(FeedError):
    title = "an entry of the change feed cannot be read"


class IdempotencyError(RecordLayerError):
    title = "the idempotency key cannot be used"


class AlreadyApplied(IdempotencyError):
    """Fields: `key`, `when` it was applied (ISO 8601), the `result` that was recorded, `version` of the commit."""

    title = "work with this idempotency key has been applied already"
    hint = "do not apply it again; what it recorded is in fields['result']"


class UnknownIdempotencyRecord(IdempotencyError):
    title = "what is stored for this idempotency key cannot be read"


# -- queries -----------------------------------------------------------------------------------------------


class QueryError(RecordLayerError):
    title = "the query cannot run"


class NoPlan(QueryError):
    title = "no index supports this query"


class OverBudget(QueryError):
    title = "no plan of this query keeps its budget"


class BudgetSpent(QueryError):
    title = "a limit on what may be read was reached"
    hint = "ask for less, give a larger limit, or have it stop with a continuation: Limits(fail=False)"


class BadContinuation(QueryError):
    title = "this continuation does not belong here"


class ExpiredContinuation(BadContinuation):
    title = "this continuation can no longer be used"
    hint = "begin anew"


class NotFinished(QueryError):
    title = "this page is not finished"
    hint = "iterate it to its end first, or ask for a limit"


# -- the service -------------------------------------------------------------------------------------------


class ServiceError(RecordLayerError):
    title = "the server cannot start like this"


class InvalidSettings(ServiceError):
    """Everything that is wrong with the server's settings at once; `problems` has a line for each."""

    title = "the server's settings must be mended first"

    @property
    def problems(self) -> tuple[str, ...]:
        found = self.fields.get("problems", ())
        return found if isinstance(found, tuple) else ()

    def _text(self) -> str:
        return "\n".join([self.title, *[f"  {number}. {problem}" for number, problem in enumerate(self.problems, 1)]])


class UnsafeSettings(ServiceError):
    title = "these settings would serve anybody who can reach the address"


class CannotListen(ServiceError):
    title = "the server cannot listen on this address"


class ServerEnded(ServiceError):
    """What a fake server that does not come up has said is in the field `said`."""

    title = "the server ended before it listened"
    hint = 'the extra "server" has to be installed; what it said tells the rest'


class Unauthenticated(ServiceError):
    """The same words whatever was wrong: who tries tokens learns nothing."""

    title = "the caller is not known"


class Forbidden(ServiceError):
    """The same words for what may not be seen and for what is not there."""

    title = "this is not there, or not for the caller"


class CallRefused(ServiceError):
    """What a client of the service gets: `reason` is the name that the service's errors.proto has for it."""

    title = "the service refused the call"

    @property
    def reason(self) -> str:
        return str(self.fields.get("reason", ""))

    @property
    def passing(self) -> bool:
        """Whether the same call may go well later: the service has said so, or nobody has answered."""
        return "retry_after" in self.fields


class NoAnswer(CallRefused):
    """Nothing came back in time; a write may have been applied, and its idempotency key finds out."""

    title = "the service did not answer"

    @property
    def passing(self) -> bool:
        return True


class ChangeTagStale(CallRefused):
    """`server_record`: the record as it is now, or None if it did not fit into the answer."""

    title = "the record was changed since it was read"
    hint = "merge your changes into server_record and save that with its change tag"

    @property
    def server_record(self) -> Any:
        return self.fields.get("server_record")


class WebhookRefused(ServiceError):
    """Of `recordlayer.client.webhooks.verify`: `why` says what is wrong."""

    title = "this is no webhook of the service"
    hint = "answer it with status 400"


class Overloaded(ServiceError):
    """`retry_after` says when it may be tried again: a timedelta."""

    title = "the server has more to do than it can"
    retryable = True


# -- engines -----------------------------------------------------------------------------------------------


class EngineError(RecordLayerError):
    title = "the engine cannot do this"


class UnknownEngine(EngineError):
    title = "no engine has this URL scheme"
    hint = "use memory:, file:PATH or fdb:CLUSTER_FILE"


class EngineMissing(EngineError):
    title = "a library that this engine needs is not installed"


class EngineUnavailable(EngineError):
    title = "the engine does not answer"


class InvalidEngineOption(EngineError):
    title = "the engine does not take this option"


class NoFile(EngineError):
    title = "this engine keeps no file of its own"
    hint = "a file: database can be compacted and verified; a cluster looks after itself"


class PathTaken(EngineError):
    title = "there is something at this path already"


class DirectoryMissing(EngineError):
    title = "the directory of this path does not exist"


class OpenedDifferently(EngineError):
    title = "this process has the file open already, in another way"
    hint = "open it with the same options everywhere in one process"


class EngineInUse(EngineError):
    title = "another process owns this file"


class OpenedBeforeFork(EngineError):
    title = "this handle was opened before the process forked"
    hint = "open the database in the child; nothing of the parent's was touched"


class NotADatabase(EngineError):
    title = "this path is not a recordlayer database"


class NewerFile(EngineError):
    title = "this file was written by a newer recordlayer"
    hint = "upgrade recordlayer; the file was not touched"


class CorruptFile(EngineError):
    title = "the database file is damaged"


class NoPermission(EngineError):
    title = "the operating system forbids this"


class DiskFull(EngineError):
    title = "there is no room left on the disk"
    hint = "free some space and try again; the store is as it was before"


class MapFull(EngineError):
    title = "the file has reached its reserved size"
    hint = "open it with a larger max_size; the store is as it was before"


class DiskError(EngineError):
    title = "the disk reports an error"


# -- transactions: FoundationDB's codes --------------------------------------------------------------------


class TransactionError(RecordLayerError):
    """An error with a FoundationDB code.

    `number` is FoundationDB's code, `retryable` what its `on_error` retries, `maybe_committed` whether the
    transaction may have been applied.
    """

    title = "the transaction failed"
    number: int = 1000
    maybe_committed: ClassVar[bool] = False


class OperationFailed(TransactionError):
    title, number = "the operation failed", 1000


class TimedOutWaiting(TransactionError):
    title, number = "an operation inside the cluster timed out", 1004


class TooOld(TransactionError):
    title, number = "the transaction is too old to read or commit", 1007
    hint = "transactions live five seconds: read less in one, or continue in another from a continuation"
    retryable = True


class FutureVersion(TransactionError):
    title, number = "the read version is newer than any commit", 1009
    retryable = True


class Conflict(TransactionError):
    title, number = "another transaction changed what this one read", 1020
    hint = "run it again: db.run(fn) does so by itself"
    retryable = True


class MaybeCommitted(TransactionError):
    title, number = "the transaction may or may not have been committed", 1021
    hint = "give the work an idempotency_key: then this is found out, and it is applied once"
    retryable = True
    maybe_committed = True


class Cancelled(TransactionError):
    title, number = "the transaction was cancelled", 1025


class TimedOut(TransactionError):
    title, number = "the transaction's time is up", 1031
    hint = "raise the timeout option, or do less in one transaction"


class TooManyWatches(TransactionError):
    title, number = "there are too many watches", 1032
    hint = "raise the max_watches option of the database"


class WatchesDisabled(TransactionError):
    title, number = "watches need read-your-writes", 1034
    hint = "do not set read_your_writes_disable on a transaction that watches"


class Unreadable(TransactionError):
    title, number = "what would be read depends on a versionstamp that is not known before the commit", 1036
    hint = "read it after the commit, or set bypass_unreadable to see what was there before"


class ProcessBehind(TransactionError):
    title, number = "the storage process is behind", 1037
    retryable = True


class DatabaseLocked(TransactionError):
    title, number = "the database is locked", 1038
    retryable = True


class ClusterVersionChanged(TransactionError):
    title, number = "the cluster changed its version", 1039
    retryable = True
    maybe_committed = True


class CommitProxyMemoryLimit(TransactionError):
    title, number = "the cluster's commit proxies are out of memory", 1042
    retryable = True


class BatchThrottled(TransactionError):
    title, number = "batch transactions are throttled", 1051
    retryable = True


class GrvProxyMemoryLimit(TransactionError):
    title, number = "the cluster's read version proxies are out of memory", 1078
    retryable = True


class OperationCancelled(TransactionError):
    title, number = "the operation was cancelled", 1101


class TagThrottled(TransactionError):
    title, number = "the transaction's tag is throttled", 1213
    retryable = True


class ProxyTagThrottled(TransactionError):
    title, number = "the transaction's tag is throttled by the proxies", 1223
    retryable = True


class InputOutputError(TransactionError):
    title, number = "the disk reports an error", 1510


class InvalidOperation(TransactionError):
    title, number = "this operation is not valid here", 2000


class CommitReadIncomplete(TransactionError):
    title, number = "the transaction was committed while a read was under way", 2002


class KeyOutsideLegalRange(TransactionError):
    title, number = "the key is outside the range that this transaction may use", 2004
    hint = "keys must sort before ff"


class InvertedRange(TransactionError):
    title, number = "the range begins after its end", 2005


class InvalidOptionValue(TransactionError):
    title, number = "the option does not take this value", 2006


class InvalidOption(TransactionError):
    title, number = "there is no such option here", 2007


class ReadVersionAlreadySet(TransactionError):
    title, number = "the transaction has a read version already", 2010


class VersionInvalid(TransactionError):
    title, number = "this is no version", 2011


class RangeLimitsInvalid(TransactionError):
    title, number = "the limits of a range read are not valid", 2012


class UsedDuringCommit(TransactionError):
    title, number = "the transaction is used while or after it commits", 2017
    hint = "begin another transaction, or reset this one"


class InvalidMutationType(TransactionError):
    title, number = "this is no atomic operation", 2018


class TransactionInvalidVersion(TransactionError):
    title, number = "the transaction has no valid version", 2020


class NoCommitVersion(TransactionError):
    title, number = "a transaction without writes has no commit version or versionstamp", 2021


class TransactionReadOnly(TransactionError):
    title, number = "the transaction is read-only", 2023


class TransactionTooLarge(TransactionError):
    title, number = "the transaction is larger than it may be", 2101
    hint = "split the work over several transactions; ten million bytes is the limit, far less is healthy"


class KeyTooLarge(TransactionError):
    title, number = "a key is longer than 10,000 bytes", 2102


class ValueTooLarge(TransactionError):
    title, number = "a value is longer than 100,000 bytes", 2103


class ExactModeWithoutLimits(TransactionError):
    title, number = "a range is read exactly, but without a limit", 2210
    hint = "give a limit, or use another streaming mode"


class UnsupportedOperation(TransactionError):
    title, number = "the operation is not supported", 2108


class OtherTransactionError(TransactionError):
    """A FoundationDB code without a class of its own: `number` is set on the instance."""

    title = "the engine reports an error"

    def __init__(self, *, hint: str | None = None, number: int = 4000, **fields: object) -> None:
        self.number = number
        super().__init__(hint=hint, number=number, **fields)


_BY_NUMBER: dict[int, type[TransactionError]] = {
    cls.number: cls for cls in TransactionError.__subclasses__() if cls is not OtherTransactionError
}


def transaction_error(number: int, **fields: Any) -> TransactionError:
    """The error of our tree for a FoundationDB error code."""
    cls = _BY_NUMBER.get(number)
    return cls(**fields) if cls is not None else OtherTransactionError(number=number, **fields)
