"""Questions about a tenant, and small errands, each with its transactions."""

from __future__ import annotations

from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.options import TransactionOptions
from recordlayer.store.open import Path
from recordlayer.tenant.freeze import thaw
from recordlayer.tenant.place import tenant_place
from recordlayer.tenant.steps import Steps
from recordlayer.tenant.stores import StorePage, list_stores


async def size_below(beginning: Beginning, path: Path, options: TransactionOptions | None) -> int:
    """About how many bytes lie below a path."""

    async def ask(context: Context) -> int:
        place = await tenant_place(context, path)
        return await context.transaction.estimated_range_size(place.begin, place.end)

    return await Steps(beginning, "tenant size", None, options).run(ask)


async def stores_below(
    beginning: Beginning, path: Path, options: TransactionOptions | None, limit: int, continuation: bytes | None
) -> StorePage:
    """A page of the stores below a path."""

    async def look(context: Context) -> StorePage:
        place = await tenant_place(context, path)
        return await list_stores(context, place, limit=limit, continuation=continuation)

    return await Steps(beginning, "tenant stores", None, options).run(look)


async def thaw_below(beginning: Beginning, path: Path, options: TransactionOptions | None) -> int:
    """Take away what exports have locked. How many stores that were."""
    steps = Steps(beginning, "tenant thaw", None, options)
    place = await steps.run(lambda context: tenant_place(context, path))
    return await thaw(steps, place)
