"""The service Records: takes requests apart, asks who may, and puts replies together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

from recordlayer.aio import Transaction
from recordlayer.client.pb import context_pb2, records_pb2, records_pb2_grpc
from recordlayer_server import statuses
from recordlayer_server.aggregating import aggregate
from recordlayer_server.applying import Change, Outcome, apply, apply_alone, apply_together, check_key
from recordlayer_server.call import Call, current
from recordlayer_server.contents import shape_of, zone_of
from recordlayer_server.databases import Databases
from recordlayer_server.explaining import explain, partitions
from recordlayer_server.looking_up import Found, Keys, fit, keys_of, look_up, no_room, told
from recordlayer_server.modify_stream import modify_stream
from recordlayer_server.operations import FORCED, Names, Operation, checked
from recordlayer_server.paging import Page, Pages
from recordlayer_server.places import Tenant
from recordlayer_server.replies import reading, reply_context
from recordlayer_server.together import MOST, Together
from recordlayer_server.writing import cost_of, shares

NAME = "recordlayer.v1.Records"
_CHUNK = 1 << 20
_LOOK_UPS = 2 * MOST  # what they share is more than the part of each


class _There(NamedTuple):
    """What a look-up found: under each of its keys, at which version, and its share of what that cost."""

    found: Sequence[Found]
    version: int
    cost: context_pb2.Cost


class Records(records_pb2_grpc.RecordsServicer):  # type: ignore[misc]  # generated, without types
    """The records of all databases.

    busy  whether calls are to wait for each other; without it, that is seen
    """

    def __init__(self, databases: Databases, *, busy: Callable[[], bool] | None = None) -> None:
        self._databases = databases
        self._limits = databases.limits
        self._look_ups = Together(self._find, busy=busy, most=_LOOK_UPS)
        self._saves = Together(self._save, busy=busy)

    async def Lookup(self, request: records_pb2.LookupRequest, _: Any) -> bytes:
        """The bytes of a LookupReply: its records are not parsed to be put into one."""
        call, limits = current(), self._limits
        keys = keys_of(request, limits)
        shape = shape_of(request, limits)
        tenant = call.permit({zone for zone, _ in keys})
        if len(keys) == 1 and call.is_usual:
            there = await self._look_ups.ask(tenant, (call, keys))
        else:
            (there,) = await self._find(tenant, ((call, keys),))
        reply = records_pb2.LookupReply()
        reply_context(call, read_version=there.version, cost=there.cost, into=reply.context)
        return reply.SerializeToString() + told(keys, there.found, shape, limits.message_bytes)

    async def _find(self, tenant: Tenant, asked: Sequence[tuple[Call, Keys]]) -> list[_There]:
        """What is there for each of some calls that may share a transaction."""
        keys = asked[0][1] if len(asked) == 1 else [key for _, some in asked for key in some]

        async def work(tx: Transaction) -> tuple[list[Found], int, context_pb2.Cost]:
            found = await look_up(self._databases, tx, tenant, keys)
            return found, await tx.read_version(), cost_of(tx)

        patient = asked[0][0] if len(asked) == 1 else max((call for call, _ in asked), key=lambda call: call.deadline)
        found, version, cost = await reading(self._databases, patient, work)
        there, begin = [], 0
        for (_, some), share in zip(asked, shares(cost, len(asked)), strict=True):
            there.append(_There(found[begin : begin + len(some)], version, share))
            begin += len(some)
        return there

    async def Modify(self, request: records_pb2.ModifyRequest, _: Any) -> records_pb2.ModifyReply:
        call = current()
        outcome = await self.modify(call, request)
        reply = records_pb2.ModifyReply(results=outcome.results, replayed=outcome.replayed)
        reply_context(call, commit_version=outcome.commit_version, cost=outcome.cost, into=reply.context)
        fit(reply, self._limits)
        return reply

    async def modify(self, call: Call, request: Any, where: str = "") -> Outcome:
        """Apply a ModifyRequest, or what has the same fields.  Raises  Refusal."""
        key = request.idempotency_key
        check_key(key, f"{where}idempotency_key")
        keyed = [place for place, one in enumerate(request.operations) if one.idempotency_key]
        for place in keyed:
            check_key(request.operations[place].idempotency_key, f"{where}operations[{place}].idempotency_key")
        names = Names(key.encode())
        operations: list[Operation] = checked(request.operations, self._limits, names, where=f"{where}operations")
        call.forced += sum([one.type in FORCED for one in operations])
        shape = shape_of(request, self._limits)
        tenant = call.permit({one.key[0] for one in operations})
        atomic = request.atomic or not request.HasField("atomic")
        if keyed and atomic:
            text = "an atomic batch has one key, that of the request"
            raise statuses.bad_request(f"{where}operations[{keyed[0]}].idempotency_key", text)
        change = Change.of(call, operations, shape, key=key)
        if change is None:
            return await apply(self._databases, call, tenant, operations, shape, atomic=atomic, key=key)
        outcome = await self._saves.ask(tenant, change)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def _save(self, tenant: Tenant, changes: Sequence[Change]) -> Sequence[Outcome | BaseException]:
        """What became of some changes that may share a transaction, or what they raised."""
        if len(changes) == 1:
            return [await apply_alone(self._databases, tenant, changes[0])]
        done = await apply_together(self._databases, tenant, changes)
        if done is not None:
            return done
        self._saves.apart(tenant)
        alone = (apply_alone(self._databases, tenant, change) for change in changes)
        return await asyncio.gather(*alone, return_exceptions=True)

    def ModifyStream(
        self, requests: AsyncIterator[records_pb2.ModifyStreamRequest], _: Any
    ) -> AsyncIterator[records_pb2.ModifyStreamReply]:
        return modify_stream(self.modify, current(), requests, self._limits)

    async def Query(self, request: records_pb2.QueryRequest, _: Any) -> bytes:
        """The bytes of a QueryReply, as of a LookupReply above."""
        call = current()
        pages = await self._pages(call, request)
        page = await self._page(call, pages, request.continuation)
        if page.too_large:
            raise no_room(self._limits.message_bytes)
        reply = records_pb2.QueryReply(continuation=page.continuation, end_reason=page.end_reason)
        reply_context(call, read_version=page.read_version, cost=page.cost, into=reply.context)
        return bytes(reply.SerializeToString()) + page.in_reply

    async def QueryStream(
        self, request: records_pb2.QueryRequest, _: Any
    ) -> AsyncIterator[records_pb2.QueryStreamReply | bytes]:
        """A page is read when the one before is on its way: grpc's flow control holds a slow caller's reads back."""
        call = current()
        left = request.limit  # of the whole stream, 0 for all
        pages = await self._pages(call, request)
        continuation = request.continuation
        while True:
            page = await self._page(call, pages, continuation, most=left)
            continuation = page.continuation
            if left:
                left -= len(page.records)
            last = not continuation or (left <= 0 < request.limit)
            reply = records_pb2.QueryStreamReply(
                context=reply_context(call, read_version=page.read_version, cost=page.cost),
                continuation=b"" if page.too_large else continuation,
                end_reason=page.end_reason if last else context_pb2.END_REASON_UNSPECIFIED,
            )
            if page.too_large:
                reply.MergeFromString(page.in_reply)
                for chunk in _chunks(reply, page, continuation):
                    yield chunk
            else:
                yield bytes(reply.SerializeToString()) + page.in_reply
            if last:
                return

    async def Aggregate(self, request: records_pb2.AggregateRequest, _: Any) -> records_pb2.AggregateReply:
        call = current()
        zone = zone_of(request.zone, "zone", self._limits)
        tenant = call.permit((zone,))

        async def work(tx: Transaction) -> records_pb2.AggregateReply:
            value = await aggregate(self._databases, tx, tenant, zone, request, call.time_left)
            context = reply_context(call, read_version=await tx.read_version(), cost=cost_of(tx))
            return records_pb2.AggregateReply(context=context, value=value)

        return await reading(self._databases, call, work)

    async def Explain(self, request: records_pb2.ExplainRequest, _: Any) -> records_pb2.ExplainReply:
        call = current()
        pages = await self._pages(call, request.query)

        async def work(tx: Transaction) -> records_pb2.ExplainReply:
            reply = await explain(self._databases, tx, pages, request, call.time_left)
            reply.context.CopyFrom(reply_context(call, read_version=await tx.read_version(), cost=cost_of(tx)))
            return reply

        return await reading(self._databases, call, work)

    async def Partition(self, request: records_pb2.PartitionRequest, _: Any) -> records_pb2.PartitionReply:
        call = current()
        zone = zone_of(request.zone, "zone", self._limits)
        tenant = call.permit((zone,))
        seal = await self._databases.seal()

        async def work(tx: Transaction) -> records_pb2.PartitionReply:
            found = await partitions(self._databases, tx, tenant, zone, request.parts, seal)
            context = reply_context(call, read_version=await tx.read_version(), cost=cost_of(tx))
            return records_pb2.PartitionReply(context=context, partitions=found)

        return await reading(self._databases, call, work)

    # -- pages ---------------------------------------------------------------------------------------------

    async def _pages(self, call: Call, request: records_pb2.QueryRequest) -> Pages:
        zones = () if request.zone_wide else (zone_of(request.zone, "zone", self._limits),)
        tenant = call.permit(zones)
        return Pages(self._databases, tenant, request, await self._databases.seal())

    async def _page(self, call: Call, pages: Pages, continuation: bytes, *, most: int = 0) -> Page:
        async def work(tx: Transaction) -> Page:
            return await pages.page(tx, continuation, call.time_left, most=most)

        page = await reading(self._databases, call, work)
        call.page_ended(page.end_reason, full=page.full)
        return page


def _chunks(first: records_pb2.QueryStreamReply, page: Page, continuation: bytes) -> list[records_pb2.QueryStreamReply]:
    """The record that is too large for a reply, in several."""
    data = page.too_large
    parts = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
    first.chunk = parts[0]
    replies = [first, *(records_pb2.QueryStreamReply(chunk=part) for part in parts[1:])]
    replies[-1].last_chunk = True
    replies[-1].continuation = continuation
    if first.end_reason and len(replies) > 1:
        replies[-1].end_reason = first.end_reason
        first.end_reason = context_pb2.END_REASON_UNSPECIFIED
    return replies
