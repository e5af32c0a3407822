"""The generated functions of one index: from a record to its rows and to its packed keys, and from those back.

They are made for a message class when the first record of it comes, and shared by all stores of a metadata.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor as FieldTypes

from recordlayer.errors import InvalidKeyExpression
from recordlayer.index.columns import FieldColumn, field_column
from recordlayer.keys import Grouping, KeyWithValue
from recordlayer.keys.compiled import Keys, Pairs, Rows, compile_keys, compile_pairs, compile_rows
from recordlayer.tuples import pack, unpack
from recordlayer.tuples.compiled import Column, Kind, compile_unpacker

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.metadata import Index, RecordType

Unpack = Callable[[bytes], tuple[Any, ...]]


class IndexFunctions:
    """Functions by message class."""

    __slots__ = ("_index", "_keys", "_leading", "_pairs", "_parted", "_record_type", "_rows", "_unpack")

    def __init__(self, index: Index, record_type: RecordType | None) -> None:
        self._index = index
        self._record_type = record_type
        self._unpack: Unpack | None = None
        self._rows: dict[type[Message], Rows] = {}
        self._keys: dict[type[Message], Keys] = {}
        self._pairs: dict[type[Message], Pairs] = {}
        self._parted: dict[type[Message], Pairs] = {}
        self._leading: dict[tuple[type[Message], int], Keys] = {}

    @property
    def record_type(self) -> RecordType | None:
        """The only type of the index's records; None if there are several."""
        return self._record_type

    def rows(self, message_class: type[Message]) -> Rows:
        """Gives the rows of the index's expression."""
        made = self._rows.get(message_class)
        if made is None:
            made = compile_rows(self._index.root_expression, message_class, name=f"rows_of_{self._index.name}")
            self._rows[message_class] = made
        return made

    def keys(self, message_class: type[Message]) -> Keys:
        """Gives prefix + packed row + suffix for each row."""
        made = self._keys.get(message_class)
        if made is None:
            made = compile_keys(self._index.root_expression, message_class, name=f"keys_of_{self._index.name}")
            self._keys[message_class] = made
        return made

    def leading(self, message_class: type[Message], columns: int) -> Keys:
        """The same for the first columns alone."""
        made = self._leading.get((message_class, columns))
        if made is None:
            made = self._made_leading(message_class, columns)
            self._leading[message_class, columns] = made
        return made

    def _made_leading(self, message_class: type[Message], columns: int) -> Keys:
        root = self._index.root_expression
        whole = root.inner if isinstance(root, KeyWithValue) else root.whole if isinstance(root, Grouping) else root
        try:
            part = whole.sub_key(0, columns)
        except InvalidKeyExpression:  # columns that cannot be told apart
            rows = self.rows(message_class)
            return lambda message, context, prefix, suffix: [
                pack(row[:columns], prefix) + suffix for row in rows(message, context)
            ]
        return compile_keys(part, message_class, name=f"{columns}_columns_of_{self._index.name}")

    def parted(self, message_class: type[Message], columns: int) -> Pairs:
        """Gives prefix + the first columns packed + suffix, and the other columns packed, for each row."""
        made = self._parted.get(message_class)
        if made is None:
            halves = KeyWithValue(self._index.root_expression, columns)
            made = compile_pairs(halves, message_class, name=f"parts_of_{self._index.name}")
            self._parted[message_class] = made
        return made

    def pairs(self, message_class: type[Message]) -> Pairs:
        """The same for covering indexes, with the packed value of each entry."""
        made = self._pairs.get(message_class)
        if made is None:
            root = self._index.root_expression
            assert isinstance(root, KeyWithValue), "only covering indexes have values"
            made = compile_pairs(root, message_class, name=f"pairs_of_{self._index.name}")
            self._pairs[message_class] = made
        return made

    def unpack(self, packed: bytes) -> tuple[Any, ...]:
        """The items of a key without the index's prefix.  Raises  MalformedTuple."""
        if self._unpack is None:
            self._unpack = self._made_unpacker()
        return self._unpack(packed)

    def _made_unpacker(self) -> Unpack:
        if self._record_type is None:
            return unpack
        descriptor = self._record_type.descriptor
        index, key = self._index, self._record_type.primary_key.normalized()
        expressions = list(index.root_expression.normalized()[: index.column_size])
        positions = index.primary_key_positions
        expressions += [column for place, column in enumerate(key) if positions is None or positions[place] < 0]
        columns = [Column(kind_of(field_column(expression, descriptor))) for expression in expressions]
        return compile_unpacker(columns, name=f"unpack_{index.name}")


def kind_of(column: FieldColumn | None) -> Kind:
    """What a column usually holds."""
    if column is None or column.whole:
        return Kind.ANY
    return _KINDS.get(column.field.cpp_type, Kind.ANY) if column.field.type != FieldTypes.TYPE_BYTES else Kind.BYTES


_KINDS = {
    FieldTypes.CPPTYPE_INT32: Kind.INT,
    FieldTypes.CPPTYPE_INT64: Kind.INT,
    FieldTypes.CPPTYPE_ENUM: Kind.INT,
    FieldTypes.CPPTYPE_STRING: Kind.STR,
    FieldTypes.CPPTYPE_DOUBLE: Kind.FLOAT,
    FieldTypes.CPPTYPE_FLOAT: Kind.SINGLE_FLOAT,
    FieldTypes.CPPTYPE_BOOL: Kind.BOOL,
}
