"""What an index is about: stored records of its types, or the records that are made from them.

Source  Record Layer, SyntheticRecordPlanner
"""

from __future__ import annotations

from collections.abc import Iterable

from recordlayer.errors import IndexNotSupported
from recordlayer.index.maintainer import IndexedRecord
from recordlayer.metadata import Index, RecordMetaData
from recordlayer.store.record import StoredRecord


def covered(metadata: RecordMetaData, index: Index, records: Iterable[StoredRecord]) -> list[IndexedRecord]:
    """The records that the index is about, of these stored ones.

    Raises  IndexNotSupported for an index over joined records.
    """
    unnested = metadata.unnested_of(index)
    if unnested is not None:
        stored = unnested.stored.name
        return [
            one
            for record in records
            if record.record_type.name == stored
            for one in unnested.records(record.message, record.primary_key)
        ]
    types = metadata.stored_types_of(index)
    if not types:
        raise IndexNotSupported(
            index=index.name,
            record_types=index.record_types,
            hint="its records are made from stored ones in a way that is not known here",
        )
    if len(types) == len(metadata.record_types):
        return list(records)
    names = {known.name for known in types}
    return [record for record in records if record.record_type.name in names]
