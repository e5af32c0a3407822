"""Where the versions of a container's metadata came from, and what their owner said: a store in each environment.

The metadata themselves, and those they have replaced, are where Java keeps them.
"""

from __future__ import annotations

from typing import Any

from recordlayer import Bounds, OpenMode, RecordMetaDataBuilder, concat, record_type
from recordlayer.aio import RecordStore, Transaction
from recordlayer.errors import NameNotInterned, StoreMissing
from recordlayer.store.open import Cacheable
from recordlayer_server import places
from recordlayer_server.pb import schemas_pb2 as stored

_METADATA = (
    RecordMetaDataBuilder(stored.DESCRIPTOR)
    .primary_key("VersionOrigin", concat(record_type(), "version"))
    .primary_key("Description", concat(record_type(), "version"))
    .split_long_records()
    .build()
)
_ORIGIN = _METADATA.record_type("VersionOrigin").record_type_key
_DESCRIPTION = _METADATA.record_type("Description").record_type_key


async def note(
    tx: Transaction, container: str, environment: int, origin: stored.VersionOrigin, description: bytes
) -> None:
    """Let a version have come from there.  Cost  2 writes."""
    store = await tx.store(_METADATA, path=places.of_schemas(container, environment), cacheable=Cacheable.YES)
    await store.save(origin)
    await store.save(stored.Description(version=origin.version, data=description))


async def origins(
    tx: Transaction, container: str, environment: int, *, before: int = 0, limit: int = 1
) -> list[stored.VersionOrigin]:
    """The versions that were noted, the newest first, those below `before` if it is given.  Cost  1 range read."""
    store = await _store(tx, container, environment)
    if store is None:
        return []
    bounds = Bounds.between((_ORIGIN,), (_ORIGIN, before)) if before else Bounds.equal((_ORIGIN,))
    found: list[Any] = await store.scan(bounds=bounds, reverse=True, limit=limit).all()
    return found


async def origin_of(tx: Transaction, container: str, environment: int, version: int) -> stored.VersionOrigin:
    """Where a version came from; only the version of one that was not noted.  Cost  1 read."""
    store = await _store(tx, container, environment)
    found: Any = None if store is None else await store.load((_ORIGIN, version))
    return stored.VersionOrigin(version=version) if found is None else found


async def description_of(tx: Transaction, container: str, environment: int, version: int) -> bytes:
    """What the owner said, empty if that is not known.  Cost  1 read."""
    store = await _store(tx, container, environment)
    found: Any = None if store is None else await store.load((_DESCRIPTION, version))
    return b"" if found is None else bytes(found.data)


async def _store(tx: Transaction, container: str, environment: int) -> RecordStore | None:
    try:
        place = await tx.key_space(places.SPACE).resolve(places.of_schemas(container, environment), create=False)
        return await tx.store(_METADATA, path=place.subspace, mode=OpenMode.OPEN)
    except (NameNotInterned, StoreMissing):
        return None
