"""From a record's envelope to the bytes that are stored, and back.

The plain serialiser stores the envelope as it is. Others transform it; readers and writers of a store must agree.

Source  Record Layer, RecordSerializer
"""

from __future__ import annotations

from typing import Protocol


class Serializer(Protocol):
    """Two functions that are each other's inverse."""

    def encode(self, envelope: bytes) -> bytes:
        """The bytes to store."""

    def decode(self, stored: bytes) -> bytes:
        """The envelope in stored bytes.  Raises  CorruptRecord."""


class PlainSerializer:
    """Stores the envelope as it is."""

    __slots__ = ()

    def encode(self, envelope: bytes) -> bytes:
        return envelope

    def decode(self, stored: bytes) -> bytes:
        return stored


PLAIN = PlainSerializer()
