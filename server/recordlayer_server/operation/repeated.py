"""Log lines of refusals that repeat themselves: the first one by itself, those of each second behind it together."""

from __future__ import annotations

import asyncio
import logging

from recordlayer_server import logs
from recordlayer_server.call import Call
from recordlayer_server.operation.tenant_calls import REASON
from recordlayer_server.places import Tenant, label
from recordlayer_server.security.identity import ANONYMOUS

_Kind = tuple[str, Tenant | None, str]
_EVERY = 1.0  # seconds


class Repeated:
    """The refusals of one server by identity, tenant and method."""

    def __init__(self, *, every: float = _EVERY) -> None:
        self._every = every
        self._counts: dict[_Kind, int] = {}

    def add(self, call: Call) -> bool:
        """Count a refusal, or say that it needs a line of its own: it is the first."""
        kind = (call.identity.name, call.tenant, call.method)
        count = self._counts.get(kind)
        if count is not None:
            self._counts[kind] = count + 1
            return True
        self._counts[kind] = 0
        asyncio.get_running_loop().call_later(self._every, self._tell, kind)
        return False

    def end(self) -> None:
        """Write the lines of all that are counted."""
        for kind in list(self._counts):
            self._write(kind, self._counts.pop(kind))

    def _tell(self, kind: _Kind) -> None:
        count = self._counts.pop(kind, 0)
        if count:
            self._write(kind, count)
            self._counts[kind] = 0  # still at it, as it seems
            asyncio.get_running_loop().call_later(self._every, self._tell, kind)

    def _write(self, kind: _Kind, count: int) -> None:
        if not count:
            return
        identity, tenant, method = kind
        values = {"method": method, "code": "RESOURCE_EXHAUSTED", "reason": REASON}
        if identity != ANONYMOUS.name:
            values["identity"] = identity
        if tenant is not None:
            values["tenant"] = label(tenant)
        logs.write(logs.calls, logging.INFO, "calls refused", traceback_of=None, **values, calls=count)
