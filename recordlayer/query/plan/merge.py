"""Merges: several scans side by side, as one in the same order, of which each record comes once.

Cost  no reads of its own; the scans are under way together
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from recordlayer.cursor.chain import Concat
from recordlayer.cursor.merge import Intersection, KeyOfAll, Union
from recordlayer.cursor.step import Cursor
from recordlayer.cursor.transform import CursorFactory
from recordlayer.index.entry import IndexEntry
from recordlayer.index.page import primary_keys_of
from recordlayer.query.cost import Estimate
from recordlayer.query.identity import Part
from recordlayer.query.plan.base import Plan, Run
from recordlayer.store.record import StoredRecord
from recordlayer.tuples import pack

EntryKey = KeyOfAll[IndexEntry]


@dataclass(frozen=True, slots=True)
class Ordered:
    """A scan of entries that come in the order of their keys."""

    plan: Plan
    key: EntryKey


def entry_key(places: Sequence[int]) -> EntryKey:
    """The key by which entries of an index are merged: these of its columns, then the primary key."""
    if not places:
        return KeyOfAll(primary_keys_of)

    def keys(entries: Sequence[IndexEntry]) -> list[bytes]:
        own = [pack(tuple([entry.items[place] for place in places])) for entry in entries]
        return [key + primary_key for key, primary_key in zip(own, primary_keys_of(entries), strict=True)]

    return KeyOfAll(keys)


class _Merged:
    """What union and intersection of entries share."""

    unit = "entries"
    word = ""

    def __init__(self, sources: Sequence[Ordered], *, reverse: bool, order: str) -> None:
        self.sources = tuple(sources)
        self.children: tuple[Plan, ...] = tuple(source.plan for source in sources)
        self.reverse = reverse
        self._order = order
        self.title = f"{self.word} by {order}"

    @cached_property
    def line(self) -> str:
        return f"{self.word}({', '.join(child.line for child in self.children)} by {self._order})"

    @property
    def identity(self) -> Part:
        return (self.word, self.reverse, *[child.identity for child in self.children])

    def _makers(self, run: Run) -> list[CursorFactory[IndexEntry]]:
        def maker(plan: Plan) -> CursorFactory[Any]:
            return lambda continuation: plan.execute(replace(run, continuation=continuation))

        return [maker(child) for child in self.children]

    def _keys(self) -> list[EntryKey]:
        return [source.key for source in self.sources]


class UnionEntries(_Merged):
    """The entries of several scans in order, one for each record."""

    word = "Union"

    def __init__(self, sources: Sequence[Ordered], *, reverse: bool, order: str) -> None:
        super().__init__(sources, reverse=reverse, order=order)
        below = [child.estimate for child in self.children]
        self.estimate = Estimate(
            sum(one.rows for one in below), sum(one.keys for one in below), max(one.round_trips for one in below)
        )

    def execute(self, run: Run) -> Cursor[IndexEntry]:
        return Union(self._makers(run), self._keys(), run.continuation, reverse=self.reverse)


class IntersectEntries(_Merged):
    """The entries of the records that all scans have."""

    word = "Intersect"

    def __init__(self, sources: Sequence[Ordered], *, reverse: bool, order: str, among: float) -> None:
        """`among`: how many records there are."""
        super().__init__(sources, reverse=reverse, order=order)
        below = [child.estimate for child in self.children]
        rows = among = max(1.0, among)
        for one in below:
            rows *= min(1.0, one.rows / among)
        self.estimate = Estimate(max(1.0, rows), sum(one.keys for one in below), max(one.round_trips for one in below))

    def execute(self, run: Run) -> Cursor[IndexEntry]:
        return Intersection(self._makers(run), self._keys(), run.continuation, reverse=self.reverse)


class OneAfterTheOther:
    """The records of several plans; each plan leaves out what those before it have given."""

    unit = "records"

    def __init__(self, plans: Sequence[Plan]) -> None:
        self.children: tuple[Plan, ...] = tuple(plans)
        self.title = "One after the other"
        below = [child.estimate for child in self.children]
        self.estimate = Estimate(
            sum(one.rows for one in below),
            sum(one.keys for one in below),
            sum(one.round_trips for one in below),
            sum(one.fetched for one in below),
        )

    @cached_property
    def line(self) -> str:
        return f"Concat({', '.join(child.line for child in self.children)})"

    @property
    def identity(self) -> Part:
        return ("Concat", *[child.identity for child in self.children])

    def execute(self, run: Run) -> Cursor[StoredRecord]:
        def maker(child: Plan) -> CursorFactory[StoredRecord]:
            return lambda continuation: child.execute(replace(run, continuation=continuation))

        return Concat([maker(child) for child in self.children], run.continuation)
