"""One write transaction on the base."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import lmdb

from recordlayer.kv.embedded.full_scan import EMPTY, every_kind
from recordlayer.kv.embedded.long_keys import HEAD
from recordlayer.kv.embedded.scanning import LARGEST_BATCH, KeyValue

if TYPE_CHECKING:
    from recordlayer.kv.embedded.base import Base

VERSION = b"version"
"""In the tree `meta`: the version of the last commit."""


class BaseWrite:
    """One write transaction on the base: every change returns what it replaced. Ends in `commit` or `abort`."""

    def __init__(self, base: Base, txn: Any) -> None:
        self._base = base
        self._txn = txn
        self._data = base.data
        self._meta = base.meta
        self._long = base.long
        self.committing = False  # whether LMDB's own commit has begun

    @property
    def in_data(self) -> tuple[Any, Any, Any, Any]:
        """What `put`, `pop` and `get` do with keys of usual length: LMDB's `replace` and `pop`, the tree for them, and
        its `get`."""
        txn = self._txn
        return txn.replace, txn.pop, self._data, txn.get

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None
        if 0 < len(key) <= HEAD:
            value = self._txn.get(key, None, self._data)
        elif key:
            value = self._long.get(self._txn, key)
        else:
            value = self._txn.get(EMPTY, None, self._meta)
        return value

    def put(self, key: bytes, value: bytes) -> bytes | None:
        """Set a key; the value it had."""
        old: bytes | None
        if 0 < len(key) <= HEAD:
            old = self._txn.replace(key, value, self._data)
        elif key:
            old = self._long.put(self._txn, key, value)
            self._base.has_long = True
        else:
            old = self._txn.replace(EMPTY, value, self._meta)
            self._base.has_empty = True
        return old

    def pop(self, key: bytes) -> bytes | None:
        """Clear a key; the value it had."""
        old: bytes | None
        if 0 < len(key) <= HEAD:
            old = self._txn.pop(key, self._data)
        elif key:
            old = self._long.pop(self._txn, key) if self._base.has_long else None
        else:
            old = self._txn.pop(EMPTY, self._meta)
        return old

    def pop_range(self, begin: bytes, end: bytes) -> Iterator[KeyValue]:
        """Clear [begin, end); the pairs that were there, in order. Consume it entirely."""
        if self._base.has_long or self._base.has_empty or len(begin) > HEAD or len(end) > HEAD:
            while rows := list(islice(every_kind(self._base, self._txn, begin, end, reverse=False), LARGEST_BATCH)):
                for key, value in rows:
                    self.pop(key)
                    yield key, value
            return
        with self._txn.cursor(self._data) as cursor:
            found = cursor.set_range(begin) if begin else cursor.first()
            while found:
                key, value = cursor.item()
                if key >= end:
                    return
                cursor.delete()  # moves to the next key
                yield key, value
                found = cursor.key() != b""

    def commit(self, version: int) -> None:
        """Make the changes the newest state, on disk if the base is durable."""
        self._txn.put(VERSION, version.to_bytes(8, "big"), db=self._meta)
        self.committing = True
        self._txn.commit()
        self._base.version = version

    def abort(self) -> None:
        """Drop the changes. Also after a commit, failed or not, which has ended the LMDB transaction already."""
        with suppress(lmdb.Error):
            self._txn.abort()
