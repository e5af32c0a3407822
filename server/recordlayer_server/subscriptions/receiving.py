"""One stream that tells what one subscription has to tell: a page of changes, its acknowledgement, the next page.

The place is moved by the acknowledgement, in a transaction that finds it where the page began. So nothing is passed by,
and who acknowledges late or on two streams is told again. Nothing waits in memory but one page.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

from recordlayer.aio import Transaction
from recordlayer.client.pb import context_pb2, subscriptions_pb2
from recordlayer_server import statuses
from recordlayer_server.call import Call
from recordlayer_server.databases import Databases
from recordlayer_server.places import Tenant
from recordlayer_server.replies import reading
from recordlayer_server.subscriptions import catalog
from recordlayer_server.subscriptions.looking import Look, changed, look, move
from recordlayer_server.writing import writing

Reply = subscriptions_pb2.ReceiveReply


@dataclass(slots=True)
class Receiving:
    """One stream of Receive."""

    databases: Databases
    call: Call
    tenant: Tenant
    id: str
    coming: AsyncIterator[subscriptions_pb2.ReceiveRequest]

    async def replies(self) -> AsyncGenerator[Reply, None]:
        """What goes out, until the caller or the server ends the stream.  Raises  Refusal."""
        number, begun = 0, False
        asking: asyncio.Future[subscriptions_pb2.ReceiveRequest | None] = asyncio.ensure_future(self._next())
        ending = asyncio.ensure_future(self.call.stopping.wait())
        try:
            while not ending.done():
                seen = await self._look()
                if seen.events or seen.lost:
                    begun, number = True, number + 1
                    context = context_pb2.ReplyContext(read_version=seen.version)
                    yield Reply(context=context, number=number, events=seen.events, lost=seen.lost)
                    await asyncio.wait((asking, ending), return_when=asyncio.FIRST_COMPLETED)
                    if not asking.done():
                        return
                    request = asking.result()
                    if request is None:
                        return
                    if request.WhichOneof("kind") != "acknowledge" or request.acknowledge != number:
                        raise statuses.bad_request("acknowledge", f"{number}: the number of the last notification")
                    asking = asyncio.ensure_future(self._next())
                if seen.moved:
                    await self._move(seen)
                    continue
                if not begun:
                    begun = True
                    yield Reply(context=context_pb2.ReplyContext(read_version=seen.version))
                if not await self._wait(seen, asking, ending):
                    return
        finally:
            asking.cancel()
            ending.cancel()

    async def _next(self) -> subscriptions_pb2.ReceiveRequest | None:
        return await anext(self.coming, None)

    async def _wait(self, seen: Look, asking: asyncio.Future[Any], ending: asyncio.Future[Any]) -> bool:
        """Wait for a change, and whether the stream goes on.  Raises  Refusal for what nobody asked."""
        waiting = asyncio.ensure_future(changed(seen.watch, self.databases.limits))
        try:
            await asyncio.wait((waiting, asking, ending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
        if asking.done() and asking.result() is not None:
            raise statuses.bad_request("acknowledge", "nothing waits to be acknowledged")
        return not asking.done() and not ending.done()

    async def _look(self) -> Look:
        async def work(tx: Transaction) -> Look:
            seen = await catalog.found(self.databases, tx, self.tenant, self.id)
            if seen is None:
                self.call.permit()
                raise statuses.not_found("subscription", self.id)
            zone = catalog.group_of(catalog.shown(seen))
            self.call.permit(() if zone is None else (zone,))  # what callers may do changes while they listen
            if catalog.shown(seen).HasField("webhook"):
                raise statuses.bad_request("open.id", "this subscription goes to its webhook")
            return await look(self.databases, tx, self.tenant, seen, most=self.databases.limits.records_per_page)

        return await reading(self.databases, self.call, work)

    async def _move(self, done: Look) -> None:
        async def work(tx: Transaction) -> None:
            await move(self.databases, tx, self.tenant, done)

        await writing(self.databases, self.call, work)
