"""Who receives webhooks: a small server with TLS in the test's own event loop, which answers as the test says."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from recordlayer.client import webhooks
from recordlayer.client.pb.subscriptions_pb2 import Notification
from tests.support.certificates import Authority

HANGS = 0
"""An answer that does not come."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One request: its path, its headers, its body, and how it was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int


class Receiver:
    """Answers each path with what `answers` has for it, one after the other, then with 200."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: dict[str, deque[int]] = {}
        self.taken: list[Taken] = []
        self.connections = 0
        self._more = asyncio.Event()

    def address(self, path: str = "/hook", *, host: str = "localhost") -> str:
        return f"https://{host}:{self.port}{path}"

    async def until(self, enough: Callable[[list[Taken]], bool], path: str = "") -> list[Taken]:
        """The requests to a path, or to all, once there are enough of them."""
        while True:
            self._more.clear()
            found = [one for one in self.taken if path in ("", one.path)]
            if enough(found):
                return found
            await self._more.wait()

    async def told(self, count: int, secret: str, path: str = "/hook") -> list[str]:
        """So many events, of the notifications that were answered well; as `shown` has them."""

        def enough(taken: list[Taken]) -> bool:
            return len(events(taken)) >= count

        def events(taken: list[Taken]) -> list[str]:
            done: dict[str, Notification] = {}
            for one in taken:
                if one.status == 200:
                    told = webhooks.verify(one.headers, one.body, secret)
                    done.setdefault(told.id, told)
            return [shown(event) for told in done.values() for event in told.events]

        return events(await self.until(enough, path))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(headers["content-length"]))
            path = head[0].split(" ")[1]
            waiting = self.answers.get(path)
            status = waiting.popleft() if waiting else 200
            self.taken.append(Taken(path, headers, body, status))
            self._more.set()
            if status == HANGS:
                await asyncio.Event().wait()
            more = f"location: {self.address('/elsewhere')}\r\n" if 300 <= status < 400 else ""
            writer.write(f"HTTP/1.1 {status} As Told\r\n{more}content-length: 0\r\n\r\n".encode())
            await writer.drain()
        except (OSError, EOFError):
            pass  # the sender has gone
        finally:
            writer.transport.abort()


@asynccontextmanager
async def receiving(authority: Authority, *, host: str = "localhost") -> AsyncIterator[Receiver]:
    """A receiver on a free port of this machine, with a certificate for a host's name."""
    pair = authority.issue(host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    made: list[Receiver] = []
    tasks: set[asyncio.Task[Any]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(made[0].serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    made.append(Receiver(server.sockets[0].getsockname()[1]))
    try:
        yield made[0]
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def shown(event: Any) -> str:
    """An event in a word: a deletion has a "-" before its name, who left a query a "<"."""
    kinds = {event.SAVED: "", event.DELETED: "-", event.CLEARED: "all of ", event.LEFT: "<"}
    return str(kinds[event.kind] + (event.name.name or event.name.zone.name))
