"""What an index is, before it has a name and a place: one function for each index type.

    .index("Order", "orders_per_customer", count(group_by="customer"))
    .index("Order", "latest", max_ever_version(group_by="customer"))

Whatever these do not say can be said to `RecordMetaDataBuilder.index` directly, with `type=` and `options=`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recordlayer.keys import EMPTY, VERSION, Dimensions, Grouping, KeyExpression, as_expression, concat
from recordlayer.metadata.index import CELLS, NO_OPTIONS, UNIQUE, as_options
from recordlayer.metadata.predicate import Predicate

Columns = KeyExpression | str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexDefinition:
    """Type, expression, options and condition of an index."""

    type: str
    expression: KeyExpression
    options: Mapping[str, str] = field(default_factory=lambda: NO_OPTIONS)
    where: Predicate | None = None


def _definition(
    kind: str, expression: KeyExpression, options: Mapping[str, object], where: Predicate | None
) -> IndexDefinition:
    given = {name: option for name, option in options.items() if option is not None and option is not False}
    return IndexDefinition(type=kind, expression=expression, options=as_options(given), where=where)


def _grouped(grouped: Columns, by: Columns | None) -> Grouping:
    columns = as_expression(grouped)
    return columns.ungrouped() if by is None else columns.group_by(as_expression(by))


def _groups(by: Columns | None) -> Grouping:
    """Groups alone, with nothing grouped."""
    return Grouping(EMPTY if by is None else as_expression(by), 0)


# -- entries ---------------------------------------------------------------------------------------------------------


def value_index(columns: Columns, *, unique: bool = False, where: Predicate | None = None) -> IndexDefinition:
    """One entry for each row of an expression: look-ups, ranges and order."""
    return _definition("value", as_expression(columns), {UNIQUE: unique}, where)


def version_index(columns: Columns = VERSION, *, where: Predicate | None = None) -> IndexDefinition:
    """Records in the order of their last change; one of the columns is `version()`."""
    return _definition("version", as_expression(columns), {}, where)


def text_index(
    column: Columns,
    *,
    group_by: Columns | None = None,
    tokenizer: str | None = None,
    tokenizer_version: int | None = None,
    omit_positions: bool = False,
    where: Predicate | None = None,
) -> IndexDefinition:
    """The words of a text, with their places in it unless these are left away."""
    options = {
        "textTokenizerName": tokenizer,
        "textTokenizerVersion": tokenizer_version,
        "textOmitPositions": omit_positions,
    }
    expression = as_expression(column) if group_by is None else _grouped(column, group_by)
    return _definition("text", expression, options, where)


def multidimensional(
    dimensions: Columns, *, prefix: Columns | None = None, options: Mapping[str, object] | None = None
) -> IndexDefinition:
    """Points of a space of two or more int64 columns, in as many spaces as `prefix` has values."""
    space = as_expression(dimensions)
    before = None if prefix is None else as_expression(prefix)
    whole = space if before is None else concat(before, space)
    size = 0 if before is None else before.column_size
    return _definition("multidimensional", Dimensions(whole, size, space.column_size), options or {}, None)


# -- aggregates ------------------------------------------------------------------------------------------------------


def count(
    *,
    group_by: Columns | None = None,
    clear_when_zero: bool = False,
    cells: int | None = None,
    where: Predicate | None = None,
) -> IndexDefinition:
    """How many records there are, in all or for each value of `group_by`.

    `cells`: spread each group over so many keys, for groups that very many write to at once. The Java Record Layer
    cannot read that.
    """
    return _definition("count", _groups(group_by), {"clearWhenZero": clear_when_zero, CELLS: cells}, where)


def count_updates(*, group_by: Columns | None = None, where: Predicate | None = None) -> IndexDefinition:
    """How often records were saved, in all or for each value of `group_by`; deleting takes nothing away."""
    return _definition("count_updates", _groups(group_by), {}, where)


def count_not_null(
    counted: Columns, *, group_by: Columns | None = None, where: Predicate | None = None
) -> IndexDefinition:
    """How many records have a value in the counted columns."""
    return _definition("count_not_null", _grouped(counted, group_by), {}, where)


def sum_of(
    summed: Columns,
    *,
    group_by: Columns | None = None,
    clear_when_zero: bool = False,
    cells: int | None = None,
    where: Predicate | None = None,
) -> IndexDefinition:
    """The sum of an integer field, over all records or for each value of `group_by`. `cells` as in `count`."""
    return _definition("sum", _grouped(summed, group_by), {"clearWhenZero": clear_when_zero, CELLS: cells}, where)


def min_ever(columns: Columns, *, group_by: Columns | None = None, where: Predicate | None = None) -> IndexDefinition:
    """The smallest value that there ever was; deleting a record does not take it back."""
    return _definition("min_ever_tuple", _grouped(columns, group_by), {}, where)


def max_ever(columns: Columns, *, group_by: Columns | None = None, where: Predicate | None = None) -> IndexDefinition:
    """The largest value that there ever was; deleting a record does not take it back."""
    return _definition("max_ever_tuple", _grouped(columns, group_by), {}, where)


def max_ever_version(
    columns: Columns = VERSION, *, group_by: Columns | None = None, where: Predicate | None = None
) -> IndexDefinition:
    """The version of the latest change; one of the columns is `version()`."""
    return _definition("max_ever_version", _grouped(columns, group_by), {}, where)


def permuted_min(
    columns: Columns, *, group_by: Columns, permuted: int = 1, where: Predicate | None = None
) -> IndexDefinition:
    """The smallest value of each group as it is now; groups also by it, before their last `permuted` columns."""
    return _definition("permuted_min", _grouped(columns, group_by), {"permutedSize": permuted}, where)


def permuted_max(
    columns: Columns, *, group_by: Columns, permuted: int = 1, where: Predicate | None = None
) -> IndexDefinition:
    """The largest value of each group as it is now; groups also by it, before their last `permuted` columns."""
    return _definition("permuted_max", _grouped(columns, group_by), {"permutedSize": permuted}, where)


def bitmap_index(
    position: Columns, *, group_by: Columns | None = None, entry_size: int | None = None, where: Predicate | None = None
) -> IndexDefinition:
    """One bit for each integer position, `entry_size` of them in an entry."""
    return _definition("bitmap_value", _grouped(position, group_by), {"bitmapValueEntrySize": entry_size}, where)


# -- ranks -----------------------------------------------------------------------------------------------------------


def rank(
    score: Columns,
    *,
    group_by: Columns | None = None,
    unique: bool = False,
    levels: int | None = None,
    hash_function: str | None = None,
    count_duplicates: bool = False,
    where: Predicate | None = None,
) -> IndexDefinition:
    """The place of each score among all, or among those of its group, and the record at a place."""
    options = {
        UNIQUE: unique,
        "rankNLevels": levels,
        "rankHashFunction": hash_function,
        "rankCountDuplicates": count_duplicates,
    }
    return _definition("rank", _grouped(score, group_by), options, where)


def leaderboard(scores: Columns, *, group_by: Columns | None = None, where: Predicate | None = None) -> IndexDefinition:
    """Ranks within windows of time: score and timestamp, then what tells equal ones apart."""
    return _definition("time_window_leaderboard", _grouped(scores, group_by), {}, where)
