"""Where the columns of a primary key are among the columns of an index.

A column that the index has anyway is not written a second time behind it. Both sides compute the positions alike;
they are not stored.

Source  Record Layer: RecordMetaDataBuilder.buildPrimaryKeyComponentPositions, Index.trimPrimaryKey
"""

from __future__ import annotations

from collections.abc import Sequence

from recordlayer.keys.expression import KeyExpression, Row


def primary_key_positions(index_key: KeyExpression, primary_key: KeyExpression) -> tuple[int, ...] | None:
    """For each column of the primary key its place among the columns of the index, or -1; None if all would be -1.

    Fields are the same if name and fan type are: their null interpretation does not count. The value part of a
    covering index counts as well.
    """
    places: dict[KeyExpression, int] = {}
    for place, column in enumerate(index_key.normalized()):
        places.setdefault(column.ignoring_nulls(), place)
    positions = tuple(places.get(column.ignoring_nulls(), -1) for column in primary_key.normalized())
    return positions if any(position >= 0 for position in positions) else None


def trim_primary_key(primary_key: Row, positions: Sequence[int] | None) -> Row:
    """The columns of a primary key that an index does not have."""
    if positions is None:
        return primary_key
    return tuple(column for column, position in zip(primary_key, positions, strict=True) if position < 0)


def entry_primary_key(entry: Row, column_size: int, positions: Sequence[int] | None) -> Row:
    """The primary key in an index entry: `column_size` columns of the index, then the trimmed primary key."""
    if positions is None:
        return entry[column_size:]
    rest = iter(entry[column_size:])
    return tuple(entry[position] if position >= 0 else next(rest) for position in positions)
