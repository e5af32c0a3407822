"""Queries for one record type."""

from __future__ import annotations

from recordlayer.errors import UsageError
from recordlayer.metadata import RecordType
from recordlayer.query.query import RecordQuery


def for_type(query: RecordQuery | None, record_type: RecordType) -> RecordQuery:
    """A query that is for one record type, or the one for all of its records.  Raises  UsageError."""
    if query is None:
        return RecordQuery(record_types=(record_type.name,))
    if query.record_types != (record_type.name,):
        raise UsageError(
            record_types=query.record_types, hint=f'this is a view of one type: start with query("{record_type.name}")'
        )
    return query
