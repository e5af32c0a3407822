"""The token bucket of a tenant, which the processes of a database share.

What flows into it is what the limits allow; at most `burst` of it is kept. A process does not take from it what each
transaction needs, but leases for half a second ahead, and brings back what is left, or what it owes, when it comes
again.
So a transaction costs nothing here, and the bucket is written a few times a second by each process that is at work.

Of what flows in, everybody who came in the last seconds gets the same share.

Layout  a packed tuple: version 1, microseconds since 1970 of the last filling, a nested tuple of the levels (doubles,
        in the order of RESOURCES; 0.0 for what is not limited), (holder, microseconds of his last visit) for each
Source  token buckets as in Turner, New Directions in Communications (1986); leases as in Gray and Cheriton (1989)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

from recordlayer.errors import CorruptTenantState, MalformedTuple
from recordlayer.tenant.limits import RESOURCES, TenantLimits
from recordlayer.tuples import pack, unpack

LEASE_SECONDS = 0.5
_HOLDER_SECONDS = 3.0  # who has not come for so long is not counted any more
_MOST_HOLDERS = 1_000
_VERSION = 1
_MICRO = 1_000_000

Amounts = list[float]


@dataclass(slots=True)
class Bucket:
    """What is left, as of a time. `levels` below 0 are owed."""

    at: float
    levels: Amounts
    holders: dict[int, float] = field(default_factory=dict)

    @classmethod
    def full(cls, limits: TenantLimits, now: float) -> Bucket:
        return cls(now, [(rate or 0.0) * limits.burst.total_seconds() for rate in limits.rates])

    def fill(self, limits: TenantLimits, now: float) -> None:
        """Let in what has come since the last time. A clock that went back lets in nothing."""
        passed = max(0.0, now - self.at)
        self.at = max(self.at, now)
        burst = limits.burst.total_seconds()
        for place, rate in enumerate(limits.rates):
            if rate is None:
                self.levels[place] = 0.0
            else:
                self.levels[place] = min(rate * burst, self.levels[place] + rate * passed)

    def lease(self, limits: TenantLimits, holder: int, back: Amounts) -> Amounts:
        """What a holder gets, who brings back what he has not used, or owes: his share of what has flowed in since he
        was here last, and of what nobody has wanted for long. Nothing of what is owed already."""
        self.holders = {known: seen for known, seen in self.holders.items() if abs(self.at - seen) <= _HOLDER_SECONDS}
        burst = limits.burst.total_seconds()
        since = self.at - self.holders.get(holder, self.at - burst)
        if len(self.holders) < _MOST_HOLDERS:
            self.holders[holder] = self.at
        sharers = max(1, len(self.holders))
        granted: Amounts = []
        for place, rate in enumerate(limits.rates):
            if rate is None:
                granted.append(0.0)
                continue
            level = min(self.levels[place] + back[place], rate * burst)
            unwanted = max(0.0, level - rate * LEASE_SECONDS)
            grant = max(0.0, min(level, (rate * since + unwanted) / sharers))
            self.levels[place] = level - grant
            granted.append(grant)
        return granted

    def seconds_until(self, limits: TenantLimits, granted: Amounts) -> float:
        """How long it takes until there is something again of what was not granted; 0 if all was."""
        longest = 0.0
        for place, rate in enumerate(limits.rates):
            if rate is not None and granted[place] <= 0.0:
                longest = max(longest, (1.0 - self.levels[place]) / rate)
        return longest

    def packed(self) -> bytes:
        # Rounded up: what has flowed in once does not flow in again.
        holders = [(holder, ceil(seen * _MICRO)) for holder, seen in self.holders.items()]
        return pack((_VERSION, ceil(self.at * _MICRO), tuple(self.levels), *holders))

    @classmethod
    def of(cls, value: bytes) -> Bucket:
        """Raises  CorruptTenantState."""
        try:
            version, at, levels, *holders = unpack(value)
            if version != _VERSION or len(levels) != len(RESOURCES):
                raise CorruptTenantState(value=value[:64], hint="a bucket of another version than is known here")
            return cls(at / _MICRO, [float(level) for level in levels], {one: seen / _MICRO for one, seen in holders})
        except (MalformedTuple, ValueError, TypeError) as error:
            raise CorruptTenantState(value=value[:64], hint="a bucket was expected") from error
