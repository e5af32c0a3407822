"""The way back: a schema like that of an earlier version, reached by going forward. Versions never go back.

What was added to messages stays, as records may have it: then the way back is that of indexes and settings alone.
"""

from __future__ import annotations

from recordlayer.errors import MigrationRefused, SchemaError, UsageError
from recordlayer.metadata import Evolution, RecordMetaData, RecordMetaDataBuilder
from recordlayer.metadata.update import update_records
from recordlayer.migrate.changes import schema_diff


def rollback_target(current: RecordMetaData, previous: RecordMetaData, allow: Evolution) -> RecordMetaData:
    """The schema to migrate to.  Raises  MigrationRefused where there is no way back."""
    whole = schema_diff(current, previous, allow=allow)
    if not whole.refused:
        return previous
    try:
        builder = RecordMetaDataBuilder.from_proto(previous.to_bytes())
        update_records(builder, current.file)
        kept = builder.build()
    except (SchemaError, UsageError):
        kept = None
    if kept is not None:
        found = schema_diff(current, kept, allow=allow)
        if not found.refused:
            return kept
    refused = [f"{change.subject}: {change.reason}" for change in whole.refused]
    raise MigrationRefused(
        refused=refused, hint="what records may hold cannot be taken back: change the schema forward"
    )
