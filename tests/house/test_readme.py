"""The README's quick start, run as it stands: its .proto through protoc, its program in an empty directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def block(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(found) == 1, f"the README has one block of {language}"
    return found[0]


def test_the_quick_start_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "shop.proto").write_text(block("proto"), encoding="utf-8")
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--python_out=.", "shop.proto"]
    subprocess.run(protoc, cwd=tmp_path, check=True, timeout=60)
    (tmp_path / "quick_start.py").write_text(block("python"), encoding="utf-8")

    first = _run(tmp_path)
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert lines[:2] == ["1 1200", "2"], "one order of a page of one, and two orders of ana"
    assert "order_by_customer" in first.stdout.partition("\n2\n")[2], "the plan names the index"
    assert (tmp_path / "shop.rl").is_file()

    again = _run(tmp_path)
    assert again.stdout == first.stdout, "the second run finds the file and writes the same records again"


def _run(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "quick_start.py"]
    environment = {**os.environ, "PYTHONPATH": str(README.parent)}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60)
