"""What every reply says of its call, and how reads are tried."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import lru_cache
from typing import TypeVar

from google.rpc import code_pb2

from recordlayer import Retry
from recordlayer.aio import Transaction
from recordlayer.client.pb import context_pb2
from recordlayer_server import statuses
from recordlayer_server.call import Call
from recordlayer_server.databases import Databases

T = TypeVar("T")

_RETRY = Retry()
_LONG = 5.0
"""Seconds: where a call has less, the waits between its attempts are shorter than usual."""


def reply_context(
    call: Call,
    *,
    read_version: int = 0,
    commit_version: int = 0,
    cost: context_pb2.Cost | None = None,
    into: context_pb2.ReplyContext | None = None,
) -> context_pb2.ReplyContext:
    """What a reply says of its call. `into`: the context of the reply, to be filled."""
    made = context_pb2.ReplyContext() if into is None else into
    made.request_id = call.request_id
    if read_version:
        made.read_version = read_version
    if commit_version:
        made.commit_version = commit_version
    if cost is not None:
        call.keys_read += cost.keys_read
        call.keys_written += cost.keys_written
        made.cost.CopyFrom(cost)
    time_now, time_left = made.server_time, made.time_left
    time_now.seconds, time_now.nanos = divmod(time.time_ns(), 1_000_000_000)
    left = call.time_left
    if left > 0:
        time_left.seconds = seconds = int(left)
        time_left.nanos = int((left - seconds) * 1e9)
    time_left.SetInParent()
    return made


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

    worker, options = databases.worker(call.tenant), call.options(reads_only=True)
    return await worker.run(work if least <= 0 else at_least, retry=retry_of(call, idempotent=True), options=options)


def retry_of(call: Call, *, idempotent: bool = False) -> Retry:
    """How the work of a call is tried: for most of the time that it has, so that there is some left to say what was in
    its way, and when to come again. Who waits for the deadline learns nothing but that."""
    return _retry(int(max(0.0, call.time_left) * 20), idempotent)


@lru_cache(maxsize=4_000)
def _retry(left: int, idempotent: bool) -> Retry:
    """left  twentieths of a second"""
    seconds = left / 20
    delay = _RETRY.max_delay if seconds >= _LONG else timedelta(seconds=seconds / 5)
    return Retry(time=timedelta(seconds=seconds * 0.7), max_delay=delay, idempotent=idempotent)
