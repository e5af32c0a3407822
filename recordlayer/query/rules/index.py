"""Scanning an index: with the records fetched, or without where the entries have all that is needed.

How an index can be scanned, its type says (`query.serving`). Conditions left over are tested on the entries if those
have the fields, else on the records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from recordlayer.index.columns import field_column
from recordlayer.keys import Split, walk
from recordlayer.metadata import RecordMetaData
from recordlayer.query.columns import Column, index_columns, primary_key_columns, value_columns
from recordlayer.query.match import in_order
from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.covering import Cover, EntryReader
from recordlayer.query.plan.fetch import Fetch, Once
from recordlayer.query.plan.filter import FilterEntries
from recordlayer.query.plan.synthetic import FetchSynthetic
from recordlayer.query.predicate import Path, Predicate, conjunction
from recordlayer.query.rules.shared import with_filter, with_types
from recordlayer.query.serving.protocol import Asked, Offer
from recordlayer.query.serving.types import serving

if TYPE_CHECKING:
    from recordlayer.metadata import Index
    from recordlayer.query.problem import Problem


def filtered(problem: Problem, offer: Offer, conditions: Sequence[Predicate]) -> tuple[Plan, tuple[Predicate, ...]]:
    """The scan with the conditions that entries can tell tested on them, and those that are left."""
    plan, reader = offer.scan, offer.reader
    if reader is None:
        return plan, tuple(conditions)
    here = tuple(one for one in conditions if not one.needs_record and reader.covers(one.paths()))
    test = conjunction(here)
    if test is not None:
        decide = problem.decide(test)[problem.names[0]]
        plan = FilterEntries(plan, test, decide, reader.maker(test.paths()).one)
    return plan, tuple(one for one in conditions if one not in here)


def scan_indexes(problem: Problem) -> Iterator[Plan]:
    """One plan for each index that helps."""
    for offer in offers(problem):
        yield from _scan(problem, offer)


def offers(problem: Problem) -> Iterator[Offer]:
    """What each index that fits the query at all can do; why others do not is noted."""
    for index in problem.indexes:
        if not problem.effort.left:
            return
        problem.effort.spend()
        reason = problem.hidden(index)
        view = reason or _view(problem, index)
        if not isinstance(view, str):
            view = problem.has_all(index) or view
        if isinstance(view, str):
            problem.reject(index.name, view)
            continue
        serve = serving(index.type)
        assert serve is not None, "an index without it is unfit"
        found = serve(Asked(problem, index, view.columns, view.reader))
        yield from found if index.predicate is None else (_narrowed(problem, offer) for offer in found)


def _narrowed(problem: Problem, offer: Offer) -> Offer:
    """An offer of an index that has some of the records only: what is true of all of those is answered."""
    left, found = problem.left_by(offer.index), offer.found
    more = [one for one in found.residual if not any(one is other for other in left)]
    residual = tuple([one for one in found.residual if not any(one is other for other in more)])
    narrowed = replace(found, residual=residual, answered=(*found.answered, *more), has_some=True)
    return replace(offer, found=narrowed)


@dataclass(frozen=True, slots=True)
class _View:
    """An index as records of some types see it."""

    columns: Sequence[Column]
    reader: EntryReader | None


_VIEWS: WeakKeyDictionary[RecordMetaData, dict[tuple[str, tuple[str, ...]], _View | str]] = WeakKeyDictionary()


def _view(problem: Problem, index: Index) -> _View | str:
    """The columns of an index for some record types, and what makes messages of its entries; or why it cannot be
    scanned for them, whatever is asked. Worked out once for a metadata."""
    known = _VIEWS.setdefault(problem.metadata, {})
    key = (index.name, problem.names)
    view = known.get(key)
    if view is None:
        view = known[key] = unfit(problem, index) or _seen(problem, index)
    return view


def _seen(problem: Problem, index: Index) -> _View | str:
    single = len(problem.types) == 1
    columns = index_columns(index, problem.types[0], single=single)
    behind = value_columns(index, problem.types[0])
    if any(column.repeats for column in behind):
        return "covers a repeated field: records without elements have no entry"
    return _View(columns, EntryReader(problem.types[0], columns, behind) if single else None)


def unfit(problem: Problem, index: Index) -> str | None:
    """Why the entries of an index do not lead to each record as conditions speak of it."""
    if serving(index.type) is None:
        return f"is a {index.type} index"
    covered = {known.name for known in problem.metadata.kinds_of(index)}
    if not covered.issuperset(problem.names):
        return f"has no records of type {', '.join(sorted(set(problem.names) - covered))}"
    if any(isinstance(part, Split) for part in walk(index.root_expression)) or any(
        column.creates_duplicates and field_column(column, problem.types[0].descriptor) is None
        for column in index.root_expression.normalized()
    ):
        return "repeats records in a way that no condition speaks about"
    return None


def _scan(problem: Problem, offer: Offer) -> Iterator[Plan]:
    query, index, found, reader = problem.query, offer.index, offer.found, offer.reader
    covered = len(problem.metadata.kinds_of(index))
    if query.sort and not (offer.ordered and in_order(offer.columns, found, query.sort)):
        problem.reject(index.name, "gives another order")
        return
    repeats = found.repeats and query.distinct
    if repeats and offer.once is None:
        problem.reject(index.name, "gives records several times, and does not tell which is the first")
        return
    covers = (
        reader is not None
        and not repeats
        and query.fields is not None
        and covered == len(problem.types)
        and reader.covers(_needed(problem, offer))
        and not any(condition.needs_record for condition in found.residual)
    )
    if not found.is_bound and not query.sort and not covers:
        problem.reject(index.name, "answers no condition")
        return
    plan, on_records = filtered(problem, offer, found.residual)
    if covers and reader is not None:
        key = [column.path for column in primary_key_columns(problem.types[0], single=True) if column.path is not None]
        yield Cover(plan, problem.types[0], reader.maker(frozenset((*(query.fields or ()), *key))))
        return
    plan = fetch(problem, plan, once=offer.once if repeats else None)
    yield with_filter(problem, with_types(problem, plan, covered=covered), on_records)


def fetch(problem: Problem, plan: Plan, *, once: Once | None = None) -> Plan:
    """The records of the entries that a plan gives."""
    kind = problem.synthetic
    if kind is not None:
        return FetchSynthetic(plan, kind, once=once)
    return Fetch(plan, names=fetched_names(problem), once=once)


def fetched_names(problem: Problem) -> tuple[str, ...]:
    """The types that are fetched, for explanations; none if it is all there are."""
    return problem.names if not problem.all_types or len(problem.types) == 1 else ()


def _needed(problem: Problem, offer: Offer) -> frozenset[Path]:
    needed = frozenset(problem.query.fields or ())
    return needed.union(*(condition.paths() for condition in offer.found.residual))
