"""The packages of Node that tests here need: those of package-lock.json, kept in pytest's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import google.rpc
import pytest

UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONN", "ENETUN", "EHOSTUN", "ETIMEDOUT", "timed out", "E403", "E404", "E50")
HERE = Path(__file__).parent
PROTOS = HERE.parents[1] / "protos"
GOOGLE = Path(next(iter(google.rpc.__path__))).parents[1]


@pytest.fixture(scope="module")
def modules(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the installed packages."""
    if not PROTOS.is_dir():
        pytest.skip("the .proto files of the service are in the source tree only, and this runs without one")
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed here")
    lock = (HERE / "package-lock.json").read_bytes()
    name = f"node-{hashlib.sha256(lock).hexdigest()[:16]}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    cache = getattr(request.config, "cache", None)  # there is none with -p no:cacheprovider
    folder = tmp_path_factory.mktemp(name) if cache is None else cache.mkdir(name)
    done = folder / "installed"
    if not done.exists():
        for file in ("package.json", "package-lock.json"):
            shutil.copy(HERE / file, folder)
        command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1"]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=120)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            said = str(error.stderr or error).strip()
            if not any(word in said for word in UNREACHABLE):
                raise AssertionError(f"npm ci failed:\n{said}") from error
            pytest.skip("npm reaches no registry, and the packages are not in the cache yet")
        done.touch()
    return Path(folder) / "node_modules"
