"""Groups from the indexes that keep them: counts from COUNT and COUNT_NOT_NULL, sums and means from SUM, the greatest
from PERMUTED_MAX; rolled up where an index groups by more, put together where several are needed.

A COUNT index has to be among them: it alone says which groups there are. What an index does not tell from nothing is
left to the records: a SUM of 0 of a field that may be unset, unless a COUNT_NOT_NULL says whether it is.

Source  Record Layer, AggregateIndexMatchCandidate, ComposedBitmapIndexAggregate; MultiIntersection of aggregates
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from recordlayer.keys import Grouping
from recordlayer.metadata import Index
from recordlayer.metadata.index import CELLS
from recordlayer.query.aggregates import Aggregate
from recordlayer.query.columns import Column, Null, expression_columns
from recordlayer.query.group import GroupQuery
from recordlayer.query.grouping import Groups
from recordlayer.query.implication import share
from recordlayer.query.match import Match, match
from recordlayer.query.plan.base import Plan
from recordlayer.query.plan.kept_groups import COUNT, GroupsFromIndexes, Kept, Kind
from recordlayer.query.predicate import Path

if TYPE_CHECKING:
    from recordlayer.query.problem import Problem

TYPES = {"count": "count", "count_not_null": "count of set", "sum": "sum", "permuted_max": "max"}


def groups_from_indexes(problem: Problem, query: GroupQuery, groups: Groups, *, by: str, work: str) -> Iterator[Plan]:
    """A plan for each COUNT index that has the groups, if the other values are kept for them as well."""
    kept = [one for index in problem.indexes if index.type in TYPES and (one := _kept(problem, index, query))]
    if not kept:
        return
    wanted: list[Kind] = []
    for _, aggregate in query.aggregates:
        needs = _needs(aggregate, problem)
        if needs is None:
            return
        wanted += needs
    for counted in kept:
        if counted.kind != COUNT:
            continue
        chosen = {COUNT: counted}
        for kind in wanted:
            fitting = [one for one in kept if one.kind == kind and one.order == counted.order]
            if kind not in chosen and fitting:
                chosen[kind] = min(fitting, key=lambda one: (one.entries, one.index.name))
        if all(kind in chosen for kind in wanted):
            yield GroupsFromIndexes(list(chosen.values()), query, groups, by=by, work=work)


def _needs(aggregate: Aggregate, problem: Problem) -> tuple[Kind, ...] | None:
    """What has to be kept for an aggregate; None if no index can tell it."""
    function, field = aggregate.function, aggregate.field
    if field is None:
        return (COUNT,)
    presence = _presence(problem, field)
    if presence is Null.EITHER:
        return None
    number_of_set = COUNT if presence is Null.DEFAULT else Kind("count of set", field)
    if function == "count":
        return (number_of_set,)
    if function in ("sum", "avg"):
        return (number_of_set, Kind("sum", field))
    if function == "max" and presence is Null.UNSET:
        return (Kind("max", field),)
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
        elif found.residual or len(found.ranges) != 1:
            reason = f"does not answer {(found.residual or problem.conditions)[0]}"
        elif (places := _places(grouping, found, query.columns)) is None:
            reason = "has other groups"
        else:
            path = grouped[0].path if index.type != "count" else None
            knowledge = problem.knowledge
            records = knowledge.of_types(problem.names, problem.metadata)
            records *= 1.0 if index.predicate is None else share(index.predicate)
            entries = knowledge.scanned(found, grouping, of=knowledge.groups(grouping, records))
            order = tuple([grouping[place].key for place in sorted(set(places))])
            return Kept(index, Kind(TYPES[index.type], path), found.ranges, places, order, entries)
    problem.reject(index.name, reason)
    return None


def _unfit(problem: Problem, index: Index, root: Grouping) -> str | None:
    if root.creates_duplicates:
        return "does not count every record once"
    if index.type == "permuted_max" and index.options.get("permutedSize") != "0":
        return "has its groups in the order of their values"
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


def _places(columns: Sequence[Column], found: Match, wanted: Sequence[Path]) -> tuple[int, ...] | None:
    """Where the columns of the query's groups are; None where groups do not come together."""
    places: list[int] = []
    for path in wanted:
        place = next((place for place, column in enumerate(columns) if column.path == path), None)
        if place is None:
            return None
        places.append(place)
    free = sorted(place for place in places if place >= found.equalities)
    return tuple(places) if free == list(range(found.equalities, found.equalities + len(free))) else None
