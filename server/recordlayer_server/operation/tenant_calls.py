"""How many calls one tenant may have: at once, and a second. A tenant is one database of one container.

Over either the call is refused with THROTTLED and the time after which to try again, before it has begun anything; the
others do not notice. Tenants that are quiet are forgotten.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from google.rpc import code_pb2

from recordlayer_server import statuses
from recordlayer_server.places import Tenant

REMEMBERED = 100_000
BURST = 2.0
"""Seconds' worth of calls that may come at once after a quiet time."""


class _Share:
    """What one tenant has left."""

    __slots__ = ("at", "running", "tokens")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at
        self.running = 0


class TenantCalls:
    """The shares of all tenants of this process.

    rate        calls a second, 0 for any number
    concurrent  calls at once, 0 for any number
    """

    def __init__(self, *, rate: float, concurrent: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._concurrent = concurrent
        self._clock = clock
        self._shares: OrderedDict[Tenant, _Share] = OrderedDict()

    def begin(self, tenant: Tenant) -> None:
        """A call begins.  Raises  Refusal."""
        now, most = self._clock(), max(1.0, self._rate * BURST)
        share = self._shares.get(tenant)
        if share is None:
            share = self._shares[tenant] = _Share(most, now)
            self._forget()
        else:
            self._shares.move_to_end(tenant)
        share.tokens = min(most, share.tokens + (now - share.at) * self._rate)
        share.at = now
        if self._concurrent and share.running >= self._concurrent:
            raise _throttled("this database has too many calls at once", 0.1)
        if self._rate:
            if share.tokens < 1:
                raise _throttled("this database has too many calls a second", (1 - share.tokens) / self._rate)
            share.tokens -= 1
        share.running += 1

    def end(self, tenant: Tenant) -> None:
        """A call that had begun has ended."""
        share = self._shares.get(tenant)
        if share is not None:
            share.running = max(0, share.running - 1)

    def _forget(self) -> None:
        while len(self._shares) > REMEMBERED:
            oldest = next((each for each, share in self._shares.items() if not share.running), None)
            if oldest is None:
                return
            del self._shares[oldest]


def _throttled(text: str, after: float) -> statuses.Refusal:
    return statuses.refusal(code_pb2.RESOURCE_EXHAUSTED, "THROTTLED", text, retry=max(after, 0.01))
