"""What is given to a metadata builder, checked.

Raises  WrongType, UsageError
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from recordlayer.errors import UsageError, WrongType
from recordlayer.keys import KeyExpression, as_expression
from recordlayer.metadata.definitions import IndexDefinition
from recordlayer.metadata.index import UNIQUE, as_options
from recordlayer.metadata.predicate import Predicate


def definition_of(
    expression: KeyExpression | IndexDefinition | str,
    *,
    index_type: str,
    unique: bool,
    options: Mapping[str, object] | None,
    where: Predicate | None,
) -> IndexDefinition:
    """The index that an expression or a definition means, with what is said beside it."""
    if isinstance(expression, IndexDefinition):
        given = expression
        if index_type not in ("value", given.type):
            raise UsageError(type=index_type, definition=given.type, hint="the definition says the type already")
    else:
        given = IndexDefinition(type=index_type, expression=as_expression(expression))
    merged: dict[str, object] = {UNIQUE: True} if unique else {}
    merged.update(given.options)
    merged.update(options or {})
    if where is not None and not isinstance(where, Predicate):
        raise WrongType(
            argument="where", value=where, hint='write compare("total", ">", 0), is_null(...) or not_null(...)'
        )
    if where is not None and given.where is not None:
        raise UsageError(where=where, definition=given.where, hint="the definition has a condition already")
    return dataclasses.replace(given, options=as_options(merged), where=where if where is not None else given.where)


def name_of(name: object) -> str:
    """The name of an index."""
    if not isinstance(name, str) or not name:
        raise WrongType(argument="name", value=name, hint="an index has a name: a string that is not empty")
    return name


def number_of(argument: str, number: object) -> int:
    """A whole number."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise WrongType(argument=argument, value=number, hint="a whole number is wanted")
    return number


def flag_of(argument: str, flag: object) -> bool:
    """True or False."""
    if not isinstance(flag, bool):
        raise WrongType(argument=argument, value=flag, hint="True or False is wanted")
    return flag
