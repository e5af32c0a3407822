"""The server's settings: one table, read from flags, the environment and a TOML file.

A flag wins over the environment, which wins over the file, which wins over the default. A setting `max_message_bytes`
is the flag `--max-message-bytes`, the variable `RECORDLAYER_SERVER_MAX_MESSAGE_BYTES` and the key `max_message_bytes`.
What nobody knows is refused, so that a typing error is not a setting that silently does nothing. What the settings
mean together is judged in `loading.py`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from recordlayer.store.header import NEWEST_FORMAT

PREFIX = "RECORDLAYER_SERVER_"

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    kind     of the value: str, int, float (seconds) or bool
    least    the smallest number that makes sense
    most     the largest one
    choices  the words that are known, if only some are
    """

    name: str
    kind: type[Value]
    default: Value
    about: str
    least: float = 0
    most: float = float("inf")
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()


SETTINGS: tuple[Setting, ...] = (
    Setting("db", str, "", "the database: memory:, file:PATH, fdb: or fdb:CLUSTER_FILE"),
    Setting("clusters", str, "", "NAME=URL,...: other databases, that those of callers can be moved to"),
    Setting("containers", str, "", "NAME=FILE,...: containers and the descriptor sets of their schemas"),
    Setting("listen", str, "127.0.0.1:50051", "HOST:PORT or [IPv6]:PORT; port 0 takes a free one"),
    Setting("admin_listen", str, "", "HOST:PORT where Admin is served, and only there; without it beside the others"),
    Setting("tls_certificate", str, "", "PEM file: the server's certificate chain"),
    Setting("tls_key", str, "", "PEM file: the key of the certificate"),
    Setting("tls_client_ca", str, "", "PEM file: who signs the certificates that callers must show"),
    Setting("auth_tokens", str, "", "TOML file: the static tokens that callers may show, by their hashes"),
    Setting("auth_jwt_keys", str, "", "file or https address: the JWK set of the issuer of web tokens"),
    Setting("auth_jwt_issuer", str, "", "who issues web tokens: what their `iss` has to say"),
    Setting("auth_jwt_audience", str, "", "whom web tokens are for: what their `aud` has to name"),
    Setting("auth_jwt_refresh", float, 300.0, "seconds until an address is asked for its keys again", least=1),
    Setting("policy", str, "", "TOML file: who may do what; needed where callers are authenticated"),
    Setting("insecure", bool, False, "serve a public address although callers are not authenticated"),
    Setting("reuse_port", bool, False, "share the port with other servers of this machine"),
    Setting("reflection", bool, False, "let callers list services and their messages"),
    Setting("drain_delay", float, 0.0, "seconds between NOT_SERVING and the end of new calls, for balancers", most=600),
    Setting("grace", float, 20.0, "seconds that running calls have when the server stops", most=3600),
    Setting("health_interval", float, 1.0, "seconds between two looks at the database", least=0.01, most=3600),
    Setting("health_timeout", float, 2.0, "seconds that the database has for an answer", least=0.01, most=3600),
    Setting("health_failures", int, 3, "failed looks in a row until NOT_SERVING", least=1, most=1000),
    Setting("health_successes", int, 2, "good looks in a row until SERVING again", least=1, most=1000),
    Setting("max_message_bytes", int, 4 << 20, "the largest message that is taken or sent", least=1024, most=1 << 30),
    Setting("compress_from", int, 64 << 10, "bytes of a reply from which on callers who accept it get gzip; 0: never"),
    Setting("max_concurrent_streams", int, 256, "calls at once on one connection", least=1, most=1 << 20),
    Setting("max_connection_age", float, 0.0, "seconds until a connection is asked to leave, with jitter; 0: never"),
    Setting("max_running_calls", int, 256, "calls that run at once; fewer while the process lags", least=1),
    Setting("max_waiting_calls", int, 1024, "calls that wait for their turn; more are sent away", least=0),
    Setting("max_streams", int, 20_000, "streams that are open at once", least=1),
    Setting("tenant_calls_per_second", float, 0.0, "calls a second for each database; 0: any number"),
    Setting("tenant_concurrent_calls", int, 0, "calls at once for each database; 0: any number"),
    Setting(
        "tenant_refusal_delay", float, 1.0, "seconds that refusals of who asks far too often take; 0: none", most=10
    ),
    Setting("tenant_limits", bool, False, "count what each database uses, and keep it to its limits in keys and bytes"),
    Setting("tenant_storage_bytes", int, 0, "bytes that each database may have, about; 0: any number"),
    Setting("max_watch_targets", int, 20_000, "zones that are watched at once, by all streams together", least=1),
    Setting("tenant_watch_targets", int, 10_000, "the same of the zones of each database", least=1),
    Setting("max_transactions", int, 1_000, "interactive transactions that are open at once", least=1),
    Setting(
        "tenant_transactions", int, 32, "interactive transactions that are open at once, of each database", least=1
    ),
    Setting("deletions_kept", float, 30 * 86_400.0, "seconds that Sync knows of changes, and tokens are good", least=1),
    Setting("webhooks", bool, True, "take subscriptions with webhooks, and send them"),
    Setting("webhook_private", bool, False, "let webhooks lead to hosts that are not on the public internet"),
    Setting("webhook_ca", str, "", "PEM file: who signs certificates of receivers, beside those the system believes"),
    Setting("webhook_sends", int, 32, "webhooks that are sent at once; slow receivers have as many more", least=1),
    Setting("webhook_patience", float, 3 * 86_400.0, "seconds that a webhook may fail until it is disabled", least=1),
    Setting("lease", float, 15.0, "seconds that other servers wait for one that has fallen silent", least=1, most=600),
    Setting("asset_bytes", int, 16 << 20, "the largest asset that is kept in the database", least=1, most=1 << 30),
    Setting("asset_kept", float, 86_400.0, "seconds that an asset is kept that no record refers to", least=1),
    Setting("store_format", int, 13, "the format that new stores begin with", least=8, most=NEWEST_FORMAT),
    Setting("raise_stores", bool, False, "raise older stores to store_format when they are written to"),
    Setting("metrics_listen", str, "", "HOST:PORT where Prometheus finds the numbers, by HTTP; without it nowhere"),
    Setting("metrics_tenants", int, 50, "databases that have numbers of their own, at most", least=1, most=10_000),
    Setting("audit_log", str, "", "file to which a line is added for every administrative action"),
    Setting("tracing", bool, False, "make OpenTelemetry spans of calls, transactions and queries"),
    Setting("tracing_share", float, 1.0, "share of the calls without a traced caller that get spans", most=1),
    Setting("fdb_trace", str, "", "folder where FoundationDB's client writes its trace files; without it nowhere"),
    Setting("slow", float, 1.0, "seconds after which queries and transactions are logged as slow", least=0.001),
    Setting("keepalive", float, 60.0, "seconds between pings to a silent caller", least=1, most=86_400),
    Setting("log_level", str, "info", "the least that is logged", choices=("debug", "info", "warning", "error")),
    Setting("log_format", str, "json", "one JSON object a line, or text", choices=("json", "text")),
)

BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}

_YES, _NO = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


class Unreadable(ValueError):
    """A value that its setting does not take; the text says what it takes."""


def read_text(setting: Setting, text: str) -> Value:
    """The value that a flag or a variable spells.  Raises  Unreadable."""
    if setting.kind is bool:
        if text.lower() in _YES | _NO:
            return text.lower() in _YES
        raise Unreadable("say true or false")
    if setting.kind is str:
        return read_plain(setting, text)
    try:
        return read_plain(setting, int(text) if setting.kind is int else float(text))
    except Unreadable:
        raise
    except ValueError:
        raise Unreadable("give a whole number" if setting.kind is int else "give a number") from None


def read_plain(setting: Setting, value: object) -> Value:
    """The value that a TOML file holds.  Raises  Unreadable."""
    if setting.kind is bool:
        if isinstance(value, bool):
            return value
        raise Unreadable("say true or false")
    if setting.kind is str:
        if not isinstance(value, str) or "\0" in value:
            raise Unreadable("give a string")
        if setting.choices and value not in setting.choices:
            raise Unreadable(f"use one of {', '.join(setting.choices)}")
        return value
    if isinstance(value, bool) or not isinstance(value, int if setting.kind is int else (int, float)):
        raise Unreadable("give a whole number" if setting.kind is int else "give a number")
    if not setting.least <= value <= setting.most:  # also what is not a number at all
        raise Unreadable(_between(setting))
    return setting.kind(value)


def _between(setting: Setting) -> str:
    if setting.most == float("inf"):
        return f"give a number from {setting.least:g}"
    return f"give a number from {setting.least:g} to {setting.most:g}"


@dataclass(frozen=True, slots=True)
class Given:
    """A value with the place that it comes from, for messages."""

    value: Value
    source: str


def gather(
    flags: Mapping[str, str], environment: Mapping[str, str], file: Path | None
) -> tuple[dict[str, Given], list[str]]:
    """Every setting's value, and what is wrong with those that were given; a wrong one is as if nobody had given it."""
    problems: list[str] = []
    values = {setting.name: Given(setting.default, "the default") for setting in SETTINGS}
    sources = [*_from_file(file, problems), *_from_environment(environment, problems)]
    sources += [(name, f"the flag {BY_NAME[name].flag}", text) for name, text in flags.items()]
    for name, source, given in sources:
        try:
            read = read_text if isinstance(given, str) and not source.startswith("the file") else read_plain
            values[name] = Given(read(BY_NAME[name], given), source)  # type: ignore[arg-type]  # a str for read_text
        except Unreadable as error:
            problems.append(f"{name} = {given!r} (from {source}): {error}")
    return values, problems


def _from_environment(environment: Mapping[str, str], problems: list[str]) -> Iterator[tuple[str, str, object]]:
    for variable in sorted(environment):
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or variable == PREFIX + "CONFIG":
            continue
        if name in BY_NAME and variable == BY_NAME[name].variable:
            yield name, variable, environment[variable]
        else:
            problems.append(f"{variable} in the environment: there is no such setting")


def _from_file(file: Path | None, problems: list[str]) -> Iterator[tuple[str, str, object]]:
    if file is None:
        return
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"the file {file}: {error.strerror}")
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"the file {file}: not TOML: {error}")
        return
    for name, value in content.items():
        if name in BY_NAME:
            yield name, f"the file {file}", value
        else:
            problems.append(f"{name} in the file {file}: there is no such setting")
