"""Reading a chunk of a range, and which keys that read depends on.

Source  ReadYourWritesTransaction of FoundationDB's client 7.3 (getRange, addConflictRange): a chunk that ended at its
        limit depends on nothing behind its last pair.
"""

from __future__ import annotations

from collections.abc import Callable

from recordlayer.errors import ExactModeWithoutLimits, InvalidOperation, RangeLimitsInvalid
from recordlayer.kv.embedded.scanning import KeyValue, bytes_until
from recordlayer.kv.embedded.view import Snapshot, View, find
from recordlayer.kv.engine import Chunk, KeySelector, StreamingMode

_UNLIMITED = 1 << 40
_MODE_BYTES = {
    StreamingMode.WANT_ALL: 1 << 20,
    StreamingMode.EXACT: _UNLIMITED,
    StreamingMode.SMALL: 4 << 10,
    StreamingMode.MEDIUM: 32 << 10,
    StreamingMode.LARGE: 256 << 10,
    StreamingMode.SERIAL: 1 << 20,
}
_ITERATOR_FIRST, _ITERATOR_MOST = 4 << 10, 256 << 10
_FIRST_ROWS, _MOST_ROWS = 64, 4096
_MANY, _FIRST_OF_MANY = 256 << 10, 128

Range = tuple[bytes, bytes]


def read_chunk(
    reader: Callable[[], Snapshot | View],
    begin: KeySelector,
    end: KeySelector,
    *,
    end_of_keys: bytes,
    limit: int,
    target_bytes: int,
    reverse: bool,
    mode: StreamingMode,
    iteration: int,
) -> tuple[Chunk, Range | None]:
    """A chunk, and the range that it depends on. The selectors are in the form without `or_equal`.

    Raises  RangeLimitsInvalid, ExactModeWithoutLimits, InvalidOperation, and what reading raises.
    """
    if limit < 0 or target_bytes < 0:
        raise RangeLimitsInvalid(limit=limit, target_bytes=target_bytes, hint="0 is no limit; none may be negative")
    if mode == StreamingMode.EXACT and not limit and not target_bytes:
        raise ExactModeWithoutLimits
    wanted = bytes_wanted(mode, iteration)
    if target_bytes:
        wanted = min(wanted, target_bytes)
    if begin.offset >= end.offset and begin.key >= end.key:
        return Chunk([], False), None
    view = reader()
    plain = begin.offset == 1 and end.offset == 1
    off_begin = off_end = False
    if plain:
        low, high = begin.key, min(end.key, end_of_keys)
    elif isinstance(view, View) and (known := view.known_bounds(begin, end, end_of_keys)) is not None:
        low, high = known
    else:
        first, last = find(view, begin, end_of_keys), find(view, end, end_of_keys)
        low, high = first.key, last.key
        off_begin, off_end = first.off_begin or last.off_begin, first.off_end or last.off_end
    rows, more = rows_until(view, low, high, limit, wanted, reverse=reverse)
    chunk = Chunk(rows, more)
    if plain and not more:
        return chunk, (begin.key, end.key)
    if plain:
        return chunk, ((rows[-1][0], end.key) if reverse else (begin.key, rows[-1][0] + b"\0"))
    conflict = _reverse_conflict if reverse else _forward_conflict
    return chunk, conflict(begin, end, chunk, off_begin, off_end, end_of_keys)


def bytes_wanted(mode: StreamingMode, iteration: int) -> int:
    """How many bytes make a chunk.  Raises  InvalidOperation."""
    if mode == StreamingMode.ITERATOR:
        if iteration < 1:
            raise InvalidOperation(iteration=iteration, hint="the first chunk of a range is iteration 1")
        return int(min(_ITERATOR_FIRST << 2 * min(iteration - 1, 10), _ITERATOR_MOST))
    try:
        return _MODE_BYTES[mode]
    except KeyError:
        raise InvalidOperation(mode=mode, hint="pass a StreamingMode") from None


def rows_until(
    view: Snapshot | View, low: bytes, high: bytes, limit: int, wanted: int, *, reverse: bool
) -> tuple[list[KeyValue], bool]:
    """Pairs until `limit` of them (0: any number) or `wanted` bytes, and whether that is why they end."""
    rows: list[KeyValue] = []
    size = 0
    step = _FIRST_ROWS if wanted < _MANY else _FIRST_OF_MANY
    limit = limit or _UNLIMITED
    while low < high:
        part = view.rows(low, high, min(step, limit - len(rows)), reverse=reverse)
        enough, whole = bytes_until(part, wanted - size)
        if enough:
            return rows + part[:enough], True
        size += whole
        rows = rows + part if rows else part
        if len(rows) >= limit:
            return rows, True
        if len(part) < step:
            return rows, False
        if reverse:
            high = part[-1][0]
        else:
            low = part[-1][0] + b"\0"
        average = max(size // len(rows), 1)
        step = min(_MOST_ROWS, max(_FIRST_ROWS, (wanted - size) // average + 1))
    return rows, False


def _forward_conflict(
    begin: KeySelector, end: KeySelector, chunk: Chunk, off_begin: bool, off_end: bool, end_of_keys: bytes
) -> Range:
    rows = chunk.rows
    if begin.key < end.key:
        low, high = begin.key, (begin.key if end.offset > 0 and chunk.more else end.key)
    else:
        low, high = end.key, begin.key
    if off_begin and begin.offset <= 0:
        low = b""
    if off_end and end.offset > 0 and not chunk.more:
        high = end_of_keys
    if rows:
        if begin.offset <= 0:
            low = min(low, rows[0][0])
        if high <= rows[-1][0]:
            high = rows[-1][0] + b"\0"
    return low, high


def _reverse_conflict(
    begin: KeySelector, end: KeySelector, chunk: Chunk, off_begin: bool, off_end: bool, end_of_keys: bytes
) -> Range:
    rows = chunk.rows
    if begin.key < end.key:
        low, high = (end.key if begin.offset <= 1 and chunk.more else begin.key), end.key
    else:
        low, high = end.key, begin.key
    if off_begin and begin.offset <= 0 and not chunk.more:
        low = b""
    if off_end and end.offset > 0:
        high = end_of_keys
    if rows:
        low = min(low, rows[-1][0])
        if end.offset > 0 and high <= rows[0][0]:
            high = rows[0][0] + b"\0"
    return low, high


def selector_conflict(selector: KeySelector, found: bytes) -> Range:
    """What resolving a selector depends on: the keys between its own and the one it found."""
    if selector.offset <= 0:
        return found, selector.key
    return selector.key, found + b"\0"
