"""The assets of a database: records of a store beside that of its records.

Cost  of a look at an asset: 1 read; what is there of it goes in 1 read, 1 clear and 1 clear of a range
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from recordlayer import Bounds, End
from recordlayer.aio import RecordStore
from recordlayer.client.pb import assets_pb2, types_pb2
from recordlayer_server.databases import ASSETS
from recordlayer_server.pb import assets_pb2 as stored

CHUNK = 64 << 10
"""Bytes of a chunk but the last one of an asset."""

Key = tuple[Any, ...]

_ASSET = ASSETS.record_type("Asset").record_type_key
_CHUNK = ASSETS.record_type("Chunk").record_type_key
_RELEASE = ASSETS.record_type("Release").record_type_key


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """What an asset is known by in its database."""

    zone: str
    id: str


# -- assets ----------------------------------------------------------------------------------------------------------


async def find(store: RecordStore | None, name: Name) -> stored.Asset | None:
    """An asset, whole or not; None if it is not there."""
    return (await find_all(store, [name]))[0]


async def find_all(store: RecordStore | None, names: Sequence[Name]) -> list[stored.Asset | None]:
    """The same for several, in 1 round trip."""
    if store is None:
        return [None] * len(names)
    found: list[Any] = await store.load_many([(_ASSET, name.zone, name.id) for name in names])
    return [None if one is None else stored.Asset.FromString(one.SerializeToString()) for one in found]


async def names_behind(store: RecordStore, name: Name | None, *, limit: int) -> list[Name]:
    """So many assets behind one, in order, in a snapshot.  Cost  1 range read."""
    low = (_ASSET,) if name is None else (_ASSET, name.zone, name.id)
    bounds = Bounds.between(low, (_ASSET + 1,), low_end=End.INCLUSIVE if name is None else End.EXCLUSIVE)
    found: list[Any] = await store.scan(bounds=bounds, limit=limit, snapshot=True).all()
    return [Name(one.zone, one.id) for one in found]


async def save(store: RecordStore, asset: stored.Asset) -> None:
    await store.save(asset)


async def remove(store: RecordStore, name: Name) -> bool:
    """Take an asset away with its bytes; whether it was there. What is due for it stays, and finds nothing."""
    was_there = await store.delete((_ASSET, name.zone, name.id))
    await store.delete_where("Chunk", {"zone": name.zone, "asset": name.id})
    return was_there


async def remove_zone(store: RecordStore, zone: str) -> None:
    """Take away all assets of a zone."""
    await store.delete_where("Asset", {"zone": zone})
    await store.delete_where("Chunk", {"zone": zone})


def shown(asset: stored.Asset) -> types_pb2.Asset:
    """An asset as records and callers have it."""
    made = types_pb2.Asset(id=asset.id, size=asset.size, digest=asset.digest)
    made.content_type = asset.content_type
    return made


def state(asset: stored.Asset) -> assets_pb2.UploadState:
    return assets_pb2.UploadState(asset=shown(asset), received=asset.received, whole=asset.whole)


# -- chunks ----------------------------------------------------------------------------------------------------------


async def write(store: RecordStore, asset: stored.Asset, data: bytes) -> None:
    """Put bytes behind those that were received. What was received before are whole chunks, and so are these unless
    they are the last ones.  Cost  1 read and 1 write a chunk, 1 round trip."""
    first = asset.received // CHUNK
    await store.save_many(
        stored.Chunk(zone=asset.zone, asset=asset.id, number=first + place, data=data[at : at + CHUNK])
        for place, at in enumerate(range(0, len(data), CHUNK))
    )
    asset.received += len(data)


async def read(store: RecordStore, asset: stored.Asset, offset: int, length: int) -> bytes:
    """Bytes that were received; fewer if chunks are missing.  Cost  1 range read."""
    if length <= 0:
        return b""
    first, last = offset // CHUNK, (offset + length - 1) // CHUNK
    prefix = (_CHUNK, asset.zone, asset.id)
    bounds = Bounds.between((*prefix, first), (*prefix, last + 1))
    found: list[Any] = await store.scan(bounds=bounds).all()
    parts = [one.data for place, one in enumerate(found, first) if one.number == place]
    start = offset - first * CHUNK
    return b"".join(parts)[start : start + length]


# -- releases --------------------------------------------------------------------------------------------------------


async def release(store: RecordStore, names: Iterable[Name], due_at: int) -> None:
    """Have somebody look whether these assets are of use, after a time in microseconds since 1970.

    Cost  1 read of a key that nobody else has, and 2 writes, each; 1 round trip.
    """
    await store.save_many(
        stored.Release(zone=name.zone, asset=name.id, due_at=due_at, nonce=secrets.token_bytes(8)) for name in names
    )


async def due(store: RecordStore, now: int, *, limit: int) -> dict[Name, list[Key]]:
    """So many releases that are due, by asset.  Cost  1 range read."""
    entries = await store.scan_index("by_due", bounds=Bounds.between(None, (now,)), limit=limit).all()
    found: dict[Name, list[Key]] = {}
    for entry in entries:
        _, zone, asset, *_ = entry.primary_key
        found.setdefault(Name(zone, asset), []).append(entry.primary_key)
    return found


async def last_due(store: RecordStore, name: Name, *, snapshot: bool = False) -> int:
    """When the last look at an asset is due, 0 if none is.  Cost  1 range read of 1 record."""
    found = store.scan((_RELEASE, name.zone, name.id), reverse=True, limit=1, snapshot=snapshot)
    last: Any = await found.first()
    return 0 if last is None else int(last.due_at)


async def settle(store: RecordStore, keys: Iterable[Key]) -> None:
    """What was due has been done.  Cost  1 read and 2 clears each; 1 round trip."""
    await store.delete_many(keys)
