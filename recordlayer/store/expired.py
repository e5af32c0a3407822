"""Which records have expired, for a store that is opened to hide them before a reaper has come to them.

A store that hides what has expired shows it to nobody who loads, scans or queries records. Saving, deleting, unique
values, counters, aggregates, ranks and index entries know of it until it is reaped. Only a time in a field can be
hidden by: when a record was saved nobody knows so exactly.

Cost    none: the field is looked at in what was read
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from recordlayer.metadata import Index, RecordMetaData
from recordlayer.metadata.expiry import Expiry, expiry_of

if TYPE_CHECKING:
    from recordlayer.store.record import StoredRecord
    from recordlayer.world import Clock


def by_field(metadata: RecordMetaData, record_type: str) -> list[tuple[Index, Expiry]]:
    """The indexes that say by a field when records of a type expire."""
    indexes = metadata.indexes_of(metadata.record_types[record_type])
    found = [(index, expiry_of(index)) for index in indexes]
    return [(index, expiry) for index, expiry in found if expiry is not None and expiry.unit is not None]


def visible_at(metadata: RecordMetaData, clock: Clock) -> Callable[[StoredRecord], bool]:
    """Tells of a record whether it has not expired."""
    known: dict[str, list[tuple[Index, Expiry]]] = {}

    def visible(record: StoredRecord) -> bool:
        name = record.record_type.name
        found = known.get(name)
        if found is None:
            found = known[name] = by_field(metadata, name)
        return not any(_has_expired(index, expiry, record, clock) for index, expiry in found)

    return visible


def _has_expired(index: Index, expiry: Expiry, record: StoredRecord, clock: Clock) -> bool:
    value: Any = index.root_expression.evaluate_single(record.message, record.key_context)[0]
    return value is not None and bool(value <= expiry.latest(clock.wall()))
