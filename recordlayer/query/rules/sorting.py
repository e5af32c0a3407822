"""Sorting in memory, where the query allows it and no index has the order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.sort import SortRecords

if TYPE_CHECKING:
    from recordlayer.query.problem import Problem


def sorted_in_memory(problem: Problem, plans: Iterator[Plan]) -> Iterator[Plan]:
    """Each plan of the same query without an order, sorted."""
    query = problem.query
    for plan in plans:
        yield SortRecords(
            plan, query.sort, {known.name: known for known in problem.types}, query.in_memory, query.reverse
        )
