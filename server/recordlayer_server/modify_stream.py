"""Many changes on one stream: batch after batch, with large records in chunks.

The batches run one after the other, in the order in which they come; their replies come in the same order, so a reply
stands for all batches up to its own. A caller may send a window of batches ahead. The stream reads no further while a
batch runs but for those that gRPC holds, which is what keeps memory bounded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from recordlayer.client.pb import records_pb2
from recordlayer_server import statuses
from recordlayer_server.applying import Outcome
from recordlayer_server.call import Call
from recordlayer_server.limits import Limits
from recordlayer_server.replies import reply_context

Modify = Callable[[Call, Any, str], Awaitable[Outcome]]


async def modify_stream(
    modify: Modify, call: Call, requests: AsyncIterator[records_pb2.ModifyStreamRequest], limits: Limits
) -> AsyncIterator[records_pb2.ModifyStreamReply]:
    """The replies to a stream of batches.  Raises  Refusal for what is no such stream."""
    opened: records_pb2.ModifyStreamRequest.Open | None = None
    chunks = bytearray()
    last: int | None = None
    async for request in requests:
        kind = request.WhichOneof("kind")
        if opened is None:
            if kind != "open":
                raise statuses.bad_request("open", "the first message opens the stream")
            opened = request.open
            call.bind(opened.context)
            call.permit()
        elif kind == "chunk":
            if len(chunks) + len(request.chunk) > limits.record_bytes:
                size = len(chunks) + len(request.chunk)
                raise statuses.too_large("chunk", limit=limits.record_bytes, size=size)
            chunks += request.chunk
        elif kind == "batch":
            batch = request.batch
            if last is not None and batch.sequence <= last:
                raise statuses.bad_request("batch.sequence", "it rises from batch to batch")
            last = batch.sequence
            yield await _answer(modify, call, opened, _whole(batch, chunks), limits)
            chunks.clear()
        else:
            raise statuses.bad_request("kind", "a batch, or a chunk of a record")


def _whole(batch: records_pb2.ModifyStreamRequest.Batch, chunks: bytearray) -> records_pb2.ModifyStreamRequest.Batch:
    """The batch with what came in chunks in its place.  Raises  Refusal."""
    waiting = [one.record for one in batch.operations if one.record.WhichOneof("content") == "chunked"]
    if len(waiting) > 1:
        raise statuses.bad_request("batch.operations", "one record of a batch may be chunked")
    if bool(waiting) != bool(chunks):
        raise statuses.bad_request("batch.operations", "chunks belong to one record that is chunked, and it to them")
    for record in waiting:
        record.message = bytes(chunks)
    return batch


async def _answer(
    modify: Modify,
    call: Call,
    opened: records_pb2.ModifyStreamRequest.Open,
    batch: records_pb2.ModifyStreamRequest.Batch,
    limits: Limits,
) -> records_pb2.ModifyStreamReply:
    request = records_pb2.ModifyRequest(
        operations=batch.operations, idempotency_key=batch.idempotency_key, form=opened.form
    )
    if batch.HasField("atomic"):
        request.atomic = batch.atomic
    if opened.HasField("desired_keys"):
        request.desired_keys.CopyFrom(opened.desired_keys)
    reply = records_pb2.ModifyStreamReply(sequence=batch.sequence, window=limits.stream_window)
    try:
        outcome = await modify(call, request, "batch.")
    except Exception as error:
        status = statuses.known(error)
        if status is None:
            raise
        reply.status.CopyFrom(status)
        reply.context.CopyFrom(reply_context(call))
        return reply
    reply.status.SetInParent()
    reply.context.CopyFrom(reply_context(call, commit_version=outcome.commit_version, cost=outcome.cost))
    reply.replayed = outcome.replayed
    reply.results.extend(one for one in outcome.results if not opened.quiet or one.status.code)
    return reply
