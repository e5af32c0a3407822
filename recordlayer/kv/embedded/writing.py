"""The writing half of a transaction.

Source  FoundationDB's client 7.3, ReadYourWritesTransaction: the same checks, in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence

from recordlayer.kv import legal
from recordlayer.kv.embedded.commit_size import MUTATION_BYTES, RANGE_BYTES
from recordlayer.kv.embedded.reading import Reading
from recordlayer.kv.engine import (
    END_OF_KEYS,
    KEY_LIMIT,
    METADATA_VERSION_KEY,
    VALUE_LIMIT,
    ConflictKind,
    MutationType,
)
from recordlayer.kv.mutations import CLEAR, SET, Write, write_each

_STAMPED_KEY = MutationType.SET_VERSIONSTAMPED_KEY
_STAMPED = (_STAMPED_KEY, MutationType.SET_VERSIONSTAMPED_VALUE)
_PLAIN = {int(kind): kind for kind in MutationType if kind not in _STAMPED}

_SET_BYTES = MUTATION_BYTES + RANGE_BYTES + 1
_CLEAR_BYTES = 2 * (RANGE_BYTES + 1)


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
            (plain := _PLAIN.get(kind)) is not None
            and self._is_plain()
            and type(key) is bytes
            and type(operand) is bytes
            and key < END_OF_KEYS
            and len(key) <= KEY_LIMIT
            and len(operand) <= VALUE_LIMIT
            and not self._quiet_next
            and not self._watching
        ):
            self._size += 3 * len(key) + len(operand) + _SET_BYTES
            self._writes.atomic(plain, key, operand)
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
        # The usual case, in as few steps as it can be: see `set`, `clear` and `atomic`.
        write_map = self._writes
        entries, size = write_map.entries, 0
        try:
            for kind, key, value in writes:
                if (
                    type(key) is not bytes
                    or type(value) is not bytes
                    or key >= END_OF_KEYS
                    or len(key) > KEY_LIMIT
                    or len(value) > VALUE_LIMIT
                ):
                    write_each(self, ((kind, key, value),))
                elif kind == SET:
                    entries[key] = value
                    size += 3 * len(key) + len(value) + _SET_BYTES
                elif kind == CLEAR:
                    entries[key] = None
                    size += 4 * len(key) + _CLEAR_BYTES
                elif (plain := _PLAIN.get(kind)) is not None:
                    write_map.atomic(plain, key, value)
                    size += 3 * len(key) + len(value) + _SET_BYTES
                else:
                    write_each(self, ((kind, key, value),))
        finally:
            self._size += size

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
                if len(end) == len(begin) + 1 and self._writes.untouched and end == begin + b"\0":
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
