"""BITMAP_VALUE index: for each group the positions that its records have, as bitmaps of a fixed size.

Layout  key   (*grouping columns, first position of the bitmap): a multiple of the entry size
        value ceil(entry size / 8) bytes; bit i, least significant first, is the first position + i. No primary key
Cost    save: 1 atomic mutation for a position that comes, 2 for one that goes (3 where records may share one, and while
        the index is built); no reads, no conflicts between writers. Unique: + 1 read and a conflict on the position
Source  Record Layer, BitmapValueIndexMaintainer
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from recordlayer.cursor.scan import FORWARD, KeyValueScan, ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.cursor.transform import Empty, Map
from recordlayer.errors import CorruptIndexEntry, IndexNotSupported, MalformedTuple, UniquenessViolation, UsageError
from recordlayer.index.bounds import Bounds, End
from recordlayer.index.maintainer import IndexedRecord, IndexSpace, Items
from recordlayer.index.standard import StandardMaintainer, clear_entries, row_difference
from recordlayer.index.state import IndexState
from recordlayer.keys.grouping import Grouping
from recordlayer.kv.engine import MutationType
from recordlayer.kv.mutations import Write
from recordlayer.tuples import pack, unpack
from recordlayer.waiting.waitable import Waitable

DEFAULT_ENTRY_SIZE = 10_000
MAX_ENTRY_SIZE = 250_000
ENTRY_SIZE = "bitmapValueEntrySize"


class Bitmap:
    """Some positions of one group: those whose bits are set, counted from `start`."""

    __slots__ = ("bits", "group", "start")

    def __init__(self, group: Items, start: int, bits: bytes) -> None:
        self.group = group
        self.start = start
        self.bits = bits

    @property
    def items(self) -> Items:
        """The grouping columns and the first position."""
        return (*self.group, self.start)

    @property
    def value(self) -> bytes:
        """The bits, least significant first."""
        return self.bits

    @property
    def positions(self) -> list[int]:
        """The positions, ascending."""
        number, found = int.from_bytes(self.bits, "little"), []
        while number:
            lowest = number & -number
            found.append(self.start + lowest.bit_length() - 1)
            number ^= lowest
        return found

    def __len__(self) -> int:
        """How many positions there are."""
        return int.from_bytes(self.bits, "little").bit_count()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bitmap):
            return NotImplemented
        return (self.group, self.start, self.bits) == (other.group, other.start, other.bits)

    def __hash__(self) -> int:
        return hash((self.group, self.start, self.bits))

    def __repr__(self) -> str:
        return f"Bitmap({self.group!r} from {self.start}: {len(self)} positions)"


class _Place:
    """One bit: the key of its bitmap, where it is in there, and the key that stands for it among conflicts."""

    __slots__ = ("conflict", "key", "offset", "row")

    def __init__(self, row: Items, key: bytes, offset: int) -> None:
        self.row = row
        self.key = key
        self.offset = offset
        self.conflict = pack((offset,), key)

    def is_set(self, value: bytes | None) -> bool:
        return (
            value is not None and self.offset // 8 < len(value) and bool(value[self.offset // 8] >> self.offset % 8 & 1)
        )


class BitmapIndex(StandardMaintainer):
    """Positions as bits: small, and quickly combined."""

    type: ClassVar[str] = "bitmap_value"

    __slots__ = ("_alone", "checks", "entry_size", "grouping")

    def __init__(self, space: IndexSpace) -> None:
        super().__init__(space)
        root = space.index.root_expression
        if not isinstance(root, Grouping) or root.grouped_count != 1:
            hint = "a bitmap needs a grouping expression with one grouped column, the position"
            raise IndexNotSupported(index=space.index.name, type=self.type, hint=hint)
        size = space.index.options.get(ENTRY_SIZE, str(DEFAULT_ENTRY_SIZE))
        if not size.isdecimal() or not 0 < int(size) <= MAX_ENTRY_SIZE:
            hint = f"{ENTRY_SIZE} is a number of bits from 1 to {MAX_ENTRY_SIZE:,}"
            raise IndexNotSupported(index=space.index.name, option=size, hint=hint)
        self.entry_size = int(size)
        self.grouping = root.grouping_count
        self.checks = space.index.unique
        positions = space.index.primary_key_positions
        self._alone = self.checks or (positions is not None and all(at >= 0 for at in positions))
        """No two records can have one position."""

    @property
    def idempotent(self) -> bool:
        return True

    # -- maintenance -----------------------------------------------------------------------------------

    def writes(self, old: IndexedRecord | None, new: IndexedRecord | None) -> list[Write]:
        removed, added = row_difference(self.rows(old), self.rows(new))
        size = (self.entry_size + 7) // 8
        empty = bytes(size)
        writes: list[Write] = []
        for place in self.places(removed):
            if not self._alone or self.space.state is IndexState.WRITE_ONLY:
                # The build may not have been here, or another record with this position has taken it along: what
                # follows must not make ones where nothing is. (Java does so in the second case.)
                writes.append((MutationType.BIT_OR, place.key, empty))
            # Operands have the full length always: the engine cuts the value to theirs.
            others = bytearray(b"\xff" * size)
            others[place.offset // 8] &= ~(1 << place.offset % 8)
            writes.append((MutationType.BIT_AND, place.key, bytes(others)))
            writes.append((MutationType.COMPARE_AND_CLEAR, place.key, empty))
        for place in self.places(added):
            one = bytearray(size)
            one[place.offset // 8] = 1 << place.offset % 8
            self.check_size(place.key, empty, new)
            writes.append((MutationType.BIT_OR, place.key, bytes(one)))
        return writes

    def finish(self, old: IndexedRecord | None, new: IndexedRecord | None) -> Coroutine[Any, None, None] | None:
        if self.checks and old is not None:
            claims, own = self.space.context.claims, old.primary_key_bytes
            for place in self.places(row_difference(self.rows(old), self.rows(new))[0]):
                if claims.get(place.conflict) == own:
                    del claims[place.conflict]
        return None

    def places(self, rows: list[Items]) -> list[_Place]:
        """Rows without a position have none."""
        places = []
        for row in rows:
            position = row[self.grouping]
            if position is None:
                continue
            if type(position) is not int:
                raise UsageError(
                    index=self.space.index.name, got=type(position).__name__, hint="positions are integers"
                )
            offset = position % self.entry_size
            key = pack((*row[: self.grouping], position - offset), self.space.entries)
            places.append(_Place(row, key, offset))
        return places

    # -- uniqueness ------------------------------------------------------------------------------------

    def check(self, new: IndexedRecord) -> BitmapVerdict | None:
        """Whether a position that must be alone is taken. Whose it is, the bitmap does not know."""
        places = self.places(self.rows(new)) if self.checks else []
        return BitmapVerdict(self, new, places) if places else None

    # -- many at once ----------------------------------------------------------------------------------

    def can_clear_prefix(self, columns: int) -> bool:
        return columns <= self.grouping

    def clear_prefix(self, prefix: Items) -> None:
        clear_entries(self.space, prefix)

    async def audit(self, records: Sequence[IndexedRecord]) -> list[tuple[str, Any]]:
        """Bits that no record has; and records without their bit, where no two records can share one: one of two that
        do takes the bit with it when it goes."""
        wanted: dict[bytes, int] = {}
        for record in records:
            for place in self.places(self.rows(record)):
                wanted[place.key] = wanted.get(place.key, 0) | 1 << place.offset
        prefix, size = self.space.entries, (self.entry_size + 7) // 8
        there = dict(await self.space.context.read_all(prefix, prefix + b"\xff"))
        findings: list[tuple[str, Any]] = []
        for key in {**dict.fromkeys(there), **dict.fromkeys(wanted)}:
            value = there.get(key, b"")
            items = unpack(key, len(prefix))
            if value and len(value) != size:
                findings.append(("a bitmap has the wrong size", (items, len(value), size)))
            bits, expected = int.from_bytes(value, "little"), wanted.get(key, 0)
            if bits & ~expected:
                findings.append(("a bitmap has positions that no record has", items))
            if self._alone and expected & ~bits:
                findings.append(("a bitmap lacks positions of records", items))
        return findings

    # -- reading ---------------------------------------------------------------------------------------

    def scan(self, bounds: Bounds, options: ScanOptions = FORWARD) -> Cursor[Bitmap]:
        """The bitmaps within bounds, which may name positions behind the grouping columns: the first and the last
        bitmap are cut to them, and begin where they begin.

        Cost  1 range read a chunk.
        """
        first = self._end_of(bounds.low, bounds.low_end, exclusive_adds=1)
        behind = self._end_of(bounds.high, bounds.high_end, exclusive_adds=0)
        size, columns = self.entry_size, self.grouping
        if first is not None or behind is not None:
            low, high = bounds.low or (), bounds.high or ()
            if low[:columns] != high[:columns] or len(low[:columns]) != columns:
                hint = "bounds that name positions keep to one group: give both ends its columns"
                raise UsageError(index=self.space.index.name, bounds=str(bounds), hint=hint)
        if first is not None and behind is not None and first >= behind:
            return Empty()
        if first is not None:
            assert bounds.low is not None, "it has a position"
            bounds = replace(bounds, low=(*bounds.low[:columns], first - first % size), low_end=End.INCLUSIVE)
        if behind is not None:
            assert bounds.high is not None, "it has a position"
            last = behind - 1
            bounds = replace(bounds, high=(*bounds.high[:columns], last - last % size), high_end=End.INCLUSIVE)
        source = KeyValueScan(self.space.context, bounds.keys(self.space.entries), options)
        start = len(self.space.entries)

        def bitmap(pair: tuple[bytes, bytes]) -> Bitmap:
            try:
                *group, begin = unpack(pair[0], start)
            except MalformedTuple as error:
                raise CorruptIndexEntry(index=self.space.index.name, key=pair[0], found=str(error)) from error
            if type(begin) is not int or len(group) != columns:
                raise CorruptIndexEntry(index=self.space.index.name, key=pair[0], found="no position in its place")
            return _cut(Bitmap(tuple(group), begin, pair[1]), size, first, behind)

        return Map(source, bitmap)

    def _end_of(self, items: Items | None, end: End, *, exclusive_adds: int) -> int | None:
        """The position at an end of bounds, None if they do not go so far."""
        if items is None or len(items) <= self.grouping or items[self.grouping] is None:
            return None
        position = items[self.grouping]
        if type(position) is not int or end is End.TEXT or len(items) > self.grouping + 1:
            hint = f"behind {self.grouping} grouping columns stands a position, an integer, and nothing else"
            raise UsageError(index=self.space.index.name, bounds=items, hint=hint)
        return position + (exclusive_adds if end is End.EXCLUSIVE else 1 - exclusive_adds)


def _cut(bitmap: Bitmap, size: int, first: int | None, behind: int | None) -> Bitmap:
    """Only the positions from `first` and before `behind`."""
    begin, end = bitmap.start, bitmap.start + size
    low = begin if first is None else max(begin, first)
    high = end if behind is None else min(end, behind)
    if (low, high) == (begin, end):
        return bitmap
    width = max(high - low, 0)
    number = (int.from_bytes(bitmap.bits, "little") >> low - begin) & ((1 << width) - 1)
    return Bitmap(bitmap.group, low, number.to_bytes((width + 7) // 8, "little"))


class BitmapVerdict:
    """The look at the bits that a record is about to set."""

    __slots__ = ("_freed", "_index", "_places", "_reads", "_record")

    def __init__(self, index: BitmapIndex, record: IndexedRecord, places: list[_Place]) -> None:
        self._index = index
        self._record = record
        self._places = places
        self._freed: set[bytes] = set()
        # A snapshot: others may change other bits. The position itself is what we conflict on.
        context = index.space.context
        self._reads: list[Waitable[bytes | None]] = [context.get(place.key, snapshot=True) for place in places]
        for place in places:
            context.add_read_conflict_key(place.conflict)

    async def settle(self, old: IndexedRecord | None, gone: Sequence[IndexedRecord] = ()) -> None:
        """Raises  UniquenessViolation if a position is taken by another record, which keeps it."""
        index = self._index
        own = {place.conflict for one in (old, *gone) for place in index.places(index.rows(one))}
        self._freed = {one.primary_key_bytes for one in gone}
        for place, read in zip(self._places, self._reads, strict=True):
            if place.is_set(await read) and place.conflict not in own:
                raise self._violation(place)

    def claim(self) -> None:
        """Raises  UniquenessViolation if another record of this transaction was there first, unseen by the reads."""
        context, own = self._index.space.context, self._record.primary_key_bytes
        for place in self._places:
            claimed = context.claims.get(place.conflict, own)
            if claimed != own and claimed not in self._freed:
                raise self._violation(place)
        for place in self._places:
            context.claims[place.conflict] = own
            context.add_write_conflict_range(place.conflict, place.conflict + b"\x00")

    def _violation(self, place: _Place) -> UniquenessViolation:
        return UniquenessViolation(
            index=self._index.space.index.name,
            value=place.row,
            saving=self._record.primary_key,
            held_by=None,
            hint="another record has this position; a bitmap does not know which",
        )
