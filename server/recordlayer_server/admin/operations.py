"""The methods about operations: starting them, and looking after those that are there.

A method notes what is wanted; the servers do it (`running`). What changes one that runs waits a little for its server
to heed that, and answers how it is then.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from google.rpc import code_pb2

from recordlayer.aio import Transaction
from recordlayer.client.pb import admin_pb2, context_pb2, types_pb2
from recordlayer_server import places, statuses
from recordlayer_server.admin import journal
from recordlayer_server.admin.journal import Entry, Key, Shown
from recordlayer_server.admin.part import Part
from recordlayer_server.call import WORD, Call, current
from recordlayer_server.paging import Sealing
from recordlayer_server.pb import operations_pb2 as stored
from recordlayer_server.places import Tenant
from recordlayer_server.replies import reply_context
from recordlayer_server.values import timestamp
from recordlayer_server.writing import cost_of

Reply = admin_pb2.OperationReply
_LEFT = 0.5
"""Seconds of a call's time that a reply needs."""
_HEEDED = 3.0
"""Seconds that the server of an operation is given to heed what was asked of it."""
_NAPS = (0.05, 0.5)
"""Seconds between two looks: the first, and the longest."""
_FASTEST = 1_000_000


class Operations(Part):
    """The methods about operations."""

    # -- starting

    async def BuildIndexes(self, request: admin_pb2.BuildIndexesRequest, _: Any) -> Reply:
        said = request.build
        self._check_names(said.indexes, "build.indexes")
        if said.source and len(said.indexes) > 1:
            raise statuses.bad_request("build.source", "for one index")
        return await self._start(request, "build", (*said.indexes, *([said.source] if said.source else ())))

    async def ScrubIndexes(self, request: admin_pb2.ScrubIndexesRequest, _: Any) -> Reply:
        if request.scrub.indexes:
            self._check_names(request.scrub.indexes, "scrub.indexes")
        return await self._start(request, "scrub", request.scrub.indexes)

    async def RepairRecords(self, request: admin_pb2.RepairRecordsRequest, _: Any) -> Reply:
        return await self._start(request, "repair", ())

    async def DropIndexes(self, request: admin_pb2.DropIndexesRequest, _: Any) -> Reply:
        self._check_names(request.drop.indexes, "drop.indexes")
        return await self._start(request, "drop", request.drop.indexes)

    def _check_names(self, names: Sequence[str], where: str) -> None:
        most = self._databases.limits.schema_indexes
        if not 1 <= len(names) <= most or len(set(names)) < len(names):
            raise statuses.bad_request(where, f"1 to {most} names of indexes, each once")

    async def _start(self, request: Any, kind: str, indexes: Sequence[str]) -> Reply:
        """Note an operation. The same request under the same name is one operation, however often it comes."""
        call = current()
        tenant = call.permit()
        if request.name and not WORD.fullmatch(request.name):
            raise statuses.bad_request("name", "1 to 64 of A-Z a-z 0-9 . _ -")
        now = round(self._databases.instance.now * 1e6)
        entry = _new(request, kind, tenant, call.identity.name, now)

        async def work(tx: Transaction) -> tuple[Entry, int]:
            store = await self._opened(tx, tenant)
            for index in indexes:
                store.metadata.index(index)
            there = await journal.load(tx, entry.key)
            if there is None:
                await self._check_room(tx, entry)
                await journal.save(tx, entry)
            elif (there.row.asked, there.tenant) != (entry.row.asked, tenant):
                raise statuses.refusal(code_pb2.ALREADY_EXISTS, "EXISTS", "there is another operation of this name")
            return there or entry, await tx.read_version()

        made, version = await self._run(call, work)
        self._databases.operations_due.set()
        return Reply(operation=made.shown, context=reply_context(call, read_version=version))

    async def _check_room(self, tx: Transaction, entry: Entry) -> None:
        """Raises  Refusal if there are too many, or one is about the same index."""
        there = await journal.open_of(tx, entry.tenant)
        most = self._databases.limits.operations_per_database
        if len(there) >= most:
            text = f"a database has at most {most} operations that are not over: cancel one"
            raise statuses.refusal(code_pb2.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", text)
        about = _about(entry.shown)
        for other in there:
            theirs = _about(other.shown)
            if about is None or theirs is None or about & theirs:
                text = "another operation is about the same index, and is not over"
                code, reason = code_pb2.FAILED_PRECONDITION, "OPERATION_RUNNING"
                raise statuses.refusal(code, reason, text, operation=other.row.name)

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
        rate = _rate(request)

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
        if entry is not None:
            call.permit(at=entry.tenant)
            return entry
        call.permit_everywhere()  # others are not told whether another database has one of this name
        raise statuses.not_found("operation", name)

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
            await asyncio.sleep(min(nap, max(0.0, until - clock())))
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


def _rate(request: Any) -> int | None:
    if not request.HasField("records_per_second"):
        return None
    if not 1 <= request.records_per_second <= _FASTEST:
        raise statuses.bad_request("records_per_second", f"1 to {_FASTEST}")
    return int(request.records_per_second)


def _new(request: Any, kind: str, tenant: Tenant, who: str, now: int) -> Entry:
    """An operation that nobody has begun with."""
    asked = type(request).FromString(request.SerializeToString())
    asked.ClearField("context")
    name = request.name or f"{now:014x}-{kind}-{secrets.token_hex(4)}"
    scope = "PUBLIC" if tenant.scope == places.PUBLIC else "PRIVATE"
    database = context_pb2.Database(scope=scope, user=tenant.user)
    shown = Shown(name=name, database=database, created=types_pb2.Change(time=timestamp(now), user=who))
    getattr(shown, kind).CopyFrom(getattr(request, kind))
    getattr(shown, kind).SetInParent()
    if kind != "drop" and (rate := _rate(request)) is not None:
        shown.records_per_second = rate
    row = stored.Operation(
        container=tenant.container,
        environment=tenant.environment,
        name=name,
        scope=tenant.scope,
        user=tenant.user,
        asked=type(request).DESCRIPTOR.name.encode() + b" " + asked.SerializeToString(deterministic=True),
        open=True,
    )
    entry = Entry(row, shown)
    entry.wait(0.0)
    return entry


def _about(shown: Shown) -> frozenset[str] | None:
    """The indexes that an operation is about; None for all of them."""
    kind = shown.WhichOneof("work")
    names = None if kind == "repair" else getattr(shown, str(kind)).indexes
    return frozenset(names) if names else None
