"""Groups from the indexes that keep them: counts from COUNT and COUNT_NOT_NULL, sums and means from SUM, extremes from
the ends of groups and from PERMUTED_MIN and PERMUTED_MAX (`kept_extremes`); rolled up where an index groups by more,
put together where several are needed.

A COUNT index has to be among them where a number is wanted: it says which groups there are. What an index does not
tell from nothing is left to the records: a SUM of 0 of a field that may be unset, unless a COUNT_NOT_NULL says whether
it is.

Source  Record Layer, AggregateIndexMatchCandidate, ComposedBitmapIndexAggregate; MultiIntersection of aggregates
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from recordlayer.keys import Grouping
from recordlayer.metadata import Index
from recordlayer.metadata.index import CELLS
from recordlayer.query.aggregates import Aggregate
from recordlayer.query.columns import Null, expression_columns
from recordlayer.query.group import GroupQuery
from recordlayer.query.grouping import Groups
from recordlayer.query.implication import share
from recordlayer.query.match import match
from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.kept_groups import COUNT, EXTREMES, GroupsFromIndexes, Kept, Kind
from recordlayer.query.predicate import Path
from recordlayer.query.rules.kept_extremes import extremes, places_of

if TYPE_CHECKING:
    from recordlayer.query.problem import Problem

TYPES = {"count": "count", "count_not_null": "count of set", "sum": "sum"}


def groups_from_indexes(problem: Problem, query: GroupQuery, groups: Groups, *, by: str, work: str) -> Iterator[Plan]:
    """A plan for each index that tells which groups there are, if all that is wanted of them is kept as well."""
    kept: list[Kept] = [
        one for index in problem.indexes if index.type in TYPES and (one := _kept(problem, index, query))
    ]
    wanted: list[Kind] = []
    for _, aggregate in query.aggregates:
        needs = _needs(aggregate, problem)
        if needs is None:
            return
        wanted += needs
    kept += extremes(problem, query, wanted)
    numbers = any(kind.function not in EXTREMES for kind in wanted)
    for first in kept:
        if COUNT not in first.kinds and (numbers or first.adds_up):
            continue
        chosen = [first]
        for kind in dict.fromkeys(wanted):
            if not any(kind in one.kinds for one in chosen):
                fitting = [one for one in kept if kind in one.kinds and one.order == first.order]
                if not fitting:
                    break
                chosen.append(min(fitting, key=lambda one: (one.entries, one.index.name)))
        else:
            yield GroupsFromIndexes(chosen, query, groups, by=by, work=work)


def _needs(aggregate: Aggregate, problem: Problem) -> tuple[Kind, ...] | None:
    """What has to be kept for an aggregate; None if no index can tell it."""
    function, field = aggregate.function, aggregate.field
    if field is None:
        return (COUNT,)
    if function in EXTREMES:
        return (Kind(function, field),)
    presence = _presence(problem, field)
    if presence is Null.EITHER:
        return None
    number_of_set = COUNT if presence is Null.DEFAULT else Kind("count of set", field)
    if function == "count":
        return (number_of_set,)
    if function in ("sum", "avg"):
        return (number_of_set, Kind("sum", field))
    return None


def _presence(problem: Problem, path: Path) -> Null:
    """What a null of a field is in an index. Types that differ are told by the worst of them."""
    found = set()
    for known in problem.types:
        descriptor, fields = known.descriptor, []
        for step in path:
            fields.append(descriptor.fields_by_name[step.name])
            descriptor = fields[-1].message_type or descriptor
        last = fields[-1]
        if last.type == last.TYPE_UINT64 or last.type == last.TYPE_FIXED64:
            return Null.EITHER  # sums are kept with a sign
        found.add(Null.UNSET if last.has_presence else Null.DEFAULT if len(fields) == 1 else Null.EITHER)
    return found.pop() if len(found) == 1 else Null.EITHER


def _kept(problem: Problem, index: Index, query: GroupQuery) -> Kept | None:
    """What an index keeps for the groups; None, with the reason noted, where it does not fit."""
    problem.effort.spend()
    root = index.root_expression
    assert isinstance(root, Grouping), "such indexes are"
    reason = problem.hidden(index) or _unfit(problem, index, root)
    if reason is None:
        columns = expression_columns(root, problem.types[0], single=len(problem.types) == 1)
        grouping, grouped = columns[: root.grouping_count], columns[root.grouping_count :]
        found = match(grouping, problem.left_by(index))
        if index.type != "count" and (len(grouped) != 1 or grouped[0].path is None):
            reason = "keeps something else than values of one field"
        elif found.residual:
            reason = f"does not answer {found.residual[0]}"
        elif (places := places_of(grouping, found, query.columns)) is None:
            reason = "has other groups"
        else:
            path = grouped[0].path if index.type != "count" else None
            knowledge = problem.knowledge
            records = knowledge.of_types(problem.names, problem.metadata)
            records *= 1.0 if index.predicate is None else share(index.predicate)
            entries = knowledge.scanned(found, grouping, of=knowledge.groups(grouping, records))
            order = tuple([grouping[place].key for place in sorted(set(places))])
            kinds = (Kind(TYPES[index.type], path),)
            return Kept(index=index, kinds=kinds, ranges=found.ranges, places=places, order=order, entries=entries)
    problem.reject(index.name, reason)
    return None


def _unfit(problem: Problem, index: Index, root: Grouping) -> str | None:
    if root.creates_duplicates:
        return "does not count every record once"
    if CELLS in index.options:
        return "is spread over cells"
    covered = {known.name for known in problem.metadata.kinds_of(index)}
    if not covered.issuperset(problem.names):
        return "keeps groups of other types"
    first = expression_columns(root, problem.types[0], single=len(problem.types) == 1)[:1]
    by_type = bool(first) and first[0].is_constant
    if covered != set(problem.names) and not by_type:
        return "keeps groups with records of other types"
    return problem.has_all(index)
