"""`recordlayer-server` in a process of its own, over a database in its memory."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.photos import CONTAINER, description
from tests.support.processes import environment


@contextmanager
def started(folder: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of the container of `tests.support.photos`, and its address; it is killed at the end."""
    described = folder / "photos.binpb"
    described.write_bytes(description())
    arguments = ["--db", "memory:", "--containers", f"{CONTAINER}={described}", "--listen", "127.0.0.1:0"]
    command = [sys.executable, "-m", "recordlayer_server.main", *arguments, "--log-format", "json", *flags]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None, "it was asked for"
    try:
        for line in process.stderr:
            told = json.loads(line)
            if told["event"] == "listening":
                break
        else:
            raise AssertionError("the server ended before it listened")
        reading = threading.Thread(target=process.stderr.read)  # a full pipe would hold the server up
        reading.start()
        try:
            yield process, str(told["address"])
        finally:
            process.kill()
            reading.join()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
