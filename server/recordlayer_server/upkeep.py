"""What a server does beside its calls: the schemas of its settings are put in place, idempotency keys, changes and
operations whose time is over are forgotten, and assets that no record refers to are collected. It is known to the other
servers, goes along with their roll-outs of schemas, and does its share of webhooks and of operations of Admin."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from recordlayer.errors import RecordLayerError
from recordlayer_server import logs
from recordlayer_server.admin.running import Runner, forget_old_operations
from recordlayer_server.assets.collecting import Collector
from recordlayer_server.call import Authority
from recordlayer_server.databases import Databases
from recordlayer_server.operation.metrics import Metrics
from recordlayer_server.sync.trimming import forget_old_changes
from recordlayer_server.webhooks.dispatch import Dispatch, poster_of
from recordlayer_server.webhooks.registering import register_all

INTERVAL = timedelta(hours=1)
PATIENCE = timedelta(seconds=5)
_PARTING = timedelta(seconds=1)


@contextlib.asynccontextmanager
async def upkeep(
    databases: Databases,
    containers: Mapping[str, bytes],
    *,
    metrics: Metrics | None = None,
    authority: Authority | None = None,
) -> AsyncIterator[None]:
    """What runs beside the calls, until the block ends. Containers that cannot be put in place at once, because the
    database is away, are as soon as it is there.

    Raises  SchemaError, EvolutionRefused for a schema that will not do.
    """
    putting = asyncio.create_task(databases.put_containers(containers))
    done, _ = await asyncio.wait({putting}, timeout=PATIENCE.total_seconds())
    if done:
        putting.result()
    else:
        logs.write(logs.server, logging.WARNING, "containers wait for the database", containers=sorted(containers))
        putting.add_done_callback(_say)
    runner = Runner(databases)
    done_at = Last()
    others = (keep_up(databases, last=done_at), databases.instance.run(), runner.run())
    tasks = [putting, *(asyncio.create_task(other) for other in others)]
    if metrics is not None:
        metrics.follow(
            "upkeep_age_seconds", "since what is over was forgotten", lambda: time.monotonic() - done_at.time
        )
        metrics.follow("operations", "operations of Admin that it does", lambda: float(runner.running))
    if databases.hooks is not None:
        dispatch = Dispatch(databases, databases.hooks, poster_of(databases.hooks), authority=authority)
        tasks.append(asyncio.create_task(dispatch.run()))
        if metrics is not None:
            metrics.follow("webhooks", "webhooks that it serves", lambda: float(dispatch.served))
            metrics.follow("webhooks_failing", "those that failed the last time", lambda: float(dispatch.failing))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _left(databases)


async def _left(databases: Databases) -> None:
    """Let no other server wait for this one; they do without its word when its lease has run out."""
    if not databases.instance.lives:
        return
    with contextlib.suppress(RecordLayerError, TimeoutError):
        async with asyncio.timeout(_PARTING.total_seconds()):
            await databases.instance.leave()


def _say(putting: asyncio.Task[None]) -> None:
    if not putting.cancelled():
        error = putting.exception()
        level = logging.INFO if error is None else logging.ERROR
        event = "containers are in place" if error is None else "containers were refused"
        logs.write(logs.server, level, event, traceback_of=error)


@dataclass(slots=True)
class Last:
    """When it was done, on the monotonic clock; at first, when the server began."""

    time: float = field(default_factory=time.monotonic)


async def keep_up(databases: Databases, *, interval: timedelta = INTERVAL, last: Last | None = None) -> None:
    """Goes on until it is cancelled. Any number of servers may do it at once. A database that is away is tried again
    at the next turn. `last` is told when a turn has come to its end."""
    assets, last = Collector(databases), Last() if last is None else last
    while True:
        await asyncio.sleep(interval.total_seconds())
        try:
            reaped = await databases.database.idempotency.reap(databases.limits.idempotency_key_age)
            forgotten = await forget_old_changes(databases)
            collected = await assets.collect()
            await register_all(databases)
            operations = await forget_old_operations(databases)
        except RecordLayerError as error:
            logs.write(logs.server, logging.WARNING, "upkeep failed", error=error.code)
        else:
            last.time = time.monotonic()
            logs.write(
                logs.server,
                logging.DEBUG,
                "upkeep",
                idempotency_keys=reaped,
                changes=forgotten,
                assets=collected,
                operations=operations,
            )
