"""Predicates as messages: `Predicate` of Java's record_metadata.proto, both ways.

What Java cannot read back is refused both ways: STARTS_WITH, the null comparisons in their form with an operand.

Source  Record Layer: IndexPredicate.fromProto, IndexComparison.fromProto and their counterparts
"""

from __future__ import annotations

from recordlayer.errors import MalformedMetaData
from recordlayer.keys.serial import value_from_proto, value_to_proto
from recordlayer.metadata.predicate import And, Compare, Comparison, Constant, IsNull, Not, Or, Predicate, Window
from recordlayer.pb import record_metadata_pb2 as pb

_DEEPEST = 64

_CONSTANTS = {
    pb.ConstantPredicate.ConstantValue.TRUE: True,
    pb.ConstantPredicate.ConstantValue.FALSE: False,
    pb.ConstantPredicate.ConstantValue.NULL: None,
}


def predicate_to_proto(predicate: Predicate) -> pb.Predicate:
    """The message of a predicate."""
    message = pb.Predicate()
    if isinstance(predicate, And):
        message.and_predicate.SetInParent()
        message.and_predicate.children.extend(predicate_to_proto(child) for child in predicate.children)
    elif isinstance(predicate, Or):
        message.or_predicate.SetInParent()
        message.or_predicate.children.extend(predicate_to_proto(child) for child in predicate.children)
    elif isinstance(predicate, Not):
        message.not_predicate.child.CopyFrom(predicate_to_proto(predicate.child))
    elif isinstance(predicate, Constant):
        message.constant_predicate.value = next(k for k, v in _CONSTANTS.items() if v is predicate.value)
    elif isinstance(predicate, Compare):
        message.value_predicate.value.extend(predicate.path)
        simple = message.value_predicate.comparison.simple_comparison
        simple.type = predicate.comparison.value  # type: ignore[assignment]
        simple.operand.CopyFrom(value_to_proto(predicate.operand))
    elif isinstance(predicate, IsNull):
        message.value_predicate.value.extend(predicate.path)
        message.value_predicate.comparison.null_comparison.isNull = not predicate.negated
    elif isinstance(predicate, Window):
        window = message.row_number_window_predicate
        window.ordering_field.extend(predicate.ordering)
        window.size = predicate.size
        directions = pb.RowNumberWindowPredicate.Direction
        window.direction = directions.DESC if predicate.descending else directions.ASC
        for partition in predicate.partitions:
            window.partition_fields.add(field=partition)
    else:
        raise MalformedMetaData(reason="this predicate has no stored form", predicate=predicate)
    return message


def predicate_from_proto(message: pb.Predicate, *, depth: int = 0) -> Predicate:
    """The predicate of a message.

    Raises: MalformedMetaData
    """
    if depth > _DEEPEST:
        raise MalformedMetaData(reason=f"a predicate is more than {_DEEPEST} levels deep")
    if message.HasField("and_predicate"):
        return And(tuple(predicate_from_proto(c, depth=depth + 1) for c in message.and_predicate.children))
    if message.HasField("or_predicate"):
        return Or(tuple(predicate_from_proto(c, depth=depth + 1) for c in message.or_predicate.children))
    if message.HasField("constant_predicate"):
        return Constant(_CONSTANTS[message.constant_predicate.value])
    if message.HasField("not_predicate"):
        return Not(predicate_from_proto(message.not_predicate.child, depth=depth + 1))
    if message.HasField("value_predicate"):
        return _on_field(message.value_predicate)
    if message.HasField("row_number_window_predicate"):
        window = message.row_number_window_predicate
        descending = window.direction == pb.RowNumberWindowPredicate.Direction.DESC
        partitions = tuple(tuple(partition.field) for partition in window.partition_fields)
        return Window(tuple(window.ordering_field), window.size, descending, partitions)
    raise MalformedMetaData(reason="a predicate has one of the known kinds")


def _on_field(message: pb.ValuePredicate) -> Predicate:
    path = tuple(message.value)
    if not path or not all(path):
        raise MalformedMetaData(reason="a predicate on a field names it", path=path)
    if message.comparison.HasField("simple_comparison"):
        simple = message.comparison.simple_comparison
        operand = value_from_proto(simple.operand)
        if operand.kind == "null":
            raise MalformedMetaData(reason="a comparison has an operand that is not null", path=path)
        try:
            comparison = Comparison(simple.type)
        except ValueError:
            name = pb.ComparisonType.Name(simple.type)
            raise MalformedMetaData(reason="this comparison cannot be stored", comparison=name, path=path) from None
        return Compare(path, comparison, operand)
    if message.comparison.HasField("null_comparison"):
        return IsNull(path, negated=not message.comparison.null_comparison.isNull)
    raise MalformedMetaData(reason="a predicate on a field compares it", path=path)
