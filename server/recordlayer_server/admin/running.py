"""What a server does about operations: it claims some that nobody owns, does them, and notes how far they are.

Every server of the database looks each second, and at once when an operation is started or changed through it. It does
a few at a time; what the library refuses for a while is tried again, and what it refuses for good has failed.

Cost    a look: 1 range read where nothing is to be done
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import timedelta
from functools import partial

from google.rpc import code_pb2, status_pb2

from recordlayer import Retry
from recordlayer.aio import Transaction
from recordlayer.errors import RecordLayerError
from recordlayer_server import logs, places, statuses
from recordlayer_server.admin import journal
from recordlayer_server.admin.doing import Doing
from recordlayer_server.admin.journal import Entry, Key, Shown
from recordlayer_server.databases import Databases
from recordlayer_server.schemas import rollout

LOOK = timedelta(seconds=1)
_AGAIN = Retry(idempotent=True)
_PARTING = timedelta(seconds=2)
"""For the operations that run here when the server stops to end their transactions."""


class Runner:
    """The operations that run on one server."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._running: dict[Key, tuple[Doing, asyncio.Task[None]]] = {}

    @property
    def _me(self) -> str:
        return self._databases.instance.id

    @property
    def running(self) -> int:
        """How many operations run here."""
        return len(self._running)

    async def run(self, *, every: timedelta = LOOK) -> None:
        """Look again and again, until it is cancelled; what runs then is left to others."""
        try:
            while True:
                try:
                    await self.look()
                except RecordLayerError as error:
                    logs.write(logs.server, logging.WARNING, "operations wait for the database", error=error.code)
                except Exception as error:  # of one look: others may go better, and what runs goes on
                    logs.write(logs.server, logging.ERROR, "a look at operations failed", traceback_of=error)
                due = self._databases.operations_due
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(every.total_seconds()):
                        await due.wait()
                due.clear()
        finally:
            await self._leave()

    async def look(self) -> None:
        """See what is due, heed what was asked of those that run here, note how far they are, and begin with more."""
        run = self._databases.database.run
        free: list[Key] = []
        entries = await run(journal.due)
        for entry in entries:
            here = self._running.get(entry.key)
            if here is None:
                free.append(entry.key)
            elif entry.row.owner == self._me:
                here[0].heed(entry)
            else:
                here[0].stop()
        for doing, _ in list(self._running.values()):
            if doing.changed and await run(journal.note(doing.key, self._me, doing.note), retry=_AGAIN) is None:
                doing.stop()  # another server took this one for dead
        if free and len(self._running) < self._databases.limits.operations_per_server:
            await self._begin(free, others=any(entry.row.owner not in ("", self._me) for entry in entries))

    async def _begin(self, keys: list[Key], *, others: bool) -> None:
        instance = self._databases.instance
        if not instance.lives:
            return  # what it owned, others would claim at once
        living = await self._databases.database.run(self._others) if others else frozenset[str]()
        for key in keys:
            if len(self._running) >= self._databases.limits.operations_per_server:
                return
            claim = journal.claim(key, self._me, living, instance.now)
            entry = await self._databases.database.run(claim, retry=_AGAIN)
            if entry is not None:
                doing = Doing(self._databases, entry)
                self._running[key] = doing, asyncio.create_task(self._do(doing, entry))
                _log(logging.INFO, "an operation begins", entry, starts=entry.shown.starts)

    async def _others(self, tx: Transaction) -> frozenset[str]:
        """The other servers that live."""
        living = await rollout.instances(await rollout.opened(tx), after=self._databases.instance.now)
        return frozenset(row.id for row in living) - {self._me}

    async def _do(self, doing: Doing, entry: Entry) -> None:
        status: status_pb2.Status | None = None
        cancelled = False
        try:
            await doing.do()
        except asyncio.CancelledError:
            cancelled = True
        except Exception as error:
            status = statuses.known(error)
            if status is None:
                message = "the server met an error of its own; its log has more"
                status = statuses.refusal(code_pb2.INTERNAL, "INTERNAL", message).status
                _log(logging.ERROR, "an operation met an error", entry, error)
        settling = self._databases.database.run(
            journal.note(doing.key, self._me, partial(self._settle, doing, status)), retry=_AGAIN
        )
        try:
            settled = await settling
            if settled is not None:
                state = Shown.State.Name(settled.shown.state)
                _log(logging.INFO, "an operation ends here", settled, state=state)
        except RecordLayerError as error:
            # It stays this server's, which begins with it again.
            logs.write(logs.server, logging.WARNING, "an operation could not be settled", error=error.code)
        finally:
            del self._running[doing.key]
            if not cancelled:
                self._databases.operations_due.set()

    def _settle(self, doing: Doing, status: status_pb2.Status | None, entry: Entry) -> None:
        """Say how an operation ended here."""
        doing.note(entry)
        now, reason = self._databases.instance.now, "" if status is None else statuses.reason_of(status)
        if doing.finished:
            entry.end(Shown.SUCCEEDED, now)
        elif entry.row.cancel:
            entry.end(Shown.CANCELLED, now)
        elif entry.row.pause:
            entry.pause()
        elif status is None:
            entry.wait(now)
        elif reason in ("BUILD_PAUSED", "CANARIES_DONE"):
            doing.hold(entry)
            entry.pause()
            entry.shown.status.CopyFrom(status)
        elif statuses.retry_after(status) is not None:
            entry.wait(now, status=status)
        else:
            entry.end(Shown.FAILED, now, status=status)

    async def _leave(self) -> None:
        """Let others go on with what runs here."""
        tasks = [task for _, task in self._running.values()]
        for doing, _ in self._running.values():
            doing.stop()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_PARTING.total_seconds())
            for task in late:
                task.cancel()
            if late:  # they settle what they did, unless the database is away
                await asyncio.wait(late, timeout=_PARTING.total_seconds())


def _log(level: int, event: str, entry: Entry, error: Exception | None = None, **values: object) -> None:
    tenant, work = places.label(entry.tenant), str(entry.shown.WhichOneof("work"))
    logs.write(logs.server, level, event, traceback_of=error, tenant=tenant, name=entry.row.name, work=work, **values)


async def forget_old_operations(databases: Databases) -> int:
    """Forget operations that were over long ago; how many. Any number of servers may do it at once."""
    before, forgotten = databases.instance.now - databases.limits.operations_kept.total_seconds(), 0
    while some := await databases.database.run(journal.forget(before)):
        forgotten += some
    return forgotten
