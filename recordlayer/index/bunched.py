"""Bunched maps: ordered maps of which up to twenty neighbours share one pair of the database.

Layout  key    the map's prefix + the first map key of the bunch, its signpost
        value  20 (hexadecimal), then for each entry: length and bytes of its map key (left out for the first, which is
               in the key), length and bytes of its value. Lengths are big-endian base 128, most significant first
        All map keys from one signpost up to the next are in the former's value.
Cost    put: 1 range read, 1 more (in the same round trip, where reads take time) unless the bunch before takes the
        entry; 1 write, 2 when a bunch is split or gets a new signpost. remove: 1 range read, 1-2 writes

All reads are snapshots, so that writers of one map conflict only where they must: with those who change the same map
key, the same bunch, or the gap between two bunches that one of them takes over. Every such range is declared by hand.

Source  Record Layer, BunchedMap (its conflict ranges in the same order: a range that is declared behind a write would
        leave out what was written), TextIndexBunchedSerializer
"""

from __future__ import annotations

from bisect import bisect_left

from recordlayer.errors import CorruptIndexEntry
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Chunk, MutationType, StreamingMode
from recordlayer.waiting.waitable import Waitable

BUNCH_SIZE = 20
MAX_VALUE = 10_000
"""A value that would get longer is split."""

_MAGIC = 0x20
_START = bytes((_MAGIC,))

Bunch = tuple[list[bytes], list[bytes]]
"""Map keys, and the values beside them."""


# -- bytes -------------------------------------------------------------------------------------------------


def length_prefix(number: int) -> bytes:
    """A number >= 0 in base 128, most significant first."""
    if number < 0x80:
        return bytes((number,))
    groups = [number & 0x7F]
    number >>= 7
    while number:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(groups[::-1])


def packed_positions(positions: list[int]) -> bytes:
    """Ascending numbers, each as the difference to the one before."""
    if not positions:
        return b""
    if positions[-1] < 0x80:
        last, out = 0, bytearray()
        for position in positions:
            out.append(position - last)
            last = position
        return bytes(out)
    last, parts = 0, []
    for position in positions:
        parts.append(length_prefix(position - last))
        last = position
    return b"".join(parts)


def unpacked_positions(data: bytes) -> list[int]:
    """The numbers again.  Raises  IndexError where they end too early."""
    positions, last, number = [], 0, 0
    for byte in data:
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            last += number
            positions.append(last)
            number = 0
    if data and data[-1] >= 0x80:
        raise IndexError("the last number is not complete")
    return positions


def bunch_of(first: bytes, value: bytes) -> Bunch:
    """The entries of a bunch with their first map key.  Raises  CorruptIndexEntry."""
    keys, values, _ = bunch_parts(first, value)
    return keys, values


def bunch_keys(first: bytes, value: bytes) -> tuple[list[bytes], list[int]]:
    """The map keys of a bunch, and where in the value each entry begins.  Raises  CorruptIndexEntry."""
    keys, starts = [first], [1]
    end = len(value)
    try:
        size = value[1]
        if value[0] == _MAGIC and size <= 0x7F:
            at = 2 + size
            while at < end:
                size = value[at]
                behind = at + 1 + size
                places = value[behind]
                if size > 0x7F or places > 0x7F:
                    break
                keys.append(value[at + 1 : behind])
                starts.append(at)
                at = behind + 1 + places
            if at == end:
                return keys, starts
    except IndexError:
        pass
    keys, _, starts = bunch_parts(first, value)  # long ones, or a damaged bunch
    return keys, starts


def bunch_parts(first: bytes, value: bytes) -> tuple[list[bytes], list[bytes], list[int]]:
    """The same, and where in the value each entry begins.  Raises  CorruptIndexEntry."""
    keys: list[bytes] = [first]
    values: list[bytes] = []
    starts = [1]
    end = len(value)
    at, is_key = 1, False
    try:
        if value[0] != _MAGIC:
            raise CorruptIndexEntry(key=first, value=value, found="a bunch begins with 20")
        while at < end:
            begin = at
            size = value[at]
            at += 1
            if size > 0x7F:
                size &= 0x7F
                while True:
                    byte = value[at]
                    at += 1
                    size = size << 7 | byte & 0x7F
                    if byte < 0x80:
                        break
            part = value[at : at + size]
            at += size
            if is_key:
                keys.append(part)
                starts.append(begin)
                is_key = False
            else:
                values.append(part)
                is_key = True
    except IndexError:
        at = -1
    if at != end or len(keys) != len(values):
        raise CorruptIndexEntry(key=first, value=value, found="it does not end where an entry of the bunch does")
    return keys, values, starts


def _end_of(value: bytes) -> tuple[int, bytes]:
    """How many entries a bunch has, and the last map key, without looking at what is between; (0, b"") where that is
    not told so easily: one entry alone, long ones, or a damaged bunch."""
    try:
        size = value[1]
        if value[0] != _MAGIC or size > 0x7F:
            return 0, b""
        at, end, count, begin = 2 + size, len(value), 1, 0
        while at < end:
            size = value[at]
            begin = at + 1
            behind = begin + size
            places = value[behind]
            if size > 0x7F or places > 0x7F:
                return 0, b""
            at = behind + 1 + places
            count += 1
    except IndexError:
        return 0, b""
    return (count, value[begin:behind]) if at == end and begin else (0, b"")


def entry_bytes(key: bytes, value: bytes) -> bytes:
    """An entry as it stands behind the first one."""
    if len(key) < 0x80 and len(value) < 0x80:
        return b"%c%b%c%b" % (len(key), key, len(value), value)
    return length_prefix(len(key)) + key + length_prefix(len(value)) + value


def bunch_bytes(keys: list[bytes], values: list[bytes]) -> bytes:
    """The value of a bunch."""
    parts = [_START, length_prefix(len(values[0])), values[0]]
    parts += [entry_bytes(keys[place], values[place]) for place in range(1, len(keys))]
    return b"".join(parts)


# -- one map -----------------------------------------------------------------------------------------------


class Change:
    """A put into or a removal from one map, its first read begun. `apply` it once; one at a time for each map.

    value     None: remove the map key
    replaces  the map key was there before, and what is left is what removing it first would leave
    """

    __slots__ = ("_after", "_before", "_context", "_key", "_prefix", "_replaces", "_size", "_value", "_whole")

    def __init__(
        self,
        context: Context,
        prefix: bytes,
        key: bytes,
        value: bytes | None,
        *,
        replaces: bool = False,
        bunch_size: int = BUNCH_SIZE,
    ) -> None:
        self._context = context
        self._prefix = prefix
        self._key = key
        self._value = value
        self._replaces = replaces
        self._size = bunch_size
        whole = self._whole = prefix + key
        self._before: Waitable[Chunk] = context.get_range(
            prefix, whole + b"\x00", limit=1, reverse=True, snapshot=True, mode=StreamingMode.WANT_ALL
        )
        # Where reads take time both are under way together; where they are ready at once the second may be saved.
        self._after: Waitable[Chunk] | None = None
        if value is not None and not replaces and not self._before.ready():
            self._after = self._read_after()

    def _read_after(self) -> Waitable[Chunk]:
        return self._context.get_range(
            self._whole + b"\x00", self._prefix + b"\xff", limit=1, snapshot=True, mode=StreamingMode.WANT_ALL
        )

    def cancel(self) -> None:
        """Nobody wants it any more."""
        self._before.cancel()
        if self._after is not None:
            self._after.cancel()

    async def apply(self) -> None:
        """Write it.  Raises  CorruptIndexEntry."""
        rows = (await self._before).rows
        value, key = self._value, self._key
        if not rows:
            if value is None:
                self._context.add_read_conflict_key(self._whole)
            else:
                await self._insert_after(value)
            return
        signpost, stored = rows[0]
        if value is not None and not self._replaces:
            count, last = _end_of(stored)
            if count and last < key and count < self._size:
                await self._append(signpost, stored, last, value)
                return
        keys, starts = bunch_keys(signpost[len(self._prefix) :], stored)
        at = bisect_left(keys, key)
        found = at < len(keys) and keys[at] == key
        if value is None:
            self._remove(signpost, stored, keys, starts, at if found else -1)
        elif found:
            await self._change(signpost, stored, keys, starts, at, value)
        elif at == len(keys):
            if at < self._size:
                await self._append(signpost, stored, keys[-1], value)
            else:
                await self._insert_after(value)
        else:
            added = entry_bytes(key, value)
            keys.insert(at, key)
            if len(keys) <= self._size and len(stored) + len(added) <= MAX_VALUE:
                self._write(signpost, signpost, keys, stored[: starts[at]] + added + stored[starts[at] :])
                return
            values = self._values(signpost, stored)
            values.insert(at, value)
            if len(keys) <= self._size:
                self._write_split(signpost, signpost, keys, values)
            else:
                half = len(keys) // 2
                self._write_split(signpost, signpost, keys[:half], values[:half])
                self._write_split(None, self._prefix + keys[half], keys[half:], values[half:])

    # -- putting

    async def _change(
        self,
        signpost: bytes,
        stored: bytes,
        keys: list[bytes],
        starts: list[int],
        at: int,
        value: bytes,
    ) -> None:
        """A map key that is there already."""
        if self._replaces and not at:
            # Without its signpost the bunch would begin elsewhere, and the key might come into the bunch before.
            self._remove(signpost, stored, keys, starts, 0)
            again = Change(self._context, self._prefix, self._key, value, bunch_size=self._size)
            await again.apply()
            return
        values = self._values(signpost, stored)
        if values[at] == value:
            self._context.add_read_conflict_key(self._whole)
            return
        if self._replaces and at == len(keys) - 1 and starts[at] + len(entry_bytes(self._key, value)) > MAX_VALUE:
            self._remove(signpost, stored, keys, starts, at)
            await self._insert_after(value)
            return
        if at:
            behind = stored[starts[at + 1] :] if at + 1 < len(keys) else b""
            data = stored[: starts[at]] + entry_bytes(self._key, value) + behind
            if len(data) <= MAX_VALUE:
                self._write(signpost, signpost, keys, data)
                return
        values[at] = value
        self._write_split(signpost, signpost, keys, values)

    async def _append(self, signpost: bytes, stored: bytes, last: bytes, value: bytes) -> None:
        """Behind the last entry of a bunch: the engine appends it, so that only its bytes are sent."""
        added = entry_bytes(self._key, value)
        if len(stored) + len(added) > MAX_VALUE:
            await self._insert_after(value)
            return
        context, whole = self._context, self._whole
        context.add_read_conflict_range(signpost, whole + b"\x00")
        context.atomic(MutationType.APPEND_IF_FITS, signpost, added)  # it always fits: MAX_VALUE is far below the limit
        # The gap behind the last entry is this bunch's from now on.
        context.add_write_conflict_range(self._prefix + last, whole + b"\x00")

    def _values(self, signpost: bytes, stored: bytes) -> list[bytes]:
        return bunch_parts(signpost[len(self._prefix) :], stored)[1]

    async def _insert_after(self, value: bytes) -> None:
        """In front of the bunch behind, if it has room; else as a bunch of its own."""
        rows = (await (self._after if self._after is not None else self._read_after())).rows
        if rows:
            signpost, stored = rows[0]
            keys, values = bunch_of(signpost[len(self._prefix) :], stored)
            if len(keys) < self._size:
                data = bunch_bytes([self._key, *keys], [value, *values])
                if len(data) <= MAX_VALUE:
                    self._write(signpost, self._whole, [self._key, *keys], data)
                    self._context.add_write_conflict_range(self._whole, signpost)
                    return
        self._context.add_read_conflict_key(self._whole)
        self._context.set(self._whole, bunch_bytes([self._key], [value]))

    def _write_split(self, old: bytes | None, signpost: bytes, keys: list[bytes], values: list[bytes]) -> None:
        """A bunch with an entry changed or put between others; two if it has become too long."""
        data = bunch_bytes(keys, values)
        if len(data) <= MAX_VALUE or len(keys) == 1:
            self._write(old, signpost, keys, data)
            return
        half = len(keys) // 2
        self._write(old, signpost, keys[:half], bunch_bytes(keys[:half], values[:half]))
        self._write(None, self._prefix + keys[half], keys[half:], bunch_bytes(keys[half:], values[half:]))

    def _write(self, old: bytes | None, signpost: bytes, keys: list[bytes], data: bytes) -> None:
        context = self._context
        context.add_read_conflict_range(signpost, self._prefix + keys[-1] + b"\x00")
        if old is not None and old != signpost:
            context.clear(old)
        context.set(signpost, data)
        if signpost != self._whole:
            context.add_write_conflict_range(self._whole, self._whole + b"\x00")

    # -- removing

    def _remove(self, signpost: bytes, stored: bytes, keys: list[bytes], starts: list[int], at: int) -> None:
        context, prefix, whole = self._context, self._prefix, self._whole
        context.add_read_conflict_key(whole)
        if at < 0:
            return
        context.add_read_conflict_range(signpost, prefix + keys[-1] + b"\x00")
        context.add_write_conflict_range(whole, whole + b"\x00")
        if at:
            behind = stored[starts[at + 1] :] if at + 1 < len(keys) else b""
            context.set(signpost, stored[: starts[at]] + behind)
            return
        context.clear(signpost)
        if len(keys) > 1:
            second, at = keys[1], starts[1]
            if stored[at] == len(second) < 0x80:  # its length takes one byte: what is behind the key stays as it is
                data = _START + stored[at + 1 + len(second) :]
            else:
                data = bunch_bytes(keys[1:], self._values(signpost, stored)[1:])
            context.set(prefix + second, data)
