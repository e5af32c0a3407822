"""What a record's direct entries need when it comes, changes or goes: worked out for all of its indexes by one
generated function (`keys.compiled_entries`), without a maintainer for each of them.

It is kept as long as the metadata. What a function was not made for gives None, and then the maintainers do it.

Cost    as the indexes' own types: 1 write per changed entry
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recordlayer.core import in_c
from recordlayer.index.aggregate_rules import negative
from recordlayer.index.direct import as_one_entry, direct_entry
from recordlayer.keys.compiled_entries import Entries, OneEntry, compile_entries
from recordlayer.kv.engine import KEY_LIMIT, VALUE_LIMIT
from recordlayer.kv.mutations import Write
from recordlayer.tuples import pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.message import Message

    from recordlayer.metadata import Index, RecordType
    from recordlayer.store.record import StoredRecord


Removal = tuple[int, bytes | None]
"""The kind of write that takes an entry away, and its operand; None for the negative of what was added."""


class DirectWrites:
    """Those of one record type, for the indexes of it that are written directly.

    indexes  which those are, in the order of their writes
    """

    __slots__ = ("_amounts", "_context", "_functions", "_keys", "_name", "_removals", "_wanted", "indexes")

    def __init__(self, record_type: RecordType, indexes: Iterable[Index]) -> None:
        found = [(index, entry) for index in indexes if (entry := direct_entry(index)) is not None]
        self.indexes = tuple(index for index, _ in found)
        self._keys = tuple(b"\x15\x02" + pack((index.subspace_key,)) for index in self.indexes)
        self._wanted: list[OneEntry] = [as_one_entry(index, record_type, entry) for index, entry in found]
        self._removals: tuple[Removal, ...] = tuple(
            [(entry.removal, None if entry.amount else entry.returned) for _, entry in found]
        )
        self._amounts = any(entry.amount for _, entry in found)
        self._functions: dict[type[Message], Entries | None] = {}
        versioned = any(index.root_expression.version_columns for index in self.indexes)
        self._context = None if versioned else record_type.context
        self._name = f"entries_of_{record_type.name}"

    def prefixes(self, store: bytes) -> tuple[bytes, ...]:
        """Where the entries of each index begin, in a store."""
        return tuple([store + key for key in self._keys])

    def _entries_of(self, record: StoredRecord, prefixes: Sequence[bytes]) -> list[Write] | None:
        message = record.message
        kind = type(message)
        function = self._functions.get(kind)
        if function is None:
            if kind in self._functions:
                return None
            function = self._functions[kind] = compile_entries(
                self._wanted, kind, name=self._name, key_limit=KEY_LIMIT, value_limit=VALUE_LIMIT
            )
            return None if function is None else self._entries_of(record, prefixes)
        context = self._context if self._context is not None else record.key_context
        return function(message, context, record.primary_key_bytes, prefixes)

    def between(
        self, old: StoredRecord | None, new: StoredRecord | None, prefixes: Sequence[bytes]
    ) -> list[Write] | None:
        """What turns the entries of `old` into those of `new`; None if the maintainers must be asked."""
        after: list[Write] | None = None
        if new is not None:
            after = self._entries_of(new, prefixes)
            if after is None:
                return None
            if old is None:
                return [write for write in after if write[2] is not None] if self._amounts else after
        assert old is not None, "one of them is there"
        before = self._entries_of(old, prefixes)
        if before is None:
            return None
        removals = zip(self._removals, before, strict=True)
        if after is None:
            return [
                (kind, key, negative(added) if operand is None else operand)
                for (kind, operand), (_, key, added) in removals
                if added is not None
            ]
        return changed(self._removals, before, after)


@in_c("changed")
def changed(removals: Sequence[Removal], before: Sequence[Write], after: Sequence[Write]) -> list[Write]:
    """What turns entries into others: each goes before its next comes, and what stays the same is not written."""
    writes: list[Write] = []
    for (kind, operand), gone, come in zip(removals, before, after, strict=True):
        if gone != come:
            if gone[2] is not None:  # a null has added nothing
                writes.append((kind, gone[1], negative(gone[2]) if operand is None else operand))
            if come[2] is not None:
                writes.append(come)
    return writes
