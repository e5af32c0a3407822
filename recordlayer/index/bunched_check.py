"""Looking after the bunched maps of an index: whether they are built as they must be; putting sparse bunches together.

Cost  1 range read a chunk
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from recordlayer.cursor.scan import TURN
from recordlayer.errors import CorruptIndexEntry, MalformedTuple
from recordlayer.index.bunched import MAX_VALUE, bunch_bytes, bunch_of, entry_bytes
from recordlayer.index.text_entry import TextLayout
from recordlayer.kv.context import Context
from recordlayer.tuples import unpack
from recordlayer.waiting.waitable import Turn

Pair = tuple[bytes, bytes]

OUT_OF_ORDER = "a bunch is out of order"

_HELD = 256
"""Pairs of one map that are looked at together."""


def look_at(
    layout: TextLayout, rows: Iterable[Pair], bunch_size: int
) -> tuple[list[tuple[bytes, str, Any]], dict[bytes, bytes]]:
    """What is wrong with how some neighbouring bunches are built, by their keys; and for each entry, as prefix of its
    map + map key, the key of the bunch that has it."""
    wrong: list[tuple[bytes, str, Any]] = []
    entries: dict[bytes, bytes] = {}
    last = b""
    for key, value in rows:
        try:
            length = layout.map_length(key)
            keys, _ = bunch_of(key[length:], value)
            items = unpack(key, len(layout.prefix))
        except (MalformedTuple, CorruptIndexEntry) as error:
            wrong.append((key, "a bunch cannot be read", (key, str(error))))
            continue
        if keys != sorted(set(keys)) or key <= last:
            wrong.append((key, OUT_OF_ORDER, items))
        if len(keys) > bunch_size:
            wrong.append((key, "a bunch has too many entries", (items, len(keys))))
        last = key[:length] + keys[-1]
        entries.update(dict.fromkeys([key[:length] + one for one in keys], key))
    return wrong, entries


async def rebunch(
    context: Context, layout: TextLayout, bunch_size: int, *, limit: int = 0, resume: bytes | None = None
) -> bytes | None:
    """Write the bunches of all maps anew, as full as they may be; those that are the same already are left alone.

    limit   about how many pairs to read, at least 2; 0 for all
    resume  what an earlier call gave

    Gives where to go on, None at the end. Other writers conflict only with what is changed.
    """
    end = layout.prefix + b"\xff"
    begin = layout.prefix if resume is None else layout.prefix + resume
    left = max(limit, 2) if limit else 0
    iteration, read = 0, 0
    held: list[Pair] = []  # neighbours of one map
    prefix = b""
    while True:
        iteration += 1
        chunk = await context.get_range(begin, end, limit=left, snapshot=True, iteration=iteration)
        context.counters.rows_read += len(chunk.rows)
        for row in chunk.rows:
            if len(held) >= _HELD or not prefix or not row[0].startswith(prefix):
                _rewrite(context, layout, prefix, held, bunch_size)
                held, prefix = [], row[0][: layout.map_length(row[0])]
            held.append(row)
        if left:
            left = max(left - len(chunk.rows), 0)
        if not chunk.more or not chunk.rows or (limit and not left):
            place = _rewrite(context, layout, prefix, held, bunch_size)
            return place if chunk.more and chunk.rows else None
        begin = chunk.rows[-1][0] + b"\x00"
        read += len(chunk.rows)
        if read >= TURN:
            read = 0
            await Turn()


def _rewrite(context: Context, layout: TextLayout, prefix: bytes, held: list[Pair], bunch_size: int) -> bytes | None:
    """Write what these pairs of one map hold as full bunches. Where to go on behind them."""
    if not held:
        return None
    keys: list[bytes] = []
    values: list[bytes] = []
    for key, value in held:
        found = bunch_of(key[len(prefix) :], value)
        if keys and found[0][0] <= keys[-1]:
            raise CorruptIndexEntry(index=layout.entries.index_name, key=key, found="bunches out of order")
        keys += found[0]
        values += found[1]
    made, last_size = _bunched(prefix, keys, values, bunch_size)
    same = 0
    while same < min(len(held), len(made)) and held[same] == made[same]:
        same += 1
    gone, come = held[same:], made[same:]
    while gone and come and gone[-1] == come[-1]:
        del gone[-1], come[-1]
    if gone:
        # Nobody may change what is written anew here, nor put anything between bunches that become one.
        behind = bunch_of(gone[-1][0][len(prefix) :], gone[-1][1])[0][-1]
        context.add_read_conflict_range(gone[0][0], prefix + behind + b"\x00")
        context.add_write_conflict_range(gone[0][0], gone[-1][0] + b"\x00")
        for key, _ in gone:
            context.clear(key)
        for key, value in come:
            context.set(key, value)
    place = made[-1][0] if last_size < bunch_size else made[-1][0] + b"\x00"
    return place[len(layout.prefix) :]


def _bunched(prefix: bytes, keys: list[bytes], values: list[bytes], bunch_size: int) -> tuple[list[Pair], int]:
    """The pairs of a map with these entries, and how many entries the last has."""
    made: list[Pair] = []
    first = size = 0
    for place, (key, value) in enumerate(zip(keys, values, strict=True)):
        added = len(entry_bytes(key, value))
        if place > first and (place - first == bunch_size or size + added > MAX_VALUE):
            made.append((prefix + keys[first], bunch_bytes(keys[first:place], values[first:place])))
            first, size = place, 0
        size += added
    made.append((prefix + keys[first], bunch_bytes(keys[first:], values[first:])))
    return made, len(keys) - first
