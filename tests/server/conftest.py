"""A server in a process of its own, for the tests that need no more of it than that it is there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recordlayer.client.testing.fake import FakeServer, fake
from tests.support.photos import CONTAINER, description


@pytest.fixture(scope="session")
def photo_server() -> Iterator[FakeServer]:
    """Of the container of photos, for all tests of a process: each takes a database of its own, and lets it run."""
    with fake({CONTAINER: description()}) as server:
        yield server
