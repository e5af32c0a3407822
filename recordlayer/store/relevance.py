"""Whether a change of a stored record can change anything of the records that it is joined into: if not, its partners
need not be looked for. A customer with a million orders may so change the telephone number that no index is about.

Cost    none: it evaluates what the joins and the indexes take from the record, before and after
Source  a note in Record Layer's FDBRecordStore.updateSyntheticIndexes, which wishes for it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from recordlayer.index.maintainer import IndexSpace, Maintainer
from recordlayer.keys import Field, FunctionCall, KeyExpression, Nesting
from recordlayer.metadata import Index
from recordlayer.metadata.joined import JoinedType
from recordlayer.store.record import StoredRecord
from recordlayer.tuples import pack

_BY_ENTRIES = frozenset(
    {
        *("value", "rank", "text", "bitmap_value", "multidimensional", "count", "count_not_null", "sum"),
        *("min_ever", "max_ever", "min_ever_long", "max_ever_long", "min_ever_tuple", "max_ever_tuple"),
        *("permuted_min", "permuted_max", "time_window_leaderboard"),
    }
)
"""Index types that do nothing where all rows stay the same. Not so: those that count updates, and other people's."""


def matters(kind: JoinedType, maintainers: Iterable[Maintainer], old: StoredRecord, new: StoredRecord) -> bool:
    """Whether a record in place of another one of its type may change entries of these indexes over a joined type."""
    indexes: list[Index] = []
    for maintainer in maintainers:
        space = getattr(maintainer, "space", None)
        if not isinstance(space, IndexSpace) or space.chooses is not None:
            return True
        if space.index.type not in _BY_ENTRIES or space.index.predicate is not None:
            return True
        indexes.append(space.index)
    for place in kind.places_of(new.record_type):
        taken: list[KeyExpression | None] = [side.own for side in kind.sides[place]]
        for index in indexes:
            taken += _taken(index.root_expression, place)
        for part in taken:
            if part is None or _rows(part, old) != _rows(part, new):
                return True
    return False


def _rows(expression: KeyExpression, record: StoredRecord) -> list[bytes]:
    return [pack(row) for row in expression.evaluate(record.message, record.key_context)]


def _taken(expression: KeyExpression, place: str) -> Iterator[KeyExpression | None]:
    """What an expression takes from one constituent; None for what cannot be told, and for all of it."""
    if isinstance(expression, Nesting):
        if expression.parent.name == place:
            yield expression.child
    elif isinstance(expression, Field):
        if expression.name == place:
            yield None
    elif isinstance(expression, FunctionCall):
        yield None  # it may look at more than its arguments
    else:
        for child in expression.children:
            yield from _taken(child, place)
