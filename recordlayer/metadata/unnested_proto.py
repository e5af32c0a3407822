"""Unnested types that a program defines, as stored metadata has them.

Source  Record Layer, UnnestedRecordType.toProto, RecordMetaDataBuilder.getNextRecordTypeKey
"""

from __future__ import annotations

from collections.abc import Mapping

from recordlayer.keys import KeyExpression, as_expression
from recordlayer.keys import serial as keys_serial
from recordlayer.metadata.unnested import message_type
from recordlayer.pb import record_metadata_pb2 as pb
from recordlayer.pb.types import Descriptor

Nested = Mapping[str, KeyExpression | str | tuple[str, KeyExpression | str]]
"""Name of a constituent -> where its messages are in the parent, or in another constituent that is named."""


def added(carried: bytes, name: str, stored: Descriptor, parent: str, nested: Nested) -> bytes:
    """What metadata carries, and one unnested type more. Its key is the next one downwards, from -1."""
    message = pb.MetaData.FromString(carried)
    others = [other.record_type_key for other in message.joined_record_types]
    others += [other.record_type_key for other in message.unnested_record_types]
    keys = [keys_serial.value_from_proto(other).element for other in others]
    made = message.unnested_record_types.add(name=name)
    made.record_type_key.long_value = min([key for key in keys if isinstance(key, int)], default=0) - 1
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
