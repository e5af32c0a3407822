"""The webhooks that this server serves: taken when they fall to it and nobody who lives has them, given up when they
fall to another. Where one has died others follow as soon as its lease has run out.

Cost  every two seconds 2 reads and 1 range read, however many webhooks there are; 1 read and 1 write for each that
      changes hands; all of them read when some were added or taken away
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Collection
from datetime import timedelta

from recordlayer.aio import Transaction
from recordlayer.errors import RecordLayerError
from recordlayer_server import logs
from recordlayer_server.call import Authority, Everybody
from recordlayer_server.config import Hooks
from recordlayer_server.databases import Databases
from recordlayer_server.schemas import rollout
from recordlayer_server.webhooks import registry
from recordlayer_server.webhooks.delivering import Delivering, Slots
from recordlayer_server.webhooks.posting import Poster
from recordlayer_server.webhooks.registry import Hook

LOOK = timedelta(seconds=2)
_AT_ONCE = 32  # that are taken


def poster_of(hooks: Hooks) -> Poster:
    """Sends as the settings say."""
    context = ssl.create_default_context()
    if hooks.ca is not None:
        context.load_verify_locations(hooks.ca)
    return Poster(private=hooks.private, context=context, threads=2 * hooks.sends)


class Dispatch:
    """Serves what falls to this server, while `run` runs. The server's lease has to be renewed by others.

    authority  what callers may read: asked before each notification; None: everybody may everything
    """

    def __init__(
        self,
        databases: Databases,
        hooks: Hooks,
        poster: Poster,
        *,
        authority: Authority | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authority = authority if authority is not None else Everybody()
        self._databases = databases
        self._instance = databases.instance
        self._poster = poster
        self._slots = Slots(hooks.sends)
        self._hooks = hooks
        self._clock = clock
        self._changes: int | None = None
        self._living: frozenset[str] = frozenset()
        self._known: dict[Hook, str] = {}
        """All webhooks, and who had them when they were looked at."""
        self._falling: set[Hook] = set()
        """Those that this server is to serve."""
        self._works: dict[Hook, tuple[Delivering, asyncio.Task[None]]] = {}

    @property
    def served(self) -> int:
        """How many webhooks this server serves."""
        return len(self._works)

    @property
    def failing(self) -> int:
        """Those of them whose last attempt failed."""
        return sum(work.failing for work, _ in self._works.values())

    async def run(self, *, every: timedelta = LOOK) -> None:
        """Look, until it is cancelled. What was being sent then is sent again by who comes next."""
        try:
            while True:
                try:
                    await self.look()
                except RecordLayerError as error:
                    logs.write(logs.server, logging.WARNING, "webhooks wait for the database", error=error.code)
                await asyncio.sleep(every.total_seconds())
        finally:
            await self._leave(list(self._works))
            self._poster.close()

    async def look(self) -> None:
        """Take and give up what falls to this server and to others."""
        if not self._instance.lives:  # others may have taken everything
            await self._leave(list(self._works))
            return
        me = self._instance.id
        changes, living = await self._databases.database.run(self._seen)
        if changes != self._changes:
            self._known = await registry.all_hooks(self._databases.database)
            await self._leave([hook for hook in self._works if self._known.get(hook) != me])
        if (changes, living) != (self._changes, self._living):
            self._changes, self._living = changes, living
            self._falling = {hook for hook in self._known if living and registry.falls_to(hook, living) == me}
        for hook in [hook for hook, (_, task) in self._works.items() if task.done()]:
            await self._ended(hook)
        for hook in self._works.keys() - self._falling:
            self._works[hook][0].leaving.set()  # and it is given up when it has ended
        wanted = sorted(self._falling - self._works.keys())
        for at in range(0, len(wanted), _AT_ONCE):
            await asyncio.gather(*map(self._take, wanted[at : at + _AT_ONCE]))

    async def _take(self, hook: Hook) -> None:
        """Begin to serve a webhook that falls to this server, if nobody who lives has it."""
        me = self._instance.id
        has = await self._databases.database.run(lambda tx: registry.take(tx, hook, me, self._living))
        if has == me:
            self._known[hook] = me
            self._begin(hook)

    async def _seen(self, tx: Transaction) -> tuple[int, frozenset[str]]:
        """The number of changes, and the servers that live and serve webhooks."""
        rows = await rollout.instances(await rollout.opened(tx), after=self._instance.now)
        return await registry.changes(tx), frozenset(row.id for row in rows if row.webhooks)

    def _begin(self, hook: Hook) -> None:
        work = Delivering(
            self._databases,
            hook,
            self._poster,
            self._slots,
            server=self._instance.id,
            lives=lambda: self._instance.lives,
            hooks=self._hooks,
            authority=self._authority,
            clock=self._clock,
        )
        self._works[hook] = work, asyncio.create_task(work.run())

    async def _ended(self, hook: Hook) -> None:
        """The work for a webhook has come to its end: it is gone, disabled, another server's, or left to one."""
        work, task = self._works.pop(hook)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logs.write(logs.server, logging.ERROR, "the work for a webhook failed", traceback_of=error)
        if work.leaving.is_set():
            await self._databases.database.run(lambda tx: registry.give_up(tx, hook, self._instance.id))

    async def _leave(self, hooks: Collection[Hook]) -> None:
        """End the work for some at once."""
        tasks = [self._works.pop(hook)[1] for hook in hooks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
