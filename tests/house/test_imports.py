"""Data flows one way: import-linter holds the layers of pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.house.tree import ROOT

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_logo=True))"


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {[str(root), str(root / 'server')]!r}; {LINT}"]
    return subprocess.run(command, capture_output=True, text=True, cwd=root)


def test_no_layer_imports_one_above_it() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_import_upwards_and_a_package_without_a_place_are_found(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    layers = ("errors", "world", "waiting", "kv", "tuples", "index", "query", "testing", "elsewhere")
    for package in ("recordlayer", *(f"recordlayer/{layer}" for layer in layers), "server/recordlayer_server"):
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "recordlayer/index/__init__.py").write_text("import recordlayer.query\n")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "recordlayer.index is not allowed to import recordlayer.query" in done.stdout
    assert "elsewhere" in done.stdout
