"""What stands around the calls of one server, made from its settings: who may call, how many, and what is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recordlayer.observe import LogEvents, LogSlow, Observer, Observers, OpenTelemetry
from recordlayer_server.call import Authority, Everybody, Identify
from recordlayer_server.operation import lag
from recordlayer_server.operation.admission import Admission
from recordlayer_server.operation.late import Late
from recordlayer_server.operation.metrics import Metrics
from recordlayer_server.operation.tenant_calls import TenantCalls
from recordlayer_server.operation.tracing import Tracing
from recordlayer_server.security.audit import AuditLog
from recordlayer_server.security.authority import RIGHTS, ByPolicy
from recordlayer_server.security.gate import Gate
from recordlayer_server.security.kept_file import KeptFiles
from recordlayer_server.security.policy import read_policy
from recordlayer_server.security.static_tokens import read_tokens

if TYPE_CHECKING:
    from recordlayer_server.config import Config, Security


@dataclass(slots=True, kw_only=True)
class Around:
    """All of it; what is None is not asked.

    streams  how many may be open at once
    """

    identify: Identify | None = None
    authority: Authority = field(default_factory=Everybody)
    admission: Admission | None = None
    tenants: TenantCalls | None = None
    late: Late | None = None
    metrics: Metrics | None = None
    tracing: Tracing | None = None
    audit: AuditLog | None = None
    streams: int = 1 << 30

    def observers(self, *others: Observer) -> Observer:
        """What the database is to tell what happens to."""
        found: list[Observer] = list(others)
        if self.metrics is not None:
            found.append(self.metrics.observer)
        if self.tracing is not None:
            found.append(OpenTelemetry())
        return Observers(*found)

    async def watch_lag(self) -> None:
        """Let admission and metrics know how late the event loop is, for ever."""

        def tell(seconds: float) -> None:
            if self.admission is not None:
                self.admission.lagged(seconds)
            if self.metrics is not None:
                self.metrics.lagged(seconds)

        await lag.watch(tell)


def around_of(config: Config) -> Around:
    """What the settings ask for.  Raises  OSError, ValueError if a file has become unusable since they were judged."""
    security = config.security
    gate = _gate(security, certificates=config.tls is not None and config.tls.client_ca is not None)
    authority: Authority = Everybody()
    if security.policy is not None:
        policy = KeptFiles([security.policy], read_policy)
        authority = ByPolicy(lambda: policy.value)
    load, showing = config.load, config.showing
    metrics = None
    if showing.metrics is not None:
        metrics = Metrics(methods=frozenset(RIGHTS), tenants=showing.metrics_tenants)
    tenants = None
    if load.tenant_rate or load.tenant_concurrent:
        tenants = TenantCalls(rate=load.tenant_rate, concurrent=load.tenant_concurrent)
    return Around(
        identify=gate.identify if gate.closed else None,
        authority=authority,
        admission=Admission(most=load.running, queue=load.waiting),
        tenants=tenants,
        late=None
        if tenants is None
        else Late(tenants, seconds=load.tenant_delay, streams=config.max_concurrent_streams),
        metrics=metrics,
        tracing=Tracing(share=showing.tracing_share) if showing.tracing else None,
        audit=None if showing.audit is None else AuditLog(showing.audit),
        streams=load.streams,
    )


def observer_of(config: Config, around: Around) -> Observer:
    """The observer of the server's database: log lines, slow ones apart, numbers and spans."""
    return around.observers(LogEvents(), LogSlow(config.showing.slow))


def _gate(security: Security, *, certificates: bool) -> Gate:
    web_tokens = None
    if security.jwt_keys:
        from recordlayer_server.security.web_tokens import KeysAtAddress, KeysInFile, KeySource, WebTokens

        keys: KeySource = (
            KeysAtAddress(security.jwt_keys, every=security.jwt_refresh.total_seconds())
            if "://" in security.jwt_keys
            else KeysInFile(security.jwt_keys)
        )
        web_tokens = WebTokens(keys, issuer=security.jwt_issuer, audience=security.jwt_audience)
    tokens = None if security.tokens is None else KeptFiles([security.tokens], read_tokens)
    return Gate(tokens=tokens, web_tokens=web_tokens, certificates=certificates)


async def ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """End tasks that run for ever."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
