"""What the project's text says: nothing that is true on one machine or for one conversation only."""

from __future__ import annotations

import re

import pytest

from tests.house.tree import ROOT, tracked

# Put together here, so that this file does not contain what it looks for.
BANNED = {
    "a path of one machine": "|".join(["/" + "work/", "/" + "opt/dev", "/" + "root/", "/" + "home/[a-z]"]),
    "a host of a package registry": "|".join(
        name.replace("-dot-", r"\.")
        for name in ("pypi-dot-org", "pythonhosted-dot-org", "registry-dot-npmjs", "proxy-dot-golang", "repo-dot-maven")
    ),
    "the number of an issue": r"\b[Ii]ssue" + r" #?\d",
    "a mark for later": "|".join([r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b", r"\bXX" + r"X\b"]),
    "the workshop instead of the work": "|".join(
        [r"\bCE" + r"O\b", "work" + "place", r"\.lib" + r"rary\b", "brief" + r"\.md"]
    ),
}

TEXT = tuple(name for name in tracked() if b"\0" not in (ROOT / name).read_bytes()[:8_000])


def test_there_is_something_to_judge() -> None:
    assert {"README.md", "pyproject.toml", "recordlayer/errors.py"} <= set(TEXT)


@pytest.mark.parametrize("what", BANNED)
def test_the_text_is_about_the_project_alone(what: str) -> None:
    pattern = re.compile(BANNED[what])
    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name in TEXT
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("sample", ["see /" + "work/main", "fixes issue" + " 12", "# TO" + "DO: later"])
def test_the_patterns_find_what_they_are_for(sample: str) -> None:
    assert any(re.search(pattern, sample) for pattern in BANNED.values())


def test_files_end_with_one_line_break_and_use_unix_ones() -> None:
    wrong = []
    for name in TEXT:
        data = (ROOT / name).read_bytes()
        if data and (b"\r" in data or not data.endswith(b"\n") or data.endswith(b"\n\n")):
            wrong.append(name)
    assert [name for name in wrong if not name.startswith("tests/golden/")] == []
