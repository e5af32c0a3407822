"""Scanning an index: with the records fetched, or without where the entries have all that is needed.

Conditions left over are tested on the entries if those have the fields, else on the records.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from recordlayer.index.columns import field_column
from recordlayer.keys import Split, walk
from recordlayer.query import cost
from recordlayer.query.columns import index_columns, primary_key_columns, value_columns
from recordlayer.query.match import Match, in_order, match
from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.covering import Cover, EntryReader
from recordlayer.query.plan.fetch import Fetch
from recordlayer.query.plan.filter import FilterEntries
from recordlayer.query.plan.scan import ScanIndex
from recordlayer.query.predicate import Path, Predicate, conjunction
from recordlayer.query.rules.shared import with_filter, with_types

if TYPE_CHECKING:
    from recordlayer.metadata import Index
    from recordlayer.query.problem import Problem


def scan_indexes(problem: Problem) -> Iterator[Plan]:
    """One plan for each index that helps."""
    for index in problem.metadata.indexes.values():
        reason = unfit(problem, index)
        if reason is not None:
            problem.reject(index.name, reason)
        else:
            yield from _scan(problem, index)


def unfit(problem: Problem, index: Index) -> str | None:
    """Why an index cannot be scanned for a query, whatever it asks."""
    state = problem.state_of(index)
    if index.type != "value":
        return f"is a {index.type} index"
    if not state.is_readable:
        return f"is {state.name}"
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


def _scan(problem: Problem, index: Index) -> Iterator[Plan]:
    query = problem.query
    covered = len(problem.metadata.record_types_of(index))
    single = len(problem.types) == 1
    columns = index_columns(index, problem.types[0], single=single)
    behind = value_columns(index, problem.types[0])
    found = match(columns, problem.conditions)
    if any(column.repeats for column in behind):
        problem.reject(index.name, "covers a repeated field: records without elements have no entry")
        return
    if found.misses:
        problem.reject(index.name, "has no entries of records whose repeated field is empty")
        return
    ordered = not query.sort or in_order(columns, found, query.sort)
    if not ordered:
        problem.reject(index.name, "gives another order")
        return
    reader = EntryReader(problem.types[0], columns, behind) if single else None
    covers = reader is not None and not found.repeats and query.fields is not None
    covers = covers and covered == len(problem.types) and reader is not None and reader.covers(_needed(problem, found))
    covers = covers and not any(condition.needs_record for condition in found.residual)
    if not found.is_bound and not query.sort and not covers:
        problem.reject(index.name, "answers no condition")
        return
    rows = _rows(index, found)
    plan: Plan = ScanIndex(index.name, found.ranges, reverse=query.reverse, answered=found.answered, rows=rows)
    on_entries, on_records = _divided(found, reader)
    entry_test = conjunction(on_entries)
    if entry_test is not None and reader is not None:
        decide = problem.decide(entry_test)[problem.names[0]]
        plan = FilterEntries(plan, entry_test, decide, reader.maker(entry_test.paths()))
    if covers and reader is not None:
        key = [
            column.path for column in primary_key_columns(problem.types[0], single=single) if column.path is not None
        ]
        yield Cover(plan, problem.types[0], reader.maker(frozenset((*(query.fields or ()), *key))))
        return
    names = problem.names if not problem.all_types or len(problem.types) == 1 else ()
    plan = Fetch(plan, index.name, found.ranges, names=names, distinct=found.repeats, reverse=query.reverse)
    plan = with_types(problem, plan, covered=covered)
    yield with_filter(problem, plan, on_records)


def _needed(problem: Problem, found: Match) -> frozenset[Path]:
    needed = frozenset(problem.query.fields or ())
    return needed.union(*(condition.paths() for condition in found.residual))


def _on_entry(condition: Predicate, reader: EntryReader) -> bool:
    """Whether an entry has all that a condition looks at."""
    return not condition.needs_record and reader.covers(condition.paths())


def _divided(found: Match, reader: EntryReader | None) -> tuple[tuple[Predicate, ...], tuple[Predicate, ...]]:
    """Conditions to test on the entries, and on the records."""
    if reader is None:
        return (), found.residual
    on_entries = tuple(condition for condition in found.residual if _on_entry(condition, reader))
    return on_entries, tuple(condition for condition in found.residual if condition not in on_entries)


def _rows(index: Index, found: Match) -> float:
    unique = index.unique and found.equalities >= index.column_size
    rows = cost.scanned(equalities=found.equalities, has_range=found.has_range, is_text=found.is_text, unique=unique)
    return rows * len(found.ranges)
