"""One version of the database, as a transaction sees it: the base, the undo window over it, its own writes over both.

Every read looks at the base first, then at the window, then checks that its version is still readable; in that order,
so that no commit or pruning in between can show it anything but its own version.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from recordlayer.errors import OperationFailed, TooOld, Unreadable
from recordlayer.kv.embedded.base import Base
from recordlayer.kv.embedded.readers import Readers
from recordlayer.kv.embedded.scanning import KeyValue
from recordlayer.kv.embedded.window import UndoWindow
from recordlayer.kv.embedded.writes import Stack, WriteMap
from recordlayer.kv.engine import KeySelector, MutationType

_MOST_ROWS = 1 << 40
_FEW = 64
_SELECTOR_STEP = 4096  # keys looked at together while a selector walks


@dataclass(frozen=True, slots=True)
class Found:
    """Where a key selector led: the key, or an end of the keys when it fell off."""

    key: bytes
    off_begin: bool = False
    off_end: bool = False


class Snapshot:
    """The database at one version."""

    __slots__ = ("_base", "_readers", "_window", "version")

    def __init__(self, base: Base, window: UndoWindow, readers: Readers, version: int) -> None:
        self._base = base
        self._window = window
        self._readers = readers
        self.version = version

    def get(self, key: bytes) -> bytes | None:
        """Raises  TooOld."""
        window = self._window
        value = self._base.get(key)
        if window.pending is not None or window.newest > self.version:  # `changed_since`
            value = window.value_at(key, self.version, value)
        if self.version not in self._readers.cells:  # `reads`
            raise TooOld(read_version=self.version)
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Raises  TooOld."""
        window = self._window
        values = self._base.get_many(keys)
        if window.changed_since(self.version):
            version = self.version
            values = [window.value_at(key, version, value) for key, value in zip(keys, values, strict=True)]
        if not self._readers.reads(self.version):
            raise TooOld(read_version=self.version)
        return values

    def chunks(
        self, ranges: Sequence[tuple[bytes, bytes]], limit: int, wanted: int, reverse: bool
    ) -> list[tuple[list[KeyValue], bool]] | None:
        """The pairs of each range until `limit` of them or `wanted` bytes, and whether that is why they end; in one
        look at the file. None where that does not show this version: then they are read one by one.

        Raises  TooOld.
        """
        found = self._base.chunks(ranges, limit, wanted, reverse)
        window = self._window
        if found is None or window.pending is not None or window.newest > self.version:  # `changed_since`
            return None
        if self.version not in self._readers.cells:  # `reads`
            raise TooOld(read_version=self.version)
        return found

    def rows(self, begin: bytes, end: bytes, limit: int, *, reverse: bool = False) -> list[KeyValue]:
        """Up to `limit` pairs of [begin, end); fewer means that there are no more.  Raises  TooOld."""
        base, window = self._base, self._window
        part = base.scan(begin, end, limit, reverse=reverse)
        if window.pending is None and window.newest <= self.version:  # not `changed_since`: the usual case
            if self.version not in self._readers.cells:  # `reads`
                raise TooOld(read_version=self.version)
            return part
        found: list[KeyValue] = []
        while begin < end:
            complete = len(part) < limit - len(found)
            if complete:
                low, high = begin, end
            elif reverse:
                low, high = part[-1][0], end
            else:
                low, high = begin, part[-1][0] + b"\0"
            if window.changed_since(self.version):
                changes = window.changes(low, high, self.version)
                if changes:
                    part = _overlaid(part, changes, reverse=reverse)
            found = part if not found else found + part
            if complete or len(found) >= limit:
                break
            begin, end = (begin, low) if reverse else (high, end)
            part = base.scan(begin, end, limit - len(found), reverse=reverse)
        if not self._readers.reads(self.version):
            raise TooOld(read_version=self.version)
        return found[:limit]


class Source(Protocol):
    """Where a view gets the database from, when it needs it."""

    @property
    def taken(self) -> bool:
        """Whether the version to read at is fixed already."""

    def database(self) -> Snapshot: ...


class View:
    """A snapshot with a transaction's own writes over it. What those decide alone is answered without the database."""

    __slots__ = ("_bypass_unreadable", "_source", "_writes")

    def __init__(self, source: Source, writes: WriteMap, *, bypass_unreadable: bool) -> None:
        self._source = source
        self._writes = writes
        self._bypass_unreadable = bypass_unreadable

    def get(self, key: bytes) -> bytes | None:
        """Raises  TooOld, Unreadable."""
        writes = self._writes
        if not self._bypass_unreadable and writes.is_unreadable(key):
            raise Unreadable(key=key)
        if key in writes.entries:
            entry = writes.entries[key]
            if not isinstance(entry, list):
                return entry
            if self._bypass_unreadable:
                _refuse_operations_on_stamps(key, entry)
            stored = None if writes.independent(key) else self._source.database().get(key)
            return writes.resolve(entry, stored)
        if writes.cleared and writes.cleared.covers(key):
            return None
        return self._source.database().get(key)

    def rows(self, begin: bytes, end: bytes, limit: int, *, reverse: bool = False) -> list[KeyValue]:
        """Up to `limit` pairs of [begin, end); fewer means that there are no more.  Raises  TooOld, Unreadable."""
        writes = self._writes
        usual = not (writes.cleared.starts or writes.unreadable or writes.unreadable_ranges.starts)
        if usual and limit <= _FEW and self._source.taken:
            return self._few(begin, end, limit, reverse=reverse)
        first, last = begin, end
        found: list[KeyValue] = []
        if not self._source.taken:
            found, begin, end = self._own(begin, end, limit, reverse=reverse)
            if len(found) < limit:  # what is unreadable before the database is needed leaves the version untaken
                self._refuse_unreadable(*((end, last) if reverse else (first, begin)))
                if begin < end and self._writes.unreadable_ranges.touches(end if reverse else begin, before=reverse):
                    raise Unreadable(begin=begin, end=end)
        while begin < end and len(found) < limit:
            wanted = limit - len(found)
            part = self._source.database().rows(begin, end, wanted, reverse=reverse)
            complete = len(part) < wanted
            if complete:
                low, high = begin, end
            elif reverse:
                low, high = part[-1][0], end
            else:
                low, high = begin, part[-1][0] + b"\0"
            found += self._written(part, low, high, reverse=reverse)
            if complete:
                break
            begin, end = (begin, low) if reverse else (high, end)
        if len(found) >= limit:
            found = found[:limit]
            if found and reverse:
                first = found[-1][0]
            elif found:
                last = found[-1][0] + b"\0"
        self._refuse_unreadable(first, last)  # the option to bypass is one of single keys
        return found

    def _few(self, begin: bytes, end: bytes, limit: int, *, reverse: bool) -> list[KeyValue]:
        """The same in few steps, for a transaction that has cleared no range and can read all that it wrote."""
        writes = self._writes
        found: list[KeyValue] = []
        while begin < end:
            wanted = limit - len(found)
            part = self._source.database().rows(begin, end, wanted, reverse=reverse)
            complete = len(part) < wanted
            low, high = begin, end
            if not complete and reverse:
                low = part[-1][0]
            elif not complete:
                high = part[-1][0] + b"\0"
            keys = writes.keys_in(low, high)
            if keys:
                part = _laid_over(part, reversed(keys) if reverse else keys, writes, wanted, reverse=reverse)
            found = found + part if found else part
            if complete or len(found) >= limit:
                break
            begin, end = (begin, low) if reverse else (high, end)
        return found

    def known_bounds(self, begin: KeySelector, end: KeySelector, end_of_keys: bytes) -> tuple[bytes, bytes] | None:
        """The keys that two selectors (in the form without `or_equal`) mean, if the writes alone decide them, or show
        that nothing lies between them; None otherwise.

        Only asked of a transaction without a version yet: it need not take one for that.
        """
        writes = self._writes
        if self._source.taken or not (writes.entries or writes.cleared):
            return None
        if writes.unreadable or writes.unreadable_ranges:
            return None
        low, high = self._walked(begin, end_of_keys), self._walked(end, end_of_keys)
        if low.offset >= high.offset and low.key >= high.key:
            return b"", b""
        if low.offset == high.offset == 1 and low.key and high.key < end_of_keys:
            return low.key, high.key
        return None

    def _walked(self, selector: KeySelector, end_of_keys: bytes) -> KeySelector:
        """The selector, moved towards the key that it means for as long as the writes decide what comes next."""
        key, _, offset = selector
        parts = self._writes.outside(b"", end_of_keys)
        if offset > 1:
            start = next((max(low, key) for low, high in parts if high > key), end_of_keys)
            own = [row[0] for row in self._written([], key, start, reverse=False)]
            if len(own) >= offset:
                return KeySelector(own[offset - 1], False, 1)
            return KeySelector(start, False, offset - min(len(own), offset - 1) if start < end_of_keys else 1)
        if offset < 1:
            stop = next((min(high, key) for low, high in reversed(parts) if low < key), b"")
            own = [row[0] for row in self._written([], stop, key, reverse=True)]
            if len(own) >= 1 - offset:
                return KeySelector(own[-offset], False, 1)
            return KeySelector(stop, False, offset + len(own) if stop else 1)
        return selector

    def _own(self, begin: bytes, end: bytes, limit: int, *, reverse: bool) -> tuple[list[KeyValue], bytes, bytes]:
        """The pairs of [begin, end), as far as the writes alone decide them, and what remains of the range."""
        parts = self._writes.outside(begin, end)
        if not parts:
            low, high = begin, end
        elif reverse:
            low, high = parts[-1][1], end
        else:
            low, high = begin, parts[0][0]
        found = self._written([], low, high, reverse=reverse)[:limit] if low < high else []
        return found, *((begin, low) if reverse else (high, end))

    def _written(self, part: list[KeyValue], low: bytes, high: bytes, *, reverse: bool) -> list[KeyValue]:
        writes = self._writes
        cleared = writes.cleared.overlapping(low, high) if writes.cleared else []
        keys = writes.keys_in(low, high)
        if not cleared and not keys:
            return part
        stored = dict(part)
        for begin, end in cleared:
            for key in [key for key in stored if begin <= key < end]:
                del stored[key]
        for key in keys:
            value = writes.resolve(writes.entries[key], stored.get(key))
            if value is None:
                stored.pop(key, None)
            else:
                stored[key] = value
        return sorted(stored.items(), reverse=reverse)

    def _refuse_unreadable(self, begin: bytes, end: bytes) -> None:
        writes = self._writes
        if writes.unreadable_ranges and writes.unreadable_ranges.overlapping(begin, end):
            raise Unreadable(begin=begin, end=end)
        for key in writes.unreadable:
            if begin <= key < end:
                raise Unreadable(key=key)


def _refuse_operations_on_stamps(key: bytes, stack: Stack) -> None:
    """A read that bypasses the unreadable sees a versionstamped value as it was handed in, but not what an atomic
    operation makes of it.  Raises  OperationFailed."""
    on_stamp = False
    for kind, _ in stack:
        if kind is not None and kind is not MutationType.SET_VERSIONSTAMPED_VALUE and on_stamp:
            raise OperationFailed(key=key, hint="the operand of an atomic operation is not known before the commit")
        on_stamp = kind is MutationType.SET_VERSIONSTAMPED_VALUE


def find(view: Snapshot | View, selector: KeySelector, end_of_keys: bytes) -> Found:
    """Resolve a selector.  Raises  what reading raises."""
    origin = selector.key + b"\0" if selector.or_equal else selector.key
    offset = selector.offset
    if offset > 0:
        while True:
            rows = view.rows(origin, end_of_keys, min(offset, _SELECTOR_STEP))
            if len(rows) >= offset:
                return Found(rows[offset - 1][0])
            if len(rows) < min(offset, _SELECTOR_STEP):
                return Found(end_of_keys, off_end=True)
            offset -= len(rows)
            origin = rows[-1][0] + b"\0"
    back = 1 - offset
    while True:
        rows = view.rows(b"", min(origin, end_of_keys), min(back, _SELECTOR_STEP), reverse=True)
        if len(rows) >= back:
            return Found(rows[back - 1][0])
        if len(rows) < min(back, _SELECTOR_STEP):
            return Found(b"", off_begin=True)
        back -= len(rows)
        origin = rows[-1][0]


def _laid_over(
    part: list[KeyValue], keys: Iterable[bytes], writes: WriteMap, wanted: int, *, reverse: bool
) -> list[KeyValue]:
    """Up to `wanted` of the pairs with the writes of these keys over them, in the order of both."""
    merged: list[KeyValue] = []
    at, end = 0, len(part)
    for key in keys:
        while at < end and (part[at][0] > key if reverse else part[at][0] < key):
            merged.append(part[at])
            at += 1
        stored = None
        if at < end and part[at][0] == key:
            stored = part[at][1]
            at += 1
        value = writes.resolve(writes.entries[key], stored)
        if value is not None:
            merged.append((key, value))
        if len(merged) >= wanted:
            return merged[:wanted]
    return (merged + part[at:])[:wanted]


def _overlaid(part: list[KeyValue], changes: dict[bytes, bytes | None], *, reverse: bool) -> list[KeyValue]:
    stored = dict(part)
    for key, value in changes.items():
        if value is None:
            stored.pop(key, None)
        else:
            stored[key] = value
    return sorted(stored.items(), reverse=reverse)
