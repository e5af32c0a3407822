"""Scans: records by primary key, entries by index; of one range, or of several one after the other.

Cost  1 range read a chunk and range; the first chunks of several ranges are under way together
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from recordlayer.cursor.pipeline import FlatMap
from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.cursor.transform import ListCursor
from recordlayer.index.bounds import Bounds
from recordlayer.index.entry import IndexEntry
from recordlayer.kv.engine import Chunk
from recordlayer.query.cost import Estimate
from recordlayer.query.identity import Part, of_index, of_ranges
from recordlayer.query.plan.base import Plan, Run
from recordlayer.store.record import StoredRecord
from recordlayer.waiting.waitable import Waitable

if TYPE_CHECKING:
    from recordlayer.metadata import Index

T = TypeVar("T")

Ranges = tuple[Bounds, ...]


def range_text(conditions: Sequence[object], ranges: Ranges, *, reverse: bool) -> str:
    """What a scan is bounded by, in words."""
    words = ", ".join(str(condition) for condition in conditions)
    text = f"[{words}]" if conditions else " ".join(str(bounds) for bounds in ranges) or "[nothing]"
    return f"{text} in reverse" if reverse else text


def each(
    ranges: Ranges,
    scan: Callable[[Bounds, ScanOptions], Cursor[T]],
    options: ScanOptions,
    *,
    begun: Iterator[Waitable[Chunk]] | None = None,
) -> Cursor[T]:
    """A scan of all the ranges, the last one first in reverse. `begun`: the first reads of those behind the first."""
    if len(ranges) == 1:
        return scan(ranges[0], options)
    ordered = ranges[::-1] if options.reverse else ranges
    reads = iter(()) if options.begun is None else chain((options.begun,), begun or ())
    return FlatMap(
        lambda continuation: ListCursor(ordered, continuation),
        lambda bounds, continuation: scan(bounds, replace(options, continuation=continuation, begun=next(reads, None))),
        options.continuation,
        budget=options.budget,
    )


class ScanRecords:
    """The records within bounds, by primary key."""

    unit = "records"
    children: tuple[Plan, ...] = ()

    def __init__(
        self, ranges: Ranges, *, reverse: bool, answered: Sequence[object], rows: float, types: Part = ()
    ) -> None:
        self.ranges = ranges
        self._types = types
        self.reverse = reverse
        self._answered = answered
        self.estimate = Estimate(rows, rows, 1)

    @cached_property
    def title(self) -> str:
        return f"Scan records {range_text(self._answered, self.ranges, reverse=self.reverse)}"

    @cached_property
    def line(self) -> str:
        return f"Scan(records{range_text(self._answered, self.ranges, reverse=self.reverse)})"

    @property
    def identity(self) -> Part:
        return ("scan", self._types, of_ranges(self.ranges), self.reverse)

    def execute(self, run: Run) -> Cursor[StoredRecord]:
        return each(self.ranges, run.store.scan, run.scan_options(reverse=self.reverse))


class ScanIndex:
    """The entries of an index within bounds."""

    unit = "entries"
    children: tuple[Plan, ...] = ()

    def __init__(self, index: Index, ranges: Ranges, *, reverse: bool, answered: Sequence[object], rows: float) -> None:
        self.index = index.name
        self._definition = index
        self.ranges = ranges
        self.reverse = reverse
        self._answered = answered
        self.estimate = Estimate(rows, rows, 1)

    @cached_property
    def title(self) -> str:
        return f"Scan {self.index} {range_text(self._answered, self.ranges, reverse=self.reverse)}"

    @cached_property
    def line(self) -> str:
        return f"Scan({self.index}{range_text(self._answered, self.ranges, reverse=self.reverse)})"

    @property
    def identity(self) -> Part:
        return ("scan", of_index(self._definition), of_ranges(self.ranges), self.reverse)

    def execute(self, run: Run) -> Cursor[IndexEntry]:
        maintainer = run.store.index_maintainer(self.index)
        return each(self.ranges, maintainer.scan, run.scan_options(reverse=self.reverse), begun=run.begun)
