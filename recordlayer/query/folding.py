"""Values of a column folded at once: what folding them one by one would give.

Source  ours
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor as FieldTypes

from recordlayer.query.aggregates import Aggregate, packed

if TYPE_CHECKING:
    from recordlayer.pb.types import FieldDescriptor

FoldAll = Callable[[Any, list[Any], int, int], Any]
"""From what is folded of a group, the values of a column and a run of them to what is folded then."""


def counted(folded: Any, values: list[Any], first: int, end: int) -> Any:
    return folded + end - first


def fold_all(aggregate: Aggregate, field: FieldDescriptor) -> FoldAll:
    step = aggregate.step(field)
    function = aggregate.function
    whole = field.cpp_type not in (FieldTypes.CPPTYPE_FLOAT, FieldTypes.CPPTYPE_DOUBLE)

    def present(values: list[Any], first: int, end: int) -> list[Any]:
        return [value for value in values[first:end] if value is not None]

    def of_all(fold: Callable[[Any, list[Any]], Any]) -> FoldAll:
        def folding(folded: Any, values: list[Any], first: int, end: int) -> Any:
            there = present(values, first, end)
            return fold(folded, there) if there else folded

        return folding

    if function == "count":
        return of_all(lambda folded, there: folded + len(there))
    if not whole and function in ("sum", "avg"):
        return of_all(lambda folded, there: reduce(step, there, folded))  # sums of floats depend on their order
    if function == "avg":
        return of_all(lambda folded, there: (step(folded, sum(there))[0], folded[1] + len(there)))
    if function == "sum":
        return of_all(lambda folded, there: step(folded, sum(there)))
    extreme = min if function == "min" else max
    key = None if whole else packed
    return of_all(lambda folded, there: step(folded, extreme(there, key=key)))
