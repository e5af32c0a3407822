"""One server: its port, its services, and how it stops.

Stopping: not ready → a while for balancers to notice → new calls are told to try again → none are taken → what runs may
finish within the grace → the rest is cut off with UNAVAILABLE. Who watches the health of the server is told first and
never waited for.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH

from recordlayer.aio import Database
from recordlayer.errors import CannotListen
from recordlayer_server import logs
from recordlayer_server.calls import Calls
from recordlayer_server.compressing import NEGOTIATED
from recordlayer_server.config import Address, Config
from recordlayer_server.health import Monitor
from recordlayer_server.limits import DEFAULT, Limits
from recordlayer_server.methods import Methods
from recordlayer_server.operation.around import Around, around_of, ended
from recordlayer_server.operation.libraries import libraries
from recordlayer_server.operation.metrics import Exposition
from recordlayer_server.security.certificates import credentials, seconds_left

_TURNING_AWAY = timedelta(milliseconds=50)
_UNRULY = timedelta(seconds=5)  # for handlers that do not end when they are cut off


@dataclass(frozen=True, slots=True)
class Service:
    """A service to serve: its full name, and a function that adds its servicer to what takes the place of a server.

    admin  whether it goes to the operators' port, if there is one
    """

    name: str
    add: Callable[[Methods], None]
    admin: bool = False


class Serving:
    """A server over an open database, which stays the caller's. Make it where an event loop runs.

    around  who may call, how many, and what is shown; what the settings say without it
    limits  what calls are held to
    """

    def __init__(
        self,
        config: Config,
        database: Database,
        *,
        services: Sequence[Service] = (),
        around: Around | None = None,
        limits: Limits = DEFAULT,
    ) -> None:
        self.around = around_of(config) if around is None else around
        self.monitor = Monitor(database, config.health, services=[service.name for service in services])
        self.calls = Calls(
            self.around,
            limits=limits,
            reachable=lambda: self.monitor.reachable,
            compress_from=config.compress_from,
        )
        self.address: Address | None = None
        """Where it listens, with the port that was taken for port 0."""
        self.admin_address: Address | None = None
        """Where Admin is served, if that is another port."""
        self._config = config
        self._watching: list[asyncio.Task[None]] = []
        self._exposition: Exposition | None = None
        self._stopped: asyncio.Future[int] | None = None
        own = config.admin is not None
        self._server = self._made([service for service in services if not (own and service.admin)])
        self._admin = self._made([service for service in services if service.admin]) if own else None

    def _made(self, services: Sequence[Service]) -> aio.Server:
        """A server of these services, and of the health."""
        methods = Methods(self.calls.wrapped)
        health_pb2_grpc.add_HealthServicer_to_server(self.monitor.servicer, methods)
        for service in services:
            service.add(methods)
        if self._config.reflection:
            from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

            names = (reflection.SERVICE_NAME, HEALTH, *(service.name for service in services))
            servicer = reflection.aio.ReflectionServicer(names)
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, methods)
        server = aio.server(options=_options(self._config))
        server.add_generic_rpc_handlers((methods,))
        return server

    async def start(self) -> Address:
        """Look at the database once, and listen, whatever was seen; the address.  Raises  CannotListen."""
        await self.monitor.look()
        address = self._bind(self._server, self._config.listen)
        if self._admin is not None and self._config.admin is not None:
            self.admin_address = self._bind(self._admin, self._config.admin)
        self._expose()
        await self._server.start()
        if self._admin is not None:
            await self._admin.start()
        self.address = address
        self._watching = [asyncio.create_task(self.monitor.run()), asyncio.create_task(self.around.watch_lag())]
        return self.address

    def _bind(self, server: aio.Server, wanted: Address) -> Address:
        """Take a port; the address.  Raises  CannotListen."""
        try:
            if self._config.tls is None:
                port = server.add_insecure_port(str(wanted))
            else:
                port = server.add_secure_port(str(wanted), credentials(self._config.tls))
        except RuntimeError as error:
            hint = "another process may have it, or this machine has no such address"
            raise CannotListen(listen=str(wanted), reason=str(error), hint=hint) from error
        return Address(wanted.host, port)

    @property
    def metrics_address(self) -> Address | None:
        """Where the numbers are, with the port that was taken for port 0."""
        wanted = self._config.showing.metrics
        return None if wanted is None or self._exposition is None else Address(wanted.host, self._exposition.port)

    def _expose(self) -> None:
        """Show the numbers, if the settings say where.  Raises  CannotListen."""
        metrics, wanted = self.around.metrics, self._config.showing.metrics
        if metrics is None or wanted is None:
            return
        admission = self.around.admission
        metrics.follow("ready", "whether it takes calls", lambda: float(self.monitor.ready))
        metrics.follow("running_calls", "calls that run now", lambda: float(self.calls.running))
        watching = self.calls.following
        metrics.follow("watches", "zones that streams of Watch follow", lambda: float(sum(watching())))
        metrics.follow("watch_streams", "streams of Watch", lambda: float(len(watching())))
        if admission is not None:
            metrics.follow("waiting_calls", "calls that wait for their turn", lambda: float(admission.waiting))
            metrics.follow("call_limit", "calls that may run at once", lambda: float(admission.limit))
        late = self.around.late
        if late is not None:
            metrics.follow("late_refusals", "refusals that are kept back now", lambda: float(late.kept))
        if (tls := self._config.tls) is not None:
            metrics.follow("certificate_seconds_left", "until its certificate is over", lambda: seconds_left(tls))
        known = libraries()
        metrics.build(
            version=known.get("recordlayer", ""),
            revision=os.environ.get("RECORDLAYER_REVISION", ""),
            client=known.get("foundationdb", ""),
        )
        self._exposition = Exposition(metrics, wanted)

    async def drain(self, hurry: asyncio.Event | None = None) -> int:
        """Stop; how many calls had to be cut off. `hurry` cuts all the waiting short."""
        if self._stopped is None:
            self._stopped = asyncio.ensure_future(self._drain(hurry if hurry is not None else asyncio.Event()))
        return await asyncio.shield(self._stopped)

    async def _drain(self, hurry: asyncio.Event) -> int:
        self.monitor.end()
        await ended(self._watching)
        logs.write(logs.server, logging.INFO, "draining", running=self.calls.running)
        await _first(hurry.wait(), within=self._config.drain_delay)
        # gRPC cancels the calls that come just when a server stops, and nobody could tell those from calls that ran:
        # who calls again and again is sent away for a moment first.
        self.calls.refuse()
        await _first(hurry.wait(), within=_TURNING_AWAY)
        self.monitor.servicer.close()
        # One stop and no second one to cut it short: two at once crash the process (grpcio 1.85).
        late = (self._config.grace + _UNRULY).total_seconds()
        servers = (self._server,) if self._admin is None else (self._server, self._admin)
        stopping = [asyncio.create_task(server.stop(late)) for server in servers]
        await _first(self.calls.idle(), hurry.wait(), within=self._config.grace)
        cut_off = self.calls.cut_off()
        await asyncio.gather(*stopping)
        if self._exposition is not None:
            await asyncio.to_thread(self._exposition.close)
        logs.write(logs.server, logging.WARNING if cut_off else logging.INFO, "stopped", cut_off=cut_off)
        return cut_off


async def _first(*waits: Coroutine[Any, Any, object], within: timedelta) -> None:
    """Wait until one of these comes back, or the time is over."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, timeout=within.total_seconds(), return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _options(config: Config) -> list[tuple[str, int]]:
    options = [
        ("grpc.so_reuseport", int(config.reuse_port)),
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.max_concurrent_streams", config.max_concurrent_streams),
        ("grpc.keepalive_time_ms", int(config.keepalive.total_seconds() * 1_000)),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # callers behind a NAT ping often: that is no attack
    ]
    if config.compress_from:
        options.append(NEGOTIATED)
    if config.max_connection_age:
        options.append(("grpc.max_connection_age_ms", int(config.max_connection_age.total_seconds() * 1_000)))
        options.append(("grpc.max_connection_age_grace_ms", int(config.grace.total_seconds() * 1_000)))
    return options
