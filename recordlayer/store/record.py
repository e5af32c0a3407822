"""A stored record: its primary key, its bytes, its version; parsed when somebody looks.

Source  Record Layer, FDBStoredRecord
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recordlayer.errors import CorruptRecord, MalformedTuple, UnknownEncryptionKey
from recordlayer.keys import RecordContext
from recordlayer.metadata.envelope import parse
from recordlayer.store.schema import schema_of
from recordlayer.store.serializer import PLAIN
from recordlayer.tuples import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from google.protobuf.message import Message

    from recordlayer.metadata import RecordMetaData, RecordType
    from recordlayer.store.serializer import Serializer
    from recordlayer.store.split import Shape
    from recordlayer.tuples import Versionstamp


class Codec:
    """How the records of one store are turned into bytes and back."""

    __slots__ = ("_contexts", "encode", "metadata", "schema", "serializer", "split")

    def __init__(self, metadata: RecordMetaData, serializer: Serializer) -> None:
        self.metadata = metadata
        self.serializer = serializer
        self.schema = schema_of(metadata)
        self._contexts = self.schema.contexts
        self.encode: Callable[[Message], bytes] = _encode(metadata, serializer)
        """A message as it is stored.  Raises  IncompleteRecord, and what the serializer raises."""

        self.split: Callable[[bytes], tuple[RecordType, bytes]] = _split(metadata, serializer)
        """The type of a stored record, and the bytes of its message.  Raises  CorruptRecord, UnknownEncryptionKey."""

    def context_of(self, record_type: RecordType, version: Versionstamp | None) -> RecordContext:
        """What key expressions need beside the message."""
        if version is None:
            return self._contexts[record_type.name]
        return RecordContext(record_type_key=record_type.record_type_key, version=version)

    def open_all(self, stored: Sequence[bytes]) -> list[Message]:
        """The messages in stored bytes.  Raises  CorruptRecord, UnknownEncryptionKey."""
        if self.serializer is not PLAIN:
            decode = self.serializer.decode
            stored = [decode(data) for data in stored]
        return self.metadata.open_envelopes(stored)


def _encode(metadata: RecordMetaData, serializer: Serializer) -> Callable[[Message], bytes]:
    envelope, encode = metadata.envelope, serializer.encode
    return envelope if serializer is PLAIN else lambda message: encode(envelope(message))


def _split(metadata: RecordMetaData, serializer: Serializer) -> Callable[[bytes], tuple[RecordType, bytes]]:
    split, decode = metadata.split_envelope, serializer.decode
    return split if serializer is PLAIN else lambda stored: split(decode(stored))


class StoredRecord:
    """One record of a store.

    primary_key   its columns
    record_type   its type
    message       the record itself, parsed on the first look
    version       the place of its last save in the order of commits, None if versions are not stored; incomplete until
                  the commit of the transaction that saved it
    shape         key-value pairs and bytes it takes, None where that was not counted
    """

    __slots__ = (
        "_body",
        "_codec",
        "_data",
        "_message",
        "_primary_key",
        "_type",
        "primary_key_bytes",
        "shape",
        "version",
    )

    def __init__(
        self,
        codec: Codec,
        primary_key_bytes: bytes,
        data: bytes,
        version: Versionstamp | None = None,
        shape: Shape | None = None,
    ) -> None:
        self._codec = codec
        self.primary_key_bytes = primary_key_bytes
        self._data: bytes | None = data
        self.version = version
        self.shape = shape
        self._primary_key: tuple[Any, ...] | None = None
        self._type: RecordType | None = None
        self._body: bytes | None = None
        self._message: Message | None = None

    @classmethod
    def of_message(
        cls,
        codec: Codec,
        record_type: RecordType,
        message: Message,
        primary_key_bytes: bytes,
        primary_key: tuple[Any, ...] | None = None,
    ) -> StoredRecord:
        """A record that is about to be saved, or was made from something else than its stored bytes."""
        record = cls.__new__(cls)
        record._codec = codec
        record.primary_key_bytes = primary_key_bytes
        record._data = record._body = None
        record.version = record.shape = None
        record._primary_key = primary_key
        record._type = record_type
        record._message = message
        return record

    @property
    def primary_key(self) -> tuple[Any, ...]:
        if self._primary_key is None:
            try:
                self._primary_key = unpack(self.primary_key_bytes)
            except MalformedTuple as error:
                raise CorruptRecord(primary_key=self.primary_key_bytes, found=str(error)) from error
        return self._primary_key

    @property
    def stored_key_bytes(self) -> bytes:
        return self.primary_key_bytes

    @property
    def record_type(self) -> RecordType:
        if self._type is None:
            self._look_inside()
            assert self._type is not None, "looking inside gives the type or raises"
        return self._type

    @property
    def message(self) -> Message:
        message = self._message
        if message is None:
            if self._type is None:
                self._look_inside()
            assert self._type is not None, "looking inside gives the type or raises"
            assert self._body is not None, "looking inside gives the bytes or raises"
            try:
                message = self._message = parse(self._type, self._body)
            except CorruptRecord as error:
                raise self._where(error) from error
        return message

    @property
    def body(self) -> bytes | None:
        """The bytes of its message as they are stored; None where it was made from something else.

        Raises  CorruptRecord, UnknownEncryptionKey.
        """
        if self._type is None:
            self._look_inside()
        return self._body

    @property
    def size(self) -> int:
        """Bytes of the record as it was read, or would be written."""
        data = self._body if self._data is None else self._data
        return self.message.ByteSize() if data is None else len(data)

    @property
    def key_context(self) -> RecordContext:
        return self._codec.context_of(self.record_type, self.version)

    def _look_inside(self) -> None:
        assert self._data is not None, "a record without a message has its bytes"
        try:
            self._type, self._body = self._codec.split(self._data)
        except CorruptRecord as error:
            raise self._where(error) from error
        except UnknownEncryptionKey as error:
            error.add(primary_key=self.primary_key)
            raise
        self._data = None

    def _where(self, error: CorruptRecord) -> CorruptRecord:
        """The same error, saying which record it is about."""
        fields: dict[str, Any] = {"primary_key": self.primary_key, **error.fields}
        return CorruptRecord(hint=error.hint, **fields)

    def __repr__(self) -> str:
        version = f", version {self.version!r}" if self.version is not None else ""
        return f"<StoredRecord {self.primary_key!r}{version}>"
