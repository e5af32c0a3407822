"""How to build and scrub: what to do with indexes in each state, how much in one transaction, how fast.

Source  Record Layer: IndexingPolicy, OnlineIndexOperationConfig
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta

from recordlayer.errors import UsageError


class Action(enum.Enum):
    """What to do with an index that is found in some state."""

    ERROR = "error"
    REBUILD = "rebuild"
    """Clear it and begin anew."""
    CONTINUE = "continue"
    """Go on where the last build stopped; leave a readable index as it is."""
    MARK_READABLE = "mark readable"
    """Do not build; try to have it read as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPolicy:
    """What to do with what is found. Defaults as Java's.

    readable, write_only, disabled  by the state of the index
    mismatch        a build was begun in another way: ERROR, or REBUILD
    takeover        go on with a build of several indexes, or of several workers, for one index alone
    unique_pending  a unique index in which records have equal values becomes READABLE_UNIQUE_PENDING; else finishing it
                    fails with UniquenessViolation
    mark_readable   have the index read when it is built
    """

    readable: Action = Action.CONTINUE
    write_only: Action = Action.CONTINUE
    disabled: Action = Action.REBUILD
    mismatch: Action = Action.ERROR
    takeover: bool = True
    unique_pending: bool = False
    mark_readable: bool = True

    def __post_init__(self) -> None:
        for name in ("readable", "write_only", "disabled", "mismatch"):
            if not isinstance(getattr(self, name), Action):
                raise UsageError(option=name, got=getattr(self, name), hint="give an Action")
        if self.mismatch not in (Action.ERROR, Action.REBUILD):
            raise UsageError(option="mismatch", got=self.mismatch.value, hint="give Action.ERROR or Action.REBUILD")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkLimits:
    """How much of a long work goes into one transaction, and how fast it may be. May be changed while it runs.

    records             in one transaction, at most; fewer after conflicts, more again after successes
    bytes               written in one transaction, about
    time                of one transaction, about
    records_per_second  None for as fast as it goes
    retries             tries of one transaction before the work gives up
    total_time          after which the work stops, to be continued; None for no limit
    """

    records: int = 100
    bytes: int = 900_000
    time: timedelta = timedelta(seconds=4)
    records_per_second: int | None = 10_000
    retries: int = 100
    total_time: timedelta | None = None

    def __post_init__(self) -> None:
        for name in ("records", "bytes", "retries", "records_per_second"):
            value = getattr(self, name)
            if value is None and name == "records_per_second":
                continue
            if type(value) is not int or value < 1:
                raise UsageError(option=name, got=value, hint="give a whole number of at least 1")
        for name in ("time", "total_time"):
            value = getattr(self, name)
            if not (value is None and name == "total_time") and not isinstance(value, timedelta):
                raise UsageError(option=name, got=value, hint="give a datetime.timedelta")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildLimits(WorkLimits):
    """The same for builds.

    track_progress  count in the database what has been looked at
    """

    track_progress: bool = True
