"""Groups as aggregate indexes keep them, one row for each; what they keep for finer groups is rolled up.

Cost  1 range read a chunk for each index, side by side; extremes: see `kept_extremes`; no record is read
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
EXTREMES = ("min", "max")
Fold = Callable[[Items, Any], Items]
"""From what is known of a group, and what an index has of it or of a part of it, to what is known then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What an index keeps of groups: a number for each, unless a subclass says otherwise.

    kinds        what is known of each group
    ranges       of the index's groups that are read
    places       of the columns of the query's groups among those of the index's
    order        in which order of columns these groups come
    entries      about how many pairs are read
    round_trips  about how many of these are waited for one after the other
    """

    index: Index
    kinds: tuple[Kind, ...]
    ranges: Ranges
    places: tuple[int, ...]
    order: tuple[SortKey | None, ...]
    entries: float
    round_trips: int = 1

    @property
    def identity(self) -> Part:
        """What its continuations depend on."""
        return (of_index(self.index), of_ranges(self.ranges), self.places)

    @property
    def words(self) -> str:
        return f"{self.index.name}{' '.join(str(part) for part in self.ranges)}"

    @property
    def adds_up(self) -> bool:
        """Whether values of finer groups are added up. Else the least or the greatest counts, of what is not None."""
        return True

    def groups_of(self, run: Run) -> Cursor[AggregateEntry]:
        """The groups; as their values a number, or the extremes of these kinds in a tuple."""
        maintainer: Any = run.store.index_maintainer(self.index.name)
        return each(self.ranges, maintainer.scan, run.scan_options(reverse=False))


class GroupsFromIndexes:
    """The groups that are not empty. The first of the indexes tells which these are: it counts, or has nothing of
    others."""

    unit = "groups"
    children: tuple[Plan, ...] = ()

    def __init__(self, kept: Sequence[Kept], query: GroupQuery, groups: Groups, *, by: str, work: str) -> None:
        self._kept = tuple(kept)
        self._groups = groups
        self._total = not query.columns
        self._counts = COUNT in kept[0].kinds
        kinds = [kind for one in kept for kind in one.kinds]
        self._slots = {kind: slot for slot, kind in enumerate(kinds)}
        firsts = [sum(len(before.kinds) for before in kept[:place]) for place in range(len(kept))]
        self._folds = [
            _added(first) if one.adds_up else _best(first, one.kinds) for first, one in zip(firsts, kept, strict=True)
        ]
        self._initial: Items = tuple([0 if one.adds_up else None for one in kept for _ in one.kinds])
        self._functions = [(one.function, one.field) for _, one in query.aggregates]
        self.asks = sorted({one.index.name for one in kept})
        self.index = kept[0].index.name
        names = ", ".join([one.words for one in kept])
        what = f"{by or 'nothing'}: {work}" if work else by
        self.title = f"Groups from {names} by {what}"
        self.line = f"Groups({names} by {what})"
        entries = sum(one.entries for one in kept)
        rows = 1.0 if self._total else max(1.0, kept[0].entries)
        self.estimate = Estimate(rows, entries, max(one.round_trips for one in kept))

    @property
    def identity(self) -> Part:
        return ("GroupsFromIndexes", *[one.identity for one in self._kept])

    def execute(self, run: Run) -> Cursor[Row]:
        below = replace(run, expect=0, limit=0)
        kept = self._kept

        def source(one: Kept) -> CursorFactory[AggregateEntry]:
            return lambda place: one.groups_of(replace(below, continuation=place))

        sources = [source(one) for one in kept]
        # Sources come in one order: that of the columns as the first index has them.
        merged = [_key(sorted(set(one.places))) for one in kept]
        keys = [_key(one.places) for one in kept]

        def entries(place: bytes | None) -> Cursor[tuple[int, AggregateEntry]]:
            return Interleaved(sources, merged, place)

        folds = self._folds
        folding: Folding[tuple[int, AggregateEntry]] = Folding(
            key=lambda found: (keys[found[0]](found[1]),),
            initial=self._initial,
            fold=lambda state, found: folds[found[0]](state, found[1].value),
            always=self._total,
        )
        groups: Cursor[tuple[Items, Items]] = Aggregate(entries, folding, run.continuation)
        if self._counts and not self._total:
            groups = Filter(groups, lambda group: group[1][0] > 0)
        return Map(groups, self._row)

    def _row(self, group: tuple[Items, Items]) -> Row:
        key, state = group
        return self._groups.row(key[0] if key else b"", tuple([self._folded(*one, state) for one in self._functions]))

    def _folded(self, function: str, field: Path | None, state: Items) -> Any:
        """What `Groups` would have folded of the records."""
        if field is None:
            return state[0]
        if function in EXTREMES:
            return state[self._slots[Kind(function, field)]]
        number: int = state[self._slots.get(Kind("count of set", field), 0)]
        if function == "count":
            return number
        total = state[self._slots[Kind("sum", field)]] if number else None
        return total if function == "sum" else (total, number)


def _added(slot: int) -> Fold:
    return lambda state, value: (*state[:slot], state[slot] + value, *state[slot + 1 :])


def _best(first: int, kinds: Sequence[Kind]) -> Fold:
    greatest = [kind.function == "max" for kind in kinds]

    def fold(state: Items, values: Items) -> Items:
        after = list(state)
        for slot, (value, upwards) in enumerate(zip(values, greatest, strict=True), first):
            known = after[slot]
            if value is not None and (known is None or (pack((value,)) > pack((known,))) is upwards):
                after[slot] = value
        return tuple(after)

    return fold


def _key(places: Sequence[int]) -> Callable[[AggregateEntry], bytes]:
    if not places:
        return lambda entry: b""
    return lambda entry: pack(tuple([entry.group[place] for place in places]))
