"""What lies in a store and is of no use any more: found in words, and cleared.

    data, states and notes of indexes that the metadata no longer have; data of disabled ones
    notes of builds and scrubs that are over; violations of unique indexes that are unique now
    versions where the format keeps none

Somebody who is still at work on an index is left alone: his heartbeat says so. Records of types that are gone, and
versions without a record, are found where records are looked at: `online.repairer`.

Cost    1 range read for each index and keyspace of indexes that has something, whatever it holds; sizes are estimates
        of the engine. Clearing: 1 clear range for each find
Source  Record Layer, FDBRecordStore.vacuumReadableIndexesBuildData; the rest is what it leaves behind for good
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from recordlayer.errors import MalformedTuple
from recordlayer.index import build_notes
from recordlayer.index.state import IndexState
from recordlayer.metadata import Index
from recordlayer.pb.index_build_pb2 import IndexBuildHeartbeat
from recordlayer.pb.parsing import PARSE_ERRORS
from recordlayer.store.layout import Keyspace
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack, unpack, unpack_element

_OF_INDEXES = (
    Keyspace.INDEXES,
    Keyspace.INDEX_SECONDARY,
    Keyspace.INDEX_RANGES,
    Keyspace.UNIQUENESS_VIOLATIONS,
    Keyspace.INDEX_BUILDS,
    Keyspace.SLIDING_WINDOWS,
)
_AT_WORK = timedelta(minutes=1)
"""Who has shown himself so lately is at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that is of no use.

    where  the index, or the part of the store
    size   bytes, by an estimate of the engine; it may say 0 of what is little
    begin  and `end`: the keys
    """

    where: str
    what: str
    size: int
    begin: bytes
    end: bytes

    def __str__(self) -> str:
        return f"{self.where}: {self.what} (about {self.size:,} bytes)"


async def leftovers(store: RecordStore) -> list[Leftover]:
    """What is of no use in a store, in the order of its keys."""
    found: list[Leftover] = []
    by_key = {pack((index.subspace_key,)): index for index in store.metadata.indexes.values()}
    former = {pack((one.subspace_key,)): one.former_name or "" for one in store.metadata.former_indexes}
    for keyspace in _OF_INDEXES:
        words = keyspace.name.lower().replace("_", " ")
        for key in await _keys_of(store, keyspace):
            index = by_key.get(key)
            if index is None:
                name = former.get(key) or f"with the key {_shown(key)}"
                found.append(
                    await _leftover(store, keyspace, key, f"index {name}", f"{words} of an index that is gone")
                )
            elif (what := await _useless(store, keyspace, index)) is not None:
                found.append(await _leftover(store, keyspace, key, f"index {index.name}", what))
    found += await _states(store)
    if not store.records.has_old_versions:
        prefix = store.layout.old_versions
        if (await store.context.get_range(prefix + b"\x00", prefix + b"\xff", limit=1, snapshot=True)).rows:
            found.append(
                await _range(
                    store, "record versions", "versions where this format has none", prefix + b"\x00", prefix + b"\xff"
                )
            )
    return found


async def vacuum(store: RecordStore) -> list[Leftover]:
    """Clear what is of no use. What that was.  Raises  StoreLocked."""
    store.header.check_may_write()
    found = await leftovers(store)
    for one in found:
        # Whoever has written there since it was looked at would lose it.
        store.context.add_read_conflict_range(one.begin, one.end)
        store.context.clear_range(one.begin, one.end)
    return found


async def _keys_of(store: RecordStore, keyspace: Keyspace) -> list[bytes]:
    """The packed keys of the indexes that have something in a keyspace, each found with one read."""
    prefix = store.layout.of(keyspace)
    begin, keys = prefix + b"\x00", list[bytes]()
    while True:
        rows = (await store.context.get_range(begin, prefix + b"\xff", limit=1, snapshot=True)).rows
        if not rows:
            return keys
        key = rows[0][0]
        try:
            _, end = unpack_element(key, len(prefix))
        except MalformedTuple:
            end = len(key)
        # As it lies there: packed anew it may be another key, where somebody has packed it in another way.
        own = key[len(prefix) : end]
        keys.append(own)
        begin = prefix + own + b"\xff"


async def _useless(store: RecordStore, keyspace: Keyspace, index: Index) -> str | None:
    """Why what an index has in a keyspace is of no use; None if it is of use."""
    state = store.states.of(index)
    if keyspace is Keyspace.INDEX_BUILDS:
        if state in (IndexState.WRITE_ONLY, IndexState.WRITE_ONLY_WITH_QUEUE) or await _at_work(store, index):
            return None
        notes = _notes(store, index) + build_notes.BEHIND_LOCK
        end = _notes(store, index) + b"\xff"
        there = (await store.context.get_range(notes, end, limit=1, snapshot=True)).rows
        return "notes of builds and scrubs that are over" if there else None
    if state is IndexState.DISABLED:
        return "data of a disabled index"
    if keyspace is Keyspace.INDEX_RANGES and state.is_readable:
        return "how far a build was that is over"
    if keyspace is Keyspace.UNIQUENESS_VIOLATIONS and state is IndexState.READABLE:
        return "violations of an index that is unique now"
    return None


async def _at_work(store: RecordStore, index: Index) -> bool:
    prefix = _notes(store, index) + build_notes.HEARTBEATS
    now = store.context.world.clock.wall()
    for _, value in await store.context.read_all(prefix + b"\x00", prefix + b"\xff", snapshot=True):
        try:
            seen = IndexBuildHeartbeat.FromString(value).heartbeatTimeMilliseconds / 1000
        except PARSE_ERRORS:
            continue
        if abs(now - seen) < _AT_WORK.total_seconds():
            return True
    return False


def _notes(store: RecordStore, index: Index) -> bytes:
    return store.layout.of(Keyspace.INDEX_BUILDS) + pack((index.subspace_key,))


async def _states(store: RecordStore) -> list[Leftover]:
    """States of indexes that the metadata do not have."""
    prefix = store.layout.index_states
    known = {pack((name,), prefix) for name in store.metadata.indexes}
    rows = await store.context.read_all(prefix + b"\x00", prefix + b"\xff", snapshot=True)
    return [
        Leftover(
            where=f"index {_shown(key[len(prefix) :])}",
            what="the state of an index that is gone",
            size=len(key) + len(value),
            begin=key,
            end=key + b"\x00",
        )
        for key, value in rows
        if key not in known
    ]


async def _leftover(store: RecordStore, keyspace: Keyspace, key: bytes, where: str, what: str) -> Leftover:
    begin = store.layout.of(keyspace) + key
    if keyspace is Keyspace.INDEX_BUILDS:
        begin += build_notes.BEHIND_LOCK  # the lock of old programs stays
    return await _range(store, where, what, begin, store.layout.of(keyspace) + key + b"\xff")


async def _range(store: RecordStore, where: str, what: str, begin: bytes, end: bytes) -> Leftover:
    size = await store.context.transaction.estimated_range_size(begin, end)
    return Leftover(where=where, what=what, size=size, begin=begin, end=end)


def _shown(key: bytes) -> str:
    try:
        return ", ".join(repr(item) for item in unpack(key))
    except MalformedTuple:
        return key.hex()
