"""What a set of direct entries is made of, as plain tuples: the program that the compiled core runs.

    messages   (name, holder, whether it is there even if it is not set) of each field whose message is looked into
    columns    (source, kind, presence, holder) of each column, once: the name of a field, the bytes of a constant
    wanted     (kind of write, operand, places of the columns in the key, whether the primary key follows) of each; the
               operand is bytes, or the places of the columns in the value

A holder is the place of the message that has the field, -1 for the record itself.

Expressions that read scalar fields of the record and of messages in it that are not repeated, constants and the key of
the record type have one. All others, and amounts, are left to the generated function.
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
from recordlayer.keys.field import Field, Nesting
from recordlayer.keys.grouping import Grouping, KeyWithValue
from recordlayer.keys.special import Empty, Literal, RecordType
from recordlayer.tuples.compiled import Kind

if TYPE_CHECKING:
    from recordlayer.keys.compiled_entries import OneEntry
    from recordlayer.pb.types import Descriptor, FieldDescriptor

_CODES: Final = {Kind.INT: 1, Kind.FLOAT: 2, Kind.SINGLE_FLOAT: 3, Kind.BOOL: 4, Kind.STR: 5, Kind.BYTES: 6}
_CONSTANT, _OF_CONTEXT = 7, 8
_ALWAYS_SET, _ASK_IF_FALSE, _ASK, _UNSET_IF_FALSE = range(4)
_MOST_COLUMNS, _MOST_MESSAGES = 64, 16
# These are numbers of native/entries.c.

RECORD: Final = -1

Message = tuple[str, int, bool]
Column = tuple[str | bytes, int, int, int]
Places = tuple[int, ...]
Wanted = tuple[int, bytes | Places, Places, bool]
Program = tuple[tuple[Message, ...], tuple[Column, ...], tuple[Wanted, ...]]


def program_of(entries: Sequence[OneEntry], descriptor: Descriptor) -> Program | None:
    """The program of these entries of messages of one type; None if one of them has none."""
    messages: dict[Message, int] = {}
    places: dict[Column, int] = {}

    def placed(expression: KeyExpression) -> Places:
        columns = _columns(expression, descriptor, messages, RECORD)
        return tuple([places.setdefault(column, len(places)) for column in columns])

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
    if len(places) > _MOST_COLUMNS or len(messages) > _MOST_MESSAGES:
        return None
    return tuple(messages), tuple(places), tuple(wanted)


def _columns(node: KeyExpression, descriptor: Descriptor, messages: dict[Message, int], holder: int) -> list[Column]:
    if isinstance(node, Field):
        return [_field(node, descriptor.fields_by_name.get(node.name), holder)]
    if isinstance(node, Nesting):
        return _columns(node.child, *_inside(node.parent, descriptor, messages, holder))
    if isinstance(node, Then):
        return [column for part in node.parts for column in _columns(part, descriptor, messages, holder)]
    if isinstance(node, (Grouping, KeyWithValue)):
        return _columns(node.whole, descriptor, messages, holder)
    if isinstance(node, Empty):
        return []
    if isinstance(node, Literal):
        return [(tuples.pack((node.element,)), _CONSTANT, _ALWAYS_SET, RECORD)]
    if isinstance(node, RecordType):
        return [("record_type_key", _OF_CONTEXT, _ALWAYS_SET, RECORD)]
    raise Interpreted


def _inside(
    parent: Field, descriptor: Descriptor, messages: dict[Message, int], holder: int
) -> tuple[Descriptor, dict[Message, int], int]:
    """What `_columns` needs for the message in a field."""
    field = descriptor.fields_by_name.get(parent.name)
    if field is None or not access.is_message(field) or access.is_repeated(field):
        raise Interpreted
    message = parent.name, holder, parent.nulls is NullInterpretation.NOT_NULL
    return field.message_type, messages, messages.setdefault(message, len(messages))


def _field(node: Field, field: FieldDescriptor | None, holder: int) -> Column:
    if field is None or access.is_message(field) or access.is_repeated(field):
        raise Interpreted
    kind = Kind.BYTES if field.type == Types.TYPE_BYTES else KINDS[field.cpp_type]
    return node.name, _CODES[kind], _presence(node, field), holder


def _presence(node: Field, field: FieldDescriptor) -> int:
    """How it is found out that a field is not set, and its column null."""
    if node.nulls is NullInterpretation.NOT_NULL:
        return _ALWAYS_SET
    if not field.has_presence:
        return _UNSET_IF_FALSE
    return _ASK if field.has_default_value else _ASK_IF_FALSE
