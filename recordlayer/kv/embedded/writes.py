"""A transaction's own writes, laid over what it reads, and handed to the commit.

Of every key the map keeps the net effect: a value, cleared, or a stack of atomic operations whose base value is not
known yet. Cleared ranges are kept apart, as disjoint ranges; a key written after its range was cleared is in `entries`
and wins. That is also the order in which a commit applies them: ranges first, then keys.

Reading such a key adds a read conflict only if its outcome depends on the database: not after a set or a clear.

Keys whose value the commit decides (versionstamps) are unreadable until then.

Source  FoundationDB's client, WriteMap and ReadYourWrites: the same coalescing, the same unreadable ranges.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import islice

from recordlayer.core import in_c
from recordlayer.kv.embedded.atomic import ATOMIC
from recordlayer.kv.embedded.range_set import NO_RANGES, Range, RangeSet
from recordlayer.kv.engine import MutationType
from recordlayer.kv.legal import STAMP_LENGTH, placeholder_offset

Operation = tuple[MutationType | None, bytes]  # None: a plain set inside a stack
Stack = list[Operation]
WriteEntry = bytes | None | Stack

_STAMPED_VALUE = MutationType.SET_VERSIONSTAMPED_VALUE
_LAST_STAMP = b"\xff" * STAMP_LENGTH
_FEW = 64  # up to here, putting keys in one by one beats sorting
_NONE: list[bytes] = []  # of all new sets, most of which stay empty; nobody changes it
_NO_KEYS: set[bytes] = set()  # likewise
_NO_STAMPS: list[tuple[bytes, bytes]] = []


@in_c("keys_between")
def keys_between(entries: dict[bytes, WriteEntry], keys: list[bytes], begin: bytes, end: bytes) -> list[bytes]:
    """The keys of `entries` in [begin, end), ascending. `keys` has the first of them in order, and all afterwards."""
    take_new(entries, keys)
    return keys[bisect_left(keys, begin) : bisect_left(keys, end)]


def take_new(entries: dict[bytes, WriteEntry], keys: list[bytes]) -> None:
    """Have all keys of `entries` in `keys`, which has the first of them in order.

    A transaction that reads and writes in turns has few new keys at a time: it must not sort all of them.
    """
    new = len(entries) - len(keys)
    came = islice(reversed(entries), new)
    if new < _FEW:
        for key in came:
            insort(keys, key)
    else:
        keys += came
        keys.sort()


class WriteMap:
    """Thousands of transactions may be open, and what Python's garbage collector has to look at keeps all of them
    waiting. So what most transactions do not need is made when it is needed; and a dict of bytes is not looked at."""

    stamped_keys = _NO_STAMPS  # key with its 4-byte offset, value
    silent = _NO_KEYS  # keys written only without a write conflict
    unreadable = _NO_KEYS
    cleared: RangeSet = NO_RANGES
    silent_ranges: RangeSet = NO_RANGES  # ranges cleared without a write conflict, as far as nothing else wrote
    conflicts: RangeSet = NO_RANGES  # explicit write conflict ranges
    unreadable_ranges: RangeSet = NO_RANGES
    _sorted = _NONE  # the first keys of `entries`, in order; those that came since are its last

    def __init__(self) -> None:
        self.entries: dict[bytes, WriteEntry] = {}

    @property
    def empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not (self.entries or self.cleared.starts or self.stamped_keys or self.conflicts.starts)

    @property
    def untouched(self) -> bool:
        """Whether nothing was ever written that a read would have to look at."""
        return not (self.entries or self.cleared.starts or self.unreadable_ranges.starts)

    @property
    def is_plain(self) -> bool:
        """Whether setting or clearing a key needs no look at what else is known of it: only `entries` change."""
        return not (self.silent or self.unreadable or self.unreadable_ranges.starts)

    def reaches(self, begin: bytes, end: bytes) -> bool:
        """Whether what a read of [begin, end) gives, or conflicts on, may depend on these writes. A no is sure."""
        if self.entries and self.keys_in(begin, end):
            return True
        return bool(self.cleared.starts or self.silent or self.unreadable or self.unreadable_ranges.starts)

    # -- writing

    def set(self, key: bytes, value: bytes, *, conflict: bool = True) -> None:
        entries = self.entries
        if not conflict:
            if key not in entries:
                self._silence(key)
        elif self.silent:
            self.silent.discard(key)
        if self.unreadable and key in self.unreadable:
            self._stack(key).append((None, value))  # still decided by the commit: it stays unreadable
        else:
            entries[key] = value

    def clear(self, key: bytes, *, conflict: bool = True) -> None:
        entries = self.entries
        if not conflict:
            if key not in entries:
                self._silence(key)
        elif self.silent:
            self.silent.discard(key)
        if self.unreadable:
            self.unreadable.discard(key)
        if self.unreadable_ranges:
            self.unreadable_ranges.remove(key, key + b"\0")
        entries[key] = None

    def clear_range(self, begin: bytes, end: bytes, *, conflict: bool = True) -> None:
        gone = self.keys_in(begin, end)
        if gone:
            first = bisect_left(self._sorted, begin)
            del self._sorted[first : first + len(gone)]
        for key in gone:
            if not conflict and key not in self.silent:
                self.add_conflict(key, key + b"\0")  # the write is gone, its conflict stays
            del self.entries[key]
            if self.silent:
                self.silent.discard(key)
            if self.unreadable:
                self.unreadable.discard(key)
        if self.unreadable_ranges:
            self.unreadable_ranges.remove(begin, end)
        if self.stamped_keys:
            self.stamped_keys = [item for item in self.stamped_keys if not begin <= item[0] < end]
        if conflict:
            self.silent_ranges.remove(begin, end)
        else:
            fresh = RangeSet()
            fresh.add(begin, end)
            for low, high in self.cleared.overlapping(begin, end):
                fresh.remove(low, high)  # cleared before: with a conflict, or silent already
            for low, high in fresh:
                self.silent_ranges = self.silent_ranges.including(low, high)
        self.cleared = self.cleared.including(begin, end)

    def atomic(self, kind: MutationType, key: bytes, operand: bytes, *, conflict: bool = True) -> None:
        known = key in self.entries
        if not conflict:
            if not known:
                self._silence(key)
        elif self.silent:
            self.silent.discard(key)
        if kind is _STAMPED_VALUE:
            if known and key in self.unreadable:
                self._stack(key).append((kind, operand))
            else:
                self.entries[key] = [(kind, operand)]
            if self.unreadable is _NO_KEYS:
                self.unreadable = set()
            self.unreadable.add(key)
            return
        if self.unreadable and key in self.unreadable:
            self._stack(key).append((kind, operand))
            return
        function = ATOMIC[kind]
        if not known:
            if self.cleared and self.cleared.covers(key):
                self.entries[key] = function(None, operand)
            else:
                self.entries[key] = [(kind, operand)]
            return
        entry = self.entries[key]
        if not isinstance(entry, list):
            self.entries[key] = function(entry, operand)
            return
        last_kind, last = entry[-1]
        if (
            last_kind is kind
            and kind is not MutationType.COMPARE_AND_CLEAR
            and (len(last) == len(operand) or kind is MutationType.APPEND_IF_FITS)
        ):
            merged = function(last, operand)  # one operation with the effect of both
            assert merged is not None
            entry[-1] = (kind, merged)
        else:
            entry.append((kind, operand))

    def set_stamped_key(self, key: bytes, value: bytes, read_version: int) -> None:
        """`key` ends in the 4-byte offset of its placeholder; the keys it may become are unreadable from now on."""
        low, high = stamped_key_range(key, read_version)
        self.unreadable_ranges = self.unreadable_ranges.including(low, min(high, b"\xff"))
        if self.stamped_keys is _NO_STAMPS:
            self.stamped_keys = []
        self.stamped_keys.append((key, value))

    def add_conflict(self, begin: bytes, end: bytes) -> None:
        self.conflicts = self.conflicts.including(begin, end)

    def _silence(self, key: bytes) -> None:
        if self.silent is _NO_KEYS:
            self.silent = set()
        self.silent.add(key)

    # -- reading

    def sorted_keys(self) -> list[bytes]:
        """Keys of `entries`, ascending."""
        keys = self._sorted
        if len(self.entries) == len(keys):
            return keys
        if not keys:
            keys = self._sorted = sorted(self.entries)
        else:
            take_new(self.entries, keys)
        return keys

    def keys_in(self, begin: bytes, end: bytes) -> list[bytes]:
        """Keys of `entries` in [begin, end), ascending."""
        keys = self._sorted
        if not keys:
            keys = self._sorted = sorted(self.entries)
        return keys_between(self.entries, keys, begin, end)

    def is_unreadable(self, key: bytes) -> bool:
        return key in self.unreadable or (bool(self.unreadable_ranges) and self.unreadable_ranges.covers(key))

    def independent(self, key: bytes) -> bool:
        """Whether what a read of `key` gives is decided by this transaction alone."""
        if key in self.entries:
            entry = self.entries[key]
            return not isinstance(entry, list) or entry[0][0] in (None, _STAMPED_VALUE)
        return bool(self.cleared) and self.cleared.covers(key)

    def resolve(self, entry: WriteEntry, stored: bytes | None, stamp: bytes | None = None) -> bytes | None:
        """The value of an entry over `stored`. Versionstamped values show their operand as it stands until the commit
        gives the stamp."""
        if not isinstance(entry, list):
            return entry
        for kind, operand in entry:
            if kind is None:
                stored = operand
            elif kind is _STAMPED_VALUE:
                stored = operand if stamp is None else stamped(operand, stamp)
            else:
                stored = ATOMIC[kind](stored, operand)
        return stored

    def outside(self, begin: bytes, end: bytes) -> list[Range]:
        """The parts of [begin, end) whose content depends on the database: those that a read conflicts on."""
        if not (self.entries or self.cleared.starts):
            return [(begin, end)]
        cleared = self.cleared.overlapping(begin, end) if self.cleared else ()
        written = self.keys_in(begin, end)
        if not cleared:
            return self._unwritten(begin, end, written) if written else [(begin, end)]
        parts = RangeSet()
        parts.add(begin, end)
        for low, high in cleared:
            parts.remove(low, high)
        for key in written:
            entry = self.entries[key]
            if isinstance(entry, list) and entry[0][0] not in (None, _STAMPED_VALUE):
                parts.add(key, key + b"\0")
            else:
                parts.remove(key, key + b"\0")
        return list(parts)

    def _unwritten(self, begin: bytes, end: bytes, written: list[bytes]) -> list[Range]:
        """The same where no range was cleared: what lies between the keys that were set."""
        parts: list[Range] = []
        for key in written:
            entry = self.entries[key]
            if type(entry) is not list or entry[0][0] in (None, _STAMPED_VALUE):
                if begin < key:
                    parts.append((begin, key))
                begin = key + b"\0"
        if begin < end:
            parts.append((begin, end))
        return parts

    def _stack(self, key: bytes) -> Stack:
        entry = self.entries.get(key)
        if not isinstance(entry, list):
            entry = self.entries[key] = [(None, entry)] if entry is not None else []
        return entry


def stamped(operand: bytes, stamp: bytes) -> bytes:
    """`operand` with its placeholder filled in and its offset gone."""
    offset = placeholder_offset(operand)
    return operand[:offset] + stamp + operand[offset + STAMP_LENGTH : -4]


def stamped_key_range(key: bytes, read_version: int) -> Range:
    """The keys that a versionstamped key may become, given that stamps are above `read_version`."""
    offset = placeholder_offset(key)
    head, tail = key[:offset], key[offset + STAMP_LENGTH : -4]
    return head + read_version.to_bytes(8, "big") + b"\0\0" + tail, head + _LAST_STAMP + tail + b"\0"
