"""What a set of direct entries is made of, as plain tuples: the program that the compiled core runs.

    columns    (source, kind, presence) of each column, once: the name of a field, the bytes of a constant
    wanted     (kind of write, operand, places of the columns in the key, whether the primary key follows) of each; the
               operand is bytes, or the places of the columns in the value

Expressions that read scalar fields of the record itself, constants and the key of the record type have one. All others,
and amounts, are left to the generated function.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from google.protobuf.descriptor import FieldDescriptor as Types

from recordlayer import tuples
from recordlayer.keys import access
from recordlayer.keys.codegen import KINDS
from recordlayer.keys.codewriter import Interpreted
from recordlayer.keys.compose import Then
from recordlayer.keys.expression import KeyExpression, NullInterpretation
from recordlayer.keys.field import Field
from recordlayer.keys.grouping import Grouping, KeyWithValue
from recordlayer.keys.special import Empty, Literal, RecordType
from recordlayer.tuples.compiled import Kind

if TYPE_CHECKING:
    from recordlayer.keys.compiled_entries import OneEntry
    from recordlayer.pb.types import Descriptor, FieldDescriptor

_CODES: Final = {Kind.INT: 1, Kind.FLOAT: 2, Kind.SINGLE_FLOAT: 3, Kind.BOOL: 4, Kind.STR: 5, Kind.BYTES: 6}
_CONSTANT, _OF_CONTEXT = 7, 8
_ALWAYS_SET, _ASK_IF_FALSE, _ASK, _UNSET_IF_FALSE = range(4)
_MOST_COLUMNS = 64
# These are numbers of native/entries.c.

Column = tuple[str | bytes, int, int]
Places = tuple[int, ...]
Wanted = tuple[int, bytes | Places, Places, bool]
Program = tuple[tuple[Column, ...], tuple[Wanted, ...]]


def program_of(entries: Sequence[OneEntry], descriptor: Descriptor) -> Program | None:
    """The program of these entries of messages of one type; None if one of them has none."""
    places: dict[Column, int] = {}

    def placed(expression: KeyExpression) -> Places:
        return tuple([places.setdefault(column, len(places)) for column in _columns(expression, descriptor)])

    wanted: list[Wanted] = []
    try:
        for one in entries:
            if one.amount:
                raise Interpreted
            columns = placed(one.expression)
            at = one.expression.split_point if isinstance(one.expression, KeyWithValue) else len(columns)
            operand = columns[at:] if isinstance(one.expression, KeyWithValue) else one.operand
            tail = tuple([place for expression in one.tail or () for place in placed(expression)])
            wanted.append((int(one.kind), operand, columns[:at] + tail, one.tail is None))
    except Interpreted:
        return None
    return (tuple(places), tuple(wanted)) if len(places) <= _MOST_COLUMNS else None


def _columns(node: KeyExpression, descriptor: Descriptor) -> list[Column]:
    if isinstance(node, Field):
        return [_field(node, descriptor.fields_by_name.get(node.name))]
    if isinstance(node, Then):
        return [column for part in node.parts for column in _columns(part, descriptor)]
    if isinstance(node, (Grouping, KeyWithValue)):
        return _columns(node.whole, descriptor)
    if isinstance(node, Empty):
        return []
    if isinstance(node, Literal):
        return [(tuples.pack((node.element,)), _CONSTANT, _ALWAYS_SET)]
    if isinstance(node, RecordType):
        return [("record_type_key", _OF_CONTEXT, _ALWAYS_SET)]
    raise Interpreted


def _field(node: Field, field: FieldDescriptor | None) -> Column:
    if field is None or access.is_message(field) or access.is_repeated(field):
        raise Interpreted
    kind = Kind.BYTES if field.type == Types.TYPE_BYTES else KINDS[field.cpp_type]
    return node.name, _CODES[kind], _presence(node, field)


def _presence(node: Field, field: FieldDescriptor) -> int:
    """How it is found out that a field is not set, and its column null."""
    if node.nulls is NullInterpretation.NOT_NULL:
        return _ALWAYS_SET
    if not field.has_presence:
        return _UNSET_IF_FALSE
    return _ASK if field.has_default_value else _ASK_IF_FALSE
