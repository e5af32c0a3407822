"""Several scans for one query: OR and IN as a union, AND over two indexes as an intersection.

Entries of scans that come in the same order are merged before a record is read, and each record is read once. Where a
union has no common order, its parts follow each other, and each leaves out the records of those before it; that is told
from the record, so nothing has to be remembered between pages.

Source  Record Layer, RecordQueryPlanner: planOr, planIntersection, InToJoin and the union comparison key
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from recordlayer.query.columns import primary_key_columns
from recordlayer.query.match import in_order
from recordlayer.query.normal import Branch, alternatives
from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.merge import IntersectEntries, OneAfterTheOther, Ordered, UnionEntries, entry_key
from recordlayer.query.predicate import And, NotTrue, Or, Predicate, conjunction
from recordlayer.query.query import SortKey, shown_key
from recordlayer.query.rules.index import fetch, filtered, offers, scan_indexes
from recordlayer.query.rules.primary_key import scan_records
from recordlayer.query.rules.shared import with_filter, with_types
from recordlayer.query.serving.protocol import Offer

if TYPE_CHECKING:
    from recordlayer.query.problem import Problem

MOST_INTERSECTED = 8
"""So many scans are tried in pairs."""


def unite(problem: Problem) -> Iterator[Plan]:
    """A plan for each condition that is an OR, or an IN, if every alternative has an index; and one for all of them
    together, multiplied out."""
    several = {place: branches for place, one in enumerate(problem.conditions) if (branches := alternatives(one))}
    for place, branches in several.items():
        yield from _unite(problem, (problem.conditions[place],), branches)
    if len(several) > 1:
        chosen = tuple([problem.conditions[place] for place in several])
        branches = alternatives(And(chosen))
        if len(branches) > max(len(one) for one in several.values()):
            yield from _unite(problem, chosen, branches)


def _unite(problem: Problem, chosen: Branch, branches: Sequence[Branch]) -> Iterator[Plan]:
    if not problem.effort.left:
        return
    rest = tuple([one for one in problem.conditions if not any(one is other for other in chosen)])
    merged = _merged_union(problem, chosen, branches, rest)
    if merged is not None:
        yield merged
    elif any(isinstance(one, Or) for one in chosen) and not problem.query.sort:
        yield from _following(problem, branches, rest)


def _merged_union(problem: Problem, chosen: Branch, branches: Sequence[Branch], rest: Branch) -> Plan | None:
    """The union of one ordered scan for each branch; what a branch does not answer is tested on the records."""
    order = _common_order(problem)
    if order is None:
        return None
    scans: list[Ordered] = []
    left: list[Predicate] = []
    exact = True
    covered = 0
    for branch in branches:
        part = problem.asking(*branch, *rest, sort=problem.query.sort)
        best = _best_ordered(part, order, helping=branch)
        if best is None:
            return None
        offer, scan, open_conditions = best
        scans.append(scan)
        left += [one for one in rest if one in open_conditions and one not in left]
        exact = exact and not any(one in open_conditions for one in branch)
        covered = max(covered, len(problem.metadata.kinds_of(offer.index)))
    plan: Plan = UnionEntries(scans, reverse=problem.query.reverse, order=_words(problem))
    plan = with_types(problem, fetch(problem, plan), covered=covered)
    return with_filter(problem, plan, left if exact else [*left, *chosen])


def intersect(problem: Problem) -> Iterator[Plan]:
    """The records that several scans have: of each pair that answer different conditions, and of as many scans as each
    answer one more."""
    order = _common_order(problem)
    if order is None or len(problem.conditions) < 2:
        return
    found = [offer for offer in offers(problem) if _is_ordered(problem, offer, order) and offer.found.answered]
    found = found[:MOST_INTERSECTED]
    for one, other in combinations(found, 2):
        if _differ(one, other) and _differ(other, one):
            yield _intersection(problem, (one, other))
    several = _each_more(found)
    if len(several) > 2:
        yield _intersection(problem, several)


def _each_more(found: Sequence[Offer]) -> list[Offer]:
    """Scans of which each answers something that those before it do not, the cheapest first."""
    chosen: list[Offer] = []
    answered: list[Predicate] = []
    for offer in sorted(found, key=lambda one: (one.scan.estimate.cost, one.scan.line)):
        more = [one for one in offer.found.answered if one not in answered]
        if more:
            chosen.append(offer)
            answered += more
    return chosen


def _intersection(problem: Problem, chosen: Sequence[Offer]) -> Plan:
    scans = [_ordered(problem, offer) for offer in chosen]
    left = [one for one in problem.conditions if all(one in still_open for _, still_open in scans)]
    covered = min(len(problem.metadata.kinds_of(offer.index)) for offer in chosen)
    plan: Plan = IntersectEntries(
        [scan for scan, _ in scans],
        reverse=problem.query.reverse,
        order=_words(problem),
        among=problem.knowledge.of_types(problem.names, problem.metadata),
    )
    return with_filter(problem, with_types(problem, fetch(problem, plan), covered=covered), left)


def _differ(one: Offer, other: Offer) -> bool:
    """Whether one answers a condition that the other does not."""
    return any(condition not in other.found.answered for condition in one.found.answered)


def _following(problem: Problem, branches: Sequence[Branch], rest: Branch) -> Iterator[Plan]:
    """The branches one after the other, each without the records of those before it."""
    plans: list[Plan] = []
    before: list[Predicate] = []
    for branch in branches:
        part = problem.asking(*branch, *rest)
        found = [one for rule in (scan_records, scan_indexes) for one in rule(part)]
        if not found:
            return
        plan = min(found, key=lambda one: (one.estimate.cost, one.line))
        earlier = None if not before else before[0] if len(before) == 1 else Or(tuple(before))
        plans.append(plan if earlier is None else with_filter(problem, plan, [NotTrue(earlier)]))
        whole = conjunction(branch)
        assert whole is not None, "a branch has a condition"
        before.append(whole)
    yield OneAfterTheOther(plans)


# -- orders ----------------------------------------------------------------------------------------------------------


def _common_order(problem: Problem) -> tuple[SortKey, ...] | None:
    """What entries of different indexes are merged by: the order asked for, then the primary key. None where the
    primary key is not the same for all types."""
    first = problem.types[0]
    if any(known.primary_key != first.primary_key for known in problem.types):
        return None
    columns = [
        column for column in primary_key_columns(first, single=len(problem.types) == 1) if not column.is_constant
    ]
    keys = [column.key for column in columns if column.key is not None and not column.repeats]
    return (*problem.query.sort, *keys) if len(keys) == len(columns) else None


def _words(problem: Problem) -> str:
    return ", ".join([shown_key(key) for key in problem.query.sort] + ["primary key"])


def _is_ordered(problem: Problem, offer: Offer, order: Sequence[SortKey]) -> bool:
    """Whether a scan gives one entry for each of its records, in this order, and its entries tell where they are."""
    found = offer.found
    if not offer.ordered or found.repeats or not found.is_bound or not in_order(offer.columns, found, order):
        return False
    return all(_place(offer, key) is not None for key in problem.query.sort)


def _place(offer: Offer, key: SortKey) -> int | None:
    return next((place for place, column in enumerate(offer.columns) if column.key == key), None)


def _ordered(problem: Problem, offer: Offer) -> tuple[Ordered, tuple[Predicate, ...]]:
    """The scan, with the conditions that it leaves open. An order that the primary key has anyhow needs no key more."""
    sort = problem.query.sort
    whole = _common_order(problem) or ()
    places = [] if whole[len(sort) : 2 * len(sort)] == sort else [_place(offer, key) for key in sort]
    plan, left = filtered(problem, offer, offer.found.residual)
    return Ordered(plan, entry_key([place for place in places if place is not None])), left


def _best_ordered(
    part: Problem, order: Sequence[SortKey], *, helping: Sequence[Predicate]
) -> tuple[Offer, Ordered, tuple[Predicate, ...]] | None:
    """The cheapest ordered scan that answers something of a branch, with the conditions that it leaves open."""
    best: tuple[float, str, Offer, Ordered, tuple[Predicate, ...]] | None = None
    for offer in offers(part):
        if _is_ordered(part, offer, order) and any(one in offer.found.answered for one in helping):
            scan, left = _ordered(part, offer)
            key = (scan.plan.estimate.cost, scan.plan.line)
            if best is None or key < best[:2]:
                best = (*key, offer, scan, left)
    return None if best is None else best[2:]
