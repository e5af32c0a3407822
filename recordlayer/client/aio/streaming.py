"""Streams that go on where they were when they are cut off: records of a query, and changes of a zone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc

from recordlayer.client.pb import context_pb2, records_pb2, sync_pb2, types_pb2
from recordlayer.client.refusals import refusal_of

if TYPE_CHECKING:
    from recordlayer.client.aio.client import Client
    from recordlayer.client.retries import Attempts


async def streamed(client: Client, request: records_pb2.QueryRequest) -> AsyncIterator[types_pb2.Record]:
    """The records of a query, each with its message, which may have come in chunks.

    Raises  CallRefused, NoAnswer
    """
    attempts: Attempts | None = None
    large: types_pb2.Record | None = None  # whose chunks are coming
    chunks = bytearray()
    ended = False
    while True:
        try:
            call = client.records.QueryStream(request, metadata=client.metadata())
            try:
                async for reply in call:
                    attempts = None  # it goes well: after a cut they begin anew
                    for record in reply.records:
                        if record.WhichOneof("content") == "chunked":
                            large = record
                            chunks.clear()
                        else:
                            yield record
                    chunks += reply.chunk
                    if large is not None and reply.last_chunk:
                        large.message = bytes(chunks)
                        yield large
                        large = None
                    if reply.continuation:  # never within a record
                        request.continuation = reply.continuation
                    ended = reply.end_reason != context_pb2.END_REASON_UNSPECIFIED
                return
            finally:
                call.cancel()
        except grpc.RpcError as error:
            if ended:
                return  # what was cut off is the end
            large = None
            attempts = client.attempts() if attempts is None else attempts
            await client.transport.sleep(attempts.delay_behind(error))


async def watched(client: Client, add: sync_pb2.WatchRequest.Add) -> AsyncIterator[Any]:
    """What the server tells of one target, without end; after a cut from where it was.

    Raises  CallRefused when the target is not watched any more; NoAnswer
    """
    attempts: Attempts | None = None
    while True:
        try:
            talk = client.transport.converse(client.sync.Watch, metadata=client.metadata())
            try:
                await talk.send(sync_pb2.WatchRequest(open=sync_pb2.WatchRequest.Open(context=client.context)))
                await talk.send(sync_pb2.WatchRequest(add=add))
                while (reply := await talk.receive()) is not None:
                    attempts = None  # it goes well: after a cut, however long from now, they begin anew
                    kind = reply.WhichOneof("kind")
                    if kind == "removed":
                        raise refusal_of(reply.removed.status)
                    if kind == "reset":
                        add.token = b""
                    elif kind == "changed" and reply.changed.token:
                        add.token = reply.changed.token
                    elif kind == "current":
                        add.token = reply.current.token
                    elif kind == "progress":
                        for target in reply.progress.targets:
                            add.token = target.token
                    yield reply
            finally:
                talk.cancel()
        except grpc.RpcError as error:
            attempts = client.attempts() if attempts is None else attempts
            await client.transport.sleep(attempts.delay_behind(error))
