"""One stream that tells what one subscription has to tell: a page of changes, its acknowledgement, the next page.

The place is moved by the acknowledgement, in a transaction that finds it where the page began. So nothing is passed by,
and who acknowledges late or on two streams is told again. Nothing waits in memory but one page.

Cost    a look: 1 read of the subscription and those of a page of the feed; 1 watch while there is nothing to tell
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

from google.rpc import code_pb2

from recordlayer.aio import Transaction
from recordlayer.aio.feed import FeedWatch
from recordlayer.client.pb import context_pb2, subscriptions_pb2
from recordlayer.errors import FeedMissing, FeedTokenExpired, Overloaded, TooManyWatches
from recordlayer_server import statuses
from recordlayer_server.call import Call
from recordlayer_server.databases import Databases
from recordlayer_server.pb import subscriptions_pb2 as stored
from recordlayer_server.places import Tenant
from recordlayer_server.replies import reading
from recordlayer_server.subscriptions import catalog
from recordlayer_server.subscriptions.matching import Event, events_of
from recordlayer_server.sync.pulses import POLL
from recordlayer_server.writing import writing

Reply = subscriptions_pb2.ReceiveReply


@dataclass(frozen=True, slots=True)
class _Look:
    """What a subscription has to tell. `place` is behind it; `moved`: there were changes, told or not."""

    seen: stored.Subscription
    place: bytes
    events: list[Event]
    lost: bool
    moved: bool
    version: int
    watch: FeedWatch | None


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
                look = await self._look()
                if look.events or look.lost:
                    begun, number = True, number + 1
                    context = context_pb2.ReplyContext(read_version=look.version)
                    yield Reply(context=context, number=number, events=look.events, lost=look.lost)
                    await asyncio.wait((asking, ending), return_when=asyncio.FIRST_COMPLETED)
                    if not asking.done():
                        return
                    request = asking.result()
                    if request is None:
                        return
                    if request.WhichOneof("kind") != "acknowledge" or request.acknowledge != number:
                        raise statuses.bad_request("acknowledge", f"{number}: the number of the last notification")
                    asking = asyncio.ensure_future(self._next())
                if look.moved:
                    await self._move(look)
                    continue
                if not begun:
                    begun = True
                    yield Reply(context=context_pb2.ReplyContext(read_version=look.version))
                if not await self._wait(look, asking, ending):
                    return
        finally:
            asking.cancel()
            ending.cancel()

    async def _next(self) -> subscriptions_pb2.ReceiveRequest | None:
        return await anext(self.coming, None)

    async def _wait(self, look: _Look, asking: asyncio.Future[Any], ending: asyncio.Future[Any]) -> bool:
        """Wait for a change, and whether the stream goes on.  Raises  Refusal for what nobody asked."""
        waiting = asyncio.ensure_future(self._changed(look.watch))
        try:
            await asyncio.wait((waiting, asking, ending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            if look.watch is not None:
                look.watch.cancel()
        if asking.done() and asking.result() is not None:
            raise statuses.bad_request("acknowledge", "nothing waits to be acknowledged")
        return not asking.done() and not ending.done()

    async def _changed(self, watch: FeedWatch | None) -> None:
        """The watch is a hint and may be lost: a look comes in any case after a while."""
        try:
            if watch is not None:
                await watch.wait(self.databases.limits.progress_interval)
                return
        except (TooManyWatches, Overloaded):
            pass
        await asyncio.sleep(POLL.total_seconds())

    async def _look(self) -> _Look:
        limits = self.databases.limits

        async def work(tx: Transaction) -> _Look:
            seen = await catalog.found(self.databases, tx, self.tenant, self.id)
            if seen is None:
                self.call.permit()
                raise statuses.not_found("subscription", self.id)
            said = catalog.shown(seen)
            zone = catalog.group_of(said)
            self.call.permit(() if zone is None else (zone,))  # what callers may do changes while they listen
            version = await tx.read_version()
            store = await self.databases.records(tx, self.tenant)
            metadata = await self.databases.metadata(tx, self.tenant)
            if store is None or metadata is None or store.feed.settings is None:
                raise statuses.refusal(code_pb2.FAILED_PRECONDITION, "NOT_SYNCED", "this database keeps no changes")
            try:
                page = await store.feed.changes(
                    since=seen.place, group=zone, coalesced=True, limit=limits.records_per_page
                )
            except (FeedTokenExpired, FeedMissing):
                return _Look(seen, await store.feed.now(group=zone), [], True, True, version, None)
            changes = list(page)
            events = events_of(said, changes, metadata, limits)
            moved = bool(changes) or page.more
            watch = None if moved else store.feed.watch(group=zone)
            return _Look(seen, page.token, events, False, moved, version, watch)

        return await reading(self.databases, self.call, work)

    async def _move(self, look: _Look) -> None:
        async def work(tx: Transaction) -> None:
            await catalog.move(self.databases, tx, self.tenant, look.seen, look.place)

        await writing(self.databases, self.call, work)
