"""Golden files: one test for each file and each thing that can be compared, and a table of what was."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.golden.scenario import OUR_COPY, Scenario, scenarios

_COMPARED: dict[str, Counter[str]] = defaultdict(Counter)
_SEEN: Counter[str] = Counter()


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
        terminalreporter.write_line(f"{kind:18} {done or 'not yet'}")
