"""What every reply says of its call, and how reads are tried."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2

from recordlayer import Retry
from recordlayer.aio import Transaction
from recordlayer.client.pb import context_pb2
from recordlayer_server import statuses
from recordlayer_server.call import Call
from recordlayer_server.databases import Databases

T = TypeVar("T")


def reply_context(
    call: Call, *, read_version: int = 0, commit_version: int = 0, cost: context_pb2.Cost | None = None
) -> context_pb2.ReplyContext:
    if cost is not None:
        call.keys_read += cost.keys_read
        call.keys_written += cost.keys_written
    now, left = time.time_ns(), max(0, int(call.time_left * 1e9))
    return context_pb2.ReplyContext(
        request_id=call.request_id,
        read_version=read_version,
        commit_version=commit_version,
        server_time=Timestamp(seconds=now // 1_000_000_000, nanos=now % 1_000_000_000),
        time_left=Duration(seconds=left // 1_000_000_000, nanos=left % 1_000_000_000),
        cost=cost,
    )


async def reading(databases: Databases, call: Call, work: Callable[[Transaction], Awaitable[T]]) -> T:
    """The result of work that only reads, at a version that is not older than the call wants.

    Raises  Refusal if this database has no such version yet.
    """
    least = call.context.consistency.minimum_version

    async def at_least(tx: Transaction) -> T:
        if least > 0 and await tx.read_version() < least:
            text = "this server has not seen the minimum version yet"
            raise statuses.refusal(code_pb2.UNAVAILABLE, "TOO_OLD", text, retry=0.05)
        return await work(tx)

    retry = Retry(time=timedelta(seconds=max(0.0, call.time_left)), idempotent=True)
    return await databases.worker(call.tenant).run(at_least, retry=retry, options=call.options(reads_only=True))
