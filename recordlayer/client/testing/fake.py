"""A server for your own tests: the real one, in a process of its own, over a database in its memory.

    @pytest.fixture(scope="session")
    def shop():
        with fake({"shop": SHOP}) as server:            # takes about a second, once
            yield server

    def test_an_order_is_kept(shop):
        with shop.client() as client:                   # a database that nobody has used before
            client.zone().save(Order(id=1), name="o1")

There is nothing in it that a server of yours would not do: records are kept, indexed, queried and watched by the same
code. The process ends with the block, and with the process that started it, however that ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recordlayer.client import aio, blocking
from recordlayer.errors import ServerEnded, UsageError

if TYPE_CHECKING:
    from recordlayer.metadata import RecordMetaData

_SERVER = """
import os, runpy, sys, threading
def end_with_the_parent():
    sys.stdin.read()  # ends when nobody holds the other end of the pipe
    os._exit(0)
threading.Thread(target=end_with_the_parent, daemon=True).start()
runpy.run_module("recordlayer_server.main", run_name="__main__", alter_sys=True)
"""

NEW = "a database of its own"
"""As `user`: a private database that nobody has used before."""


class FakeServer:
    """A server that runs, and can be stopped and started again. `fake` makes one.

    url  where it listens, the same after it was started again: grpcs:// if the flags give it a certificate
    """

    def __init__(self, containers: Sequence[str], command: Sequence[str]) -> None:
        self.containers = tuple(containers)
        self.url = ""
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._reading: threading.Thread | None = None
        self._said: deque[str] = deque(maxlen=20)

    @property
    def pid(self) -> int:
        """Of its process; 0 while it is stopped."""
        return 0 if self._process is None else self._process.pid

    def client(self, container: str | None = None, *, user: str | None = NEW, **said: Any) -> blocking.Client:
        """A blocking client of a database: by default a private one that is empty, and the first container's. `said` is
        passed on to `connect`; user=None is the container's public database."""
        return blocking.connect(self.url, container=container or self.containers[0], user=_named(user), **said)

    def aio_client(self, container: str | None = None, *, user: str | None = NEW, **said: Any) -> aio.Client:
        """The same for asyncio; call it where the event loop runs."""
        return aio.connect(self.url, container=container or self.containers[0], user=_named(user), **said)

    def start(self) -> None:
        """Start it, and wait until it listens; after `stop` at the same address.

        Raises  ServerEnded, with the last that it said
        """
        if self._process is not None:
            raise UsageError(what="a server that runs was to be started", hint="stop it first")
        listen = self.url.partition("://")[2] or "127.0.0.1:0"
        command = [sys.executable, "-c", _SERVER, *self._command, "--listen", listen, "--log-format", "json"]
        self._said.clear()
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None, "it was asked for"
        for line in self._process.stderr:
            self._said.append(line)
            if (url := _listening(line)) is not None:
                self.url = url
                break
        else:
            status = self._process.wait()
            self._forget()
            raise ServerEnded(status=status, said="".join(self._said))
        self._reading = threading.Thread(target=self._said.extend, args=(self._process.stderr,))
        self._reading.start()  # a full pipe would hold the server up

    def stop(self) -> None:
        """Kill it, as a power cut would: who waits for an answer gets none. What was in memory is gone; with
        `db="file:..."` what was committed is there when it is started again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._forget()

    def _forget(self) -> None:
        assert self._process is not None
        if self._reading is not None:
            self._reading.join()
            self._reading = None
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                pipe.close()
        self._process = None


def _named(user: str | None) -> str | None:
    return uuid.uuid4().hex if user is NEW else user


def _listening(line: str) -> str | None:
    """Where it listens, if a line of the log is the one that says it."""
    try:
        told = json.loads(line)
    except ValueError:  # not of the log: an error, a warning of Python
        return None
    if told.get("event") != "listening":
        return None
    return f"{'grpcs' if told.get('tls') else 'grpc'}://{told['address']}"


@contextmanager
def fake(
    containers: Mapping[str, RecordMetaData | bytes | Path], *, db: str = "memory:", flags: Sequence[str] = ()
) -> Iterator[FakeServer]:
    """A server of these containers, each with its metadata, or with what `recordlayer-server --containers` takes: a
    FileDescriptorSet or a MetaData message, as bytes or in a file.

    db     the database; "file:PATH" keeps what is committed while the server is stopped
    flags  more settings, as on the command line: ["--deletions-kept", "1h"]

    Raises  UsageError without a container; ServerEnded where it does not come up, for want of the extra `server` too
    """
    if not containers:
        raise UsageError(what="a fake server without a container", hint='fake({"shop": SHOP})')
    with tempfile.TemporaryDirectory(prefix="recordlayer-fake-") as folder:
        command = ["--db", db]
        described = []
        for number, (name, content) in enumerate(containers.items()):
            if not isinstance(content, Path):
                kept = Path(folder) / f"{number}.binpb"
                kept.write_bytes(content if isinstance(content, bytes) else content.to_bytes())
                content = kept
            described.append(f"{name}={content}")
        server = FakeServer(list(containers), [*command, "--containers", ",".join(described), *flags])
        server.start()
        try:
            yield server
        finally:
            server.stop()
