"""Compiles the core while the package is built, if that can be done here; otherwise the package is pure Python.

It can be done where there are a C compiler and Python's headers. Nothing that goes wrong here makes an installation
fail: the reason is told (`pip install -v` shows it), and the library works without, only slower. RECORDLAYER_PURE=1
in the environment of the build leaves the core out. CC and CFLAGS are heeded.

A wheel carries the module and the tag of the Python and the platform that it was compiled for. An editable installation
has it in the source tree, beside the package's own modules.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_TIMEOUT = 300  # seconds for the compiler
_LOAD = """
import sys
from importlib.util import module_from_spec, spec_from_file_location

found = spec_from_file_location("_core", sys.argv[1])
found.loader.exec_module(module_from_spec(found))
"""


class CannotCompile(Exception):
    """Why the core cannot be compiled here."""


class CompiledCore(BuildHookInterface):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        name = f"_core{sysconfig.get_config_var('EXT_SUFFIX') or '.so'}"
        editable = version == "editable"
        to = Path(self.root, "recordlayer") if editable else self._scratch()
        (to / name).unlink(missing_ok=True)
        try:
            compile_core(Path(self.root, "native"), to / name)
        except CannotCompile as reason:
            self._clean_up()
            self.app.display_warning(f"recordlayer without its compiled core: {reason}")
            return
        self.app.display_info(f"recordlayer with its compiled core, {name}")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        if not editable:
            build_data["force_include"][str(to / name)] = f"recordlayer/{name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        self._clean_up()

    _folder: Path | None = None  # where the module lies until it is in the wheel

    def _scratch(self) -> Path:
        self._folder = Path(tempfile.mkdtemp(prefix="recordlayer-core-"))
        return self._folder

    def _clean_up(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def compile_core(sources: Path, to: Path) -> None:
    """Compile the C files of a folder into a module at `to`, and see that this Python can load it.

    Raises  CannotCompile.
    """
    if os.environ.get("RECORDLAYER_PURE", "0") not in ("", "0"):
        raise CannotCompile("RECORDLAYER_PURE is set")
    if sys.implementation.name != "cpython":
        raise CannotCompile(f"it is written for CPython, and this is {sys.implementation.name}")
    headers = {sysconfig.get_path(kind) for kind in ("include", "platinclude")}
    if not any(Path(folder, "Python.h").is_file() for folder in headers):
        raise CannotCompile(f"there is no Python.h in {' or '.join(sorted(headers))}")
    link = shlex.split(sysconfig.get_config_var("LDSHARED") or "")
    if not link:
        raise CannotCompile("this Python does not say how modules are linked")
    if compiler := os.environ.get("CC"):
        link[:1] = shlex.split(compiler)
    # Put in its place when it is whole: what is there may be in use.
    made = to.with_name(f".{os.getpid()}.{to.name}")
    try:
        flags = ["-O2", "-DNDEBUG", "-fPIC", "-fvisibility=hidden", *shlex.split(os.environ.get("CFLAGS", ""))]
        _run(
            [
                *link,
                *flags,
                *(f"-I{folder}" for folder in sorted(headers)),
                *map(str, sorted(sources.glob("*.c"))),
                "-o",
                str(made),
            ]
        )
        _run([sys.executable, "-c", _LOAD, str(made)])
        made.replace(to)
    finally:
        made.unlink(missing_ok=True)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotCompile(str(error)) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise CannotCompile(f"{command[0]} ended with status {done.returncode}\n{said}")
