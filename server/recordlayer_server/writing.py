"""Work that writes, with its commit version and what it cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import TypeVar

from recordlayer import Retry
from recordlayer.aio import Transaction
from recordlayer.client.pb import context_pb2
from recordlayer_server.call import Call
from recordlayer_server.databases import Databases
from recordlayer_server.replies import retry_of

T = TypeVar("T")

_COSTS = ("keys_read", "bytes_read", "keys_written", "bytes_written")


def cost_of(tx: Transaction) -> context_pb2.Cost:
    """What a transaction read and wrote."""
    counters = tx.counters
    return context_pb2.Cost(
        keys_read=counters.keys_read,
        bytes_read=counters.bytes_read,
        keys_written=counters.writes,
        bytes_written=counters.bytes_written,
    )


def add_cost(cost: context_pb2.Cost, other: context_pb2.Cost) -> None:
    for name in _COSTS:
        setattr(cost, name, getattr(cost, name) + getattr(other, name))


def shares(cost: context_pb2.Cost, count: int) -> list[context_pb2.Cost]:
    """The same in equal shares; the first one has what is left over, the others are one message: change none."""
    if count == 1:
        return [cost]
    first, other = context_pb2.Cost(), context_pb2.Cost()
    for name in _COSTS:
        each, left = divmod(getattr(cost, name), count)
        setattr(other, name, each)
        setattr(first, name, each + left)
    return [first, *[other] * (count - 1)]


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """A commit: its version, 0 where nothing was written, what it cost, and the transaction, which is over."""

    version: int
    cost: context_pb2.Cost
    transaction: Transaction


async def writing(
    databases: Databases,
    call: Call,
    work: Callable[[Transaction], Awaitable[T]],
    *,
    key: bytes | None = None,
    attempts: int = 0,
) -> tuple[T, Written]:
    """The result of work and its commit, tried until the call's deadline. Writes see the newest state, however stale a
    state the call allows.

    key       an idempotency key
    attempts  how often it may be tried; 0: as often as the time of the call allows

    Raises  AlreadyApplied, and what the work raises.
    """
    last: Transaction | None = None

    async def noted(tx: Transaction) -> T:
        nonlocal last
        last = tx
        return await work(tx)

    result = await databases.worker(call.tenant).run(
        noted,
        retry=Retry(attempts=attempts) if attempts else retry_of(call),
        options=call.options(reads_only=False),
        idempotency_key=key,
    )
    assert last is not None, "the work has run"
    return result, Written(max(0, last.committed_version()), cost_of(last), last)
