"""What differs between the two facades of the client: channels, waiting, and streams in both directions."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from grpc import aio as grpc_aio

from recordlayer.client.addresses import Address


class AsyncTransport:
    """A channel of the running event loop."""

    def __init__(self, address: Address) -> None:
        self.channel = address.channel(grpc_aio)

    def lock(self) -> Any:
        """One at a time, as a context."""
        return asyncio.Lock()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def stream(self, method: Any, requests: Sequence[Any], metadata: Any) -> Any:
        """A call of a stream in both directions that stays open behind its requests, until it is cancelled."""
        call = method(metadata=metadata)
        for request in requests:
            await call.write(request)
        return call

    async def close(self) -> None:
        await self.channel.close()


class Transport:
    """A channel of any thread."""

    def __init__(self, address: Address) -> None:
        self.channel = address.channel(grpc)

    def lock(self) -> Any:
        return threading.Lock()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def stream(self, method: Any, requests: Sequence[Any], metadata: Any) -> Any:
        ended = threading.Event()

        def sending() -> Iterator[Any]:
            yield from requests
            ended.wait()

        call = method(sending(), metadata=metadata)
        if not call.add_callback(ended.set):  # it has ended already
            ended.set()
        return call

    def close(self) -> None:
        self.channel.close()
