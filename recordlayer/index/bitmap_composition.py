"""Bitmaps of several groups put together: the positions that all of them have, or one of them.

Cost    1 range read a chunk for each group, side by side
Source  Record Layer, ComposedBitmapIndexCursor
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from recordlayer.cursor.merge import Union
from recordlayer.cursor.scan import FORWARD, ScanOptions
from recordlayer.cursor.step import Cursor, Stop
from recordlayer.cursor.transform import CursorFactory, Limit
from recordlayer.errors import UsageError
from recordlayer.index.bitmap import Bitmap, BitmapIndex
from recordlayer.index.bounds import Bounds, End
from recordlayer.index.maintainer import Items

Combine = Callable[[Sequence[int]], int]
"""Of the bits of several bitmaps, 0 where one is missing, those that are wanted."""


def all_of(bits: Sequence[int]) -> int:
    """The positions that every bitmap has."""
    found = bits[0]
    for one in bits:
        found &= one
    return found


def any_of(bits: Sequence[int]) -> int:
    """The positions that some bitmap has."""
    found = 0
    for one in bits:
        found |= one
    return found


def first_without_others(bits: Sequence[int]) -> int:
    """The positions that the first bitmap has and none of the others."""
    return bits[0] & ~any_of(bits[1:])


class Composed(Union[Bitmap]):
    """The bitmaps of several scans put together, position by position. Those that become empty are left out.

    Each source gives the bitmaps of one group, all with the same bounds of positions and entry size; a result has the
    group of the first source that has a bitmap there.
    """

    __slots__ = ("_combine",)

    def __init__(
        self,
        sources: Sequence[CursorFactory[Bitmap]],
        combine: Combine,
        continuation: bytes | None = None,
        *,
        reverse: bool = False,
    ) -> None:
        super().__init__(sources, lambda bitmap: bitmap.start, continuation, reverse=reverse)
        self._combine = combine

    def _merge(self, values: list[Bitmap], places: list[tuple[int, ...]]) -> None:
        sources, first = self._sources, self._first
        while True:
            live = [source for source in sources if not source.is_used_up]
            if not live or any(source.is_used_up and source.stop is not Stop.EXHAUSTED for source in sources):
                return
            start = first([source.held.keys[source.taken] for source in live])
            found: list[Bitmap | None] = []
            for source in sources:
                there = not source.is_used_up and source.held.keys[source.taken] == start
                found.append(source.held.batch.values[source.taken] if there else None)
                source.taken += there
            bits = self._combine([0 if one is None else int.from_bytes(one.bits, "little") for one in found])
            if bits:
                known = [one for one in found if one is not None]
                length = max(len(one.bits) for one in known)
                values.append(Bitmap(known[0].group, start, bits.to_bytes(length, "little")))
                places.append(tuple([source.taken for source in sources]))


def compose(
    scans: Sequence[tuple[BitmapIndex, Items]],
    combine: Combine,
    *,
    first: int | None = None,
    behind: int | None = None,
    options: ScanOptions = FORWARD,
) -> Cursor[Bitmap]:
    """The bitmaps of whole groups (index and grouping columns) put together by `all_of`, `any_of` and the like, within
    the positions from `first` and before `behind`.

    Cost    1 range read a chunk for each scan, side by side.
    Raises  UsageError for indexes with different entry sizes, or a group that lacks columns; BadContinuation.
    """
    if len({index.entry_size for index, _ in scans}) != 1:
        hint = "give at least one index, and only such with the same bitmapValueEntrySize"
        raise UsageError(entry_sizes=sorted({index.entry_size for index, _ in scans}), hint=hint)

    def source(index: BitmapIndex, group: Items) -> CursorFactory[Bitmap]:
        if len(group) != index.grouping:
            hint = f"give all {index.grouping} grouping columns"
            raise UsageError(index=index.space.index.name, group=group, hint=hint)
        low = (*group, first) if first is not None else group or None
        high = (*group, behind) if behind is not None else group or None
        high_end = End.EXCLUSIVE if behind is not None else End.INCLUSIVE
        bounds = Bounds.between(low, high, high_end=high_end)
        return lambda resume: index.scan(bounds, replace(options, limit=0, continuation=resume))

    sources = [source(*one) for one in scans]
    found = Composed(sources, combine, options.continuation, reverse=options.reverse)
    return Limit(found, options.limit) if options.limit else found
