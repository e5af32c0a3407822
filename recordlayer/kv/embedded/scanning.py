"""Scans of a tree: pair by pair in C, otherwise in growing batches, which read at most one batch beyond their end."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import Any

from recordlayer.core import in_c

KeyValue = tuple[bytes, bytes]

key_of = itemgetter(0)
_FIRST_BATCH, LARGEST_BATCH = 16, 1024
_METHODS = ("set_range", "first", "last", "prev", "key", "iternext", "iterprev")  # of a cursor, for native/scanning.c


@in_c("forward", *_METHODS)
def forward(cursor: Any, begin: bytes, end: bytes, limit: int) -> list[KeyValue]:
    if not (cursor.set_range(begin) if begin else cursor.first()):
        return []
    if limit == 1:
        row: KeyValue = cursor.item()
        return [row] if row[0] < end else []
    rows: list[KeyValue] = []
    pairs = cursor.iternext()
    batch = _FIRST_BATCH
    while True:
        wanted = min(batch, limit - len(rows))
        part = list(islice(pairs, wanted))
        if not part:
            return rows
        if part[-1][0] >= end:
            rows.extend(part[: bisect_left(part, end, key=key_of)])
            return rows
        rows.extend(part)
        if len(part) < wanted or len(rows) >= limit:
            return rows
        batch = min(batch * 4, LARGEST_BATCH)


@in_c("backward", *_METHODS)
def backward(cursor: Any, begin: bytes, end: bytes, limit: int) -> list[KeyValue]:
    if not (cursor.prev() if cursor.set_range(end) else cursor.last()):
        return []
    if limit == 1:
        row: KeyValue = cursor.item()
        return [row] if row[0] >= begin else []
    rows: list[KeyValue] = []
    pairs = cursor.iterprev()
    batch = _FIRST_BATCH
    while True:
        wanted = min(batch, limit - len(rows))
        part = list(islice(pairs, wanted))
        if not part:
            return rows
        if part[-1][0] < begin:
            rows.extend(row for row in part if row[0] >= begin)
            return rows
        rows.extend(part)
        if len(part) < wanted or len(rows) >= limit:
            return rows
        batch = min(batch * 4, LARGEST_BATCH)


@in_c("each_chunk", *_METHODS)
def each_chunk(
    cursor: Any, ranges: Sequence[tuple[bytes, bytes]], longest: int, limit: int, wanted: int, reverse: bool
) -> list[tuple[list[KeyValue], bool]] | None:
    """The pairs of each range until `limit` of them or `wanted` bytes, and whether that is why they end. None if a
    range begins or ends with an empty key or one above the length `longest`: such do not lie in the tree as they are.

    Most of several ranges are expected to be empty: that a key shows, without the value.
    """
    if not all(0 < len(key) <= longest for each in ranges for key in each):
        return None
    return [_chunk(cursor, begin, end, limit, wanted, reverse) for begin, end in ranges]


def _chunk(
    cursor: Any, begin: bytes, end: bytes, limit: int, wanted: int, reverse: bool
) -> tuple[list[KeyValue], bool]:
    rows: list[KeyValue] = []
    if reverse:
        there = (cursor.prev() if cursor.set_range(end) else cursor.last()) and cursor.key() >= begin
    else:
        there = cursor.set_range(begin) and cursor.key() < end
    if there:
        for row in cursor.iterprev() if reverse else cursor.iternext():
            if row[0] < begin if reverse else row[0] >= end:
                break
            rows.append(row)
            wanted -= len(row[0]) + len(row[1])
            if len(rows) >= limit or wanted <= 0:
                return rows, True
    return rows, False


@in_c("usual_keys")
def usual_keys(keys: Sequence[bytes], longest: int) -> bool:
    """Whether all of these are such as most keys are: bytes, not empty, of this length at most, and below ff."""
    return all(type(key) is bytes and 0 < len(key) <= longest and key < b"\xff" for key in keys)


@in_c("look", "cursor", "abort", "set_range", "key", "item", "next")
def look(begin_transaction: Callable[[Any], Any], tree: Any, begin: bytes, end: bytes, limit: int) -> list[KeyValue]:
    """`forward` for a few pairs, `begin` not empty, in a transaction of its own."""
    transaction = begin_transaction(tree)
    try:
        cursor = transaction.cursor()
        found: list[KeyValue] = []
        there = cursor.set_range(begin)
        while there and cursor.key() < end:
            found.append(cursor.item())
            there = len(found) < limit and cursor.next()
        return found
    finally:
        transaction.abort()


@in_c("bytes_until")
def bytes_until(rows: list[KeyValue], wanted: int) -> tuple[int, int]:
    """Of pairs how many it takes until their bytes are `wanted`, 0 if all of them are less; and the bytes of all."""
    whole = sum(map(len, chain.from_iterable(rows)))
    if whole < wanted:
        return 0, whole
    size = 0
    for count, (key, value) in enumerate(rows, 1):
        size += len(key) + len(value)
        if size >= wanted:
            return count, whole
    return 0, whole
