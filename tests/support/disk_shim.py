"""The shim between a process and the disk: building it, and steering it from inside a process that it was loaded in."""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")
DATA, SYNC, META = 1, 2, 4
"""Kinds of calls: writes of pages, syncs, and writes of LMDB's meta page, which sync themselves."""

_HEAD = struct.Struct("<cQQQQ")


def build(directory: Path) -> Path:
    """The library. Skips the test where it cannot be built."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("what the disk is made to do here needs a C compiler")
    if not sys.platform.startswith("linux"):
        pytest.skip("what the disk is made to do here needs Linux")
    library = directory / "disk_shim.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-w", "-o", library, SOURCE, "-ldl", "-lpthread"],
        check=True,
        capture_output=True,
    )
    return library


def environment_for(library: Path, path: Path, log: Path | None = None) -> dict[str, str]:
    """What a process needs in its environment to run with the shim on the database at `path`."""
    return {"LD_PRELOAD": str(library), "DISK_SHIM_PATH": str(path), "DISK_SHIM_LOG": str(log or "")}


class Shim:
    """The shim of this process, which was started with `environment_for`."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.shim_delay.argtypes = [ctypes.c_int, ctypes.c_long]

    def fail(self, kinds: int, number: int, *, after: int = 0, times: int = 1, cut_short: bool = False) -> None:
        """Have calls of these kinds fail with an error of the system, `times` of them (-1: all) after the next
        `after` went well."""
        self._library.shim_fail(kinds, after, times, number, cut_short)

    def heal(self) -> None:
        self._library.shim_fail(0, 0, 0, 0, 0)
        self._library.shim_delay(0, 0)
        self._library.shim_hold(0)

    @property
    def failed(self) -> bool:
        """Whether the one failure that was asked for has happened."""
        return self._library.shim_failures_left() == 0

    def delay(self, kinds: int, seconds: float) -> None:
        self._library.shim_delay(kinds, int(seconds * 1_000_000))

    def hold(self, kinds: int) -> None:
        """Keep calls of these kinds from going on until `heal`."""
        self._library.shim_hold(kinds)

    @property
    def holds(self) -> bool:
        """Whether a call is being held."""
        return self._library.shim_held() > 0

    def wait_held(self) -> None:
        """Wait until a call is being held."""
        while not self.holds:
            time.sleep(0.001)

    def mark(self, text: bytes) -> None:
        """Put a mark between what is recorded."""
        self._library.shim_mark(text, len(text))


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened to the disk."""

    kind: str
    file: tuple[int, int]
    offset: int
    data: bytes


def records(log: Path) -> Iterator[Record]:
    content = log.read_bytes()
    at = 0
    while at < len(content):
        kind, device, inode, offset, length = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        yield Record(kind.decode(), (device, inode), offset, content[at : at + length])
        at += length
