"""The methods about operations: starting them, and looking after those that are there.

A method notes what is wanted; the servers do it (`running`). What changes one that runs waits a little for its server
to heed that, and answers how it is then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from google.rpc import code_pb2

from recordlayer.aio import Transaction
from recordlayer.client.pb import admin_pb2
from recordlayer_server import places, statuses
from recordlayer_server.admin import journal
from recordlayer_server.admin.journal import Entry, Key, Shown
from recordlayer_server.admin.part import Part
from recordlayer_server.admin.starting import asked, asked_rate, checked_indexes, new, start
from recordlayer_server.call import WORD, Call, current
from recordlayer_server.paging import Sealing
from recordlayer_server.replies import reply_context
from recordlayer_server.writing import cost_of

Reply = admin_pb2.OperationReply
_LEFT = 0.5
"""Seconds of a call's time that a reply needs."""
_HEEDED = 3.0
"""Seconds that the server of an operation is given to heed what was asked of it."""
_NAPS = (0.05, 0.5)
"""Seconds between two looks: the first, and the longest."""


class Operations(Part):
    """The methods about operations."""

    # -- starting

    async def BuildIndexes(self, request: admin_pb2.BuildIndexesRequest, _: Any) -> Reply:
        request.build.ClearField("schema_version")
        return await self._start(request, "build", everywhere=request.everywhere)

    async def ScrubIndexes(self, request: admin_pb2.ScrubIndexesRequest, _: Any) -> Reply:
        return await self._start(request, "scrub")

    async def RepairRecords(self, request: admin_pb2.RepairRecordsRequest, _: Any) -> Reply:
        return await self._start(request, "repair")

    async def DropIndexes(self, request: admin_pb2.DropIndexesRequest, _: Any) -> Reply:
        return await self._start(request, "drop")

    async def _start(self, request: Any, work: str, *, everywhere: bool = False, opened: bool = True) -> Reply:
        """Note an operation. The same request under the same name is one operation, however often it comes.

        opened  the database has to be one that can be opened
        """
        call = current()
        tenant = places.everywhere(*call.permit_everywhere()) if everywhere else call.permit()
        indexes = checked_indexes(request, work, most=self._databases.limits.schema_indexes)
        if everywhere and call.context.database.scope:
            raise statuses.bad_request("context.database", "it is about all databases: leave it out")
        if request.name and not WORD.fullmatch(request.name):
            raise statuses.bad_request("name", "1 to 64 of A-Z a-z 0-9 . _ -")
        said, rate = getattr(request, work), asked_rate(request)
        now, who = self._databases.instance.now, call.identity.name
        entry = new(tenant, work, said, name=request.name, who=who, now=now, rate=rate)
        entry.row.asked = asked(request)

        async def begin(tx: Transaction) -> tuple[Entry, int]:
            metadata = await self._databases.metadata(tx, tenant)
            if metadata is None:
                raise statuses.forbidden()
            if not everywhere:
                await (self._opened if opened else self._placed)(tx, tenant)
            for index in indexes:
                metadata.index(index)
            made = await start(tx, entry, most=self._databases.limits.operations_per_database)
            return made, await tx.read_version()

        made, version = await self._run(call, begin)
        self._databases.operations_due.set()
        return Reply(operation=made.shown, context=reply_context(call, read_version=version))

    # -- looking

    async def GetOperation(self, request: admin_pb2.GetOperationRequest, _: Any) -> Reply:
        call = current()
        entry = await self._found(call, request.name)
        return Reply(operation=entry.shown, context=reply_context(call))

    async def WaitOperation(self, request: admin_pb2.WaitOperationRequest, _: Any) -> Reply:
        call = current()
        entry = await self._found(call, request.name)
        entry = await self._until(call, entry, lambda entry: entry.is_over, call.time_left - _LEFT)
        return Reply(operation=entry.shown, context=reply_context(call))

    async def ListOperations(self, request: admin_pb2.ListOperationsRequest, _: Any) -> admin_pb2.ListOperationsReply:
        call = current()
        tenant = call.permit() if call.context.database.scope else None
        container, environment = (tenant.container, tenant.environment) if tenant else call.permit_everywhere()
        most = self._most(request.limit)
        purpose = f"operations {container} {environment} {tenant}".encode()
        sealing = Sealing(await self._databases.seal(), purpose, b"admin")
        resume = sealing.open(request.continuation)[0] if request.continuation else None

        async def work(tx: Transaction) -> admin_pb2.ListOperationsReply:
            found, behind = await journal.page(tx, container, environment, tenant, limit=most, resume=resume)
            reply = admin_pb2.ListOperationsReply(operations=[entry.shown for entry in found])
            if behind is not None:
                reply.continuation = sealing.close(behind)
            reply.context.CopyFrom(reply_context(call, read_version=await tx.read_version(), cost=cost_of(tx)))
            return reply

        return await self._run(call, work, reads_only=True)

    # -- changing

    async def CancelOperation(self, request: admin_pb2.CancelOperationRequest, _: Any) -> Reply:
        def cancel(entry: Entry) -> None:
            if entry.is_over:
                return
            entry.row.cancel = entry.row.due = True
            if not entry.row.owner:
                entry.end(Shown.CANCELLED, self._databases.instance.now)

        return await self._changed(request.name, cancel, lambda entry: entry.is_over)

    async def PauseOperation(self, request: admin_pb2.PauseOperationRequest, _: Any) -> Reply:
        who = current().identity.name

        def pause(entry: Entry) -> None:
            _check_open(entry)
            if not entry.row.pause:
                entry.row.pause, entry.shown.paused_by = True, who
            if not entry.row.owner:
                entry.pause()

        return await self._changed(request.name, pause, lambda entry: entry.is_over or not entry.row.owner)

    async def ResumeOperation(self, request: admin_pb2.ResumeOperationRequest, _: Any) -> Reply:
        call = current()
        entry = await self._found(call, request.name)
        if entry.shown.HasField("status") and statuses.reason_of(entry.shown.status) == "BUILD_PAUSED":
            await self._unblock(call, entry)

        def resume(entry: Entry) -> None:
            _check_open(entry)
            entry.row.ClearField("pause")
            entry.shown.paused_by = ""
            if entry.shown.state == Shown.PAUSED:
                entry.wait(0.0)

        return await self._changed(request.name, resume, lambda entry: True)

    async def ThrottleOperation(self, request: admin_pb2.ThrottleOperationRequest, _: Any) -> Reply:
        rate = asked_rate(request)

        def throttle(entry: Entry) -> None:
            _check_open(entry)
            if rate is None:
                entry.shown.ClearField("records_per_second")
            else:
                entry.shown.records_per_second = rate

        return await self._changed(request.name, throttle, lambda entry: True)

    async def _unblock(self, call: Call, entry: Entry) -> None:
        """Lift the pause that somebody has put on a build from outside."""

        async def work(tx: Transaction) -> None:
            store = await self._opened(tx, entry.tenant)
            for name in entry.shown.build.indexes:
                if name in store.metadata.indexes and (await store.build_of(name).progress()).blocked:
                    await store.build_of(name).unblock()

        await self._run(call, work)

    # -- what they have in common

    async def _found(self, call: Call, name: str) -> Entry:
        """An operation, if the caller may do this where it belongs.  Raises  Refusal."""
        if call.tenant is None:
            raise statuses.bad_request("context.container", "name the container")
        if not WORD.fullmatch(name):
            raise statuses.bad_request("name", "1 to 64 of A-Z a-z 0-9 . _ -")
        key = call.tenant.container, call.tenant.environment, name
        entry = await self._run(call, lambda tx: journal.load(tx, key), reads_only=True)
        if entry is not None and entry.row.scope != places.EVERY:
            call.permit(at=entry.tenant)
            return entry
        call.permit_everywhere()  # of none too: others are not told whether another database has one of this name
        if entry is None:
            raise statuses.not_found("operation", name)
        return entry

    async def _changed(self, name: str, change: Callable[[Entry], None], heeded: Callable[[Entry], bool]) -> Reply:
        """An operation, changed, once its server has heeded that or has had time enough for it."""
        call = current()
        key = (await self._found(call, name)).key

        async def work(tx: Transaction) -> Entry:
            entry = await journal.load(tx, key)
            if entry is None:
                raise statuses.not_found("operation", name)
            change(entry)
            await journal.save(tx, entry)
            return entry

        entry = await self._run(call, work)
        self._databases.operations_due.set()
        entry = await self._until(call, entry, heeded, min(_HEEDED, call.time_left - _LEFT))
        return Reply(operation=entry.shown, context=reply_context(call))

    async def _until(self, call: Call, entry: Entry, reached: Callable[[Entry], bool], seconds: float) -> Entry:
        """An operation once it has come so far, or the time is up, or the server stops."""
        clock = asyncio.get_running_loop().time
        until, nap = clock() + seconds, _NAPS[0]
        while not reached(entry) and clock() < until and not call.stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(nap, max(0.0, until - clock()))):
                    await call.stopping.wait()
            nap = min(2 * nap, _NAPS[1])
            entry = await self._again(call, entry.key)
        return entry

    async def _again(self, call: Call, key: Key) -> Entry:
        entry = await self._run(call, lambda tx: journal.load(tx, key), reads_only=True)
        if entry is None:
            raise statuses.not_found("operation", key[2])
        return entry


def _check_open(entry: Entry) -> None:
    if entry.is_over:
        state = Shown.State.Name(entry.shown.state)
        text = f"the operation is over: {state}"
        raise statuses.refusal(code_pb2.FAILED_PRECONDITION, "OPERATION_OVER", text, state=state)
