"""The indexes of a database, with their states and builds.

Cost    of a page: opening the store; for each index that is not readable as `IndexBuild.progress` and `builders`
"""

from __future__ import annotations

from typing import Any

from recordlayer.aio import RecordStore, Transaction
from recordlayer.client.pb import admin_pb2, types_pb2
from recordlayer.index.state import IndexState
from recordlayer.metadata import Index
from recordlayer.migrate.wording import key_words
from recordlayer.online.heartbeat import Builder
from recordlayer.online.progress import BuildProgress
from recordlayer_server.admin.part import Part
from recordlayer_server.call import current
from recordlayer_server.replies import reply_context
from recordlayer_server.values import timestamp
from recordlayer_server.writing import cost_of

Status = admin_pb2.IndexStatus
_LONGEST_WORDS = 1_000


class Indexes(Part):
    """The methods that look at indexes."""

    async def ListIndexes(self, request: admin_pb2.ListIndexesRequest, _: Any) -> admin_pb2.ListIndexesReply:
        call = current()
        tenant = call.permit()
        most = self._most(request.limit)

        async def work(tx: Transaction) -> admin_pb2.ListIndexesReply:
            store = await self._opened(tx, tenant)
            names = sorted(name for name in store.metadata.indexes if name > request.after)
            reply = admin_pb2.ListIndexesReply(more=len(names) > most)
            for name in names[:most]:
                reply.indexes.append(await status_of(store, name))
            reply.context.CopyFrom(reply_context(call, read_version=await tx.read_version(), cost=cost_of(tx)))
            return reply

        return await self._run(call, work, reads_only=True)

    async def ListViolations(self, request: admin_pb2.ListViolationsRequest, _: Any) -> admin_pb2.ListViolationsReply:
        call = current()
        tenant = call.permit()
        most = self._most(request.limit)

        async def work(tx: Transaction) -> admin_pb2.ListViolationsReply:
            store = await self._opened(tx, tenant)
            found = await store.violations(request.index, limit=most + 1)
            reply = admin_pb2.ListViolationsReply(more=len(found) > most)
            for one in found[:most]:
                keys = [key for key in one.primary_keys if len(key) == 2]
                records = [types_pb2.RecordName(zone=types_pb2.ZoneName(name=zone), name=name) for zone, name in keys]
                reply.violations.add(value=repr(one.value)[:_LONGEST_WORDS], records=records)
            reply.context.CopyFrom(reply_context(call, read_version=await tx.read_version(), cost=cost_of(tx)))
            return reply

        return await self._run(call, work, reads_only=True)


async def status_of(store: RecordStore, name: str) -> admin_pb2.IndexStatus:
    """An index of a store, with its build if one is under way.  Raises  UnknownIndex."""
    index, state = store.metadata.index(name), store.index_state(name)
    shown = _shown(index, state)
    if not state.is_readable:
        build = store.build_of(name)
        progress = await build.progress()
        if progress.method is not None:
            shown.build.CopyFrom(_build(progress, await build.builders()))
    return shown


def _shown(index: Index, state: IndexState) -> admin_pb2.IndexStatus:
    return Status(
        name=index.name,
        type=index.type,
        record_types=index.record_types,
        unique=index.unique,
        columns=key_words(index)[:_LONGEST_WORDS],
        state=state.name,
    )


def _build(progress: BuildProgress, builders: list[Builder]) -> admin_pb2.IndexBuild:
    assert progress.method is not None, "it was asked before"
    made = admin_pb2.IndexBuild(
        method=progress.method.value,
        records_scanned=progress.scanned,
        records_total=progress.total,
        parts_missing=progress.gaps,
        paused=progress.blocked,
        paused_by=progress.block_id,
        records_per_second=progress.rate,
    )
    for one in builders:
        name = one.info.partition(" by ")[2]
        made.builders.add(
            id=str(one.id), name=name, began=timestamp(one.began * 1_000), seen=timestamp(one.seen * 1_000)
        )
    return made
