"""Scanning an index: with the records fetched, or without where the entries have all that is needed.

Conditions left over are tested on the entries if those have the fields, else on the records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from recordlayer.index.columns import field_column
from recordlayer.keys import Split, walk
from recordlayer.metadata import RecordMetaData
from recordlayer.query import cost
from recordlayer.query.columns import Column, index_columns, primary_key_columns, value_columns
from recordlayer.query.match import Match, in_order, match
from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.covering import Cover, EntryReader
from recordlayer.query.plan.fetch import Fetch, OnceEach
from recordlayer.query.plan.filter import FilterEntries
from recordlayer.query.plan.scan import ScanIndex
from recordlayer.query.predicate import Path, Predicate, conjunction
from recordlayer.query.rules.shared import with_filter, with_types

if TYPE_CHECKING:
    from recordlayer.metadata import Index
    from recordlayer.query.problem import Problem


@dataclass(frozen=True, slots=True)
class Access:
    """What an index can do for a query.

    columns  of its keys, those of the primary key behind its own included
    found    the tightest scan for the query's conditions
    reader   makes messages from its entries, None where several types are asked for
    """

    index: Index
    columns: Sequence[Column]
    found: Match
    reader: EntryReader | None

    def scan(self, problem: Problem) -> Plan:
        """The scan alone."""
        found = self.found
        unique = self.index.unique and found.equalities >= self.index.column_size
        rows = cost.scanned(
            equalities=found.equalities, has_range=found.has_range, is_text=found.is_text, unique=unique
        ) * len(found.ranges)
        return ScanIndex(self.index, found.ranges, reverse=problem.query.reverse, answered=found.answered, rows=rows)

    def filtered(self, problem: Problem, conditions: Sequence[Predicate]) -> tuple[Plan, tuple[Predicate, ...]]:
        """The scan with the conditions that entries can tell tested on them, and those that are left."""
        plan, reader = self.scan(problem), self.reader
        if reader is None:
            return plan, tuple(conditions)
        here = tuple(one for one in conditions if not one.needs_record and reader.covers(one.paths()))
        test = conjunction(here)
        if test is not None:
            decide = problem.decide(test)[problem.names[0]]
            plan = FilterEntries(plan, test, decide, reader.maker(test.paths()))
        return plan, tuple(one for one in conditions if one not in here)


def scan_indexes(problem: Problem) -> Iterator[Plan]:
    """One plan for each index that helps."""
    for access in accesses(problem):
        yield from _scan(problem, access)


def accesses(problem: Problem) -> Iterator[Access]:
    """What each index can do that fits the query at all; why others do not is noted."""
    for index in problem.indexes:
        state = problem.state_of(index)
        if index.type == "value" and not state.is_readable:
            problem.reject(index.name, f"is {state.name}")
            continue
        view = _view(problem, index)
        if isinstance(view, str):
            problem.reject(index.name, view)
            continue
        columns, reader = view
        found = match(columns, problem.conditions)
        if found.misses:
            problem.reject(index.name, "has no entries of records whose repeated field is empty")
        else:
            yield Access(index, columns, found, reader)


_View = str | tuple[Sequence[Column], EntryReader | None]
_VIEWS: WeakKeyDictionary[RecordMetaData, dict[tuple[str, tuple[str, ...]], _View]] = WeakKeyDictionary()


def _view(problem: Problem, index: Index) -> _View:
    """The columns of an index for some record types, and what makes messages of its entries; or why it cannot be
    scanned for them, whatever is asked. Worked out once for a metadata."""
    known = _VIEWS.setdefault(problem.metadata, {})
    key = (index.name, problem.names)
    view = known.get(key)
    if view is None:
        reason = _unfit(problem, index)
        if reason is None:
            single = len(problem.types) == 1
            columns = index_columns(index, problem.types[0], single=single)
            behind = value_columns(index, problem.types[0])
            if any(column.repeats for column in behind):
                reason = "covers a repeated field: records without elements have no entry"
        view = known[key] = (
            reason
            if reason is not None
            else (columns, EntryReader(problem.types[0], columns, behind) if single else None)
        )
    return view


def _unfit(problem: Problem, index: Index) -> str | None:
    if index.type != "value":
        return f"is a {index.type} index"
    if not index.allowed_for_query:
        return "is not allowed for queries"
    if index.predicate is not None:
        return "has only the records that fulfil its own condition"
    if any(isinstance(part, Split) for part in walk(index.root_expression)) or any(
        column.creates_duplicates and field_column(column, problem.types[0].descriptor) is None
        for column in index.root_expression.normalized()
    ):
        return "repeats records in a way that no condition speaks about"
    covered = {known.name for known in problem.metadata.record_types_of(index)}
    if not covered.issuperset(problem.names):
        return f"has no records of type {', '.join(sorted(set(problem.names) - covered))}"
    return None


def _scan(problem: Problem, access: Access) -> Iterator[Plan]:
    query, index, found, reader = problem.query, access.index, access.found, access.reader
    covered = len(problem.metadata.record_types_of(index))
    if query.sort and not in_order(access.columns, found, query.sort):
        problem.reject(index.name, "gives another order")
        return
    repeats = found.repeats and query.distinct
    covers = (
        reader is not None
        and not repeats
        and query.fields is not None
        and covered == len(problem.types)
        and reader.covers(_needed(problem, found))
        and not any(condition.needs_record for condition in found.residual)
    )
    if not found.is_bound and not query.sort and not covers:
        problem.reject(index.name, "answers no condition")
        return
    plan, on_records = access.filtered(problem, found.residual)
    if covers and reader is not None:
        key = [column.path for column in primary_key_columns(problem.types[0], single=True) if column.path is not None]
        yield Cover(plan, problem.types[0], reader.maker(frozenset((*(query.fields or ()), *key))))
        return
    once = OnceEach(index=index.name, ranges=found.ranges, reverse=query.reverse) if repeats else None
    plan = Fetch(plan, names=fetched_names(problem), once=once)
    yield with_filter(problem, with_types(problem, plan, covered=covered), on_records)


def fetched_names(problem: Problem) -> tuple[str, ...]:
    """The types that are fetched, for explanations; none if it is all there are."""
    return problem.names if not problem.all_types or len(problem.types) == 1 else ()


def _needed(problem: Problem, found: Match) -> frozenset[Path]:
    needed = frozenset(problem.query.fields or ())
    return needed.union(*(condition.paths() for condition in found.residual))
