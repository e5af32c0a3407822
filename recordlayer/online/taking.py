"""What one transaction of a long work takes from a cursor: some at a time, until it has enough.

Source  Record Layer: IndexingBase.iterateRangeOnly
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from recordlayer.cursor.step import Cursor, Stop
from recordlayer.kv.context import Context
from recordlayer.online.options import WorkLimits

T = TypeVar("T")

AT_ONCE = 20
"""Taken between two looks at the clock and at what has been written."""


class Taken(NamedTuple):
    """How many were taken, and the first that was left; None if there are no more."""

    number: int
    left: Any


async def take(
    context: Context,
    cursor: Cursor[T],
    use: Callable[[list[T]], Coroutine[Any, Any, object]],
    *,
    most: int,
    limits: WorkLimits,
) -> Taken:
    """Give what a cursor has to `use`, at most `most` and one at least, until the transaction has lasted or written as
    much as it may. The cursor has to go one further than `most` to tell whether there is more."""
    clock, counters = context.world.clock, context.counters
    late = clock.monotonic() + limits.time.total_seconds()
    full = counters.bytes_written + limits.bytes
    taken = 0
    while True:
        batch = await cursor.batch()
        found = list(batch.values)
        at = 0
        while at < len(found):
            if taken and (taken >= most or counters.bytes_written >= full or clock.monotonic() >= late):
                return Taken(taken, found[at])
            some = found[at : at + min(AT_ONCE, most - taken)]
            await use(some)
            at += len(some)
            taken += len(some)
        if batch.stop is Stop.EXHAUSTED:
            return Taken(taken, None)
