"""Which record stores lie below a path.

A store is known by its header, which is the first of its keys. One that is found is passed by as a whole; what is no
store is looked through.

Cost    1 read a store, 1 for each 250 keys outside of stores
"""

from __future__ import annotations

from dataclasses import dataclass

from recordlayer.errors import BadContinuation, MalformedTuple, UsageError
from recordlayer.keyspace import ResolvedPath
from recordlayer.keyspace.space import BEHIND, child_of
from recordlayer.kv.context import Context
from recordlayer.kv.engine import StreamingMode
from recordlayer.pb.parsing import PARSE_ERRORS
from recordlayer.pb.record_metadata_pb2 import DataStoreInfo
from recordlayer.store.header import NEWEST_FORMAT
from recordlayer.store.places import path_of
from recordlayer.store.settings import StoreInfo, info_of
from recordlayer.tenant.place import TenantPlace
from recordlayer.tuples import Subspace, pack, unpack, unpack_element

HEADER = pack((0,))
_CHUNK = 250
MOST_STRANGERS = 10_000
"""Keys outside of stores that one page looks at."""

_TOKEN = 1


@dataclass(frozen=True, slots=True)
class FoundStore:
    """A store that is there.

    path  where it is, to be opened: a path of the key space as far as there is one, else a Subspace
    info  what its header says
    """

    path: ResolvedPath | Subspace
    prefix: bytes
    info: StoreInfo

    def __str__(self) -> str:
        return path_of(self.prefix) if isinstance(self.path, Subspace) else str(self.path)


@dataclass(frozen=True, slots=True)
class StorePage:
    """Some stores in order, and where the next page begins: None if there are no more. A page may be short."""

    stores: list[FoundStore]
    continuation: bytes | None


def header_in(key: bytes, value: bytes) -> DataStoreInfo | None:
    """The header that a pair is; None if it is something else."""
    if not key.endswith(HEADER) or not value:
        return None
    try:
        header = DataStoreInfo.FromString(value)
    except PARSE_ERRORS:
        return None
    known = 1 <= header.formatVersion <= NEWEST_FORMAT and header.HasField("metaDataversion")
    return header if known else None


async def list_stores(
    context: Context, place: TenantPlace, *, limit: int = 1_000, continuation: bytes | None = None
) -> StorePage:
    """The stores below a path, in the order of their keys.

    Raises  UsageError; BadContinuation for one of another path.
    """
    if type(limit) is not int or limit < 1:
        raise UsageError(limit=limit, hint="give a number of at least 1")
    begin = place.begin if continuation is None else position_in(place, continuation)
    found: list[FoundStore] = []
    strangers = 0
    chunk = 1
    while begin < place.end:
        rows = (await context.get_range(begin, place.end, limit=chunk, mode=StreamingMode.EXACT)).rows
        if not rows:
            return StorePage(found, None)
        if len(found) == limit or strangers >= MOST_STRANGERS:
            return StorePage(found, token_of(place, rows[0][0]))
        for key, value in rows:
            header = header_in(key, value)
            if header is not None:
                prefix = key[: -len(HEADER)]
                found.append(FoundStore(await path_at(context, place, prefix), prefix, info_of(header)))
                begin, chunk = prefix + BEHIND, 1
                break
            strangers += 1
            begin, chunk = key + b"\x00", _CHUNK
    return StorePage(found, None)


async def path_at(context: Context, place: TenantPlace, prefix: bytes) -> ResolvedPath | Subspace:
    """What leads to a prefix: a path of the tenant's key space, or bytes where it has none.

    Cost  1 read for an interned name that is not cached.
    """
    resolved, at = place.resolved, len(place.prefix)
    while resolved is not None and at < len(prefix):
        try:
            element, at = unpack_element(prefix, at)
        except MalformedTuple:
            return Subspace(prefix=prefix)
        resolved = await child_of(context, resolved.path.directory, resolved, element)
    return Subspace(prefix=prefix) if resolved is None else resolved


# -- continuations


def token_of(place: TenantPlace, key: bytes) -> bytes:
    """A place to go on, as opaque bytes that are good for this tenant only."""
    return pack((_TOKEN, place.digest, key[len(place.prefix) :]))


def position_in(place: TenantPlace, token: bytes) -> bytes:
    """The key to go on at.  Raises  BadContinuation."""
    try:
        kind, digest, behind = unpack(token)
    except (MalformedTuple, ValueError, TypeError) as error:
        raise BadContinuation(reason="it is not one of a tenant's operations") from error
    if kind != _TOKEN or digest != place.digest or type(behind) is not bytes or not place.has(place.prefix + behind):
        raise BadContinuation(reason="it belongs to another tenant, or another operation", path=str(place))
    return place.prefix + behind
