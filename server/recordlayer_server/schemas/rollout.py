"""Versions on their way: staged, known to the servers that live, active.

A store of all servers holds the leases of those that live, what is staged, at most one version for each container and
environment, and who has it. It becomes active in the transaction that finds nobody missing, whoever makes it; if others
have changed the metadata meanwhile it is dropped.

Cost    to become active: 3 range reads, 1 read, about 6 writes
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from recordlayer import RecordMetaData, RecordMetaDataBuilder, concat, record_type
from recordlayer.aio import RecordStore, Transaction
from recordlayer.errors import IndexNotSupported, MetaDataMissing, NameNotInterned
from recordlayer.index.registry import is_known
from recordlayer.metadata import Evolution
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import Cacheable
from recordlayer_server import logs, places
from recordlayer_server.pb import schemas_pb2 as stored
from recordlayer_server.schemas import history

MOST = 10_000
"""Rows of a kind that are looked at: servers, roll-outs at once."""

_METADATA = (
    RecordMetaDataBuilder(stored.DESCRIPTOR)
    .primary_key("Instance", concat(record_type(), "id"))
    .primary_key("Rollout", concat(record_type(), "container", "environment"))
    .primary_key("RolloutContent", concat(record_type(), "id"))
    .primary_key("Acknowledgement", concat(record_type(), "rollout", "instance"))
    .split_long_records()
    .build()
)
_KEYS = {name: known.record_type_key for name, known in _METADATA.record_types.items()}


async def opened(tx: Transaction) -> RecordStore:
    """The store of what is on its way."""
    return await tx.store(_METADATA, path=places.of_rollouts(), cacheable=Cacheable.YES)


def instance_key(instance: str) -> tuple[Any, ...]:
    return _KEYS["Instance"], instance


async def instances(store: RecordStore, *, before: float | None = None, after: float = 0) -> list[Any]:
    """The servers whose lease runs out before a time, or after one. Nobody conflicts with a server that renews its."""
    found: list[Any] = await store.scan((_KEYS["Instance"],), limit=MOST, snapshot=True).all()
    if before is not None:
        return [row for row in found if row.expires_at < before * 1e6]
    return [row for row in found if row.expires_at > after * 1e6]


async def staged_everywhere(tx: Transaction) -> list[Any]:
    """What is staged.  Cost  1 range read."""
    found: list[Any] = await (await opened(tx)).scan((_KEYS["Rollout"],), limit=MOST, snapshot=True).all()
    return found


async def staged(tx: Transaction, container: str, environment: int) -> Any:
    """What is staged for a container, None for nothing.  Cost  1 read."""
    return await (await opened(tx)).load((_KEYS["Rollout"], container, environment))


def content_of(rollout: str) -> Callable[[Transaction], Awaitable[Any]]:
    """What is to become active; None if it is over."""

    async def work(tx: Transaction) -> Any:
        return await (await opened(tx)).load((_KEYS["RolloutContent"], rollout))

    return work


def usable(data: bytes) -> RecordMetaData:
    """The metadata in these bytes, if this release can keep stores by them.  Raises  SchemaError, IndexNotSupported."""
    metadata = RecordMetaData.from_bytes(data)
    for index in metadata.indexes.values():
        if not is_known(index.type):
            raise IndexNotSupported(index=index.name, type=index.type)
    return metadata


async def current(tx: Transaction, container: str, environment: int) -> RecordMetaData | None:
    """The active metadata, read from the database; None if there are none.  Cost  1 range read."""
    try:
        place = await tx.key_space(places.SPACE).resolve(places.of_metadata(container, environment), create=False)
        return await tx.metadata_store(StoredMetaData(path=place.subspace)).load(fresh=True)
    except (NameNotInterned, MetaDataMissing):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """A version to come.

    before       what is active, None for nothing
    metadata     what shall be
    origin       where it comes from, and the version
    rules        of evolution, by which it follows
    """

    container: str
    environment: int
    before: RecordMetaData | None
    metadata: RecordMetaData
    origin: stored.VersionOrigin
    description: bytes
    rules: Evolution


_OPTIONS = (
    "allow_index_rebuilds",
    "allow_field_renames",
    "allow_deprecated_field_renames",
    "allow_undeprecating_fields",
)


async def stage(tx: Transaction, version: Next, now: float, *, by: str) -> stored.Rollout | None:
    """Stage a version; its roll-out, without an id if it is active: at once if no other server lives than the one that
    stages it. None if something else is active, or staged, than was when it was made.

    Raises  EvolutionRefused.
    """
    before = await current(tx, version.container, version.environment)
    if (None if before is None else before.version) != (None if version.before is None else version.before.version):
        return None
    store = await opened(tx)
    if await store.exists((_KEYS["Rollout"], version.container, version.environment)):
        return None
    if before is not None:
        version.rules.check(before, version.metadata)
    row = stored.Rollout(container=version.container, environment=version.environment, origin=version.origin)
    if before is None or all(each.id == by for each in await instances(store, after=now)):
        await _activate(tx, version)
        return row
    row.id = secrets.token_hex(16)
    row.from_version = before.version
    row.allowed.extend(option for option in _OPTIONS if getattr(version.rules, option))
    await store.save(row)
    data = version.metadata.to_bytes()
    await store.save(stored.RolloutContent(id=row.id, metadata=data, description=version.description))
    await store.save(stored.Acknowledgement(rollout=row.id, instance=by))
    return row


def forward(row: stored.Rollout, now: float, *, by: str = "") -> Callable[[Transaction], Awaitable[None]]:
    """Note that a server knows what is staged, and let it become active if that was the last one.

    Raises  nothing that is about the version: one that cannot follow any more is dropped, and said in the log.
    """

    async def work(tx: Transaction) -> None:
        store = await opened(tx)
        found: Any = await store.load((_KEYS["Rollout"], row.container, row.environment))
        if found is None or found.id != row.id:
            return
        if by and not await store.exists((_KEYS["Acknowledgement"], row.id, by)):
            await store.save(stored.Acknowledgement(rollout=row.id, instance=by))
        if await _missing(store, row.id, now):
            return
        content: Any = await store.load((_KEYS["RolloutContent"], row.id))
        before = await current(tx, row.container, row.environment)
        await _forget(store, row)
        if before is None or before.version != row.from_version:
            logs.write(
                logs.server,
                logging.WARNING,
                "a staged schema was dropped: something else is active than what it follows",
                container=row.container,
                version=row.origin.version,
            )
            return
        options: dict[str, Any] = dict.fromkeys(found.allowed, True)
        version = Next(
            container=row.container,
            environment=row.environment,
            before=before,
            metadata=RecordMetaData.from_bytes(content.metadata),
            origin=found.origin,
            description=bytes(content.description),
            rules=Evolution(**options),
        )
        await _activate(tx, version)

    return work


async def missing(tx: Transaction, rollout: str, now: float) -> list[str]:
    """The servers that do not know yet what is staged.  Cost  2 range reads."""
    return [name_of(row) for row in await _missing(await opened(tx), rollout, now)]


async def withdraw(tx: Transaction, container: str, environment: int, version: int) -> bool:
    """Forget what is staged; whether it was that version.  Cost  1 read, some clears."""
    store = await opened(tx)
    row: Any = await store.load((_KEYS["Rollout"], container, environment))
    if row is None or row.origin.version != version:
        return False
    await _forget(store, row)
    return True


def name_of(instance: Any) -> str:
    return f"{instance.id} (release {instance.release})"


async def _missing(store: RecordStore, rollout: str, now: float) -> list[Any]:
    living = await instances(store, after=now)
    # Read so that it conflicts: of the last two servers that say so at once, one has to see the other.
    said: list[Any] = await store.scan((_KEYS["Acknowledgement"], rollout), limit=MOST).all()
    known = {row.instance for row in said}
    return [row for row in living if row.id not in known]


async def _forget(store: RecordStore, row: stored.Rollout) -> None:
    await store.delete((_KEYS["Rollout"], row.container, row.environment))
    await store.delete((_KEYS["RolloutContent"], row.id))
    acknowledged: list[Any] = await store.scan((_KEYS["Acknowledgement"], row.id), limit=MOST).all()
    for said in acknowledged:
        await store.delete((_KEYS["Acknowledgement"], row.id, said.instance))


async def _activate(tx: Transaction, version: Next) -> None:
    path = places.of_metadata(version.container, version.environment)
    await tx.metadata_store(StoredMetaData(path=path, evolution=version.rules)).save(version.metadata)
    origin = stored.VersionOrigin.FromString(version.origin.SerializeToString())
    await history.note(tx, version.container, version.environment, origin, version.description)
