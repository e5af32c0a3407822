"""What the server runs with, judged before its port opens: addresses, certificates, and what is safe together."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from recordlayer.errors import InvalidSettings, UnsafeSettings
from recordlayer_server.security.policy import read_policy
from recordlayer_server.security.static_tokens import read_tokens
from recordlayer_server.settings import PREFIX, Given, gather


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
    tenant_limits: bool = False
    tenant_storage: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """What the server shows of itself."""

    metrics: Address | None = None
    metrics_tenants: int = 50
    tracing: bool = False
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
    reuse_port: bool = False
    reflection: bool = False
    drain_delay: timedelta = timedelta(0)
    grace: timedelta = timedelta(seconds=20)
    health: Health = Health()
    max_message_bytes: int = 4 << 20
    max_concurrent_streams: int = 256
    max_connection_age: timedelta = timedelta(0)
    deletions_kept: timedelta = timedelta(days=30)
    asset_bytes: int = 16 << 20
    asset_kept: timedelta = timedelta(days=1)
    lease: timedelta = timedelta(seconds=15)
    keepalive: timedelta = timedelta(seconds=60)
    log_level: str = "info"
    log_format: str = "json"


def load(flags: Mapping[str, str], environment: Mapping[str, str]) -> Config:
    """The configuration that flags, environment and file make together. `flags` may hold `config`: the file's path.

    Raises  InvalidSettings with everything that is wrong; UnsafeSettings for a public address without authentication.
    """
    named = flags.get("config") or environment.get(PREFIX + "CONFIG")
    given, problems = gather(
        {name: text for name, text in flags.items() if name != "config"}, environment, Path(named) if named else None
    )
    if not given["db"].value:
        problems.append(f"db: nobody names the database; say --db URL or {PREFIX}DB=URL, such as file:shop.rl or fdb:")
    containers = _containers(given["containers"], problems)
    clusters = _clusters(given["clusters"], problems)
    listen = _address("listen", given["listen"], problems)
    admin = _address("admin_listen", given["admin_listen"], problems) if given["admin_listen"].value else None
    if admin is not None and admin == listen and admin.port:
        problems.append(f"admin_listen = {str(admin)!r} (from {given['admin_listen'].source}): listen has it already")
    tls = _tls(given, problems)
    metrics = _address("metrics_listen", given["metrics_listen"], problems) if given["metrics_listen"].value else None
    known = tls is not None and tls.client_ca is not None
    security = _security(given, problems, certificates=known)
    audit = _appendable(given["audit_log"], problems)
    hooks = _hooks(given, problems)
    if problems or listen is None:
        raise InvalidSettings(problems=tuple(problems))
    public = next((one for one in (listen, admin) if one is not None and one.public), None)
    if public is not None and not given["insecure"].value and (tls is None or not (known or security.asks_for_tokens)):
        raise UnsafeSettings(
            listen=str(public),
            lacks="TLS" if tls is None else "a way to know callers",
            hint="listen on 127.0.0.1, or give tls_certificate and tls_key, and tls_client_ca, auth_tokens or "
            "auth_jwt_keys; where something in front of the server keeps strangers out, say --insecure",
        )
    return Config(
        db=str(given["db"].value),
        containers=containers,
        clusters=clusters,
        listen=listen,
        admin=admin,
        tls=tls,
        security=security,
        load=Load(
            running=int(given["max_running_calls"].value),
            waiting=int(given["max_waiting_calls"].value),
            streams=int(given["max_streams"].value),
            watch_targets=int(given["max_watch_targets"].value),
            tenant_watch_targets=int(given["tenant_watch_targets"].value),
            transactions=int(given["max_transactions"].value),
            tenant_transactions=int(given["tenant_transactions"].value),
            tenant_rate=float(given["tenant_calls_per_second"].value),
            tenant_concurrent=int(given["tenant_concurrent_calls"].value),
            tenant_limits=bool(given["tenant_limits"].value),
            tenant_storage=int(given["tenant_storage_bytes"].value),
        ),
        showing=Showing(
            metrics=metrics,
            metrics_tenants=int(given["metrics_tenants"].value),
            tracing=bool(given["tracing"].value),
            audit=audit,
            slow=_seconds(given["slow"]),
        ),
        hooks=hooks,
        reuse_port=bool(given["reuse_port"].value),
        reflection=bool(given["reflection"].value),
        drain_delay=_seconds(given["drain_delay"]),
        grace=_seconds(given["grace"]),
        health=Health(
            interval=_seconds(given["health_interval"]),
            timeout=_seconds(given["health_timeout"]),
            failures=int(given["health_failures"].value),
            successes=int(given["health_successes"].value),
        ),
        max_message_bytes=int(given["max_message_bytes"].value),
        max_concurrent_streams=int(given["max_concurrent_streams"].value),
        max_connection_age=_seconds(given["max_connection_age"]),
        deletions_kept=_seconds(given["deletions_kept"]),
        asset_bytes=int(given["asset_bytes"].value),
        asset_kept=_seconds(given["asset_kept"]),
        lease=_seconds(given["lease"]),
        keepalive=_seconds(given["keepalive"]),
        log_level=str(given["log_level"].value),
        log_format=str(given["log_format"].value),
    )


def _seconds(given: Given) -> timedelta:
    return timedelta(seconds=float(given.value))


def _address(name: str, given: Given, problems: list[str]) -> Address | None:
    try:
        return Address.parse(str(given.value))
    except ValueError as error:
        problems.append(f"{name} = {given.value!r} (from {given.source}): {error}")
        return None


def _security(given: Mapping[str, Given], problems: list[str], *, certificates: bool) -> Security:
    """What callers may show, if the files can be read and everything that belongs together is there."""
    keys = str(given["auth_jwt_keys"].value)
    _readable(given["auth_tokens"], "auth_tokens", read_tokens, problems)
    _readable(given["policy"], "policy", read_policy, problems)
    if keys:
        from recordlayer_server.security.web_tokens import judged_address, read_keys

        if "://" not in keys:
            _readable(given["auth_jwt_keys"], "auth_jwt_keys", read_keys, problems)
        else:
            try:
                judged_address(keys)
            except ValueError as error:
                problems.append(f"auth_jwt_keys = {keys!r} (from {given['auth_jwt_keys'].source}): {error}")
    problems += [
        f"{name}: " + ("web tokens need it" if keys else "it is of no use without auth_jwt_keys")
        for name in ("auth_jwt_issuer", "auth_jwt_audience")
        if bool(keys) != bool(given[name].value)
    ]
    tokens, policy = _path(given["auth_tokens"]), _path(given["policy"])
    if (tokens or keys or certificates) and policy is None:
        problems.append("policy: callers are known, and nothing says who may do what; give a file with [[allow]] rules")
    return Security(
        tokens=tokens,
        jwt_keys=keys,
        jwt_issuer=str(given["auth_jwt_issuer"].value),
        jwt_audience=str(given["auth_jwt_audience"].value),
        jwt_refresh=_seconds(given["auth_jwt_refresh"]),
        policy=policy,
    )


def _hooks(given: Mapping[str, Given], problems: list[str]) -> Hooks | None:
    """What the settings say of webhooks, None for none at all."""
    ca = _path(given["webhook_ca"])
    if ca is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca)
        except (ssl.SSLError, OSError) as error:
            problems.append(f"webhook_ca = {given['webhook_ca'].value!r}: no PEM certificates: {error}")
    if not given["webhooks"].value:
        return None
    return Hooks(
        private=bool(given["webhook_private"].value),
        ca=ca,
        sends=int(given["webhook_sends"].value),
        patience=_seconds(given["webhook_patience"]),
    )


def _appendable(given: Given, problems: list[str]) -> Path | None:
    """A file that lines can be added to; it is there afterwards."""
    path = _path(given)
    try:
        if path is not None:
            path.open("ab").close()
    except OSError as error:
        problems.append(f"audit_log = {given.value!r} (from {given.source}): {error.strerror}")
    return path


def _path(given: Given) -> Path | None:
    return Path(str(given.value)) if given.value else None


def _readable(given: Given, name: str, read: Callable[[Sequence[bytes]], object], problems: list[str]) -> None:
    """Whether a file that is named can be used."""
    path = _path(given)
    if path is None:
        return
    try:
        read([path.read_bytes()])
    except OSError as error:
        problems.append(f"{name} = {given.value!r} (from {given.source}): {error.strerror}")
    except ValueError as error:
        problems.append(f"{name} = {given.value!r} (from {given.source}): {error}")


def _containers(given: Given, problems: list[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for one in str(given.value).split(",") if given.value else ():
        name, equals, path = one.strip().partition("=")
        if not equals or not name or not path or name in found:
            problems.append(f"containers = {one!r} (from {given.source}): give NAME=FILE, each name once")
            continue
        try:
            found[name] = Path(path).read_bytes()
        except OSError as error:
            problems.append(f"containers: the file {path!r} of {name} (from {given.source}): {error.strerror}")
    return found


def _clusters(given: Given, problems: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in str(given.value).split(",") if given.value else ():
        name, equals, url = one.strip().partition("=")
        if not equals or not name or ":" not in url or name in found:
            problems.append(f"clusters = {one!r} (from {given.source}): give NAME=URL, each name once")
            continue
        found[name] = url
    return found


def _tls(given: Mapping[str, Given], problems: list[str]) -> Tls | None:
    """The certificates, if they are there, fit together and can be read."""
    names = ("tls_certificate", "tls_key", "tls_client_ca")
    paths = {name: str(given[name].value) for name in names if given[name].value}
    if not paths:
        return None
    missing = [name for name in names[:2] if name not in paths]
    problems += [f"{name}: {' and '.join(paths)} will not do without it" for name in missing]
    readable: set[str] = set()
    for name, path in paths.items():
        try:
            Path(path).read_bytes()
            readable.add(name)
        except OSError as error:
            problems.append(f"{name} = {path!r} (from {given[name].source}): {error.strerror}")
    if not readable >= {"tls_certificate", "tls_key"} or readable != paths.keys():
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(paths["tls_certificate"], paths["tls_key"], password="")  # none is asked for
    except (ssl.SSLError, OSError, ValueError) as error:
        problems.append(f"tls_certificate and tls_key do not make a pair of PEM files without a password: {error}")
    if "tls_client_ca" in paths:
        try:
            context.load_verify_locations(paths["tls_client_ca"])
        except (ssl.SSLError, OSError) as error:
            problems.append(f"tls_client_ca = {paths['tls_client_ca']!r}: no PEM certificates: {error}")
    client_ca = paths.get("tls_client_ca")
    return Tls(Path(paths["tls_certificate"]), Path(paths["tls_key"]), None if client_ca is None else Path(client_ca))
