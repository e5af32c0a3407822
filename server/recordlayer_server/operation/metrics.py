"""Numbers for Prometheus, served over HTTP on an address of their own.

    recordlayer_server_calls_total{method, code}       calls ended
    recordlayer_server_call_seconds{method}            how long they took
    recordlayer_server_refusals_total{reason}          those that were refused or failed, by the reason of the status
    recordlayer_server_client_calls_total{client}      by the first word of their user agent: "recordlayer/1.0.0"
    recordlayer_server_running_calls                   that run now; _waiting_calls, _call_limit
    recordlayer_server_sent_away_total{method}         calls that were not begun
    recordlayer_server_pages_total{method, ended}      by what ended them: a limit, exhausted, or reply_full, where
                                                       no more fits into a message; of queries and of Sync
    recordlayer_server_late_refusals                   calls that are refused and are not told yet, of those that run
    recordlayer_server_tenant_calls_total{tenant}      of the tenants with the most calls; all others are "other"
    recordlayer_server_tenant_keys_total{tenant, kind} keys they read and wrote
    recordlayer_server_tenant_forced_total{tenant}     records changed without a change tag: they may hide lost updates
    recordlayer_server_loop_lag_seconds                how late the event loop was
    recordlayer_server_watches                         zones that callers follow by Watch; _watch_streams
    recordlayer_server_ready                           1 or 0
    recordlayer_server_upkeep_age_seconds              since what is over was last forgotten
    recordlayer_server_certificate_seconds_left        until its certificate, as it lies on the disk, is over
    recordlayer_server_build_info{version, ...}        always 1

with those of the library (`recordlayer.observe.prometheus`). Methods that the server does not have count as "unknown",
and tenants as no more labels than `tenants`: nobody outside can make the numbers grow without end.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import prometheus_client

from recordlayer.client.pb import errors_pb2
from recordlayer.errors import CannotListen
from recordlayer.observe.prometheus import Prometheus
from recordlayer_server.places import label

if TYPE_CHECKING:
    from recordlayer_server.call import Call
    from recordlayer_server.config import Address

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_REASONS = frozenset(errors_pb2.Reason.keys()[1:])
OTHER = "other"
MOST_CLIENTS = 30
_CLIENT = re.compile(r"[A-Za-z0-9._/+-]{1,64}", re.ASCII)


class Heaviest:
    """A bounded number of names, those that come most often.

    A newcomer takes the place of the least frequent one together with its count, as in the space-saving algorithm, and
    gets a label of its own once it has come so often that it is not there by that inheritance alone.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[str, list[int]] = {}  # name: count with inheritance, what was inherited

    def label(self, name: str) -> tuple[str, str | None]:
        """The label of a name that comes now, and a label that is not used any more, if there is one."""
        found = self._counts.get(name)
        gone = None
        if found is None:
            inherited = 0
            if len(self._counts) >= self._most:
                gone = min(self._counts, key=lambda each: self._counts[each][0])
                inherited = self._counts.pop(gone)[0]
            found = self._counts[name] = [inherited, inherited]
        found[0] += 1
        return (name if found[0] > 2 * found[1] else OTHER), gone


@lru_cache(maxsize=256)
def client_of(agent: str) -> str:
    """The first word of a user agent, such as "grpc-node-js/1.13.0"."""
    word = agent.partition(" ")[0]
    return word if _CLIENT.fullmatch(word) else OTHER


class Metrics:
    """The numbers of one server, in a registry of its own."""

    def __init__(self, *, methods: frozenset[str] = frozenset(), tenants: int = 50) -> None:
        self.registry = registry = prometheus_client.CollectorRegistry()
        self.observer = Prometheus(registry=registry)
        """For the database: the numbers of the layer beneath."""
        self._methods = methods
        self._heaviest = Heaviest(tenants)
        name = "recordlayer_server"
        more: dict[str, Any] = {"registry": registry}
        counter, gauge = prometheus_client.Counter, prometheus_client.Gauge
        self._calls = counter(f"{name}_calls", "calls ended", ["method", "code"], **more)
        self._seconds = prometheus_client.Histogram(
            f"{name}_call_seconds", "duration of calls", ["method"], buckets=_SECONDS, **more
        )
        self._refusals = counter(f"{name}_refusals", "calls that were refused or failed", ["reason"], **more)
        for reason in sorted(_REASONS):
            self._refusals.labels(reason)  # from the beginning: of what has not been there nobody sees it rise
        self._away = counter(f"{name}_sent_away", "calls that were not begun", ["method"], **more)
        self._pages = counter(f"{name}_pages", "pages by what ended them", ["method", "ended"], **more)
        self._tenant_calls = counter(f"{name}_tenant_calls", "calls of the heaviest tenants", ["tenant"], **more)
        self._tenant_keys = counter(f"{name}_tenant_keys", "keys of the heaviest tenants", ["tenant", "kind"], **more)
        self._tenant_forced = counter(
            f"{name}_tenant_forced", "records changed without a change tag", ["tenant"], **more
        )
        self._lag = prometheus_client.Histogram(
            f"{name}_loop_lag_seconds", "how late the event loop was", buckets=_SECONDS, **more
        )
        self._clients = counter(f"{name}_client_calls", "calls by what clients call themselves", ["client"], **more)
        self._known_clients = Heaviest(MOST_CLIENTS)
        self._build = gauge(f"{name}_build_info", "what runs", ["version", "revision", "client"], **more)
        self._more = more

    def follow(self, name: str, about: str, value: Callable[[], float]) -> None:
        """Show what a function gives whenever somebody looks."""
        prometheus_client.Gauge(f"recordlayer_server_{name}", about, **self._more).set_function(value)

    def build(self, *, version: str, revision: str, client: str) -> None:
        """What runs: versions of the package, of its source, and of FoundationDB's binding."""
        self._build.labels(version, revision, client).set(1)

    def call(self, call: Call, code: str, reason: str, seconds: float) -> None:
        """A call has ended, with the reason of its status if it failed."""
        self.ended(call.method, code, seconds)
        if reason:
            self._refusals.labels(reason if reason in _REASONS else OTHER).inc()
        if reason == "OVERLOADED":
            self.sent_away(call.method)
        if call.tenant is not None:
            self.tenant(label(call.tenant), read=call.keys_read, written=call.keys_written, forced=call.forced)

    def client(self, metadata: Sequence[tuple[str, str | bytes]]) -> None:
        """A call with this metadata has ended."""
        named = next((value for name, value in metadata if name == "user-agent"), "")
        label, gone = self._known_clients.label(client_of(named) if isinstance(named, str) else OTHER)
        if gone not in (None, OTHER) and (gone,) in self._clients._metrics:  # others are counted there, too
            self._clients.remove(gone)
        self._clients.labels(label).inc()

    def ended(self, method: str, code: str, seconds: float) -> None:
        """A call of a method has ended."""
        known = method if method in self._methods else "unknown"
        self._calls.labels(known, code).inc()
        self._seconds.labels(known).observe(seconds)

    def sent_away(self, method: str) -> None:
        """A call was not begun."""
        self._away.labels(method if method in self._methods else "unknown").inc()

    def page(self, method: str, ended: str) -> None:
        """A page of a call has ended."""
        self._pages.labels(method if method in self._methods else "unknown", ended).inc()

    def tenant(self, name: str, *, read: int, written: int, forced: int = 0) -> None:
        """A tenant's call has ended, and these are the keys that it read and wrote, and the records that it changed
        without a change tag."""
        label, gone = self._heaviest.label(name)
        if gone is not None:
            counters = ((self._tenant_calls, (gone,)), (self._tenant_forced, (gone,)), *self._keys_of(gone))
            for counter, labels in counters:
                if labels in counter._metrics:
                    counter.remove(*labels)
        self._tenant_calls.labels(label).inc()
        self._tenant_keys.labels(label, "read").inc(read)
        self._tenant_keys.labels(label, "written").inc(written)
        if forced:
            self._tenant_forced.labels(label).inc(forced)

    def _keys_of(self, tenant: str) -> tuple[tuple[Any, tuple[str, ...]], ...]:
        return tuple((self._tenant_keys, (tenant, kind)) for kind in ("read", "written"))

    def lagged(self, seconds: float) -> None:
        self._lag.observe(seconds)


class Exposition:
    """The HTTP server that shows a registry, on a thread of its own."""

    def __init__(self, metrics: Metrics, address: Address) -> None:
        try:
            self._server, self._thread = prometheus_client.start_http_server(
                address.port, address.host, registry=metrics.registry
            )
        except OSError as error:
            raise CannotListen(listen=str(address), reason=str(error), hint="give metrics_listen another") from error
        self.port: int = self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        thread: threading.Thread = self._thread
        thread.join()
