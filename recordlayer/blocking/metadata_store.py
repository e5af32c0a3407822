# Generated from recordlayer/aio/metadata_store.py by tests/house/generate_blocking.py: do not edit.
"""Metadata kept in the database, in the blocking facade."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from recordlayer.keys import KeyExpression
from recordlayer.metadata import RecordMetaData
from recordlayer.metadata.definitions import IndexDefinition
from recordlayer.metadata.update import update_records
from recordlayer.store.metadata_store import Change
from recordlayer.store.metadata_store import MetaDataStore as Core
from recordlayer.waiting.drivers import run_blocking


class MetaDataStore:
    """The metadata kept in one place, in one transaction. `Transaction.metadata_store` gives one.

    Replacing metadata keeps what was there as history, and lets all processes know at their next transaction. Stores
    come to the new metadata when they are next opened with it.

    Cost    load: nothing if it is known, else 1 range read; changes: 1 range read, 4 writes
    Source  Record Layer, FDBMetaDataStore
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    def load(self, *, fresh: bool = False) -> RecordMetaData:
        """The newest metadata. This transaction conflicts with whoever replaces it.

        fresh  read it from the database, whatever is known from before

        Raises  MetaDataMissing, unless the place has a seed; MalformedMetaData.
        """
        return run_blocking(self._core.load(fresh=fresh))

    def save(self, metadata: RecordMetaData) -> None:
        """Replace the newest metadata.

        Raises  EvolutionRefused with all reasons why it cannot follow what is there, such as a version that is not
                higher. Nothing has been written then.
        """
        run_blocking(self._core.save(metadata))

    def mutate(self, change: Change) -> RecordMetaData:
        """Change the newest metadata through a builder of it; what is stored now, in a version of its own.

        tx.metadata_store(("shop", "metadata")).mutate(lambda builder: builder.index("Order", "by_total", "total"))

        Raises  MetaDataMissing, EvolutionRefused, and what the builder refuses. Nothing has been written then.
        """
        return run_blocking(self._core.mutate(change))

    def add_index(
        self,
        record_type: str | Iterable[str] | None,
        name: str,
        expression: KeyExpression | IndexDefinition | str,
        **how: Any,
    ) -> RecordMetaData:
        """Add an index, as `RecordMetaDataBuilder.index` does.  Raises  as `mutate`."""
        return run_blocking(self._core.mutate(lambda builder: builder.index(record_type, name, expression, **how)))

    def drop_index(self, name: str) -> RecordMetaData:
        """Make an index a former one: stores clear its data.  Raises  UnknownIndex; as `mutate`."""
        return run_blocking(self._core.mutate(lambda builder: builder.remove_index(name)))

    def update_records(self, file: object) -> RecordMetaData:
        """Let the records be those of a newer .proto file: the DESCRIPTOR of a generated module, or the module. Its new
        record types come in with their annotations; `mutate` with `recordlayer.metadata.update` says more of them.

        Raises  InvalidRecordType; as `mutate`.
        """
        return run_blocking(self._core.mutate(lambda builder: update_records(builder, file)))

    def split_long_records(self) -> RecordMetaData:
        """Let records be longer than 100,000 bytes. There is no way back.  Raises  as `mutate`."""
        return run_blocking(self._core.mutate(lambda builder: builder.split_long_records()))

    def store_record_versions(self, store: bool = True) -> RecordMetaData:
        """Keep the version of its last commit with each record, or no longer.  Raises  as `mutate`."""
        return run_blocking(self._core.mutate(lambda builder: builder.store_record_versions(store)))

    def version(self, number: int) -> RecordMetaData | None:
        """The metadata that had a version and was replaced, None if it is not kept.  Cost  1 range read."""
        return run_blocking(self._core.version(number))

    def history(self) -> list[int]:
        """The versions that were replaced and are kept, ascending.  Cost  1 range read, of all of them."""
        return run_blocking(self._core.history())
