"""What each index type asks of its expression and options: one function a type.

A type that is not listed here is somebody's own, or one that we only read: nothing is known against it.

Source  Record Layer: IndexValidator and the validators of the index maintainer factories
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor as Types

from recordlayer.errors import InvalidIndex
from recordlayer.keys import Dimensions, Grouping, KeyWithValue, Then
from recordlayer.keys.access import is_repeated
from recordlayer.metadata import expiry
from recordlayer.metadata.index import CELLS, Index

if TYPE_CHECKING:
    from recordlayer.metadata.metadata import RecordMetaData
    from recordlayer.pb.types import Descriptor, FieldDescriptor

Rule = Callable[[Index, "RecordMetaData"], Iterator[InvalidIndex]]

VARINTS = frozenset(
    {Types.TYPE_INT32, Types.TYPE_INT64, Types.TYPE_SINT32, Types.TYPE_SINT64, Types.TYPE_UINT32, Types.TYPE_UINT64}
)
INTEGERS = VARINTS | {Types.TYPE_FIXED32, Types.TYPE_FIXED64, Types.TYPE_SFIXED32, Types.TYPE_SFIXED64}


SPREAD = frozenset({"count", "count_updates", "count_not_null", "sum"})
"""Types whose groups may be spread over cells: those that only add."""
MOST_CELLS = 1024


def cells(index: Index) -> Iterator[InvalidIndex]:
    """Whether a number of cells can be meant."""
    number = index.options.get(CELLS)
    if number is None:
        return
    if index.type not in SPREAD:
        yield _problem(index, f"only counts and sums can be spread over cells: leave the option {CELLS} away")
    elif not number.isdecimal() or not 2 <= int(number) <= MOST_CELLS:
        yield _problem(index, f"the option {CELLS} is a number from 2 to {MOST_CELLS}, not {number!r}")


def problems(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    """What is wrong with an index by the rules of its type; its expression is known to fit its record types."""
    yield from cells(index)
    yield from expiry.problems(index, metadata.record_types_of(index))
    rule = RULES.get(index.type)
    if rule is not None:
        yield from rule(index, metadata)


def hidden_columns(index: Index) -> Iterator[InvalidIndex]:
    """Columns of the primary key in the value part of a covering index: Java writes entries that nobody can read."""
    if isinstance(index.root_expression, KeyWithValue) and index.primary_key_positions is not None:
        hidden = [at for at in index.primary_key_positions if at >= index.root_expression.split_point]
        if hidden:
            hint = "a column of the primary key is in the value part, so entries could not be read: leave it away there"
            yield _problem(index, hint)


def _problem(index: Index, hint: str) -> InvalidIndex:
    return InvalidIndex(index=index.name, type=index.type, expression=index.root_expression, hint=hint)


# -- parts of rules ------------------------------------------------------------------------------------------------


def _not_grouped(index: Index) -> Iterator[InvalidIndex]:
    if isinstance(index.root_expression, Grouping):
        yield _problem(index, "this type of index has no groups")


def _grouped(index: Index, *, least: int, most: int | None = None) -> Iterator[InvalidIndex]:
    expression = index.root_expression
    if not isinstance(expression, Grouping):
        yield _problem(index, "this type needs a grouping: write field(...).group_by(...) or .ungrouped()")
    elif expression.grouped_count < least or (most is not None and expression.grouped_count > most):
        wanted = f"exactly {least}" if least == most else f"at least {least}"
        yield _problem(index, f"this type needs {wanted} grouped column{'s' * (least != 1)}")


def _no_version(index: Index) -> Iterator[InvalidIndex]:
    if index.root_expression.version_columns:
        yield _problem(index, "this type of index has no version column")


def _not_unique(index: Index) -> Iterator[InvalidIndex]:
    if index.unique:
        yield _problem(index, "this type of index cannot be unique")


def _stores_versions(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    if not metadata.store_record_versions:
        yield _problem(index, "the metadata must store record versions: call store_record_versions()")


def _last_column(index: Index, metadata: RecordMetaData, types: frozenset[int], wanted: str) -> Iterator[InvalidIndex]:
    for record_type in metadata.kinds_of(index):
        leaves = _fields(index, record_type.descriptor)
        if not leaves or leaves[-1].type not in types:
            name = leaves[-1].name if leaves else None
            hint = f"the grouped column must be {wanted}"
            yield InvalidIndex(index=index.name, type=index.type, record_type=record_type.name, column=name, hint=hint)


def _fields(index: Index, descriptor: Descriptor) -> list[FieldDescriptor]:
    return index.root_expression.leaf_fields(descriptor)


# -- rules -----------------------------------------------------------------------------------------------------------


def _value(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    yield from _not_grouped(index)
    yield from _no_version(index)


def _version(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    yield from _not_grouped(index)
    yield from _stores_versions(index, metadata)
    if index.root_expression.version_columns != 1:
        yield _problem(index, "this type needs exactly one version() column")
    yield from _not_unique(index)


def _count(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    expression = index.root_expression
    if not isinstance(expression, Grouping):
        yield _problem(index, "this type needs a grouping: write count(group_by=...)")
    elif expression.grouped_count:
        yield _problem(index, "this type counts records and has no grouped columns: use count_not_null to count values")
    yield from _no_version(index)


def _count_updates(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    yield from _count(index, metadata)
    yield from _never_cleared(index)


def _count_not_null(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    if index.flag("clearWhenZero"):
        # Java reads this combination as a plain count, and refuses grouped columns.
        yield from _count(index, metadata)
        return
    yield from _grouped(index, least=1)
    yield from _no_version(index)


def _sum(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    yield from _grouped(index, least=1, most=1)
    yield from _no_version(index)
    yield from _last_column(index, metadata, VARINTS, "an int32, int64, sint32 or sint64 field")


def _ever_long(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    yield from _sum(index, metadata)
    yield from _never_cleared(index)


def _ever_tuple(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    yield from _grouped(index, least=1)
    yield from _no_version(index)
    yield from _never_cleared(index)


def _ever_version(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    yield from _grouped(index, least=1)
    yield from _never_cleared(index)
    expression = index.root_expression
    if isinstance(expression, Grouping):
        if expression.grouping_key.version_columns:
            yield _problem(index, "the version column must be among the grouped columns")
        if expression.grouped_key.version_columns != 1:
            yield _problem(index, "this type needs exactly one version() column among the grouped columns")


def _never_cleared(index: Index) -> Iterator[InvalidIndex]:
    if index.flag("clearWhenZero"):
        yield _problem(index, "this type of index does not take the option clearWhenZero")


def _rank(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    yield from _grouped(index, least=1)
    yield from _no_version(index)


def _bitmap(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    yield from _grouped(index, least=1, most=1)
    yield from _no_version(index)
    yield from _last_column(index, metadata, INTEGERS, "an integer field")


def _permuted(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    yield from _grouped(index, least=1)
    yield from _no_version(index)
    size = index.options.get("permutedSize")
    expression = index.root_expression
    if size is None or not size.isdecimal():
        yield _problem(index, "this type needs the option permutedSize, a number of columns")
    elif isinstance(expression, Grouping) and int(size) > expression.grouping_count:
        yield _problem(index, f"permutedSize is {size}, but there are {expression.grouping_count} grouping columns")


def _text(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    yield from _no_version(index)
    yield from _not_unique(index)
    expression = index.root_expression
    if isinstance(expression, KeyWithValue):
        yield _problem(index, "this type of index has no value part")
        return
    at = expression.grouping_count if isinstance(expression, Grouping) else 0
    for record_type in metadata.kinds_of(index):
        column = _fields(index, record_type.descriptor)[at : at + 1]
        if not column or column[0].type != Types.TYPE_STRING or is_repeated(column[0]):
            hint = "the first column behind the groups must be a string field that is not repeated"
            yield InvalidIndex(index=index.name, type=index.type, record_type=record_type.name, hint=hint)


def _multidimensional(index: Index, metadata: RecordMetaData) -> Iterator[InvalidIndex]:
    yield from _not_grouped(index)
    yield from _no_version(index)
    expression = index.root_expression
    space = expression
    if isinstance(expression, KeyWithValue):
        space = expression.inner
        while isinstance(space, Then):
            space = space.parts[0]
    if not isinstance(space, Dimensions):
        yield _problem(index, "this type needs dimensions(...), alone or as the key part of key_with_value(...)")
    elif isinstance(expression, KeyWithValue) and space.column_size != expression.split_point:
        yield _problem(index, "the key part must be exactly the dimensions(...)")


RULES: dict[str, Rule] = {
    "value": _value,
    "version": _version,
    "count": _count,
    "count_updates": _count_updates,
    "count_not_null": _count_not_null,
    "sum": _sum,
    "min_ever": _ever_long,
    "max_ever": _ever_long,
    "min_ever_long": _ever_long,
    "max_ever_long": _ever_long,
    "min_ever_tuple": _ever_tuple,
    "max_ever_tuple": _ever_tuple,
    "max_ever_version": _ever_version,
    "rank": _rank,
    "time_window_leaderboard": _rank,
    "text": _text,
    "bitmap_value": _bitmap,
    "permuted_min": _permuted,
    "permuted_max": _permuted,
    "multidimensional": _multidimensional,
}
