"""Groups as aggregate indexes keep them, one row for each; what they keep for finer groups is rolled up.

Cost  1 range read a chunk for each index, side by side; no record is read
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from recordlayer.cursor.aggregate import Aggregate, Folding
from recordlayer.cursor.merge import Interleaved
from recordlayer.cursor.step import Cursor
from recordlayer.cursor.transform import CursorFactory, Filter, Map
from recordlayer.index.entry import AggregateEntry
from recordlayer.metadata import Index
from recordlayer.query.cost import Estimate
from recordlayer.query.group import GroupQuery
from recordlayer.query.grouping import Groups
from recordlayer.query.identity import Part, of_index, of_ranges
from recordlayer.query.plan.base import Plan, Run
from recordlayer.query.plan.scan import Ranges, each
from recordlayer.query.predicate import Path
from recordlayer.query.query import SortKey
from recordlayer.query.rows import Row
from recordlayer.tuples import pack

Items = tuple[Any, ...]


class Kind(NamedTuple):
    """What is kept: a function in a word, and of which field."""

    function: str
    field: Path | None


COUNT = Kind("count", None)


@dataclass(frozen=True, slots=True)
class Kept:
    """What an index keeps of groups.

    ranges   of its groups that are read
    places   of the columns of the query's groups among those of the index's
    order    in which order of columns these groups come
    entries  about how many are read
    """

    index: Index
    kind: Kind
    ranges: Ranges
    places: tuple[int, ...]
    order: tuple[SortKey | None, ...]
    entries: float


class GroupsFromIndexes:
    """The groups that are not empty. The first of the indexes counts."""

    unit = "groups"
    children: tuple[Plan, ...] = ()

    def __init__(self, kept: Sequence[Kept], query: GroupQuery, groups: Groups, *, by: str, work: str) -> None:
        self._kept = tuple(kept)
        self._groups = groups
        self._total = not query.columns
        self._slots = {one.kind: slot for slot, one in enumerate(kept)}
        self._functions = [(one.function, one.field) for _, one in query.aggregates]
        self.asks = sorted({one.index.name for one in kept})
        self.index = kept[0].index.name
        names = ", ".join([f"{one.index.name}{' '.join(str(part) for part in one.ranges)}" for one in kept])
        what = f"{by or 'nothing'}: {work}" if work else by
        self.title = f"Groups from {names} by {what}"
        self.line = f"Groups({names} by {what})"
        entries = sum(one.entries for one in kept)
        self.estimate = Estimate(1.0 if self._total else max(1.0, kept[0].entries), entries, 1)

    @property
    def identity(self) -> Part:
        parts = [(of_index(one.index), of_ranges(one.ranges), one.places) for one in self._kept]
        return ("GroupsFromIndexes", *parts)

    def execute(self, run: Run) -> Cursor[Row]:
        below = replace(run, expect=0, limit=0)
        kept = self._kept

        def source(one: Kept) -> CursorFactory[AggregateEntry]:
            maintainer: Any = run.store.index_maintainer(one.index.name)
            scan = maintainer.scan_extremes if one.kind.function == "max" else maintainer.scan
            return lambda place: each(one.ranges, scan, replace(below, continuation=place).scan_options(reverse=False))

        sources = [source(one) for one in kept]
        # Sources come in one order: that of the columns as the first index has them.
        merged = [_key(sorted(set(one.places))) for one in kept]
        keys = [_key(one.places) for one in kept]

        def entries(place: bytes | None) -> Cursor[tuple[int, AggregateEntry]]:
            return Interleaved(sources, merged, place)

        folding: Folding[tuple[int, AggregateEntry]] = Folding(
            key=lambda found: (keys[found[0]](found[1]),), initial=self._initial(), fold=self._fold, always=self._total
        )
        folded = Aggregate(entries, folding, run.continuation)
        groups = folded if self._total else Filter(folded, lambda group: group[1][0] > 0)
        return Map(groups, self._row)

    def _initial(self) -> Items:
        return tuple([None if one.kind.function == "max" else 0 for one in self._kept])

    def _fold(self, state: Items, found: tuple[int, AggregateEntry]) -> Items:
        slot, value = found[0], found[1].value
        if self._kept[slot].kind.function != "max":
            return (*state[:slot], state[slot] + value, *state[slot + 1 :])
        (value,) = value
        known = state[slot]
        if value is None or (known is not None and pack((known,)) >= pack((value,))):
            return state
        return (*state[:slot], value, *state[slot + 1 :])

    def _row(self, group: tuple[Items, Items]) -> Row:
        key, state = group
        return self._groups.row(key[0] if key else b"", tuple([self._folded(*one, state) for one in self._functions]))

    def _folded(self, function: str, field: Path | None, state: Items) -> Any:
        """What `Groups` would have folded of the records."""
        if field is None:
            return state[0]
        if function == "max":
            return state[self._slots[Kind("max", field)]]
        number: int = state[self._slots.get(Kind("count of set", field), 0)]
        if function == "count":
            return number
        total = state[self._slots[Kind("sum", field)]] if number else None
        return total if function == "sum" else (total, number)


def _key(places: Sequence[int]) -> Callable[[AggregateEntry], bytes]:
    if not places:
        return lambda entry: b""
    return lambda entry: pack(tuple([entry.group[place] for place in places]))
