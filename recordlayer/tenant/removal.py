"""Removing all that a tenant has, in steps.

The first key of a store is its header, and it goes first: a store that is half removed cannot be opened. Whoever is
interrupted begins again and goes on with what is left.

Cost    1 read, 2 clear ranges and 1 write for about `StepLimits.bytes` of data
Source  Record Layer: KeySpacePath.deleteAllData
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from recordlayer.errors import NameNotInterned
from recordlayer.keyspace import InternedDirectory
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.options import TransactionOptions
from recordlayer.store.open import Path
from recordlayer.tenant.marks import bucket_key, import_key, imported_key, limits_key, staged
from recordlayer.tenant.place import TenantPlace, tenant_place
from recordlayer.tenant.steps import StepLimits, Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalReport:
    """What a deletion has done. `estimated_left`: bytes that are still there, about; 0 when it is finished."""

    finished: bool = False
    transactions: int = 0
    estimated_left: int = 0


async def delete_tenant(
    beginning: Beginning,
    path: Path,
    *,
    name: bool = False,
    limits: StepLimits | None = None,
    options: TransactionOptions | None = None,
    told: Callable[[RemovalReport], object] | None = None,
) -> RemovalReport:
    """Remove everything below a path.

    name  also the interned name of the path's last directory, and the tenant's limits. Its number is not used again

    Raises  UsageError for a path that is not one tenant's.
    """
    steps = Steps(beginning, "tenant deletion", limits, options)

    async def learn(context: Context) -> TenantPlace | None:
        try:
            return await tenant_place(context, path)
        except NameNotInterned:
            return None

    place = await steps.run(learn)
    if place is None:
        return RemovalReport(finished=True, transactions=steps.transactions)
    await remove_all(steps, place, told)
    if name:
        await steps.run(lambda context: _forget(context, place))
    return RemovalReport(finished=True, transactions=steps.transactions)


async def remove_all(steps: Steps, place: TenantPlace, told: Callable[[RemovalReport], object] | None = None) -> None:
    """The keys of a tenant, and what an import of it has kept back. An import that is under way ends first."""

    async def unmark(context: Context) -> None:
        context.clear(import_key(place.prefix))
        context.clear(imported_key(place.prefix))

    await steps.run(unmark)

    back = staged(place.prefix)
    for begin, end in ((place.begin, place.end), (back, back + b"\xff\xff")):
        await clear_in_steps(steps, begin, end, told)


async def clear_in_steps(
    steps: Steps, begin: bytes, end: bytes, told: Callable[[RemovalReport], object] | None = None
) -> None:
    """All keys of a range, the first of them first."""
    at = begin
    while at < end:
        some = partial(_clear_some, begin, at, end, steps.limits.bytes, told is not None)
        at, left = await steps.run(some)
        if told is not None:
            told(RemovalReport(transactions=steps.transactions, estimated_left=left))
        if at < end:
            await steps.pace(steps.limits.bytes)


async def _clear_some(
    begin: bytes, at: bytes, end: bytes, size: int, estimate: bool, context: Context
) -> tuple[bytes, int]:
    """Clear about so many bytes from `at` on: where it ended, and about how many bytes are left.

    A cluster tells of what was cleared for a while, so this never looks back; but the last time everything is cleared
    once more, for what somebody may have written behind us.
    """
    transaction = context.transaction
    cuts = await transaction.range_split_points(at, end, size)
    stop = cuts[1] if len(cuts) > 2 else end
    context.clear_stores(at if stop < end else begin, stop)
    left = await transaction.estimated_range_size(stop, end) if stop < end and estimate else 0
    return stop, left


async def _forget(context: Context, place: TenantPlace) -> None:
    context.clear(limits_key(place.prefix))
    context.clear(bucket_key(place.prefix))
    if place.resolved is not None:
        path = place.resolved.path
        if isinstance(path.directory, InternedDirectory):
            await path.directory.resolver.forget(context, path.value)
