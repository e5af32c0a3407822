"""Records of one type, in the asyncio facade."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from recordlayer.aio.cursor import Page
from recordlayer.cursor.limits import NO_LIMITS, Limits
from recordlayer.query import execute
from recordlayer.query.query import RecordQuery
from recordlayer.query.typed import for_type
from recordlayer.store.expect import Expect, VersionBehavior
from recordlayer.store.record import StoredRecord
from recordlayer.store.typed import TypedRecords
from recordlayer.tuples import Versionstamp
from recordlayer.waiting.drivers import run_asyncio

M = TypeVar("M", bound=Message)


class TypedStore(Generic[M]):
    """A store as a view of one record type: `RecordStore.typed` makes one. Records of other types are not there."""

    def __init__(self, core: TypedRecords[M]) -> None:
        self._core = core

    async def save(
        self,
        record: M,
        *,
        expect: Expect = Expect.ANYTHING,
        version: Versionstamp | None = None,
        version_behavior: VersionBehavior = VersionBehavior.DEFAULT,
    ) -> StoredRecord:
        """As `RecordStore.save`.  Raises  also RecordTypeChanged if a record of another type has the primary key."""
        return await run_asyncio(
            self._core.save(record, expect=expect, version=version, version_behavior=version_behavior)
        )

    async def save_many(self, records: Iterable[M], *, expect: Expect = Expect.ANYTHING) -> list[StoredRecord]:
        """As `RecordStore.save_many`."""
        return await run_asyncio(self._core.save_many(records, expect=expect))

    async def insert(self, record: M) -> StoredRecord:
        """Save a record that must not be there yet.  Raises  RecordExists, and as `save`."""
        return await run_asyncio(self._core.save(record, expect=Expect.NOTHING))

    async def update(self, record: M) -> StoredRecord:
        """Save a record that must be there already.  Raises  RecordMissing, and as `save`."""
        return await run_asyncio(self._core.save(record, expect=Expect.RECORD))

    async def delete(self, key: Any) -> bool:
        """Remove the record of this type with a primary key. Whether there was one.  Cost  as `RecordStore.delete`."""
        return await run_asyncio(self._core.delete(key))

    async def load(self, key: Any, *, snapshot: bool = False) -> M | None:
        """The record of this type with a primary key, None if there is none.  Cost  1 range read."""
        return await run_asyncio(self._core.load(key, snapshot=snapshot))

    async def load_many(self, keys: Sequence[Any], *, snapshot: bool = False) -> list[M | None]:
        """The same for several keys.  Cost  a range read each, 1 round trip."""
        return await run_asyncio(self._core.load_many(keys, snapshot=snapshot))

    async def exists(self, key: Any, *, snapshot: bool = False) -> bool:
        """Whether there is a record of this type with a primary key.  Cost  1 range read."""
        return await run_asyncio(self._core.load(key, snapshot=snapshot)) is not None

    def query(
        self,
        query: RecordQuery | None = None,
        *,
        limit: int | None = None,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
    ) -> TypedCursor[M]:
        """The records of a query for this type, or all of them. Parameters and errors as those of `RecordStore.query`.

        Raises  UsageError if the query is for other types.
        """
        asked = for_type(query, self._core.record_type)
        core = execute.run_query(
            self._core.store, asked, limit=limit or 0, resume=resume, limits=limits, snapshot=snapshot
        )
        return TypedCursor(core, self._core)

    def __repr__(self) -> str:
        return f"<TypedStore of {self._core.record_type.name} at {self._core.store.layout.prefix!r}>"


class TypedCursor(Page[StoredRecord], Generic[M]):
    """Records of one type. Iterating again goes on where the last iteration stopped."""

    def __init__(self, core: Any, typed: TypedRecords[M]) -> None:
        super().__init__(core)
        self._typed = typed

    async def __aiter__(self) -> AsyncIterator[M]:
        while await self._more():
            assert self._batch is not None, "there is a batch when there is more"
            values = self._batch.values
            while self._taken < len(values):
                self._taken += 1
                yield self._typed.converted(values[self._taken - 1].message)

    async def all(self) -> list[M]:
        """All records that are left."""
        return [self._typed.converted(record.message) for record in await self._rest()]
