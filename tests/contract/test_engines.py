"""The law of engines, applied to ours.

The cluster's tests run when RECORDLAYER_TEST_CLUSTER_FILE names a cluster file; the suite keeps to random prefixes
there, apart from the empty key and the metadata version key.
"""

from __future__ import annotations

import os

import pytest

from recordlayer.testing import EngineSuite

CLUSTER_FILE = os.environ.get("RECORDLAYER_TEST_CLUSTER_FILE", "")


class TestMemory(EngineSuite):
    url = "memory:"


class TestFile(EngineSuite):
    url = "file:{tmp}/suite.rl"


class TestRelaxedFile(EngineSuite):
    url = "file:{tmp}/suite.rl"
    options = {"durability": "relaxed"}  # noqa: RUF012  # read only


@pytest.mark.fdb
class TestCluster(EngineSuite):
    url = f"fdb:{CLUSTER_FILE}"
    lacks = {"world": "the cluster keeps its own time, and its client its own chance"}  # noqa: RUF012  # read only
