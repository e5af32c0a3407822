"""The least and the greatest of groups, and which groups there are, from indexes that have one entry for each record:
where the columns of the groups come first and then the field; and from PERMUTED_MIN and PERMUTED_MAX.

Source  ours for ends; Record Layer, PermutedMinMaxIndexMaintainer and its match candidates
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from recordlayer.keys import Grouping, access
from recordlayer.query.columns import Column, Null, expression_columns, index_columns
from recordlayer.query.implication import share
from recordlayer.query.match import Match, bind, match
from recordlayer.query.plan.kept_extremes import KeptEnds, KeptExtremes, KeptPermuted
from recordlayer.query.plan.kept_groups import EXTREMES, Kind
from recordlayer.query.rules.index import unfit as unfit_for_scans

if TYPE_CHECKING:
    from recordlayer.metadata import Index
    from recordlayer.query.group import GroupQuery
    from recordlayer.query.predicate import Path
    from recordlayer.query.problem import Problem

LYING_BY_COLUMNS = ("value", "rank", "permuted_min", "permuted_max")
PERMUTED = {"permuted_min": "min", "permuted_max": "max"}


def extremes(problem: Problem, query: GroupQuery, wanted: Sequence[Kind]) -> Iterator[KeptExtremes]:
    """What indexes keep of the groups' extremes; if none is wanted, of which groups there are."""
    by_field: dict[Path | None, list[Kind]] = {}
    for kind in dict.fromkeys(wanted):
        if kind.function in EXTREMES:
            by_field.setdefault(kind.field, []).append(kind)
    for index in problem.indexes:
        if index.type not in LYING_BY_COLUMNS or not _fits(problem, index):
            continue
        for kinds in by_field.values() or ([],):
            yield from _of(problem, index, query, tuple(kinds))


def _fits(problem: Problem, index: Index) -> bool:
    problem.effort.spend()
    if problem.hidden(index) or unfit_for_scans(problem, index) or problem.has_all(index):
        return False  # the reason is noted where the index is looked at for scans
    covered = {known.name for known in problem.metadata.kinds_of(index)}
    first = index_columns(index, problem.types[0], single=len(problem.types) == 1)[0]
    return covered == set(problem.names) or first.is_constant


def _of(problem: Problem, index: Index, query: GroupQuery, kinds: tuple[Kind, ...]) -> Iterator[KeptExtremes]:
    single = len(problem.types) == 1
    columns = index_columns(index, problem.types[0], single=single)
    if not any(column.repeats for column in columns[: index.column_size]):
        yield from _ends(problem, index, query, kinds, columns)
    if index.type in PERMUTED:
        own = tuple([kind for kind in kinds if kind.function == PERMUTED[index.type]])
        root = index.root_expression
        assert isinstance(root, Grouping), "such indexes are"
        columns = expression_columns(root, problem.types[0], single=single)
        if own and root.grouped_count == 1 and not any(column.repeats for column in columns):
            yield from _permuted(problem, index, query, own, columns)


def _ends(
    problem: Problem,
    index: Index,
    query: GroupQuery,
    kinds: tuple[Kind, ...],
    columns: Sequence[Column],
    keyspace: int | None = None,
) -> Iterator[KeptEnds]:
    found = match(columns, problem.left_by(index))
    if found.residual:
        return
    free = [path for path in query.columns if path not in [column.path for column in columns[: found.equalities]]]
    at = found.equalities + len(free)
    places = places_of(columns[:at], found, query.columns)
    if places is None or at == len(columns):
        return
    default = None
    if kinds:
        value = columns[at]
        default = _default(value)
        if not _holds(value, kinds):
            return
    groups = _groups(problem, index, columns[:at], found) if free else float(len(found.ranges))
    last = any(kind.function == "max" for kind in kinds)
    bound = bind(columns[: found.equalities], problem.conditions).values
    yield KeptEnds(
        index=index,
        kinds=kinds,
        ranges=found.ranges,
        places=places,
        order=_order(columns, places),
        entries=groups * (2 if last else 1),
        round_trips=max(1, round(groups)),
        default=default,
        columns=at,
        whole=bound if not free and len(bound) == at and len(found.ranges) == 1 else None,
        keyspace=keyspace,
    )


def _permuted(
    problem: Problem, index: Index, query: GroupQuery, kinds: tuple[Kind, ...], columns: Sequence[Column]
) -> Iterator[KeptExtremes]:
    """From the extremes themselves: as they are kept for the groups, or by their ends where these come in the order of
    the value."""
    from recordlayer.index.permuted import EXTREMES as KEYSPACE  # only where there are such indexes
    from recordlayer.index.permuted import PERMUTED_SIZE

    *grouping, value = columns
    if not _holds(value, kinds):
        return
    size = int(index.options[PERMUTED_SIZE])
    default = _default(value)
    if size:
        first = len(grouping) - size
        certain = value.null is Null.UNSET if kinds[0].function == "max" else False
        if certain or isinstance(default, (str, bytes, bool)):
            yield from _ends(
                problem, index, query, kinds, [*grouping[:first], value, *grouping[first:]], keyspace=KEYSPACE
            )
        return
    found = match(grouping, problem.left_by(index))
    places = None if found.residual else places_of(grouping, found, query.columns)
    if places is not None:
        yield KeptPermuted(
            index=index,
            kinds=kinds,
            ranges=found.ranges,
            places=places,
            order=_order(grouping, places),
            entries=_groups(problem, index, grouping, found),
            default=default,
        )


def _holds(column: Column, kinds: tuple[Kind, ...]) -> bool:
    """Whether a column has the values of the field, and tells what is unset."""
    if column.path != kinds[0].field or column.field is None or column.null is Null.EITHER:
        return False
    return not access.is_message(column.field.field)


def _default(column: Column) -> Any:
    """What a null of a column stands for; None where it is no value."""
    return column.field.field.default_value if column.field is not None and column.null is Null.DEFAULT else None


def _groups(problem: Problem, index: Index, columns: Sequence[Column], found: Match) -> float:
    """About how many groups of these columns are in the ranges."""
    knowledge = problem.knowledge
    records = knowledge.of_types(problem.names, problem.metadata)
    records *= 1.0 if index.predicate is None else share(index.predicate)
    return knowledge.scanned(found, columns, of=knowledge.groups(columns, records))


def _order(columns: Sequence[Column], places: Sequence[int]) -> tuple[Any, ...]:
    return tuple([columns[place].key for place in sorted(set(places))])


def places_of(columns: Sequence[Column], found: Match, wanted: Sequence[Path]) -> tuple[int, ...] | None:
    """Where the columns of the query's groups are; None where groups do not come together."""
    places: list[int] = []
    for path in wanted:
        place = next((place for place, column in enumerate(columns) if column.path == path), None)
        if place is None:
            return None
        places.append(place)
    free = sorted({place for place in places if place >= found.equalities})
    together = free == list(range(found.equalities, found.equalities + len(free)))
    if places and found.choice is not None and found.choice not in places:
        return None  # each of its values has the groups anew
    return tuple(places) if together else None
