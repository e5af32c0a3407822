"""One webhook: its next notification is made and kept, sent, sent again later and later until it is answered well, and
then forgotten for the one after it. Everything that is known stands in the database, so whoever goes on goes on there.

Each step is a transaction that has found the webhook to be this server's. What was sent, and answered by nobody before
the server died, is sent again: receivers know it by its id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

from google.rpc import code_pb2

from recordlayer import Retry
from recordlayer.aio import Transaction
from recordlayer.aio.feed import FeedWatch
from recordlayer.errors import RecordLayerError, StoreMoved
from recordlayer_server import logs, statuses
from recordlayer_server.call import Asked, Authority
from recordlayer_server.config import Hooks
from recordlayer_server.databases import Databases
from recordlayer_server.pb import subscriptions_pb2 as stored
from recordlayer_server.places import Tenant, label
from recordlayer_server.subscriptions import catalog
from recordlayer_server.subscriptions.looking import changed, look, move
from recordlayer_server.webhooks import outbox, registry
from recordlayer_server.webhooks.addresses import parse
from recordlayer_server.webhooks.posting import Answer, Poster, Undeliverable
from recordlayer_server.webhooks.registry import Hook

_RETRY = Retry(time=timedelta(seconds=30), idempotent=True)
_TROUBLE = 5.0
"""Seconds until a database that is away is tried again."""
_QUICK = 2.0
"""Seconds: who takes longer to answer is slow."""
_SLEEP = 60.0
"""Seconds between two looks at a subscription that waits for its time, or cannot be looked at."""
_GONE = 410
_RECEIVE = "/recordlayer.v1.Subscriptions/Receive"
_FORBIDDEN = "who made it, or has resumed it last, may not read this any more: somebody who may has to resume it"


class Slots:
    """How many notifications are sent at once: so many to receivers that answered soon the last time, as many to all
    others, and of each database a few in either. So receivers that answer late, or never, wait for each other and hold
    up nobody else, and a database with many of them holds up itself."""

    def __init__(self, most: int, *, per_database: int = 8) -> None:
        self._lanes = {False: asyncio.Semaphore(most), True: asyncio.Semaphore(most)}
        self._per_database = per_database
        self._databases: WeakValueDictionary[tuple[Tenant, bool], asyncio.Semaphore] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def one(self, tenant: Tenant, *, slow: bool) -> AsyncIterator[None]:
        own = self._databases.get((tenant, slow))
        if own is None:
            own = self._databases[tenant, slow] = asyncio.Semaphore(self._per_database)
        async with own, self._lanes[slow]:
            yield


@dataclass(frozen=True, slots=True)
class _Waits:
    """Nothing is to be sent; more may come."""

    watch: FeedWatch | None


@dataclass(frozen=True, slots=True)
class _Due:
    """A notification is to be sent."""

    address: str
    delivery: stored.Delivery


@dataclass(frozen=True, slots=True)
class _Moved:
    """There may be more to do at once."""


@dataclass(frozen=True, slots=True)
class _Forbidden:
    """It must not be told what there is to tell."""


_Step = _Waits | _Due | _Moved | _Forbidden | None
"""None: it is over here."""


class Delivering:
    """The work for one webhook, until it is over or this server is to leave it.

    server     the id of this one
    lives      whether its lease runs
    authority  what those may read who made webhooks
    clock      seconds since 1970
    """

    def __init__(
        self,
        databases: Databases,
        hook: Hook,
        poster: Poster,
        slots: Slots,
        *,
        server: str,
        lives: Callable[[], bool],
        hooks: Hooks,
        authority: Authority,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.hook = hook
        self.leaving = asyncio.Event()
        """Set it to have the work end behind what is being sent."""
        self.failing = False
        self._databases = databases
        self._poster = poster
        self._slots = slots
        self._server = server
        self._lives = lives
        self._hooks = hooks
        self._authority = authority
        self._clock = clock
        self._slow = False

    async def run(self) -> None:
        """Work for it. Comes back when it is not this server's any more, is disabled or gone, or `leaving` is set."""
        while not self.leaving.is_set():
            try:
                step = await self._run(self._advance)
                if step is None:
                    return
                if isinstance(step, _Due):
                    await self._send(step)
                elif isinstance(step, _Forbidden):
                    await self._disable(_FORBIDDEN)
                    return
                elif isinstance(step, _Waits):
                    await self._until(changed(step.watch, self._databases.limits))
            except statuses.Refusal as refused:
                if refused.status.code == code_pb2.INVALID_ARGUMENT:
                    await self._disable(f"it does not fit the schema any more: {refused.status.message}")
                    return
                self._say(logging.INFO, "a webhook waits", reason=refused.status.message)
                await self._rest(_SLEEP)
            except StoreMoved:
                return  # it is served where its database is now
            except RecordLayerError as error:
                self._say(logging.WARNING, "a webhook waits for its database", error=error.code)
                await self._rest(_TROUBLE)

    # -- steps, each a transaction

    async def _run(self, work: Callable[[Transaction], Awaitable[_Step]]) -> _Step:
        return await self._databases.worker(self.hook.tenant).run(work, retry=_RETRY)

    async def _mine(self, tx: Transaction) -> tuple[stored.Subscription, stored.Delivery] | None:
        """The subscription and how its webhook does, if it is there, is not disabled, and is this server's."""
        if await registry.owner(tx, self.hook) != self._server:
            return None
        tenant, name = self.hook
        seen = await catalog.found(self._databases, tx, tenant, name)
        delivery = await outbox.load(self._databases, tx, tenant, name)
        if seen is None or delivery is None or delivery.disabled:
            await registry.remove(tx, self.hook)
            return None
        return seen, delivery

    async def _advance(self, tx: Transaction) -> _Step:
        """What there is to do. Makes the next notification if none waits and there is something to tell."""
        mine = await self._mine(tx)
        if mine is None:
            return None
        seen, delivery = mine
        if not self._may_read(seen):
            return _Forbidden()
        address = catalog.shown(seen).webhook.address
        if delivery.HasField("pending"):
            return _Due(address, delivery)
        databases, tenant = self._databases, self.hook.tenant
        found = await look(databases, tx, tenant, seen, most=databases.limits.events_per_notification)
        if not found.moved:
            return _Waits(found.watch)
        await move(databases, tx, tenant, found)
        if not found.events and not found.lost:
            return _Moved()
        await outbox.put(databases, tx, tenant, delivery, found.events, lost=found.lost)
        return _Due(address, delivery)

    def _may_read(self, seen: stored.Subscription) -> bool:
        """Whether the one whose webhook it is might be told the same on a stream just now."""
        who = catalog.receiver_of(seen)
        if who is None:
            return True
        zone = catalog.group_of(catalog.shown(seen))
        try:
            self._authority.check(Asked(who, self.hook.tenant, () if zone is None else (zone,), _RECEIVE))
        except statuses.Refusal:
            return False
        return True

    # -- sending

    async def _send(self, due: _Due) -> None:
        """Send what is due, when it is, and keep what came of it."""
        delivery, tenant = due.delivery, self.hook.tenant
        left = outbox.due_in(delivery, self._clock())
        if left > 0:
            await self._rest(min(left, _SLEEP))
            return
        async with self._slots.one(tenant, slow=self._slow or delivery.attempts > 0):
            if not self._lives() or self.leaving.is_set():
                return
            begun = time.monotonic()
            answer, reason = await self._posted(due)
            self._slow = time.monotonic() - begun > _QUICK
        if reason:
            self._say(logging.INFO, "a webhook fails", reason=reason, attempts=delivery.attempts + 1)
        self.failing = bool(reason)

        async def settle(tx: Transaction) -> _Step:
            mine = await self._mine(tx)
            if mine is None or mine[1].number != delivery.number or not mine[1].HasField("pending"):
                return _Moved()  # somebody else has gone on with it
            now, kept = self._clock(), mine[1]
            if not reason:
                await outbox.delivered(self._databases, tx, tenant, kept, now)
            elif answer is not None and answer.status == _GONE:
                await outbox.disable(self._databases, tx, tenant, kept, now, "it answered 410: it is gone")
            else:
                wait = None if answer is None else answer.retry_after
                await outbox.failed(self._databases, tx, tenant, kept, now, reason=reason, wait=wait, hooks=self._hooks)
            if kept.disabled:
                tx.after_commit(self._was_disabled(kept.reason))
            return _Moved()

        await self._run(settle)

    async def _posted(self, due: _Due) -> tuple[Answer | None, str]:
        """The answer, and what is wrong with it; "" if it is a good one."""
        headers = outbox.signed(due.delivery, self._clock())
        try:
            answer = await self._poster.post(parse(due.address), headers, due.delivery.pending)
        except (Undeliverable, ValueError) as error:
            return None, str(error)
        if 200 <= answer.status < 300:
            return answer, ""
        redirects = ", and redirects are not followed" if 300 <= answer.status < 400 else ""
        return answer, f"it answered {answer.status}{redirects}"

    async def _disable(self, reason: str) -> None:
        async def work(tx: Transaction) -> _Step:
            mine = await self._mine(tx)
            if mine is not None:
                await outbox.disable(self._databases, tx, self.hook.tenant, mine[1], self._clock(), reason)
                await registry.remove(tx, self.hook)
                tx.after_commit(self._was_disabled(reason))
            return None

        await self._run(work)

    def _was_disabled(self, reason: str) -> Callable[[], Awaitable[None]]:
        async def say() -> None:
            self._say(logging.WARNING, "a webhook was disabled", reason=reason)

        return say

    # -- waiting

    async def _rest(self, seconds: float) -> None:
        await self._until(asyncio.sleep(seconds * random.uniform(0.9, 1.1)))

    async def _until(self, wait: Awaitable[None]) -> None:
        """Wait, but not when it is to leave."""
        waits = [asyncio.ensure_future(wait), asyncio.ensure_future(self.leaving.wait())]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if waits[0] in done:
            waits[0].result()

    def _say(self, level: int, event: str, **values: Any) -> None:
        tenant, name = self.hook
        logs.write(logs.server, level, event, tenant=label(tenant), subscription=name, **values)
