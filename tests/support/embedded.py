"""Short words for tests of the embedded engine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from recordlayer.kv.embedded.engine import EmbeddedEngine
from recordlayer.kv.engine import StreamingMode, Transaction
from recordlayer.kv.registry import open_engine
from recordlayer.waiting.drivers import run_blocking
from recordlayer.waiting.waitable import Waitable

T = TypeVar("T")

LONG = os.environ.get("RECORDLAYER_LONG_TESTS") == "1"
"""Whether to run the forms of tests that take minutes."""


def do(waitable: Waitable[T]) -> T:
    """The outcome of a waitable, waited for in this thread."""
    return run_blocking(_outcome(waitable))


async def _outcome(waitable: Waitable[T]) -> T:
    return await waitable


@contextmanager
def opened(path: str | Path, **options: Any) -> Iterator[EmbeddedEngine]:
    """The database in a file, closed at the end."""
    engine = open_embedded(path, **options)
    try:
        yield engine
    finally:
        engine.close()


def open_embedded(path: str | Path, **options: Any) -> EmbeddedEngine:
    url = "memory:" if str(path) == "memory:" else f"file:{path}"
    engine = open_engine(url, **options)
    assert isinstance(engine, EmbeddedEngine)
    return engine


def put(engine: EmbeddedEngine, pairs: Mapping[bytes, bytes | None]) -> Transaction:
    """Commit these pairs; None clears."""
    transaction = engine.begin()
    for key, value in pairs.items():
        if value is None:
            transaction.clear(key)
        else:
            transaction.set(key, value)
    do(transaction.commit())
    return transaction


def get(engine: EmbeddedEngine, key: bytes) -> bytes | None:
    transaction = engine.begin()
    try:
        return do(transaction.get(key))
    finally:
        transaction.close()


def content(engine: EmbeddedEngine) -> dict[bytes, bytes]:
    """All pairs, at one version."""
    transaction = engine.begin()
    found: dict[bytes, bytes] = {}
    begin = b""
    while True:
        chunk = do(transaction.get_range(begin, b"\xff", mode=StreamingMode.WANT_ALL))
        found.update(chunk.rows)
        if not chunk.more or not chunk.rows:
            transaction.close()
            return found
        begin = chunk.rows[-1][0] + b"\0"


def content_of(path: str | Path, **options: Any) -> dict[bytes, bytes]:
    with opened(path, **options) as engine:
        return content(engine)
