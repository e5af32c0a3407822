"""Scans of a file that has keys of every kind: the empty one, which LMDB has no place for, and long ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from recordlayer.kv.embedded.long_keys import HEAD, MARKER
from recordlayer.kv.embedded.scanning import KeyValue

if TYPE_CHECKING:
    from recordlayer.kv.embedded.base import Base

EMPTY = b"empty"
"""In the tree `meta`: the value of the empty key."""


def every_kind(base: Base, txn: Any, begin: bytes, end: bytes, *, reverse: bool) -> Iterator[KeyValue]:
    """The scan of a file that has the empty key or long keys: row by row, expanding markers."""
    empty = txn.get(EMPTY, None, base.meta) if begin == b"" < end else None
    if empty is not None and not reverse:
        yield b"", empty
    # A bound beyond the head lies inside the marker's bucket: seek to the marker, and past it at the other end.
    low = begin if len(begin) <= HEAD else begin[:HEAD] + b"\0"
    high = end if len(end) <= HEAD else end[:HEAD] + b"\1"
    with txn.cursor(base.data) as cursor:
        if reverse:
            found = cursor.set_range(high) if high else False
            found = cursor.prev() if found else cursor.last()
        else:
            found = cursor.set_range(low) if low else cursor.first()
        while found:
            key, value = cursor.item()
            if key < low or key >= high:
                break
            if len(key) == MARKER:
                yield from base.long.expand(txn, key[:HEAD], value, begin, end, reverse=reverse)
            elif begin <= key < end:
                yield key, value
            found = cursor.prev() if reverse else cursor.next()
    if empty is not None and reverse:
        yield b"", empty
