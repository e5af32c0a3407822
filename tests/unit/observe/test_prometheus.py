"""Events as Prometheus counters."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from recordlayer.errors import EngineMissing
from recordlayer.observe.events import (
    KINDS,
    Event,
    PointRead,
    RangeRead,
    TenantCharged,
    TenantRefused,
    TransactionEnded,
)
from recordlayer.observe.prometheus import Prometheus
from tests.support.recording import ALL, sample


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def told(registry: CollectorRegistry, *events: Event) -> None:
    observer = Prometheus(registry=registry)
    for event in events:
        observer.observe(event)


def test_operations_are_counted_by_part_of_a_store_and_index(registry: CollectorRegistry) -> None:
    told(registry, sample(TransactionEnded), sample(TransactionEnded))
    index = {"part": "index", "index": "order_by_customer"}
    records = {"part": "records", "index": ""}
    for name, number in (
        ("reads", 3), ("empty_reads", 1), ("rows_read", 2), ("read_bytes", 90), ("writes", 2), ("written_bytes", 40)
    ):  # fmt: skip
        assert registry.get_sample_value(f"recordlayer_{name}_total", index) == 2 * number
        assert registry.get_sample_value(f"recordlayer_{name}_total", records) == 2 * number


def test_attempts_are_counted_and_timed_by_outcome_and_errors_by_code(registry: CollectorRegistry) -> None:
    told(registry, sample(TransactionEnded), replace(sample(TransactionEnded), error=""))
    assert registry.get_sample_value("recordlayer_attempts_total", {"outcome": "committed"}) == 2
    assert registry.get_sample_value("recordlayer_attempt_seconds_sum", {"outcome": "committed"}) == 0.5
    assert registry.get_sample_value("recordlayer_errors_total", {"code": "conflict"}) == 1


def test_every_wanted_event_moves_a_number_and_single_reads_are_not_wanted(registry: CollectorRegistry) -> None:
    observer = Prometheus(registry=registry)
    wanted = [event for event in ALL if observer.wants(type(event))]
    for event in wanted:
        before = generate_latest(registry)
        observer.observe(event)
        assert generate_latest(registry) != before, type(event).__name__
    assert len(wanted) == 14
    assert not observer.wants(PointRead)
    assert not observer.wants(RangeRead)


def test_no_label_holds_a_path_a_key_or_a_query(registry: CollectorRegistry) -> None:
    told(registry, *ALL)
    text = generate_latest(registry).decode()
    assert "order_by_customer" in text
    for secret in ("/shop/acme", "ana", "checkout"):
        assert secret not in text


def test_the_first_tenants_have_numbers_of_their_own_if_asked_for(registry: CollectorRegistry) -> None:
    observer = Prometheus(registry=registry, tenants=2)
    for number, path in enumerate(("/a", "/b", "/c", "/a", "/d"), 1):
        observer.observe(TenantCharged(tenant=path, keys_read=number))
    observer.observe(TenantRefused(tenant="/c", retry_after=timedelta(seconds=1)))
    found = {
        tenant: registry.get_sample_value("recordlayer_tenant_keys_read_total", {"tenant": tenant})
        for tenant in ("/a", "/b", "/c", "other")
    }
    assert found == {"/a": 5, "/b": 2, "/c": None, "other": 8}
    assert registry.get_sample_value("recordlayer_tenant_refused_total", {"tenant": "other"}) == 1


def test_unwanted_events_are_ignored(registry: CollectorRegistry) -> None:
    observer = Prometheus(registry=registry)
    before = generate_latest(registry)
    for event in ALL:
        if not observer.wants(type(event)):
            observer.observe(event)
    assert generate_latest(registry) == before
    assert any(not observer.wants(kind) for kind in KINDS)


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(EngineMissing, match=r"recordlayer\[prometheus\]"):
        Prometheus()
