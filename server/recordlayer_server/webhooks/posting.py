"""One POST over TLS, to an address that was looked up once: what was judged is what is connected to.

A name that is resolved to something else a moment later changes nothing, redirects are not followed, and no more is
read of an answer than its head. Connections are not kept.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from recordlayer_server.webhooks.addresses import HookAddress, Ip, is_public

TIMEOUT = timedelta(seconds=15)
_CONNECTING = 5.0
_MOST_HEAD = 16 << 10
_MOST_INTERIM = 5  # answers such as 103 before the one that counts
_MOST_ADDRESSES = 4

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The IP addresses of a host, as text.  Raises  OSError."""


class Undeliverable(Exception):
    """A request was not answered; the text says why, for who owns the webhook: nothing in it tells of the server's own
    network."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said. `retry_after`: seconds, None if it did not say so."""

    status: int
    retry_after: float | None = None


class Poster:
    """Sends requests.

    private  hosts that are not on the public internet may be reached too
    context  which certificates are believed; those of the system without it
    resolve  how names are looked up; by threads of its own without it, so that slow name servers hold up nothing else
    """

    def __init__(
        self,
        *,
        private: bool = False,
        context: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
        threads: int = 64,
        timeout: timedelta = TIMEOUT,
    ) -> None:
        self._private = private
        self._context = ssl.create_default_context() if context is None else context
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="webhook-names") if resolve is None else None
        self._resolve = self._look_up if resolve is None else resolve
        self._timeout = timeout.total_seconds()

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def post(self, address: HookAddress, headers: Mapping[str, str], body: bytes) -> Answer:
        """Raises  Undeliverable."""
        try:
            async with asyncio.timeout(self._timeout):
                targets = await self._targets(address)
                return await self._exchange(address, targets, _request(address, headers, body))
        except TimeoutError:
            raise Undeliverable(f"no answer within {self._timeout:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise Undeliverable(f"its certificate is not good: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise Undeliverable(f"no TLS: {error.reason or 'the handshake failed'}") from error
        except ConnectionRefusedError:
            raise Undeliverable("the connection was refused") from None
        except asyncio.LimitOverrunError:
            raise Undeliverable(f"its answer has a head of more than {_MOST_HEAD} bytes") from None
        except (OSError, EOFError):
            raise Undeliverable("the connection failed, or ended before the answer") from None

    async def _targets(self, address: HookAddress) -> list[Ip]:
        """The addresses to connect to, all of them judged."""
        literal = address.literal
        found: list[Ip] = []
        if literal is not None:
            found = [literal]
        else:
            try:
                found = [ipaddress.ip_address(one) for one in await self._resolve(address.host, address.port)]
            except (OSError, ValueError, UnicodeError):
                found = []
        if not found:
            raise Undeliverable("its host is not known")
        if not self._private and not all(map(is_public, found)):
            raise Undeliverable("its host is not on the public internet")
        return list(dict.fromkeys(found))[:_MOST_ADDRESSES]

    async def _look_up(self, host: str, port: int) -> list[str]:
        def look_up() -> list[str]:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return [str(row[4][0]) for row in rows]

        return await asyncio.get_running_loop().run_in_executor(self._threads, look_up)

    async def _exchange(self, address: HookAddress, targets: Sequence[Ip], request: bytes) -> Answer:
        reader, writer = await self._connected(address, targets)
        try:
            writer.write(request)
            await writer.drain()
            return await _answer(reader)
        finally:
            writer.transport.abort()  # nothing is left to say, and who does not say goodbye is not waited for

    async def _connected(
        self, address: HookAddress, targets: Sequence[Ip]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the first of the addresses that takes one; the certificate is for the host's name."""
        last: OSError = ConnectionRefusedError()
        for target in targets:
            try:
                async with asyncio.timeout(_CONNECTING):
                    return await asyncio.open_connection(
                        str(target), address.port, ssl=self._context, server_hostname=address.host, limit=_MOST_HEAD
                    )
            except ssl.SSLError:
                raise
            except OSError as error:  # TimeoutError is one
                last = error
        raise last


def _request(address: HookAddress, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [
        f"POST {address.target} HTTP/1.1",
        f"host: {address.name}",
        "user-agent: recordlayer-webhooks/1",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


async def _answer(reader: asyncio.StreamReader) -> Answer:
    """Raises  Undeliverable, EOFError, LimitOverrunError."""
    for _ in range(_MOST_INTERIM):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        version, _, rest = head[0].partition(" ")
        code = rest[:3]
        if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit() and len(code) == 3):
            raise Undeliverable("its answer is not HTTP")
        if code.startswith("1"):
            continue
        fields = (line.partition(":") for line in head[1:])
        after = [value.strip() for name, _, value in fields if name.strip().lower() == "retry-after"]
        wait = float(after[0]) if after and after[0].isascii() and after[0].isdigit() and len(after[0]) < 10 else None
        return Answer(int(code), wait)
    raise Undeliverable("its answer does not come to an end")
