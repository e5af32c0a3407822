"""Who was refused a moment ago and asks again all the same: refused before anything is begun, and late at last.

A refusal costs little, but thousands a second are in the way of everybody's calls. What waits for its answer costs
nothing meanwhile, and takes up one of the calls that its connection may have at once: who uses them up sends no more.
So who asks again and again is slowed down by the answers that it waits for. Only a tenant that is refused far more
often than it is told to try is answered late, and

- a connection that serves other tenants as well, such as a gateway's, keeps most of its places for them;
- large requests, which would take up memory, are answered at once, and so are all when too many wait.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from recordlayer_server.call import Call
from recordlayer_server.operation.tenant_calls import TenantCalls, Who
from recordlayer_server.places import Tenant

MOST = 1_024
"""Refusals that are kept back at once."""
LARGE = 4_096
"""Bytes of a request from which on its refusal is not kept back."""
_A_SECOND = 64
"""Late refusals that a connection gets: its callers ask again when they get them."""
_CONNECTIONS = 4_096
_LOOKED_AT = 0.05  # seconds after which a connection on which no other tenant was seen is taken for one tenant's own


@dataclass(slots=True)
class _Connection:
    tenant: Tenant
    since: float
    shared: bool = False
    kept: int = 0
    last: float = 0.0


class Late:
    """The refusals of one server that are kept back.

    tenants  who is refused
    seconds  for how long, 0 for not at all
    streams  calls that a connection may have at once
    """

    def __init__(
        self,
        tenants: TenantCalls,
        *,
        seconds: float,
        streams: int,
        most: int = MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tenants = tenants
        self._seconds = seconds
        self._most = most
        self._few = streams // 4
        self._clock = clock
        self._connections: OrderedDict[str, _Connection] = OrderedDict()
        self._kept: set[asyncio.Future[None]] = set()

    @property
    def pressed(self) -> bool:
        """Whether somebody was refused a moment ago, and may be so again."""
        return self._tenants.pressed

    @property
    def kept(self) -> int:
        """How many are kept back now."""
        return len(self._kept)

    async def check(self, call: Call, peer: str, size: int) -> None:
        """Refuse a call whose tenant was refused a moment ago and is still over its share.

        peer  the connection that it has come by
        size  of its request in bytes

        Raises  Throttled.
        """
        if call.tenant is None:
            return
        connection = self._seen(peer, call.tenant)
        if self._tenants.pressed:
            refused = self._tenants.again(call.tenant, Who(call.identity, call.method))
            if refused is not None:
                if refused.often and size <= LARGE:
                    await self._keep(call, connection)
                raise refused

    def _seen(self, peer: str, tenant: Tenant) -> _Connection:
        found = self._connections.get(peer)
        if found is None:
            found = self._connections[peer] = _Connection(tenant, self._clock())
            while len(self._connections) > _CONNECTIONS:
                self._connections.popitem(last=False)
        elif found.tenant != tenant:
            found.shared = True
        return found

    async def _keep(self, call: Call, connection: _Connection) -> None:
        """Come back when a refusal is to be told: at once, or late, but well before its caller's deadline, and one
        after the other."""
        now = self._clock()
        due = max(now + self._seconds, connection.last + 1 / _A_SECOND)
        delay = min(due - now, call.time_left / 2)
        own = not connection.shared and now - connection.since >= _LOOKED_AT
        if delay <= 0 or len(self._kept) >= self._most or not (own or connection.kept < self._few):
            return
        connection.last = now + delay
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(delay, _tell, answer)
        self._kept.add(answer)
        connection.kept += 1
        call.refused = True
        try:
            await answer
        finally:
            timer.cancel()
            self._kept.discard(answer)
            connection.kept -= 1

    def let_go(self) -> None:
        """Have all be told now."""
        for answer in self._kept:
            _tell(answer)


def _tell(answer: asyncio.Future[None]) -> None:
    if not answer.done():
        answer.set_result(None)
