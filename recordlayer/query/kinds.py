"""The types that a query is about: stored ones, or one synthetic type, which the planner sees as a record type too.

Source  Record Layer, JoinedRecordTypeBuilder and UnnestedRecordTypeBuilder: the primary key as an expression
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from recordlayer.errors import QueryError
from recordlayer.keys import Field, KeyExpression, ListOf, Then
from recordlayer.keys import RecordType as TypeColumn
from recordlayer.metadata import RecordMetaData, RecordType
from recordlayer.metadata.joined import JoinedType
from recordlayer.metadata.synthetic import POSITIONS

if TYPE_CHECKING:
    from recordlayer.metadata.metadata import Synthetic


def asked_types(names: Sequence[str], metadata: RecordMetaData) -> tuple[RecordType, ...]:
    """The types of these names, all stored ones for no name.

    Raises  UnknownRecordType; QueryError for a synthetic type among others.
    """
    named = tuple(dict.fromkeys(names or metadata.record_types))
    made = [name for name in named if name in metadata.synthetic]
    if not made:
        return tuple([metadata.record_type(name) for name in named])
    if len(named) > 1:
        hint = "its records are made from stored ones: ask for them by themselves"
        raise QueryError(record_type=made[0], record_types=named, hint=hint)
    known = _MADE.setdefault(metadata, {})
    found = known.get(made[0])
    if found is None:
        found = known[made[0]] = _as_record_type(metadata.synthetic[made[0]])
    return (found,)


_MADE: WeakKeyDictionary[RecordMetaData, dict[str, RecordType]] = WeakKeyDictionary()


def _as_record_type(kind: Synthetic) -> RecordType:
    parts: list[KeyExpression]
    if isinstance(kind, JoinedType):
        parts = [Field(one.name).nest(one.stored.primary_key) for one in kind.constituents]
    else:
        parts = [
            Field(name).nest(kind.stored.primary_key) if name == kind.parent else Field(POSITIONS).nest(Field(name))
            for name in kind.names
        ]
    return RecordType(
        name=kind.name,
        descriptor=kind.descriptor,
        message_class=kind.message_class,
        primary_key=Then((TypeColumn(), ListOf(tuple(parts)))),
        record_type_key=kind.record_type_key,
    )
