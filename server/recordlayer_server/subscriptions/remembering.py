"""Which records a subscription's query holds for, as far as its receiver may know: so that it is told when one stops.

The change feed says that a record has changed and not what it was, so this is kept beside the subscription: a row for
each record that the query holds for, which moves with the subscription's place, in the same transactions. Before
anything is told the records are looked through once, in pages. Queries without a filter need none of it: the feed
knows types.

What a receiver read for itself counts too: it may have seen a record in a state that is never told, because it was
there between two looks only. Where such a state cannot be excluded the record is told as if it had matched:

- several commits have changed it between two looks;
- it was changed while the records were looked through for the first time;
- the state behind a change is not known yet, since the record has changed again: it counts as matching until the later
  change comes.

Cost    1 read for each changed record that does not match, 1 write for each that begins to match or stops
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recordlayer import Limits as ReadLimits
from recordlayer.aio import RecordStore, Transaction
from recordlayer_server.databases import Databases
from recordlayer_server.pb import subscriptions_pb2 as stored
from recordlayer_server.places import Tenant
from recordlayer_server.subscriptions.matching import Condition, Memory


async def known_of(databases: Databases, tx: Transaction, tenant: Tenant, id_: str, names: Sequence[str]) -> set[str]:
    """Those of some records that are remembered.  Cost  a read each, 1 round trip."""
    store = await databases.matches(tx, tenant)
    if store is None or not names:
        return set()
    found = await store.load_many([(id_, name) for name in names], snapshot=True)
    return {name for name, one in zip(names, found, strict=True) if one is not None}


async def keep(databases: Databases, tx: Transaction, tenant: Tenant, id_: str, memory: Memory) -> None:
    """Remember what a page has left.  Cost  1 read and 1 write for each record."""
    if not memory.forget and not memory.held:
        return
    store = await databases.matches(tx, tenant, create=True)
    assert store is not None, "it was made"
    if memory.forget:
        await store.delete_where(None, {"subscription": id_})
    await _add(store, id_, (name for name, held in memory.held.items() if held))
    await store.delete_many([(id_, name) for name, held in memory.held.items() if not held])


async def forget(databases: Databases, tx: Transaction, tenant: Tenant, id_: str) -> None:
    """Remember nothing of a subscription any more.  Cost  1 clear."""
    store = await databases.matches(tx, tenant)
    if store is not None:
        await store.delete_where(None, {"subscription": id_})


async def look_through(
    databases: Databases, tx: Transaction, tenant: Tenant, seen: stored.Subscription, condition: Condition, zone: str
) -> stored.Subscription:
    """Remember what matches among the next records of the zone; the subscription as it is then.

    Cost  1 page of records, 1 read and 1 write for each that matches.
    """
    limits = databases.limits
    now = stored.Subscription()
    now.CopyFrom(seen)
    records = await databases.records(tx, tenant)
    now.ClearField("looked_to")
    if records is not None:
        page = records.scan(
            zone,
            resume=seen.looked_to or None,
            limit=limits.records_per_page,
            limits=ReadLimits(bytes=limits.bytes_per_page, time=limits.time_per_page),
            snapshot=True,
        )
        matching = [str(record.primary_key[1]) async for record in page.records() if condition.holds(record)]
        if matching:
            store = await databases.matches(tx, tenant, create=True)
            assert store is not None, "it was made"
            await _add(store, seen.id, matching)
        if page.continuation is not None:
            now.looked_to = page.continuation
            return now
    now.known_from = await tx.read_version()
    now.known_in = 0 if records is None else records.header.info.incarnation
    return now


async def _add(store: RecordStore, id_: str, names: Iterable[str]) -> None:
    await store.save_many([stored.Match(subscription=id_, name=name) for name in names])
