"""The records of one read: kept as their bytes, and as stored records when somebody looks at one.

Source  ours
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from recordlayer.cursor.page import Page
from recordlayer.errors import CorruptRecord, UnknownEncryptionKey
from recordlayer.store.record import Codec, StoredRecord

if TYPE_CHECKING:
    from google.protobuf.message import Message


class Messages(Page[StoredRecord]):
    """A page that knows how to give all its messages for less than one by one."""

    __slots__ = ()

    def messages(self) -> list[Message]:
        """The message of each record.  Raises  CorruptRecord and what else reading a message raises."""
        raise NotImplementedError


class RecordPage(Messages):
    """Records that are one pair each, as they were read, without versions.

    keys    packed primary keys
    data    the stored bytes
    """

    __slots__ = ("_codec", "_data", "_keys")

    def __init__(self, codec: Codec, keys: Sequence[bytes], data: Sequence[bytes]) -> None:
        self._values = None
        self._codec = codec
        self._keys = keys
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def make(self) -> list[StoredRecord]:
        codec = self._codec
        return [StoredRecord(codec, key, data) for key, data in zip(self._keys, self._data, strict=True)]

    def part(self, places: slice) -> RecordPage:
        return RecordPage(self._codec, self._keys[places], self._data[places])

    def pick(self, places: Sequence[int]) -> list[StoredRecord]:
        if self._values is not None:
            return super().pick(places)
        codec, keys, data = self._codec, self._keys, self._data
        return [StoredRecord(codec, keys[place], data[place]) for place in places]

    @property
    def primary_keys(self) -> Sequence[bytes]:
        """The packed primary key of each record."""
        return self._keys

    def messages(self) -> list[Message]:
        if self._values is None:
            codec = self._codec
            try:
                return codec.open_all(self._data)
            except (CorruptRecord, UnknownEncryptionKey):
                pass  # a record says which one it is
        return [record.message for record in self.values]


def messages_of(records: Sequence[StoredRecord]) -> list[Message]:
    """The message of each record.  Raises  CorruptRecord and what else reading a message raises."""
    if isinstance(records, Messages):
        return records.messages()
    return [record.message for record in records]


def keyed(records: Sequence[StoredRecord]) -> Iterable[tuple[Message, bytes]]:
    """The message and the packed primary key of each record.  Raises  as `messages_of`."""
    if isinstance(records, RecordPage):
        return zip(records.messages(), records.primary_keys, strict=True)
    return [(record.message, record.primary_key_bytes) for record in records]


def messages_until_broken(records: Sequence[StoredRecord]) -> list[Message]:
    """The same; if a message cannot be read, those before it, and the error if it is the first.

    Raises  CorruptRecord and what else reading a message raises.
    """
    try:
        return messages_of(records)
    except (CorruptRecord, UnknownEncryptionKey):
        read: list[Message] = []
        for record in records:
            try:
                read.append(record.message)
            except (CorruptRecord, UnknownEncryptionKey):
                if not read:
                    raise
                break
        return read
