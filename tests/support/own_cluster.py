"""A FoundationDB process of a test's own, which the test may kill and start again."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

SERVER = os.environ.get("RECORDLAYER_TEST_FDBSERVER", "")
"""The fdbserver program, with fdbcli beside it."""


class OwnCluster:
    """One process with its data in a folder, on a free port of the loopback address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{taken.getsockname()[1]}"
        self.file = folder / "fdb.cluster"
        self.file.write_text(f"test:test@{self._address}\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        self._cli("configure new single ssd-2", "Database created")

    def start(self) -> None:
        folder = str(self._folder)
        options = ["--cluster-file", str(self.file), "--public-address", self._address, "--listen-address", "public"]
        options += ["--datadir", folder, "--logdir", folder]
        self._process = subprocess.Popen([SERVER, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """SIGKILL, as a crash: nothing is written after it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _cli(self, line: str, expected: str) -> None:
        program = Path(SERVER).with_name("fdbcli")
        told = ""
        for _ in range(10):  # the process takes a moment until it answers
            command = [str(program), "-C", str(self.file), "--timeout", "10", "--exec", line]
            told = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
            if expected in told or "already" in told:
                return
        raise AssertionError(told)
