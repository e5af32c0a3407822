"""Putting bitmaps together: AND and OR over BITMAP_VALUE indexes, where the records' primary keys are the positions.

Every condition is tested on the records as well: bitmaps leave few of them, and those without a position have no bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from recordlayer.index.bitmap import DEFAULT_ENTRY_SIZE, ENTRY_SIZE
from recordlayer.keys import Grouping
from recordlayer.query.columns import Column, expression_columns, primary_key_columns
from recordlayer.query.cost import EQUALITY
from recordlayer.query.identity import of_types
from recordlayer.query.match import bind
from recordlayer.query.normal import alternatives
from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.bitmaps import Combination, Group, LoadPositions, Term
from recordlayer.query.predicate import Predicate
from recordlayer.query.rules.shared import with_filter, with_types

if TYPE_CHECKING:
    from recordlayer.metadata import Index
    from recordlayer.query.problem import Problem

TYPE = "bitmap_value"


def combine_bitmaps(problem: Problem) -> Iterator[Plan]:
    """One plan, of all bitmaps that say something about the conditions, for each size that bitmaps have."""
    place = _position(problem)
    by_size: dict[str, list[Index]] = {}
    for index in problem.indexes:
        if index.type == TYPE and _fits(problem, index, place):
            by_size.setdefault(index.options.get(ENTRY_SIZE, str(DEFAULT_ENTRY_SIZE)), []).append(index)
    if place is None:
        return
    query, position = problem.query, place[-1]
    ordered = not query.sort or query.sort == (position.key,)
    for size, indexes in by_size.items():
        term = _term(problem, indexes, problem.conditions)
        for index in indexes:
            if term is None or not any(leaf.index is index for leaf in term.leaves()):
                problem.reject(index.name, "is looked up by its group, and no condition binds that")
            elif not ordered:
                problem.reject(index.name, "gives another order")
        if term is None or not ordered:
            continue
        records = problem.knowledge.of_types(problem.names, problem.metadata)
        plan: Plan = LoadPositions(
            term,
            tuple([column.constant for column in place[:-1]]),
            of_types(problem.types),
            rows=max(1.0, records * _part(term)),
            bitmaps=1 + records / int(size),
            reverse=query.reverse,
        )
        covered = 1 if len(place) > 1 else len(problem.metadata.record_types)
        yield with_filter(problem, with_types(problem, plan, covered=covered), problem.conditions)


def _position(problem: Problem) -> list[Column] | None:
    """The columns of the primary key, if all but the last are known and that is a field; else bitmaps do not lead to
    records."""
    first = problem.types[0]
    if any(known.primary_key != first.primary_key for known in problem.types):
        return None
    columns = primary_key_columns(first, single=len(problem.types) == 1)
    *before, last = columns
    fits = all(column.is_constant for column in before) and last.path is not None and not last.repeats
    return columns if fits else None


def _fits(problem: Problem, index: Index, place: Sequence[Column] | None) -> bool:
    problem.effort.spend()
    reason = problem.hidden(index)
    root = index.root_expression
    covered = {known.name for known in problem.metadata.record_types_of(index)}
    if reason is None and not covered.issuperset(problem.names):
        reason = f"has no records of type {', '.join(sorted(set(problem.names) - covered))}"
    if reason is None:
        reason = problem.has_all(index)
    if reason is None:
        assert isinstance(root, Grouping), "bitmaps are grouped"
        position = expression_columns(root, problem.types[0], single=len(problem.types) == 1)[-1]
        if place is None or position.key != place[-1].key:
            reason = "has positions that do not lead to records"
    if reason is not None:
        problem.reject(index.name, reason)
    return reason is None


def _term(problem: Problem, indexes: Sequence[Index], conditions: Sequence[Predicate]) -> Term | None:
    """Bitmaps that have all records for which the conditions are true, as few others as can be; None if no bitmap says
    anything about them."""
    terms: list[Term] = []
    answered: set[int] = set()
    single = len(problem.types) == 1
    for index in sorted(indexes, key=lambda one: (-one.column_size, one.name)):
        columns = expression_columns(index.root_expression, problem.types[0], single=single)[:-1]
        found = bind(columns, conditions)
        new = {place for place, one in enumerate(conditions) if any(one is other for other in found.answered)}
        if len(found.values) == len(columns) and new - answered:
            answered |= new
            terms.append(Group(index, found.values))
    for condition in conditions:
        branches = [_term(problem, indexes, branch) for branch in alternatives(condition)]
        some = tuple([branch for branch in branches if branch is not None])
        if branches and len(some) == len(branches):
            terms.append(Combination(some, all=False))
    if not terms:
        return None
    return terms[0] if len(terms) == 1 else Combination(tuple(terms), all=True)


def _part(term: Term) -> float:
    """About which part of the records a term has."""
    if isinstance(term, Group):
        return EQUALITY
    part = 1.0 if term.all else 0.0
    for one in term.terms:
        part = part * _part(one) if term.all else min(1.0, part + _part(one))
    return part
