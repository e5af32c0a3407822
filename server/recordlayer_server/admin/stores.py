"""Stores of databases: which there are, what their headers say, and locks.

A database is locked as a whole: its records, its zones and its assets, in one transaction.
"""

from __future__ import annotations

from typing import Any

from recordlayer import OpenMode
from recordlayer.aio import RecordStore, Transaction
from recordlayer.client.pb import admin_pb2, context_pb2
from recordlayer.errors import RecordLayerError, StoreMissing, StoreMoved, UsageError
from recordlayer.keyspace import ResolvedPath
from recordlayer.store.header import MOVED, FormatVersion
from recordlayer.store.settings import LockInfo, StoreLock
from recordlayer.tenant.stores import FoundStore
from recordlayer_server import places, statuses
from recordlayer_server.admin.part import Part, absent
from recordlayer_server.call import current
from recordlayer_server.databases import ASSETS, ZONES, Place
from recordlayer_server.paging import Sealing
from recordlayer_server.replies import reply_context
from recordlayer_server.store_formats import open_there, open_to_write
from recordlayer_server.values import timestamp
from recordlayer_server.writing import cost_of

Info, Lock = admin_pb2.StoreInfo, admin_pb2.DatabaseLock
_KINDS = {kind: Info.Kind.Name(Info.Kind.Value(kind.upper())) for kind in places.KINDS}
_LOCKS = {StoreLock.RECORD_UPDATES: Lock.READ_ONLY, StoreLock.FULL_STORE: Lock.CLOSED}
_NEEDED = {Lock.READ_ONLY: FormatVersion.STORE_LOCK_STATE, Lock.CLOSED: FormatVersion.FULL_STORE_LOCK}
_LONGEST_REASON = 255


class Stores(Part):
    """The methods about stores."""

    async def ListContainers(self, request: admin_pb2.ListContainersRequest, _: Any) -> admin_pb2.ListContainersReply:
        call, databases = current(), self._databases
        call.permit_server()
        most = self._most(request.limit)
        sealing = Sealing(await databases.seal(), b"containers", b"admin")
        behind = sealing.open(request.continuation)[0] if request.continuation else None

        async def work(tx: Transaction) -> admin_pb2.ListContainersReply:
            root, space = places.SPACE.path("service"), tx.key_space(places.SPACE)
            page = await space.list(root, "container", limit=most, snapshot=True, continuation=behind)
            reply = admin_pb2.ListContainersReply(containers=[str(one.path.value) for one in page.paths])
            if page.continuation is not None:
                reply.continuation = sealing.close(page.continuation)
            reply.context.CopyFrom(reply_context(call, read_version=await tx.read_version(), cost=cost_of(tx)))
            return reply

        return await self._run(call, work, reads_only=True)

    async def ListStores(self, request: admin_pb2.ListStoresRequest, _: Any) -> admin_pb2.ListStoresReply:
        call, databases = current(), self._databases
        if call.context.database.scope:
            raise statuses.bad_request("context.database", "it is about all databases: leave it out")
        container, environment = call.permit_everywhere()
        most = self._most(request.limit)
        purpose = f"stores {container} {environment}".encode()
        sealing = Sealing(await databases.seal(), purpose, b"admin")
        behind = sealing.open(request.continuation)[0] if request.continuation else None
        tenant = databases.database.tenant(places.of_environment(container, environment))
        page = await tenant.stores(limit=most, continuation=behind)
        reply = admin_pb2.ListStoresReply(context=reply_context(call))
        reply.stores.extend(shown for found in page.stores if (shown := _of_a_database(found)) is not None)
        if page.continuation is not None:
            reply.continuation = sealing.close(page.continuation)
        return reply

    async def GetDatabase(self, request: admin_pb2.GetDatabaseRequest, _: Any) -> admin_pb2.GetDatabaseReply:
        call, databases = current(), self._databases
        tenant = call.permit()

        async def where(tx: Transaction) -> Place:
            return await self._placed(tx, tenant)

        await self._run(call, where, reads_only=True)
        below = databases.database.tenant(places.of_database(tenant))
        stores = (await below.stores(limit=len(_KINDS))).stores
        if not stores:
            raise absent(tenant)
        reply = admin_pb2.GetDatabaseReply(bytes=await below.size())
        reply.stores.extend(shown for found in stores if (shown := _of_a_database(found)) is not None)

        async def look(tx: Transaction) -> None:
            reply.index_states.clear()
            store = await self._opened(tx, tenant)
            for name in store.metadata.indexes:
                reply.index_states[store.index_state(name).name] += 1
            try:
                reply.records = await store.record_count()
            except UsageError:  # nothing counts them
                reply.ClearField("records")
            reply.context.CopyFrom(reply_context(call, read_version=await tx.read_version(), cost=cost_of(tx)))

        try:
            await self._run(call, look, reads_only=True)
        except (RecordLayerError, statuses.Refusal) as error:
            status = statuses.known(error)
            if status is None:
                raise
            reply.not_opened.CopyFrom(status)
            reply.context.CopyFrom(reply_context(call))
        return reply

    async def LockDatabase(self, request: admin_pb2.LockDatabaseRequest, _: Any) -> admin_pb2.LockDatabaseReply:
        call = current()
        tenant = call.permit()
        kind, needed = request.kind, _NEEDED.get(request.kind)
        if needed is None:
            raise statuses.bad_request("kind", "READ_ONLY or CLOSED")
        if not 1 <= len(request.reason.encode()) <= _LONGEST_REASON:
            raise statuses.bad_request("reason", f"1 to {_LONGEST_REASON} bytes, for those who come to the lock")

        async def work(tx: Transaction) -> None:
            place = await self._placed(tx, tenant)
            formats, least = self._databases.formats, int(needed) if request.raise_format else 1
            for store in (
                await open_there(tx, place.metadata, place.records, least=least),
                # Made if they are not there: nobody shall make zones or assets in a database that is locked.
                await open_to_write(tx, ZONES, place.zones, formats, least=least),
                await open_to_write(tx, ASSETS, place.assets, formats, least=least),
            ):
                there = store.header.info.format_version
                if there < needed:
                    text = f"this lock needs format {needed}, a store has {there}: let it be raised, "
                    raise statuses.bad_request("raise_format", text + "once all its programs know that")
                await _lock(store, kind, request.reason)

        try:
            await self._run(call, work)
        except StoreMissing:
            raise absent(tenant) from None
        return admin_pb2.LockDatabaseReply(context=reply_context(call))

    async def UnlockDatabase(self, request: admin_pb2.UnlockDatabaseRequest, _: Any) -> admin_pb2.UnlockDatabaseReply:
        call, databases = current(), self._databases
        tenant = call.permit()

        async def where(tx: Transaction) -> Place:
            return await self._placed(tx, tenant)

        place = await self._run(call, where, reads_only=True)
        base = databases.database.tenant(place.base)

        async def locks() -> dict[bytes, str]:
            found = (await base.stores(limit=len(_KINDS))).stores
            if not found:
                raise absent(tenant)
            return {one.prefix: one.info.lock.reason for one in found if one.info.lock is not None}

        reasons = await locks()
        for reason in reasons.values():
            if reason.startswith(MOVED):  # nobody would look here for what is written here
                raise StoreMoved(to=reason[len(MOVED) :])
        # An export that was cut off with its server has locked all the stores there are.
        thawed = 0 if request.reason else await base.thaw()
        if thawed:
            reasons = await locks()

        async def work(tx: Transaction) -> bool:
            unlocked = thawed > 0
            locked = ((place.metadata, place.records), (ZONES, place.zones), (ASSETS, place.assets))
            for metadata, path in locked:
                reason = reasons.get(path.key())
                if reason is None or (request.reason and reason != request.reason):
                    continue
                store = await tx.store(metadata, path=path, mode=OpenMode.OPEN, bypass_lock=reason)
                unlocked = await store.header.unlock() or unlocked
            return unlocked

        return admin_pb2.UnlockDatabaseReply(unlocked=await self._run(call, work), context=reply_context(call))


async def _lock(store: RecordStore, kind: int, reason: str) -> None:
    header = store.header
    await (header.lock(reason=reason) if kind == Lock.CLOSED else header.forbid_updates(reason=reason))


def _of_a_database(found: FoundStore) -> admin_pb2.StoreInfo | None:
    """A store as callers see it; None for those in which the servers keep schemas."""
    if not isinstance(found.path, ResolvedPath) or found.path.remainder:
        return None
    values = {path.directory.name: path.value for path in found.path.path.chain()}
    kind = _KINDS.get(found.path.path.directory.name)
    if kind is None:
        return None
    user = values.get("user", "")
    info = found.info
    shown = Info(
        database=context_pb2.Database(scope="PRIVATE" if user else "PUBLIC", user=user),
        kind=kind,
        format_version=info.format_version,
        metadata_version=info.metadata_version,
        user_version=info.user_version,
        cacheable=info.cacheable,
        incarnation=info.incarnation,
        user_fields=info.user_fields,
    )
    if info.updated_at is not None:
        shown.updated.CopyFrom(timestamp(round(info.updated_at.timestamp() * 1e6)))
    if info.lock is not None:
        shown.lock.CopyFrom(_lock_of(info.lock))
    return shown


def _lock_of(lock: LockInfo) -> admin_pb2.DatabaseLock:
    kind = Lock.KIND_UNSPECIFIED if lock.lock is None else _LOCKS[lock.lock]
    return Lock(kind=kind, reason=lock.reason, since=timestamp(round(lock.since.timestamp() * 1e6)))
