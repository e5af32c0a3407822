"""Records of synthetic types made from stored ones: from those of the parent, or of the constituent that a joined type
begins with. What is asked of that one is asked of its own records, by whatever serves them best.

Source  Record Layer, SyntheticRecordPlanner
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from recordlayer.metadata.joined import JoinedType
from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.synthetic import MakeRecords
from recordlayer.query.predicate import And, Compare, Matches, Near, Not, NotTrue, Or, Path, Predicate, conjunction
from recordlayer.query.problem import Problem
from recordlayer.query.query import SortKey
from recordlayer.query.rules.index import scan_indexes
from recordlayer.query.rules.merging import intersect, unite
from recordlayer.query.rules.primary_key import scan_records
from recordlayer.query.rules.shared import with_filter

if TYPE_CHECKING:
    from recordlayer.metadata.metadata import Synthetic

RULES = (scan_records, scan_indexes, unite, intersect)


def make_records(problem: Problem) -> Iterator[Plan]:
    """One plan for each of the stored records that they are made from."""
    kind = problem.synthetic
    if kind is None:
        return
    found = beginning(problem, kind)
    if found is None:
        problem.reject("primary key", "gives another order")
        return
    stored, left = found
    for rule in RULES:
        for source in rule(stored):
            yield with_filter(problem, MakeRecords(source, kind, reverse=problem.query.reverse), left)


def beginning(problem: Problem, kind: Synthetic) -> tuple[Problem, tuple[Predicate, ...]] | None:
    """What is asked of the stored records, and the conditions that are left for those made from them; None if these
    come in another order than is asked for."""
    begin = kind.parent if not isinstance(kind, JoinedType) else kind.beginnings[0] if len(kind.beginnings) == 1 else ""
    pairs = [(one, _of(one, begin)) for one in problem.conditions]
    asked = tuple([own for _, own in pairs if own is not None])
    sort = [_inside(key, begin) for key in problem.query.sort]
    if None in sort:
        return None
    query = replace(
        problem.query,
        record_types=tuple([known.name for known in kind.built_from]),
        filter=conjunction(asked),
        sort=tuple([key for key in sort if key is not None]),
        fields=None,
        in_memory=0,
    )
    stored = Problem(
        query,
        problem.metadata,
        kind.built_from,
        asked,
        problem.state_of,
        only=problem.only,
        knowledge=problem.knowledge,
        effort=problem.effort,
    )
    return stored, tuple([one for one, own in pairs if own is None])


def _inside(key: SortKey, name: str) -> Path | None:
    """A field of a constituent as its own records have it; None for what is not one."""
    if not isinstance(key, tuple) or len(key) < 2 or key[0].name != name:
        return None
    return key[1:]


def _of(predicate: Predicate, name: str) -> Predicate | None:
    """A condition on fields of one constituent, which is always there, as a condition on its own records."""
    if isinstance(predicate, (Compare, Near, Matches)):
        path = _inside(predicate.path, name)
        return None if path is None else replace(predicate, path=path)
    if isinstance(predicate, (And, Or)):
        children = [_of(child, name) for child in predicate.children]
        return None if None in children else type(predicate)(tuple([one for one in children if one is not None]))
    if isinstance(predicate, (Not, NotTrue)):
        child = _of(predicate.child, name)
        return None if child is None else type(predicate)(child)
    return None
