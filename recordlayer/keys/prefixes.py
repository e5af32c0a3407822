"""The first columns of key expressions: which they are, and whether those of one are the first of another.

Source  Record Layer: BaseKeyExpression.isPrefixKey, KeyExpression.hasLosslessNormalization
"""

from __future__ import annotations

from recordlayer.keys.compose import ListOf, Then
from recordlayer.keys.expression import KeyExpression
from recordlayer.keys.field import Field, Nesting
from recordlayer.keys.functions import FunctionCall
from recordlayer.keys.grouping import Dimensions, Grouping, KeyWithValue, Split
from recordlayer.keys.special import Empty, Literal, RecordType, Version

_ATOMS = (Field, FunctionCall, Literal, Nesting, RecordType, Split, Version)


def is_prefix(prefix: KeyExpression, key: KeyExpression) -> bool:
    """Whether a key of `key` begins with the columns of `prefix`; null interpretations do not count.

    Groupings stand for the columns they group by, covering keys for their key part. A grouping with grouped columns is
    the prefix of nothing but itself.
    """
    if isinstance(prefix, Empty) or prefix.ignoring_nulls() == key.ignoring_nulls():
        return True
    if isinstance(prefix, Grouping) and prefix.grouped_count > 0:
        return False
    wanted, found = [prefix], [key]  # stacks: what comes first is at the end
    while wanted:
        if not found:
            return all(isinstance(part, Empty) for part in wanted)
        want, have = wanted.pop(), found.pop()
        if isinstance(want, _ATOMS) and isinstance(have, _ATOMS):
            if not _same_atom(want, have):
                return False
            wanted += _parts(want)
            found += _parts(have)
        elif isinstance(want, _ATOMS):
            wanted.append(want)
            found += _parts(have)
        elif isinstance(have, _ATOMS):
            found.append(have)
            wanted += _parts(want)
        else:
            wanted += _parts(want)
            found += _parts(have)
    return True


def _same_atom(one: KeyExpression, other: KeyExpression) -> bool:
    if isinstance(one, Nesting) and isinstance(other, Nesting):
        return one.parent.ignoring_nulls() == other.parent.ignoring_nulls()
    return one.ignoring_nulls() == other.ignoring_nulls()


def _parts(expression: KeyExpression) -> list[KeyExpression]:
    """What an expression is made of, as far as it makes up the key, last first."""
    if isinstance(expression, Grouping):
        return [expression.grouping_key]
    if isinstance(expression, KeyWithValue):
        return [expression.key]
    if isinstance(expression, (Split, Field)):
        return []
    return list(reversed(expression.children))


def leading_columns(root: KeyExpression) -> tuple[KeyExpression, ...]:
    """The columns that the entries of an index with this root expression begin with, each normalised: the grouping
    columns of a grouping, the key part of a covering index, the prefix of dimensions, else all columns.

    Source  Record Layer, QueryToKeyMatcher in its mode SATISFY_QUERY
    """
    columns = root.normalized()
    if isinstance(root, Grouping):
        return columns[: root.grouping_count]
    if isinstance(root, KeyWithValue):
        return columns[: root.split_point]
    if isinstance(root, Dimensions):
        return columns[: root.prefix_size]
    return columns


def is_lossless(expression: KeyExpression) -> bool:
    """Whether its normalised columns, put side by side, give the same rows: no two columns share a fan-out."""
    if isinstance(expression, Split):
        return False
    if isinstance(expression, Nesting):
        shared = expression.parent.creates_duplicates and expression.child.column_size > 1
        return not shared and is_lossless(expression.child)
    if isinstance(expression, (Then, ListOf, Grouping, Dimensions, KeyWithValue)):
        return all(is_lossless(child) for child in expression.children)
    return True
