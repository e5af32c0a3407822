"""The notification of a webhook that waits to be answered: made in the transaction that moves the subscription's place
behind what it tells, and kept until it is answered well. Whoever sends it, however often, sends the same bytes.

Cost  1 read and 1 write for each step, and 1 write more for each 90 KB of a notification
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from google.protobuf import json_format

from recordlayer.aio import RecordStore, Transaction
from recordlayer.client import webhooks as signing
from recordlayer.client.pb import context_pb2, subscriptions_pb2
from recordlayer_server.config import Hooks
from recordlayer_server.databases import Databases
from recordlayer_server.pb import subscriptions_pb2 as stored
from recordlayer_server.places import Tenant
from recordlayer_server.subscriptions.matching import Event
from recordlayer_server.values import timestamp

LAST_DELAY = 3_600.0
"""Seconds between two attempts, at most."""
BOTH_SECRETS = timedelta(days=1)
_MOST_REASON = 300
_SECOND = 1_000_000

Shown = subscriptions_pb2.Subscription.Delivery


async def begin(databases: Databases, tx: Transaction, tenant: Tenant, id_: str) -> str:
    """Nothing waits yet; the secret of a webhook that is new."""
    made = stored.Delivery(subscription=id_, secret=secrets.token_bytes(32), stream=secrets.token_hex(8))
    await _save(databases, tx, tenant, made)
    return signing.secret_of(made.secret)


async def load(databases: Databases, tx: Transaction, tenant: Tenant, id_: str) -> stored.Delivery | None:
    """How a webhook does, None for a subscription without one."""
    return (await load_many(databases, tx, tenant, [id_]))[0]


async def load_many(
    databases: Databases, tx: Transaction, tenant: Tenant, ids: Sequence[str]
) -> list[stored.Delivery | None]:
    store = await databases.deliveries(tx, tenant) if ids else None
    found: list[Any] = [None] * len(ids) if store is None else await store.load_many(list(ids))
    return [None if one is None else stored.Delivery.FromString(one.SerializeToString()) for one in found]


async def forget(databases: Databases, tx: Transaction, tenant: Tenant, id_: str) -> bool:
    """Whether there was one.  Cost  1 read, 1 clear."""
    store = await databases.deliveries(tx, tenant)
    return store is not None and bool(await store.delete(id_))


async def put(
    databases: Databases,
    tx: Transaction,
    tenant: Tenant,
    delivery: stored.Delivery,
    events: Sequence[Event],
    *,
    lost: bool,
) -> None:
    """Let the next notification wait. The one before was answered."""
    delivery.number += 1
    told = subscriptions_pb2.Notification(
        id=id_of(delivery),
        subscription=delivery.subscription,
        container=tenant.container,
        environment=context_pb2.Environment.Name(tenant.environment),
        database=context_pb2.Database(scope=context_pb2.Database.Scope.Name(tenant.scope), user=tenant.user),
        number=delivery.number,
        events=events,
        lost=lost,
    )
    delivery.pending = _body(told)
    await _save(databases, tx, tenant, delivery)


async def delivered(
    databases: Databases, tx: Transaction, tenant: Tenant, delivery: stored.Delivery, now: float
) -> None:
    """It was answered well."""
    for name in ("pending", "failing_since", "attempts", "next_attempt_at", "reason"):
        delivery.ClearField(name)
    delivery.delivered_at = int(now * _SECOND)
    await _save(databases, tx, tenant, delivery)


async def failed(
    databases: Databases,
    tx: Transaction,
    tenant: Tenant,
    delivery: stored.Delivery,
    now: float,
    *,
    reason: str,
    wait: float | None,
    hooks: Hooks,
) -> None:
    """It was not answered well: when it is sent again, later and later, or not any more.

    wait  seconds that the receiver has asked for
    """
    delivery.attempts += 1
    if not delivery.failing_since:
        delivery.failing_since = int(now * _SECOND)
    delivery.reason = reason[:_MOST_REASON]
    if now - delivery.failing_since / _SECOND >= hooks.patience.total_seconds():
        delivery.disabled = True
        delivery.ClearField("next_attempt_at")
    else:
        delay = min(LAST_DELAY, hooks.retry.total_seconds() * 2 ** min(delivery.attempts - 1, 20)) * random.uniform(
            0.5, 1
        )
        delivery.next_attempt_at = int((now + max(delay, min(wait or 0.0, LAST_DELAY))) * _SECOND)
    await _save(databases, tx, tenant, delivery)


async def disable(
    databases: Databases, tx: Transaction, tenant: Tenant, delivery: stored.Delivery, now: float, reason: str
) -> None:
    """It cannot work."""
    delivery.disabled, delivery.reason = True, reason[:_MOST_REASON]
    delivery.ClearField("next_attempt_at")
    if not delivery.failing_since:
        delivery.failing_since = int(now * _SECOND)
    await _save(databases, tx, tenant, delivery)


async def resume(
    databases: Databases, tx: Transaction, tenant: Tenant, delivery: stored.Delivery, now: float, *, new_secret: bool
) -> str:
    """What waits is sent at once; the new secret, "" if none is wanted."""
    for name in ("disabled", "failing_since", "attempts", "next_attempt_at", "reason"):
        delivery.ClearField(name)
    if new_secret:
        delivery.old_secret, delivery.secret = delivery.secret, secrets.token_bytes(32)
        delivery.old_secret_until = int((now + BOTH_SECRETS.total_seconds()) * _SECOND)
    await _save(databases, tx, tenant, delivery)
    return signing.secret_of(delivery.secret) if new_secret else ""


def rename(delivery: stored.Delivery) -> None:
    """Let what waits, and all that comes, have other ids than those of the webhook that this is a copy of."""
    delivery.stream = secrets.token_hex(8)
    if delivery.HasField("pending"):
        told = json_format.Parse(delivery.pending, subscriptions_pb2.Notification())
        told.id = id_of(delivery)
        delivery.pending = _body(told)


def id_of(delivery: stored.Delivery) -> str:
    """What tells the notification that waits from all others."""
    return f"{delivery.stream}-{delivery.number}"


def due_in(delivery: stored.Delivery, now: float) -> float:
    """Seconds until what waits is to be sent."""
    return max(0.0, delivery.next_attempt_at / _SECOND - now)


def signed(delivery: stored.Delivery, now: float) -> dict[str, str]:
    """The headers of what waits, if it is sent now."""
    id_, sent_at, keys = id_of(delivery), int(now), [delivery.secret]
    if now < delivery.old_secret_until / _SECOND:
        keys.append(delivery.old_secret)
    signatures = [signing.signature(signing.secret_of(key), id_, sent_at, delivery.pending) for key in keys]
    return {signing.ID: id_, signing.TIMESTAMP: str(sent_at), signing.SIGNATURE: " ".join(signatures)}


def shown(delivery: stored.Delivery) -> Shown:
    """How a webhook does, as callers get it."""
    waiting = delivery.HasField("pending")
    made = Shown(state=Shown.ACTIVE, reason=delivery.reason, attempts=delivery.attempts)
    made.delivered = delivery.number - waiting
    if delivery.delivered_at:
        made.delivered_at.CopyFrom(timestamp(delivery.delivered_at))
    if delivery.failing_since:
        made.failing_since.CopyFrom(timestamp(delivery.failing_since))
        made.state = Shown.FAILING
    if delivery.next_attempt_at:
        made.next_attempt.CopyFrom(timestamp(delivery.next_attempt_at))
    if delivery.disabled:
        made.state = Shown.DISABLED
    return made


def _body(told: subscriptions_pb2.Notification) -> bytes:
    return bytes(json_format.MessageToJson(told, indent=None, ensure_ascii=True).encode())


async def _save(databases: Databases, tx: Transaction, tenant: Tenant, delivery: stored.Delivery) -> None:
    store = await databases.deliveries(tx, tenant, create=True)
    assert isinstance(store, RecordStore), "it was made"
    await store.save(delivery)
