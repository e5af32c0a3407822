"""What happens in a database, as values.

One frozen class for each kind of happening. Sizes are `Bytes`, durations `timedelta`, counts plain numbers; fields are
named by what they hold. Events of one attempt share its `Origin`, so that they can be told apart and added up.

A class that is added here is an addition to the public interface; taking one away, or a field of one, is a break.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple, NewType

Bytes = NewType("Bytes", int)
"""A number of bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which attempt of which transaction an event belongs to.

    transaction  counts up through the life of the process; all attempts of one unit of work have the same
    attempt      1 for the first
    work         what the caller calls it: a name that was given, or that of the function which `run` was given
    tags         the transaction's tags
    database     the URL of the database
    """

    transaction: int
    attempt: int = 1
    work: str = ""
    tags: tuple[str, ...] = ()
    database: str = ""


class Place(NamedTuple):
    """Part of a store. What lies in no store that the transaction opened has an empty `store`.

    store  the path, such as /shop/acme
    part   "records", "index", "header"...; "" outside of stores
    name   of the index, else ""
    """

    store: str = ""
    part: str = ""
    name: str = ""

    def __str__(self) -> str:
        words = " ".join(word for word in (self.part, self.name) if word) or "keys outside of stores"
        return f"{words} in {self.store}" if self.store else words


ELSEWHERE = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Operations and what they moved.

    reads   point and range reads; a range in several chunks counts each
    empty   reads among them that found nothing
    rows    pairs they gave
    read    bytes of keys and values in those pairs
    writes  keys set, changed by atomic operations or cleared, and ranges cleared
    clears  keys and ranges cleared, among the writes
    written bytes of the keys, values and operands of writes
    """

    reads: int = 0
    empty: int = 0
    rows: int = 0
    read: Bytes = Bytes(0)
    writes: int = 0
    clears: int = 0
    written: Bytes = Bytes(0)


class Outcome(enum.Enum):
    """How an attempt ended."""

    COMMITTED = "committed"
    FAILED = "failed"
    """Its commit failed, or an error made an end of it."""
    UNKNOWN = "unknown"
    """Its commit may or may not have happened."""
    LEFT = "left"
    """It was closed without a commit: nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened."""

    origin: Origin | None = None


# -- transactions ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionBegan(Event):
    """An attempt began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadVersionTaken(Event):
    """The version at which the transaction reads is known. `cached`: it was set from an earlier transaction's."""

    version: int
    took: timedelta
    cached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRead(Event):
    """One key was read, or looked for with a selector. `value` is None if there was nothing."""

    key: bytes
    value: Bytes | None
    took: timedelta
    snapshot: bool = False
    place: Place = ELSEWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeRead(Event):
    """A chunk of a range was read. `more`: the range goes on behind it."""

    begin: bytes
    end: bytes
    rows: int
    read: Bytes
    took: timedelta
    more: bool = False
    reverse: bool = False
    snapshot: bool = False
    place: Place = ELSEWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBatch(Event):
    """What a transaction hands over with its commit. Not sent for one without writes."""

    sets: int
    atomics: int
    clears: int
    range_clears: int
    written: Bytes
    places: Mapping[Place, Counts] = field(default_factory=dict)

    @property
    def writes(self) -> int:
        return self.sets + self.atomics + self.clears + self.range_clears


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitBegan(Event):
    """The commit is under way."""

    writes: int
    written: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitFinished(Event):
    """The commit has its outcome.

    version  of the commit; None without writes or after a failure
    error    the error's code, "" after a success
    """

    took: timedelta
    outcome: Outcome
    version: int | None = None
    error: str = ""

    @property
    def conflict(self) -> bool:
        return self.error == "conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictMet(Event):
    """A commit failed because others changed what the transaction had read.

    ranges     the read ranges that conflicted, as far as the engine tells
    conflicts  the same in words, a sentence each
    """

    ranges: tuple[tuple[bytes, bytes], ...]
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried(Event):
    """Another attempt begins because of an error. `origin` is that of the attempt that failed.

    waited  since the error
    """

    error: str
    number: int
    waited: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionEnded(Event):
    """An attempt is over.

    took    since it began
    counts  all of it; `places` has the same by part of a store
    error   the code of the error that ended it, "" if none did
    """

    outcome: Outcome
    took: timedelta
    counts: Counts
    places: Mapping[Place, Counts] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionLeaked(Event):
    """A transaction was dropped without being closed, or has been open for too long.

    opened  where in the caller's code it was opened: file, line and function
    age     since then
    """

    opened: str
    age: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKeyFound(Event):
    """The key of a unit of work was there already: it is not applied again.

    own  an earlier attempt of the same run had recorded it, and nobody was told
    """

    key: bytes | str
    own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSplit(Event):
    """A record was too long for one pair and is saved in several: so many parts, so many bytes."""

    parts: int
    size: Bytes


# -- stores, queries, builds -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOpened(Event):
    """A record store is open."""

    store: str
    took: timedelta
    created: bool = False
    cached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPlanned(Event):
    """A plan was chosen. `cached`: it was there from an earlier query of this shape."""

    store: str
    query: str
    plan: str
    took: timedelta
    cached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFinished(Event):
    """A page of a query's results has been given out to its end; not told of one that is left before.

    rows     results given
    keys     pairs that were read for them
    stopped  why the page ended: "exhausted", "limit_reached", ...
    """

    store: str
    query: str
    plan: str
    rows: int
    keys: int
    read: Bytes
    took: timedelta
    stopped: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildBegan(Event):
    """Building of an index online began, or goes on."""

    store: str
    index: str
    resumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildAdvanced(Event):
    """One transaction of a build has been committed.

    records    were looked at in it; `limit` is for the next
    scanned    records that all builds so far have looked at, as they counted, of `total`; None if nobody counts them
    remaining  how long the rest will take at this build's pace, None if that cannot be told
    """

    store: str
    index: str
    records: int
    took: timedelta
    limit: int = 0
    scanned: int = 0
    total: int | None = None
    remaining: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFinished(Event):
    """A build ended. `error` is "" if the index is built."""

    store: str
    index: str
    records: int
    took: timedelta
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubAdvanced(Event):
    """One transaction of a scrub, or of a repair of records, has been committed. `index` is "" for records.

    looked_at  records or pairs
    found      what of them did not agree, `repaired` what was put right
    """

    store: str
    index: str
    looked_at: int
    found: int
    repaired: int
    took: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubFinished(Event):
    """A scrub, or a repair of records, ended. `error` is "" if everything was looked at."""

    store: str
    index: str
    found: int
    repaired: int
    error: str = ""


# -- tenants -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantCharged(Event):
    """An attempt of a tenant's has ended, and used so much of its limits. `tenant` is its path."""

    tenant: str
    keys_read: int = 0
    bytes_read: Bytes = Bytes(0)
    keys_written: int = 0
    bytes_written: Bytes = Bytes(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRefused(Event):
    """A transaction was not let in, because its tenant has used up its limits."""

    tenant: str
    retry_after: timedelta


KINDS: tuple[type[Event], ...] = tuple(
    found for found in globals().values() if isinstance(found, type) and issubclass(found, Event) and found is not Event
)
"""Every kind of event, in the order of this page."""
