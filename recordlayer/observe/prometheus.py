"""Events to Prometheus, as counters and histograms.

    recordlayer_attempts_total{outcome}          attempts ended: committed, failed, unknown, left
    recordlayer_attempt_seconds{outcome}         how long they took
    recordlayer_commit_seconds{outcome}          commits
    recordlayer_read_version_seconds{cached}     until the version is known at which a transaction reads
    recordlayer_errors_total{code}               errors that ended attempts
    recordlayer_retries_total{code}              attempts begun because of an error
    recordlayer_reads_total, _rows_read_total, _read_bytes_total, _writes_total, _written_bytes_total {part, index}
    recordlayer_empty_reads_total {part, index}  reads that found nothing
    recordlayer_query_seconds, recordlayer_query_rows    queries
    recordlayer_pages_total{stopped}             pages of queries, by why they ended
    recordlayer_plans_total{cached}              plans chosen; cached: there from an earlier query, or by a template
    recordlayer_stores_opened_total{cached}
    recordlayer_built_records_total{index}       records that index builds have looked at
    recordlayer_build_seconds{index}             transactions of index builds
    recordlayer_build_progress{index}            0 to 1, of the one that advanced last, where records are counted
    recordlayer_builds_total{index, result}      builds ended
    recordlayer_split_records_total              records that were saved in parts
    recordlayer_idempotency_keys_found_total{own}
    recordlayer_transactions_leaked_total
    recordlayer_tenant_keys_read_total, _bytes_read_total, _keys_written_total, _bytes_written_total {tenant}
    recordlayer_tenant_refused_total {tenant}    transactions that were not let in

Labels are names of indexes and error codes: as many as the metadata has, never what users stored. Paths of stores are
no labels, because there may be a million. Paths of tenants are if asked for, up to a number: the first to come; all the
others are "other" together.

Needs the package prometheus-client (`pip install recordlayer[prometheus]`), which is imported when a `Prometheus` is
made. Serving the numbers is the application's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from recordlayer.errors import EngineMissing
from recordlayer.observe.events import (
    BuildAdvanced,
    BuildFinished,
    CommitFinished,
    Counts,
    Event,
    IdempotencyKeyFound,
    Place,
    QueryFinished,
    QueryPlanned,
    ReadVersionTaken,
    RecordSplit,
    Retried,
    StoreOpened,
    TenantCharged,
    TenantRefused,
    TransactionEnded,
    TransactionLeaked,
)

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_ROWS = (0, 1, 10, 100, 1_000, 10_000, 100_000)
_MOVED = (
    ("reads", "reads", "point and range reads"),
    ("empty", "empty_reads", "reads that found nothing"),
    ("rows", "rows_read", "pairs read"),
    ("read", "read_bytes", "bytes of keys and values read"),
    ("writes", "writes", "keys written or cleared, and ranges cleared"),
    ("written", "written_bytes", "bytes of keys, values and operands written"),
)
"""Field of Counts, name of the counter, what it counts."""
_USED = (
    ("keys_read", "pairs read"),
    ("bytes_read", "bytes of keys and values read"),
    ("keys_written", "keys written or cleared"),
    ("bytes_written", "bytes of keys, values and operands written"),
)
_OTHER = "other"


class Prometheus:
    """An observer that counts. One for a process is enough: several databases may share it.

    registry  where the numbers are registered; None for prometheus_client's own
    tenants   how many tenants are told apart, by their paths

    Raises  EngineMissing if prometheus-client is not installed.
    """

    def __init__(self, *, registry: CollectorRegistry | None = None, tenants: int = 0) -> None:
        try:
            import prometheus_client
        except ImportError as error:
            raise EngineMissing(library="prometheus-client", hint="pip install 'recordlayer[prometheus]'") from error
        where: dict[str, Any] = {"registry": prometheus_client.REGISTRY if registry is None else registry}

        def counter(name: str, about: str, *labels: str) -> Any:
            return prometheus_client.Counter(f"recordlayer_{name}", about, labels, **where)

        def histogram(name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Any:
            return prometheus_client.Histogram(f"recordlayer_{name}", about, labels, buckets=buckets, **where)

        self._attempts = counter("attempts", "attempts ended", "outcome")
        self._attempt_seconds = histogram("attempt_seconds", "duration of attempts", _SECONDS, "outcome")
        self._commit_seconds = histogram("commit_seconds", "duration of commits", _SECONDS, "outcome")
        self._version_seconds = histogram("read_version_seconds", "until a read version is known", _SECONDS, "cached")
        self._errors = counter("errors", "errors that ended attempts", "code")
        self._retries = counter("retries", "attempts begun because of an error", "code")
        self._moved = [(field, counter(name, about, "part", "index")) for field, name, about in _MOVED]
        self._query_seconds = histogram("query_seconds", "duration of queries", _SECONDS)
        self._query_rows = histogram("query_rows", "results of queries", _ROWS)
        self._pages = counter("pages", "pages of queries", "stopped")
        self._plans = counter("plans", "plans chosen", "cached")
        self._stores = counter("stores_opened", "stores opened", "cached")
        self._built = counter("built_records", "records that index builds have looked at", "index")
        self._build_seconds = histogram("build_seconds", "transactions of index builds", _SECONDS, "index")
        self._progress = prometheus_client.Gauge(
            "recordlayer_build_progress", "how far the build is that has advanced last", ["index"], **where
        )
        self._builds = counter("builds", "index builds ended", "index", "result")
        self._split = counter("split_records", "records that were saved in parts")
        self._found = counter("idempotency_keys_found", "work that was not applied again", "own")
        self._leaked = counter("transactions_leaked", "transactions left open")
        self._charged = [(name, counter(f"tenant_{name}", f"{about} for a tenant", "tenant")) for name, about in _USED]
        self._refused = counter("tenant_refused", "transactions of a tenant that were not let in", "tenant")
        self._tenants: set[str] = set()
        self._most_tenants = tenants
        self._by_kind: Mapping[type[Event], Callable[[Any], None]] = {
            TransactionEnded: self._ended,
            CommitFinished: self._committed,
            ReadVersionTaken: self._versioned,
            RecordSplit: lambda event: self._split.inc(),
            Retried: lambda event: self._retries.labels(event.error).inc(),
            QueryFinished: self._queried,
            QueryPlanned: lambda event: self._plans.labels(_word(event.cached)).inc(),
            StoreOpened: lambda event: self._stores.labels(_word(event.cached)).inc(),
            BuildAdvanced: self._advanced,
            BuildFinished: lambda event: self._builds.labels(event.index, event.error or "built").inc(),
            IdempotencyKeyFound: lambda event: self._found.labels(_word(event.own)).inc(),
            TransactionLeaked: lambda event: self._leaked.inc(),
            TenantCharged: self._charge,
            TenantRefused: lambda event: self._refused.labels(self._tenant(event.tenant)).inc(),
        }

    def wants(self, kind: type[Event]) -> bool:
        return kind in self._by_kind

    def observe(self, event: Event) -> None:
        count = self._by_kind.get(type(event))
        if count is not None:
            count(event)

    def _ended(self, event: TransactionEnded) -> None:
        self._attempts.labels(event.outcome.value).inc()
        self._attempt_seconds.labels(event.outcome.value).observe(event.took.total_seconds())
        if event.error:
            self._errors.labels(event.error).inc()
        for place, counts in event.places.items():
            self._moved_in(place, counts)

    def _moved_in(self, place: Place, counts: Counts) -> None:
        for field, total in self._moved:
            number = getattr(counts, field)
            if number:
                total.labels(place.part, place.name).inc(number)

    def _committed(self, event: CommitFinished) -> None:
        self._commit_seconds.labels(event.outcome.value).observe(event.took.total_seconds())

    def _versioned(self, event: ReadVersionTaken) -> None:
        self._version_seconds.labels(_word(event.cached)).observe(event.took.total_seconds())

    def _queried(self, event: QueryFinished) -> None:
        self._pages.labels(event.stopped).inc()
        self._query_seconds.observe(event.took.total_seconds())
        self._query_rows.observe(event.rows)

    def _charge(self, event: TenantCharged) -> None:
        tenant = self._tenant(event.tenant)
        for name, total in self._charged:
            total.labels(tenant).inc(getattr(event, name))

    def _tenant(self, name: str) -> str:
        if name not in self._tenants:
            if len(self._tenants) >= self._most_tenants:
                return _OTHER
            self._tenants.add(name)
        return name

    def _advanced(self, event: BuildAdvanced) -> None:
        self._built.labels(event.index).inc(event.records)
        self._build_seconds.labels(event.index).observe(event.took.total_seconds())
        if event.total:
            self._progress.labels(event.index).set(min(1.0, event.scanned / event.total))


def _word(value: bool) -> str:
    return "true" if value else "false"
