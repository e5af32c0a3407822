"""Fetching: from index entries to their records.

An index over a repeated field may have several entries of one record within the bounds. Such a record is kept at the
first of them only, in the direction of the scan; that is worked out from the record itself, so that nothing has to be
remembered between pages.

Cost  1 range read a record, all of a batch under way together
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from recordlayer.cursor.step import Cursor
from recordlayer.errors import CorruptIndexEntry
from recordlayer.index.entry import IndexEntry
from recordlayer.index.value import ValueIndex
from recordlayer.query.cost import Estimate
from recordlayer.query.identity import Part
from recordlayer.query.plan.base import Plan, Run
from recordlayer.query.plan.scan import Ranges
from recordlayer.store.fetch import FetchRecords
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore

IsFirst = Callable[[IndexEntry, StoredRecord], bool]
"""Whether an entry is the first of its record's that a scan gives."""


class Once(Protocol):
    """Keeps a record that a scan gives several times at the first of its entries."""

    def of(self, store: RecordStore) -> IsFirst: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OnceEach:
    """Keep a record at the first of its entries in these ranges of an index."""

    index: str
    ranges: Ranges
    reverse: bool

    def of(self, store: RecordStore) -> IsFirst:
        maintainer = store.index_maintainer(self.index)
        assert isinstance(maintainer, ValueIndex), "only entries by value lead to records"
        within = [bounds.keys(maintainer.space.entries) for bounds in self.ranges]
        start = len(maintainer.space.entries)
        first = max if self.reverse else min

        def is_first(entry: IndexEntry, record: StoredRecord) -> bool:
            entries = [key for key, _ in maintainer.expected(record)]
            inside = [key for key in entries if any(keys.begin <= key < keys.end for keys in within)]
            return bool(inside) and first(inside)[start:] == entry.suffix

        return is_first


class Fetch:
    """The records of index entries, in the order of the entries."""

    unit = "records"

    def __init__(self, source: Plan, *, names: tuple[str, ...], once: Once | None = None) -> None:
        self.children: tuple[Plan, ...] = (source,)
        self.once = once
        self._each = "" if once is None else ", each once"
        self.title = f"Fetch {', '.join(names) or 'records'}{self._each}"
        below = source.estimate
        self.estimate = Estimate(below.rows, below.keys + below.rows, below.round_trips + 1, below.fetched + below.rows)

    @cached_property
    def line(self) -> str:
        return f"Fetch({self.children[0].line}{self._each})"

    @property
    def identity(self) -> Part:
        return self.children[0].identity

    def execute(self, run: Run) -> Cursor[StoredRecord]:
        store, once = run.store, self.once
        keep = None if once is None else once.of(store)
        source = self.children[0].execute(run)
        return FetchRecords(store.records, source, missing, keep, snapshot=run.snapshot, budget=run.budget)


def missing(entry: IndexEntry) -> CorruptIndexEntry:
    """The error for an entry whose record is not there."""
    return CorruptIndexEntry(
        index=entry.index_name, key=entry.key, primary_key=entry.primary_key, found="the entry has no record"
    )
