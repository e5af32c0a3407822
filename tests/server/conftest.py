"""Servers for tests: one in a process of its own for those that need no more of it than that it is there, and, with a
cluster named, the engine below the others in turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest

from recordlayer.client.testing.fake import FakeServer, fake
from tests.conftest import CLUSTER_FILE
from tests.support import service
from tests.support.photos import CONTAINER, description

ENGINES = ["memory:", pytest.param(f"fdb:{CLUSTER_FILE}", marks=pytest.mark.fdb, id="cluster")]
ON_THE_CLUSTER = {
    "test_admin",
    "test_admin_connections",
    "test_assets",
    "test_bad_input",
    "test_comparators",
    "test_guarded",
    "test_modify",
    "test_operations",
    "test_operations_everywhere",
    "test_query",
    "test_rolling",
    "test_schema_changes",
    "test_schemas",
    "test_subscriptions",
    "test_sync",
    "test_sync_replicas",
    "test_tenants",
    "test_transactions",
    "test_unavailable",
    "test_watch",
    "test_webhooks",
    "test_writers",
    "test_secrets",
}
"""Modules whose tests run on the cluster too."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if CLUSTER_FILE and metafunc.module.__name__.rpartition(".")[2] in ON_THE_CLUSTER:
        metafunc.parametrize("engine_of_servers", ENGINES, indirect=True)


@pytest.fixture(autouse=True)
def engine_of_servers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "ENGINE", getattr(request, "param", service.ENGINE))


def _how_long(fixture_name: str, config: pytest.Config) -> Literal["module", "session"]:
    """On a cluster no server lives on beside those of other tests: they would do each other's work."""
    return "module" if CLUSTER_FILE else "session"


@pytest.fixture(scope=_how_long, params=ENGINES if CLUSTER_FILE else ENGINES[:1])
def photo_server(request: pytest.FixtureRequest) -> Iterator[FakeServer]:
    """Of the container of photos, for many tests: each takes a database of its own, and lets it run."""
    with fake({CONTAINER: description()}, db=request.param) as server:
        yield server
