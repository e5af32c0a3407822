"""What rules have in common: tests left over by a scan, on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.filter import FilterRecords, FilterTypes
from recordlayer.query.predicate import Predicate, conjunction

if TYPE_CHECKING:
    from recordlayer.query.problem import Problem


def with_types(problem: Problem, plan: Plan, *, covered: int) -> Plan:
    """Only records of the types asked for, when the scan covers more types than those."""
    return plan if covered == len(problem.types) else FilterTypes(plan, problem.names)


def with_filter(problem: Problem, plan: Plan, residual: Sequence[Predicate]) -> Plan:
    """The conditions that are left, tested on the records."""
    predicate = conjunction(tuple(residual))
    return plan if predicate is None else FilterRecords(plan, predicate, problem.decide(predicate))
