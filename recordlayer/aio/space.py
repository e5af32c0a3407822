"""Points in space, in the asyncio facade."""

from __future__ import annotations

from recordlayer.aio.cursor import EntryCursor, RecordCursor
from recordlayer.cursor.limits import NO_LIMITS, Limits
from recordlayer.index.rtree_scan import Side
from recordlayer.store.spaces import Space as Core


class Space:
    """The points of a MULTIDIMENSIONAL index: `RecordStore.space`.

    A side of a box is a pair of coordinates, from the first up to, not including, the second; None is no end:
    `within((0, 10), (None, 5))`. Points with a null coordinate come before all numbers, and are near to nothing.
    Parameters as in `RecordStore.query`; all pages resume.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    def within(
        self,
        *sides: Side,
        limit: int | None = None,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
    ) -> RecordCursor:
        """The records whose points are in a box, neighbours one after the other (along the Hilbert curve).

        Cost    1 read for each node of the tree whose box is concerned, several at a time; 1 range read a record.
        Raises  UsageError, BadContinuation.
        """
        entries = self._core.within(sides, limit=limit or 0, resume=resume, limits=limits, snapshot=snapshot)
        return RecordCursor(self._core.records(entries, snapshot=snapshot))

    def entries_within(
        self,
        *sides: Side,
        limit: int | None = None,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
    ) -> EntryCursor:
        """The index entries in a box, with the columns that they cover; continuations are Java's.  Cost  no records."""
        return EntryCursor(self._core.within(sides, limit=limit or 0, resume=resume, limits=limits, snapshot=snapshot))

    def nearest(
        self,
        *point: int,
        limit: int | None = None,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
    ) -> RecordCursor:
        """The records of one space by the distance of their points from this one, nearest first: stop when you have
        enough.

        Cost    1 read for each node that is as near as what is given; 1 range read a record.
        Raises  UsageError, BadContinuation.
        """
        entries = self._core.nearest(point, limit=limit or 0, resume=resume, limits=limits, snapshot=snapshot)
        return RecordCursor(self._core.records(entries, snapshot=snapshot))

    def entries_nearest(
        self,
        *point: int,
        limit: int | None = None,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
    ) -> EntryCursor:
        """The index entries by distance, nearest first.  Cost  no records."""
        return EntryCursor(self._core.nearest(point, limit=limit or 0, resume=resume, limits=limits, snapshot=snapshot))
