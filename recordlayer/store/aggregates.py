"""Aggregate functions answered by whichever index of a store can do so with the fewest reads; never by reading records.

    count, count_updates, count_not_null, sum   counters; 0 where there is nothing
    min_ever, max_ever, max_ever_version        of all values that ever were
    min, max                                    of the values that are there, nulls left out; None if there are none;
                                                from an index in whose order they are: VALUE, VERSION,
                                                RANK, PERMUTED_MIN or PERMUTED_MAX
    count_distinct                              how many different values there are, from a COUNT index that groups by
                                                them; a null is a value

Cost    counters: 1 read if an index groups by exactly these columns, else 1 range read a chunk; min and max: 1 range
        read of one entry; count_distinct: 1 range read a chunk
Source  Record Layer, FDBRecordStore.evaluateAggregateFunction, IndexFunctionHelper, IndexAggregateFunctionCall
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recordlayer.cursor.scan import ScanOptions
from recordlayer.errors import UsageError
from recordlayer.index.bounds import Bounds, End
from recordlayer.index.entry import Items
from recordlayer.index.maintainer import Aggregating
from recordlayer.keys import EMPTY, Grouping, KeyExpression, Then, as_expression
from recordlayer.keys.prefixes import is_prefix
from recordlayer.metadata import Index
from recordlayer.metadata.index import CELLS
from recordlayer.store.store import RecordStore

KEPT = {
    "count": ("count",),
    "count_updates": ("count_updates",),
    "count_not_null": ("count_not_null",),
    "sum": ("sum",),
    "min_ever": ("min_ever_long", "min_ever_tuple", "min_ever"),
    "max_ever": ("max_ever_long", "max_ever_tuple", "max_ever"),
    "max_ever_version": ("max_ever_version",),
}
"""Functions whose values indexes keep, and the types of these indexes."""
FUNCTIONS = (*KEPT, "min", "max", "count_distinct")
_WITHOUT_COLUMNS = ("count", "count_updates")
_IN_ORDER = ("value", "version", "rank", "permuted_min", "permuted_max")

Columns = KeyExpression | str | None


async def evaluate_aggregate(
    store: RecordStore,
    function: str,
    record_type: str | None,
    columns: Columns = None,
    *,
    by: Columns = None,
    group: Items = (),
    snapshot: bool = False,
) -> Any:
    """What a function gives for the records of a type (None: of all types) for which `by` is `group`.

    One column gives a value, several a tuple.

    Raises  UsageError for an unknown function, wrong columns, or if no index can answer; IndexNotReadable if only one
            can that is still to be built; UnknownRecordType.
    """
    grouping = EMPTY if by is None else as_expression(by)
    grouped = EMPTY if columns is None else as_expression(columns)
    if function not in FUNCTIONS:
        raise UsageError(function=function, known=FUNCTIONS, hint="use one of these")
    if (grouped is EMPTY) is not (function in _WITHOUT_COLUMNS):
        hint = "leave the columns away" if function in _WITHOUT_COLUMNS else "say of which columns"
        raise UsageError(function=function, columns=columns, hint=hint)
    if not isinstance(group, tuple) or len(group) != grouping.column_size:
        raise UsageError(by=by, group=group, hint=f"give a tuple of {grouping.column_size} values")
    for index in _candidates(store, function, record_type, grouping, grouped):
        store.check_readable(index)  # the readable ones are first
        if function in KEPT:
            return _single(await _kept(store, index, group, snapshot=snapshot))
        if function == "count_distinct":
            return await _distinct(store, index, group, grouped.column_size, snapshot=snapshot)
        return _single(await _end(store, index, group, grouped, reverse=function == "max", snapshot=snapshot))
    raise UsageError(
        function=function,
        record_type=record_type,
        columns=columns,
        by=by,
        hint="no readable index of exactly these records keeps this: add one, such as rl.count(group_by=...)",
    )


def _candidates(
    store: RecordStore, function: str, record_type: str | None, grouping: KeyExpression, grouped: KeyExpression
) -> Iterator[Index]:
    """The indexes that can answer, the readable ones first, and of these the cheapest."""
    metadata = store.metadata
    wanted = tuple(metadata.record_types.values()) if record_type is None else (metadata.record_type(record_type),)
    found = [
        index
        for index in metadata.indexes.values()
        if index.predicate is None
        and index.allowed_for_query
        and metadata.record_types_of(index) == wanted
        and _answers(index, function, grouping, grouped)
    ]

    def cost(index: Index) -> tuple[bool, int, bool, str]:
        readable = store.states.peek(index).is_readable
        return not readable, index.root_expression.column_size, CELLS in index.options, index.name

    return iter(sorted(found, key=cost))


def _answers(index: Index, function: str, grouping: KeyExpression, grouped: KeyExpression) -> bool:
    root = index.root_expression
    if function in ("min", "max"):
        whole = root.whole if isinstance(root, Grouping) else root
        return index.type in _IN_ORDER and is_prefix(_both(grouping, grouped), whole)
    if not isinstance(root, Grouping):
        return False
    if function == "count_distinct":
        return index.type == "count" and is_prefix(_both(grouping, grouped), root.grouping_key)
    if index.type not in KEPT[function] or root.grouped_key.ignoring_nulls() != grouped.ignoring_nulls():
        return False
    # Of columns that are grouped by besides, a record may have many: it would be counted many times.
    besides = root.grouping_count > grouping.column_size
    return is_prefix(grouping, root.grouping_key) and not (besides and root.grouping_key.creates_duplicates)


def _both(grouping: KeyExpression, grouped: KeyExpression) -> KeyExpression:
    return grouped if grouping is EMPTY else Then((grouping, grouped))


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


async def _kept(store: RecordStore, index: Index, group: Items, *, snapshot: bool) -> Any:
    maintainer = store.index_maintainer(index.name)
    assert isinstance(maintainer, Aggregating), "such types are"
    return await maintainer.aggregate(group, snapshot=snapshot)


async def _distinct(store: RecordStore, index: Index, group: Items, columns: int, *, snapshot: bool) -> int:
    size = len(group) + columns
    number, last, there = 0, None, False
    cursor = store.scan_index(index.name, Bounds.equal(group), ScanOptions(snapshot=snapshot))
    while True:
        batch = await cursor.batch()
        for entry in batch.values:
            if entry.group[:size] != last:
                number += there
                last, there = entry.group[:size], False
            there = there or entry.value != 0  # a group whose records are gone may still be there
        if batch.stop is not None:
            return number + there


async def _end(
    store: RecordStore, index: Index, group: Items, grouped: KeyExpression, *, reverse: bool, snapshot: bool
) -> Items | None:
    high_end = End.INCLUSIVE if group else End.TREE
    bounds = Bounds((*group, None), group or None, End.EXCLUSIVE, high_end)
    options = ScanOptions(reverse=reverse, limit=1, snapshot=snapshot)
    step = await store.scan_index(index.name, bounds, options).next()
    if not step.has_value or step.value is None:
        return None
    found: Items = step.value.key[len(group) : len(group) + grouped.column_size]
    return found
