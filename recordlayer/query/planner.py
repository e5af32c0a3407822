"""From a query to a plan: the rules propose, the cheapest plan that keeps the query's promises is taken.

Every rule is a function from a `Problem` to plans; a plan that a rule gives answers the whole query. What a rule could
not use it notes with the reason, for `explain`.

Plans are values for one metadata and one set of readable indexes, and kept in a small cache by query.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from recordlayer.errors import NoPlan
from recordlayer.query.plan.base import Plan
from recordlayer.query.predicate import Compare, Path, PathStep
from recordlayer.query.problem import Problem, problem_of
from recordlayer.query.query import RecordQuery
from recordlayer.query.rules.index import scan_indexes
from recordlayer.query.rules.merging import intersect, unite
from recordlayer.query.rules.primary_key import scan_records
from recordlayer.query.rules.sorting import sorted_in_memory

if TYPE_CHECKING:
    from recordlayer.metadata import RecordMetaData
    from recordlayer.query.problem import StateOf

_CACHED = 256


Rule = Callable[[Problem], Iterator[Plan]]

RULES: tuple[Rule, ...] = (scan_records, scan_indexes, unite, intersect)


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan of a query, the others that would answer it too, and which indexes could not, with the reason."""

    query: RecordQuery
    plan: Plan
    others: tuple[Plan, ...]
    rejected: dict[str, str]


def plan(query: RecordQuery, metadata: RecordMetaData, state_of: StateOf) -> Planned:
    """The cheapest plan of a query.

    Raises  NoPlan when nothing gives the order that is asked for; UnknownRecordType, UnknownField, WrongType.
    """
    readable = tuple(index.name for index in metadata.indexes.values() if state_of(index).is_readable)
    cache = _CACHE.setdefault(metadata, OrderedDict())
    key = _cache_key(query, readable)
    if key is not None and key in cache:
        cache.move_to_end(key)
        return cache[key]
    problem = problem_of(query, metadata, state_of)
    found = list(_plans(problem))
    if query.in_memory:
        found += sorted_in_memory(problem, _plans(problem.asking(*problem.conditions)))
    if not found:
        raise NoPlan(
            query=str(query),
            not_used=problem.rejected,
            hint=f"no index has the records in this order; {_missing_index(problem)} would, or order_by(..., "
            "in_memory=1000) lets so many records be sorted in memory",
        )
    found.sort(key=lambda one: (one.estimate.cost, one.line))
    planned = Planned(query, found[0], tuple(found[1:]), problem.rejected)
    if key is not None:
        cache[key] = planned
        if len(cache) > _CACHED:
            cache.popitem(last=False)
    return planned


def _plans(problem: Problem) -> Iterator[Plan]:
    for rule in RULES:
        yield from rule(problem)


_Cache = OrderedDict[tuple[object, ...], Planned]
_CACHE: WeakKeyDictionary[RecordMetaData, _Cache] = WeakKeyDictionary()


def _cache_key(query: RecordQuery, readable: tuple[str, ...]) -> tuple[object, ...] | None:
    """1 and True and 1.0 are equal and not the same: the text tells them apart. None if a value cannot be hashed."""
    try:
        hash(query)
    except TypeError:
        return None
    return (query, str(query), readable)


def _missing_index(problem: Problem) -> str:
    """The index that would give the order, as code."""
    equal = [
        one.path for one in problem.conditions if isinstance(one, Compare) and one.operator.value in ("=", "is null")
    ]
    columns: Sequence[Path] = [*equal, *(path for path in problem.query.sort if path not in equal)]
    written = [_as_code(path) for path in columns]
    expression = written[0] if len(written) == 1 else f"concat({', '.join(written)})"
    name = "_".join(step.name for path in columns for step in path)
    return f'.index("{problem.names[0]}", "by_{name}", {expression})'


def _as_code(path: Path) -> str:
    def one(step: PathStep) -> str:
        return f'field("{step.name}")' + (".fan_out()" if step.any else "")

    code = one(path[-1])
    for step in reversed(path[:-1]):
        code = f"{one(step)}.nest({code})"
    return code
