"""Golden files: one test for each file and each thing that can be compared, and a table of what was."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.golden.scenario import OUR_COPY, Scenario, scenarios

_COMPARED: dict[str, Counter[str]] = defaultdict(Counter)
_SEEN: Counter[str] = Counter()

LATER = {
    "record-types": "records in stores",
    "bitmap": "bitmap_value indexes",
    "continuation": "continuations",
    "count": "count indexes",
    "delete": "deleting by prefix",
    "header": "store header and format versions",
    "value-index": "value indexes",
    "index-build": "online index building",
    "index-state": "index states",
    "leaderboard": "time_window_leaderboard indexes",
    "min-max-ever": "min and max indexes",
    "multidimensional": "multidimensional indexes",
    "permuted": "permuted indexes",
    "rank": "rank indexes",
    "version": "record versions",
    "split": "split records",
    "sum": "sum indexes",
    "text": "text indexes",
    "unique-index": "uniqueness violations",
}
"""Kinds of files whose bytes in a store are compared elsewhere, or not yet, and what is missing then."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden-dir", type=Path, default=None, help="a directory of golden files instead of our copy")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" not in metafunc.fixturenames:
        return
    directory = metafunc.config.getoption("--golden-dir", default=None) or OUR_COPY
    found = scenarios(directory)
    wanted = getattr(metafunc.module, "CONCERNS", None)
    for scenario in found:
        _SEEN.setdefault(scenario.kind, 0)
    chosen = [scenario for scenario in found if wanted is None or wanted(scenario)]
    metafunc.parametrize("scenario", chosen, ids=lambda scenario: scenario.name)


@pytest.fixture
def compared(scenario: Scenario) -> Callable[..., None]:
    """Note for the table at the end that so many of something were compared."""

    def note(what: str, count: int = 1) -> None:
        _COMPARED[scenario.kind][what] += count

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _COMPARED:
        return
    terminalreporter.section("golden files: what was compared")
    for kind in sorted(_SEEN):
        done = ", ".join(f"{count} {what}" for what, count in sorted(_COMPARED[kind].items()) if count)
        stores = any(what.startswith("stored") for what in _COMPARED[kind])
        later = f"not yet: {LATER[kind]}" if kind in LATER and not stores else ""
        terminalreporter.write_line(f"{kind:18} {'; '.join(part for part in (done, later) if part) or 'not yet'}")
