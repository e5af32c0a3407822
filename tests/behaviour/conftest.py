"""Both facades, and stores that are checked when their test ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import recordlayer as rl
from recordlayer.waiting.drivers import run_blocking
from tests.conftest import CLUSTER_FILE
from tests.support.facades import BackgroundLoop, opener, over
from tests.support.shop import PATH, SHOP


@pytest.fixture(scope="session")
def loop() -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop()
    yield loop
    loop.close()


@pytest.fixture(params=["blocking", "asyncio"])
def open_database(request: pytest.FixtureRequest, loop: BackgroundLoop) -> Any:
    return opener(request.param, loop)


@pytest.fixture(params=["blocking", "asyncio"])
def database_over(request: pytest.FixtureRequest, loop: BackgroundLoop) -> Any:
    """Makes a database around an engine: database_over(engine, world=..., ...)."""
    return over(request.param, loop)


@pytest.fixture
def cluster_url() -> str:
    """The cluster of tests that are marked `fdb`: they keep to a random path and clean up."""
    return f"fdb:{CLUSTER_FILE}"


ENGINES = ["memory:", pytest.param("cluster", marks=pytest.mark.fdb)] if CLUSTER_FILE else ["memory:"]


@pytest.fixture(params=ENGINES)
def db(request: pytest.FixtureRequest, open_database: Any) -> Iterator[Any]:
    """A database; every store that was opened through `Shop` is checked at the end.

    With a cluster named, each test runs there too, below the path "shop", which is cleared before and afterwards.
    """
    if request.param == "memory:":
        database = open_database("memory:")
        yield database
    else:
        database = open_database(f"fdb:{CLUSTER_FILE}")
        clear(database)
        yield database
        clear(database)
    database.close()


def clear(database: Any) -> None:
    with database.transaction() as tx:
        prefix = rl.Subspace((PATH[0],)).key()
        tx.context.clear_range(prefix, prefix + b"\xff")


class Shop:
    """One store with its metadata, opened anew for each block."""

    def __init__(self, db: Any, metadata: rl.RecordMetaData, path: Any = PATH) -> None:
        self.db = db
        self.metadata = metadata
        self.path = path

    def save(self, *records: Any) -> None:
        with self.db.transaction() as tx:
            store = tx.store(self.metadata, path=self.path)
            for record in records:
                store.save(record)

    def load(self, key: Any) -> Any:
        with self.db.transaction() as tx:
            return tx.store(self.metadata, path=self.path).load(key)

    def messages(self, query: rl.RecordQuery, **how: Any) -> list[Any]:
        with self.db.transaction() as tx:
            return tx.store(self.metadata, path=self.path).query(query, **how).all()

    def pairs(self) -> dict[bytes, bytes]:
        """Everything that is stored, by key without the store's prefix."""
        prefix = rl.Subspace(self.path).key()
        with self.db.transaction() as tx:
            rows = run_blocking(tx.context.read_all(prefix, prefix + b"\xff"))
        return {key[len(prefix) :]: value for key, value in rows}

    def check(self) -> None:
        with self.db.transaction() as tx:
            assert tx.store(self.metadata, path=self.path).check() == []


@pytest.fixture
def shop(db: Any) -> Iterator[Shop]:
    """An empty shop with the usual indexes."""
    made = Shop(db, SHOP)
    yield made
    made.check()
