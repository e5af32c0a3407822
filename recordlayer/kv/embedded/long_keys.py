"""Keys longer than LMDB takes, kept in order.

LMDB's keys have 1 to 511 bytes, FoundationDB's 0 to 10,000. A key of up to 510 bytes is stored as it is. A longer one
shares, with all others that begin with the same 510 bytes, one *marker* in the data tree: those 510 bytes and `00`,
whose value is the number of a *bucket*. In a second tree the bucket's keys are the number (8 bytes) and the next 500
bytes; what is longer still has a marker there (number, 500 bytes, `00`) that leads to another bucket, and so on.

A marker sorts directly behind the key that is its first 510 bytes and before everything else, so scans expand it in
place. A write touches one tree path per 500 bytes of its own key, however many keys share the prefix.

Layout  data  key[:510] 00                          -> bucket, 8 bytes big endian
        long  bucket | part (up to 500 bytes)       -> value
        long  bucket | part (500 bytes) 00          -> bucket of what follows
        long  00 00 00 00 00 00 00 00               -> highest bucket number ever given out
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

HEAD = 510
PART = 500
ID = 8
NESTED = ID + PART + 1  # length of a marker in the long tree
MARKER = HEAD + 1  # length of a marker in the data tree
_COUNTER = bytes(ID)  # bucket 0 holds one key: its own number, whose value is the highest bucket ever given out

KeyValue = tuple[bytes, bytes]


def _parts(key: bytes) -> list[bytes]:
    """What follows the head, in pieces of PART bytes; the last piece has 1 to PART bytes."""
    return [key[i : i + PART] for i in range(HEAD, len(key), PART)]


class LongKeys:
    """The second tree. Every method takes the LMDB transaction it works in."""

    def __init__(self, data: Any, tree: Any) -> None:
        self._data = data
        self._tree = tree

    def get(self, txn: Any, key: bytes) -> bytes | None:
        bucket = txn.get(key[:HEAD] + b"\0", None, self._data)
        if bucket is None:
            return None
        parts = _parts(key)
        for part in parts[:-1]:
            bucket = txn.get(bucket + part + b"\0", None, self._tree)
            if bucket is None:
                return None
        value: bytes | None = txn.get(bucket + parts[-1], None, self._tree)
        return value

    def put(self, txn: Any, key: bytes, value: bytes) -> bytes | None:
        """Store a pair; the value that was there before."""
        bucket = self._enter(txn, key[:HEAD] + b"\0", self._data)
        parts = _parts(key)
        for part in parts[:-1]:
            bucket = self._enter(txn, bucket + part + b"\0", self._tree)
        old: bytes | None = txn.replace(bucket + parts[-1], value, self._tree)
        return old

    def pop(self, txn: Any, key: bytes) -> bytes | None:
        """Remove a key; the value that was there. Buckets that became empty go, with their markers."""
        markers: list[tuple[bytes, Any, bytes]] = []
        marker, tree = key[:HEAD] + b"\0", self._data
        parts = _parts(key)
        for part in parts:
            bucket = txn.get(marker, None, tree)
            if bucket is None:
                return None
            markers.append((marker, tree, bucket))
            marker, tree = bucket + part + b"\0", self._tree
        bucket = markers[-1][2]
        old: bytes | None = txn.pop(bucket + parts[-1], self._tree)
        if old is None:
            return None
        for marker, tree, bucket in reversed(markers):
            with txn.cursor(self._tree) as cursor:
                if cursor.set_range(bucket) and cursor.key().startswith(bucket):
                    break
            txn.delete(marker, db=tree)
        return old

    def expand(
        self, txn: Any, head: bytes, bucket: bytes, begin: bytes, end: bytes | None, *, reverse: bool
    ) -> Iterator[KeyValue]:
        """The pairs of one bucket, whose keys all begin with `head`, that lie in [begin, end); None is no end."""
        low = _suffix(begin, head)
        if low is None:
            return
        first, last = bucket + low[:PART], None
        if end is not None:
            if end <= head:
                return
            if end.startswith(head):
                last = bucket + end[len(head) :][:PART]
        with txn.cursor(self._tree) as cursor:
            rows = self._backward(cursor, bucket, first, last) if reverse else self._forward(cursor, bucket, first)
            for key, value in rows:
                if len(key) == NESTED:
                    inner = head + key[ID:-1]
                    yield from self.expand(txn, inner, value, begin, end, reverse=reverse)
                    continue
                whole = head + key[ID:]
                if end is not None and whole >= end:
                    if reverse:
                        continue
                    return
                if whole < begin:
                    if reverse:
                        return
                    continue
                yield whole, value

    def _forward(self, cursor: Any, bucket: bytes, first: bytes) -> Iterator[KeyValue]:
        found = cursor.set_range(first)
        while found:
            key, value = cursor.item()
            if not key.startswith(bucket):
                return
            yield key, value
            found = cursor.next()

    def _backward(self, cursor: Any, bucket: bytes, first: bytes, last: bytes | None) -> Iterator[KeyValue]:
        # Behind `last` itself only its own marker can matter, and that sorts directly after it.
        ceiling = after(bucket) if last is None else last + b"\0\0"
        found = cursor.set_range(ceiling)
        found = cursor.prev() if found else cursor.last()
        while found:
            key, value = cursor.item()
            if key < first or not key.startswith(bucket):
                return
            yield key, value
            found = cursor.prev()

    def _enter(self, txn: Any, marker: bytes, tree: Any) -> bytes:
        bucket: bytes | None = txn.get(marker, None, tree)
        if bucket is None:
            highest = txn.get(_COUNTER, None, self._tree)
            bucket = (int.from_bytes(highest or b"", "big") + 1).to_bytes(ID, "big")
            txn.put(_COUNTER, bucket, db=self._tree)
            txn.put(marker, bucket, db=tree)
        return bucket


def _suffix(begin: bytes, head: bytes) -> bytes | None:
    """What of `begin` bounds keys that start with `head`: nothing, a rest, or None if they all lie below it."""
    if begin.startswith(head):
        return begin[len(head) :]
    return b"" if begin < head else None


def after(bucket: bytes) -> bytes:
    """The number of the next bucket."""
    return (int.from_bytes(bucket, "big") + 1).to_bytes(ID, "big")
