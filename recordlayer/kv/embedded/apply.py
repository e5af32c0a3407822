"""Applying one transaction's writes to the base, and noting what they replace.

The order is the write map's: cleared ranges, then keys in order (neighbours share pages), then versionstamped keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recordlayer.core import in_c
from recordlayer.kv.embedded.atomic import add
from recordlayer.kv.embedded.base_write import BaseWrite
from recordlayer.kv.embedded.commit_request import CommitRequest
from recordlayer.kv.embedded.long_keys import HEAD
from recordlayer.kv.embedded.range_set import RangeSet
from recordlayer.kv.embedded.window import Pending
from recordlayer.kv.embedded.writes import WriteEntry, stamped
from recordlayer.kv.engine import MutationType


def apply(writing: BaseWrite, request: CommitRequest, pending: Pending) -> None:
    """Put one transaction's writes into the base, noting in `pending` what they replace and where they conflict."""
    writes, undo, silent = request.writes, pending.undo, pending.silent
    quiet = writes.silent
    size = 0
    if writes.cleared.starts:
        loud = RangeSet()
        for begin, end in writes.cleared:
            for key, cleared in writing.pop_range(begin, end):
                if key not in undo:
                    undo[key] = cleared
                    size += len(key) + len(cleared)
                    silent.add(key)  # a range counts for conflicts as a range
            loud.add(begin, end)
        for begin, end in writes.silent_ranges:
            loud.remove(begin, end)
        for begin, end in loud:
            pending.ranges = pending.ranges.including(begin, end)
    if writes.conflicts.starts:
        for begin, end in writes.conflicts:
            pending.ranges = pending.ranges.including(begin, end)
    put, pop, entries = writing.put, writing.pop, writes.entries
    keys = writes.sorted_keys()  # neighbours share pages
    if not (undo or quiet or silent):
        # The usual case, in as few steps as it can be: one transaction, of writes that all conflict.

        def resolved(key: bytes, entry: WriteEntry) -> bytes | None:
            return writes.resolve(entry, writing.get(key), request.stamp)

        size += replace_each(keys, entries, undo, writing.in_data, (put, pop), resolved)
        keys = []
    for key in keys:
        entry = entries[key]
        value = writes.resolve(entry, writing.get(key), request.stamp) if isinstance(entry, list) else entry
        old = put(key, value) if value is not None else pop(key)
        if key not in undo:
            undo[key] = old
            size += len(key) + (len(old) if old is not None else 0)
            if key in quiet:
                silent.add(key)
        elif silent and key not in quiet:
            silent.discard(key)
    for operand, stamped_value in writes.stamped_keys:
        key = stamped(operand, request.stamp)
        old = put(key, stamped_value)
        if key not in undo:
            undo[key] = old
            size += len(key)
        silent.discard(key)
    pending.size += size


@in_c("replace_each", HEAD, MutationType.ADD)
def replace_each(
    keys: list[bytes],
    entries: dict[bytes, WriteEntry],
    undo: dict[bytes, bytes | None],
    tree: tuple[Callable[..., Any], Callable[..., Any], Any, Callable[..., Any]],
    rest: tuple[Callable[[bytes, bytes], bytes | None], Callable[[bytes], bytes | None]],
    resolved: Callable[[bytes, WriteEntry], bytes | None],
) -> int:
    """Put the entries of these keys into the base and what they replace into `undo`: the bytes of that.

    tree      LMDB's `replace` and `pop`, the tree for them, and LMDB's `get`: for keys of usual length
    rest      `put` and `pop` for all others
    resolved  the value that a stack of operations gives; one that only adds is looked after here
    """
    replace, remove, data, get = tree
    put, pop = rest
    size = 0
    for key in keys:
        entry = entries[key]
        usual = 0 < len(key) <= HEAD
        if not isinstance(entry, list):
            value = entry
        elif usual and len(entry) == 1 and entry[0][0] is MutationType.ADD:
            value = add(get(key, None, data), entry[0][1])
        else:
            value = resolved(key, entry)
        if value is None:
            undo[key] = old = remove(key, data) if usual else pop(key)
        else:
            undo[key] = old = replace(key, value, data) if usual else put(key, value)
        size += len(key) if old is None else len(key) + len(old)
    return size
