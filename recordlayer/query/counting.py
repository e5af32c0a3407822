"""How records of a query are counted: from an index that counts them, else one by one.

Source  ours; see `rules.count`
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from recordlayer.errors import WrongType
from recordlayer.metadata import RecordMetaData
from recordlayer.query.plan.aggregate import CountFromIndex, CountRows
from recordlayer.query.plan.base import Plan
from recordlayer.query.planner import filtered_by, keep
from recordlayer.query.problem import Problem, problem_of
from recordlayer.query.query import RecordQuery
from recordlayer.query.rebinding import Template, template_of
from recordlayer.query.rules.count import count_from_index
from recordlayer.query.shape import Key, shape_of, values_key
from recordlayer.query.slot import Values
from recordlayer.query.statistics import known
from recordlayer.store.store import RecordStore

_TEMPLATES = 4


@dataclass(slots=True)
class _Shape:
    """What gives counts of one shape for other values. `tried`: how often one was looked for."""

    templates: tuple[Template, ...] = ()
    tried: int = 0

    def filled(self, values: Values) -> CountFromIndex | None:
        for template in self.templates:
            if template.fits(values):
                found: CountFromIndex | None = template.fill(values)
                return found
        return None


@dataclass(frozen=True, slots=True)
class _Kept:
    """For one metadata: counts by shape and values, and what gives others."""

    counts: OrderedDict[Key, CountFromIndex | CountRows]
    shapes: OrderedDict[Key, _Shape]


_KEPT: WeakKeyDictionary[RecordMetaData, _Kept] = WeakKeyDictionary()


def count_plan(
    store: RecordStore, query: RecordQuery, plan_of: Callable[[RecordQuery], Plan]
) -> CountFromIndex | CountRows:
    """How to count. `plan_of` makes the plan of a query."""
    if not isinstance(query, RecordQuery):
        raise WrongType(query=query, hint='make one with query("Order").where(...)')
    if query.sort:
        query = replace(query, sort=(), reverse=False, in_memory=0)
    if store.states.chooses is not None:
        query = query.of_chosen
    metadata = store.metadata
    kept = _KEPT.get(metadata)
    if kept is None:
        kept = _KEPT[metadata] = _Kept(OrderedDict(), OrderedDict())
    shape, values = shape_of(query)
    knowledge = known(store)
    way: Key = (shape, knowledge, store.states.marked)
    like = kept.shapes.get(way)
    if like is not None and (filled := like.filled(values)) is not None:
        return filled
    told = values_key(values)
    key = None if told is None else (way, told)
    if key is not None and key in kept.counts:
        return kept.counts[key]
    problem = problem_of(query, metadata, store.states.peek, knowledge=knowledge)
    counted = count_from_index(problem)
    if counted is None:
        rows = CountRows(plan_of(query))
        if key is not None:
            keep(kept.counts, key, rows)
        return rows
    if like is None:
        keep(kept.shapes, way, _Shape())
    elif like.tried < _TEMPLATES:
        like.tried += 1
        template = template_of(problem, counted, values, _from_index, looked_at=filtered_by(metadata))
        if template is not None:
            like.templates = (*like.templates, template)
    if key is not None:
        keep(kept.counts, key, counted)
    return counted


def _from_index(problem: Problem) -> list[Any]:
    found = count_from_index(problem)
    return [] if found is None else [found]
