"""One build of an index at a time: whoever builds says so in every transaction, and looks who else does.

Layout  `index.build_notes`
Cost    1 range read, 1 write a transaction and index
Source  Record Layer: IndexingHeartbeat
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from recordlayer.errors import BuildLocked, MalformedTuple
from recordlayer.index.build_notes import HEARTBEATS
from recordlayer.metadata import Index
from recordlayer.online.stamp import build_prefix
from recordlayer.pb.index_build_pb2 import IndexBuildHeartbeat
from recordlayer.pb.parsing import PARSE_ERRORS
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack, unpack

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Builder:
    """Somebody who builds an index, or did until he stopped without a word.

    info   the method of his build; "METHOD by NAME" if he says who he is
    began  milliseconds since 1970 by his clock; `seen` is when he last said that he is there
    """

    id: uuid.UUID
    info: str
    began: int
    seen: int


async def builders(store: RecordStore, index: Index, *, snapshot: bool = True) -> list[Builder]:
    """Who builds an index, or did so without taking leave.  Cost  1 range read."""
    prefix = build_prefix(store, index) + HEARTBEATS
    found = []
    for key, value in await store.context.read_all(prefix + b"\x00", prefix + b"\xff", snapshot=snapshot):
        try:
            (who,) = unpack(key, len(prefix))
            beat = IndexBuildHeartbeat.FromString(value)
        except (MalformedTuple, ValueError, *PARSE_ERRORS):
            continue  # nobody's: the next clearing takes it away
        if isinstance(who, uuid.UUID):
            found.append(Builder(who, beat.info, beat.createTimeMilliseconds, beat.heartbeatTimeMilliseconds))
    return found


class Heartbeat:
    """The heartbeat of one indexer. `info`: the method of his build, and who he is."""

    def __init__(self, who: uuid.UUID, info: str, began: int, lease_ms: int) -> None:
        self.who = who
        self._info = info
        self._began = began
        self._lease_ms = lease_ms

    async def check(self, store: RecordStore, index: Index, *, alone: bool) -> None:
        """With `alone`, see that nobody else builds this index, or has within his lease.

        Raises  BuildLocked.
        """
        now = _now(store)
        if alone:
            for other in await builders(store, index, snapshot=False):
                # A time far ahead is a clock gone wrong, not somebody at work.
                if other.id != self.who and -_DAY_MS < now - other.seen < self._lease_ms:
                    raise BuildLocked(
                        index=index.name,
                        builder=str(other.id),
                        method=other.info,
                        seen_ms_ago=now - other.seen,
                        lease_ms=self._lease_ms,
                        hint="somebody else builds it: wait for him, or until his lease has run out",
                    )

    def beat(self, store: RecordStore, index: Index) -> None:
        """Say that we build this index.  Cost  1 write."""
        beat = IndexBuildHeartbeat(
            info=self._info, createTimeMilliseconds=self._began, heartbeatTimeMilliseconds=_now(store)
        )
        store.context.set(self._key(store, index), beat.SerializeToString(deterministic=True))

    def take_leave(self, store: RecordStore, index: Index) -> None:
        """Build no more.  Cost  1 clear."""
        store.context.clear(self._key(store, index))

    def _key(self, store: RecordStore, index: Index) -> bytes:
        return pack((self.who,), build_prefix(store, index) + HEARTBEATS)


def _now(store: RecordStore) -> int:
    return int(store.context.world.clock.wall() * 1000)
