"""Many edits on one stream: batches ahead of their answers, as many as the server lets, and large records in chunks.

A record that comes twice waits for the answer to its first edit, so edits of one record keep their order whatever
happens to the stream. After a cut all that was not answered is sent again: each edit has its idempotency key.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from recordlayer.client.edits import Delete, Edit, Loaded, want_outcomes
from recordlayer.client.pb import records_pb2, types_pb2
from recordlayer.client.refusals import refusal_of
from recordlayer.errors import RecordLayerError, UsageError

if TYPE_CHECKING:
    from recordlayer.client.aio.client import Client
    from recordlayer.client.retries import Attempts

Request = records_pb2.ModifyStreamRequest

BATCH_BYTES = 1 << 20
"""Of contents in one batch, about; a record that is larger goes in chunks of this size, in a batch of its own."""


@dataclass(slots=True)
class Batch:
    """Edits that are sent together."""

    sequence: int
    edits: list[Edit]
    operations: list[records_pb2.Operation]

    @property
    def names(self) -> set[str]:
        return {edit.name for edit in self.edits if edit.name}

    def requests(self) -> Iterator[Request]:
        """The messages that it is sent in."""
        operations = self.operations
        contents = b""
        if len(operations) == 1 and len(operations[0].record.message) > BATCH_BYTES:
            (operation,) = operations
            contents = operation.record.message
            short = records_pb2.Operation()
            short.CopyFrom(operation)
            short.record.chunked = True
            operations = [short]
        for at in range(0, len(contents), BATCH_BYTES):
            yield Request(chunk=contents[at : at + BATCH_BYTES])
        yield Request(batch=Request.Batch(sequence=self.sequence, operations=operations, atomic=False))


def batches(edits: Iterable[Edit], zone: types_pb2.ZoneName, most: int) -> Iterator[Batch]:
    """The edits in batches, none with two of one record."""
    sequence = 0
    some: list[Edit] = []
    operations: list[records_pb2.Operation] = []
    size, names = 0, set[str]()
    for edit in edits:
        operation = edit.operation(zone)
        operation.idempotency_key = edit.key
        length = len(operation.record.message)
        if some and (len(some) == most or size + length > BATCH_BYTES or edit.name in names):
            sequence += 1
            yield Batch(sequence, some, operations)
            some, operations, size, names = [], [], 0, set()
        some.append(edit)
        operations.append(operation)
        size += length
        if edit.name:
            names.add(edit.name)
    if some:
        yield Batch(sequence + 1, some, operations)


async def bulk(
    client: Client, zone: types_pb2.ZoneName, edits: Iterable[Edit], most: int
) -> AsyncIterator[Loaded[Any] | RecordLayerError | None]:
    """What became of each edit, in their order.  Raises  UsageError, CallRefused, NoAnswer"""
    if most < 1:
        raise UsageError(batch=most, hint="at least 1")
    coming = batches(edits, zone, most)
    following = next(coming, None)
    unanswered: deque[Batch] = deque()
    attempts: Attempts | None = None
    while unanswered or following is not None:
        try:
            talk = client.transport.converse(client.records.ModifyStream, metadata=client.metadata())
            try:
                await talk.send(_opening(client))
                for batch in unanswered:
                    for request in batch.requests():
                        await talk.send(request)
                window = 1  # until the server has said how many
                while unanswered or following is not None:
                    while following is not None and len(unanswered) < window:
                        if any(following.names & batch.names for batch in unanswered):
                            break
                        unanswered.append(following)
                        for request in following.requests():
                            await talk.send(request)
                        following = next(coming, None)
                    reply = await talk.receive()
                    if reply is None:
                        break  # the server ended the stream: what was not answered is sent again
                    attempts = client.attempts() if attempts is None else attempts
                    if reply.status.code:
                        delay = attempts.told(reply.status)
                        if delay is None or not attempts.may_wait(delay):
                            raise refusal_of(reply.status)
                        await client.transport.sleep(delay)
                        break
                    attempts = None
                    window = max(1, reply.window)
                    batch = unanswered.popleft()
                    for edit, result in zip(batch.edits, reply.results, strict=True):
                        yield _outcome(edit, result)
            finally:
                talk.cancel()
        except grpc.RpcError as error:
            attempts = client.attempts() if attempts is None else attempts
            await client.transport.sleep(attempts.delay_behind(error))


def _opening(client: Client) -> Request:
    opening = Request.Open(context=client.context)
    want_outcomes(opening, ())
    return Request(open=opening)


def _outcome(edit: Edit, result: records_pb2.RecordResult) -> Loaded[Any] | RecordLayerError | None:
    if result.status.code:
        return refusal_of(result.status)
    if isinstance(edit, Delete):
        return None
    return Loaded(name=result.record.name.name, message=edit.message, change_tag=result.record.change_tag)
