"""How much there is, as far as the planner knows: counted, estimated by the engine, or assumed.

Assumptions are good enough to tell a look-up from a range and a range from a scan of everything. Where statistics were
gathered (`query.statistics`), they take the place of the assumptions, one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recordlayer.query.cost import ASSUMED_RECORDS, EQUALITY, GROUPS, RANGE, TEXT
from recordlayer.query.implication import share

if TYPE_CHECKING:
    from recordlayer.metadata import Index, RecordMetaData
    from recordlayer.query.columns import Column
    from recordlayer.query.match import Match
    from recordlayer.query.predicate import Predicate
    from recordlayer.query.query import SortKey


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """What is known of one store. Two of these are never equal: plans are kept under one.

    total     records of all types, None if nobody knows
    by_type   records of one type, by its name
    by_index  entries of an index, by its name
    distinct  how many different values some columns have together
    sources   what was counted or estimated, in words
    """

    total: float | None = None
    by_type: Mapping[str, float] = field(default_factory=dict)
    by_index: Mapping[str, float] = field(default_factory=dict)
    distinct: Mapping[tuple[SortKey, ...], float] = field(default_factory=dict)
    sources: tuple[str, ...] = ()

    @property
    def records(self) -> float:
        """About how many records there are."""
        return float(ASSUMED_RECORDS) if self.total is None else self.total

    def of_types(self, names: Sequence[str], metadata: RecordMetaData) -> float:
        """About how many records of some types there are."""
        if all(name in self.by_type for name in names):
            return sum(self.by_type[name] for name in names)
        return self.records * len(names) / len(metadata.record_types)

    def entries(self, index: Index, metadata: RecordMetaData) -> float:
        """About how many entries an index has."""
        found = self.by_index.get(index.name)
        if found is None:
            names = [known.name for known in metadata.kinds_of(index)]
            # Without any statistics an index is taken to be about all records, whichever types there are.
            found = self.records if self.total is None else self.of_types(names, metadata)
            if index.predicate is not None:
                found *= share(index.predicate)
        return found

    def groups(self, columns: Sequence[Column], entries: float) -> float:
        """About how many groups so many entries make."""
        keys = tuple([column.key for column in columns if not column.is_constant])
        known = self.distinct.get(keys)  # type: ignore[arg-type]  # None is no key of it
        return known or max(1.0, entries * (1 - (1 - GROUPS) ** len(keys)))

    def scanned(
        self,
        found: Match,
        columns: Sequence[Column],
        *,
        of: float,
        unique: bool = False,
        share: float = 1.0,
        counted: Sequence[Predicate] = (),
    ) -> float:
        """About how many of so many rows the ranges of a scan have.

        share    the part that is of the types asked for: it counts where a column of the record's type is bound and
                 records were counted
        counted  conditions that are true of all these rows anyhow
        """
        each = 1.0
        if not unique:
            bound = columns[: found.equalities]
            free = [one for one in bound if not one.is_constant and not any(map(one.answers, counted))]
            each = of * self.part_bound(free)
            if self.total is not None and any(column.is_constant for column in bound):
                each *= share
            if found.has_range and not self._all_have(columns[found.equalities], found, counted):
                each *= TEXT if found.is_text else RANGE
        return max(1.0, each) * len(found.ranges)

    def _all_have(self, column: Column, found: Match, counted: Sequence[Predicate]) -> bool:
        """Whether all rows lie in the range of a column."""
        own = [one for one in found.answered if column.answers(one)]
        return bool(own) and all(any(one is other for other in counted) for one in own)

    def part_bound(self, columns: Sequence[Column]) -> float:
        """The part of the rows that have one value in each of these columns."""
        keys = tuple([column.key for column in columns])
        together = self.distinct.get(keys)  # type: ignore[arg-type]  # None is no key of it
        if keys and together:
            return 1 / together
        part = 1.0
        for column in columns[:2]:  # with more columns bound, values are seldom independent of each other
            known = None if column.key is None else self.distinct.get((column.key,))
            part *= 1 / known if known else EQUALITY
        return part


ASSUMED = Knowledge()
"""Nothing is known."""
