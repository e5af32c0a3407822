"""From a record's envelope to the bytes that are stored, and back.

The plain serialiser stores the envelope as it is. Others transform it: serialisers are chained, each with the next one
inside. Readers and writers of a store must agree; what a transforming one reads tells by itself how it was transformed.

Layout  of a transformed record: a varint, 3 bits for the transforms (1 encrypted, 2 none, 4 compressed, 5 both) and
        above them the number of the key; then the bytes
Source  Record Layer, RecordSerializer, TransformedRecordSerializer, TransformedRecordSerializerPrefix
"""

from __future__ import annotations

import os
from typing import Protocol

from recordlayer.errors import CorruptRecord, UnfaithfulSerializer, UnknownEncryptionKey, UsageError
from recordlayer.metadata.envelope import varint
from recordlayer.store.compression import LARGEST, ZLIB, Compression, check_registered, compressed, decompressed
from recordlayer.store.encryption import KEY_NUMBERS, KeyManager, RandomBytes, decrypted, encrypted

_ENCRYPTED, _CLEAR, _COMPRESSED = 1, 2, 4
_TYPE_BITS = 3
_TYPES = (_ENCRYPTED, _CLEAR, _COMPRESSED, _COMPRESSED | _ENCRYPTED)
_CLEAR_PREFIX = bytes((_CLEAR,))
_COMPRESSED_PREFIX = bytes((_COMPRESSED,))
_64_BITS = (1 << 64) - 1


class Serializer(Protocol):
    """Two functions that are each other's inverse."""

    def encode(self, envelope: bytes) -> bytes:
        """The bytes to store."""

    def decode(self, stored: bytes) -> bytes:
        """The envelope in stored bytes.  Raises  CorruptRecord, UnknownEncryptionKey."""


class PlainSerializer:
    """Stores the envelope as it is."""

    __slots__ = ()

    def encode(self, envelope: bytes) -> bytes:
        return envelope

    def decode(self, stored: bytes) -> bytes:
        return stored


PLAIN = PlainSerializer()


class TransformingSerializer:
    """Compresses records where that makes them shorter, and encrypts them.

    compression   how to write; None for not at all. What others have compressed is read in any case
    keys          keys to encrypt and decrypt with
    encrypt       whether to write encrypted: by default if there are keys. False with keys: what is encrypted can still
                  be read, and is written plainly with its next change
    validate      share of written records that are read again and compared before they are stored: 1 for all, 0.01 for
                  every hundredth
    inner         the serialiser whose bytes are transformed
    largest       bytes of the largest record that is decompressed
    random_bytes  makes initialisation vectors

    A store that has been written plainly until now can be opened with this: its records are read as they are.

    Source  Record Layer, TransformedRecordSerializerJCE.Builder
    """

    __slots__ = ("_compression", "_credit", "_encrypts", "_inner", "_keys", "_largest", "_random_bytes", "_validate")

    def __init__(
        self,
        *,
        compression: Compression | None = ZLIB,
        keys: KeyManager | None = None,
        encrypt: bool | None = None,
        validate: float = 0.0,
        inner: Serializer = PLAIN,
        largest: int = LARGEST,
        random_bytes: RandomBytes = os.urandom,
    ) -> None:
        if compression is not None:
            check_registered(compression)
        if encrypt and keys is None:
            raise UsageError(argument="encrypt", hint="give the keys to encrypt with, such as KeyRing(secret)")
        if not isinstance(validate, (int, float)) or not 0 <= validate <= 1:
            raise UsageError(argument="validate", value=validate, hint="a share between 0 and 1")
        self._compression = compression
        self._keys = keys
        self._encrypts = keys is not None if encrypt is None else encrypt
        self._validate = float(validate)
        self._credit = 0.0
        self._inner = inner
        self._largest = largest
        self._random_bytes = random_bytes

    def encode(self, envelope: bytes) -> bytes:
        """Raises  UnfaithfulSerializer, UnknownEncryptionKey, LibraryMissing."""
        data = self._inner.encode(envelope)
        smaller = None if self._compression is None else compressed(data, self._compression)
        stored = self._encrypted(data, smaller) if self._encrypts else self._clear(data, smaller)
        if self._validate:
            self._credit += self._validate
            if self._credit >= 1.0:
                self._credit -= 1.0
                self._check(envelope, stored)
        return stored

    @staticmethod
    def _clear(data: bytes, smaller: bytes | None) -> bytes:
        return _CLEAR_PREFIX + data if smaller is None else _COMPRESSED_PREFIX + smaller

    def _encrypted(self, data: bytes, smaller: bytes | None) -> bytes:
        assert self._keys is not None, "who encrypts has keys"
        number = self._keys.current()
        if number not in KEY_NUMBERS:
            raise UsageError(key_number=number, hint="key numbers are integers of 32 bits")
        kind = _ENCRYPTED if smaller is None else _COMPRESSED | _ENCRYPTED
        prefix = varint((number << _TYPE_BITS | kind) & _64_BITS)
        return prefix + encrypted(data if smaller is None else smaller, self._keys.key(number), self._random_bytes)

    def _check(self, envelope: bytes, stored: bytes) -> None:
        try:
            back = self.decode(stored)
        except CorruptRecord as error:
            raise UnfaithfulSerializer(found=str(error), bytes=len(envelope)) from error
        if back != envelope:
            raise UnfaithfulSerializer(found="other bytes come back", bytes=len(envelope), bytes_back=len(back))

    def decode(self, stored: bytes) -> bytes:
        """Raises  CorruptRecord, UnknownEncryptionKey, LibraryMissing."""
        prefix, start = _read_varint(stored)
        kind, rest = prefix & 7, prefix >> _TYPE_BITS
        if kind == _CLEAR:
            # The tag of an envelope looks like this, with a field number above the bits: then this is a plain record.
            return self._inner.decode(stored if rest else stored[start:])
        if kind not in _TYPES or (not kind & _ENCRYPTED and rest) or rest not in KEY_NUMBERS:
            raise CorruptRecord(
                found="an unknown transform",
                prefix=stored[:start],
                hint="the record was written by another serialiser, or its bytes are damaged",
            )
        data = stored[start:]
        if kind & _ENCRYPTED:
            if self._keys is None:
                raise UnknownEncryptionKey(
                    key_number=rest, known=[], hint="the record is encrypted: give the serialiser its keys"
                )
            data = decrypted(data, self._keys.key(rest), rest)
        if kind & _COMPRESSED:
            data = decompressed(data, largest=self._largest)
        return self._inner.decode(data)

    def __repr__(self) -> str:
        parts = [f"compression={self._compression!r}"]
        if self._keys is not None:
            parts.append(f"keys={self._keys!r}, encrypt={self._encrypts}")
        return f"TransformingSerializer({', '.join(parts)})"


def _read_varint(stored: bytes) -> tuple[int, int]:
    """The number at the beginning, as one of 64 bits with a sign, and where it ends."""
    number = 0
    for place, byte in enumerate(stored[:10]):
        if place == 9 and byte & 0xFE:
            break
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return (number - (1 << 64) if number >> 63 else number), place + 1
    else:
        raise CorruptRecord(found="a record that breaks off in its first number", bytes=len(stored))
    raise CorruptRecord(found="a first number of more than 64 bits", prefix=stored[:10])
