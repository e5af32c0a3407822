"""What a commit sends, in bytes: what `approximate_size` adds up as it comes, after the client has merged it.

A key that is set a thousand times is sent once, and so is a conflict range that was read a thousand times. The size
limit of a transaction is judged by this.

Source  FoundationDB's client 7.3, ReadYourWritesTransaction::writeRangeToNativeTransaction and Transaction::getSize.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from recordlayer.kv.embedded.range_set import Range
from recordlayer.kv.embedded.writes import WriteMap

# What FoundationDB 7.3 counts for a mutation and for a conflict range beside their bytes.
MUTATION_BYTES, RANGE_BYTES = 44, 24


def commit_size(writes: WriteMap, read_keys: Iterable[bytes], read_ranges: Iterable[Range]) -> int:
    """Bytes of mutations and conflict ranges.  Cost  no reads; sorts the transaction's keys."""
    reads = _merged([*map(_alone, read_keys), *read_ranges])
    size = sum(RANGE_BYTES + len(begin) + len(end) for begin, end in reads)
    size += sum(RANGE_BYTES + len(low) + len(high) for low, high in _cut(_merged(_write_conflicts(writes)), writes))
    for key, entry in writes.entries.items():
        if isinstance(entry, list):
            size += sum(MUTATION_BYTES + len(key) + len(operand) for _, operand in entry)
        elif entry is not None:
            size += MUTATION_BYTES + len(key) + len(entry)
    for key, value in writes.stamped_keys:
        size += MUTATION_BYTES + len(key) + len(value)
    return size + sum(MUTATION_BYTES + len(begin) + len(end) for begin, end in _clears(writes))


def _alone(key: bytes) -> Range:
    return key, key + b"\0"


def _merged(ranges: list[Range]) -> Iterator[Range]:
    """Ranges that touch or overlap as one, ascending."""
    ranges.sort()
    begin, end = None, b""
    for low, high in ranges:
        if begin is not None and low <= end:
            end = max(end, high)
            continue
        if begin is not None:
            yield begin, end
        begin, end = low, high
    if begin is not None:
        yield begin, end


def _cut(ranges: Iterable[Range], writes: WriteMap) -> Iterator[Range]:
    """Ranges that begin and end at those that a versionstamped key may become: what they held was sent before."""
    for begin, end in ranges:
        at = begin
        for low, high in writes.unreadable_ranges.overlapping(begin, end):
            if at < low:
                yield at, low
            yield low, high
            at = high
        if at < end:
            yield at, end


def _write_conflicts(writes: WriteMap) -> list[Range]:
    loud = [_alone(key) for key in writes.entries if key not in writes.silent]
    loud += writes.conflicts
    for begin, end in writes.cleared:
        at = begin
        for low, high in writes.silent_ranges.overlapping(begin, end):
            if at < low:
                loud.append((at, low))
            at = high
        if at < end:
            loud.append((at, end))
    return loud


def _clears(writes: WriteMap) -> Iterator[Range]:
    """The ranges that are cleared: a key that is written inside of one splits it."""
    single = [_alone(key) for key, entry in writes.entries.items() if entry is None]
    for begin, end in _cut(_merged([*writes.cleared, *single]), writes):
        at = begin
        for key in writes.keys_in(begin, end):
            if writes.entries[key] is not None:
                if at < key:
                    yield at, key
                at = key + b"\0"
        if at < end:
            yield at, end
