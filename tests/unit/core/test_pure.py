"""The compiled core is used where it is there, and a part of the suite runs without it.

    RECORDLAYER_PURE=1 make test        all of it

Chosen for what is there in both: scans of the embedded engine, tuples, pages of entries and records.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import recordlayer
from recordlayer.core import twins
from tests.support.both_ways import needs_core

ROOT = Path(__file__).resolve().parents[3]
CHOSEN = (
    "tests/unit/embedded/test_scanning.py",
    "tests/unit/query/test_entry_groups.py",
    "tests/golden/test_releases.py",
    "tests/behaviour/test_queries.py",
)
LEFT_OUT = "asyncio or recorded_now"
RUN = """
import sys
import pytest
import recordlayer
assert not recordlayer.__compiled__
sys.exit(pytest.main(sys.argv[1:]))
"""


def without_core(code: str, *arguments: str, pure: str = "1") -> subprocess.CompletedProcess[str]:
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"RECORDLAYER_PURE": pure, "PYTHONPATH": search}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@needs_core
@pytest.mark.timeout(600)
def test_a_part_of_the_suite_passes_without_the_core() -> None:
    done = without_core(
        RUN, "-q", "-x", "-p", "no:cacheprovider", "--timeout", "500", "-k", f"not ({LEFT_OUT})", *CHOSEN
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    assert " passed" in done.stdout


@needs_core
def test_the_core_is_used_unless_it_is_to_be_left_out() -> None:
    assert recordlayer.__compiled__
    for name, (in_python, in_c) in twins.items():
        assert in_python.__code__.co_name == name
        assert "built-in" in repr(in_c)
    for pure, shown in [("0", "True"), ("", "True"), ("1", "False"), ("yes", "False")]:
        done = without_core("import recordlayer; print(recordlayer.__compiled__)", pure=pure)
        assert done.stdout.strip() == shown, done.stderr


def test_a_core_that_was_built_from_other_sources_is_not_used() -> None:
    """One that is broken or missing is none either."""
    for module in ("types.SimpleNamespace(REVISION=-1)", "None"):
        code = (
            f"import sys, types; sys.modules['recordlayer._core'] = {module}; "
            "import recordlayer; print(recordlayer.__compiled__)"
        )
        done = without_core(code, pure="0")
        assert done.stdout.strip() == "False", done.stderr
