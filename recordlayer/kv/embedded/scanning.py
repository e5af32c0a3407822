"""Scans of a tree: pair by pair in C, otherwise in growing batches, which read at most one batch beyond their end."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import chain, islice
from operator import itemgetter
from typing import Any

from recordlayer.core import in_c

KeyValue = tuple[bytes, bytes]

key_of = itemgetter(0)
_FIRST_BATCH, LARGEST_BATCH = 16, 1024


@in_c("forward")
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


def each_forward(cursor: Any, ranges: Iterable[tuple[bytes, bytes]], limit: int) -> list[list[KeyValue]]:
    """`forward` for each of several ranges, most of which are expected to be empty."""
    return [
        forward(cursor, begin, end, limit) if cursor.set_range(begin) and cursor.key() < end else []
        for begin, end in ranges
    ]


@in_c("backward")
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
