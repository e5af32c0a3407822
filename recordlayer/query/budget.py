"""Whether a plan is expected to keep a budget, before anything is read.

Pairs and bytes are judged; time and memory are known only when the query runs. What is expected to be read for the
first few rows is in proportion to them, unless a node reads its source to the end first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recordlayer.errors import OverBudget
from recordlayer.options import NO_LIMITS, Limits
from recordlayer.query.advice import helpful_index
from recordlayer.query.cost import shown
from recordlayer.query.plan.base import Node, Plan
from recordlayer.query.planned import Planned
from recordlayer.query.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from recordlayer.query.query import Query
    from recordlayer.store.store import RecordStore

PAIR = 100
"""Bytes that a key with its value is assumed to have."""


def limits_of(store: RecordStore, query: Query) -> Limits:
    """What a query may cost: what it says itself, else what the store was opened with."""
    return store.limits if query.limits is None else query.limits


def within(planned: Planned, query: Query, limits: Limits, wanted: int, problem: Callable[[], Problem]) -> Plan:
    """The plan, or the first of the others that is expected to keep the limits where it is not.

    wanted  how many rows will be taken at most, 0 for all

    Raises  OverBudget, with the index that would help.
    """
    if limits is NO_LIMITS or keeps(planned.plan, limits, wanted):
        return planned.plan
    for other in planned.others:
        if keeps(other, limits, wanted):
            return other
    raise over_budget(str(query), planned.plan, limits, wanted, problem())


def over_budget(query: str, plan: Node, limits: Limits, wanted: int, problem: Problem) -> OverBudget:
    """The error for a query whose best plan is this one."""
    index = helpful_index(problem)
    keys = expected(plan, wanted)
    return OverBudget(
        query=query,
        plan=plan.line,
        keys=shown(keys),
        bytes=shown(keys * PAIR),
        budget=str(limits),
        hint="ask for fewer rows with `limit`, or by a condition, or raise the budget"
        if index is None
        else f"{index} would help; else raise the budget, or ask for fewer rows with `limit`",
    )


def keeps(plan: Node, limits: Limits, wanted: int) -> bool:
    """Whether a plan is expected to keep the limits."""
    keys = expected(plan, wanted)
    if limits.keys is not None and keys > limits.keys:
        return False
    return limits.bytes is None or keys * PAIR <= limits.bytes


def expected(plan: Node, wanted: int) -> float:
    """How many pairs a plan is expected to read for so many rows, 0 for all."""
    estimate = plan.estimate
    if not wanted or wanted >= estimate.rows or _reads_to_the_end(plan):
        return estimate.keys
    return max(float(min(wanted, estimate.keys)), estimate.keys * wanted / max(estimate.rows, 1.0))


def _reads_to_the_end(plan: Node) -> bool:
    """Whether a node, or one below it, gives nothing before it has read everything."""
    return getattr(plan, "gathers", False) or any(_reads_to_the_end(child) for child in plan.children)
