"""Key expressions as messages: `KeyExpression` of Java's record_key_expression.proto, both ways.

What Java always sets is always set, defaults included, so the bytes are those that Java writes. Reading bounds the
depth, so that no stored bytes can exhaust the stack.

Source  Record Layer: KeyExpression.fromProto and the nodes' toProto
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recordlayer.errors import InvalidKeyExpression, MalformedMetaData, SchemaError
from recordlayer.keys.compose import ListOf, Then
from recordlayer.keys.expression import FanType, KeyExpression, NullInterpretation
from recordlayer.keys.field import Field, Nesting
from recordlayer.keys.functions import FunctionCall, stored_call
from recordlayer.keys.grouping import Dimensions, Grouping, KeyWithValue, Split
from recordlayer.keys.special import EMPTY, RECORD_TYPE, VERSION, Empty, Literal, RecordType, Version
from recordlayer.pb import record_key_expression_pb2 as pb
from recordlayer.pb.parsing import PARSE_ERRORS

_WIDEST = 10_000
"""Columns of one key: no engine takes longer keys, and every column takes a byte."""

_DEEPEST = 64
"""Nodes inside nodes; protobuf itself refuses messages more than 100 deep."""


# -- to messages ---------------------------------------------------------------------------------------


def to_proto(expression: KeyExpression) -> pb.KeyExpression:
    """The message of an expression.

    Raises: InvalidKeyExpression for a node that is not one of the format's.
    """
    message = pb.KeyExpression()
    write = _WRITERS.get(type(expression))
    if write is None:
        raise InvalidKeyExpression(expression=expression, hint="only the nodes of this package can be stored")
    write(expression, message)
    return message


def to_bytes(expression: KeyExpression) -> bytes:
    """The serialised message of an expression."""
    return to_proto(expression).SerializeToString(deterministic=True)


def value_to_proto(literal: Literal) -> pb.Value:
    """The message of a constant."""
    message = pb.Value()
    if literal.kind != "null":
        setattr(message, f"{literal.kind}_value", literal.value)
    return message


def _write_field(field: Field, message: pb.Field) -> None:
    message.field_name = field.name
    message.fan_type = field.fan_type.value  # type: ignore[assignment]
    message.nullInterpretation = field.nulls.value  # type: ignore[assignment]


def _then(node: Then, message: pb.KeyExpression) -> None:
    message.then.child.extend(to_proto(part) for part in node.parts)


def _list(node: ListOf, message: pb.KeyExpression) -> None:
    message.list.SetInParent()
    message.list.child.extend(to_proto(part) for part in node.parts)


def _nesting(node: Nesting, message: pb.KeyExpression) -> None:
    _write_field(node.parent, message.nesting.parent)
    message.nesting.child.CopyFrom(to_proto(node.child))


def _grouping(node: Grouping, message: pb.KeyExpression) -> None:
    message.grouping.whole_key.CopyFrom(to_proto(node.whole))
    message.grouping.grouped_count = node.grouped_count


def _key_with_value(node: KeyWithValue, message: pb.KeyExpression) -> None:
    message.key_with_value.inner_key.CopyFrom(to_proto(node.inner))
    message.key_with_value.split_point = node.split_point


def _dimensions(node: Dimensions, message: pb.KeyExpression) -> None:
    message.dimensions.whole_key.CopyFrom(to_proto(node.whole))
    message.dimensions.prefix_size = node.prefix_size
    message.dimensions.dimensions_size = node.dimensions_size


def _split(node: Split, message: pb.KeyExpression) -> None:
    message.split.joined.CopyFrom(to_proto(node.joined))
    message.split.split_size = node.split_size


def _function(node: FunctionCall, message: pb.KeyExpression) -> None:
    message.function.name = node.name
    message.function.arguments.CopyFrom(to_proto(node.arguments))


_WRITERS: dict[type[KeyExpression], Callable[[Any, pb.KeyExpression], None]] = {
    Field: lambda node, message: _write_field(node, message.field),
    Nesting: _nesting,
    Then: _then,
    ListOf: _list,
    Grouping: _grouping,
    KeyWithValue: _key_with_value,
    Dimensions: _dimensions,
    Split: _split,
    FunctionCall: _function,
    Literal: lambda node, message: message.value.CopyFrom(value_to_proto(node)),
    Empty: lambda node, message: message.empty.SetInParent(),
    RecordType: lambda node, message: message.record_type_key.SetInParent(),
    Version: lambda node, message: message.version.SetInParent(),
}


# -- from messages -------------------------------------------------------------------------------------


def from_proto(message: pb.KeyExpression, *, depth: int = 0) -> KeyExpression:
    """The expression of a message.

    A function that is not registered is kept by name: it can be written again, not evaluated.

    Raises: MalformedMetaData
    """
    if depth > _DEEPEST:
        raise MalformedMetaData(reason=f"a key expression is more than {_DEEPEST} levels deep")
    kinds = [field.name for field, _ in message.ListFields()]
    if len(kinds) != 1:
        raise MalformedMetaData(reason="a key expression has exactly one kind", kinds=kinds)
    kind = kinds[0]
    try:
        expression = _READERS[kind](getattr(message, kind), depth + 1)
    except MalformedMetaData:
        raise
    except SchemaError as error:
        raise MalformedMetaData(reason=f"a key expression of kind {kind!r} is not valid: {error}") from error
    if expression.column_size > _WIDEST:
        raise MalformedMetaData(reason=f"a key expression has more than {_WIDEST:,} columns", kind=kind)
    return expression


def from_bytes(data: bytes) -> KeyExpression:
    """The expression of a serialised message.

    Raises: MalformedMetaData
    """
    try:
        message = pb.KeyExpression.FromString(data)
    except PARSE_ERRORS as error:
        raise MalformedMetaData(reason=f"a key expression cannot be parsed: {error}") from error
    return from_proto(message)


def value_from_proto(message: pb.Value) -> Literal:
    """The constant of a message.

    Raises: MalformedMetaData
    """
    kinds = [field.name for field, _ in message.ListFields()]
    if len(kinds) > 1:
        raise MalformedMetaData(reason="a value has at most one kind", kinds=kinds)
    if not kinds:
        return Literal(None, "null")
    return Literal(getattr(message, kinds[0]), kinds[0].removesuffix("_value"))


def _read_field(message: pb.Field) -> Field:
    if not message.HasField("field_name") or not message.HasField("fan_type"):
        raise MalformedMetaData(reason="a field expression has a name and a fan type", field=message.field_name)
    if not message.field_name:
        raise MalformedMetaData(reason="a field expression has an empty name")
    return Field(message.field_name, FanType(message.fan_type), NullInterpretation(message.nullInterpretation))


def _read_nesting(message: pb.Nesting, depth: int) -> KeyExpression:
    if not message.HasField("parent"):
        raise MalformedMetaData(reason="a nesting has a parent")
    return Nesting(_read_field(message.parent), from_proto(message.child, depth=depth))


_READERS: dict[str, Callable[[Any, int], KeyExpression]] = {
    "then": lambda message, depth: Then(tuple(from_proto(child, depth=depth) for child in message.child)),
    "list": lambda message, depth: ListOf(tuple(from_proto(child, depth=depth) for child in message.child)),
    "nesting": _read_nesting,
    "field": lambda message, depth: _read_field(message),
    "grouping": lambda message, depth: Grouping(from_proto(message.whole_key, depth=depth), message.grouped_count),
    "empty": lambda message, depth: EMPTY,
    "split": lambda message, depth: Split(from_proto(message.joined, depth=depth), message.split_size),
    "version": lambda message, depth: VERSION,
    "value": lambda message, depth: value_from_proto(message),
    "function": lambda message, depth: stored_call(message.name, from_proto(message.arguments, depth=depth)),
    "key_with_value": lambda message, depth: KeyWithValue(
        from_proto(message.inner_key, depth=depth), message.split_point
    ),
    "record_type_key": lambda message, depth: RECORD_TYPE,
    "dimensions": lambda message, depth: Dimensions(
        from_proto(message.whole_key, depth=depth), message.prefix_size, message.dimensions_size
    ),
}
