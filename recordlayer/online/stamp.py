"""How an index is being built: the stamp that a build leaves, and the stop that an operator puts on it.

A build that is continued by somebody else must go on in the same way, for what its range set says depends on that. Java
compares whole stamps, so exactly the fields of the method are set.

Layout  `index.build_notes`
Source  Record Layer: IndexingBase.setIndexingTypeOrThrow, IndexBuildIndexingStamp
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import timedelta

from recordlayer.errors import BuildBlocked, CorruptBuild, UsageError
from recordlayer.index import build_notes
from recordlayer.metadata import Index
from recordlayer.pb.index_build_pb2 import IndexBuildIndexingStamp as Stamp
from recordlayer.store.layout import Keyspace
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack


class Method(enum.Enum):
    """What the points of a build's range set are, and who writes them. The values are Java's names."""

    BY_RECORDS = "BY_RECORDS"
    MULTI_TARGET = "MULTI_TARGET_BY_RECORDS"
    MUTUAL = "MUTUAL_BY_RECORDS"
    BY_INDEX = "BY_INDEX"
    SCRUB_REPAIR = "SCRUB_REPAIR"


def stamp_for(method: Method, targets: Sequence[Index]) -> Stamp:
    """The stamp of a build over records. One index alone is built by records, however many were asked for."""
    stamp = Stamp(method=method.value)
    if method is not Method.BY_RECORDS:
        stamp.targetIndex.extend(sorted(index.name for index in targets))
    return stamp


def stamp_by_index(source: Index) -> Stamp:
    """The stamp of a build that goes by another index."""
    return Stamp(
        method=Method.BY_INDEX.value,
        source_index_subspace_key=pack((source.subspace_key,)),
        source_index_last_modified_version=source.last_modified_version,
    )


def source_in(store: RecordStore, stamp: Stamp) -> Index | None:
    """The index that a build goes by, as it was when the build began; None if it does not, or it is no more so."""
    if stamp.method != Stamp.BY_INDEX:
        return None
    for index in store.metadata.indexes.values():
        if same_build(stamp, stamp_by_index(index)):
            return index
    return None


def method_of(stamp: Stamp) -> Method:
    """Raises  CorruptBuild for one that nobody writes."""
    try:
        return Method(Stamp.Method.Name(stamp.method))
    except ValueError as error:
        raise CorruptBuild(method=stamp.method, hint="a newer program has begun this build: finish it there") from error


def build_prefix(store: RecordStore, index: Index) -> bytes:
    """Where the build of an index keeps its notes."""
    return store.layout.of(Keyspace.INDEX_BUILDS) + pack((index.subspace_key,))


async def read_stamp(store: RecordStore, index: Index, *, snapshot: bool = False) -> Stamp | None:
    """The stamp of an index's build, None if there is none.  Raises  CorruptBuild."""
    return await build_notes.stamp_at(store.context, build_prefix(store, index), index=index.name, snapshot=snapshot)


def write_stamp(store: RecordStore, index: Index, stamp: Stamp) -> None:
    store.context.set(build_prefix(store, index) + build_notes.STAMP, stamp.SerializeToString(deterministic=True))


def without_block(stamp: Stamp) -> Stamp:
    """What of a stamp says how the index is built."""
    plain = Stamp()
    plain.CopyFrom(stamp)
    for name in ("block", "blockExpireEpochMilliSeconds", "blockID"):
        plain.ClearField(name)
    return plain


def same_build(one: Stamp | None, other: Stamp) -> bool:
    """Whether two stamps are of builds that may go on from each other. None is a build of old, by records."""
    plain = Stamp(method=Stamp.BY_RECORDS) if one is None else without_block(one)
    return plain == without_block(other)


# -- stopping builds


def check_not_blocked(store: RecordStore, index: Index, stamp: Stamp | None) -> None:
    """Raises  BuildBlocked while an operator's stop is in force."""
    if stamp is None or not stamp.block:
        return
    expires = stamp.blockExpireEpochMilliSeconds
    if expires and expires < store.context.world.clock.wall() * 1000:
        return
    raise BuildBlocked(
        index=index.name, id=stamp.blockID, until_ms=expires or None, hint="unblock it, or wait until the block expires"
    )


async def block(store: RecordStore, index: Index, *, id: str = "", lasts: timedelta | None = None) -> None:  # noqa: A002
    """Have builds of an index stop at their next transaction, and refuse to go on until unblocked or expired.

    Cost  1 read, 1 write.  Raises  UsageError if no build has begun.
    """
    stamp = await begun(store, index)
    stamp.block = True
    if lasts is None:
        stamp.ClearField("blockExpireEpochMilliSeconds")
    else:
        stamp.blockExpireEpochMilliSeconds = int((store.context.world.clock.wall() + lasts.total_seconds()) * 1000)
    if id:
        stamp.blockID = id
    else:
        stamp.ClearField("blockID")
    write_stamp(store, index, stamp)


async def unblock(store: RecordStore, index: Index, *, id: str = "") -> bool:  # noqa: A002
    """Let builds go on. With an `id`, only if it was blocked with that one. Whether it was blocked.

    Cost  1 read, 1 write.  Raises  UsageError if no build has begun.
    """
    stamp = await begun(store, index)
    if not stamp.block or (id and stamp.blockID != id):
        return False
    stamp.block = False
    write_stamp(store, index, stamp)
    return True


async def begun(store: RecordStore, index: Index) -> Stamp:
    """The stamp of a build that has begun.  Cost  1 read.  Raises  UsageError."""
    stamp = await read_stamp(store, index)
    if stamp is None:
        raise UsageError(index=index.name, hint="no build of it has begun")
    return stamp


# -- how far it is


def scanned_key(store: RecordStore, index: Index) -> bytes:
    """The counter of the records that the build has looked at."""
    return build_prefix(store, index) + build_notes.SCANNED


async def scanned(store: RecordStore, index: Index) -> int:
    """How many records the build has looked at, as far as that was counted.  Cost  1 read."""
    return int.from_bytes(await store.context.get(scanned_key(store, index), snapshot=True) or b"", "little")


def erase_notes(store: RecordStore, index: Index) -> None:
    """Clear what builds leave, but not the lock of old programs.  Cost  1 clear range."""
    build = build_prefix(store, index)
    store.context.clear_range(build + build_notes.BEHIND_LOCK, build + b"\xff")
