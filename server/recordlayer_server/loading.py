"""From flags, environment and file to a Config, judged before the port opens: addresses, certificates, and what is safe
together."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from recordlayer.errors import InvalidSettings, UnsafeSettings
from recordlayer_server.config import Address, Config, Health, Hooks, Load, Security, Showing, StoreFormats, Tls
from recordlayer_server.security.policy import read_policy
from recordlayer_server.security.static_tokens import read_tokens
from recordlayer_server.settings import PREFIX, Given, gather


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
    fdb_trace = _folder(given["fdb_trace"], "fdb_trace", problems)
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
            tenant_delay=float(given["tenant_refusal_delay"].value),
            tenant_limits=bool(given["tenant_limits"].value),
            tenant_storage=int(given["tenant_storage_bytes"].value),
        ),
        showing=Showing(
            metrics=metrics,
            metrics_tenants=int(given["metrics_tenants"].value),
            tracing=bool(given["tracing"].value),
            tracing_share=float(given["tracing_share"].value),
            fdb_trace=fdb_trace,
            audit=audit,
            slow=_seconds(given["slow"]),
        ),
        hooks=hooks,
        formats=StoreFormats(new=int(given["store_format"].value), raising=bool(given["raise_stores"].value)),
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
        compress_from=int(given["compress_from"].value),
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


def _folder(given: Given, name: str, problems: list[str]) -> Path | None:
    """A folder that files can be written to."""
    path = _path(given)
    if path is not None and not (path.is_dir() and os.access(path, os.W_OK | os.X_OK)):
        problems.append(f"{name} = {given.value!r} (from {given.source}): no folder that can be written to")
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
