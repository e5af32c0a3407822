"""Several scans for one query: OR and IN as a union, AND over two indexes as an intersection.

Entries of scans that come in the same order are merged before a record is read, and each record is read once. Where a
union has no common order, its parts follow each other, and each leaves out the records of those before it; that is told
from the record, so nothing has to be remembered between pages.

Source  Record Layer, RecordQueryPlanner: planOr, planIntersection, InToJoin and the union comparison key
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from recordlayer.query.columns import primary_key_columns
from recordlayer.query.comparison import Operator
from recordlayer.query.match import in_order
from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.fetch import Fetch
from recordlayer.query.plan.merge import IntersectEntries, OneAfterTheOther, Ordered, UnionEntries, entry_key
from recordlayer.query.predicate import Compare, Elements, NotTrue, Or, Path, Predicate, conjunction, conjuncts, shown
from recordlayer.query.problem import normal
from recordlayer.query.rules.index import Access, accesses, fetched_names, scan_indexes
from recordlayer.query.rules.primary_key import scan_records
from recordlayer.query.rules.shared import with_filter, with_types

if TYPE_CHECKING:
    from recordlayer.query.problem import Problem

MOST_BRANCHES = 32
"""Unions of more branches are not tried: planning and merging would cost more than they save."""
MOST_INTERSECTED = 8
"""So many indexes are tried in pairs."""


def unite(problem: Problem) -> Iterator[Plan]:
    """A plan for each condition that is an OR, or an IN, if every alternative has an index."""
    for condition in problem.conditions:
        branches = _alternatives(condition)
        if not 2 <= len(branches) <= MOST_BRANCHES:
            continue
        rest = tuple(one for one in problem.conditions if one is not condition)
        merged = _merged_union(problem, condition, branches, rest)
        if merged is not None:
            yield merged
        elif isinstance(condition, Or) and not problem.query.sort:
            yield from _following(problem, branches, rest)


def _alternatives(condition: Predicate) -> list[tuple[Predicate, ...]]:
    """The conditions of each branch."""
    if isinstance(condition, Or):
        return [tuple(part for one in conjuncts(child) for part in normal(one)) for child in condition.children]
    if isinstance(condition, Compare) and condition.operator is Operator.IN and _of_any(condition.path):
        values = {(type(value), value): value for value in condition.value}
        return [(Compare(condition.path, Operator.EQUALS, value),) for value in values.values()]
    return []


def _of_any(path: Path) -> bool:
    """Whether one element is enough: then "one is among these" is "one is this, or one is that"."""
    return all(step.of is Elements.ANY for step in path if step.any)


def _merged_union(
    problem: Problem, condition: Predicate, branches: Sequence[tuple[Predicate, ...]], rest: tuple[Predicate, ...]
) -> Plan | None:
    """The union of one ordered scan for each branch; what a branch does not answer is tested on the records."""
    order = _common_order(problem)
    if order is None:
        return None
    scans: list[Ordered] = []
    left: list[Predicate] = []
    exact = True
    covered = 0
    for branch in branches:
        part = problem.asking(*branch, *rest, sort=problem.query.sort)
        best = _best_ordered(part, order, helping=branch)
        if best is None:
            return None
        access, scan, open_conditions = best
        scans.append(scan)
        left += [one for one in rest if one in open_conditions and one not in left]
        exact = exact and not any(one in open_conditions for one in branch)
        covered = max(covered, len(problem.metadata.record_types_of(access.index)))
    plan: Plan = UnionEntries(scans, reverse=problem.query.reverse, order=_words(problem))
    plan = with_types(problem, Fetch(plan, names=fetched_names(problem)), covered=covered)
    return with_filter(problem, plan, left if exact else [*left, condition])


def intersect(problem: Problem) -> Iterator[Plan]:
    """The records that two scans have, for each pair of indexes that answer different conditions."""
    order = _common_order(problem)
    if order is None or len(problem.conditions) < 2:
        return
    found = [access for access in accesses(problem) if _is_ordered(problem, access, order) and access.found.answered]
    for one, other in combinations(found[:MOST_INTERSECTED], 2):
        if not _differ(one, other) or not _differ(other, one):
            continue
        (first, first_open), (second, second_open) = (_ordered(problem, access) for access in (one, other))
        plan: Plan = IntersectEntries([first, second], reverse=problem.query.reverse, order=_words(problem))
        covered = min(len(problem.metadata.record_types_of(access.index)) for access in (one, other))
        plan = with_types(problem, Fetch(plan, names=fetched_names(problem)), covered=covered)
        yield with_filter(problem, plan, [condition for condition in first_open if condition in second_open])


def _differ(one: Access, other: Access) -> bool:
    """Whether one answers a condition that the other does not."""
    return any(condition not in other.found.answered for condition in one.found.answered)


def _following(
    problem: Problem, branches: Sequence[tuple[Predicate, ...]], rest: tuple[Predicate, ...]
) -> Iterator[Plan]:
    """The branches one after the other, each without the records of those before it."""
    plans: list[Plan] = []
    before: list[Predicate] = []
    for branch in branches:
        part = problem.asking(*branch, *rest)
        found = [one for rule in (scan_records, scan_indexes) for one in rule(part)]
        plan = min(found, key=lambda one: (one.estimate.cost, one.line))
        earlier = None if not before else before[0] if len(before) == 1 else Or(tuple(before))
        plans.append(plan if earlier is None else with_filter(problem, plan, [NotTrue(earlier)]))
        whole = conjunction(branch)
        assert whole is not None, "a branch has a condition"
        before.append(whole)
    yield OneAfterTheOther(plans)


# -- orders ----------------------------------------------------------------------------------------------------------


def _common_order(problem: Problem) -> tuple[Path, ...] | None:
    """The fields by which entries of different indexes are merged: those of the order asked for, then the primary key.
    None where the primary key is not made of fields."""
    first = problem.types[0]
    if any(known.primary_key != first.primary_key for known in problem.types):
        return None
    columns = [
        column for column in primary_key_columns(first, single=len(problem.types) == 1) if not column.is_constant
    ]
    paths = [column.path for column in columns if column.path is not None and not column.repeats]
    return (*problem.query.sort, *paths) if len(paths) == len(columns) else None


def _words(problem: Problem) -> str:
    return ", ".join([shown(path) for path in problem.query.sort] + ["primary key"])


def _is_ordered(problem: Problem, access: Access, order: Sequence[Path]) -> bool:
    """Whether a scan gives one entry for each of its records, in this order, and its entries tell where they are."""
    found = access.found
    if found.repeats or not found.is_bound or not in_order(access.columns, found, order):
        return False
    return all(_place(access, path) is not None for path in problem.query.sort)


def _place(access: Access, path: Path) -> int | None:
    return next((place for place, column in enumerate(access.columns) if column.path == path), None)


def _ordered(problem: Problem, access: Access) -> tuple[Ordered, tuple[Predicate, ...]]:
    """The scan, with the conditions that it leaves open."""
    places = [_place(access, path) for path in problem.query.sort]
    plan, left = access.filtered(problem, access.found.residual)
    return Ordered(plan, entry_key([place for place in places if place is not None])), left


def _best_ordered(
    part: Problem, order: Sequence[Path], *, helping: Sequence[Predicate]
) -> tuple[Access, Ordered, tuple[Predicate, ...]] | None:
    """The cheapest ordered scan that answers something of a branch, with the conditions that it leaves open."""
    best: tuple[float, str, Access, Ordered, tuple[Predicate, ...]] | None = None
    for access in accesses(part):
        if _is_ordered(part, access, order) and any(one in access.found.answered for one in helping):
            scan, left = _ordered(part, access)
            key = (scan.plan.estimate.cost, scan.plan.line)
            if best is None or key < best[:2]:
                best = (*key, access, scan, left)
    return None if best is None else best[2:]
