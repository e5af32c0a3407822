"""Counting from an aggregate index, where one has the groups that are asked for.

Source  Record Layer, IndexAggregateFunctionCall and its matching
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recordlayer.keys import Grouping
from recordlayer.query.columns import expression_columns
from recordlayer.query.match import match
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
    found = match(columns, problem.left_by(index))
    if found.residual:
        problem.reject(index.name, f"does not answer {found.residual[0]}")
        return None
    whole = found.equalities == len(columns)
    knowledge = problem.knowledge
    entries = knowledge.groups(columns, knowledge.of_types(problem.names, problem.metadata))
    groups = knowledge.scanned(found, columns, of=entries, unique=whole)
    return CountFromIndex(index.name, found.ranges, groups=groups)
