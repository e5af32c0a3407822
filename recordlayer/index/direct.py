"""Direct entries: indexes of which each record has exactly one entry, that follows from the record alone and is written
without a look at anything else. Most indexes are so, and all that a type of records has are written by one function.

An index type says so of an index with a class method `direct`: how its entry is made, and what takes it away again.
What it then owes: `prepare` of a kept index (`IndexSpace.is_kept`) without an index filter gives the same writes, and
`finish` gives None.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from recordlayer.index.registry import type_of
from recordlayer.keys import KeyExpression
from recordlayer.keys.compiled_entries import OneEntry
from recordlayer.metadata import Index, RecordType


class DirectEntry(NamedTuple):
    """How the entry of a record comes and goes.

    kind, operand      of the write that makes it; the operand is left out where the index covers columns
    removal, returned  of the write that takes it away
    owned              whether the primary key is part of it
    amount             the operand is the last column, an integer, and the removal's is its negative, instead
    """

    kind: int
    operand: bytes
    removal: int
    returned: bytes
    owned: bool
    amount: bool = False


class _Direct(Protocol):
    def direct(self, index: Index) -> DirectEntry | None: ...


def direct_entry(index: Index) -> DirectEntry | None:
    """How entries of an index are written directly; None where that takes more."""
    kind: _Direct | None = type_of(index.type)
    if index.predicate is not None or index.root_expression.creates_duplicates or not hasattr(kind, "direct"):
        return None
    assert kind is not None, "it has the method"
    return kind.direct(index)


def as_one_entry(index: Index, record_type: RecordType, entry: DirectEntry) -> OneEntry:
    """The same for the generator: what stands where in the key."""
    positions = index.primary_key_positions
    tail: tuple[KeyExpression, ...] | None = None
    if not entry.owned:
        tail = ()
    elif positions is not None:
        columns = record_type.primary_key.normalized()
        tail = tuple(column for place, column in zip(positions, columns, strict=True) if place < 0)
    return OneEntry(index.root_expression, entry.kind, entry.operand, tail, entry.amount)
