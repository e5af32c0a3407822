"""What rules have in common: tests left over by a scan, on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.filter import FilterRecords, FilterTypes
from recordlayer.query.plan.ranks import FilterByRank, knows, missing, ranks_of
from recordlayer.query.predicate import Predicate, conjunction
from recordlayer.query.ranked import Ranked

if TYPE_CHECKING:
    from recordlayer.query.problem import Problem


def with_types(problem: Problem, plan: Plan, *, covered: int) -> Plan:
    """Only records of the types asked for, when the scan covers more types than those."""
    return plan if covered == len(problem.types) else FilterTypes(plan, problem.names)


def with_filter(problem: Problem, plan: Plan, residual: Sequence[Predicate]) -> Plan:
    """The conditions that are left, tested on the records; those on ranks last, because they read.

    Raises  NoPlan if no index keeps the ranks that are asked about.
    """
    plain = conjunction(tuple([one for one in residual if not ranks_of(one)]))
    if plain is not None:
        plan = FilterRecords(plan, plain, problem.decide(plain))
    by_rank = conjunction(tuple([one for one in residual if ranks_of(one)]))
    if by_rank is not None:
        indexes = {ranked: keeper_of(problem, ranked) for ranked in ranks_of(by_rank)}
        plan = FilterByRank(plan, by_rank, problem.decide(by_rank), indexes)
    return plan


def keeper_of(problem: Problem, ranked: Ranked) -> str:
    """The index that tells a rank.  Raises  NoPlan if none does."""
    for index in problem.metadata.indexes.values():
        covered = {known.name for known in problem.metadata.kinds_of(index)}
        if knows(index, ranked) and covered.issuperset(problem.names) and problem.hidden(index) is None:
            return index.name
    raise missing(ranked)
