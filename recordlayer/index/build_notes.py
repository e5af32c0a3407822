"""What builds and scrubs note about an index: the only place with the numbers below keyspace 9.

Layout  9, index, then
        0     the lock of old programs, (0, 0) and (0, 1)
        1     records that builds have looked at, 8 bytes little-endian, added to
        2     how the index is being built: IndexBuildIndexingStamp
        3, 4  range sets of scrubs with id 0: which entries, which records have been looked at
        5, 6  of scrubs with another id, which follows: records, entries
        7     (indexer's UUID) -> IndexBuildHeartbeat
        8, 9  a queue of writes, and its size: Java's, not kept here
        10    (scrub's id, place) range sets of scrubs over what an index keeps beside its entries: not Java's
              ("rate") records a second that builds may look at, 8 bytes little-endian: not Java's

Source  Record Layer: IndexingSubspaces
"""

from __future__ import annotations

from recordlayer.errors import CorruptBuild
from recordlayer.kv.context import Context
from recordlayer.pb.index_build_pb2 import IndexBuildIndexingStamp
from recordlayer.pb.parsing import PARSE_ERRORS
from recordlayer.tuples import pack

KEYSPACE = 9

SCANNED, STAMP = pack((1,)), pack((2,))
HEARTBEATS = pack((7,))
RATE = pack((10, "rate"))
BEHIND_LOCK = SCANNED
"""Where begins what is no lock."""


def scrubbed_entries(scrub_id: int) -> bytes:
    """Where the range set of a scrub over the entries of an index lies."""
    return pack((6, scrub_id)) if scrub_id else pack((3,))


def scrubbed_records(scrub_id: int) -> bytes:
    """Where the range set of a scrub over records lies."""
    return pack((5, scrub_id)) if scrub_id else pack((4,))


async def stamp_at(
    context: Context, notes: bytes, *, index: str, snapshot: bool = False
) -> IndexBuildIndexingStamp | None:
    """The stamp of an index's build, whose notes begin with `notes`; None if there is none.  Cost  1 read.

    Raises  CorruptBuild.
    """
    value = await context.get(notes + STAMP, snapshot=snapshot)
    if value is None:
        return None
    try:
        return IndexBuildIndexingStamp.FromString(value)
    except PARSE_ERRORS as error:
        raise CorruptBuild(index=index, key=notes + STAMP, hint="rebuild the index from the beginning") from error


def scrubbed_more(scrub_id: int, place: int) -> bytes:
    """The same for pairs of an index that Java does not scrub: ours, in a place that it leaves alone."""
    return pack((10, scrub_id, place))
