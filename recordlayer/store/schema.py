"""What follows from a metadata and is worked out once for all its stores: how primary keys are written and made,
and the generated functions of its indexes.

It is kept as long as the metadata and holds no reference to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from recordlayer.errors import InvalidKeyExpression
from recordlayer.index.functions import IndexFunctions
from recordlayer.keys import RecordContext
from recordlayer.keys.compiled import Keys, compile_keys
from recordlayer.metadata import Index, RecordMetaData, RecordType
from recordlayer.store.direct_writes import DirectWrites
from recordlayer.store.primary_keys import PrimaryKeys
from recordlayer.tuples import pack

if TYPE_CHECKING:
    from google.protobuf.message import Message

_MOST_STATES = 1_000
"""Types times sets of indexes that are not readable: more are made again."""


class Schema:
    """The functions of one metadata."""

    __slots__ = ("_direct", "_indexes_of", "contexts", "functions", "indexes", "key_functions", "primary_keys")

    def __init__(self, metadata: RecordMetaData) -> None:
        self.primary_keys = PrimaryKeys(metadata)
        self.functions = {
            name: IndexFunctions(index, _only_type(metadata, index)) for name, index in metadata.indexes.items()
        }
        self.indexes: dict[bytes, Index] = {pack((index.subspace_key,)): index for index in metadata.indexes.values()}
        """By packed subspace key."""
        self.contexts: dict[str, RecordContext] = {name: known.context for name, known in metadata.record_types.items()}
        self.key_functions: dict[type[Message], Keys] = {}
        """What gives the packed primary keys of messages, by their classes; filled by `primary_key`."""
        self._direct: dict[tuple[str, frozenset[str]], DirectWrites] = {}
        self._indexes_of = {name: metadata.indexes_of(name) for name in metadata.record_types}

    def direct_writes(self, record_type: RecordType, but: frozenset[str]) -> DirectWrites:
        """What writes the direct entries of a type's records. `but`: names of indexes that are left out."""
        key = record_type.name, but
        known = self._direct.get(key)
        if known is None:
            if len(self._direct) > _MOST_STATES:
                self._direct.clear()
            indexes = [index for index in self._indexes_of[record_type.name] if index.name not in but]
            known = self._direct[key] = DirectWrites(record_type, indexes)
        return known

    def primary_key(self, record_type: RecordType, message: Message) -> bytes:
        """The packed primary key of a record.  Raises  InvalidKeyExpression if there is not exactly one."""
        kind = type(message)
        function = self.key_functions.get(kind)
        if function is None:
            name = f"primary_key_of_{record_type.name}"
            function = self.key_functions[kind] = compile_keys(record_type.primary_key, kind, name=name)
        keys = function(message, self.contexts[record_type.name], b"", b"")
        if len(keys) != 1:
            raise InvalidKeyExpression(expression=record_type.primary_key, rows=len(keys), hint="one row was expected")
        return keys[0]


def _only_type(metadata: RecordMetaData, index: Index) -> RecordType | None:
    """The one record type that an index covers, None if it covers several."""
    covered = metadata.record_types_of(index)
    return covered[0] if len(covered) == 1 else None


_KNOWN: WeakKeyDictionary[RecordMetaData, Schema] = WeakKeyDictionary()


def schema_of(metadata: RecordMetaData) -> Schema:
    """The one `Schema` of a metadata."""
    known = _KNOWN.get(metadata)
    if known is None:
        known = _KNOWN[metadata] = Schema(metadata)
    return known
