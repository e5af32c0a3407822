"""The reading half of a transaction. Reads answer at once: the newest values lie in the map or one page fault away.

Source  FoundationDB's client 7.3, ReadYourWritesTransaction: the same checks and the same read conflicts.
"""

from __future__ import annotations

from collections.abc import Sequence

from recordlayer.errors import InvalidOperation, WatchesDisabled
from recordlayer.kv import legal
from recordlayer.kv.embedded.commit_size import RANGE_BYTES
from recordlayer.kv.embedded.long_keys import HEAD
from recordlayer.kv.embedded.range_set import add_range
from recordlayer.kv.embedded.ranges import bytes_wanted, read_chunk, rows_until, selector_conflict
from recordlayer.kv.embedded.scanning import KeyValue, usual_keys
from recordlayer.kv.embedded.sizes import estimated_size, split_points
from recordlayer.kv.embedded.transaction_state import OPERATION_ERRORS, TransactionState
from recordlayer.kv.embedded.view import Snapshot, View, find
from recordlayer.kv.engine import END_OF_KEYS, KEY_LIMIT, Chunk, KeySelector, StreamingMode, each_range
from recordlayer.waiting.several import Several
from recordlayer.waiting.waitable import Failed, Ready, Waitable

_FEW = 64  # rows that one look into the file brings
_SMALL = 10  # fewer are less than a chunk, however long they are
_ANY = 1 << 40  # rows of a chunk that only its bytes end
_EXACT, _WANT_ALL = StreamingMode.EXACT, StreamingMode.WANT_ALL


class Reading(TransactionState):
    local = True

    def get(self, key: bytes, *, snapshot: bool = False) -> Waitable[bytes | None]:
        try:
            if self._is_plain() and type(key) is bytes and key < END_OF_KEYS and len(key) <= KEY_LIMIT:
                writes = self._writes
                if key not in writes.entries and not writes.cleared.starts and not writes.unreadable_ranges.starts:
                    # The usual case, in as few steps as it can be: a key that this transaction did not touch.
                    self._has_read = True
                    stored = self._point.database().get(key)
                    if not snapshot:
                        self._read_keys[key] = None
                        self._size += 2 * len(key) + 1 + RANGE_BYTES
                    return Ready(stored)
            self._check()
            legal.check_readable(key, system=self._settings.read_system_keys)
            if len(key) > KEY_LIMIT:
                return Ready(None)
            value = self._reader(snapshot).get(key)
            if not snapshot and (not self._settings.read_your_writes or not self._writes.independent(key)):
                self._read_keys[key] = None
                self._size += 2 * len(key) + 1 + RANGE_BYTES
            return Ready(value)
        except OPERATION_ERRORS as error:
            return self._read_failed(error)

    def get_many(self, keys: Sequence[bytes], *, snapshot: bool = False) -> Waitable[list[bytes | None]]:
        writes = self._writes
        if (
            not self._is_plain()
            or writes.cleared.starts
            or writes.unreadable_ranges.starts
            or not usual_keys(keys, HEAD)
            or not (not writes.entries or writes.entries.keys().isdisjoint(keys))
        ):
            return Several([self.get(key, snapshot=snapshot) for key in keys])
        # The usual case: keys that this transaction did not touch.
        try:
            self._has_read = True
            stored = self._point.database().get_many(keys)
        except OPERATION_ERRORS as error:
            return self._read_failed(error)
        if not snapshot:
            self._read_keys.update(dict.fromkeys(keys))
            self._size += 2 * sum(map(len, keys)) + (1 + RANGE_BYTES) * len(keys)
        return Ready(stored)

    def get_key(self, selector: KeySelector, *, snapshot: bool = False) -> Waitable[bytes]:
        try:
            self._check()
            chosen = legal.selector("selector", selector, system=self._settings.read_system_keys)
            end_of_keys = self._end_of_keys()
            found = find(self._reader(snapshot), chosen, end_of_keys)
            if not snapshot:
                self._add_read_range(*selector_conflict(chosen, found.key))
            return Ready(found.key)
        except OPERATION_ERRORS as error:
            return self._read_failed(error)

    def get_range(
        self,
        begin: bytes | KeySelector,
        end: bytes | KeySelector,
        *,
        limit: int = 0,
        target_bytes: int = 0,
        reverse: bool = False,
        snapshot: bool = False,
        mode: StreamingMode = StreamingMode.ITERATOR,
        iteration: int = 1,
    ) -> Waitable[Chunk]:
        try:
            if (
                (limit > 0 or (limit == 0 and mode is not _EXACT))
                and not target_bytes
                and type(begin) is bytes
                and type(end) is bytes
                and begin < end <= END_OF_KEYS
                and self._trouble is None  # `_is_plain`
                and not self._committing
                and self._handle.failure is None
                and not self._settings.timeout
            ):
                # The usual case of the rows between two keys: selectors do not matter, nor sizes where rows are few.
                writes = self._writes
                touched = writes.entries or writes.cleared.starts or writes.unreadable_ranges.starts
                own = bool(touched) and writes.reaches(begin, end)
                if own or self._point.version is None:
                    view: Snapshot | View = self._reader(snapshot)
                else:
                    self._has_read = True
                    view = self._point.database()
                most = limit or _SMALL
                few = most <= _SMALL if mode is _WANT_ALL else mode is _EXACT and most <= _FEW
                if few:
                    rows = view.rows(begin, end, most, reverse=reverse)
                    more = len(rows) >= most
                if not few or (more and not limit):
                    wanted = bytes_wanted(mode, iteration)
                    if type(view) is Snapshot and (
                        found := view.chunks(((begin, end),), limit or _ANY, wanted, reverse)
                    ):
                        ((rows, more),) = found
                    else:
                        rows, more = rows_until(view, begin, end, limit, wanted, reverse=reverse)
                if not snapshot:
                    if more and reverse:
                        begin = rows[-1][0]
                    elif more:
                        end = rows[-1][0] + b"\0"
                    if own:
                        self._add_read_range(begin, end)
                    else:
                        ranges = self._read_ranges
                        if ranges.starts:
                            add_range(ranges.starts, ranges.ends, begin, end)
                        else:
                            self._read_ranges = ranges.including(begin, end)
                        self._size += len(begin) + len(end) + RANGE_BYTES
                return Ready(Chunk(rows, more))
            self._check()
            system = self._settings.read_system_keys
            chunk, conflict = read_chunk(
                lambda: self._reader(snapshot),
                legal.selector("begin", begin, system=system),
                legal.selector("end", end, system=system),
                end_of_keys=self._end_of_keys(),
                limit=limit,
                target_bytes=target_bytes,
                reverse=reverse,
                mode=mode,
                iteration=iteration,
            )
            if not snapshot and conflict is not None:
                self._add_read_range(*conflict)
            return Ready(chunk)
        except OPERATION_ERRORS as error:
            return self._read_failed(error)

    def get_ranges(
        self,
        ranges: Sequence[tuple[bytes, bytes]],
        *,
        limit: int = 0,
        reverse: bool = False,
        snapshot: bool = False,
        mode: StreamingMode = _WANT_ALL,
    ) -> Waitable[list[Chunk]]:
        if self._is_plain() and (limit > 0 or (limit == 0 and mode is not _EXACT)):
            # The usual case: ranges that this transaction did not write in.
            try:
                untouched, reaches = self._writes.untouched, self._writes.reaches
                for begin, end in ranges:
                    if (
                        type(begin) is not bytes
                        or type(end) is not bytes
                        or not begin < end <= END_OF_KEYS
                        or not (untouched or not reaches(begin, end))
                    ):
                        break
                else:
                    self._has_read = True
                    found = self._point.database().chunks(ranges, limit or _ANY, bytes_wanted(mode, 1), reverse)
                    if found is not None:
                        if not snapshot:
                            self._add_chunks_read(ranges, found, reverse=reverse)
                        return Ready([Chunk(rows, more) for rows, more in found])
            except OPERATION_ERRORS as error:
                return self._read_failed(error)
        return each_range(self.get_range, ranges, limit=limit, reverse=reverse, snapshot=snapshot, mode=mode)

    def watch(self, key: bytes) -> Waitable[None]:
        try:
            self._check()
            if not self._settings.read_your_writes:
                raise WatchesDisabled(key=key)
            legal.check_readable(key, system=self._settings.read_system_keys)
            if len(key) > KEY_LIMIT:
                legal.check_writable(key, system=True)
            value = self._reader(False).get(key)
            if not self._writes.independent(key):
                self._read_keys[key] = None
            watch = self._file.watches.reserve(key, value, self._handle)
            self._await_commit(watch)
            return watch
        except OPERATION_ERRORS as error:
            return self._read_failed(error)

    def estimated_range_size(self, begin: bytes, end: bytes) -> Waitable[int]:
        try:
            self._check()
            begin, end = legal.check_range(begin, end, system=True)
            return Ready(estimated_size(self._file.base, begin, end))
        except OPERATION_ERRORS as error:
            return Failed(error)

    def range_split_points(self, begin: bytes, end: bytes, chunk_size: int) -> Waitable[list[bytes]]:
        try:
            self._check()
            begin, end = legal.check_range(begin, end, system=self._settings.read_system_keys)
            if chunk_size <= 0:
                raise InvalidOperation(chunk_size=chunk_size, hint="a chunk has one byte at least")
            return Ready(split_points(self._file.base, begin, end, chunk_size))
        except OPERATION_ERRORS as error:
            return Failed(error)

    def _add_read_range(self, begin: bytes, end: bytes) -> None:
        if begin >= end:
            return
        self._size += len(begin) + len(end) + RANGE_BYTES
        writes = self._writes
        if not writes.entries and not writes.cleared.starts:
            self._read_ranges = self._read_ranges.including(begin, end)
        elif self._settings.read_your_writes:
            for low, high in writes.outside(begin, end):
                self._read_ranges = self._read_ranges.including(low, high)
        else:
            self._read_ranges = self._read_ranges.including(begin, end)

    def _add_chunks_read(
        self, ranges: Sequence[tuple[bytes, bytes]], found: list[tuple[list[KeyValue], bool]], *, reverse: bool
    ) -> None:
        """The same for the chunks of several ranges, none of which this transaction wrote in."""
        begins, ends = [begin for begin, _ in ranges], [end for _, end in ranges]
        for place, (rows, more) in enumerate(found):
            if more and reverse:
                begins[place] = rows[-1][0]
            elif more:
                ends[place] = rows[-1][0] + b"\0"
        self._read_ranges = self._read_ranges.including_all(begins, ends)
        self._size += sum(map(len, begins)) + sum(map(len, ends)) + RANGE_BYTES * len(begins)
