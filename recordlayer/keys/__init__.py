"""Key expressions: how a record becomes the columns of a key.

    field("customer")                                   one field
    field("tags").fan_out()                             an entry for each element
    field("address").nest("city")                       a field of a nested message
    concat("country", field("address").nest("city"))    several columns
    field("total").group_by("customer")                 for aggregates

Pure: nothing here reads or writes a store.
"""

from __future__ import annotations

from recordlayer.keys.compose import (
    ListOf,
    Then,
    as_expression,
    concat,
    concat_fields,
    field_path,
    list_of,
    map_entries,
    map_keys,
    map_values,
)
from recordlayer.keys.expression import (
    NO_CONTEXT,
    FanType,
    KeyExpression,
    NullInterpretation,
    RecordContext,
    Row,
    walk,
)
from recordlayer.keys.field import Field, Nesting, field
from recordlayer.keys.functions import FunctionCall, FunctionRegistry, KeyFunction, function, registry
from recordlayer.keys.grouping import (
    Dimensions,
    Grouping,
    KeyWithValue,
    Split,
    dimensions,
    grouping,
    key_with_value,
    split,
)
from recordlayer.keys.positions import entry_primary_key, primary_key_positions, trim_primary_key
from recordlayer.keys.special import (
    EMPTY,
    RECORD_TYPE,
    VERSION,
    Empty,
    Literal,
    RecordType,
    Version,
    empty,
    record_type,
    value,
    version,
)

__all__ = [
    "EMPTY",
    "NO_CONTEXT",
    "RECORD_TYPE",
    "VERSION",
    "Dimensions",
    "Empty",
    "FanType",
    "Field",
    "FunctionCall",
    "FunctionRegistry",
    "Grouping",
    "KeyExpression",
    "KeyFunction",
    "KeyWithValue",
    "ListOf",
    "Literal",
    "Nesting",
    "NullInterpretation",
    "RecordContext",
    "RecordType",
    "Row",
    "Split",
    "Then",
    "Version",
    "as_expression",
    "concat",
    "concat_fields",
    "dimensions",
    "empty",
    "entry_primary_key",
    "field",
    "field_path",
    "function",
    "grouping",
    "key_with_value",
    "list_of",
    "map_entries",
    "map_keys",
    "map_values",
    "primary_key_positions",
    "record_type",
    "registry",
    "split",
    "trim_primary_key",
    "value",
    "version",
    "walk",
]
