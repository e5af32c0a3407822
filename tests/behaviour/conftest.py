"""Both facades, and stores that are checked when their test ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors
from recordlayer.kv.context import Context
from recordlayer.store.check import check
from recordlayer.store.open import OpenMode, OpenOptions, open_store
from recordlayer.store.serializer import Serializer
from recordlayer.store.store import RecordStore as Core
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


class OpenedStores:
    """Every store that a test opened, with the newest metadata and the serializer that it was opened with."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[rl.RecordMetaData, Serializer]] = {}
        self.left_damaged = False

    def note(self, store: Core, metadata: rl.RecordMetaData, serializer: Serializer) -> None:
        known = self._known.get(store.layout.prefix)
        if known is None or known[0].version <= metadata.version:
            self._known[store.layout.prefix] = metadata, serializer

    def check(self, database: Any) -> None:
        """Nothing in them disagrees. What opening them may change is not committed."""
        for prefix, (metadata, serializer) in [] if self.left_damaged else list(self._known.items()):
            with database.transaction() as tx:
                assert run_blocking(_findings(tx.context, prefix, metadata, serializer)) == []
                tx.cancel()


async def _findings(context: Context, prefix: bytes, metadata: rl.RecordMetaData, serializer: Serializer) -> list[Any]:
    options = OpenOptions(mode=OpenMode.OPEN, format_version=1, serializer=serializer)
    try:
        store = await open_store(context, metadata, prefix, options)
    except errors.StoreMissing:
        return []  # it was never committed, or deleted again
    except errors.StoreLocked as locked:
        store = await open_store(context, metadata, prefix, replace(options, bypass_lock=locked.fields["reason"]))
    return list(await check(store))


@pytest.fixture
def opened_stores(monkeypatch: pytest.MonkeyPatch) -> OpenedStores:
    opened, make = OpenedStores(), Core.__init__

    def noted(store: Core, *arguments: Any) -> None:
        make(store, *arguments)
        opened.note(store, store.metadata, store.codec.serializer)

    monkeypatch.setattr(Core, "__init__", noted)
    return opened


@pytest.fixture
def leaves_damage(opened_stores: OpenedStores) -> None:
    """For a test that damages its stores and does not mend them: they are not checked."""
    opened_stores.left_damaged = True


@pytest.fixture(params=ENGINES)
def db(request: pytest.FixtureRequest, open_database: Any, opened_stores: OpenedStores) -> Iterator[Any]:
    """A database; every store that was opened in it is checked at the end, unless the test `leaves_damage`.

    With a cluster named, each test runs there too, below the path "shop", which is cleared before and afterwards.
    """
    if request.param == "memory:":
        database = open_database("memory:")
        yield database
        opened_stores.check(database)
    else:
        database = open_database(f"fdb:{CLUSTER_FILE}")
        clear(database)
        yield database
        opened_stores.check(database)
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
