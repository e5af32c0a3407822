"""How many calls one tenant may have: at once, and a second. A tenant is one database of one container.

Over either the call is refused with THROTTLED and the time after which to try again, before it has begun anything; the
others do not notice. Tenants that are quiet are forgotten.

Who asks again all the same, and is still over, is told so before the request is read as a whole and before a place is
taken for it: `again`. That he may ask was seen a moment ago.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from math import ceil
from typing import NamedTuple

from google.rpc import code_pb2, status_pb2

from recordlayer_server import statuses
from recordlayer_server.places import Tenant
from recordlayer_server.security.identity import Identity

REMEMBERED = 100_000
BURST = 2.0
"""Seconds' worth of calls that may come at once after a quiet time."""
REASON = "THROTTLED"
_TOLD = 1.0  # seconds for which is remembered who was refused: what callers may do can change, and is asked anew then
_MOST_TOLD = 64
_PACE = 10.0  # refusals a second, or as many as calls are let in, that nobody minds


class Who(NamedTuple):
    """Who asks for what."""

    identity: Identity
    method: str


class Throttled(statuses.Refusal):
    """A refusal for a tenant's calls, of which all was prepared: thousands a second are the same.

    often  the tenant is refused far more often than one that comes again when it is told to
    """

    def __init__(self, text: str, milliseconds: int, *, often: bool) -> None:
        status, self.trailing = _prepared(text, milliseconds)
        super().__init__(status)
        self.often = often


@lru_cache(maxsize=1_024)
def _prepared(text: str, milliseconds: int) -> tuple[status_pb2.Status, tuple[str, bytes]]:
    status = statuses.refusal(code_pb2.RESOURCE_EXHAUSTED, REASON, text, retry=milliseconds / 1_000).status
    return status, statuses.trailing(status)


class _Share:
    """What one tenant has left, and who was refused lately."""

    __slots__ = ("at", "refused", "refused_at", "running", "tokens", "told", "told_at")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at
        self.running = 0
        self.refused = 0.0  # lately; what is over `_PACE` adds up
        self.refused_at = at
        self.told: set[Who] = set()
        self.told_at = at


class TenantCalls:
    """The shares of all tenants of this process.

    rate        calls a second, 0 for any number
    concurrent  calls at once, 0 for any number
    """

    def __init__(self, *, rate: float, concurrent: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._concurrent = concurrent
        self._most = max(1.0, rate * BURST)
        self._pace = max(_PACE, rate)
        self._clock = clock
        self._shares: OrderedDict[Tenant, _Share] = OrderedDict()
        self._refused_at = clock() - _TOLD

    def begin(self, tenant: Tenant, who: Who | None = None) -> None:
        """A call begins. `who` may be told at once if he asks again: his calls for this always count for the tenant.

        Raises  Throttled.
        """
        now = self._clock()
        share = self._shares.get(tenant)
        if share is None:
            share = self._shares[tenant] = _Share(self._most, now)
            self._forget()
        else:
            self._shares.move_to_end(tenant)
        refused = self._refusal(share, now)
        if refused is not None:
            self._refused_at = now
            if who is not None:
                self._remember(share, who, now)
            raise refused
        if self._rate:
            share.tokens -= 1
        share.running += 1

    def end(self, tenant: Tenant) -> None:
        """A call that had begun has ended."""
        share = self._shares.get(tenant)
        if share is not None:
            share.running = max(0, share.running - 1)

    @property
    def pressed(self) -> bool:
        """Whether somebody was refused a moment ago: else nobody needs to be asked by `again`."""
        return self._clock() - self._refused_at < _TOLD

    def again(self, tenant: Tenant, who: Who) -> Throttled | None:
        """What somebody is told who was refused a moment ago and would be so again; None for others, who may go on to
        `begin`. Nothing is taken."""
        share = self._shares.get(tenant)
        if share is None or who not in share.told:
            return None
        now = self._clock()
        if now - share.told_at >= _TOLD:
            share.told.clear()
            return None
        return self._refusal(share, now)

    def _refusal(self, share: _Share, now: float) -> Throttled | None:
        share.tokens = min(self._most, share.tokens + (now - share.at) * self._rate)
        share.at = now
        if self._concurrent and share.running >= self._concurrent:
            text, milliseconds = "this database has too many calls at once", 100
        elif self._rate and share.tokens < 1:
            text = "this database has too many calls a second"
            milliseconds = max(10, ceil((1 - share.tokens) / self._rate * 1_000))
        else:
            return None
        share.refused = max(0.0, share.refused - (now - share.refused_at) * self._pace) + 1
        share.refused_at = now
        return Throttled(text, milliseconds, often=share.refused > self._pace * BURST)

    def _remember(self, share: _Share, who: Who, now: float) -> None:
        if now - share.told_at >= _TOLD:
            share.told.clear()
        if not share.told:
            share.told_at = now
        if len(share.told) < _MOST_TOLD:
            share.told.add(who)

    def _forget(self) -> None:
        while len(self._shares) > REMEMBERED:
            oldest = next((each for each, share in self._shares.items() if not share.running), None)
            if oldest is None:
                return
            del self._shares[oldest]
