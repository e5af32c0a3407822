"""Fetching: from index entries to their records.

An index over a repeated field may have several entries of one record within the bounds. Such a record is kept at the
first of them only, in the direction of the scan; that is worked out from the record itself, so that nothing has to be
remembered between pages.

Cost  1 range read a record, all of a batch under way together
"""

from __future__ import annotations

from recordlayer.cursor.step import Cursor
from recordlayer.errors import CorruptIndexEntry
from recordlayer.index.entry import IndexEntry
from recordlayer.index.value import ValueIndex
from recordlayer.query.cost import Estimate
from recordlayer.query.plan.base import Plan, Run
from recordlayer.query.plan.scan import Ranges
from recordlayer.store.fetch import FetchRecords
from recordlayer.store.record import StoredRecord


class Fetch:
    """The records of index entries, in the order of the entries."""

    unit = "records"

    def __init__(
        self, source: Plan, index: str, ranges: Ranges, *, names: tuple[str, ...], distinct: bool, reverse: bool
    ) -> None:
        self.children: tuple[Plan, ...] = (source,)
        self._index = index
        self._ranges = ranges
        self._distinct = distinct
        self._reverse = reverse
        once = ", each once" if distinct else ""
        self.title = f"Fetch {', '.join(names) or 'records'}{once}"
        self.line = f"Fetch({source.line}{once})"
        below = source.estimate
        self.estimate = Estimate(below.rows, below.keys + below.rows, below.round_trips + 1)

    def execute(self, run: Run) -> Cursor[StoredRecord]:
        store = run.store
        index = self._index

        def missing(entry: IndexEntry) -> CorruptIndexEntry:
            return CorruptIndexEntry(
                index=index, key=entry.key, primary_key=entry.primary_key, found="the entry has no record"
            )

        keep = None
        if self._distinct:
            maintainer = store.index_maintainer(index)
            assert isinstance(maintainer, ValueIndex), "only entries by value lead to records"
            within = [bounds.keys(maintainer.space.entries) for bounds in self._ranges]
            start = len(maintainer.space.entries)
            first = max if self._reverse else min

            def is_first(entry: IndexEntry, record: StoredRecord) -> bool:
                entries = [key for key, _ in maintainer.pairs(record)]
                inside = [key for key in entries if any(keys.begin <= key < keys.end for keys in within)]
                return bool(inside) and first(inside)[start:] == entry.suffix

            keep = is_first
        return FetchRecords(store.records, self.children[0].execute(run), missing, keep, snapshot=run.snapshot)
