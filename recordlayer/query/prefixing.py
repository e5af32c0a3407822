"""Conditions on the message in a field, written as conditions on the record: an index on the field can answer those.

address matches (city = 'Oslo' and not (zip = 1))   =   address.city = 'Oslo' and not (address.zip = 1)
items[any] matches (price > 5)                      =   items[any].price > 5

With several conditions on each element of a repeated field that cannot be: they are about the same element.
"""

from __future__ import annotations

from recordlayer.query.predicate import And, Compare, Matches, Not, Or, Path, Predicate


def prefixed(path: Path, condition: Predicate) -> Predicate | None:
    """The same condition with `path` before its fields; None where there is no such condition."""
    if isinstance(condition, Compare):
        return Compare((*path, *condition.path), condition.operator, condition.value)
    if any(step.any for step in path):
        return None
    if isinstance(condition, Matches):
        return Matches((*path, *condition.path), condition.child)
    if isinstance(condition, Not):
        child = prefixed(path, condition.child)
        return None if child is None else Not(child)
    if isinstance(condition, (And, Or)):
        children = [prefixed(path, child) for child in condition.children]
        found = tuple(child for child in children if child is not None)
        return type(condition)(found) if len(found) == len(children) else None
    return None
