"""Which records an index that is being built has seen already.

Layout  6 range set of the index: key (bytes where a built range begins), value the raw bytes where it ends
        9, 2 stamp of the build (IndexBuildIndexingStamp): what the points of the range set are
Cost    contains: 2 reads
Source  Record Layer, StandardIndexMaintainer.isRangeBuilt; RangeSet.contains
"""

from __future__ import annotations

from recordlayer.errors import IndexNotSupported
from recordlayer.index.maintainer import IndexSpace
from recordlayer.pb.index_build_pb2 import IndexBuildIndexingStamp
from recordlayer.tuples import pack

_BUILD, _STAMP, _RANGES = 9, b"\x15\x02", 6
_BY_PRIMARY_KEY = ("BY_RECORDS", "MULTI_TARGET_BY_RECORDS", "MUTUAL_BY_RECORDS")


class BuiltRanges:
    """The built ranges of one index, by packed primary key."""

    __slots__ = ("_space",)

    def __init__(self, space: IndexSpace) -> None:
        self._space = space

    async def contains(self, point: bytes) -> bool:
        """Whether the build has been at this primary key. The commit conflicts with a build that gets there meanwhile.

        Raises  IndexNotSupported when the build does not go by primary key.
        """
        space = self._space
        context = space.context
        ranges = space.space(_RANGES)
        key = pack((point,), ranges)
        stamp_read = context.get(space.space(_BUILD) + _STAMP)
        context.add_read_conflict_key(key)
        range_read = context.get_range(ranges + b"\x00", key + b"\x00", limit=1, reverse=True, snapshot=True)
        stamp = await stamp_read
        if stamp is not None:
            method = IndexBuildIndexingStamp.FromString(stamp).method
            name = IndexBuildIndexingStamp.Method.Name(method)
            if name not in _BY_PRIMARY_KEY:
                raise IndexNotSupported(
                    index=space.index.name,
                    method=name,
                    hint="the index is being built from another index; save again when the build has ended",
                )
        rows = (await range_read).rows
        return bool(rows) and rows[0][1] > point
