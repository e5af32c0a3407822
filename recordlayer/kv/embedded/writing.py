"""The writing half of a transaction.

Source  FoundationDB's client 7.3, ReadYourWritesTransaction: the same checks, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from recordlayer.core import in_c
from recordlayer.kv import legal
from recordlayer.kv.embedded.commit_size import MUTATION_BYTES, RANGE_BYTES
from recordlayer.kv.embedded.reading import Reading
from recordlayer.kv.embedded.writes import WriteEntry
from recordlayer.kv.engine import (
    END_OF_KEYS,
    KEY_LIMIT,
    METADATA_VERSION_KEY,
    VALUE_LIMIT,
    ConflictKind,
    MutationType,
    read_each,
)
from recordlayer.kv.mutations import CLEAR, SET, Write, write_each

_STAMPED_KEY, _STAMPED_VALUE = MutationType.SET_VERSIONSTAMPED_KEY, MutationType.SET_VERSIONSTAMPED_VALUE
_KINDS = {int(kind): kind for kind in MutationType}
_PLAIN = {int(kind): kind for kind in MutationType if kind not in (_STAMPED_KEY, _STAMPED_VALUE)}

_SET_BYTES = MUTATION_BYTES + RANGE_BYTES + 1
_CLEAR_BYTES = 2 * (RANGE_BYTES + 1)
_READ_BYTES = RANGE_BYTES + 1


@in_c("lay", _PLAIN, KEY_LIMIT, VALUE_LIMIT, _SET_BYTES, _CLEAR_BYTES)
def lay(
    writes: Sequence[Write],
    at: int,
    entries: dict[bytes, WriteEntry],
    atomic: Callable[[MutationType, bytes, bytes], None],
    cleared: bool,
) -> tuple[int, int]:
    """Put the writes from `at` on into the entries of a plain write map, up to one that is not the usual case: where
    that is, and what they add to the transaction's size. See `set`, `clear` and `atomic`.

    atomic   the map's own
    cleared  whether ranges were cleared: if not, an operation on a key without an entry waits for the database's value
    """
    size = 0
    for place in range(at, len(writes)):
        kind, key, value = writes[place]
        if (
            type(key) is not bytes
            or type(value) is not bytes
            or key >= END_OF_KEYS
            or len(key) > KEY_LIMIT
            or len(value) > VALUE_LIMIT
        ):
            return place, size
        if kind == SET:
            entries[key] = value
            size += 3 * len(key) + len(value) + _SET_BYTES
        elif kind == CLEAR:
            entries[key] = None
            size += 4 * len(key) + _CLEAR_BYTES
        elif (plain := _PLAIN.get(kind)) is not None:
            atomic(plain, key, value)
            size += 3 * len(key) + len(value) + _SET_BYTES
        else:
            return place, size
    return max(at, len(writes)), size


@in_c("note_reads", KEY_LIMIT, _READ_BYTES)
def note_reads(keys: Sequence[bytes], entries: Container[bytes], reads: dict[bytes, None]) -> int | None:
    """Add keys to those that a transaction has read, if none of them is unusual: what that adds to its size. None, with
    nothing added, if one is. See `add_conflict_range`.

    entries  the transaction's own writes: what is read of them does not conflict
    """
    size = 0
    for key in keys:
        if type(key) is not bytes or key >= END_OF_KEYS or len(key) >= KEY_LIMIT or key in entries:
            return None
        size += 2 * len(key) + _READ_BYTES
    reads.update(dict.fromkeys(keys))
    return size


class Writing(Reading):
    def set(self, key: bytes, value: bytes) -> None:
        if (
            self._is_plain()
            and type(key) is bytes
            and type(value) is bytes
            and key < END_OF_KEYS
            and len(key) <= KEY_LIMIT
            and len(value) <= VALUE_LIMIT
            and not self._quiet_next
            and not self._watching
        ):
            self._size += 3 * len(key) + len(value) + _SET_BYTES
            self._writes.set(key, value)
            return
        conflict = self._before_writing()
        legal.check_set(key, value, system=self._settings.write_system_keys)
        self._size += len(key) + len(value) + MUTATION_BYTES + (RANGE_BYTES + 2 * len(key) + 1 if conflict else 0)
        self._writes.set(key, value, conflict=conflict)
        if self._watching:
            self._wrote_watched(key, key + b"\0", value)

    def clear(self, key: bytes) -> None:
        if (
            self._is_plain()
            and type(key) is bytes
            and key < END_OF_KEYS
            and len(key) <= KEY_LIMIT
            and not self._quiet_next
            and not self._watching
        ):
            self._size += 4 * len(key) + _CLEAR_BYTES
            self._writes.clear(key)
            return
        conflict = self._before_writing()
        legal.check_clear(key, system=self._settings.write_system_keys)
        if len(key) > KEY_LIMIT:
            return  # no such key can exist
        length = 2 * len(key) + 1
        self._size += length + RANGE_BYTES + (RANGE_BYTES + length if conflict else 0)
        self._writes.clear(key, conflict=conflict)
        if self._watching:
            self._wrote_watched(key, key + b"\0", None)

    def clear_range(self, begin: bytes, end: bytes) -> None:
        conflict = self._before_writing()
        begin, end = legal.check_range(begin, end, system=self._settings.write_system_keys)
        length = len(begin) + len(end)
        self._size += length + MUTATION_BYTES + (RANGE_BYTES + length if conflict else 0)
        if begin < end:
            self._writes.clear_range(begin, end, conflict=conflict)
            if self._watching:
                self._wrote_watched(begin, end, None)

    def atomic(self, kind: MutationType, key: bytes, operand: bytes) -> None:
        if (
            (known := _KINDS.get(kind)) is not None
            and self._is_plain()
            and type(key) is bytes
            and type(operand) is bytes
            and key < END_OF_KEYS
            and len(key) <= KEY_LIMIT
            and len(operand) <= VALUE_LIMIT
            and not self._quiet_next
            and not self._watching
        ):
            if known is _STAMPED_KEY:
                self._writes.set_stamped_key(key, operand, self._point.version or 0)
            else:
                if known is _STAMPED_VALUE:
                    legal.placeholder_offset(operand)
                self._writes.atomic(known, key, operand)
            self._size += 3 * len(key) + len(operand) + _SET_BYTES
            return
        conflict = self._before_writing()
        legal.check_atomic(kind, key, operand, system=self._settings.write_system_keys)
        self._size += len(key) + len(operand) + MUTATION_BYTES + (RANGE_BYTES + 2 * len(key) + 1 if conflict else 0)
        if kind == _STAMPED_KEY:
            self._writes.set_stamped_key(key, operand, self._point.version or 0)
            return
        self._writes.atomic(MutationType(kind), key, operand, conflict=conflict)
        if self._watching:
            self._wrote_watched(key, key + b"\0", None, known=False)

    def write_many(self, writes: Sequence[Write]) -> None:
        if self._quiet_next or self._watching or not self._is_plain() or not self._writes.is_plain:
            write_each(self, writes)
            return
        write_map, at = self._writes, 0
        while True:
            at, size = lay(writes, at, write_map.entries, write_map.atomic, bool(write_map.cleared.starts))
            self._size += size
            if at >= len(writes):
                return
            write_each(self, writes[at : at + 1])
            at += 1
            if not write_map.is_plain:
                write_each(self, writes[at:])
                return

    def add_conflict_range(self, kind: ConflictKind, begin: bytes, end: bytes) -> None:
        if (
            self._is_plain()
            and type(begin) is bytes
            and type(end) is bytes
            and begin < end <= END_OF_KEYS
            and len(begin) <= KEY_LIMIT
            and len(end) <= KEY_LIMIT
        ):
            if kind is ConflictKind.READ:
                writes = self._writes
                if (
                    len(end) == len(begin) + 1
                    and begin not in writes.entries
                    and not writes.cleared.starts
                    and end == begin + b"\0"
                ):
                    self._read_keys[begin] = None  # as if it had been got, in fewer steps
                    self._size += 2 * len(begin) + 1 + RANGE_BYTES
                    return
                self._add_read_range(begin, end)
                return
            if kind is ConflictKind.WRITE:
                self._size += len(begin) + len(end) + RANGE_BYTES
                self._writes.add_conflict(begin, end)
                return
        self._check()
        if (begin, end) != (METADATA_VERSION_KEY, METADATA_VERSION_KEY + b"\0"):
            system = self._settings.read_system_keys if kind == ConflictKind.READ else self._settings.write_system_keys
            begin, end = legal.check_range(begin, end, system=system)
        if begin >= end:
            return
        if kind == ConflictKind.READ:
            self._add_read_range(begin, end)
        else:
            self._size += len(begin) + len(end) + RANGE_BYTES
            self._writes.add_conflict(begin, end)

    def add_read_conflict_keys(self, keys: Sequence[bytes]) -> None:
        writes = self._writes
        if self._is_plain() and not writes.cleared.starts:
            size = note_reads(keys, writes.entries, self._read_keys)
            if size is not None:
                self._size += size
                return
        read_each(self, keys)

    def _before_writing(self) -> bool:
        """Whether the write that begins counts for conflicts."""
        if self._trouble is not None or self._committing or self._handle.failure is not None or self._settings.timeout:
            self._check()
        quiet, self._quiet_next = self._quiet_next, False
        return not quiet

    def _wrote_watched(self, begin: bytes, end: bytes, value: bytes | None, *, known: bool = True) -> None:
        """This transaction itself changes what it watches: the watch has its answer."""
        for watch in self._watching:
            if begin <= watch.key < end and (not known or watch.value != value):
                self._file.watches.answer(watch)
