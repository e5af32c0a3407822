"""Compressed records: which ways of compressing there are, and how the bytes say which one it was.

Layout  version of the compression (1 byte), length before compressing (4 bytes, big-endian, not above 2**31 - 1),
        compressed bytes
Source  Record Layer, TransformedRecordSerializer.compress and decompress: version 1 is zlib; no other is known to Java
"""

from __future__ import annotations

import zlib
from typing import Protocol

from recordlayer.errors import CorruptRecord, UsageError, WrongType

HEAD = 5
LARGEST = 256 << 20
"""Bytes of the largest record that is inflated unless a serialiser says otherwise."""

_OURS = range(128, 256)


class Compression(Protocol):
    """A way of compressing. `version` is written in front of what it made."""

    @property
    def version(self) -> int:
        """Its number: 1 for zlib, 128 to 255 for others, which Java cannot read."""

    def compress(self, data: bytes) -> bytes:
        """The compressed bytes."""

    def decompress(self, data: bytes, size: int) -> bytes:
        """What was compressed. It must not make more than `size` + 1 bytes: whoever gets more than `size` refuses them.

        Raises  ValueError for bytes that were not compressed like this.
        """


class Zlib:
    """Java's compression: a zlib stream. `level` is 0 (none) to 9 (smallest, as in Java)."""

    __slots__ = ("level",)
    version = 1

    def __init__(self, level: int = 9) -> None:
        if type(level) is not int or not 0 <= level <= 9:
            raise UsageError(argument="level", value=level, hint="levels are 0 to 9")
        self.level = level

    def compress(self, data: bytes) -> bytes:
        return zlib.compress(data, self.level)

    def decompress(self, data: bytes, size: int) -> bytes:
        stream = zlib.decompressobj()
        try:
            plain = stream.decompress(data, size + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if len(plain) <= size and not stream.eof:
            raise ValueError("the compressed bytes break off")
        if stream.unused_data:
            raise ValueError("something follows the compressed bytes")
        return plain

    def __repr__(self) -> str:
        return f"Zlib(level={self.level})"


ZLIB = Zlib()
_KNOWN: dict[int, Compression] = {ZLIB.version: ZLIB}


def register_compression(compression: Compression) -> None:
    """Have every serialiser read what `compression` has written. Java and other programs cannot, unless they know it.

    Raises  UsageError for a version that is not 128 to 255, or that another compression has.
    """
    version = compression.version
    if version not in _OURS:
        raise UsageError(version=version, hint="versions 128 to 255 are free; those below are Java's")
    if type(_KNOWN.get(version, compression)) is not type(compression):
        raise UsageError(version=version, taken_by=_KNOWN[version], hint="choose another version")
    _KNOWN[version] = compression


def check_registered(compression: Compression) -> None:
    """Raises  WrongType, UsageError if nobody could read what it compresses."""
    if not isinstance(getattr(compression, "version", None), int):
        raise WrongType(argument="compression", value=compression, hint="use ZLIB, Zlib(level), or None for none")
    if type(_KNOWN.get(compression.version)) is not type(compression):
        raise UsageError(compression=compression, hint="call register_compression first, in every program that reads")


def compressed(data: bytes, compression: Compression) -> bytes | None:
    """`data` compressed, with the head; None if that is not shorter. Up to the length of the head it is not tried."""
    size = len(data)
    if size <= HEAD:
        return None
    body = compression.compress(data)
    if len(body) + HEAD >= size:
        return None
    return bytes((compression.version,)) + size.to_bytes(4, "big") + body


def decompressed(stored: bytes, *, largest: int = LARGEST) -> bytes:
    """What `compressed` was given. The length in the head is a claim: memory is taken for what really comes out.

    Raises  CorruptRecord.
    """
    if len(stored) < HEAD:
        raise CorruptRecord(found="a compressed record without its head", bytes=len(stored))
    compression = _KNOWN.get(stored[0])
    if compression is None:
        raise CorruptRecord(
            found="an unknown compression",
            version=stored[0],
            known=sorted(_KNOWN),
            hint="register_compression makes others known; or a newer program wrote the record",
        )
    size = int.from_bytes(stored[1:HEAD], "big", signed=True)
    if size < 0:
        raise CorruptRecord(found="a negative length before compressing", length=size)
    if size > largest:
        raise CorruptRecord(
            found="a length before compressing that is over the limit",
            length=size,
            limit=largest,
            hint="give the serialiser a higher limit if there are such records",
        )
    try:
        plain = compression.decompress(stored[HEAD:], size)
    except ValueError as error:
        raise CorruptRecord(found="bytes that cannot be decompressed", reason=str(error)) from error
    if len(plain) > size:
        raise CorruptRecord(found="more bytes than the length says", length=size)
    if len(plain) < size:
        raise CorruptRecord(found="fewer bytes than the length says", length=size, bytes=len(plain))
    return plain
