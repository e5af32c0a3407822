"""What differs between the two facades of the client: channels, waiting, and streams in both directions."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from typing import Any

import grpc
from grpc import aio as grpc_aio

from recordlayer.client.addresses import Address


class AsyncConversation:
    """A call with a stream in both directions. It stays open until it is ended, or cancelled."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def send(self, request: Any) -> None:
        """Send a request. What has happened to a call that is over is told by `receive`."""
        try:
            await self._call.write(request)
        except (grpc.RpcError, asyncio.InvalidStateError):
            pass

    async def receive(self) -> Any:
        """The next reply; None when the server has ended the call.  Raises  grpc.RpcError"""
        reply = await self._call.read()
        return None if reply is grpc_aio.EOF else reply

    async def end(self) -> None:
        """Say that no more requests come."""
        try:
            await self._call.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError):
            pass

    def cancel(self) -> None:
        self._call.cancel()


class Conversation:
    """The same for any thread."""

    def __init__(self, requests: queue.SimpleQueue[Any], call: Any) -> None:
        self._requests = requests
        self._call = call
        call.add_callback(self.end)  # or the thread that sends would wait for ever

    def send(self, request: Any) -> None:
        self._requests.put(request)

    def receive(self) -> Any:
        return next(self._call, None)

    def end(self) -> None:
        self._requests.put(None)

    def cancel(self) -> None:
        self._call.cancel()


class AsyncTransport:
    """A channel of the running event loop."""

    def __init__(self, address: Address) -> None:
        self.channel = address.channel(grpc_aio)

    def lock(self) -> Any:
        """One at a time, as a context."""
        return asyncio.Lock()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def converse(self, method: Any, **said: Any) -> AsyncConversation:
        """A call with a stream in both directions."""
        return AsyncConversation(method(**said))

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

    def converse(self, method: Any, **said: Any) -> Conversation:
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        return Conversation(requests, method(iter(requests.get, None), **said))

    def close(self) -> None:
        self.channel.close()
