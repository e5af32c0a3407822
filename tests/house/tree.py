"""The files that the house rules judge: those git tracks; in an unpacked archive, all that belong to the project."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = (".ci", "bench", "docker", "native", "protos", "recordlayer", "server", "tests")


@cache
def tracked() -> tuple[str, ...]:
    """Paths below the root, with slashes, sorted."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, cwd=ROOT)
    if listed.returncode == 0:
        names = listed.stdout.decode().split("\0")
        return tuple(sorted(name for name in names if name and (ROOT / name).is_file()))
    found = [path for folder in _FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    found += [path for path in ROOT.iterdir() if path.is_file()]
    return tuple(sorted(path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts))


@cache
def python(*folders: str) -> tuple[str, ...]:
    """The Python files below these folders that people write."""
    return tuple(
        name for name in tracked() if name.endswith(".py") and name.startswith(folders) and not generated(name)
    )


def generated(name: str) -> bool:
    with (ROOT / name).open(encoding="utf-8", errors="replace") as file:
        first = file.readline()
    return first.startswith("# Generated ") or name.endswith(("_pb2.py", "_pb2_grpc.py"))


@cache
def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
