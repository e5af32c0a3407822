"""The same key expression after fields were renamed: a field is known by its number.

Source  Record Layer: RenameFieldsVisitor
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from recordlayer.keys.compose import ListOf, Then
from recordlayer.keys.expression import KeyExpression
from recordlayer.keys.field import Field, Nesting
from recordlayer.keys.functions import FunctionCall
from recordlayer.keys.grouping import Dimensions, Grouping, KeyWithValue, Split

if TYPE_CHECKING:
    from recordlayer.pb.types import Descriptor


def rename_fields(expression: KeyExpression, old: Descriptor, new: Descriptor) -> KeyExpression:
    """An expression on messages of `old` as one on messages of `new`; what `new` does not have keeps its name."""
    if isinstance(expression, Field):
        return replace(expression, name=renamed(expression.name, old, new))
    if isinstance(expression, Nesting):
        parent = replace(expression.parent, name=renamed(expression.parent.name, old, new))
        inner_old = old.fields_by_name.get(expression.parent.name)
        inner_new = new.fields_by_name.get(parent.name)
        if inner_old is None or inner_new is None or inner_old.message_type is None or inner_new.message_type is None:
            return Nesting(parent, expression.child)
        return Nesting(parent, rename_fields(expression.child, inner_old.message_type, inner_new.message_type))
    if isinstance(expression, (Then, ListOf)):
        return type(expression)(tuple(rename_fields(part, old, new) for part in expression.parts))
    if isinstance(expression, (Grouping, Dimensions)):
        return replace(expression, whole=rename_fields(expression.whole, old, new))
    if isinstance(expression, KeyWithValue):
        return replace(expression, inner=rename_fields(expression.inner, old, new))
    if isinstance(expression, Split):
        return replace(expression, joined=rename_fields(expression.joined, old, new))
    if isinstance(expression, FunctionCall):
        return replace(expression, arguments=rename_fields(expression.arguments, old, new))
    return expression


def rename_path(path: tuple[str, ...], old: Descriptor | None, new: Descriptor | None) -> tuple[str, ...]:
    """A path of field names after fields were renamed."""
    if not path or old is None or new is None:
        return path
    name = renamed(path[0], old, new)
    inner_old, inner_new = old.fields_by_name.get(path[0]), new.fields_by_name.get(name)
    if inner_old is None or inner_new is None:
        return (name, *path[1:])
    return (name, *rename_path(path[1:], inner_old.message_type, inner_new.message_type))


def renamed(name: str, old: Descriptor, new: Descriptor) -> str:
    """The name that a field of `old` has in `new`."""
    field = old.fields_by_name.get(name)
    now = None if field is None else new.fields_by_number.get(field.number)
    return name if now is None else str(now.name)
