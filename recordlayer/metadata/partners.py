"""How records are found by the values that expressions of them have: by primary key, by an index, or among all records.

Pure: it looks at definitions only.

Source  Record Layer, RecordQueryPlanner as JoinedRecordPlanner uses it
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recordlayer.keys import KeyExpression
from recordlayer.keys.prefixes import leading_columns
from recordlayer.keys.special import RecordType as RecordTypeKey

if TYPE_CHECKING:
    from recordlayer.metadata.index import Index
    from recordlayer.metadata.metadata import RecordMetaData
    from recordlayer.metadata.record_type import RecordType


@dataclass(frozen=True, slots=True)
class Access:
    """A way to records of a type.

    index    the index to go by; None for the primary key
    columns  its first columns: for each which of the expressions it holds, or None for the key of the record type
    whole    they are all columns of the primary key
    """

    index: Index | None
    columns: tuple[int | None, ...]
    whole: bool = False

    @property
    def bound(self) -> int:
        """How many expressions it answers. None: all records are looked at."""
        return sum(column is not None for column in self.columns)


def access_to(
    metadata: RecordMetaData,
    record_type: RecordType,
    expressions: Sequence[KeyExpression],
    usable: Callable[[Index], bool],
) -> Access:
    """The way that answers most of the expressions; `usable` says which indexes may be read."""
    wanted = [expression.ignoring_nulls() for expression in expressions]
    key = record_type.primary_key.normalized()
    columns = _matched(key, wanted)
    best = Access(None, columns, whole=len(columns) == len(key))
    if best.whole:
        return best
    for index in metadata.indexes_of(record_type):
        if index.type == "value" and index.predicate is None:
            matched = Access(index, _matched(leading_columns(index.root_expression), wanted))
            if matched.bound > best.bound and usable(index):
                best = matched
    return best


def _matched(columns: Sequence[KeyExpression], wanted: Sequence[KeyExpression]) -> tuple[int | None, ...]:
    """The first columns that are wanted. Of those that fan out one: two may have been cut from one element."""
    found: list[int | None] = []
    fanned = False
    for column in columns:
        plain = column.ignoring_nulls()
        if isinstance(plain, RecordTypeKey):
            found.append(None)
            continue
        place = next((place for place, one in enumerate(wanted) if one == plain and place not in found), None)
        if place is None or (plain.creates_duplicates and fanned):
            break
        fanned = fanned or plain.creates_duplicates
        found.append(place)
    return tuple(found)
