"""How values compare in predicates: as Java's objects do.

Source  Record Layer: Comparisons.compare, toClassWithRealEquals, SimpleComparison.validForComparand
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor as Types

from recordlayer.keys import access
from recordlayer.tuples import SingleFloat

if TYPE_CHECKING:
    from recordlayer.pb.types import FieldDescriptor

_KINDS = {
    Types.TYPE_INT32: "int",
    Types.TYPE_SINT32: "int",
    Types.TYPE_SFIXED32: "int",
    Types.TYPE_ENUM: "int",
    Types.TYPE_INT64: "long",
    Types.TYPE_SINT64: "long",
    Types.TYPE_SFIXED64: "long",
    Types.TYPE_BOOL: "bool",
    Types.TYPE_STRING: "string",
    Types.TYPE_BYTES: "bytes",
    Types.TYPE_FLOAT: "float",
    Types.TYPE_DOUBLE: "double",
}
_TUPLE_KINDS = {"Double": "double", "Float": "float", "Int32": "int", "Int64": "long", "Bool": "bool"}
_TUPLE_KINDS |= {"String": "string", "Bytes": "bytes"}


def kind_of(field: FieldDescriptor) -> str | None:
    """The kind of literal that compares with a field; None if there is none."""
    if access.is_message(field) and access.is_tuple_field(field.message_type):
        return _TUPLE_KINDS.get(field.message_type.name.removeprefix("Nullable"))
    return _KINDS.get(field.type)


def comparable(element: Any) -> Any:
    """A value that compares with others of its kind as Java's does."""
    if isinstance(element, str):
        return element.encode("utf-16-be", "surrogatepass")
    if isinstance(element, float):
        return math.isnan(element), 0.0 if math.isnan(element) else element, math.copysign(1.0, element)
    if isinstance(element, SingleFloat):
        return comparable(element.value)
    return element
