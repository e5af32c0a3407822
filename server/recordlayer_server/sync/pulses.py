"""Who waits for changes of a zone: one watch of the engine for each zone that anybody here waits for, shared by all.

A pulse looks at its zone, says whether it has changed since it looked last, and waits until the engine's watch fires or
a while is over: a watch is a hint, may be lost, and there may be none. What it has seen is its mark. Who listens is
told of every change behind the mark that was there when it began to listen, so a listener that waits until the pulse is
ready, and reads then, misses nothing between its reading and the first word.

Cost    a look: 1 read of the zone and 3 of its feed, 2 watches; no listener reads anything to be told
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from google.rpc import code_pb2

from recordlayer.aio import Transaction
from recordlayer.aio.feed import FeedWatch
from recordlayer.errors import FeedTokenExpired, Overloaded, RecordLayerError, StoreLocked
from recordlayer_server import logs, statuses
from recordlayer_server.databases import Databases
from recordlayer_server.places import Tenant, label
from recordlayer_server.store_formats import can_keep_changes
from recordlayer_server.sync.tokens import Phase, ZoneToken
from recordlayer_server.sync.zone_changes import ZonePage
from recordlayer_server.zone_catalog import incarnations

POLL = timedelta(seconds=2)
"""Between two looks at a database that is not there yet, or cannot be watched or reached."""
_LOOKS = 16  # that run at once
_PAGES = 8  # that a pulse keeps for its listeners
_LARGEST_PAGE = 256 << 10


class Listener(Protocol):
    """Who is told."""

    def changed(self, pulse: Pulse) -> None:
        """The zone has changed, or may have. Must not raise."""
        ...

    def closed(self, error: StoreLocked) -> None:
        """Nobody may read the zone any more: its database is closed, or elsewhere. Must not raise."""
        ...


@dataclass(frozen=True, slots=True)
class Mark:
    """What a pulse has seen.

    incarnation  of the zone; None: it is not there
    feed         the library's token behind all of it; b"": the database keeps no changes yet
    version      the read version
    silent       nobody will hear of changes, whoever makes them
    """

    incarnation: int | None
    feed: bytes
    version: int
    silent: bool = False

    def token(self, zone: str) -> ZoneToken:
        """Where who has been told everything up to here goes on."""
        assert self.incarnation is not None, "nobody goes on in a zone that is not there"
        return ZoneToken(zone, self.incarnation, Phase.FOLLOW if self.feed else Phase.COPY, self.feed)


class Pulse:
    """The word of changes of one zone."""

    def __init__(self, databases: Databases, tenant: Tenant, zone: str, looks: asyncio.Semaphore) -> None:
        self.zone = zone
        self.tenant = tenant
        self.mark: Mark | None = None
        """None until it is ready."""
        self.before: Mark | None = None
        """The mark before the last change."""
        self.listeners: set[Listener] = set()
        self._databases = databases
        self._looks = looks
        self._pages: dict[Hashable, asyncio.Task[tuple[ZonePage, int]]] = {}
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        self._task.cancel()
        self._pages.clear()

    async def page(self, key: Hashable, read: Callable[[], Awaitable[tuple[ZonePage, int]]]) -> tuple[ZonePage, int]:
        """A page and its read version, read once for all listeners that ask for the same between two changes."""
        task = self._pages.get(key)
        if task is None:

            async def bounded() -> tuple[ZonePage, int]:
                async with self._looks:
                    return await read()

            task = asyncio.create_task(bounded())
            task.add_done_callback(lambda done: self._keep(key, done))
            if len(self._pages) < _PAGES:
                self._pages[key] = task
        return await asyncio.shield(task)

    def _keep(self, key: Hashable, done: asyncio.Task[tuple[ZonePage, int]]) -> None:
        failed = done.cancelled() or done.exception() is not None
        large = failed or sum(record.ByteSize() for record in done.result()[0].records) > _LARGEST_PAGE
        if large and self._pages.get(key) is done:
            del self._pages[key]

    async def _run(self) -> None:
        while True:
            watch: FeedWatch | None = None
            try:
                async with self._looks:
                    mark, changed, watch = await self._databases.worker(self.tenant).run(self._look)
                self._saw(mark, changed=changed)
                if watch is None:
                    await asyncio.sleep(POLL.total_seconds())
                else:
                    await watch.wait(self._databases.limits.progress_interval)
            except (RecordLayerError, statuses.Refusal) as error:
                code = getattr(error, "code", "refused")
                name = label(self.tenant)
                logs.write(logs.server, logging.WARNING, "a zone could not be watched", tenant=name, error=code)
                if isinstance(error, StoreLocked):
                    for listener in tuple(self.listeners):
                        listener.closed(error)
                await asyncio.sleep(POLL.total_seconds())
            finally:
                if watch is not None:
                    watch.cancel()

    def _saw(self, mark: Mark, *, changed: bool) -> None:
        self._pages.clear()
        last, self.mark = self.mark, mark
        if changed:
            self.before = last
            for listener in tuple(self.listeners):
                listener.changed(self)

    async def _look(self, tx: Transaction) -> tuple[Mark, bool, FeedWatch | None]:
        """What there is now, whether that is something else than at the last look, and a watch of it."""
        store = await self._databases.records(tx, self.tenant)
        incarnation = (await incarnations(self._databases, tx, self.tenant, [self.zone]))[self.zone]
        version, last = await tx.read_version(), self.mark
        if store is None or store.feed.settings is None:
            changed = last is None or last.incarnation != incarnation or bool(last.feed)
            silent = store is not None and not can_keep_changes(store)
            return Mark(incarnation, b"", version, silent), changed, None
        changed = True
        if last is not None and last.feed and last.incarnation == incarnation:
            try:
                page = await store.feed.changes(since=last.feed, group=self.zone, limit=1)
                changed = bool(page.changes) or page.more
            except FeedTokenExpired:
                changed = True  # who listens finds out what that means for it
        mark = Mark(incarnation, await store.feed.now(group=self.zone), version)
        return mark, changed, store.feed.watch(group=self.zone)


class Pulses:
    """The pulses of one server."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._looks = asyncio.Semaphore(_LOOKS)
        self._pulses: dict[tuple[Tenant, str], Pulse] = {}
        self._listening = 0
        self._by_database: Counter[Tenant] = Counter()

    @property
    def zones(self) -> int:
        """How many zones are watched."""
        return len(self._pulses)

    @property
    def listening(self) -> int:
        """How many listen to all of them."""
        return self._listening

    def join(self, tenant: Tenant, zone: str, listener: Listener) -> Pulse:
        """The pulse of a zone, which the listener hears from now on.  Raises  Refusal, Overloaded."""
        limits = self._databases.limits
        if self._by_database[tenant] >= limits.targets_per_database:
            text = f"this database is watched by {limits.targets_per_database} targets already"
            raise statuses.refusal(code_pb2.RESOURCE_EXHAUSTED, "THROTTLED", text, retry=5.0)
        if self._listening >= limits.targets_per_server:
            raise Overloaded(why="too many targets are watched", retry_after=timedelta(seconds=5))
        pulse = self._pulses.get((tenant, zone))
        if pulse is None:
            pulse = self._pulses[tenant, zone] = Pulse(self._databases, tenant, zone, self._looks)
        if listener not in pulse.listeners:
            pulse.listeners.add(listener)
            self._listening += 1
            self._by_database[tenant] += 1
        return pulse

    def leave(self, pulse: Pulse, listener: Listener) -> None:
        """The listener hears no more; a pulse that nobody hears ends."""
        if listener in pulse.listeners:
            pulse.listeners.discard(listener)
            self._listening -= 1
            self._by_database[pulse.tenant] -= 1
            if not self._by_database[pulse.tenant]:
                del self._by_database[pulse.tenant]
        if not pulse.listeners and self._pulses.pop((pulse.tenant, pulse.zone), None) is not None:
            pulse.close()
