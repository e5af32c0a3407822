"""Points in space as callers ask for them: what is in a box, and what is near, as entries or as records.

Cost    see `index.rtree_scan`
Source  Record Layer, MultidimensionalIndexScanBounds; the nearest are ours
"""

from __future__ import annotations

from typing import Any

from recordlayer.cursor.step import Cursor
from recordlayer.errors import UsageError
from recordlayer.index.bounds import Bounds
from recordlayer.index.entry import IndexEntry
from recordlayer.index.multidimensional import MultidimensionalIndex
from recordlayer.index.rtree_scan import Box, Side
from recordlayer.metadata import Index
from recordlayer.store.ranking import as_elements, entry_records
from recordlayer.store.record import StoredRecord
from recordlayer.store.scanning import scan_options
from recordlayer.store.store import RecordStore

Items = tuple[Any, ...]


class Space:
    """The points of the spaces whose prefix columns begin alike."""

    def __init__(self, store: RecordStore, index: Index, maintainer: MultidimensionalIndex, prefix: Items) -> None:
        self._store = store
        self._index = index
        self._maintainer = maintainer
        self._prefix = prefix

    def within(self, sides: tuple[Side, ...], **how: Any) -> Cursor[IndexEntry]:
        """The entries in a box."""
        options = scan_options(self._store, reverse=False, **how)
        return self._maintainer.scan_box(Bounds.equal(self._prefix), Box(sides), options)

    def nearest(self, point: Items, **how: Any) -> Cursor[IndexEntry]:
        """The entries of one space, nearest first."""
        if any(not isinstance(number, int) or isinstance(number, bool) for number in point):
            raise UsageError(point=point, hint="a point is a whole number for each dimension")
        return self._maintainer.scan_nearest(self._prefix, point, scan_options(self._store, reverse=False, **how))

    def records(self, entries: Cursor[IndexEntry], *, snapshot: bool) -> Cursor[StoredRecord]:
        """The records of some entries, in their order."""
        return entry_records(self._store, self._index, entries, snapshot=snapshot)


def space(store: RecordStore, name: str, prefix: Items) -> Space:
    """The points of a MULTIDIMENSIONAL index.  Raises  UnknownIndex, IndexNotReadable, UsageError."""
    maintainer = store.index_maintainer(name)
    if not isinstance(maintainer, MultidimensionalIndex):
        hint = "only a MULTIDIMENSIONAL index has points: define one with multidimensional(...)"
        raise UsageError(index=name, type=maintainer.type, hint=hint)
    if len(prefix) > maintainer.prefix_size:
        maintainer.check_prefix(prefix)
    index = store.metadata.index(name)
    return Space(store, index, maintainer, as_elements(store, index, prefix, start=0))
