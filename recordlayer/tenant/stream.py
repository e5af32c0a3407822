"""The stream that an export writes and an import reads.

Layout  "RLTENANT", the version of the format (1 byte, 1), then frames:
            kind (1), length of the content (4, big-endian), content, digest (16)
        The digest is blake2b over the digest of the frame before (over the first 9 bytes for the first one), kind,
        length and content: a frame that is changed, lost, added or moved is found out.
        1 BEGIN    (stream (16), path in words, what it has: "all" or "changes", since, null) packed as a tuple
        2 PLACE    where the rows that follow are: see `spots`
        3 ROWS     pairs: length of the key (4), length of the value (4), key behind the place, value
        4 RECORDS  records of the place's store that changed, with all primary keys in between: see `changes`
        5 END      (rows, bytes of their keys and values, version) packed as a tuple
        Nothing in it depends on where the tenant was: keys begin behind its path, names are written out.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from recordlayer.errors import StreamDamaged, StreamTooNew, StreamTruncated
from recordlayer.kv.engine import KeyValue

MAGIC = b"RLTENANT"
VERSION = 1
HEAD = MAGIC + bytes((VERSION,))
LONGEST_CONTENT = 64 << 20

_FRAME = struct.Struct(">BI")
_PAIR = struct.Struct(">II")
_DIGEST = 16


class Kind(enum.IntEnum):
    BEGIN = 1
    PLACE = 2
    ROWS = 3
    RECORDS = 4
    END = 5


class Frame(NamedTuple):
    """One frame, where in the stream it ends, and the digest of all up to there."""

    kind: Kind
    content: bytes
    end: int
    digest: bytes


def _digest(before: bytes, head: bytes, content: bytes) -> bytes:
    state = hashlib.blake2b(before, digest_size=_DIGEST)
    state.update(head)
    state.update(content)
    return state.digest()


FIRST_DIGEST = _digest(HEAD, b"", b"")


class Writer:
    """Makes frames. `digest` and `written` are all that going on elsewhere takes."""

    def __init__(self, digest: bytes = FIRST_DIGEST, written: int = len(HEAD)) -> None:
        self.digest = digest
        self.written = written

    def frame(self, kind: Kind, content: bytes) -> bytes:
        head = _FRAME.pack(kind, len(content))
        self.digest = _digest(self.digest, head, content)
        data = head + content + self.digest
        self.written += len(data)
        return data


class Reader:
    """Takes a stream apart, however it comes in pieces."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._begun = False
        self._ended = False
        self.digest = FIRST_DIGEST
        self.read = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now.  Raises  StreamDamaged, StreamTooNew."""
        self._held += data
        held, at = self._held, 0
        if not self._begun:
            if len(held) < len(HEAD):
                return
            if held[: len(MAGIC)] != MAGIC:
                raise StreamDamaged(at=0, found=bytes(held[: len(MAGIC)]), hint="this is no export of a tenant")
            if held[len(MAGIC)] != VERSION:
                raise StreamTooNew(version=held[len(MAGIC)], known=VERSION, hint="use a newer recordlayer")
            self._begun = True
            at = self.read = len(HEAD)
        while len(held) - at >= _FRAME.size:
            kind, length = _FRAME.unpack_from(held, at)
            if length > LONGEST_CONTENT or kind not in Kind.__members__.values():
                raise StreamDamaged(at=self.read, kind=kind, length=length)
            if self._ended:
                raise StreamDamaged(at=self.read, found="something behind its end")
            whole = _FRAME.size + length + _DIGEST
            if len(held) - at < whole:
                break
            content = bytes(held[at + _FRAME.size : at + _FRAME.size + length])
            digest = _digest(self.digest, bytes(held[at : at + _FRAME.size]), content)
            if digest != held[at + whole - _DIGEST : at + whole]:
                raise StreamDamaged(at=self.read, found="a checksum that does not agree")
            self.digest = digest
            self.read += whole
            at += whole
            self._ended = kind == Kind.END
            yield Frame(Kind(kind), content, self.read, digest)
        del held[:at]

    def finish(self) -> None:
        """Nothing follows.  Raises  StreamTruncated, StreamDamaged."""
        if not self._ended:
            raise StreamTruncated(after=self.read + len(self._held))
        if self._held:
            raise StreamDamaged(at=self.read, found="something behind its end")


def rows_as_bytes(rows: Iterable[KeyValue]) -> bytes:
    """Pairs as the content of a frame."""
    parts: list[bytes] = []
    for key, value in rows:
        parts += (_PAIR.pack(len(key), len(value)), key, value)
    return b"".join(parts)


def rows_in(content: bytes) -> list[KeyValue]:
    """The pairs in the content of a frame.  Raises  StreamDamaged."""
    rows: list[KeyValue] = []
    at, size = 0, len(content)
    while at < size:
        if size - at < _PAIR.size:
            raise StreamDamaged(found="half a pair")
        key_size, value_size = _PAIR.unpack_from(content, at)
        at += _PAIR.size
        if size - at < key_size + value_size:
            raise StreamDamaged(found="half a pair")
        rows.append((content[at : at + key_size], content[at + key_size : at + key_size + value_size]))
        at += key_size + value_size
    return rows
