"""Scanning the records themselves, in order of their primary keys. This rule always has a plan, unless another order is
asked for, or records that are not stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from recordlayer.index.bounds import Bounds
from recordlayer.metadata import RecordMetaData
from recordlayer.query.columns import Column, primary_key_columns
from recordlayer.query.identity import Part, of_types
from recordlayer.query.match import Match, in_order, match
from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.load import LoadRecords
from recordlayer.query.plan.scan import ScanRecords
from recordlayer.query.rules.shared import with_filter, with_types

if TYPE_CHECKING:
    from recordlayer.query.problem import Problem


def scan_records(problem: Problem) -> Iterator[Plan]:
    """One scan, bounded by what the conditions say about the primary key."""
    query, types = problem.query, problem.types
    if problem.synthetic is not None:
        return
    single = len(types) == 1
    columns, parts = _columns(problem)
    same_keys = all(known.primary_key == types[0].primary_key for known in types)
    by_type = single and any(column.is_constant for column in columns[:1])
    # A range of one type's keys may hold records of other types too, but none of its own lie outside.
    found = match(columns, problem.conditions) if same_keys else Match((Bounds.ALL,), 0, False, problem.conditions)
    if query.sort and not (same_keys and in_order(columns, found, query.sort)):
        problem.reject("primary key", "gives another order")
        return
    unique = found.equalities == len(columns)
    knowledge, metadata = problem.knowledge, problem.metadata
    share = knowledge.of_types(problem.names, metadata) / max(1.0, knowledge.records)
    rows = knowledge.scanned(found, columns, of=knowledge.records, unique=unique, share=share)
    if not found.is_bound or (by_type and found.equalities == 1 and not found.has_range):
        rows = knowledge.of_types(problem.names, metadata) if by_type else knowledge.records
    plan: Plan
    if unique and len(found.ranges) > 1:
        plan = LoadRecords(found.ranges, reverse=query.reverse, answered=found.answered, types=parts)
    else:
        plan = ScanRecords(found.ranges, reverse=query.reverse, answered=found.answered, rows=rows, types=parts)
    covered = 1 if by_type else len(metadata.record_types)
    plan = with_types(problem, plan, covered=covered)
    yield with_filter(problem, plan, found.residual)


_COLUMNS: WeakKeyDictionary[RecordMetaData, dict[tuple[str, ...], tuple[list[Column], Part]]] = WeakKeyDictionary()


def _columns(problem: Problem) -> tuple[list[Column], Part]:
    """The columns by which records of some types lie, and these as a part of plans. Worked out once for a metadata."""
    known = _COLUMNS.setdefault(problem.metadata, {})
    found = known.get(problem.names)
    if found is None:
        columns = primary_key_columns(problem.types[0], single=len(problem.types) == 1)
        found = known[problem.names] = columns, of_types(problem.types)
    return found
