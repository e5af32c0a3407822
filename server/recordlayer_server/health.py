"""Whether the server is ready: its database has taken a transaction a moment ago.

One failed look is no outage and one good look no recovery, so the state changes after some in a row (hysteresis), and
balancers are not thrown to and fro. The names of the standard health service:

    ""      the server as a whole: ready
    ready   the same, and so has each service by its full name, such as recordlayer.v1.Records
    live    the process answers; it does not depend on the database, for a restart of this process mends no cluster
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from recordlayer.aio import Database
from recordlayer.errors import RecordLayerError
from recordlayer.options import TransactionOptions
from recordlayer_server import logs
from recordlayer_server.config import Health

READY = ("", "ready")
LIVE = "live"


class Steadied:
    """A state that follows what is seen, after some sights in a row that speak against it.

    It begins as False, and the first good sight makes it True: a server that starts need not wait.
    """

    def __init__(self, *, failures: int, successes: int) -> None:
        self.good = False
        self._failures = failures
        self._successes = successes
        self._against = 0
        self._fresh = True

    def see(self, good: bool) -> bool:
        """Take one sight into account; whether the state changed."""
        if good == self.good:
            self._against = 0
            return False
        self._against += 1
        needed = self._failures if self.good else 1 if self._fresh else self._successes
        if self._against < needed:
            return False
        self.good, self._against, self._fresh = good, 0, False
        return True


class Servicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # grpc has no types
    """The standard health service over a few names. Its Watch ends when it is closed, after the last news."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._closed = False
        self._changed = asyncio.Event()

    def set(self, name: str, serving: bool) -> None:
        """Answer so for a name from now on."""
        self._statuses[name] = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        self._tell()

    def close(self) -> None:
        """Let go of everybody who watches: they would hold up the end of the server."""
        self._closed = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request: HealthCheckRequest, context: aio.ServicerContext) -> HealthCheckResponse:
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "known are: " + ", ".join(map(repr, self._statuses)))
        return HealthCheckResponse(status=status)

    async def Watch(
        self, request: HealthCheckRequest, context: aio.ServicerContext
    ) -> AsyncIterator[HealthCheckResponse]:
        del context
        last = None
        while True:
            changed = self._changed
            status = self._statuses.get(request.service, HealthCheckResponse.SERVICE_UNKNOWN)
            if status != last:
                last = status
                yield HealthCheckResponse(status=status)
            elif self._closed:
                return
            else:
                await changed.wait()


class Monitor:
    """Looks at the database again and again, and tells the health service."""

    def __init__(self, database: Database, settings: Health, *, services: Iterable[str] = ()) -> None:
        self.servicer = Servicer()
        self._names = (*READY, *services)
        self._database = database
        self._settings = settings
        self._state = Steadied(failures=settings.failures, successes=settings.successes)
        self._options = TransactionOptions(name="health", timeout=settings.timeout)
        self._ended = False
        self.servicer.set(LIVE, True)
        self._tell()

    @property
    def ready(self) -> bool:
        return self.reachable and not self._ended

    @property
    def reachable(self) -> bool:
        """Whether the database answers, as far as is known."""
        return self._state.good

    async def look(self) -> bool:
        """Look at the database once; whether the server is ready now."""
        error = await self._failure()
        if self._state.see(error is None):
            if error is None:
                logs.write(logs.server, logging.INFO, "ready")
            else:
                cause = type(error).__name__
                logs.write(logs.server, logging.WARNING, "not ready", cause=cause, reason=_reason(error))
            self._tell()
        elif error is not None:
            logs.write(logs.server, logging.DEBUG, "health look failed", cause=type(error).__name__)
        return self.ready

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            await asyncio.sleep(self._settings.interval.total_seconds())
            await self.look()

    def end(self) -> None:
        """Not ready any more, whatever the database says: the server stops."""
        self._ended = True
        self._tell()

    async def _failure(self) -> Exception | None:
        try:
            async with (
                asyncio.timeout(self._settings.timeout.total_seconds()),  # the cluster's own clock may be what hangs
                self._database.transaction(options=self._options) as tx,
            ):
                await tx.read_version()
        except Exception as error:  # whatever it is: a server without its database is not ready
            return error
        return None

    def _tell(self) -> None:
        for name in self._names:
            self.servicer.set(name, self.ready)


def _reason(error: Exception) -> str:
    return error.title if isinstance(error, RecordLayerError) else str(error)
