"""Synthetic types that a program defines, as stored metadata has them.

Source  Record Layer: UnnestedRecordType.toProto, JoinedRecordType.toProto, RecordMetaDataBuilder.getNextRecordTypeKey
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from recordlayer.errors import InvalidRecordType
from recordlayer.keys import KeyExpression, as_expression, field_path
from recordlayer.keys import serial as keys_serial
from recordlayer.metadata.unnested import message_type
from recordlayer.pb import record_metadata_pb2 as pb
from recordlayer.pb.types import Descriptor

Nested = Mapping[str, KeyExpression | str | tuple[str, KeyExpression | str]]
"""Name of a constituent -> where its messages are in the parent, or in another constituent that is named."""


Joined = str | tuple[str, KeyExpression | str]
"""One side of a join: "constituent.field", "constituent.message.field", or (constituent, expression)."""


def names_in(message: pb.MetaData) -> set[str]:
    """The names of all synthetic types of stored metadata."""
    joined = {one.name for one in message.joined_record_types}
    return joined | {one.name for one in message.unnested_record_types}


def with_unnested(carried: bytes, name: str, stored: Descriptor, parent: str, nested: Nested) -> bytes:
    """What metadata carries, and one unnested type more."""
    message = pb.MetaData.FromString(carried)
    key = _next_key(message)
    made = message.unnested_record_types.add(name=name)
    made.record_type_key.long_value = key
    made.nested_constituents.add(name=parent, type_name=stored.name)
    kinds: dict[str, Descriptor | None] = {parent: stored}
    for constituent, where in nested.items():
        inside, given = where if isinstance(where, tuple) else (parent, where)
        expression = as_expression(given)
        outer = kinds.get(inside)
        kinds[constituent] = found = None if outer is None else message_type(expression, outer)
        one = made.nested_constituents.add(name=constituent, parent=inside)
        one.type_name = "" if found is None else found.full_name
        one.nesting_expression.CopyFrom(keys_serial.to_proto(expression))
    return message.SerializePartialToString()


def with_joined(
    carried: bytes,
    name: str,
    constituents: Mapping[str, str],
    on: Iterable[tuple[Joined, Joined]],
    outer: Iterable[str],
) -> bytes:
    """What metadata carries, and one joined type more.

    Raises  InvalidRecordType for a side of a join that does not say which constituent it is about.
    """
    message = pb.MetaData.FromString(carried)
    key = _next_key(message)
    made = message.joined_record_types.add(name=name)
    made.record_type_key.long_value = key
    missing = set(outer)
    for constituent, record_type in constituents.items():
        one = made.join_constituents.add(name=constituent, record_type=record_type)
        if constituent in missing:
            one.outer_joined = True
    if unknown := missing - constituents.keys():
        raise _wrong(name, constituents, outer=sorted(unknown), hint="these are not the names of constituents")
    for pair in on:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise _wrong(name, constituents, join=pair, hint='write (("order.customer", "customer.id"), ...)')
        join = made.joins.add()
        for given, expression in zip(pair, (join.left_expression, join.right_expression), strict=True):
            constituent, wanted = _side(name, constituents, given)
            if expression is join.left_expression:
                join.left = constituent
            else:
                join.right = constituent
            expression.CopyFrom(keys_serial.to_proto(wanted))
    return message.SerializePartialToString()


def _side(name: str, constituents: Mapping[str, str], given: Joined) -> tuple[str, KeyExpression]:
    if isinstance(given, str):
        constituent, *path = given.split(".")
        expression = field_path(path) if path else None
    else:
        constituent, wanted = given
        expression = as_expression(wanted)
    if constituent not in constituents or expression is None:
        hint = 'a side of a join is "constituent.field", or (constituent, expression)'
        raise _wrong(name, constituents, side=given, hint=hint)
    return constituent, expression


def _wrong(name: str, constituents: Mapping[str, str], *, hint: str, **where: object) -> InvalidRecordType:
    return InvalidRecordType(record_type=name, constituents=sorted(constituents), **where, hint=hint)


def renamed(carried: bytes, names: Mapping[str, str]) -> bytes:
    """What metadata carries when record types have been renamed: constituents are of the same types as before.

    Source  Record Layer, MetaDataProtoEditor.renameRecordType
    """
    if not carried:
        return carried
    message = pb.MetaData.FromString(carried)
    for joined in message.joined_record_types:
        for part in joined.join_constituents:
            part.record_type = names.get(part.record_type, part.record_type)
    for unnested in message.unnested_record_types:
        for inner in unnested.nested_constituents:
            if not inner.parent:
                inner.type_name = names.get(inner.type_name, inner.type_name)
    return message.SerializePartialToString()


def _next_key(message: pb.MetaData) -> int:
    """The next key of a synthetic type, downwards from -1."""
    stored = [one.record_type_key for one in message.joined_record_types]
    stored += [one.record_type_key for one in message.unnested_record_types]
    keys = [keys_serial.value_from_proto(one).element for one in stored]
    return min([0, *(key for key in keys if type(key) is int)]) - 1
