"""What a tenant may read and write, and what it has.

Layout  limits: a packed tuple: version 1, keys read, bytes read, keys written, bytes written (a second; null for any
        number), milliseconds of them that may be saved up
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta

from recordlayer.errors import CorruptTenantState, MalformedTuple, UsageError
from recordlayer.observe.events import Counts
from recordlayer.tuples import pack, unpack

RESOURCES = ("keys_read", "bytes_read", "keys_written", "bytes_written")
_VERSION = 1
_LEAST_BURST = timedelta(milliseconds=500)  # what is leased at a time


class Overload(enum.Enum):
    """What happens to a transaction of a tenant that has used up its limits."""

    FAIL = "fail"
    """TenantOverLimit, which says when to try again."""
    WAIT = "wait"
    """It waits for its turn, as long as it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits:
    """What a tenant may use a second, over all processes; None for any amount.

    keys_read      pairs that reads give, and reads that give nothing
    bytes_read     of keys and values in those pairs
    keys_written   keys set, changed or cleared, and ranges cleared
    bytes_written  of keys, values and operands
    burst          for so long may a tenant that was quiet save up: half a second at least
    """

    keys_read: int | None = None
    bytes_read: int | None = None
    keys_written: int | None = None
    bytes_written: int | None = None
    burst: timedelta = timedelta(seconds=2)

    def __post_init__(self) -> None:
        for name in RESOURCES:
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise UsageError(limit=name, got=value, hint="give a whole number a second of at least 1, or None")
        if not isinstance(self.burst, timedelta) or self.burst < _LEAST_BURST:
            raise UsageError(limit="burst", got=self.burst, hint="give a datetime.timedelta of half a second at least")

    @property
    def rates(self) -> list[float | None]:
        """A second, in the order of RESOURCES."""
        return [self.keys_read, self.bytes_read, self.keys_written, self.bytes_written]

    def packed(self) -> bytes:
        milliseconds = max(1, round(self.burst.total_seconds() * 1000))
        return pack((_VERSION, self.keys_read, self.bytes_read, self.keys_written, self.bytes_written, milliseconds))

    @classmethod
    def of(cls, value: bytes) -> TenantLimits:
        """Raises  CorruptTenantState."""
        try:
            version, *rates, milliseconds = unpack(value)
            if version != _VERSION or len(rates) != len(RESOURCES):
                raise CorruptTenantState(value=value, hint="limits of another version than is known here")
            given = dict(zip(RESOURCES, rates, strict=True))
            return cls(**given, burst=timedelta(milliseconds=milliseconds))
        except (MalformedTuple, ValueError, TypeError, UsageError) as error:
            raise CorruptTenantState(value=value, hint="limits were expected") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantUsage:
    """What a tenant's transactions have used since they are counted: all attempts, also those that failed.

    refused  transactions that were not let in
    """

    keys_read: int = 0
    bytes_read: int = 0
    keys_written: int = 0
    bytes_written: int = 0
    transactions: int = 0
    refused: int = 0


COUNTED = (*RESOURCES, "transactions", "refused")


def used(counts: Counts) -> list[int]:
    """What an attempt has used, in the order of RESOURCES."""
    return [counts.rows + counts.empty, counts.read, counts.writes, counts.written]
