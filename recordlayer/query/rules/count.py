"""Counting from an aggregate index, where one has the groups that are asked for.

Source  Record Layer, IndexAggregateFunctionCall and its matching
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recordlayer.keys import Grouping
from recordlayer.query.columns import expression_columns
from recordlayer.query.match import equality
from recordlayer.query.plan.aggregate import CountFromIndex

if TYPE_CHECKING:
    from recordlayer.metadata import Index
    from recordlayer.query.problem import Problem


def count_from_index(problem: Problem) -> CountFromIndex | None:
    """The count from an index that has it in the fewest groups."""
    found = [one for index in problem.metadata.indexes.values() if (one := _count(problem, index)) is not None]
    return min(found, key=lambda one: (one.estimate.keys, one.line), default=None)


def _count(problem: Problem, index: Index) -> CountFromIndex | None:
    if index.type != "count" or not isinstance(index.root_expression, Grouping):
        return None
    grouping = index.root_expression
    hidden = problem.hidden(index)
    if hidden is not None:
        problem.reject(index.name, hidden)
        return None
    if grouping.creates_duplicates:
        problem.reject(index.name, "does not count every record once")
        return None
    covered = {known.name for known in problem.metadata.kinds_of(index)}
    if not covered.issuperset(problem.names):
        problem.reject(index.name, "counts records of other types")
        return None
    reason = problem.has_all(index)
    if reason is not None:
        problem.reject(index.name, reason)
        return None
    columns = expression_columns(grouping, problem.types[0], single=len(problem.types) == 1)
    by_type = len(problem.types) == 1 and bool(columns) and columns[0].is_constant
    if covered != set(problem.names) and not by_type:
        problem.reject(index.name, "counts records of other types as well")
        return None
    left = list(problem.left_by(index))
    group = []
    for column in columns:
        if column.is_constant:
            group.append(column.constant)
            continue
        found = None if column.key is None else equality(column, left)
        if found is None or not found[2]:
            break
        left.remove(found[0])
        group.append(found[1])
    if left:
        problem.reject(index.name, f"does not answer {left[0]}")
        return None
    return CountFromIndex(index.name, tuple(group), whole=len(group) == grouping.grouping_count)
