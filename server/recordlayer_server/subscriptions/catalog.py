"""The subscriptions of a database, and their places in its feed: records of a store beside that of its records."""

from __future__ import annotations

import time
from typing import Any

from google.rpc import code_pb2

from recordlayer.aio import Transaction
from recordlayer.client.pb import subscriptions_pb2
from recordlayer_server import statuses
from recordlayer_server.databases import Databases
from recordlayer_server.pb import subscriptions_pb2 as stored
from recordlayer_server.places import Tenant
from recordlayer_server.security.identity import Identity
from recordlayer_server.subscriptions import remembering
from recordlayer_server.subscriptions.matching import Condition, remembers
from recordlayer_server.values import timestamp
from recordlayer_server.webhooks import outbox, registry


async def found(databases: Databases, tx: Transaction, tenant: Tenant, name: str) -> stored.Subscription | None:
    """A subscription, None if it is not there.  Cost  1 read."""
    store = await databases.subscriptions(tx, tenant)
    one: Any = None if store is None else await store.load(name)
    return None if one is None else stored.Subscription.FromString(one.SerializeToString())


async def all_of(databases: Databases, tx: Transaction, tenant: Tenant) -> list[subscriptions_pb2.Subscription]:
    """All of them, by id.  Cost  1 range read, 1 for each that has a webhook."""
    store = await databases.subscriptions(tx, tenant)
    if store is None:
        return []
    made = [shown(one) for one in await store.scan(limit=databases.limits.subscriptions_per_database).all()]
    hooked = [one for one in made if one.HasField("webhook")]
    for one, delivery in zip(
        hooked, await outbox.load_many(databases, tx, tenant, [o.id for o in hooked]), strict=True
    ):
        if delivery is not None:
            one.delivery.CopyFrom(outbox.shown(delivery))
    return made


async def create(
    databases: Databases,
    tx: Transaction,
    tenant: Tenant,
    said: subscriptions_pb2.Subscription,
    who: Identity,
    condition: Condition | None,
) -> tuple[subscriptions_pb2.Subscription, str]:
    """Let there be a subscription whose place is behind all that the transaction sees. The records' store is there.
    With it goes the secret of a webhook that is new, "" for none.

    Cost    1 read of the records' store, 1 range read of the subscriptions; 1 write. Of a query with a filter, also a
            page of records.
    Raises  Refusal.
    """
    store = await databases.subscriptions(tx, tenant, create=True)
    assert store is not None, "it was made"
    known: list[Any] = await store.scan(limit=databases.limits.subscriptions_per_database + 1).all()
    wanted = said.SerializeToString(deterministic=True)
    for one in known:
        if one.id == said.id:
            if one.said == wanted:
                return shown(one), ""
            raise statuses.refusal(code_pb2.ALREADY_EXISTS, "EXISTS", "there is another subscription of this id")
    if len(known) >= databases.limits.subscriptions_per_database:
        text = f"a database has at most {databases.limits.subscriptions_per_database} subscriptions: delete one"
        raise statuses.refusal(code_pb2.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", text)
    records = await databases.records(tx, tenant)
    if records is None or records.feed.settings is None:
        raise statuses.refusal(code_pb2.FAILED_PRECONDITION, "NOT_SYNCED", "this database keeps no changes")
    made = stored.Subscription(id=said.id, said=wanted, created_at=time.time_ns() // 1_000, created_by=who.name)
    if said.HasField("webhook"):
        made.receiver.CopyFrom(_receiver(who))
    made.place = await records.feed.now(group=group_of(said))
    if condition is not None and remembers(said):
        zone = group_of(said) or ""
        made = await remembering.look_through(databases, tx, tenant, made, condition, zone)
    await store.save(made)
    secret = ""
    if said.HasField("webhook"):
        secret = await outbox.begin(databases, tx, tenant, said.id)
        await registry.add(tx, registry.Hook(tenant, said.id))
    return shown(made), secret


async def delete(databases: Databases, tx: Transaction, tenant: Tenant, name: str) -> bool:
    """Whether it was there, with what is kept for it.  Cost  2 reads, 2 clears; of a webhook more."""
    store = await databases.subscriptions(tx, tenant)
    if store is None or not await store.delete(name):
        return False
    await remembering.forget(databases, tx, tenant, name)
    if await outbox.forget(databases, tx, tenant, name):
        await registry.remove(tx, registry.Hook(tenant, name))
    return True


async def resume(
    databases: Databases, tx: Transaction, tenant: Tenant, name: str, now: float, who: Identity, *, new_secret: bool
) -> tuple[subscriptions_pb2.Subscription, str]:
    """Let a webhook go on at once, with what `who` may read; its subscription, and the new secret if one is wanted.

    Cost    6 reads, 6 writes.
    Raises  Refusal if there is none.
    """
    one = await found(databases, tx, tenant, name)
    delivery = await outbox.load(databases, tx, tenant, name)
    if one is None:
        raise statuses.not_found("subscription", name)
    if delivery is None:
        raise statuses.bad_request("id", "this subscription has no webhook")
    secret = await outbox.resume(databases, tx, tenant, delivery, now, new_secret=new_secret)
    one.receiver.CopyFrom(_receiver(who))
    store = await databases.subscriptions(tx, tenant)
    assert store is not None, "it has the subscription"
    await store.save(one)
    # Whoever serves it sleeps until its time: added anew, it is taken by somebody who looks at it now.
    hook = registry.Hook(tenant, name)
    await registry.remove(tx, hook)
    await registry.add(tx, hook)
    made = shown(one)
    made.delivery.CopyFrom(outbox.shown(delivery))
    return made, secret


async def replace(
    databases: Databases, tx: Transaction, tenant: Tenant, seen: stored.Subscription, now: stored.Subscription
) -> None:
    """Save a subscription, if it is still as it was seen.

    Cost    1 read, 1 write.
    Raises  Refusal if it is gone, was made anew, or somebody else has moved it on.
    """
    store = await databases.subscriptions(tx, tenant)
    there = await found(databases, tx, tenant, seen.id)
    if store is None or there is None or there.created_at != seen.created_at:
        raise statuses.not_found("subscription", seen.id)
    if there != seen:
        text = "another stream has acknowledged changes of this subscription: open it again"
        raise statuses.refusal(code_pb2.ABORTED, "CONFLICT", text)
    await store.save(now)


def group_of(said: subscriptions_pb2.Subscription) -> str | None:
    """The zone whose changes a subscription is about, None for all of them."""
    kind = said.WhichOneof("kind")
    return None if kind == "database" else str(getattr(said, kind).zone.name)


def _receiver(who: Identity) -> stored.Receiver:
    return stored.Receiver(name=who.name, user=who.user, roles=sorted(who.roles))


def receiver_of(one: stored.Subscription) -> Identity | None:
    """As whom a webhook reads; None for one from before that was kept."""
    if not one.HasField("receiver"):
        return None
    said = one.receiver
    return Identity(said.name, said.user, frozenset(said.roles))


def shown(one: Any) -> subscriptions_pb2.Subscription:
    """A stored subscription as callers get it."""
    made = subscriptions_pb2.Subscription.FromString(one.said)
    made.created.CopyFrom(timestamp(one.created_at))
    made.created_by = one.created_by
    return made
