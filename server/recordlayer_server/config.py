"""What the server runs with. Where it comes from, and what is judged before a port opens, is in `loading.py`."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def public(self) -> bool:
        """Whether others than this machine may reach it. A name other than localhost may lead anywhere."""
        if self.host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return True

    @classmethod
    def parse(cls, text: str) -> Address:
        """HOST:PORT or [IPv6]:PORT.  Raises  ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
            raise ValueError("give HOST:PORT with a port from 0 to 65535")
        if host.startswith("[") and host.endswith("]"):
            return cls(str(ipaddress.IPv6Address(host[1:-1])), int(port))
        if ":" in host:
            raise ValueError("write an IPv6 address in brackets, as in [::1]:50051")
        return cls(host, int(port))


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of certificates, as PEM. With `client_ca`, callers have to show a certificate that it signed."""

    certificate: Path
    key: Path
    client_ca: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What callers may show to be known, and the policy that says what they may do then."""

    tokens: Path | None = None
    jwt_keys: str = ""
    """A file, or an https address."""
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_refresh: timedelta = timedelta(minutes=5)
    policy: Path | None = None

    @property
    def asks_for_tokens(self) -> bool:
        return self.tokens is not None or bool(self.jwt_keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much the server takes on; see `operation`. 0 is any number."""

    running: int = 256
    waiting: int = 1024
    streams: int = 20_000
    watch_targets: int = 20_000
    tenant_watch_targets: int = 10_000
    transactions: int = 1_000
    tenant_transactions: int = 32
    tenant_rate: float = 0.0
    tenant_concurrent: int = 0
    tenant_delay: float = 1.0
    tenant_limits: bool = False
    tenant_storage: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """What the server shows of itself."""

    metrics: Address | None = None
    metrics_tenants: int = 50
    tracing: bool = False
    tracing_share: float = 1.0
    """Of the calls whose callers name no span."""
    fdb_trace: Path | None = None
    """The folder for the trace files of FoundationDB's client."""
    audit: Path | None = None
    slow: timedelta = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the server looks at its database; see `health.py`."""

    interval: timedelta = timedelta(seconds=1)
    timeout: timedelta = timedelta(seconds=2)
    failures: int = 3
    successes: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """The webhooks that a server serves; see `webhooks`.

    private   they may lead to hosts that are not on the public internet
    ca        who signs certificates of receivers, beside those whom the system believes
    sends     how many are sent at once
    patience  how long one may fail until it is disabled
    retry     how soon it is tried again when it has failed for the first time, at most
    """

    private: bool = False
    ca: Path | None = None
    sends: int = 32
    patience: timedelta = timedelta(days=3)
    retry: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFormats:
    """The formats of stores; see `store_formats.py`.

    new      what a new store begins with
    raising  whoever writes to one that is older raises it to that
    """

    new: int = 13
    raising: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A server's settings, checked. The table in `settings.py` says what they are."""

    db: str
    containers: Mapping[str, bytes] = field(default_factory=dict)
    """From names to descriptions of their schemas."""
    clusters: Mapping[str, str] = field(default_factory=dict)
    """From names to URLs: where databases can be moved to."""
    listen: Address = Address("127.0.0.1", 50_051)
    admin: Address | None = None
    """Where Admin is served; None: where all others are."""
    tls: Tls | None = None
    security: Security = Security()
    load: Load = Load()
    showing: Showing = Showing()
    hooks: Hooks | None = Hooks()
    """None: no webhooks."""
    formats: StoreFormats = StoreFormats()
    reuse_port: bool = False
    reflection: bool = False
    drain_delay: timedelta = timedelta(0)
    grace: timedelta = timedelta(seconds=20)
    health: Health = Health()
    max_message_bytes: int = 4 << 20
    compress_from: int = 64 << 10
    """Bytes of a message; 0: none is compressed."""
    max_concurrent_streams: int = 256
    max_connection_age: timedelta = timedelta(0)
    deletions_kept: timedelta = timedelta(days=30)
    asset_bytes: int = 16 << 20
    asset_kept: timedelta = timedelta(days=1)
    lease: timedelta = timedelta(seconds=15)
    keepalive: timedelta = timedelta(seconds=60)
    log_level: str = "info"
    log_format: str = "json"
