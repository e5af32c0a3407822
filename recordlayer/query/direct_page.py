"""The page of a plan that is run directly: see `query.direct`.

Cost  as the plan's cursors, of which it takes the first reads
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

from recordlayer.cursor.continuation import encode_fields, wrap_key
from recordlayer.cursor.merging import bytes_of, shared, united
from recordlayer.cursor.scan import CHUNK
from recordlayer.cursor.step import Batch, Cursor, Stop
from recordlayer.index.entry import EntryLayout, IndexEntry
from recordlayer.index.page import EntryPage
from recordlayer.kv.engine import Chunk, KeyValue, StreamingMode
from recordlayer.query.plan.covering import Cover
from recordlayer.query.plan.fetch import missing
from recordlayer.store.fetch import fetched
from recordlayer.store.record import StoredRecord
from recordlayer.store.record_page import RecordPage
from recordlayer.waiting.waitable import Ready, Waitable

if TYPE_CHECKING:
    from recordlayer.store.store import RecordStore

Merge = Callable[[list[list[KeyValue]], list[int], bool], list[bytes]]
Keep = Callable[[StoredRecord], bool]
FEW = 16
"""So few entries of a range are less to read than to ask another range for."""
Rest = Callable[[int, Iterator[Waitable[Chunk]]], Cursor[Any]]
"""From how much the first reads were to bring, and these reads, to the plan's cursors."""


class Scan:
    """One range of an index, as a page reads it.

    known    bytes of its keys that continuations do without; of an equality those of its columns
    start    bytes of its keys before the columns
    columns  how many of these are the same in all of it; None if that is not known
    """

    __slots__ = ("begin", "columns", "end", "known", "layout", "start")

    def __init__(
        self, layout: EntryLayout, begin: bytes, end: bytes, known: int, start: int, columns: int | None
    ) -> None:
        self.layout = layout
        self.begin = begin
        self.end = end
        self.known = known
        self.start = start
        self.columns = columns

    def page(self, rows: list[KeyValue]) -> EntryPage:
        """The entries that were read."""
        if self.columns is None:
            return EntryPage(self.layout, rows, self.start)
        return EntryPage(self.layout, rows, self.start, self.known, self.columns)

    def place(self, row: KeyValue) -> bytes:
        """The place behind an entry."""
        return wrap_key(row[0][self.known :])


@dataclass(frozen=True, slots=True)
class Way:
    """What a page makes of what it reads: see `query.direct.Direct`."""

    merge: Merge | None
    reverse: bool
    cover: Cover | None


class _One:
    """The entries of one range."""

    __slots__ = ("_rows", "_scan", "entries")

    def __init__(self, scan: Scan, chunk: Chunk) -> None:
        self._scan = scan
        self._rows = chunk.rows
        self.entries = scan.page(chunk.rows)

    def primary_keys(self) -> list[bytes]:
        return self.entries.primary_keys()

    def entry(self, place: int) -> IndexEntry:
        return self.entries[place]

    def place(self, index: int) -> bytes:
        return self._scan.place(self._rows[index])


class _InTurn:
    """The entries of several ranges of one index, one after the other: see `cursor.pipeline.FlatMap`."""

    __slots__ = ("_behind", "_ended", "_scans", "entries")

    def __init__(self, scans: list[Scan], chunks: list[Chunk], ended: list[bool]) -> None:
        first = scans[0]
        self._scans = scans
        self._ended = ended
        self._behind = list(accumulate([len(chunk.rows) for chunk in chunks]))
        self.entries = EntryPage(first.layout, list(chain.from_iterable([chunk.rows for chunk in chunks])), first.start)

    def primary_keys(self) -> list[bytes]:
        return self.entries.primary_keys()

    def entry(self, place: int) -> IndexEntry:
        return self.entries[place]

    def place(self, index: int) -> bytes:
        number = bisect_right(self._behind, index)
        if self._ended[number] and index == self._behind[number] - 1:
            return encode_fields({1: (number + 1).to_bytes(4, "big")})
        before = number.to_bytes(4, "big") if number else None
        return encode_fields({1: before, 2: self._scans[number].place(self.entries.pairs[index])})


class _Several:
    """What several ranges have together, by primary keys."""

    __slots__ = ("_chunks", "_ended", "_keys", "_reverse", "_scans")

    def __init__(self, scans: list[Scan], chunks: list[Chunk], ended: list[bool], way: Way) -> None:
        assert way.merge is not None, "several ranges are merged"
        self._scans = scans
        self._chunks = chunks
        self._ended = ended
        self._reverse = way.reverse
        self._keys = way.merge([chunk.rows for chunk in chunks], [scan.known for scan in scans], way.reverse)

    def primary_keys(self) -> list[bytes]:
        return self._keys

    def _own(self, number: int) -> list[bytes]:
        return _own(self._scans[number], self._chunks[number])

    def entry(self, place: int) -> IndexEntry:
        """As the first range that has it gives it."""
        key = self._keys[place]
        for number, scan in enumerate(self._scans):
            own = self._own(number)
            if key in own:
                return scan.page(self._chunks[number].rows)[own.index(key)]
        raise AssertionError("a key comes from one of the ranges")

    def place(self, index: int) -> bytes:
        """As `cursor.merge` has it: for each range the place behind what was taken of it."""
        key, states = self._keys[index], dict[int, bytes | int | None]()
        for number, (scan, chunk, ended) in enumerate(zip(self._scans, self._chunks, self._ended, strict=True)):
            own = self._own(number)
            taken = bisect_left(own, True, key=lambda one: bool(one < key)) if self._reverse else bisect_right(own, key)
            if ended and taken == len(own):
                states[number + 1] = encode_fields({2: 1})
            elif taken:
                states[number + 1] = encode_fields({1: scan.place(chunk.rows[taken - 1])})
        return encode_fields(states)


def _own(scan: Scan, chunk: Chunk) -> list[bytes]:
    """What of the keys that were read is not the same in all of the range."""
    known = scan.known
    return [key[known:] for key, _ in chunk.rows]


class DirectPage(Cursor[Any]):
    """The records of a plan: the first page directly, what follows by the plan's cursors.

    keep   which records are given, None for all
    limit  how many, 0 for all
    seal   from a place in the plan to a continuation
    """

    __slots__ = (
        "_begun",
        "_first",
        "_keep",
        "_limit",
        "_rest",
        "_scans",
        "_seal",
        "_snapshot",
        "_store",
        "_then",
        "_wanted",
        "_way",
    )

    def __init__(
        self,
        store: RecordStore,
        scans: list[Scan],
        way: Way,
        keep: Keep | None,
        *,
        limit: int,
        snapshot: bool,
        seal: Callable[[bytes], bytes],
        rest: Rest,
    ) -> None:
        self._store = store
        self._scans = scans
        self._way = way
        self._keep = keep
        self._limit = self._wanted = limit
        self._snapshot = snapshot
        self._seal = seal
        self._rest = rest
        self._then: Cursor[Any] | None = None
        self._begun: Waitable[list[Chunk]] | None = None
        self._first = 0
        """How many pairs of a range were asked for at first."""

    def expect_all(self) -> None:
        self._wanted = self._wanted or CHUNK

    def start(self) -> None:
        if self._begun is None:
            self._begun = self._begin()

    def _begin(self) -> Waitable[list[Chunk]]:
        self._first = self._size
        if self._first > FEW and self._way.merge is shared and self._store.context.transaction.local:
            self._first = FEW  # so few show that a range is short
        return self._read([(scan.begin, scan.end) for scan in self._scans], self._first)

    def _read(self, ranges: list[tuple[bytes, bytes]], limit: int) -> Waitable[list[Chunk]]:
        return self._store.context.get_ranges(
            ranges,
            limit=limit,
            reverse=self._way.reverse,
            snapshot=self._snapshot,
            mode=StreamingMode.WANT_ALL if self._wanted else StreamingMode.ITERATOR,
        )

    @property
    def _size(self) -> int:
        """How many pairs of a range are asked for at most."""
        return min(self._wanted, CHUNK) if self._wanted else CHUNK

    async def batch(self) -> Batch[Any]:
        if self._then is not None:
            return await self._then.batch()
        chunks = await (self._begun or self._begin())
        first, size = self._first, self._size
        ended = [not chunk.more and len(chunk.rows) < first for chunk in chunks]
        if first < size and not all(ended):
            if any(ended):
                return await self._page(await self._asked(chunks, ended), ended)
            chunks = await self._gone_on(chunks, size - first)
            ended = [not chunk.more and len(chunk.rows) < size for chunk in chunks]
        taken = chunks if self._way.merge is not None else chunks[: self._in_turn(chunks, ended)]
        if all(ended) or self._is_enough(taken, ended):
            return await self._page(taken, ended)
        self._then = self._rest(self._wanted, iter([Ready(chunk) for chunk in chunks]))
        return await self._then.batch()

    def _in_turn(self, chunks: list[Chunk], ended: list[bool]) -> int:
        """How many of the ranges that follow each other are come to: one that goes on is the last, and so is one with
        which there are enough."""
        rows, enough = 0, self._limit if self._keep is None else 0
        for number, (chunk, end) in enumerate(zip(chunks, ended, strict=True), 1):
            rows += len(chunk.rows)
            if not end or 0 < enough <= rows:
                return number
        return len(chunks)

    async def _asked(self, chunks: list[Chunk], ended: list[bool]) -> list[Chunk]:
        """What was read of ranges of which one has ended, and of the others what has the primary keys of that one: they
        are asked for these, not read on."""
        shorts = [number for number, end in enumerate(ended) if end]
        short = shorts[0] if len(shorts) == 1 else min(shorts, key=lambda number: len(chunks[number].rows))
        found, wanted = list(chunks), _own(self._scans[short], chunks[short])
        for number, scan in enumerate(self._scans):
            if ended[number] or not wanted:
                continue
            rows = chunks[number].rows
            last, begin = rows[-1][0], scan.begin  # which is what all keys of the range have before the primary key
            keys = [begin + key for key in wanted]
            keys = [key for key in keys if key < last] if self._way.reverse else keys[bisect_right(keys, last) :]
            values = await self._store.context.get_many(keys, snapshot=self._snapshot)
            there = [(key, value) for key, value in zip(keys, values, strict=True) if value is not None]
            found[number] = Chunk(rows + there, True)
            if len(chunks) > 2:
                shared_so_far = set(_own(scan, found[number]))
                wanted = [key for key in wanted if key in shared_so_far]
        return found

    async def _gone_on(self, chunks: list[Chunk], limit: int) -> list[Chunk]:
        """What was read of ranges, none of which has ended, and what follows."""
        lasts = [chunk.rows[-1][0] for chunk in chunks]
        if self._way.reverse:
            ranges = [(scan.begin, last) for scan, last in zip(self._scans, lasts, strict=True)]
        else:
            ranges = [(last + b"\0", scan.end) for scan, last in zip(self._scans, lasts, strict=True)]
        rest = await self._read(ranges, limit)
        return [Chunk(one.rows + more.rows, more.more) for one, more in zip(chunks, rest, strict=True)]

    def _is_enough(self, chunks: list[Chunk], ended: list[bool]) -> bool:
        """Whether all records that are to be given follow from what was read of ranges that go on."""
        way, limit = self._way, self._limit
        if way.merge is None:
            return self._keep is None and 0 < limit <= sum([len(chunk.rows) for chunk in chunks])
        if way.merge is united:
            return False
        # What all ranges have ends where the first of them does.
        if not all(chunk.rows for chunk in chunks):
            return any(end and not chunk.rows for end, chunk in zip(ended, chunks, strict=True))
        lasts = [chunk.rows[-1][0][scan.known :] for scan, chunk in zip(self._scans, chunks, strict=True)]
        first = max(lasts) if way.reverse else min(lasts)
        return any(end and last == first for end, last in zip(ended, lasts, strict=True))

    async def _page(self, chunks: list[Chunk], ended: list[bool]) -> Batch[Any]:
        way, limit, keep, store = self._way, self._limit, self._keep, self._store
        counters = store.context.counters
        for chunk in chunks:
            counters.rows_read += len(chunk.rows)
            counters.bytes_read += bytes_of(chunk.rows)
        found: _One | _InTurn | _Several
        if way.merge is not None:
            found = _Several(self._scans, chunks, ended, way)
        elif len(self._scans) > 1:
            found = _InTurn(self._scans, chunks, ended)
        else:
            found = _One(self._scans[0], chunks[0])
        values: Sequence[StoredRecord]
        if way.cover is not None:
            assert not isinstance(found, _Several), "what covers is of one index"
            values = way.cover.page(store, found.entries)
        else:
            keys = found.primary_keys()
            values = await self._fetched(keys[:limit] if limit and keep is None else keys, found) if keys else []
        places: Sequence[int] = range(len(values))
        if keep is not None:
            places = [place for place, value in enumerate(values) if keep(value)]
            values = [values[place] for place in places]
        seal, place_of = self._seal, found.place
        if limit and len(values) >= limit:
            last = places[limit - 1]
            return Batch(
                values if len(values) == limit else values[:limit],
                lambda index: seal(place_of(places[index])),
                Stop.LIMIT_REACHED,
                lambda: seal(place_of(last)),
            )
        return Batch(values, lambda index: seal(place_of(places[index])), Stop.EXHAUSTED)

    async def _fetched(self, keys: list[bytes], found: _One | _InTurn | _Several) -> Sequence[StoredRecord]:
        records = await fetched(self._store.records, keys, snapshot=self._snapshot)
        if isinstance(records, RecordPage):
            return records
        there = [record for record in records if record is not None]
        if len(there) < len(records):
            raise missing(found.entry(records.index(None)))
        return there
