"""Records by bitmaps: the positions of several groups put together bit by bit, then the records at these positions.

Where a record's primary key is its position, a bitmap says where the records are. Records without a position have no
bit: what lies at that place, one record at most, is always looked at.

Cost    1 range read a chunk for each bitmap, side by side; 1 range read a record
Source  Record Layer, ComposedBitmapIndexQueryPlan; that records are loaded by it is ours
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recordlayer.cursor.chain import Concat
from recordlayer.cursor.pipeline import FlatMap
from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.step import Batch, Cursor, Stop
from recordlayer.cursor.transform import ListCursor
from recordlayer.errors import BadContinuation, CorruptIndexEntry, MalformedTuple
from recordlayer.index.bitmap import Bitmap, BitmapIndex
from recordlayer.index.bitmap_composition import compose
from recordlayer.metadata import Index
from recordlayer.query.cost import Estimate
from recordlayer.query.identity import Part, of_index
from recordlayer.query.plan.base import Plan, Run
from recordlayer.store.fetch import FetchRecords
from recordlayer.store.record import StoredRecord
from recordlayer.tuples import pack, unpack

Items = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The bitmap of one group of an index."""

    index: Index
    values: Items

    def leaves(self) -> tuple[Group, ...]:
        return (self,)

    def bits(self, given: dict[Group, int]) -> int:
        return given[self]

    @property
    def parts(self) -> Part:
        return (of_index(self.index), self.values)

    def __str__(self) -> str:
        return (
            f"{self.index.name} [= {', '.join(repr(one) for one in self.values)}]" if self.values else self.index.name
        )


@dataclass(frozen=True, slots=True)
class Combination:
    """Bitmaps put together: the positions that all of them have, or one of them."""

    terms: tuple[Term, ...]
    all: bool

    def leaves(self) -> tuple[Group, ...]:
        return tuple(dict.fromkeys([leaf for term in self.terms for leaf in term.leaves()]))

    def bits(self, given: dict[Group, int]) -> int:
        first, *others = [term.bits(given) for term in self.terms]
        for one in others:
            first = first & one if self.all else first | one
        return first

    @property
    def parts(self) -> Part:
        return ("all" if self.all else "any", *[term.parts for term in self.terms])

    def __str__(self) -> str:
        word = " and " if self.all else " or "
        return word.join(f"({one})" if isinstance(one, Combination) else str(one) for one in self.terms)


Term = Group | Combination


class Position:
    """Where a record lies. None is the place of a record without a position."""

    __slots__ = ("number", "primary_key_bytes")

    def __init__(self, number: int | None, primary_key: Items) -> None:
        self.number = number
        self.primary_key_bytes = pack(primary_key)


class LoadPositions:
    """The records at the positions of bitmaps, in the order of their primary keys.

    before  columns of the primary key before the position
    """

    unit = "records"
    children: tuple[Plan, ...] = ()

    def __init__(self, term: Term, before: Items, types: Part, *, rows: float, bitmaps: float, reverse: bool) -> None:
        self._term = term
        self._before = before
        self._types = types
        self._reverse = reverse
        leaves = term.leaves()
        self.asks = sorted({leaf.index.name for leaf in leaves})
        self.index = self.asks[0]
        text = f"[{term}]{' in reverse' * reverse}"
        self.title = f"Load records by bitmaps {text}"
        self.line = f"Load(bitmaps{text})"
        self.estimate = Estimate(rows, rows + bitmaps * len(leaves), 2, rows)

    @property
    def identity(self) -> Part:
        return ("bitmaps", self._types, self._before, self._term.parts, self._reverse)

    def execute(self, run: Run) -> Cursor[StoredRecord]:
        store, term, reverse = run.store, self._term, self._reverse
        leaves = term.leaves()
        scans: list[tuple[BitmapIndex, Items]] = []
        for leaf in leaves:
            maintainer = store.index_maintainer(leaf.index.name)
            assert isinstance(maintainer, BitmapIndex), "only bitmaps are put together"
            scans.append((maintainer, leaf.values))

        def combine(bits: Sequence[int]) -> int:
            return term.bits(dict(zip(leaves, bits, strict=True)))

        def bitmaps(continuation: bytes | None) -> Cursor[Bitmap]:
            options = ScanOptions(reverse=reverse, snapshot=run.snapshot, continuation=continuation, budget=run.budget)
            return compose(scans, combine, options=options)

        def within(bitmap: Bitmap, continuation: bytes | None) -> Cursor[Position]:
            return _Within(bitmap, self._before, continuation, reverse=reverse)

        def nowhere(continuation: bytes | None) -> Cursor[Position]:
            return ListCursor([Position(None, (*self._before, None))], continuation)

        def somewhere(continuation: bytes | None) -> Cursor[Position]:
            return FlatMap(bitmaps, within, continuation, budget=run.budget)

        parts = [somewhere, nowhere] if reverse else [nowhere, somewhere]
        positions: Cursor[Any] = Concat(parts, run.continuation)
        return FetchRecords(store.records, positions, self._missing, None, snapshot=run.snapshot, budget=run.budget)

    def _missing(self, position: Any) -> CorruptIndexEntry | None:
        if position.number is None:
            return None
        return CorruptIndexEntry(
            index=", ".join(self.asks), key=(*self._before, position.number), found="a position without a record"
        )


class _Within(Cursor[Position]):
    """The positions of a bitmap; a continuation is the last one, packed: it means the same when the bits change."""

    __slots__ = ("_before", "_numbers")

    def __init__(self, bitmap: Bitmap, before: Items, continuation: bytes | None, *, reverse: bool) -> None:
        numbers = bitmap.positions
        if continuation is not None:
            try:
                (last,) = unpack(continuation)
                numbers = [one for one in numbers if (one < last if reverse else one > last)]
            except (MalformedTuple, ValueError, TypeError) as error:
                raise BadContinuation(reason="it does not say which position") from error
        self._before = before
        self._numbers = numbers[::-1] if reverse else numbers

    async def batch(self) -> Batch[Position]:
        numbers = self._numbers
        found = [Position(one, (*self._before, one)) for one in numbers]
        return Batch(found, lambda index: pack((numbers[index],)), Stop.EXHAUSTED)
