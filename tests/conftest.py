"""What every test gets: Hypothesis profiles, and the marks that need something this machine may not have."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

CLUSTER_FILE = os.environ.get("RECORDLAYER_TEST_CLUSTER_FILE")

# Some ways of starting a job in the background hand down an ignored SIGINT; here it is a part of what is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Time limits per example say more about the machine than about the code. On a build machine the examples are the same
# in every run, so that a red build means a change; at a desk they differ, so that they find something.
settings.register_profile("desk", deadline=None)
settings.register_profile(
    "build", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("build" if os.environ.get("CI") else "desk")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the texts that tests compare with: then read the diff"
    )


GOLDEN_TEXTS = Path(__file__).parent / "golden" / "text"


@pytest.fixture
def golden_text(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares what people read with the file of a name in tests/golden/text."""

    def compare(name: str, text: str) -> None:
        file = GOLDEN_TEXTS / f"{name}.txt"
        if request.config.getoption("--update-golden"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        assert file.exists(), "no such text yet: run with --update-golden and read it"
        assert text == file.read_text(encoding="utf-8"), "if this is meant, run with --update-golden and read the diff"

    return compare


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CLUSTER_FILE:
        return
    needs_cluster = pytest.mark.skip(reason="needs a FoundationDB cluster: set RECORDLAYER_TEST_CLUSTER_FILE")
    for item in items:
        if item.get_closest_marker("fdb"):
            item.add_marker(needs_cluster)
