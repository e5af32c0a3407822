"""The shape of a query: all of it but its values, of which only the kind counts. Plans are kept by it."""

from __future__ import annotations

from typing import Any

from recordlayer.query.hints import NO_HINTS
from recordlayer.query.pattern import Pattern
from recordlayer.query.predicate import And, Compare, CompareKey, CompareRank, IsType, Matches, Near, Or, Predicate
from recordlayer.query.query import RecordQuery
from recordlayer.query.slot import listed, told_apart
from recordlayer.query.words import Words

Key = tuple[object, ...]


def shape_of(query: RecordQuery) -> tuple[Key, list[Any]]:
    """A query without its values, and these: of all conditions that have one, each before what it is made of; then
    those of lists, as `slot.listed` has them."""
    hints = query.hints
    parts: list[object] = [
        query.record_types,
        query.sort,
        query.reverse,
        query.fields,
        query.distinct,
        query.in_memory,
        None if hints is NO_HINTS else hints,
    ]
    values: list[Any] = []
    if query.filter is not None:
        lists: list[Any] = []
        _add(query.filter, parts, values, lists)
        values += lists
    return tuple(parts), values


def _add(one: Predicate, parts: list[object], values: list[Any], lists: list[Any]) -> None:
    kind = type(one)
    if kind is Compare:
        value = one.value  # type: ignore[attr-defined]  # isinstance would cost more than all the rest
        values.append(value)
        found = type(value)
        # What decides how a value is looked for: its type, and on which side of the default of its type it lies,
        # because a field without presence that holds its default is a null in an index.
        if found is str or found is bytes:
            parts += one.path, one.operator, found, not value  # type: ignore[attr-defined]
        else:
            elements = listed(one.operator, value) if found is tuple else None  # type: ignore[attr-defined]
            parts += one.path, one.operator, _kind(value) if elements is None else _kind_of(elements)  # type: ignore[attr-defined]
            lists += elements or ()
        return
    if kind is And or kind is Or:
        pass  # of these only what they are made of
    elif isinstance(one, CompareKey):
        parts += (one.expression, one.any, one.operator, _kind(one.value))
        values.append(one.value)
    elif isinstance(one, CompareRank):
        parts += (one.ranked, one.operator, _kind(one.value))
        values.append(one.value)
    elif isinstance(one, Near):
        parts += (kind, one.path)
        values.append(one.value)
    elif isinstance(one, Matches):
        parts += (kind, one.path)
    elif isinstance(one, IsType):
        parts += (kind, one.names)
    children = one.parts
    if children:
        parts += (kind, len(children))
        for child in children:
            _add(child, parts, values, lists)


def _kind(value: object) -> object:
    """What a value is like: its type, how many there are, how it lies to the default of its type."""
    if isinstance(value, tuple):
        return (len(value), frozenset([type(one) for one in value]), any(not one for one in value))
    if isinstance(value, (int, float)):
        return (type(value), (value > 0) - (value < 0))
    if isinstance(value, (str, bytes)):
        return (type(value), not value)
    if isinstance(value, Pattern):
        return value.kind
    return value.like if isinstance(value, Words) else type(value)


def _kind_of(elements: list[Any]) -> object:
    """The same of the values of a list: and which of them is the default."""
    return (len(elements), type(elements[0]), next((place for place, one in enumerate(elements) if not one), -1))


def values_key(values: list[Any]) -> Key | None:
    """What tells these values from all others of the same kind. None if one cannot be hashed."""
    found = tuple([told_apart(value) for value in values])
    try:
        hash(found)
    except TypeError:
        return None
    return found
