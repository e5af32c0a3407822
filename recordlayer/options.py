"""What a caller may say about a transaction, as values.

Durations are `timedelta`, sizes bytes. `TransactionOptions` says nothing by default, and costs nothing then.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta

from recordlayer.errors import UsageError

_MOST_TAGS, _LONGEST_TAG, _LONGEST_NAME = 5, 16, 100
_SMALLEST_SIZE, _LARGEST_SIZE = 32, 10_000_000


class Priority(enum.Enum):
    """Whose turn it is when a cluster is busy. The embedded engine serves everybody alike."""

    DEFAULT = "default"
    BATCH = "batch"
    """May wait for as long as it takes: builds, exports, cleaning up."""
    IMMEDIATE = "immediate"
    """Before everybody else and without limits: for the rescue of a cluster, never for an application's work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may be read: by one page of a query or a scan, by a query whatever its pages say, or by a transaction.
    None is no bound.

    keys    pairs that are read (records and index entries; split records count each part). Records of entries that were
            within the bound are read all the same
    bytes   of keys and values that are read; passed by one pair of a scan at most, or by one portion of records
    time    after which no further chunk is asked for
    memory  bytes that may be held to sort, to group and to find what is distinct. Where that is too little, what was
            read is read again for what follows: it costs keys, and never fails
    fail    raise BudgetSpent where a bound is reached, instead of stopping with a continuation
    """

    keys: int | None = None
    bytes: int | None = None
    time: timedelta | None = None
    memory: int | None = None
    fail: bool = False

    def __post_init__(self) -> None:
        for name in ("keys", "bytes", "memory"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise UsageError(limit=name, got=value, hint="give a whole number of at least 1, or None")
        if self.time is not None and not isinstance(self.time, timedelta):
            raise UsageError(limit="time", got=self.time, hint="give a datetime.timedelta, or None")
        if not isinstance(self.fail, bool):
            raise UsageError(limit="fail", got=self.fail, hint="give True or False")

    @property
    def bound_anything(self) -> bool:
        """Whether there is a bound at all."""
        return (self.keys, self.bytes, self.time, self.memory) != (None, None, None, None)

    def __str__(self) -> str:
        said = [f"{self.keys:,} keys" if self.keys is not None else ""]
        said.append(f"{self.bytes:,} bytes" if self.bytes is not None else "")
        said.append(f"{self.time.total_seconds():g} seconds" if self.time is not None else "")
        said.append(f"{self.memory:,} bytes of memory" if self.memory is not None else "")
        return (", ".join([one for one in said if one]) or "no limits") + " or fails" * self.fail


NO_LIMITS = Limits()


def as_limits(argument: str, value: object) -> Limits:
    """Limits as a caller gave them.  Raises  UsageError."""
    if not isinstance(value, Limits):
        raise UsageError(argument=argument, got=value, hint="give Limits(keys=1_000), or NO_LIMITS")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionOptions:
    """How a transaction behaves. What is not said is the engine's default.

    name                what the work is called in events, logs and traces
    priority            see `Priority`
    tags                up to 5 of at most 16 bytes each: a cluster's operator can slow down a tag
    auto_throttle       let the cluster slow down the tags by itself
    timeout             of the whole transaction with all its retries, from its beginning; TimedOut afterwards
    size_limit          bytes of its writes and conflict ranges, at most ten million; TransactionTooLarge above
    read_version        read the database as it was at this version
    staleness           a read version that this process learned of at most so long ago will do. Saves a round trip, and
                        may not show what others have committed since; what this process committed it does show
    at_least            with `staleness`: not older than this version, such as that of a commit seen elsewhere
    causal_read_risky   the read version may miss a commit in the rare case that a cluster is just being replaced
    causal_write_risky  a commit of unknown outcome may still happen when it is reported
    report_conflicts    say which keys a conflict was about. The embedded engine always does; a cluster pays a little
    trace_server        have the cluster's servers trace this transaction's requests
    identifier          what the cluster's own logs and traces call it, 1 to 100 bytes
    logged              have the cluster's client log every operation of it, under its identifier
    limits              of all that one attempt reads: when they are reached, pages stop with a continuation after one
                        pair, or, with `fail`, every further read raises BudgetSpent
    """

    name: str = ""
    priority: Priority = Priority.DEFAULT
    tags: tuple[str, ...] = ()
    auto_throttle: bool = False
    timeout: timedelta | None = None
    size_limit: int | None = None
    read_version: int | None = None
    staleness: timedelta | None = None
    at_least: int = 0
    causal_read_risky: bool = False
    causal_write_risky: bool = False
    report_conflicts: bool = False
    trace_server: bool = False
    identifier: str = ""
    logged: bool = False
    limits: Limits = NO_LIMITS

    def __post_init__(self) -> None:
        if not isinstance(self.priority, Priority):
            raise UsageError(option="priority", got=self.priority, hint="use Priority.BATCH, DEFAULT or IMMEDIATE")
        self._check_labels()
        as_limits("limits", self.limits)
        for name in ("timeout", "staleness"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, timedelta) or value <= timedelta(0)):
                raise UsageError(option=name, got=value, hint="give a datetime.timedelta above 0")
        for name, low, high in (
            ("size_limit", _SMALLEST_SIZE, _LARGEST_SIZE),
            ("read_version", 1, (1 << 63) - 1),
            ("at_least", 0, (1 << 63) - 1),
        ):
            value = getattr(self, name)
            if value is None and name != "at_least":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise UsageError(option=name, got=value, hint=f"give a whole number from {low:,} to {high:,}")
        if self.read_version is not None and self.staleness is not None:
            raise UsageError(option="read_version", also="staleness", hint="say one of them")

    def _check_labels(self) -> None:
        if isinstance(self.tags, str):
            raise UsageError(option="tags", got=self.tags, hint=f"give a tuple: ({self.tags!r},)")
        if len(self.tags) > _MOST_TAGS or not all(
            isinstance(tag, str) and 0 < len(tag.encode()) <= _LONGEST_TAG for tag in self.tags
        ):
            hint = f"give at most {_MOST_TAGS} strings of 1 to {_LONGEST_TAG} bytes"
            raise UsageError(option="tags", got=self.tags, hint=hint)
        if len(self.identifier.encode()) > _LONGEST_NAME:
            raise UsageError(option="identifier", got=self.identifier, hint=f"{_LONGEST_NAME} bytes is the limit")
        if self.logged and not self.identifier:
            raise UsageError(option="logged", hint="give an identifier too: the log is read by it")


DEFAULT_OPTIONS = TransactionOptions()
