"""Metrics: what a scraper sees, and that callers cannot make it grow."""

from __future__ import annotations

import urllib.request

import pytest

from recordlayer.errors import CannotListen
from recordlayer_server.config import Address
from recordlayer_server.operation.libraries import libraries
from recordlayer_server.operation.metrics import MOST_CLIENTS, Exposition, Heaviest, Metrics


def shown(metrics: Metrics) -> str:
    exposition = Exposition(metrics, Address("127.0.0.1", 0))
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{exposition.port}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
            return text
    finally:
        exposition.close()


def test_a_scraper_sees_calls_by_method_and_code() -> None:
    metrics = Metrics(methods=frozenset({"/a.B/C"}))
    metrics.ended("/a.B/C", "OK", 0.002)
    metrics.ended("/a.B/C", "NOT_FOUND", 0.002)
    metrics.ended("/made/Up1", "UNIMPLEMENTED", 0)
    metrics.ended("/made/Up2", "UNIMPLEMENTED", 0)
    metrics.sent_away("/a.B/C")
    metrics.lagged(0.2)
    metrics.follow("running_calls", "calls that run now", lambda: 7)
    metrics.build(version="1", revision="abc", client="7.3.1")
    text = shown(metrics)
    assert 'recordlayer_server_calls_total{code="OK",method="/a.B/C"} 1.0' in text
    assert 'recordlayer_server_calls_total{code="UNIMPLEMENTED",method="unknown"} 2.0' in text
    assert "Up1" not in text
    assert 'recordlayer_server_call_seconds_count{method="/a.B/C"} 2.0' in text
    assert 'recordlayer_server_sent_away_total{method="/a.B/C"} 1.0' in text
    assert "recordlayer_server_running_calls 7.0" in text
    assert 'recordlayer_server_loop_lag_seconds_bucket{le="0.1"} 0.0' in text
    assert "recordlayer_server_build_info{" in text
    assert "recordlayer_attempts_total" in text, "the library's numbers are there too"


def test_tenants_are_as_many_labels_as_were_allowed_however_many_come() -> None:
    metrics = Metrics(tenants=3)
    for number in range(200):
        metrics.tenant("heavy", read=10, written=1)
        metrics.tenant(f"tenant {number}", read=1, written=0)
    text = shown(metrics)
    lines = [line for line in text.splitlines() if line.startswith("recordlayer_server_tenant_calls_total")]
    assert 'recordlayer_server_tenant_calls_total{tenant="heavy"} 200.0' in lines
    assert len(lines) <= 4
    assert sum(float(line.rpartition(" ")[2]) for line in lines) <= 400
    assert 'recordlayer_server_tenant_keys_total{kind="read",tenant="heavy"} 2000.0' in text


def test_the_heaviest_get_labels_of_their_own_even_if_they_come_late() -> None:
    heaviest = Heaviest(2)
    for number in range(50):
        heaviest.label(f"light {number}")
    labels = [heaviest.label("late")[0] for _ in range(200)]
    assert labels[0] == "other"
    assert labels[-1] == "late"


def test_clients_are_counted_by_what_they_call_themselves_and_are_few_labels() -> None:
    metrics, name = Metrics(), "recordlayer_server_client_calls_total"
    for agent in ("recordlayer/1.0 grpc-python/1.85", "grpc-node-js/1.13.0", "", "two\nlines", "x" * 65):
        metrics.client((("x-other", "y"), ("user-agent", agent)))
    metrics.client(())
    clients = ("recordlayer/1.0", "grpc-node-js/1.13.0", "other")
    assert [metrics.registry.get_sample_value(name, {"client": client}) for client in clients] == [1, 1, 4]
    others: list[float] = []
    for number in range(1_000):
        metrics.client((("user-agent", f"made-up/{number}"),))
        others.append(metrics.registry.get_sample_value(name, {"client": "other"}) or 0.0)
    assert others == sorted(others), "the number of all others only rises"
    lines = [line for line in shown(metrics).splitlines() if line.startswith(name)]
    assert len(lines) <= MOST_CLIENTS + 1


def test_an_address_that_is_taken_is_said_so() -> None:
    first = Exposition(Metrics(), Address("127.0.0.1", 0))
    try:
        with pytest.raises(CannotListen):
            Exposition(Metrics(), Address("127.0.0.1", first.port))
    finally:
        first.close()


def test_versions_of_what_it_runs_with_are_known() -> None:
    assert {"grpcio", "protobuf", "lmdb"} <= libraries().keys()
