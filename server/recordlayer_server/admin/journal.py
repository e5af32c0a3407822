"""Operations as the servers of a database keep them: one record each, in a store of all servers.

A server owns an operation from when it claims it until it settles it. The owner is one that lives by its lease among
the servers (`schemas.instances`), so a server that was killed owns nothing once that has run out. What an owner writes,
it writes in a transaction that finds itself still the owner.

Cost    finding what is due: 1 range read, and 1 more where others own some of it; claiming, noting and settling: 1 read
        and up to 5 writes each
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from google.rpc import status_pb2

from recordlayer import Bounds, RecordMetaDataBuilder, concat
from recordlayer.aio import RecordStore, Transaction
from recordlayer.client.pb import admin_pb2
from recordlayer.store.open import Cacheable
from recordlayer_server import places, statuses
from recordlayer_server.pb import operations_pb2 as stored
from recordlayer_server.places import Tenant
from recordlayer_server.values import timestamp

Shown = admin_pb2.AdminOperation
MOST_DUE = 1_000
"""Operations that one look is about."""
FORGOTTEN_AT_ONCE = 200

_OF_DATABASE = concat("container", "environment", "scope", "user")
_METADATA = (
    RecordMetaDataBuilder(stored.DESCRIPTOR)
    .primary_key("Operation", concat("container", "environment", "name"))
    .index("Operation", "by_database", concat(_OF_DATABASE, "name"))
    .index("Operation", "open", concat("open", _OF_DATABASE))
    .index("Operation", "due", "due")
    .index("Operation", "ended", "ended_at")
    .build()
)
Key = tuple[str, int, str]
"""Container, environment and name."""


@dataclass(slots=True)
class Entry:
    """An operation: what is kept of it, and what callers see of it."""

    row: stored.Operation
    shown: Shown

    @property
    def key(self) -> Key:
        return self.row.container, self.row.environment, self.row.name

    @property
    def tenant(self) -> Tenant:
        """The database that it is about."""
        return Tenant(self.row.container, self.row.environment, self.row.scope, self.row.user)

    @property
    def is_over(self) -> bool:
        return not self.row.open

    def release(self) -> None:
        """Nobody works on it."""
        self.row.ClearField("owner")
        self.shown.server = ""

    def end(self, state: Shown.State, now: float, *, status: status_pb2.Status | None = None) -> None:
        self.release()
        for name in ("open", "due", "pause", "cancel", "not_before", "place"):
            self.row.ClearField(name)
        self.row.ended_at = round(now * 1e6)
        self.shown.ended.CopyFrom(timestamp(self.row.ended_at))
        self._say(state, status)

    def pause(self) -> None:
        self.release()
        self.row.ClearField("due")
        self.row.ClearField("not_before")
        self.row.pause = True
        self._say(Shown.PAUSED, None)

    def wait(self, now: float, *, status: status_pb2.Status | None = None) -> None:
        """For a server; with a status not before what that says."""
        self.release()
        self.row.due = True
        after = None if status is None else statuses.retry_after(status)
        self.row.not_before = round((now + (after or 0)) * 1e6)
        self._say(Shown.WAITING, status)

    def begin(self, owner: str, now: float) -> None:
        self.row.owner = self.shown.server = owner
        self.shown.starts += 1
        if not self.shown.HasField("started"):
            self.shown.started.CopyFrom(timestamp(round(now * 1e6)))
        self._say(Shown.RUNNING, None)

    def _say(self, state: Shown.State, status: status_pb2.Status | None) -> None:
        self.shown.state = state
        self.shown.ClearField("status")
        if status is not None:
            self.shown.status.CopyFrom(status)


async def opened(tx: Transaction) -> RecordStore:
    """The store of all operations."""
    return await tx.store(_METADATA, path=places.of_operations(), cacheable=Cacheable.YES)


async def load(tx: Transaction, key: Key, *, snapshot: bool = False) -> Entry | None:
    """An operation, None if there is none of that name.  Cost  1 read."""
    found = await (await opened(tx)).load(key, snapshot=snapshot)
    return None if found is None else _entry(found)


async def save(tx: Transaction, entry: Entry) -> None:
    entry.row.shown = entry.shown.SerializeToString()
    await (await opened(tx)).save(entry.row)


async def open_of(tx: Transaction, tenant: Tenant) -> list[Entry]:
    """The operations of a database that are not over. Two that read this and add one conflict; what the servers note of
    those that run does not.  Cost  1 range read, 1 read each."""
    store = await opened(tx)
    entries = await store.scan_index("open", (True, *tenant)).all()
    keys = [entry.primary_key for entry in entries]
    return [_entry(found) for found in await store.load_many(keys, snapshot=True) if found is not None]


async def page(
    tx: Transaction, container: str, environment: int, tenant: Tenant | None, *, limit: int, resume: bytes | None
) -> tuple[list[Entry], bytes | None]:
    """Operations of a database, or of all in an environment, by name backwards; and where the next page begins."""
    store = await opened(tx)
    if tenant is None:
        cursor = store.scan((container, environment), reverse=True, limit=limit, resume=resume, snapshot=True)
        found = [_entry(one) for one in await cursor.all()]
        return found, cursor.continuation
    entries = store.scan_index("by_database", tuple(tenant), reverse=True, limit=limit, resume=resume, snapshot=True)
    keys = [entry.primary_key for entry in await entries.all()]
    rows = await store.load_many(keys, snapshot=True)
    return [_entry(one) for one in rows if one is not None], entries.continuation


# -- for servers


async def due(tx: Transaction) -> list[Entry]:
    """What servers have to do something about, or do it already.  Cost  1 range read, 1 read each."""
    store = await opened(tx)
    entries = await store.scan_index("due", (True,), limit=MOST_DUE, snapshot=True).all()
    rows = await store.load_many([entry.primary_key for entry in entries], snapshot=True)
    return [_entry(one) for one in rows if one is not None]


def claim(key: Key, owner: str, others: Iterable[str], now: float) -> Callable[[Transaction], Awaitable[Entry | None]]:
    """Let a server own an operation that none of the others, which live, owns; None if it is not to be worked on. What
    was to be paused or cancelled when its owner died is."""

    async def work(tx: Transaction) -> Entry | None:
        entry = await load(tx, key)
        if entry is None or not entry.row.due or entry.row.owner in others or entry.row.not_before > now * 1e6:
            return None
        if entry.row.cancel:
            entry.end(Shown.CANCELLED, now)
        elif entry.row.pause:
            entry.pause()
        else:
            entry.begin(owner, now)
        await save(tx, entry)
        return entry if entry.row.owner == owner else None

    return work


def note(key: Key, owner: str, change: Callable[[Entry], None]) -> Callable[[Transaction], Awaitable[Entry | None]]:
    """Change an operation, if this server still owns it; None if it does not."""

    async def work(tx: Transaction) -> Entry | None:
        entry = await load(tx, key)
        if entry is None or entry.row.owner != owner:
            return None
        change(entry)
        await save(tx, entry)
        return entry

    return work


def forget(before: float) -> Callable[[Transaction], Awaitable[int]]:
    """Forget some that were over before a time; how many.  Cost  1 range read, 1 clear and 4 more each."""

    async def work(tx: Transaction) -> int:
        store = await opened(tx)
        found = store.scan_index("ended", bounds=Bounds.between((1,), (round(before * 1e6),)), limit=FORGOTTEN_AT_ONCE)
        keys = [entry.primary_key for entry in await found.all()]
        return sum(await store.delete_many(keys))

    return work


def _entry(found: Any) -> Entry:
    row = stored.Operation.FromString(found.SerializeToString())
    return Entry(row, Shown.FromString(row.shown))
