"""What the planner asks an index type, and what the type answers: which scans it has for a query.

An index type serves queries by a function from `Asked` to any number of `Offer`s. Those of ours stand in
`serving.types`; a type of an installed package has it as `serve` on its class:

    class ByDistance(StandardMaintainer):
        type = "by_distance"

        @staticmethod
        def serve(asked: Asked) -> Iterator[Offer]:
            near = [one for one in asked.conditions if is_about_distance(one)]
            if near:
                yield asked.offer(ScanBy(...), answered=tuple(near))
            else:
                asked.refuse("answers conditions on distances only")

A type whose entries lie as those of a VALUE index needs no more than `serve = staticmethod(by_columns)`. A type without
the function is not used by queries, and explanations say so.

What an offer promises: its scan gives entries of records (`IndexEntry`), and among them all records for which the
conditions that it was asked are true; for `answered` conditions no others. The planner tests the rest, orders, merges
and fetches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recordlayer.index.bounds import Bounds
from recordlayer.query.columns import Column
from recordlayer.query.match import Bound, Match, bind
from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.covering import EntryReader
from recordlayer.query.plan.fetch import Once
from recordlayer.query.predicate import Predicate

if TYPE_CHECKING:
    from recordlayer.metadata import Index
    from recordlayer.query.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One scan of an index, and what it does for a query.

    scan     a plan that gives entries
    found    which conditions it answers, which columns are bound, whether records repeat
    columns  of the entries' keys, those of the primary key behind its own included
    ordered  whether entries come in the order of the columns, after those that are bound
    once     how a record that comes several times is kept once, where `found` says that it may
    reader   makes messages from the entries, None where they do not tell: several types are asked for
    """

    index: Index
    scan: Plan
    found: Match
    columns: Sequence[Column]
    ordered: bool = True
    once: Once | None = None
    reader: EntryReader | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a query wants of one index.

    columns  of the index's keys as its root expression gives them, those of the primary key behind its own included
    reader   makes messages from entries with these columns, and those in the entries' values; None where several types
             are asked for
    """

    problem: Problem
    index: Index
    columns: Sequence[Column]
    reader: EntryReader | None

    @property
    def conditions(self) -> tuple[Predicate, ...]:
        """What all must be true."""
        return self.problem.conditions

    @property
    def reverse(self) -> bool:
        return self.problem.query.reverse

    def rows(self, found: Match, *, unique: bool = False) -> float:
        """About how many entries ranges of the index's keys have."""
        problem = self.problem
        of = problem.knowledge.entries(self.index, problem.metadata)
        share = len(problem.names) / len(problem.metadata.kinds_of(self.index))
        left = problem.left_by(self.index)
        counted = [one for one in found.answered if not any(one is other for other in left)]
        return problem.knowledge.scanned(found, self.columns, of=of, unique=unique, share=share, counted=counted)

    def refuse(self, reason: str) -> None:
        """Say why the index does not help: explanations show it."""
        self.problem.reject(self.index.name, reason)

    def bound(self, columns: Sequence[Column]) -> Bound | None:
        """The values that conditions bind these columns to; None if one of them is not bound to a single value."""
        found = bind(columns, self.conditions)
        return found if len(found.values) == len(columns) else None

    def offer(
        self,
        scan: Plan,
        *,
        answered: tuple[Predicate, ...] = (),
        equalities: int = 0,
        repeats: bool = False,
        ordered: bool = False,
        once: Once | None = None,
        columns: Sequence[Column] | None = None,
        reader: EntryReader | None = None,
    ) -> Offer:
        """An offer of a scan that is no range of the index's keys.

        equalities  how many of the leading columns are bound to one value
        repeats     one record may come several times, and `once` keeps the first
        columns     where entries have others than the root expression says; `reader` then as well
        """
        residual = tuple([one for one in self.conditions if not any(one is known for known in answered)])
        found = Match((Bounds.ALL,), equalities, True, residual, answered, repeats)
        return Offer(
            index=self.index,
            scan=scan,
            found=found,
            columns=self.columns if columns is None else columns,
            ordered=ordered,
            once=once,
            reader=self.reader if columns is None else reader,
        )

    def hiding(self, *places: int) -> tuple[Sequence[Column], EntryReader | None]:
        """The columns, and a reader of entries, where some of them do not hold what the root expression says."""
        columns = [Column(None) if place in places else column for place, column in enumerate(self.columns)]
        single = len(self.problem.types) == 1
        return columns, EntryReader(self.problem.types[0], columns, ()) if single else None


Serve = Callable[[Asked], Iterator[Offer]]
