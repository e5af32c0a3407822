"""Spans of calls, for OpenTelemetry: one for each, under the span that its caller names in the metadata `traceparent`.

The library's own spans (transactions, plans, scans, commits) lie below it. Where spans go is up to OpenTelemetry's
settings: a process that nobody has configured makes spans that go nowhere, at next to no cost.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from recordlayer.errors import LibraryMissing

_FAILED = frozenset({"INTERNAL", "UNKNOWN", "DATA_LOSS", "UNAVAILABLE", "DEADLINE_EXCEEDED"})


class Tracing:
    """Makes spans of calls.  Raises  LibraryMissing if opentelemetry-api is not installed.

    share   of the calls without a traced caller that get spans, from 0 to 1; who names a span has decided it already
    chance  what draws them
    """

    def __init__(self, provider: Any = None, *, share: float = 1.0, chance: random.Random | None = None) -> None:
        try:
            from opentelemetry import context, propagate, trace
        except ImportError as error:
            raise LibraryMissing(libraries=["opentelemetry-api"], hint='pip install "recordlayer[otel]"') from error
        self._trace = trace
        self._context = context
        self._extract = propagate.extract
        self._share = share
        self._chance = random.Random() if chance is None else chance
        self._tracer = trace.get_tracer("recordlayer.server", tracer_provider=provider)

    def begin(self, method: str, metadata: Sequence[tuple[str, str | bytes]] | None) -> tuple[Any, Any]:
        """A span for a call that begins in this task: current until `end`."""
        carrier = {name: value for name, value in metadata or () if isinstance(value, str)}
        around = self._extract(carrier)
        decided = self._share >= 1 or self._trace.get_current_span(around).get_span_context().is_valid
        if not decided and self._chance.random() >= self._share:
            return self._not_taken()
        service, _, name = method.removeprefix("/").rpartition("/")
        span = self._tracer.start_span(
            method.removeprefix("/"),
            context=around,
            kind=self._trace.SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": name},
        )
        return span, self._context.attach(self._trace.set_span_in_context(span))

    def _not_taken(self) -> tuple[Any, Any]:
        """A span that goes nowhere, and what would be below it goes with it: transactions, plans, commits."""
        trace = self._trace
        known = trace.SpanContext(self._chance.getrandbits(128) | 1, self._chance.getrandbits(64) | 1, is_remote=False)
        span = trace.NonRecordingSpan(known)  # of the flags none is set: it is not sampled
        return span, self._context.attach(trace.set_span_in_context(span))

    def end(self, begun: tuple[Any, Any], code: str, request_id: str) -> None:
        """The call has ended, with this code."""
        span, token = begun
        span.set_attribute("rpc.grpc.status_code", code)
        span.set_attribute("recordlayer.request", request_id)
        if code in _FAILED:
            span.set_status(self._trace.StatusCode.ERROR)
        self._context.detach(token)
        span.end()
