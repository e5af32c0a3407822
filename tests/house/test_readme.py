"""The README's programs, run as they stand, one after the other: the .proto through protoc, in an empty directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"the README has {language}"
    return "\n".join(found)


def test_the_programs_do_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "shop.proto").write_text(blocks("proto"), encoding="utf-8")
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--python_out=.", "shop.proto"]
    subprocess.run(protoc, cwd=tmp_path, check=True, timeout=60)
    (tmp_path / "quick_start.py").write_text(blocks("python"), encoding="utf-8")

    first = _run(tmp_path)
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert lines[:2] == ["1 1200", "2"], "one order of a page of one, and two orders of ana"
    assert "order_by_customer" in first.stdout.partition("\n2\n")[2], "the plan names the index"
    assert (tmp_path / "shop.rl").is_file()
    assert lines[-1] == '/app:"shop"/tenant:"acme"/year:2026', "the path at which a store was opened is listed"

    again = _run(tmp_path)
    assert again.stdout == first.stdout, "the second run finds the file and writes the same records again"


def _run(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "quick_start.py"]
    environment = {**os.environ, "PYTHONPATH": str(README.parent)}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60)
