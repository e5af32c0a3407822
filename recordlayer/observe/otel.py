"""Events to OpenTelemetry, as spans.

    transaction NAME             one for each attempt, under whatever span the caller has open
      commit                     with its outcome
      open store, plan query, query, index build step, read version
      read, range read           when asked for

Conflicts, keys found and leaks are span events of the attempt. Attempts of one unit of work have the same
`recordlayer.transaction` and follow each other; the gap is the back-off. Attributes are called `recordlayer.*` and,
where OpenTelemetry has a name, `db.*` and `error.type`.

Needs the package opentelemetry-api (`pip install recordlayer[otel]`), which is imported when an `OpenTelemetry` is
made. The library never sets up an exporter.

Source  OpenTelemetry's semantic conventions for database client spans; W3C Trace Context for identities
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from recordlayer.errors import EngineMissing
from recordlayer.observe.events import (
    BuildAdvanced,
    CommitFinished,
    ConflictMet,
    Event,
    IdempotencyKeyFound,
    Outcome,
    PointRead,
    QueryFinished,
    QueryPlanned,
    RangeRead,
    ReadVersionTaken,
    StoreOpened,
    TransactionBegan,
    TransactionEnded,
    TransactionLeaked,
)
from recordlayer.observe.fields import fields_of, title_of
from recordlayer.observe.observer import SpanIdentity
from recordlayer.world import Clock, SystemClock

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

_SPANS: dict[type[Event], str] = {
    CommitFinished: "commit",
    QueryFinished: "query",
    QueryPlanned: "plan query",
    BuildAdvanced: "index build step",
    StoreOpened: "open store",
    ReadVersionTaken: "read version",
}
_READS: dict[type[Event], str] = {PointRead: "read", RangeRead: "range read"}
_MARKS = frozenset({ConflictMet, TransactionLeaked, IdempotencyKeyFound})
_FAILED = frozenset({Outcome.FAILED, Outcome.UNKNOWN})


class OpenTelemetry:
    """An observer that makes spans.

    provider  of tracers; None for the global one
    reads     also a span for each read: many
    keys      also keys, ranges and what conflicts as attributes, which may hold what users stored

    Raises  EngineMissing if opentelemetry-api is not installed.
    """

    def __init__(
        self,
        *,
        provider: TracerProvider | None = None,
        reads: bool = False,
        keys: bool = False,
        clock: Clock | None = None,
    ) -> None:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise EngineMissing(library="opentelemetry-api", hint="pip install 'recordlayer[otel]'") from error
        self._trace = trace
        self._tracer = trace.get_tracer("recordlayer", tracer_provider=provider)
        self._spans = dict(_SPANS) | (_READS if reads else {})
        self._keys = keys
        self._clock: Clock = clock or SystemClock()
        self._open: dict[int, Span] = {}

    def wants(self, kind: type[Event]) -> bool:
        return kind in self._spans or kind in _MARKS or kind in (TransactionBegan, TransactionEnded)

    def observe(self, event: Event) -> None:
        match event:
            case TransactionBegan():
                self._begin(event)
            case TransactionEnded():
                self._end(event)
            case _ if type(event) in _MARKS:
                span = self._span_of(event)
                if span is not None:
                    span.add_event(title_of(type(event)), self._attributes(event), timestamp=self._now())
            case _ if type(event) in self._spans:
                self._past(event, self._spans[type(event)])

    def span_of(self, transaction: int) -> SpanIdentity | None:
        """The span of a transaction under way, for the cluster's own tracing."""
        span = self._open.get(transaction)
        if span is None:
            return None
        context = span.get_span_context()
        if not context.is_valid:
            return None
        return SpanIdentity(
            context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big"), context.trace_flags.sampled
        )

    # -- transactions

    def _begin(self, event: TransactionBegan) -> None:
        origin = event.origin
        if origin is None or origin.transaction in self._open:
            return
        name = f"transaction {origin.work}" if origin.work else "transaction"
        attributes: dict[str, Any] = {"db.system.name": "recordlayer", **self._attributes(event)}
        self._open[origin.transaction] = self._tracer.start_span(
            name, kind=self._trace.SpanKind.CLIENT, attributes=attributes, start_time=self._now()
        )

    def _end(self, event: TransactionEnded) -> None:
        origin = event.origin
        span = None if origin is None else self._open.pop(origin.transaction, None)
        if origin is None or span is None:
            return
        span.set_attributes(self._attributes(event))
        if event.error:
            span.set_attribute("error.type", event.error)
        if event.outcome in _FAILED:
            span.set_status(self._trace.StatusCode.ERROR, event.error)
        span.end(self._now())

    def _span_of(self, event: Event) -> Span | None:
        return None if event.origin is None else self._open.get(event.origin.transaction)

    # -- what is over when one hears of it

    def _past(self, event: Event, name: str) -> None:
        parent = self._span_of(event)
        context = None if parent is None else self._trace.set_span_in_context(parent)
        end = self._now()
        took: timedelta = getattr(event, "took", timedelta(0))
        start = end - int(took / timedelta(microseconds=1)) * 1_000
        span = self._tracer.start_span(name, context=context, attributes=self._attributes(event), start_time=start)
        error = getattr(event, "error", "")
        if error:
            span.set_attribute("error.type", error)
            span.set_status(self._trace.StatusCode.ERROR, error)
        span.end(end)

    def _attributes(self, event: Event) -> dict[str, Any]:
        return {f"recordlayer.{name}": value for name, value in fields_of(event, keys=self._keys).items()}

    def _now(self) -> int:
        return int(self._clock.wall() * 1_000_000_000)
