"""All webhooks there are, whichever database they belong to, and which server serves which.

A webhook belongs to the server that has taken it, as long as that one's lease runs (`schemas.instances`): there is no
second lease to renew. Each server takes those that fall to it when the webhooks are spread over the servers that live,
once nobody else has them. Whoever works for a webhook reads its row in the same transaction: another server that takes
it makes that transaction fail.

Cost    a look: 1 read and 1 range read; all rows again after a webhook was added or taken away
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any, NamedTuple

from recordlayer import RecordMetaDataBuilder, concat, record_type
from recordlayer.aio import Database, RecordStore, Transaction
from recordlayer.store.open import Cacheable
from recordlayer_server import places
from recordlayer_server.pb import subscriptions_pb2 as stored
from recordlayer_server.places import Tenant

_PAGE = 1_000

_METADATA = (
    RecordMetaDataBuilder(stored.DESCRIPTOR)
    .primary_key("Webhook", concat(record_type(), "container", "environment", "scope", "user", "subscription"))
    .primary_key("WebhookChanges", record_type())
    .build()
)
_KEYS = {name: known.record_type_key for name, known in _METADATA.record_types.items()}


class Hook(NamedTuple):
    """A webhook: the subscription of a database that has one."""

    tenant: Tenant
    subscription: str


async def opened(tx: Transaction) -> RecordStore:
    return await tx.store(_METADATA, path=places.of_webhooks(), cacheable=Cacheable.YES)


async def add(tx: Transaction, hook: Hook) -> None:
    """Let a webhook be served; well if it is already.  Cost  2 reads, 2 writes."""
    store = await opened(tx)
    if await store.load(_key(hook)) is None:
        await store.save(_row(hook, ""))
        await _count(store)


async def remove(tx: Transaction, hook: Hook) -> None:
    """Let a webhook not be served any more.  Cost  2 reads, 2 writes."""
    store = await opened(tx)
    if await store.delete(_key(hook)):
        await _count(store)


async def remove_all(tx: Transaction, tenant: Tenant) -> None:
    """Let none of a database's webhooks be served any more.  Cost  1 range read; 1 read, 1 clear range and 1 write."""
    store = await opened(tx)
    if await store.scan((_KEYS["Webhook"], *tenant), limit=1).first() is not None:
        await store.delete_where("Webhook", tenant._asdict())
        await _count(store)


async def changes(tx: Transaction) -> int:
    """A number that is another one whenever a webhook was added or taken away.  Cost  1 read."""
    row: Any = await (await opened(tx)).load((_KEYS["WebhookChanges"],), snapshot=True)
    return 0 if row is None else int(row.count)


async def all_hooks(database: Database) -> dict[Hook, str]:
    """All webhooks, each with the server that has taken it, "" for none.  Cost  1 range read for each 1,000."""
    found: dict[Hook, str] = {}
    resume: bytes | None = None
    while True:

        async def page(tx: Transaction, resume: bytes | None = resume) -> tuple[list[Any], bytes | None]:
            cursor = (await opened(tx)).scan((_KEYS["Webhook"],), limit=_PAGE, resume=resume, snapshot=True)
            return await cursor.all(), cursor.continuation

        rows, resume = await database.run(page)
        for row in rows:
            tenant = Tenant(row.container, row.environment, row.scope, row.user)
            found[Hook(tenant, row.subscription)] = row.owner
        if resume is None:
            return found


async def owner(tx: Transaction, hook: Hook) -> str | None:
    """The server that has taken a webhook, "" for none; None: there is no such webhook any more. The transaction fails
    if that changes.  Cost  1 read."""
    row: Any = await (await opened(tx)).load(_key(hook))
    return None if row is None else str(row.owner)


async def take(tx: Transaction, hook: Hook, server: str, living: Collection[str]) -> str | None:
    """The server that has a webhook then: this one, unless another one that lives has it; None: it is gone.

    Cost  1 read, 1 write.
    """
    has = await owner(tx, hook)
    if has is None or has == server or has in living:
        return has
    await (await opened(tx)).save(_row(hook, server))
    return server


async def give_up(tx: Transaction, hook: Hook, server: str) -> None:
    """Let others take a webhook that this server has.  Cost  1 read, 1 write."""
    if await owner(tx, hook) == server:
        await (await opened(tx)).save(_row(hook, ""))


def falls_to(hook: Hook, servers: Collection[str]) -> str:
    """The server that is to have a webhook: each gets about as many, and few change hands when one comes or goes."""
    name = repr(hook).encode()
    return max(servers, key=lambda server: hashlib.blake2b(name + b"\0" + server.encode(), digest_size=8).digest())


def _key(hook: Hook) -> tuple[Any, ...]:
    return _KEYS["Webhook"], *hook.tenant, hook.subscription


def _row(hook: Hook, server: str) -> stored.Webhook:
    tenant = hook.tenant
    return stored.Webhook(
        container=tenant.container,
        environment=tenant.environment,
        scope=tenant.scope,
        user=tenant.user,
        subscription=hook.subscription,
        owner=server,
    )


async def _count(store: RecordStore) -> None:
    row: Any = await store.load((_KEYS["WebhookChanges"],))
    await store.save(stored.WebhookChanges(count=1 if row is None else row.count + 1))
