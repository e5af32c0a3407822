"""A look at what a subscription has to tell, its place behind that, and waiting for more: for streams and webhooks.

Cost    a look: 1 read of the subscription and those of a page of the feed, 1 for each changed record that does not
        match a query's filter; 1 watch while there is nothing to tell
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from google.rpc import code_pb2

from recordlayer.aio import Transaction
from recordlayer.aio.feed import FeedWatch
from recordlayer.errors import FeedMissing, FeedTokenExpired, Overloaded, TooManyWatches
from recordlayer_server import statuses
from recordlayer_server.databases import Databases
from recordlayer_server.limits import Limits
from recordlayer_server.pb import subscriptions_pb2 as stored
from recordlayer_server.places import Tenant
from recordlayer_server.subscriptions import catalog, remembering
from recordlayer_server.subscriptions.matching import Condition, Event, Memory, condition_of, doubtful, remembers, told
from recordlayer_server.sync.pulses import POLL


@dataclass(frozen=True, slots=True)
class Look:
    """What a subscription has to tell.

    seen       the subscription
    behind     the same as it is when this counts as told
    moved      there is something to save: changes, told or not, or more of the records that were looked through
    remaining  what has to be looked through before anything can be told; None for nothing
    """

    seen: stored.Subscription
    behind: stored.Subscription
    version: int
    events: list[Event] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    lost: bool = False
    moved: bool = False
    remaining: Condition | None = None
    watch: FeedWatch | None = None


async def look(databases: Databases, tx: Transaction, tenant: Tenant, seen: stored.Subscription, *, most: int) -> Look:
    """The next page of what a subscription has to tell, of at most so many changes.

    Raises  Refusal where there is no feed, or the schema has no place for the query any more.
    """
    said = catalog.shown(seen)
    version = await tx.read_version()
    store = await databases.records(tx, tenant)
    metadata = await databases.metadata(tx, tenant)
    if store is None or metadata is None or store.feed.settings is None:
        raise statuses.refusal(code_pb2.FAILED_PRECONDITION, "NOT_SYNCED", "this database keeps no changes")
    condition, zone = condition_of(said, metadata, databases.limits), catalog.group_of(said)
    behind = stored.Subscription()
    behind.CopyFrom(seen)
    if condition is not None and remembers(said) and not seen.HasField("known_from"):
        return Look(seen, behind, version, moved=True, remaining=condition)
    try:
        page = await store.feed.changes(since=seen.place, group=zone, coalesced=True, limit=most)
    except (FeedTokenExpired, FeedMissing):
        behind.place = await store.feed.now(group=zone)
        behind.ClearField("known_from")
        behind.ClearField("known_in")
        return Look(seen, behind, version, memory=Memory(forget=True), lost=True, moved=True)
    changes, known = list(page), set[str]()
    if condition is not None and remembers(said):
        known = await remembering.known_of(databases, tx, tenant, seen.id, doubtful(changes, condition))
    events, memory = told(changes, condition, known, known_from=(seen.known_in, seen.known_from))
    moved = bool(changes) or page.more
    behind.place = page.token
    watch = None if moved else store.feed.watch(group=zone)
    return Look(seen, behind, version, events, memory, moved=moved, watch=watch)


async def changed(watch: FeedWatch | None, limits: Limits) -> None:
    """Wait until something may have changed. A watch is a hint and may be lost, and there may be none: a look comes in
    any case after a while."""
    try:
        if watch is not None:
            await watch.wait(limits.progress_interval)
            return
    except (TooManyWatches, Overloaded):
        pass
    finally:
        if watch is not None:
            watch.cancel()
    await asyncio.sleep(POLL.total_seconds())


async def move(databases: Databases, tx: Transaction, tenant: Tenant, done: Look) -> None:
    """Let a look count as told; or look through some more of the records, where that has to be done first.

    Raises  Refusal if the subscription is not any more what was looked at.
    """
    behind = done.behind
    if done.remaining is not None:
        zone = catalog.group_of(catalog.shown(done.seen)) or ""
        behind = await remembering.look_through(databases, tx, tenant, done.seen, done.remaining, zone)
    await catalog.replace(databases, tx, tenant, done.seen, behind)
    if remembers(catalog.shown(done.seen)):
        await remembering.keep(databases, tx, tenant, done.seen.id, done.memory)
