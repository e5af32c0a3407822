"""A store as seen by who knows one record type: what is saved and loaded is of one message class.

Records of other types are not there for this view. Where one has the primary key that a record of this view wants, the
save is refused rather than the other record lost.

Cost    as the operations of the store
Source  Record Layer, FDBTypedRecordStore
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from google.protobuf.message import Message

from recordlayer.errors import WrongType
from recordlayer.pb.nans import with_nans
from recordlayer.store.batch import save_many
from recordlayer.store.expect import Expect, VersionBehavior
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore

if TYPE_CHECKING:
    from recordlayer.tuples import Versionstamp

M = TypeVar("M", bound=Message)

_WITHIN_TYPE = {Expect.ANYTHING: Expect.SAME_TYPE, Expect.RECORD: Expect.RECORD_OF_SAME_TYPE}


class TypedRecords(Generic[M]):
    """The records of one type.

    message_class  what comes back, whichever class the metadata has for the type: a generated one, say, where the
                   metadata was loaded from the database
    """

    def __init__(self, store: RecordStore, message_class: type[M]) -> None:
        """Raises  WrongType, UnknownRecordType."""
        if not (isinstance(message_class, type) and issubclass(message_class, Message)):
            raise WrongType(message_class=message_class, hint="give a message class, such as shop_pb2.Order")
        self.store = store
        self.message_class = message_class
        self.record_type = store.metadata.record_type_of(message_class())

    def _checked(self, message: M) -> M:
        if self.store.metadata.record_type_of(message) is not self.record_type:
            raise WrongType(
                record_type=self.record_type.name,
                got=type(message).__name__,
                hint="this is a view of one record type: save others by the store itself",
            )
        return message

    def message(self, record: StoredRecord | None) -> M | None:
        """The message of a record of this type, None for other records and for none."""
        if record is None or record.record_type is not self.record_type:
            return None
        return self.converted(record.message)

    def converted(self, message: Message) -> M:
        """A message of the type as this view's class."""
        if isinstance(message, self.message_class):
            return message
        data = message.SerializePartialToString()
        return with_nans(self.message_class.FromString(data), data)

    async def save(
        self,
        message: M,
        *,
        expect: Expect = Expect.ANYTHING,
        version: Versionstamp | None = None,
        version_behavior: VersionBehavior = VersionBehavior.DEFAULT,
    ) -> StoredRecord:
        """As `RecordStore.save`.  Raises  also RecordTypeChanged where a record of another type has the key."""
        return await self.store.save(
            self._checked(message),
            expect=_WITHIN_TYPE.get(expect, expect),
            version=version,
            version_behavior=version_behavior,
        )

    async def save_many(self, messages: Iterable[M], *, expect: Expect = Expect.ANYTHING) -> list[StoredRecord]:
        """As `batch.save_many`."""
        checked = [self._checked(message) for message in messages]
        return await save_many(self.store, checked, expect=_WITHIN_TYPE.get(expect, expect))

    async def load(self, key: Any, *, snapshot: bool = False) -> M | None:
        """The record of this type with a primary key, or None."""
        return self.message(await self.store.load(key, snapshot=snapshot))

    async def load_many(self, keys: Sequence[Any], *, snapshot: bool = False) -> list[M | None]:
        """The records of this type with these primary keys, None where there is none."""
        return [self.message(record) for record in await self.store.load_many(keys, snapshot=snapshot)]

    async def delete(self, key: Any) -> bool:
        """Remove the record of this type with a primary key. Whether there was one; others are left alone.

        Cost  as `RecordStore.delete`: what is read to know the type is not read again.
        """
        self.store.header.check_may_write()
        await self.store.preload([key])
        record = await self.store.load_packed(self.store.packed_key(key))
        return self.message(record) is not None and await self.store.delete(key)
