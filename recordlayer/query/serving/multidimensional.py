"""MULTIDIMENSIONAL indexes: boxes. Prefix columns are bound by equality from the left, each dimension may have a range;
entries come along the curve, in no order that one could ask for.

Source  Record Layer, MultidimensionalIndexScanComparisons
"""

from __future__ import annotations

from collections.abc import Iterator

from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.index.bounds import Bounds
from recordlayer.index.entry import IndexEntry
from recordlayer.index.multidimensional import MultidimensionalIndex
from recordlayer.index.rtree_scan import Box, Side
from recordlayer.keys import Dimensions, KeyExpression
from recordlayer.query.columns import Column, Null
from recordlayer.query.comparison import TESTS, Operator
from recordlayer.query.cost import EQUALITY, RANGE, Estimate
from recordlayer.query.match import bind
from recordlayer.query.plan.entries import ScanBy
from recordlayer.query.predicate import Compare, Predicate
from recordlayer.query.serving.protocol import Asked, Offer

LEAST = -(1 << 63)
"""The least number of a dimension; nulls come before it."""
_ENDS: dict[Operator, tuple[int | None, int | None]] = {
    Operator.EQUALS: (0, 1),
    Operator.GREATER_OR_EQUAL: (0, None),
    Operator.GREATER: (1, None),
    Operator.LESS: (None, 0),
    Operator.LESS_OR_EQUAL: (None, 1),
}
"""What is added to the operand for the first number inside, and the first one behind."""


def serve(asked: Asked) -> Iterator[Offer]:
    """The box of the conditions."""
    dimensions = _dimensions(asked.index.root_expression)
    if any(column.repeats for column in asked.columns):
        asked.refuse("repeats records in a way that no condition speaks about")
        return
    first, size = dimensions.prefix_size, dimensions.dimensions_size
    prefix = bind(asked.columns[:first], asked.conditions)
    sides: list[Side] = []
    answered: list[Predicate] = []
    shown: list[Predicate] = []
    for column in asked.columns[first : first + size]:
        side, used, exact = _side(column, asked.conditions)
        sides.append(side)
        shown += used
        if exact:
            answered += used
    if not shown:
        asked.refuse("answers no condition on its dimensions")
        return
    box, within = Box(tuple(sides)), Bounds.equal(prefix.values)

    def open_scan(maintainer: MultidimensionalIndex, options: ScanOptions) -> Cursor[IndexEntry]:
        return maintainer.scan_box(within, box, options)

    rows = asked.problem.knowledge.entries(asked.index, asked.problem.metadata) * EQUALITY ** min(len(prefix.values), 2)
    for low, high in sides:
        if low is not None or high is not None:
            rows *= EQUALITY if low is not None and high == low + 1 else RANGE
    rows = max(1.0, rows)
    scan = ScanBy(
        asked.index,
        "ScanBox",
        ", ".join([str(one) for one in (*prefix.answered, *shown)]),
        (prefix.values, tuple(sides)),
        open_scan,
        Estimate(rows, rows + 4, 3),  # about so many nodes lie above
    )
    yield asked.offer(scan, answered=(*prefix.answered, *answered), equalities=len(prefix.values))


def _dimensions(root: KeyExpression) -> Dimensions:
    while not isinstance(root, Dimensions):
        root = root.children[0]
    return root


def _side(column: Column, conditions: tuple[Predicate, ...]) -> tuple[Side, list[Compare], bool]:
    """The part of a dimension that conditions leave, which those are, and whether it has nothing else."""
    low: int | None = None
    high: int | None = None
    used: list[Compare] = []
    for one in conditions:
        if not isinstance(one, Compare) or one.path != column.path or one.operator not in _ENDS:
            continue
        ends = _ENDS[one.operator]
        used.append(one)
        number = column.operand(one, one.value)
        if ends[0] is not None:
            low = number + ends[0] if low is None else max(low, number + ends[0])
        if ends[1] is not None:
            high = number + ends[1] if high is None else min(high, number + ends[1])
    if not used:
        return (None, None), [], True
    if column.null is Null.UNSET or not all(TESTS[one.operator](0, column.operand(one, one.value)) for one in used):
        return (LEAST if low is None else low, high), used, True
    # Nulls, which come before all numbers, stand for a zero that is wanted.
    return (None, high), used, low is None and column.null is Null.DEFAULT
