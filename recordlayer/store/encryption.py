"""Encrypted records, and the keys they are encrypted with. Each record says the number of its key, so that keys can be
exchanged while records of the old ones are still there.

Layout  initialisation vector (16 bytes), ciphertext
Source  Record Layer, TransformedRecordSerializerJCE, SerializationKeyManager, FixedZeroKeyManager. Ciphers have the
        names that Java gives them.

Neither cipher proves who wrote a record, or that nobody changed it: they keep records from being read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from recordlayer.errors import CorruptRecord, LibraryMissing, UnknownEncryptionKey, UsageError, WrongType

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher

AES_CBC = "AES/CBC/PKCS5Padding"
"""Java's default."""
AES_CTR = "AES/CTR/NoPadding"

_CIPHERS = (AES_CBC, AES_CTR)
_KEY_BYTES = (16, 24, 32)
_VECTOR = 16
KEY_NUMBERS = range(-(1 << 31), 1 << 31)

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """A secret of 16, 24 or 32 bytes, and the cipher it is for."""

    secret: bytes = field(repr=False)
    cipher: str = AES_CBC

    def __post_init__(self) -> None:
        if not isinstance(self.secret, (bytes, bytearray)):
            raise WrongType(argument="secret", type=type(self.secret).__name__, hint="a key is bytes")
        if len(self.secret) not in _KEY_BYTES:
            raise UsageError(bytes=len(self.secret), hint="an AES key has 16, 24 or 32 bytes")
        if self.cipher not in _CIPHERS:
            raise UsageError(cipher=self.cipher, hint=f"ciphers are {', '.join(_CIPHERS)}")


class KeyManager(Protocol):
    """Where keys come from. It is asked for each record: let it keep what it has fetched."""

    def current(self) -> int:
        """The number of the key that records are encrypted with from now on."""

    def key(self, number: int) -> EncryptionKey:
        """The key of a number, also of one that is no longer current.  Raises  UnknownEncryptionKey."""


class KeyRing:
    """Keys held in memory.

    KeyRing(secret)                    one key, with the number 0, as in Java
    KeyRing({1: old, 2: new})          new records are encrypted with the key of the highest number
    KeyRing({1: old, 2: new}, current=1)
    """

    __slots__ = ("_current", "_keys")

    def __init__(self, keys: bytes | Mapping[int, bytes | EncryptionKey], *, current: int | None = None) -> None:
        by_number: Mapping[int, bytes | EncryptionKey] = {0: keys} if isinstance(keys, bytes) else keys
        if not isinstance(by_number, Mapping) or not by_number:
            raise WrongType(argument="keys", type=type(keys).__name__, hint="give a secret, or secrets by number")
        self._keys: dict[int, EncryptionKey] = {}
        for number, key in by_number.items():
            if type(number) is not int or number not in KEY_NUMBERS:
                raise UsageError(key_number=number, hint="key numbers are integers of 32 bits")
            self._keys[number] = key if isinstance(key, EncryptionKey) else EncryptionKey(key)
        self._current = max(self._keys) if current is None else current
        if self._current not in self._keys:
            raise UsageError(current=current, known=sorted(self._keys), hint="the current key must be among the keys")

    def current(self) -> int:
        return self._current

    def key(self, number: int) -> EncryptionKey:
        found = self._keys.get(number)
        if found is None:
            raise UnknownEncryptionKey(key_number=number, known=sorted(self._keys))
        return found

    def __repr__(self) -> str:
        return f"<KeyRing of {sorted(self._keys)}, current {self._current}>"


def encrypted(data: bytes, key: EncryptionKey, random_bytes: RandomBytes) -> bytes:
    """The vector and the ciphertext.  Raises  LibraryMissing."""
    vector = random_bytes(_VECTOR)
    if len(vector) != _VECTOR:
        raise UsageError(argument="random_bytes", bytes=len(vector), hint=f"return as many as asked for: {_VECTOR}")
    if key.cipher == AES_CBC:
        gap = _VECTOR - len(data) % _VECTOR
        data += bytes((gap,)) * gap
    encryptor = _cipher(key, vector).encryptor()
    return vector + encryptor.update(data) + encryptor.finalize()


def decrypted(stored: bytes, key: EncryptionKey, number: int) -> bytes:
    """What `encrypted` was given.

    Raises  CorruptRecord if the bytes are damaged, or were encrypted with another key under the same number. One wrong
            key in 256 is noticed later, when the bytes are decompressed or parsed; LibraryMissing.
    """
    padded = key.cipher == AES_CBC
    size = len(stored) - _VECTOR
    if size < 0 or (padded and (size == 0 or size % _VECTOR)):
        raise CorruptRecord(found="an encrypted record of an impossible length", bytes=len(stored), key_number=number)
    decryptor = _cipher(key, stored[:_VECTOR]).decryptor()
    data: bytes = decryptor.update(stored[_VECTOR:]) + decryptor.finalize()
    if not padded:
        return data
    gap = data[-1]
    if not 1 <= gap <= _VECTOR or data[-gap:] != bytes((gap,)) * gap:
        raise CorruptRecord(
            found="bytes that do not decrypt",
            key_number=number,
            hint="the key of this number was another one when the record was written, or the bytes are damaged",
        )
    return data[:-gap]


def _cipher(key: EncryptionKey, vector: bytes) -> Cipher[Any]:
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    except ImportError as error:
        raise LibraryMissing(library="cryptography", hint="pip install 'recordlayer[encryption]'") from error
    mode = modes.CBC(vector) if key.cipher == AES_CBC else modes.CTR(vector)
    return Cipher(algorithms.AES(key.secret), mode)
