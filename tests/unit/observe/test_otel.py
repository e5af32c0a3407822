"""Events as OpenTelemetry spans."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from recordlayer.errors import EngineMissing
from recordlayer.observe.events import (
    KINDS,
    CommitFinished,
    ConflictMet,
    Event,
    Outcome,
    PointRead,
    QueryFinished,
    RangeRead,
    TransactionBegan,
    TransactionEnded,
)
from recordlayer.observe.otel import OpenTelemetry
from recordlayer.testing.clock import ManualClock
from tests.support.recording import ALL, ORIGIN, sample


class Traced:
    """An observer with a clock of its own and what it exported."""

    def __init__(self, *, reads: bool = False) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.clock = ManualClock()
        self.observer = OpenTelemetry(provider=self.provider, reads=reads, clock=self.clock)

    def tell(self, *events: Event) -> None:
        for event in events:
            if self.observer.wants(type(event)):
                self.observer.observe(event)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


def test_an_attempt_is_a_span_and_what_happens_in_it_its_children() -> None:
    traced = Traced()
    traced.tell(TransactionBegan(origin=ORIGIN))
    traced.clock.advance(1.0)
    traced.tell(sample(QueryFinished), replace(sample(CommitFinished), error=""), sample(PointRead))
    traced.tell(replace(sample(TransactionEnded), error=""))
    assert set(traced.spans) == {"transaction checkout", "query", "commit"}
    transaction, query = traced.spans["transaction checkout"], traced.spans["query"]
    assert query.parent is not None
    assert query.parent.span_id == transaction.get_span_context().span_id
    assert query.attributes is not None
    assert query.attributes["recordlayer.plan"] == "Scan order_by_customer"
    assert query.end_time - query.start_time == 250_000_000
    assert transaction.end_time - transaction.start_time == 1_000_000_000
    assert transaction.status.status_code is StatusCode.UNSET
    assert transaction.attributes["recordlayer.attempt"] == 2
    assert transaction.attributes["recordlayer.indexes"] == "order_by_customer"


def test_the_span_of_an_attempt_lies_under_the_one_that_the_caller_has_open() -> None:
    traced = Traced()
    with traced.provider.get_tracer("shop").start_as_current_span("request") as request:
        traced.tell(TransactionBegan(origin=ORIGIN), sample(TransactionEnded))
    span = traced.spans["transaction checkout"]
    assert span.parent is not None
    assert span.parent.span_id == request.get_span_context().span_id


def test_attempts_of_one_work_are_spans_side_by_side_and_failed_ones_say_why() -> None:
    traced = Traced()
    for attempt, outcome in ((1, Outcome.FAILED), (2, Outcome.COMMITTED)):
        origin = replace(ORIGIN, attempt=attempt)
        error = "conflict" if outcome is Outcome.FAILED else ""
        traced.tell(TransactionBegan(origin=origin))
        if error:
            traced.tell(replace(sample(ConflictMet), origin=origin))
        traced.tell(replace(sample(TransactionEnded), origin=origin, outcome=outcome, error=error))
    first, second = traced.exporter.get_finished_spans()
    assert first.status.status_code is StatusCode.ERROR
    assert first.attributes is not None
    assert first.attributes["error.type"] == "conflict"
    assert [event.name for event in first.events] == ["conflict met"]
    assert second.status.status_code is StatusCode.UNSET
    assert first.attributes["recordlayer.transaction"] == 7


def test_reads_are_spans_when_asked_for() -> None:
    traced = Traced(reads=True)
    traced.tell(TransactionBegan(origin=ORIGIN), sample(PointRead), sample(RangeRead), sample(TransactionEnded))
    assert {"read", "range read"} <= set(traced.spans)
    assert not Traced().observer.wants(PointRead)


def test_keys_are_no_attributes_unless_asked_for() -> None:
    traced = Traced(reads=True)
    traced.tell(sample(RangeRead))
    assert "recordlayer.begin" not in (traced.spans["range read"].attributes or {})


def test_the_span_can_be_handed_on_while_it_is_open() -> None:
    traced = Traced()
    assert traced.observer.span_of(7) is None
    traced.tell(TransactionBegan(origin=ORIGIN))
    identity = traced.observer.span_of(7)
    traced.tell(sample(TransactionEnded))
    assert identity is not None
    context = traced.spans["transaction checkout"].get_span_context()
    assert identity.trace == context.trace_id.to_bytes(16, "big")
    assert identity.span == context.span_id.to_bytes(8, "big")
    assert identity.sampled
    assert traced.observer.span_of(7) is None


def test_every_wanted_event_is_taken_also_without_its_transaction() -> None:
    traced = Traced(reads=True)
    traced.tell(*(replace(event, origin=None) for event in ALL))
    names = {span.name for span in traced.exporter.get_finished_spans()}
    assert names == {
        "commit", "query", "plan query", "index build step", "open store", "read version", "read", "range read",
    }  # fmt: skip
    assert len([kind for kind in KINDS if traced.observer.wants(kind)]) == len(names) + 5


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(EngineMissing, match=r"recordlayer\[otel\]"):
        OpenTelemetry()
